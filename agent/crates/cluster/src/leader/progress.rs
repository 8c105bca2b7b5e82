//! How far a leader got, as it is kept on the Lease.
//!
//! In: JSON of an annotation. Out: the same. Always: small; what a newer version wrote is not guessed at.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The form of what is written.
const VERSION: u32 = 1;

/// How far a leader got: what was acknowledged by the destinations that block, and is not done again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    version: u32,
    /// How far it got with events.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsProgress>,
    /// Heartbeats of CronJobs and Jobs up to here were delivered, by the leader's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeats: Option<Timestamp>,
}

/// How far events were delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventsProgress {
    /// Everything up to this version of the API server's was delivered.
    pub resource_version: u64,
    /// When it was reached, by the leader's clock.
    pub time: Timestamp,
}

// === impl Progress ===

impl Progress {
    /// So far with events.
    #[must_use]
    pub fn of_events(events: EventsProgress) -> Self {
        Self { version: VERSION, events: Some(events), heartbeats: None }
    }

    /// So far with heartbeats.
    #[must_use]
    pub fn of_heartbeats(heartbeats: Timestamp) -> Self {
        Self { version: VERSION, events: None, heartbeats: Some(heartbeats) }
    }

    /// What this one says, and what it says nothing of as the other one says it.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            version: VERSION,
            events: self.events.or(other.events),
            heartbeats: self.heartbeats.or(other.heartbeats),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Form {
            version: u32,
        }
        let form: Form = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if form.version != VERSION {
            return Err(format!("it has version {}, and {VERSION} is known", form.version));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    pub(super) fn to_text(&self) -> String {
        // A struct of numbers and a time cannot fail to be JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(resource_version: u64, seconds in 0..4_000_000_000_i64) {
            let time = Timestamp::from_second(seconds).unwrap();
            let progress = Progress::of_events(EventsProgress { resource_version, time });
            prop_assert_eq!(Progress::parse(&progress.to_text()), Ok(progress.clone()));
            let both = Progress::of_heartbeats(time).and(progress.clone());
            prop_assert_eq!((&both.events, both.heartbeats), (&progress.events, Some(time)));
            prop_assert_eq!(Progress::parse(&both.to_text()), Ok(both));
        }

        #[test]
        fn no_text_is_a_panic(text: String) {
            drop(Progress::parse(&text));
        }
    }

    #[test]
    fn what_one_says_nothing_of_is_as_the_other_one_says() {
        let time = Timestamp::UNIX_EPOCH;
        let of = |resource_version| Progress::of_events(EventsProgress { resource_version, time });
        let nothing = || Progress { version: VERSION, events: None, heartbeats: None };
        assert_eq!(of(7).and(of(5)), of(7));
        assert_eq!(nothing().and(of(5)), of(5));
        assert_eq!(of(7).and(nothing()), of(7));
    }

    #[test]
    fn what_a_newer_version_wrote_is_not_guessed_at() {
        let error = Progress::parse(r#"{"version": 2, "events": "elsewhere"}"#).unwrap_err();
        assert!(error.contains("version 2"), "{error}");
        assert_eq!(Progress::parse(r#"{"version": 1}"#).unwrap().events, None);
    }
}
