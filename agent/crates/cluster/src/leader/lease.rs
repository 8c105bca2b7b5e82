//! The Lease, as one candidate sees it.
//!
//! In: looks and writes. Out: how it stands, and whether a write was taken. Always: a write is an update of the version
//! that was seen last, so that the API server refuses whoever missed something (409); whether a holder is still there is
//! told by whether the Lease changes, measured by this process' own clock, never by the times that stand in it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease as Object;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, timeout};

use super::progress::Progress;
use crate::failure::Failure;

/// How long a request may take; a renewal has its deadline besides.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A Lease that was deleted is made again after this time.
const GONE_FOR: Duration = Duration::from_secs(3);

/// How far the leader got.
const PROGRESS: &str = "hawsepipe.dev/progress";
/// How many there are that could lead, as the leader counted them.
const CANDIDATES: &str = "hawsepipe.dev/candidates";

/// How the Lease stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody holds it, or it was never there.
    Free,
    /// It was there, and is deleted since a moment: whoever uninstalls this deletes it too, and will tell this process.
    Gone,
    /// This process holds it.
    Mine,
    /// Another one does.
    Held {
        /// Its identity.
        by: String,
        /// It has not renewed for as long as it said that it would.
        silent: bool,
    },
}

/// What a write says.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    /// `None`: what stands there stays.
    pub(super) progress: Option<Progress>,
    /// `None`: what stands there stays.
    pub(super) candidates: Option<u64>,
}

#[derive(Debug)]
struct Seen {
    lease: Object,
    /// Since when it looks like this.
    since: Instant,
}

/// The Lease, as one candidate sees it.
pub(super) struct Lease {
    api: Api<Object>,
    name: String,
    identity: String,
    /// What others wait for before they take it from this process.
    duration: Duration,
    /// `None`: it was not there.
    seen: Option<Seen>,
    /// Since when it is not there any more.
    gone: Option<Instant>,
}

// === impl Lease ===

impl Lease {
    pub(super) fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        duration: Duration,
    ) -> Self {
        let (name, identity) = (name.to_owned(), identity.to_owned());
        Self {
            api: Api::namespaced(client, namespace),
            name,
            identity,
            duration,
            seen: None,
            gone: None,
        }
    }

    /// Looks at it.
    pub(super) async fn look(&mut self) -> Result<Standing, Failure> {
        let Some(lease) = within(self.api.get_opt(&self.name)).await?? else {
            if self.seen.take().is_some() {
                self.gone = Some(Instant::now());
            }
            let lately = self.gone.is_some_and(|since| since.elapsed() < GONE_FOR);
            return Ok(if lately { Standing::Gone } else { Standing::Free });
        };
        self.see(lease);
        Ok(self.standing())
    }

    /// Takes it, where it is free, its holder is silent, or it is this process' already. With when that was sent; `None`
    /// when somebody was faster: look again.
    pub(super) async fn take(&mut self) -> Result<Option<Instant>, Failure> {
        self.write(self.identity.clone(), self.duration, Words::default()).await
    }

    /// Says that this process is there. With when that was sent; `None` when somebody has changed it: look again.
    pub(super) async fn renew(&mut self, words: Words) -> Result<Option<Instant>, Failure> {
        self.write(self.identity.clone(), self.duration, words).await
    }

    /// Gives it back, so that nobody has to wait. As client-go does: no holder, and a second of duration.
    pub(super) async fn give_back(&mut self, words: Words) -> Result<Option<Instant>, Failure> {
        self.write(String::new(), Duration::from_secs(1), words).await
    }

    /// How far the leader got, as it stands there. An error: it is there and cannot be read.
    pub(super) fn progress(&self) -> Result<Option<Progress>, String> {
        self.annotation(PROGRESS).map(Progress::parse).transpose()
    }

    /// How many could lead; 1 where nobody counts.
    pub(super) fn candidates(&self) -> u64 {
        self.annotation(CANDIDATES).and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// Whether it is there, as far as was seen.
    pub(super) fn is_there(&self) -> bool {
        self.seen.is_some()
    }

    /// How often it went from one holder to another.
    pub(super) fn transitions(&self) -> i32 {
        let spec = self.seen.as_ref().and_then(|seen| seen.lease.spec.as_ref());
        spec.and_then(|spec| spec.lease_transitions).unwrap_or(0)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        let annotations = self.seen.as_ref()?.lease.metadata.annotations.as_ref()?;
        annotations.get(key).map(String::as_str)
    }

    fn see(&mut self, lease: Object) {
        // Its version says it; after a backup was restored the same version may stand on something else.
        self.gone = None;
        if self.seen.as_ref().is_none_or(|seen| seen.lease != lease) {
            self.seen = Some(Seen { lease, since: Instant::now() });
        }
    }

    fn standing(&self) -> Standing {
        let Some(seen) = &self.seen else { return Standing::Free };
        let spec = seen.lease.spec.as_ref();
        let by = spec.and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        if by.is_empty() {
            return Standing::Free;
        }
        if by == self.identity {
            return Standing::Mine;
        }
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
        let seconds = u64::try_from(seconds).unwrap_or(0);
        // Whoever wrote something shorter may be us in another version, or a person: our own patience is the least.
        let patience = Duration::from_secs(seconds).max(self.duration);
        Standing::Held { by, silent: seen.since.elapsed() >= patience }
    }

    async fn write(
        &mut self,
        holder: String,
        duration: Duration,
        words: Words,
    ) -> Result<Option<Instant>, Failure> {
        let known = self.seen.as_ref().map(|seen| seen.lease.clone());
        let is_new = known.is_none();
        let mut lease = known.unwrap_or_default();
        lease.metadata.name = Some(self.name.clone());
        write_words(lease.metadata.annotations.get_or_insert_default(), &words);
        let spec = lease.spec.get_or_insert_default();
        let now = Some(MicroTime(Timestamp::now()));
        let before = spec.holder_identity.replace(holder.clone()).unwrap_or_default();
        if before != holder {
            spec.acquire_time.clone_from(&now);
            // As client-go counts: it is given back within the same holder's time.
            if !holder.is_empty() {
                let counted = spec.lease_transitions.map_or(0, |count| count.saturating_add(1));
                spec.lease_transitions = Some(counted);
            }
        }
        spec.renew_time = now;
        spec.lease_duration_seconds = i32::try_from(duration.as_secs()).ok();
        let (params, sent) = (PostParams::default(), Instant::now());
        let written = if is_new {
            within(self.api.create(&params, &lease)).await?
        } else {
            within(self.api.replace(&self.name, &params, &lease)).await?
        };
        match written {
            Ok(lease) => {
                self.see(lease);
                Ok(Some(sent))
            }
            // Another version stands there, or it was made meanwhile; or it is gone.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 404 && !is_new => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

fn write_words(annotations: &mut BTreeMap<String, String>, words: &Words) {
    if let Some(progress) = &words.progress {
        annotations.insert(PROGRESS.to_owned(), progress.to_text());
    }
    if let Some(candidates) = words.candidates {
        annotations.insert(CANDIDATES.to_owned(), candidates.to_string());
    }
}

async fn within<T>(request: impl Future<Output = T>) -> Result<T, Failure> {
    timeout(ANSWER_WITHIN, request).await.map_err(|_elapsed| Failure::timeout(ANSWER_WITHIN))
}
