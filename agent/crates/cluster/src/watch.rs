//! One list, then watching on from there: a resource's state, kept up to date.
//!
//! In: the API server's lists and watches. Out: calls of a [`Sink`]. Always holds: lists carry `resourceVersion=0`,
//! so that the API server answers from its watch cache however many nodes ask (and never reads etcd for us); no
//! attempt follows another without a wait that grows; a watch that ends is taken up where it was, and only a resource
//! version that the API server will not continue from (410) leads to a new list.
//!
//! This is not `kube::runtime::watcher`: that one drops `resourceVersion=0` from a list that has a limit, never
//! leaves a resource version that is refused when the watch starts, and starts anew without a wait when a watch ends
//! at once.

use std::pin::pin;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Client;
use kube::api::{ListParams, Request, WatchEvent, WatchParams};
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::backoff::Backoff;
use crate::failure::{Failure, Kind, Resource};
use crate::link::Link;
use crate::object::{List, Watched};

/// How long a list may take, and a watch until it begins.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long the API server lets a watch run; client-go asks for 5 to 10 minutes.
const WATCH_SECONDS: u32 = 290;

/// A watch that is silent for so long is dead: with bookmarks the API server says something about once a minute
/// (`defaultBookmarkFrequency` in apiserver/pkg/storage/cacher). Taking it up again costs little.
const SILENT_FOR: Duration = Duration::from_secs(150);

/// A watch that lived so long was good.
const GOOD_AFTER: Duration = Duration::from_secs(10);

/// So many refusals of a watch in a row, and its resource version is given up (one from the future, after a restore
/// of etcd, is refused with 504 for ever).
const REFUSALS: u32 = 3;

/// Takes what a watch finds.
pub(crate) trait Sink<K>: Send {
    /// These are all objects there are.
    fn replace(&mut self, all: Vec<K>);
    /// An object was added or has changed.
    fn apply(&mut self, object: K);
    /// An object was deleted; this is its last state.
    fn delete(&mut self, object: K);
    /// The API server said something.
    fn heard(&mut self) {}
}

/// A watch of the objects of one resource that match a field selector.
pub(crate) struct Watch<'a> {
    pub(crate) client: Client,
    pub(crate) resource: Resource,
    pub(crate) field_selector: String,
    pub(crate) link: &'a Link,
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

impl Watch<'_> {
    /// Lists and watches for ever.
    pub(crate) async fn run<K: Watched>(self, mut sink: impl Sink<K>) {
        let mut backoff = Backoff::new();
        loop {
            let wait = match self.list(&mut sink).await {
                Ok(version) => {
                    self.follow(version, &mut sink, &mut backoff).await;
                    None
                }
                Err(failure) => {
                    self.link.failed(self.resource, &failure);
                    failure.retry_after
                }
            };
            sleep(backoff.next(wait)).await;
        }
    }

    /// Gives the sink all objects; answers with the resource version to watch from.
    async fn list<K: Watched>(&self, sink: &mut impl Sink<K>) -> Result<String, Failure> {
        // No limit: kube leaves resourceVersion=0 out beside one, and the watch cache would not heed it.
        let params = ListParams::default().fields(&self.field_selector).match_any();
        let request = Request::new(K::PATH).list(&params).map_err(kube::Error::BuildRequest)?;
        let answer = timeout(ANSWER_WITHIN, self.client.request::<List<K>>(request)).await;
        let list = answer.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))??;
        self.link.good(self.resource);
        self.link.metrics.count_relist(self.resource);
        debug!(resource = ?self.resource, objects = list.items.len(), "listed");
        sink.heard();
        sink.replace(list.items);
        Ok(list.metadata.resource_version)
    }

    /// Watches on from `version` until a new list is needed.
    async fn follow<K: Watched>(
        &self,
        mut version: String,
        sink: &mut impl Sink<K>,
        backoff: &mut Backoff,
    ) {
        let mut refusals = 0;
        loop {
            let began = Instant::now();
            let end = self.watch(&mut version, sink).await;
            if began.elapsed() >= GOOD_AFTER {
                backoff.reset();
            }
            let wait = match end {
                End::Over => {
                    refusals = 0;
                    None
                }
                End::Expired => return,
                End::Refused(failure) => {
                    self.link.failed(self.resource, &failure);
                    refusals += u32::from(failure.kind == Kind::server);
                    if refusals >= REFUSALS {
                        return;
                    }
                    failure.retry_after
                }
            };
            sleep(backoff.next(wait)).await;
            self.link.metrics.count_watch_restart(self.resource);
        }
    }

    /// One watch, from its begin to its end.
    async fn watch<K: Watched>(&self, version: &mut String, sink: &mut impl Sink<K>) -> End {
        let began = timeout(ANSWER_WITHIN, self.begin(version)).await;
        let events = match began.unwrap_or_else(|_| Err(Failure::timeout(ANSWER_WITHIN))) {
            Ok(events) => events,
            Err(failure) if failure.kind == Kind::gone => return End::Expired,
            Err(failure) => return End::Refused(failure),
        };
        self.link.good(self.resource);
        let mut events = pin!(events);
        loop {
            let failure = match timeout(SILENT_FOR, events.next()).await {
                Ok(Some(Ok(event))) => match take(event, version, sink) {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
                Ok(Some(Err(error))) => Failure::from(error),
                Ok(None) => return End::Over,
                Err(_silent) => {
                    debug!(resource = ?self.resource, "the watch is silent: taking it up again");
                    return End::Over;
                }
            };
            debug!(resource = ?self.resource, error = failure.message, "the watch has broken");
            match failure.kind {
                Kind::gone => return End::Expired,
                // One object that cannot be read does not hide the others.
                Kind::decode => self.link.metrics.count_error(self.resource, failure.kind),
                kind => {
                    self.link.metrics.count_error(self.resource, kind);
                    return End::Over;
                }
            }
        }
    }

    async fn begin<K: Watched>(
        &self,
        version: &str,
    ) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>> + use<K>, Failure> {
        // Bookmarks are on by default.
        let params = WatchParams::default().fields(&self.field_selector).timeout(WATCH_SECONDS);
        let request =
            Request::new(K::PATH).watch(&params, version).map_err(kube::Error::BuildRequest)?;
        Ok(self.client.request_events::<K>(request).await?)
    }
}

fn take<K: Watched>(
    event: WatchEvent<K>,
    version: &mut String,
    sink: &mut impl Sink<K>,
) -> Result<(), Failure> {
    sink.heard();
    let seen = match &event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) | WatchEvent::Deleted(object) => {
            object.resource_version()
        }
        WatchEvent::Bookmark(bookmark) => &bookmark.metadata.resource_version,
        WatchEvent::Error(status) => return Err(Failure::from(status.as_ref())),
    };
    if !seen.is_empty() {
        seen.clone_into(version);
    }
    match event {
        WatchEvent::Added(object) | WatchEvent::Modified(object) => sink.apply(object),
        WatchEvent::Deleted(object) => sink.delete(object),
        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => {}
    }
    Ok(())
}
