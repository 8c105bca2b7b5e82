//! A Kubernetes event, in either form that the API server gives.
//!
//! In: JSON of `events.k8s.io/v1` or core `v1`. Out: one struct, with the names of the newer form. As in `object.rs`
//! only what is named here is kept, and every field may be absent, null or odd. The fields and which of them came from
//! where: <https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/>.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

use crate::object::or_default;

/// A Kubernetes event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Event {
    /// Of the event itself.
    #[serde(deserialize_with = "or_default")]
    pub metadata: EventMeta,
    /// `Normal` or `Warning`; new types could be added.
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: String,
    /// Why it was taken: `BackOff`, `Scheduled`, ..
    #[serde(deserialize_with = "or_default")]
    pub reason: String,
    /// What was done or failed.
    #[serde(deserialize_with = "or_default")]
    pub action: String,
    /// The words for people; `message` in core `v1`.
    #[serde(alias = "message", deserialize_with = "or_default")]
    pub note: String,
    /// What it is about; `involvedObject` in core `v1`.
    #[serde(alias = "involvedObject", deserialize_with = "or_default")]
    pub regarding: Regarding,
    /// Who says so; `reportingComponent` in core `v1`.
    #[serde(alias = "reportingComponent", deserialize_with = "or_default")]
    pub reporting_controller: String,
    /// Who said so in the older form, and on which host.
    #[serde(rename = "deprecatedSource", alias = "source", deserialize_with = "or_default")]
    pub source: EventSource,
    /// How often, in the older form.
    #[serde(rename = "deprecatedCount", alias = "count", deserialize_with = "or_default")]
    pub count: i64,
    /// How often, and when last, in the newer form.
    #[serde(deserialize_with = "or_default")]
    pub series: Series,
    /// When it was first seen, in the newer form.
    #[serde(deserialize_with = "time")]
    pub event_time: Option<Timestamp>,
    /// When it was first seen, in the older form.
    #[serde(
        rename = "deprecatedFirstTimestamp",
        alias = "firstTimestamp",
        deserialize_with = "time"
    )]
    pub first: Option<Timestamp>,
    /// When it was last seen, in the older form.
    #[serde(
        rename = "deprecatedLastTimestamp",
        alias = "lastTimestamp",
        deserialize_with = "time"
    )]
    pub last: Option<Timestamp>,
}

/// `metadata` of an event.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EventMeta {
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its UID: the same for all changes of a series.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// Its version: another one for each change.
    #[serde(deserialize_with = "or_default")]
    pub resource_version: String,
    /// When the API server took it.
    #[serde(deserialize_with = "time")]
    pub creation_timestamp: Option<Timestamp>,
}

/// What an event is about.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Regarding {
    /// `Pod`, `Node`, ..
    #[serde(deserialize_with = "or_default")]
    pub kind: String,
    /// Its name.
    #[serde(deserialize_with = "or_default")]
    pub name: String,
    /// Its namespace; empty for what has none.
    #[serde(deserialize_with = "or_default")]
    pub namespace: String,
    /// Its UID. The kubelet writes a node's name here.
    #[serde(deserialize_with = "or_default")]
    pub uid: String,
    /// `v1`, `apps/v1`, ..
    #[serde(deserialize_with = "or_default")]
    pub api_version: String,
    /// Its version when the event was made.
    #[serde(deserialize_with = "or_default")]
    pub resource_version: String,
    /// The part that it is about: `spec.containers{web}`.
    #[serde(deserialize_with = "or_default")]
    pub field_path: String,
}

/// Who said so, in the older form.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct EventSource {
    /// The component.
    #[serde(deserialize_with = "or_default")]
    pub component: String,
    /// Its node, where it is of one.
    #[serde(deserialize_with = "or_default")]
    pub host: String,
}

/// How often something happened, in the newer form.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Series {
    /// How often.
    #[serde(deserialize_with = "or_default")]
    pub count: i64,
    /// When last.
    #[serde(deserialize_with = "time")]
    pub last_observed_time: Option<Timestamp>,
}

// === impl Event ===

impl Event {
    /// When it happened last: of the series, else of the event in either form, else when the API server took it.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        let series = self.series.last_observed_time;
        let taken = self.metadata.creation_timestamp;
        series.or(self.event_time).or(self.last).or(self.first).or(taken)
    }

    /// When it began: of the event in either form, else when the API server took it.
    #[must_use]
    pub fn start_time(&self) -> Option<Timestamp> {
        self.event_time.or(self.first).or(self.metadata.creation_timestamp)
    }

    /// How often it happened; 0 where nobody counts.
    #[must_use]
    pub fn occurrences(&self) -> i64 {
        if self.series.count > 0 { self.series.count } else { self.count }
    }

    /// Who says so, in either form.
    #[must_use]
    pub fn reporter(&self) -> &str {
        if self.reporting_controller.is_empty() {
            &self.source.component
        } else {
            &self.reporting_controller
        }
    }

    /// Its version as a number, where it is one. They can be compared: KEP-5504, "Comparable Resource Version".
    pub(crate) fn version(&self) -> Option<u64> {
        self.metadata.resource_version.parse().ok()
    }

    /// The latest time that it knows of.
    pub(crate) fn latest(&self) -> Option<Timestamp> {
        self.time().max(self.metadata.creation_timestamp)
    }
}

/// A page of a list of events.
#[derive(Debug, Deserialize)]
pub(crate) struct EventPage {
    #[serde(default)]
    pub(crate) metadata: PageMeta,
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub(crate) items: Vec<Event>,
}

/// `metadata` of a page.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PageMeta {
    #[serde(deserialize_with = "or_default")]
    pub(crate) resource_version: String,
    /// What to ask the next page with; empty on the last.
    #[serde(rename = "continue", deserialize_with = "or_default")]
    pub(crate) next: String,
}

/// A time as RFC 3339; one that is no time is none.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> Event {
        serde_json::from_value(value).unwrap()
    }

    fn at(text: &str) -> Option<Timestamp> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn both_forms_of_an_event_are_read_alike() {
        let meta = json!({"name": "web.17", "namespace": "shop", "uid": "e1", "resourceVersion": "42",
            "creationTimestamp": "2026-01-01T00:00:00Z", "managedFields": [{}]});
        let pod = json!({"kind": "Pod", "name": "web", "namespace": "shop", "uid": "p1", "apiVersion": "v1",
            "fieldPath": "spec.containers{web}"});
        let core = read(
            json!({"metadata": meta, "involvedObject": pod, "message": "it is slow", "count": 3,
            "reason": "BackOff", "type": "Warning", "source": {"component": "kubelet", "host": "node-1"},
            "reportingComponent": "kubelet", "firstTimestamp": "2026-01-01T00:00:01Z",
            "lastTimestamp": "2026-01-01T00:00:09Z", "eventTime": null}),
        );
        let newer = read(
            json!({"metadata": meta, "regarding": pod, "note": "it is slow", "deprecatedCount": 3,
            "reason": "BackOff", "type": "Warning", "deprecatedSource": {"component": "kubelet", "host": "node-1"},
            "reportingController": "kubelet", "deprecatedFirstTimestamp": "2026-01-01T00:00:01Z",
            "deprecatedLastTimestamp": "2026-01-01T00:00:09Z"}),
        );
        assert_eq!(core, newer);
        assert_eq!(core.time(), at("2026-01-01T00:00:09Z"));
        assert_eq!(core.start_time(), at("2026-01-01T00:00:01Z"));
        assert_eq!((core.occurrences(), core.reporter(), core.version()), (3, "kubelet", Some(42)));
    }

    #[test]
    fn a_series_tells_how_often_and_when_last() {
        let event = read(json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"},
            "eventTime": "2026-01-01T00:00:01.000002Z",
            "series": {"count": 7, "lastObservedTime": "2026-01-01T00:00:05.000009Z"}}));
        assert_eq!(event.time(), at("2026-01-01T00:00:05.000009Z"));
        assert_eq!(event.start_time(), at("2026-01-01T00:00:01.000002Z"));
        assert_eq!(event.occurrences(), 7);
    }

    #[test]
    fn an_event_that_says_nothing_is_an_event() {
        let event = read(json!({"metadata": null, "regarding": null, "series": null, "note": null,
            "lastTimestamp": "yesterday"}));
        assert_eq!(event, Event::default());
        assert_eq!((event.time(), event.version()), (None, None));
    }
}
