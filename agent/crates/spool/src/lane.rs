//! A lane of the queue, as its two ends see it.
//!
//! In: frames from one side, acknowledgements from the other. Out: frames, for each destination at its own pace; the word
//! that there is room. Always: whatever waits for a disk is done outside the lock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hawsepipe_model::{
    AppendError, Cover, Frame, FrameSink, Ledger, Loss, Missing, Room, SettlingSink,
};
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::disk::Folder;
use crate::journal::{Cursor, Found, Handed, Journal, Usage, find, follow};

/// A lane. Clones are handles to the same lane.
#[derive(Debug, Clone)]
pub struct Lane {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    journal: Mutex<Journal<Folder>>,
    /// Room was made.
    freed: Condvar,
    /// Frames were synced.
    flushed: Condvar,
    /// A frame came, or was found again, or the lane was closed; of all lanes of a spool.
    filled: Arc<Notify>,
    keeper: Arc<Bell>,
}

/// Wakes the keeper.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    heard: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    work: bool,
    stop: bool,
}

// === impl Bell ===

impl Bell {
    fn ring(&self) {
        self.rung.lock().work = true;
        self.heard.notify_all();
    }

    pub(crate) fn stop(&self) {
        self.rung.lock().stop = true;
        self.heard.notify_all();
    }

    /// Waits for work, at most until `deadline`; false when it is to stop.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        let mut rung = self.rung.lock();
        while !rung.work && !rung.stop {
            if self.heard.wait_until(&mut rung, deadline).timed_out() {
                break;
            }
        }
        rung.work = false;
        !rung.stop
    }
}

pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

// === impl Lane ===

impl Lane {
    pub(crate) fn new(journal: Journal<Folder>, filled: Arc<Notify>, keeper: Arc<Bell>) -> Self {
        let (journal, freed, flushed) = (Mutex::new(journal), Condvar::new(), Condvar::new());
        Self { shared: Arc::new(Shared { journal, freed, flushed, filled, keeper }) }
    }

    /// What is in the lane now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.shared.journal.lock().usage()
    }

    /// What was lost on the way through it, since it was made.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shared.journal.lock().ledger().clone()
    }

    /// When it was made, nanoseconds since the epoch; 0 where that is not known any more.
    #[must_use]
    pub fn born(&self) -> i64 {
        self.shared.journal.lock().born()
    }

    /// What a person should know of it, if anything.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.shared.journal.lock().problem()
    }

    pub(crate) fn positions(&self) -> Vec<Cover> {
        self.shared.journal.lock().positions()
    }

    /// No frame will come any more: sources end when they have settled what is here.
    pub(crate) fn close(&self) {
        self.shared.journal.lock().closed = true;
        self.shared.filled.notify_waiters();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.shared.journal.lock().closed
    }

    pub(crate) fn destination_named(&self, name: &str) -> Option<usize> {
        self.shared.journal.lock().destination_named(name)
    }

    pub(crate) fn has_for(&self, destination: usize) -> bool {
        self.shared.journal.lock().has_for(destination)
    }

    pub(crate) fn find(&self, destination: usize, cursor: &mut Cursor<Folder>) -> Found {
        let found = find(&self.shared.journal, destination, cursor, now());
        // Notes and damaged frames may have been settled on the way.
        follow(&self.shared.journal);
        self.shared.freed.notify_all();
        found
    }

    pub(crate) fn settle(&self, destination: usize, handed: &Handed, losses: &[Loss]) {
        let mut journal = self.shared.journal.lock();
        journal.settle(destination, &handed.meta, handed.end, losses, now());
        drop(journal);
        follow(&self.shared.journal);
        self.shared.freed.notify_all();
    }

    /// The keeper's work: what waits for a disk.
    pub(crate) fn sync(&self) {
        loop {
            let Some(job) = self.shared.journal.lock().take_sync() else { return };
            let result = job.run();
            self.shared.journal.lock().synced(&job, result);
            self.shared.freed.notify_all();
        }
    }

    /// Waits until the disk has the frame; whoever comes first syncs for all that have come by then. False when it does not
    /// have it, as far as anybody knows.
    fn flush(&self, number: u64) -> bool {
        let mut journal = self.shared.journal.lock();
        loop {
            if let Some(well) = journal.is_flushed(number) {
                return well;
            }
            match journal.take_flush() {
                Some(flush) => {
                    let flushed = MutexGuard::unlocked(&mut journal, || flush.run());
                    journal.flushed(flushed);
                    self.shared.flushed.notify_all();
                }
                None => self.shared.flushed.wait(&mut journal),
            }
        }
    }

    /// The keeper's work from time to time.
    pub(crate) fn tick(&self) {
        self.shared.journal.lock().tick();
        follow(&self.shared.journal);
        self.shared.freed.notify_all();
    }
}

impl FrameSink for Lane {
    fn room(&self) -> Room {
        self.shared.journal.lock().room()
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        self.put(frame).map(drop)
    }

    fn wait_for_room(&self, bytes: usize, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut journal = self.shared.journal.lock();
        while journal.room().free < bytes {
            journal.make_room(bytes as u64, now());
            if journal.has_sync() {
                self.shared.keeper.ring();
            }
            if self.shared.freed.wait_until(&mut journal, deadline).timed_out() {
                return journal.room().free >= bytes;
            }
        }
        true
    }

    fn take_missing(&self) -> Vec<Missing> {
        self.shared.journal.lock().take_missing()
    }
}

impl SettlingSink for Lane {
    fn put(&self, frame: Frame) -> Result<u64, AppendError> {
        let (appended, has_sync, kept) = {
            let mut journal = self.shared.journal.lock();
            let kept = journal.is_synced().then(|| frame.clone());
            let appended = journal.append(frame, now()).map(|()| journal.newest());
            (appended, journal.has_sync(), kept)
        };
        // It may have begun a segment, also when it was not taken.
        if has_sync {
            self.shared.keeper.ring();
        }
        if appended.is_ok() {
            self.shared.filled.notify_waiters();
        }
        match (&appended, kept) {
            // It may arrive all the same; its sender sends it again rather than not at all.
            (Ok(number), Some(frame)) if !self.flush(*number) => Err(AppendError::Full(frame)),
            _ => appended,
        }
    }

    fn settled(&self) -> u64 {
        self.shared.journal.lock().settled_where_it_blocks()
    }
}
