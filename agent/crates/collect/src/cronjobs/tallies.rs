//! How often a job did what, in this term.
//!
//! In: the heartbeats that are told. Out: numbers for the collector `cluster_heartbeats`. Always: nothing is told while this process does not lead.

use std::collections::BTreeMap;
use std::sync::Arc;

use hawsepipe_model::Attributes;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::known::Known;
use super::whose::Whose;
use crate::heartbeats::{Heartbeat, State};

/// How often each job did what in the term that is at work, if there is one: for the collector `cluster_heartbeats`.
#[derive(Debug, Default)]
pub struct JobTallies(pub(super) Mutex<Option<Arc<Known>>>);

/// Of a CronJob, or of a Job without one.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(super) whose: Whose,
    /// Heartbeats by state.
    pub(crate) counts: BTreeMap<State, u64>,
    /// Runs that began and did not end.
    pub(crate) active: u64,
    pub(crate) last_success: Option<Timestamp>,
    /// Of the run that ended last, in seconds.
    pub(crate) last_duration: Option<f64>,
}

// === impl JobTallies ===

impl JobTallies {
    /// Each job, and since when it is counted; none while no term is at work.
    pub(crate) fn all(&self) -> Vec<(Tally, Timestamp)> {
        let known = self.0.lock().clone();
        known.map(|known| known.tallies()).unwrap_or_default()
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn of(whose: Whose) -> Self {
        let (counts, last_success, last_duration) = (BTreeMap::new(), None, None);
        Self { whose, counts, active: 0, last_success, last_duration }
    }

    /// `hawsepipe.job.name`.
    pub(crate) fn name(&self) -> String {
        self.whose.name()
    }

    /// The CronJob, or the Job.
    pub(crate) fn resource(&self) -> Attributes {
        self.whose.resource(None, &Attributes::new())
    }

    /// A heartbeat is told.
    pub(super) fn see(&mut self, heartbeat: &Heartbeat) {
        *self.counts.entry(heartbeat.state).or_default() += heartbeat.times;
        if heartbeat.state == State::Succeeded {
            self.last_success = self.last_success.max(Some(heartbeat.time));
        }
        self.last_duration = heartbeat.duration.or(self.last_duration);
    }
}
