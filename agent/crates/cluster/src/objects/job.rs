//! Jobs and CronJobs.

use serde::{Deserialize, Deserializer};

use super::meta::{ObjectMeta, Time, time};
use super::parts::{Conditions, words};
use super::text::Text;
use crate::object::{MetaOnly, or_default};

/// A Job.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Job {
    /// Who it is; of a CronJob's Job [`ObjectMeta::cronjob_scheduled`] says when it was scheduled for.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: JobSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: JobStatus,
}

/// `spec` of a Job.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobSpec {
    /// How many pods are to succeed; `None`: one success is the Job's, however many run.
    pub completions: Option<i32>,
    /// How many pods may run at once.
    pub parallelism: Option<i32>,
    /// How often it is tried again before it has failed.
    pub backoff_limit: Option<i32>,
    /// For how many seconds it may run.
    pub active_deadline_seconds: Option<i64>,
    /// Whether it is held.
    #[serde(deserialize_with = "or_default")]
    pub suspend: bool,
}

/// `status` of a Job.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobStatus {
    /// Pods that are pending or run.
    #[serde(deserialize_with = "or_default")]
    pub active: i32,
    /// Those of them that are ready.
    #[serde(deserialize_with = "or_default")]
    pub ready: i32,
    /// Pods that have succeeded.
    #[serde(deserialize_with = "or_default")]
    pub succeeded: i32,
    /// Pods that have failed.
    #[serde(deserialize_with = "or_default")]
    pub failed: i32,
    /// When the controller took it; again when it is resumed.
    #[serde(deserialize_with = "time")]
    pub start_time: Option<Time>,
    /// When it succeeded.
    #[serde(deserialize_with = "time")]
    pub completion_time: Option<Time>,
    /// `Complete`, `Failed` (the reason says why: `BackoffLimitExceeded`, `DeadlineExceeded`, ..), `Suspended`,
    /// `SuccessCriteriaMet`, `FailureTarget`.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Conditions,
}

/// A CronJob.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct CronJob {
    /// Who it is.
    #[serde(deserialize_with = "or_default")]
    pub metadata: ObjectMeta,
    /// What is asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: CronJobSpec,
    /// How it is.
    #[serde(deserialize_with = "or_default")]
    pub status: CronJobStatus,
}

/// `spec` of a CronJob.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJobSpec {
    /// When, as Cron writes it.
    #[serde(deserialize_with = "or_default")]
    pub schedule: Text,
    /// In which time zone (IANA); empty: the controller manager's.
    #[serde(deserialize_with = "or_default")]
    pub time_zone: Text,
    /// So many seconds late it is still started; `None`: however late.
    pub starting_deadline_seconds: Option<i64>,
    /// What is done when the Job before still runs.
    #[serde(deserialize_with = "or_default")]
    pub concurrency_policy: ConcurrencyPolicy,
    /// Whether it is held.
    #[serde(deserialize_with = "or_default")]
    pub suspend: bool,
}

words! {
    /// `spec.concurrencyPolicy` of a CronJob.
    ConcurrencyPolicy {
        /// They run side by side.
        Allow = "Allow",
        /// The new one is left out.
        Forbid,
        /// The old one is deleted.
        Replace,
    }
}

/// `status` of a CronJob.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronJobStatus {
    /// How many of its Jobs run.
    #[serde(deserialize_with = "count")]
    pub active: u32,
    /// When it last made a Job.
    #[serde(deserialize_with = "time")]
    pub last_schedule_time: Option<Time>,
    /// When one of its Jobs last succeeded.
    #[serde(deserialize_with = "time")]
    pub last_successful_time: Option<Time>,
}

// === impl Job ===

impl Job {
    /// Whether its last word is that it succeeded (`Some(true)`) or failed; `None` as long as it has not ended.
    #[must_use]
    pub fn succeeded(&self) -> Option<bool> {
        use super::parts::ConditionStatus::True;
        let holds = |kind| self.status.conditions.status(kind) == True;
        holds("Complete").then_some(true).or_else(|| holds("Failed").then_some(false))
    }
}

fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let active: Vec<MetaOnly> = or_default(deserializer)?;
    Ok(u32::try_from(active.len()).unwrap_or(u32::MAX))
}
