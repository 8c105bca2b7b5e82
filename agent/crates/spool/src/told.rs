//! The ledger as snapshots tell of it, and what is other than in the snapshot that is known to be on the disk.
//!
//! In: losses of frames that all destinations have settled, and what destinations said. Out: the sums, and those that changed
//! since a segment was opened. Always: a record that holds every sum which changed since a snapshot that cannot be lost
//! tells, with that snapshot or any later one, the whole ledger, whatever was lost between.

use std::collections::{BTreeSet, VecDeque};

use hawsepipe_model::{Entry, Ledger, Loss, LossKey, MAX_ENTRIES};

/// A ledger that knows what changed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    ledger: Ledger,
    /// What changed since each of these segments was opened, oldest first. The first one's snapshot is on the disk.
    changed: VecDeque<(u64, BTreeSet<LossKey>)>,
}

// === impl Told ===

impl Told {
    /// A ledger of which it is not known what the disk has.
    pub(crate) fn new(ledger: Ledger) -> Self {
        let all = ledger.entries().map(|(key, _)| key.clone()).collect();
        Self { ledger, changed: VecDeque::from([(0, all)]) }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn add(&mut self, loss: &Loss, now: u64) {
        // Only a full one folds other sums than the one that is added to.
        let before = (self.ledger.entries().count() >= MAX_ENTRIES).then(|| self.ledger.clone());
        self.ledger.add(loss, now);
        let folded = before.map(|before| self.ledger.changes_since(&before)).unwrap_or_default();
        for (_, changed) in &mut self.changed {
            changed.insert(loss.key.clone());
            changed.extend(folded.iter().map(|(key, _)| key.clone()));
        }
    }

    pub(crate) fn take_back(&mut self, loss: &Loss) {
        self.ledger.take_back(loss);
        for (_, changed) in &mut self.changed {
            changed.insert(loss.key.clone());
        }
    }

    /// A segment is opened, with a snapshot of this.
    pub(crate) fn opened(&mut self, segment: u64) {
        self.changed.push_back((segment, BTreeSet::new()));
    }

    /// That segment's snapshot is on the disk.
    pub(crate) fn synced(&mut self, segment: u64) {
        self.changed.retain(|(opened, _)| *opened >= segment);
    }

    /// Every sum that changed since the snapshot that is on the disk; one that is gone is 0.
    pub(crate) fn changes(&self) -> Vec<(LossKey, Entry)> {
        let changed = self.changed.front().into_iter().flat_map(|(_, changed)| changed);
        let entry = |key: &LossKey| {
            let entry = self.ledger.entry(key).cloned().unwrap_or_default();
            (key.clone(), entry)
        };
        changed.map(entry).collect()
    }
}
