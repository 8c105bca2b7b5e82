//! What a destination is doing, as `/status` and the body of `/readyz` show it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The state of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Not connected yet.
    Starting,
    /// The last request was answered.
    Connected,
    /// The last request failed in a way that passes; it is tried again.
    Retrying,
    /// Someone has to change something; everything is held and tried slowly.
    Blocked,
    /// Shut down.
    Stopped,
}

/// Data that was refused, by reason.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejected {
    /// Records, or data points, refused.
    pub records: u64,
    /// Bytes of refused requests before compression. Partial success names no bytes and adds none.
    pub bytes: u64,
    /// The destination's last words on it.
    pub last_message: String,
    /// When that was.
    pub last: Option<Timestamp>,
}

/// A destination, as an operator sees it. Holds no key and no data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DestinationStatus {
    /// The name in the config.
    pub name: String,
    /// The type in the config.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it sends.
    pub endpoint: String,
    /// What it is doing.
    pub state: State,
    /// Since when.
    pub since: Timestamp,
    /// Why it is retrying or blocked, and what to do.
    pub reason: Option<String>,
    /// What kind of block: `key_unreadable`, `key_refused`, `destination`.
    pub blocked: Option<String>,
    /// When a frame was last acknowledged.
    pub last_success: Option<Timestamp>,
    /// The codec that the destination takes, once it is known.
    pub codec: Option<String>,
    /// Frames acknowledged, at least in part.
    pub frames: u64,
    /// Log records acknowledged.
    pub records: u64,
    /// Data points of metrics acknowledged.
    pub data_points: u64,
    /// Bytes of acknowledged frames, as they were compressed.
    pub bytes: u64,
    /// Tries that failed and were repeated.
    pub retries: u64,
    /// Frames that had to be compressed anew for this destination.
    pub reencoded_frames: u64,
    /// The largest request that it is sent, in bytes, while refusals have shown one.
    pub request_limit: Option<u64>,
    /// Frames that were sent in parts.
    pub split_frames: u64,
    /// Records whose body was cut to what the destination takes.
    pub cut_records: u64,
    /// Bytes that were cut off them.
    pub cut_bytes: u64,
    /// What the destination refused, by reason. `unserved`: it takes no data of that signal, which is no loss.
    pub rejected: BTreeMap<String, Rejected>,
}

impl DestinationStatus {
    pub(crate) fn new(name: &str, kind: &str, endpoint: String) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            endpoint,
            state: State::Starting,
            since: Timestamp::now(),
            reason: None,
            blocked: None,
            last_success: None,
            codec: None,
            frames: 0,
            records: 0,
            data_points: 0,
            bytes: 0,
            retries: 0,
            reencoded_frames: 0,
            request_limit: None,
            split_frames: 0,
            cut_records: 0,
            cut_bytes: 0,
            rejected: BTreeMap::new(),
        }
    }
}
