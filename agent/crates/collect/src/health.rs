//! How a collector does: for `/status`, and for one line in the log when it changes.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::collector::CollectError;

/// How a collector does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It has not read yet.
    Waiting,
    /// It reads.
    Ok,
    /// What it tells is not to be had on this host, or not from here.
    Unavailable,
    /// It could not read something.
    Failing,
}

/// A collector in numbers. Counts are since the start of the process.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectorStatus {
    /// Its name.
    pub name: &'static str,
    /// How it does.
    pub state: State,
    /// Why, if it does not do well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How often it reads, in seconds.
    pub interval_seconds: f64,
    /// How long it took the last time, in seconds.
    pub duration_seconds: f64,
    /// Since when it has been reading, seconds since the epoch, if it does so now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reading_since: Option<f64>,
    /// Data points of the last time.
    pub points: usize,
    /// Times that it could not read something.
    pub errors: u64,
    /// Ticks that it left out because it was still reading.
    pub skipped: u64,
}

/// What is remembered of a collector from tick to tick.
#[derive(Debug)]
pub(crate) struct Health {
    status: CollectorStatus,
}

impl Health {
    pub(crate) fn new(name: &'static str, interval: Duration) -> Self {
        Self {
            status: CollectorStatus {
                name,
                state: State::Waiting,
                message: None,
                interval_seconds: interval.as_secs_f64(),
                duration_seconds: 0.0,
                reading_since: None,
                points: 0,
                errors: 0,
                skipped: 0,
            },
        }
    }

    pub(crate) fn status(&self) -> CollectorStatus {
        self.status.clone()
    }

    pub(crate) fn begun(&mut self) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.status.reading_since = Some(now.as_secs_f64());
    }

    pub(crate) fn skipped(&mut self) {
        self.status.skipped += 1;
    }

    /// Takes what came of a tick; says it in the log if it is not what came of the last one. True if it is an error.
    pub(crate) fn ended(
        &mut self,
        took: Duration,
        points: usize,
        outcome: Result<(), &CollectError>,
    ) -> bool {
        let status = &mut self.status;
        status.reading_since = None;
        status.duration_seconds = took.as_secs_f64();
        status.points = points;
        let (state, message) = match outcome {
            Ok(()) => (State::Ok, None),
            Err(error @ CollectError::Unavailable(_)) => {
                (State::Unavailable, Some(error.to_string()))
            }
            Err(error) => (State::Failing, Some(error.to_string())),
        };
        if message != status.message {
            let collector = status.name;
            match (&message, state) {
                (Some(message), State::Failing) => {
                    tracing::warn!(collector, message, "cannot read everything");
                }
                // What an admin can change is said. Of most hardware there is none: the status tells it.
                (Some(message), _) if matches!(collector, "container" | "kubelet" | "pod") => {
                    tracing::info!(collector, message, "not available here");
                }
                (Some(message), _) => tracing::debug!(collector, message, "not available here"),
                (None, _) => tracing::info!(collector, "reads everything again"),
            }
        }
        status.state = state;
        status.message = message;
        let failed = state == State::Failing;
        status.errors += u64::from(failed);
        failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_no_error_and_what_fails_is() {
        let mut health = Health::new("a", Duration::from_secs(15));
        let gone = CollectError::Unavailable("no such kernel".to_owned());
        assert!(!health.ended(Duration::ZERO, 0, Err(&gone)));
        assert_eq!((health.status().state, health.status().errors), (State::Unavailable, 0));
        let broken = CollectError::Failed("broken".to_owned());
        assert!(health.ended(Duration::ZERO, 3, Err(&broken)));
        assert!(health.ended(Duration::ZERO, 3, Err(&broken)));
        assert_eq!((health.status().state, health.status().errors), (State::Failing, 2));
        assert_eq!(health.status().message.as_deref(), Some("broken"));
        assert!(!health.ended(Duration::ZERO, 4, Ok(())));
        assert_eq!((health.status().state, health.status().message), (State::Ok, None));
    }
}
