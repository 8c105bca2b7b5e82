//! All chosen collectors at work.
//!
//! In: [`Settings`]. Out: frames in the sink, tick after tick, until it is told to stop; how each collector does.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::{FrameSink, PodDirectory, PreferredCodec};
use tokio_util::sync::CancellationToken;

use crate::health::CollectorStatus;
use crate::metrics::Metrics;
use crate::round::{Member, Round};
use crate::schedule;
use crate::settings::Settings;
use crate::tick::{Sources, now_unix_nano};
use crate::writer::Outlet;

/// The longest that is slept at once: when the clock is set back, ticks go on after this.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Collectors at work.
pub struct Collection {
    sources: Arc<Sources>,
    outlet: Arc<Outlet>,
    members: Arc<[Arc<Member>]>,
    offset: u64,
}

/// Tells how the collectors do.
#[derive(Clone)]
pub struct Status {
    members: Arc<[Arc<Member>]>,
}

impl Status {
    /// How each does, by name.
    #[must_use]
    pub fn get(&self) -> Vec<CollectorStatus> {
        self.members.iter().map(|member| member.health.lock().status()).collect()
    }
}

impl Collection {
    /// Puts the chosen collectors together; [`run`](Self::run) makes them read.
    #[must_use]
    pub fn new(
        settings: Settings,
        sink: Arc<dyn FrameSink>,
        pods: Arc<dyn PodDirectory>,
        codec: Arc<PreferredCodec>,
        metrics: Metrics,
    ) -> Self {
        let Settings { sources, choices, interval, node_name, attributes } = settings;
        let of_host = sources.attributes();
        let host_name = of_host.str("host.name").unwrap_or_default();
        let name = if node_name.is_empty() { host_name } else { &node_name };
        let offset = schedule::offset(name, interval);
        // One whose metrics are all unwanted has nothing to read.
        let choices = choices.into_iter().filter(|choice| choice.wanted.contains(&true));
        let members = choices.map(|choice| Arc::new(Member::new(choice, &metrics))).collect();
        Self {
            sources: Arc::new(sources.with_pods(Arc::clone(&pods))),
            outlet: Arc::new(Outlet { sink, codec, pods, attributes, metrics }),
            members,
            offset,
        }
    }

    /// Tells how the collectors do, also while they run.
    #[must_use]
    pub fn status(&self) -> Status {
        Status { members: Arc::clone(&self.members) }
    }

    /// Reads until `cancel`. What is read then is left to itself.
    pub async fn run(self, cancel: CancellationToken) {
        let now = now_unix_nano();
        let mut due: Vec<u64> = self.members.iter().map(|member| self.next(member, now)).collect();
        loop {
            let now = now_unix_nano();
            let Some(next) = due.iter().min() else { return cancel.cancelled().await };
            let sleep = Duration::from_nanos(next.saturating_sub(now)).min(LONGEST_SLEEP);
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
            }
            let now = now_unix_nano();
            let mut round = Vec::new();
            for (member, due) in self.members.iter().zip(&mut due) {
                let next = self.next(member, now);
                if *due <= now {
                    round.push(Arc::clone(member));
                    *due = next;
                } else {
                    // Sooner than it was only when the clock was set back.
                    *due = next.min(*due);
                }
            }
            if round.is_empty() {
                continue;
            }
            let (sources, outlet) = (Arc::clone(&self.sources), Arc::clone(&self.outlet));
            let round = Arc::new(Round::new(sources, outlet, round.into_iter()));
            tokio::select! {
                () = cancel.cancelled() => return,
                () = round.run() => {}
            }
        }
    }

    fn next(&self, member: &Member, now: u64) -> u64 {
        schedule::next(now, member.choice.interval, self.offset)
    }
}

#[cfg(test)]
mod tests;
