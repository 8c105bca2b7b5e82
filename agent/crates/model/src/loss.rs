//! What was written and not delivered: single losses, and the ledger that sums them up.
//!
//! In: a [`Loss`] from whoever finds one. Out: the [`Ledger`], by pod, destination and reason. Always: a loss travels with
//! the position that passes over it, in the same frame or the same acknowledgement, so that it is counted exactly when
//! the bytes are given up, and once; the ledger holds at most [`MAX_ENTRIES`] entries, the pods that lost nothing for the
//! longest time are folded into their namespace.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::StreamKey;

/// Entries of a [`Ledger`] before pods are folded into their namespaces.
pub const MAX_ENTRIES: usize = 1024;

/// A destination's words are kept up to this many bytes.
const MAX_WORDS: usize = 256;

/// Why something did not arrive, or did not arrive whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LossReason {
    /// A record was longer than `logs.maxRecordBytes`: `records` arrived, without `bytes` of their text.
    RecordTooLarge,
    /// A file was deleted before it was read to its end.
    DeletedBeforeRead,
    /// A deleted file was let go because `logs.maxUnlinked` was reached.
    UnlinkedOverBudget,
    /// A file became shorter before all of it was read.
    TruncatedBeforeRead,
    /// A compressed file is corrupt.
    FileCorrupt,
    /// Runs of NUL bytes, holes that a power cut leaves in a file. No records.
    NulBytes,
    /// A frame that the spool can never take.
    NotSpooled,
    /// The spool was damaged, and the files do not have the lines any more.
    SpoolDamage,
    /// The spool was full and the destination's `whenFull` is `drop`.
    SpoolFull,
    /// The destination refused the data by an explicit word.
    InvalidArgument,
    /// The destination refused some records of a request that it took.
    PartialSuccess,
    /// The destination takes no request this small.
    TooLarge,
    /// The destination takes no record of this size: `records` arrived, without `bytes` of their text.
    Cut,
    /// A frame that is not what it says, so that it can be given to no destination.
    Unencodable,
    /// A reason that this version does not know, written by a newer one.
    Other,
}

impl LossReason {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::RecordTooLarge,
        Self::DeletedBeforeRead,
        Self::UnlinkedOverBudget,
        Self::TruncatedBeforeRead,
        Self::FileCorrupt,
        Self::NulBytes,
        Self::NotSpooled,
        Self::SpoolDamage,
        Self::SpoolFull,
        Self::InvalidArgument,
        Self::PartialSuccess,
        Self::TooLarge,
        Self::Cut,
        Self::Unencodable,
        Self::Other,
    ];

    /// The word for it, in metrics, in `/status` and in the spool.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RecordTooLarge => "record_too_large",
            Self::DeletedBeforeRead => "deleted_before_read",
            Self::UnlinkedOverBudget => "unlinked_over_budget",
            Self::TruncatedBeforeRead => "truncated_before_read",
            Self::FileCorrupt => "file_corrupt",
            Self::NulBytes => "nul_bytes",
            Self::NotSpooled => "not_spooled",
            Self::SpoolDamage => "spool_damage",
            Self::SpoolFull => "spool_full",
            Self::InvalidArgument => "invalid_argument",
            Self::PartialSuccess => "partial_success",
            Self::TooLarge => "too_large",
            Self::Cut => "cut",
            Self::Unencodable => "unencodable",
            Self::Other => "other",
        }
    }

    /// The reason of a name; [`Other`](Self::Other) for one that is not known.
    #[must_use]
    pub fn from_name(name: &str) -> Self {
        Self::ALL.into_iter().find(|reason| reason.name() == name).unwrap_or(Self::Other)
    }

    /// Whether the records are missing. False where they arrived shorter.
    #[must_use]
    pub const fn is_missing(self) -> bool {
        !matches!(self, Self::RecordTooLarge | Self::Cut | Self::NulBytes)
    }
}

impl fmt::Display for LossReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose records were lost, at which destination, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LossKey {
    /// The namespace; empty where it is not known.
    pub namespace: Arc<str>,
    /// The pod's name; empty where it is not known, and for pods that were folded into their namespace.
    pub pod: Arc<str>,
    /// The destination's name in the config; `None` for what was lost before it came to any.
    pub destination: Option<Arc<str>>,
    /// Why.
    pub reason: LossReason,
}

impl LossKey {
    /// The key of what a stream lost before it came to any destination.
    #[must_use]
    pub fn of_stream(stream: &StreamKey, reason: LossReason) -> Self {
        let (namespace, pod) = stream.namespace_and_pod();
        Self { namespace: namespace.into(), pod: pod.into(), destination: None, reason }
    }
}

/// How much was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Lines, or log records. Partial lines of a runtime count as the lines that they are in the file where it was not
    /// read.
    pub records: u64,
    /// Bytes: of the records' bodies, or of the file where it was not read.
    pub bytes: u64,
    /// Losses of which not even this much is known.
    pub unknown: u64,
}

impl Extent {
    /// One loss of an extent that is not known.
    pub const UNKNOWN: Self = Self { records: 0, bytes: 0, unknown: 1 };

    /// So many records and bytes.
    #[must_use]
    pub const fn known(records: u64, bytes: u64) -> Self {
        Self { records, bytes, unknown: 0 }
    }

    /// Adds another one.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.unknown += other.unknown;
    }

    fn subtract(&mut self, other: Self) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.unknown = self.unknown.saturating_sub(other.unknown);
    }
}

/// Something that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Whose, where and why.
    pub key: LossKey,
    /// How much.
    pub extent: Extent,
    /// A destination's words, empty where there are none.
    pub words: Arc<str>,
}

impl Loss {
    /// What a stream lost before it came to any destination.
    #[must_use]
    pub fn of_stream(stream: &StreamKey, reason: LossReason, extent: Extent) -> Self {
        Self { key: LossKey::of_stream(stream, reason), extent, words: "".into() }
    }
}

/// The sum of losses of one [`LossKey`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// How much.
    pub extent: Extent,
    /// When the last one was, nanoseconds since the epoch.
    pub last_unix_nano: u64,
    /// The last words of a destination.
    pub words: Arc<str>,
}

/// What was lost, by pod, destination and reason, since the spool was made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    entries: BTreeMap<LossKey, Entry>,
}

// === impl Ledger ===

impl Ledger {
    /// Adds a loss that happened at `unix_nano`.
    pub fn add(&mut self, loss: &Loss, unix_nano: u64) {
        let words = shorten(&loss.words);
        let entry = Entry { extent: loss.extent, last_unix_nano: unix_nano, words };
        self.put(loss.key.clone(), entry);
        self.bound();
    }

    /// Takes back a loss that turned out to be none.
    pub fn take_back(&mut self, loss: &Loss) {
        if let Some(entry) = self.entries.get_mut(&loss.key) {
            entry.extent.subtract(loss.extent);
            if entry.extent == Extent::default() {
                self.entries.remove(&loss.key);
            }
        }
    }

    /// Every sum that is another one than in `earlier`; one that is gone is 0.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Vec<(LossKey, Entry)> {
        let new =
            self.entries.iter().filter(|(key, entry)| earlier.entries.get(key) != Some(entry));
        let gone = earlier.entries.keys().filter(|key| !self.entries.contains_key(key));
        let changed = new.map(|(key, entry)| (key.clone(), entry.clone()));
        changed.chain(gone.map(|key| (key.clone(), Entry::default()))).collect()
    }

    /// Makes a sum what [`changes_since`](Self::changes_since) says.
    pub fn set(&mut self, key: LossKey, entry: Entry) {
        if entry.extent == Extent::default() {
            self.entries.remove(&key);
        } else {
            self.entries.insert(key, entry);
        }
    }

    /// Puts a sum in, as it was once read from [`entries`](Self::entries).
    pub fn put(&mut self, key: LossKey, entry: Entry) {
        let known = self.entries.entry(key).or_default();
        known.extent.add(entry.extent);
        known.last_unix_nano = known.last_unix_nano.max(entry.last_unix_nano);
        if !entry.words.is_empty() {
            known.words = entry.words;
        }
    }

    /// Every sum, by namespace, pod, destination and reason.
    pub fn entries(&self) -> impl Iterator<Item = (&LossKey, &Entry)> {
        self.entries.iter()
    }

    /// One sum.
    #[must_use]
    pub fn entry(&self, key: &LossKey) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Folds pods into their namespaces, those that lost nothing for the longest time first, until the bound holds;
    /// where that does not do, namespaces into one.
    fn bound(&mut self) {
        while self.entries.len() > MAX_ENTRIES {
            let oldest = |key: &&LossKey| self.entries[*key].last_unix_nano;
            let pods = self.entries.keys().filter(|key| !key.pod.is_empty()).min_by_key(oldest);
            let namespaces = || self.entries.keys().filter(|key| !key.namespace.is_empty());
            let Some(key) = pods.or_else(|| namespaces().min_by_key(oldest)).cloned() else {
                return;
            };
            let Some(entry) = self.entries.remove(&key) else { return };
            let namespace = if key.pod.is_empty() { "".into() } else { key.namespace };
            self.put(LossKey { namespace, pod: "".into(), ..key }, entry);
        }
    }
}

fn shorten(words: &Arc<str>) -> Arc<str> {
    if words.len() <= MAX_WORDS {
        return Arc::clone(words);
    }
    let end = (0..=MAX_WORDS).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
    words[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(namespace: &str, pod: &str, records: u64) -> Loss {
        let stream = StreamKey(format!("{namespace}_{pod}_uid/c").into());
        let reason = LossReason::DeletedBeforeRead;
        Loss::of_stream(&stream, reason, Extent::known(records, records * 10))
    }

    #[test]
    fn losses_of_a_pod_and_reason_are_summed_up() {
        let mut ledger = Ledger::default();
        ledger.add(&loss("ns", "a", 1), 10);
        ledger.add(&loss("ns", "a", 2), 20);
        ledger.add(&Loss { extent: Extent::UNKNOWN, ..loss("ns", "a", 0) }, 15);
        let (key, entry) = ledger.entries().next().unwrap();
        assert_eq!((&*key.namespace, &*key.pod), ("ns", "a"));
        assert_eq!(entry.extent, Extent { records: 3, bytes: 30, unknown: 1 });
        assert_eq!(entry.last_unix_nano, 20);
    }

    #[test]
    fn a_full_ledger_folds_the_pods_of_the_oldest_losses_and_loses_no_sum() {
        let mut ledger = Ledger::default();
        for pod in 0..2 * MAX_ENTRIES as u64 {
            ledger.add(&loss("ns", &format!("pod-{pod}"), 1), pod);
            assert!(ledger.entries().count() <= MAX_ENTRIES);
        }
        let sum: u64 = ledger.entries().map(|(_, entry)| entry.extent.records).sum();
        assert_eq!(sum, 2 * MAX_ENTRIES as u64);
        assert!(ledger.entries().any(|(key, _)| &*key.pod == "pod-2047"), "the newest is kept");
        assert!(!ledger.entries().any(|(key, _)| &*key.pod == "pod-0"), "the oldest is folded");
    }

    #[test]
    fn namespaces_without_end_are_bounded_too() {
        let mut ledger = Ledger::default();
        for namespace in 0..2 * MAX_ENTRIES as u64 {
            ledger.add(&loss(&format!("ns-{namespace}"), "a", 1), namespace);
        }
        let sum: u64 = ledger.entries().map(|(_, entry)| entry.extent.records).sum();
        assert_eq!(sum, 2 * MAX_ENTRIES as u64);
        assert!(ledger.entries().count() <= MAX_ENTRIES);
    }

    #[test]
    fn a_reason_is_found_by_its_name() {
        for reason in LossReason::ALL {
            assert_eq!(LossReason::from_name(reason.name()), reason);
        }
        assert_eq!(LossReason::from_name("from_the_future"), LossReason::Other);
    }

    #[test]
    fn words_are_kept_short() {
        let mut ledger = Ledger::default();
        ledger.add(&Loss { words: "\u{e9}".repeat(1000).into(), ..loss("ns", "a", 1) }, 1);
        assert!(ledger.entries().all(|(_, entry)| entry.words.len() <= MAX_WORDS));
    }
}
