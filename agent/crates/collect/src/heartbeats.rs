//! Heartbeats of jobs that are not Kubernetes': when one started, how it ended, when it should have started and did not.
//!
//! In: [`Beat`]s, and the time. Out: log records in a lane, and what the collector `job` tells ([`Jobs`]). Always:
//! - a beat is taken when the lane has it on the disk, and changes nothing when it has not;
//! - what is known of the jobs is in a file, before the sender is answered, so that a restart forgets neither a run nor a
//!   schedule; of what was missed while no agent ran it is told then;
//! - a run is told of once, however often it is reported, and a scheduled time too.

mod beat;
mod book;
mod job;
mod record;
mod schedule;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

use hawsepipe_model::codec::CodecError;
use hawsepipe_model::{AppendError, Attributes, FrameSink, PodDirectory, PreferredCodec};
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

pub use self::beat::{BadBeat, Beat, DEFAULT_GRACE, JobName, Plan, Report, Said, State};
pub use self::book::{BookError, Jobs};
use self::job::Job;
pub(crate) use self::job::{Heartbeat, Lines};
pub(crate) use self::record::push;
pub use self::schedule::{Schedule, ScheduleError};
pub(crate) use self::watch::{LATE_PART, Missed};
use crate::tick::Sources;

/// What is wanted of heartbeats.
#[derive(Debug)]
pub struct HeartbeatSettings {
    /// The file that keeps what is known of the jobs.
    pub file: PathBuf,
    /// Jobs that have a schedule by the configuration.
    pub plans: Vec<(JobName, Plan)>,
    /// What the host says of itself.
    pub sources: Sources,
    /// Attributes that are added to everything; they win.
    pub attributes: Attributes,
}

/// Why a beat was not taken. It may be sent again.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The lane is full.
    #[error("what waits to be sent fills spool.pushed.maxBytes; send it again later")]
    Full,
    /// It cannot be compressed.
    #[error("cannot compress the heartbeat: {0}; send it again later")]
    Codec(#[from] CodecError),
}

/// Takes beats, and looks what is missed.
pub struct Heartbeats {
    jobs: Arc<Jobs>,
    sink: Arc<dyn FrameSink>,
    codec: Arc<PreferredCodec>,
    pods: Arc<dyn PodDirectory>,
    sources: Sources,
    attributes: Attributes,
    /// Held while the end of a run is taken that does not say which: two at a time are of two runs.
    nameless: Mutex<()>,
    /// When this process began to look.
    since: Timestamp,
    taken: Counter,
    refused: Counter,
}

// === impl Heartbeats ===

impl Heartbeats {
    /// Goes on with what the file knows; it may block on the disk.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn open(
        settings: HeartbeatSettings,
        sink: Arc<dyn FrameSink>,
        codec: Arc<PreferredCodec>,
        pods: Arc<dyn PodDirectory>,
    ) -> Result<Self, BookError> {
        let HeartbeatSettings { file, plans, sources, attributes } = settings;
        let since = Timestamp::now();
        let jobs = Arc::new(Jobs::open(file, &plans, since)?);
        let (taken, refused) = (Counter::default(), Counter::default());
        let nameless = Mutex::default();
        Ok(Self { jobs, sink, codec, pods, sources, attributes, nameless, since, taken, refused })
    }

    /// What is known of the jobs, for the collector `job`.
    #[must_use]
    pub fn jobs(&self) -> Arc<Jobs> {
        Arc::clone(&self.jobs)
    }

    /// Registers its counters; `registry` is the agent's, with its prefix `hawsepipe`.
    pub fn register(&self, registry: &mut Registry) {
        let heartbeats = registry.sub_registry_with_prefix("heartbeats");
        let help = "Heartbeats of jobs that were put into the spool";
        heartbeats.register("records", help, self.taken.clone());
        let help = "Heartbeats that the spool had no room for; their senders were told";
        heartbeats.register("refused", help, self.refused.clone());
        let help = "Jobs that were forgotten because there are too many";
        heartbeats.register("forgotten_jobs", help, self.jobs.forgotten.clone());
    }

    /// Takes a beat: when it returns, the beat is on the disk. The identity of its run. It blocks.
    ///
    /// # Errors
    /// When it was not taken.
    pub fn take(&self, beat: &Beat) -> Result<String, NotTaken> {
        let is_nameless = beat.run.is_none() && beat.report != Report::Start;
        let _turn = is_nameless.then(|| self.nameless.lock());
        let known = match (&beat.run, beat.report) {
            (Some(run), _) => Some(run.clone()),
            (None, Report::Start) => None,
            (None, Report::Success | Report::Fail) => self.jobs.last_open(&beat.job),
        };
        let run = known.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        self.tell(&beat.job, |job| job.take(beat, &run))?;
        Ok(run)
    }

    /// Tells what is missed by `now`. It blocks.
    pub fn look(&self, now: Timestamp) {
        for name in self.jobs.due(now) {
            if let Err(error) = self.tell(&name, |job| job.look(now, self.since)) {
                tracing::debug!(job = %name, %error, "what is missed is told later");
            }
        }
    }

    /// Tries a step on a copy of the job, sends what it tells, and then does it.
    fn tell(
        &self,
        name: &JobName,
        step: impl Fn(&mut Job) -> Vec<Heartbeat>,
    ) -> Result<(), NotTaken> {
        let heartbeats = step(&mut self.jobs.copy(name));
        let frame = if heartbeats.is_empty() {
            None
        } else {
            record::frame(name.as_str(), &heartbeats, &self.resource(), self.codec.get())?
        };
        if let Some(frame) = frame {
            let records = frame.records;
            match self.sink.append(frame) {
                Ok(()) => _ = self.taken.inc_by(records),
                Err(AppendError::Full(_) | AppendError::TooLarge { .. }) => {
                    self.refused.inc_by(records);
                    return Err(NotTaken::Full);
                }
            }
        }
        self.jobs.change(name, |job| drop(step(job)));
        Ok(())
    }

    /// The host.
    fn resource(&self) -> Attributes {
        let mut resource = self.sources.attributes();
        resource.extend(&self.pods.node().attributes);
        resource.extend(&self.attributes);
        resource
    }
}

#[cfg(test)]
mod tests;
