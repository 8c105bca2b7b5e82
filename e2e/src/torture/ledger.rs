//! The loss ledger, as the agent's `/status` shows it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::Value;

/// Reasons under which a line is in the ledger and arrives all the same: something of it is missing.
const ARRIVES: &[&str] = &["cut", "record_too_large", "nul_bytes"];

/// An entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    namespace: Option<String>,
    /// None once the pod is gone and what it lost was added to its namespace.
    #[serde(default)]
    pod: Option<String>,
    reason: String,
    #[serde(default)]
    records: u64,
    #[serde(default)]
    unknown_extent: u64,
    #[serde(default)]
    message: Option<String>,
}

/// What did not arrive, by the agent's own words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Lines.
    pub(crate) records: u64,
    /// How often only that something was lost is known.
    pub(crate) unknown: u64,
}

/// The ledger of a namespace.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By pod; the empty name stands for pods that were folded into the namespace.
    pub(crate) pods: BTreeMap<String, Lost>,
    /// Lines and occurrences by reason, and the words that came with them, for the report.
    pub(crate) reasons: BTreeMap<String, (Lost, Option<String>)>,
    /// Whether the status has a ledger at all.
    pub(crate) exists: bool,
}

impl Ledger {
    /// Adds what one agent's status says of a namespace.
    pub(crate) fn add(&mut self, status: &str, namespace: &str) -> Result<()> {
        let status: Value = serde_json::from_str(status).context("/status")?;
        let Some(losses) = status.get("losses") else { return Ok(()) };
        self.exists = true;
        let entries: Vec<Entry> = serde_json::from_value(losses.clone())
            .with_context(|| format!("/status: losses: {losses}"))?;
        for entry in entries {
            if entry.namespace.as_deref() != Some(namespace) {
                continue;
            }
            let (lost, words) = self.reasons.entry(entry.reason.clone()).or_default();
            lost.records += entry.records;
            lost.unknown += entry.unknown_extent;
            if words.is_none() {
                *words = entry.message;
            }
            if !ARRIVES.contains(&entry.reason.as_str()) {
                let pod = self.pods.entry(entry.pod.unwrap_or_default()).or_default();
                pod.records += entry.records;
                pod.unknown += entry.unknown_extent;
            }
        }
        Ok(())
    }

    /// All of it.
    pub(crate) fn total(&self) -> Lost {
        self.pods.values().fold(Lost::default(), |sum, lost| Lost {
            records: sum.records + lost.records,
            unknown: sum.unknown + lost.unknown,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_does_not_arrive_counts_and_only_of_this_namespace() {
        let status = r#"{"losses": [
            {"namespace": "ns", "pod": "a", "reason": "deleted", "records": 5, "bytes": 50, "unknownExtent": 0},
            {"namespace": "ns", "pod": "a", "destination": "main", "reason": "rejected", "records": 2,
             "bytes": 9, "unknownExtent": 1, "message": "too old"},
            {"namespace": "ns", "pod": "a", "reason": "cut", "records": 3, "bytes": 9, "unknownExtent": 0},
            {"namespace": "ns", "reason": "deleted", "records": 1, "bytes": 1, "unknownExtent": 0},
            {"namespace": "other", "pod": "a", "reason": "deleted", "records": 7, "bytes": 1, "unknownExtent": 0}]}"#;
        let mut ledger = Ledger::default();
        ledger.add(status, "ns").unwrap();
        assert_eq!(ledger.pods["a"], Lost { records: 7, unknown: 1 });
        assert_eq!(ledger.pods[""], Lost { records: 1, unknown: 0 });
        assert_eq!(ledger.total(), Lost { records: 8, unknown: 1 });
        assert_eq!(ledger.reasons["rejected"].1.as_deref(), Some("too old"));
        assert!(ledger.exists);
    }

    #[test]
    fn a_status_without_a_ledger_is_an_empty_one() {
        let mut ledger = Ledger::default();
        ledger.add("{}", "ns").unwrap();
        assert!(!ledger.exists && ledger.pods.is_empty());
    }
}
