//! What a destination says of a frame.

use std::fmt;
use std::time::Duration;

/// The answer to one frame. Only an explicit word about the data may reject it; whatever else goes wrong
/// holds the frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The destination has the frame. `rejected` of its records it refused by partial success
    /// (OTLP, "Partial Success"), which is final.
    Ack {
        /// Records that the destination refused.
        rejected: u64,
        /// The destination's words, empty when it had none.
        message: String,
    },
    /// The frame may be sent again, after the time that the destination asked for, if it did.
    Retry {
        /// `RetryInfo.retry_delay` of the answer.
        after: Option<Duration>,
        /// What went wrong, for a person.
        reason: String,
    },
    /// The destination refuses this data and always will (`INVALID_ARGUMENT`).
    Reject {
        /// The destination's words.
        reason: String,
    },
    /// The request is larger than the destination, or something on the way to it, takes. No word about the records:
    /// they are sent again in smaller requests.
    TooLarge {
        /// The largest size that it takes, in bytes, if it said so.
        limit: Option<usize>,
        /// What it measured.
        measured: Measured,
        /// The destination's words.
        reason: String,
    },
    /// The destination takes no data of this signal at all, while it takes log records. No word about the data; there
    /// is nobody to send it to.
    Unserved {
        /// The destination's words.
        reason: String,
    },
    /// Nothing can be sent until someone changes something: hold everything, say so, try slowly.
    Blocked {
        /// What kind of block it is.
        kind: BlockedReason,
        /// What went wrong and where to look, for a person.
        reason: String,
    },
}

/// Which size of a request is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// Before compression. gRPC's libraries hold the message to one limit before and after it is decompressed.
    Plain,
    /// As it travels: what a proxy sees.
    Wire,
}

/// Why a destination is blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockedReason {
    /// The key file cannot be read, or holds no key.
    KeyUnreadable,
    /// The destination does not accept the key (`UNAUTHENTICATED`, `PERMISSION_DENIED`).
    KeyRefused,
    /// The destination answers in a way that will not change by itself (unknown method, server error).
    Destination,
}

impl BlockedReason {
    /// The word for it, in metrics and in `/status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyUnreadable => "key_unreadable",
            Self::KeyRefused => "key_refused",
            Self::Destination => "destination",
        }
    }
}

impl fmt::Display for BlockedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
