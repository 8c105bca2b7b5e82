//! Follows all objects of the cluster, kind by kind.
//!
//! In: the API server's lists and watches. Out: a filled [`ObjectStore`]. Always holds:
//! - the server streams the list where it can (KEP-3157: no more than one object at a time is in memory), else it is read in
//!   pages; either is what the cluster is now, not what a cache remembers;
//! - a watch that ends is taken up where it was; only a version that the API server will not continue from leads to a new list;
//! - few kinds list at the same time; no attempt follows another without a wait that grows;
//! - a kind that we have no right to, or that the server does not have, is switched off, and tried again now and then.
//!
//! This is not `watch.rs`: nodes list from the cache, all in one answer, of which they keep all; here whole answers would be
//! larger than all that is kept of them.

mod event;
mod intake;
mod requests;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use self::event::Event;
use self::intake::Intake;
use self::requests::{Events, Requests};
use super::change::Cause;
use super::kind::ObjectKind;
use super::store::ObjectStore;
use crate::backoff::{Backoff, jitter};
use crate::events::version;
use crate::failure::{Failure, Kind, Resource};
use crate::link::Link;

/// So many kinds list at the same time.
const LISTS: usize = 2;
/// A watch that is silent for so long is dead: there is a bookmark about once a minute.
const SILENT_FOR: Duration = Duration::from_secs(150);
/// A watch that lived so long was good.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// So many refusals of a watch in a row, and its version is given up (one from the future, after a restore of etcd, is
/// refused with 504 for ever).
const REFUSALS: u32 = 3;
/// After so long, and up to a tenth more, what is switched off is tried again.
const OFF_FOR: Duration = Duration::from_secs(10 * 60);

/// Follows all objects of some kinds.
#[derive(Clone)]
pub struct ObjectFollower {
    client: Client,
    link: Arc<Link>,
    kinds: Arc<[ObjectKind]>,
}

/// The work of one kind.
struct Following<'a> {
    client: &'a Client,
    link: &'a Link,
    kind: ObjectKind,
    intake: Intake<'a>,
    /// Who may list.
    turns: &'a Semaphore,
    /// Up to here all is in the store.
    version: u64,
}

/// How a watch ended.
enum End {
    /// It can be taken up where it was.
    Over,
    /// It cannot: list again.
    Expired,
    /// It did not begin.
    Refused(Failure),
}

// === impl ObjectFollower ===

impl ObjectFollower {
    pub(crate) fn new(client: Client, link: Arc<Link>, kinds: &[ObjectKind]) -> Self {
        // In the order of the enum, each once.
        let wanted = ObjectKind::ALL.iter().filter(|kind| kinds.contains(kind));
        Self { client, link, kinds: wanted.copied().collect() }
    }

    /// Fills `store` and keeps it so, until it is dropped.
    pub async fn run(self, store: Arc<ObjectStore>) {
        let turns = Semaphore::new(LISTS);
        let following = self.kinds.iter().map(|&kind| {
            store.follow(kind);
            Following {
                client: &self.client,
                link: &self.link,
                kind,
                intake: Intake { store: &store, link: &self.link, kind, odd: false },
                turns: &turns,
                version: 0,
            }
            .run()
        });
        join_all(following).await;
    }
}

// === impl Following ===

impl Following<'_> {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let ended = match self.list().await {
                Ok(events) => self.watch_on(events, &mut backoff).await,
                Err(failure) => Err(failure),
            };
            let wait = match ended {
                Ok(()) => backoff.next(None),
                // The server has forgotten the list in the middle of it.
                Err(failure) if failure.kind == Kind::gone => backoff.next(None),
                Err(failure) => {
                    let resource = self.resource();
                    self.link.failed(resource, &failure);
                    if matches!(failure.kind, Kind::forbidden | Kind::not_found) {
                        let remedy = failure.remedy(resource);
                        self.intake.store.switch_off(self.kind, failure.message, remedy);
                        backoff.reset();
                        OFF_FOR + jitter(OFF_FOR / 10)
                    } else {
                        backoff.next(failure.retry_after)
                    }
                }
            };
            sleep(wait).await;
        }
    }

    /// Puts all objects into the store; answers with the watch that goes on from there, if it has begun.
    async fn list(&mut self) -> Result<Option<Events>, Failure> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await;
        match self.streamed().await {
            Ok(Some(events)) => return Ok(Some(events)),
            Ok(None) => {}
            // 400 or 422 where it is not served; 500 within the watch where the storage lacks what it takes (an older etcd has no
            // RequestWatchProgress). In any other case the pages will tell.
            Err(failure) if failure.kind == Kind::server => {
                debug!(resource = %self.resource(), error = failure.message, "no streamed list");
            }
            Err(failure) => return Err(failure),
        }
        self.pages().await?;
        Ok(None)
    }

    /// A list that is streamed, and the watch that goes on from there; `None` when it has no end.
    async fn streamed(&mut self) -> Result<Option<Events>, Failure> {
        let mut events = self.requests().streamed_list().await?;
        Ok(self.stream(&mut events).await?.then_some(events))
    }

    /// Reads a list that is streamed; false when it has no end.
    async fn stream(&mut self, events: &mut Events) -> Result<bool, Failure> {
        self.intake.store.begin_list(self.kind);
        loop {
            // A server that does not know of streamed lists marks no bookmark, sends none or is silent.
            let Ok(Some(line)) = timeout(SILENT_FOR, events.next()).await else {
                return Ok(false);
            };
            match self.take(line, Cause::Listed)? {
                Some(true) => {
                    self.link.good(self.resource());
                    self.listed("streamed");
                    return Ok(true);
                }
                Some(false) => return Ok(false),
                None => {}
            }
        }
    }

    /// Reads a list page by page.
    async fn pages(&mut self) -> Result<(), Failure> {
        self.intake.store.begin_list(self.kind);
        let (mut next, mut backoff) = (String::new(), Backoff::new());
        loop {
            let page = match self.requests().page(&next).await {
                // Not from the first page again: that would be more work for a server that has too much.
                Err(failure) if failure.kind == Kind::too_many_requests && !next.is_empty() => {
                    self.link.failed(self.resource(), &failure);
                    sleep(backoff.next(failure.retry_after)).await;
                    continue;
                }
                page => page?,
            };
            self.link.good(self.resource());
            for object in &page.items {
                self.intake.found(object, Cause::Listed);
            }
            next = page.metadata.next;
            if next.is_empty() {
                self.version = version(&page.metadata.resource_version)?;
                self.listed("in pages");
                return Ok(());
            }
        }
    }

    fn listed(&self, how: &str) {
        self.intake.store.end_list(self.kind);
        self.link.metrics.count_relist(self.resource());
        let objects = self.intake.store.count(self.kind);
        debug!(resource = %self.resource(), objects, "listed, {how}");
    }

    /// Watches until a new list is needed, by `events` first.
    async fn watch_on(
        &mut self,
        mut events: Option<Events>,
        backoff: &mut Backoff,
    ) -> Result<(), Failure> {
        let mut refusals = 0;
        loop {
            let began = Instant::now();
            let end = match events.take() {
                Some(events) => self.watch(events).await,
                None => match self.requests().watch(self.version).await {
                    Ok(events) => {
                        self.link.good(self.resource());
                        self.watch(events).await
                    }
                    Err(failure) if failure.kind == Kind::gone => End::Expired,
                    Err(failure) => End::Refused(failure),
                },
            };
            if began.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let wait = match end {
                End::Over => {
                    refusals = 0;
                    None
                }
                End::Expired => return Ok(()),
                End::Refused(failure) => {
                    refusals += u32::from(failure.kind == Kind::server);
                    let off = matches!(failure.kind, Kind::forbidden | Kind::not_found);
                    if off || refusals >= REFUSALS {
                        return Err(failure);
                    }
                    self.link.failed(self.resource(), &failure);
                    failure.retry_after
                }
            };
            sleep(backoff.next(wait)).await;
            self.link.metrics.count_watch_restart(self.resource());
        }
    }

    /// One watch, to its end.
    async fn watch(&mut self, mut events: Events) -> End {
        loop {
            let taken = match timeout(SILENT_FOR, events.next()).await {
                Ok(Some(line)) => self.take(line, Cause::Watched),
                Ok(None) => return End::Over,
                Err(_silent) => {
                    debug!(resource = %self.resource(), "the watch is silent: taking it up again");
                    return End::Over;
                }
            };
            match taken {
                Ok(_) => {}
                Err(failure) if failure.kind == Kind::gone => return End::Expired,
                Err(failure) => {
                    let error = failure.message;
                    debug!(resource = %self.resource(), error, "the watch has broken");
                    self.link.metrics.count_error(self.resource(), failure.kind);
                    return End::Over;
                }
            }
        }
    }

    /// Takes a line of a watch; answers whether it is a bookmark, and if so whether it ends a list.
    fn take(&mut self, line: io::Result<String>, cause: Cause) -> Result<Option<bool>, Failure> {
        let line = line.map_err(kube::Error::ReadEvents)?;
        let (seen, bookmark) = match Event::read(&line) {
            Ok(Event::Found(object)) => (self.intake.found(object, cause), None),
            Ok(Event::Deleted(object)) => (self.intake.deleted(object), None),
            Ok(Event::Bookmark { version, ends_list }) => (version, Some(ends_list)),
            Ok(Event::CutOff) => (0, None),
            // One that cannot be read does not hide the others.
            Err(failure) if failure.kind == Kind::decode => {
                self.link.metrics.count_error(self.resource(), failure.kind);
                let error = failure.message;
                debug!(resource = %self.resource(), error, "a line of the watch is left out");
                (0, None)
            }
            Err(failure) => return Err(failure),
        };
        // Those of a list are in no order: only its end says how far it is.
        if seen != 0 && (cause == Cause::Watched || bookmark == Some(true)) {
            self.version = seen;
        }
        Ok(bookmark)
    }

    fn requests(&self) -> Requests<'_> {
        Requests { client: self.client, kind: self.kind }
    }

    fn resource(&self) -> Resource {
        Resource::all(self.kind)
    }
}
