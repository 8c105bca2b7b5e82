//! The events of the whole cluster, followed by the one process that leads.
//!
//! In: lists and watches of `events.k8s.io/v1`, of core `v1` where the API server has no such group; how far the last
//! leader got. Out: events, and up to which version all of them were given. Always:
//! - what is added and what changes is given, what is deleted is not;
//! - events from before the first leader are not given; from then on none is passed over that the API server still has;
//! - lists are read in pages: the API server keeps no watch cache of events (`--watch-cache-sizes`: they are the one kind
//!   for which it is off), each list is etcd's work, and no list is asked for while the watch can go on.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use kube::Client;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::event::{Event, EventPage};
use crate::failure::{Failure, Kind, Resource};
use crate::leader::EventsProgress;
use crate::link::Link;

/// The newer form, and the older one that every server has.
const PATHS: [&str; 2] = ["/apis/events.k8s.io/v1/events", "/api/v1/events"];

/// How long a page may take, and a watch until it begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Events of a page; client-go's pager takes as many.
const PAGE: u32 = 500;
/// How long the API server lets a watch run.
const WATCH_SECONDS: u32 = 290;
/// A watch that is silent for so long may be dead. There are no bookmarks without a watch cache; taking it up again costs
/// little.
const SILENT_FOR: Duration = Duration::from_secs(150);
/// A watch that lived so long was good.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// After a backup was restored, events are told apart by times of many clocks: those that are this much older than what was
/// delivered last are given again rather than missed.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What is found.
#[derive(Debug)]
pub struct Found {
    /// An event, or a change of one.
    pub event: Option<Event>,
    /// Everything up to here was given, this event included.
    pub reached: Option<EventsProgress>,
}

/// Follows the events of the cluster.
#[derive(Clone)]
pub struct EventFollower {
    client: Client,
    link: Arc<Link>,
}

/// What a list gives.
enum Wanted {
    /// What is behind this version.
    Behind(u64),
    /// What happened after this.
    After(Timestamp),
}

/// How a watch ended.
enum End {
    /// It can be taken up where it was.
    Over,
    /// It cannot: list.
    Expired,
    /// It did not begin.
    Refused(Failure),
    /// Nobody listens.
    Unheard,
}

// === impl EventFollower ===

impl EventFollower {
    pub(crate) fn new(client: Client, link: Arc<Link>) -> Self {
        Self { client, link }
    }

    /// Follows on from `since`, or from now where that is not known, until nobody takes what is found.
    pub async fn run(self, since: Option<EventsProgress>, found: mpsc::Sender<Found>) {
        let mut follower =
            Following { of: self, path: PATHS[0], reached: since, gone_back: false, found };
        let mut backoff = Backoff::new();
        loop {
            let began = Instant::now();
            let end = follower.go_on().await;
            if began.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let wait = match end {
                End::Over => {
                    follower.of.link.metrics.count_watch_restart(Resource::events);
                    None
                }
                End::Expired => None,
                End::Refused(failure) => {
                    follower.of.link.failed(Resource::events, &failure);
                    failure.retry_after
                }
                End::Unheard => return,
            };
            sleep(backoff.next(wait)).await;
        }
    }

    async fn page(&self, path: &str, limit: u32, next: &str) -> Result<EventPage, Failure> {
        let mut params = ListParams::default().limit(limit);
        if !next.is_empty() {
            params = params.continue_token(next);
        }
        let request = Request::new(path).list(&params).map_err(kube::Error::BuildRequest)?;
        let answer = timeout(ANSWER_WITHIN, self.client.request::<EventPage>(request)).await;
        let page = answer.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??;
        self.link.good(Resource::events);
        Ok(page)
    }

    async fn begin(
        &self,
        path: &str,
        version: u64,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<Event>>> + use<>, Failure> {
        let params = WatchParams::default().timeout(WATCH_SECONDS);
        let request = Request::new(path).watch(&params, &version.to_string());
        let request = request.map_err(kube::Error::BuildRequest)?;
        let begun = timeout(ANSWER_WITHIN, self.client.request_events::<Event>(request)).await;
        Ok(begun.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??)
    }
}

/// A term's work.
struct Following {
    of: EventFollower,
    path: &'static str,
    reached: Option<EventsProgress>,
    /// The server has gone back behind that, which was said, and what came since then was not given yet.
    gone_back: bool,
    found: mpsc::Sender<Found>,
}

impl Following {
    /// Finds out where the server is, and watches on from where this is; lists when that cannot be.
    async fn go_on(&mut self) -> End {
        let head = match self.head().await {
            Ok(head) => head,
            Err(failure) => return End::Refused(failure),
        };
        let from = match &self.reached {
            None => {
                info!(
                    resource_version = head,
                    "following events from now on; older ones are not sent"
                );
                if self.reach(head).await.is_none() {
                    return End::Unheard;
                }
                head
            }
            // A version from the future would be waited for, in silence.
            Some(reached) if reached.resource_version > head => {
                let (was, time) = (reached.resource_version, reached.time);
                if !std::mem::replace(&mut self.gone_back, true) {
                    self.of.link.metrics.count_restore();
                    warn!(
                        resource_version = head, was, %time,
                        "the API server has gone back, as after a backup was restored; events since then are sent, \
                         some of them again"
                    );
                }
                let after = time.checked_sub(CLOCKS_DIFFER).unwrap_or(time);
                return self.list(&Wanted::After(after)).await;
            }
            Some(reached) => reached.resource_version,
        };
        match self.watch(from).await {
            End::Expired => {
                let behind = self.reached.as_ref().map_or(from, |reached| reached.resource_version);
                self.list(&Wanted::Behind(behind)).await
            }
            end => end,
        }
    }

    /// The server's version now.
    async fn head(&mut self) -> Result<u64, Failure> {
        loop {
            match self.of.page(self.path, 1, "").await {
                Ok(page) => return version(&page.metadata.resource_version),
                // A server without the group.
                Err(failure) if failure.kind == Kind::not_found && self.path == PATHS[0] => {
                    info!(
                        "the API server has no events.k8s.io/v1, following the events of core v1"
                    );
                    self.path = PATHS[1];
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Gives what is `wanted` of all events that there are.
    async fn list(&mut self, wanted: &Wanted) -> End {
        self.of.link.metrics.count_relist(Resource::events);
        let (mut next, mut listed, mut given) = (String::new(), 0, 0);
        let head = loop {
            let page = match self.of.page(self.path, PAGE, &next).await {
                Ok(page) => page,
                // It took too long: the server has forgotten this list. From its begin.
                Err(failure) if failure.kind == Kind::gone => return End::Expired,
                Err(failure) => return End::Refused(failure),
            };
            listed += page.items.len();
            let wanted = page.items.into_iter().filter(|event| wanted.holds(event));
            for event in wanted {
                given += 1;
                if !self.give(event, None).await {
                    return End::Unheard;
                }
            }
            next = page.metadata.next;
            if next.is_empty() {
                break page.metadata.resource_version;
            }
        };
        debug!(listed, given, "listed events");
        // Pages come by name: only the whole list says how far it is.
        match version(&head) {
            Ok(head) => self.reach(head).await.map_or(End::Unheard, |()| End::Over),
            Err(failure) => End::Refused(failure),
        }
    }

    /// One watch, from its begin to its end.
    async fn watch(&mut self, from: u64) -> End {
        let events = match self.of.begin(self.path, from).await {
            Ok(events) => events,
            Err(failure) if failure.kind == Kind::gone => return End::Expired,
            Err(failure) => return End::Refused(failure),
        };
        self.of.link.good(Resource::events);
        let mut events = pin!(events);
        loop {
            let failure = match timeout(SILENT_FOR, events.next()).await {
                Ok(Some(Ok(event))) => match self.take(event).await {
                    Ok(true) => continue,
                    Ok(false) => return End::Unheard,
                    Err(failure) => failure,
                },
                Ok(Some(Err(error))) => Failure::from(error),
                Ok(None) => return End::Over,
                Err(_elapsed) => {
                    debug!("the watch of events is silent");
                    return End::Over;
                }
            };
            debug!(error = failure.message, "the watch of events has broken");
            match failure.kind {
                Kind::gone => return End::Expired,
                // One event that cannot be read does not hide the others.
                Kind::decode => self.of.link.metrics.count_error(Resource::events, failure.kind),
                kind => {
                    self.of.link.metrics.count_error(Resource::events, kind);
                    return End::Over;
                }
            }
        }
    }

    /// Gives what the watch says; false when nobody listens.
    async fn take(&mut self, event: WatchEvent<Event>) -> Result<bool, Failure> {
        Ok(match event {
            WatchEvent::Added(event) | WatchEvent::Modified(event) => {
                let reached = event.version().map(progress);
                self.give(event, reached).await
            }
            WatchEvent::Deleted(event) => match event.version() {
                Some(version) => self.reach(version).await.is_some(),
                None => true,
            },
            WatchEvent::Bookmark(bookmark) => match version(&bookmark.metadata.resource_version) {
                Ok(version) => self.reach(version).await.is_some(),
                Err(_) => true,
            },
            WatchEvent::Error(status) => return Err(Failure::from(status.as_ref())),
        })
    }

    async fn give(&mut self, event: Event, reached: Option<EventsProgress>) -> bool {
        if reached.is_some() {
            self.reached.clone_from(&reached);
        }
        self.found.send(Found { event: Some(event), reached }).await.is_ok()
    }

    async fn reach(&mut self, version: u64) -> Option<()> {
        let reached = Some(progress(version));
        self.gone_back = false;
        self.reached.clone_from(&reached);
        self.found.send(Found { event: None, reached }).await.ok()
    }
}

// === impl Wanted ===

impl Wanted {
    fn holds(&self, event: &Event) -> bool {
        match self {
            // What has no number cannot be known to be older.
            Self::Behind(version) => event.version().is_none_or(|it| it > *version),
            Self::After(time) => event.latest().is_none_or(|it| it > *time),
        }
    }
}

fn progress(resource_version: u64) -> EventsProgress {
    EventsProgress { resource_version, time: Timestamp::now() }
}

pub(crate) fn version(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_error| Failure {
        kind: Kind::decode,
        message: format!("the resource version `{text}` is no number"),
        retry_after: None,
    })
}
