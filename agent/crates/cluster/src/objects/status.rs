//! How far the store is, for `/status`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

/// How the store is doing: each kind that is followed, by its resource's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct ObjectsStatus {
    /// Each kind.
    pub kinds: BTreeMap<&'static str, KindStatus>,
}

/// How one kind is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindStatus {
    /// Objects that are known.
    pub objects: usize,
    /// Since when all of them are known, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_since: Option<Timestamp>,
    /// It is switched off: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
}

/// Why a kind is switched off. It comes back by itself when what it takes is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Off {
    /// Since when, RFC 3339.
    pub since: Timestamp,
    /// What the API server said.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}
