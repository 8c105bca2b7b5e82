//! What a lane does while a destination catches up, one promise a test, with a clock that stands in the test.

use std::sync::Arc;

use hawsepipe_model::{Extent, Loss, LossReason};
use parking_lot::Mutex;

use super::lines::{cover, frame, stream};
use super::sim::SimDisk;
use crate::disk::{Disk, DiskFile};
use crate::journal::*;
use crate::segment::{FrameRef, Scanned, SegmentReader};

const MINUTE: u64 = 60_000_000_000;
const CAPACITY: u64 = 96 << 10;

/// A lane, and the numbers of its frames: frame `n` holds line `n - 1` of stream 0.
struct Rig {
    disk: SimDisk,
    destinations: Vec<DestinationSettings>,
    journal: Mutex<Journal<SimDisk>>,
    cursors: Vec<Cursor<SimDisk>>,
    now: u64,
}

fn named(name: &str, when_full: WhenFull, catch_up: CatchUp) -> DestinationSettings {
    DestinationSettings { name: name.into(), when_full, catch_up }
}

fn newest_first(name: &str) -> DestinationSettings {
    named(name, WhenFull::Block, CatchUp::NewestFirst)
}

fn open(disk: &SimDisk, destinations: &[DestinationSettings]) -> Mutex<Journal<SimDisk>> {
    let settings = Settings {
        capacity: CAPACITY,
        working_set: CAPACITY,
        min_free: MinFree::Bytes(0),
        synced: false,
        destinations: destinations.to_vec(),
    };
    Mutex::new(Journal::open(Arc::new(disk.clone()), settings, 1).unwrap().0)
}

impl Rig {
    fn new(destinations: Vec<DestinationSettings>) -> Self {
        let disk = SimDisk::new(1);
        let journal = open(&disk, &destinations);
        let cursors = destinations.iter().map(|_| Cursor::default()).collect();
        Self { disk, destinations, journal, cursors, now: MINUTE }
    }

    fn append(&self, padding: usize) {
        let mut journal = self.journal.lock();
        let line = journal.next - 1;
        let lost = Loss::of_stream(&stream(0), LossReason::RecordTooLarge, Extent::known(1, 1));
        let covers = vec![cover(0, line, line + 1)];
        let made = frame(&vec![(0, line, line + 1)], covers, vec![lost], Vec::new(), padding);
        journal.append(made, self.now).unwrap();
    }

    /// Frames that a time away makes a backlog.
    fn backlog(&mut self, frames: u64, padding: usize) {
        (0..frames).for_each(|_| self.append(padding));
        self.now += MINUTE;
    }

    fn find(&mut self, index: usize) -> Option<Handed> {
        match find(&self.journal, index, &mut self.cursors[index], self.now) {
            Found::Frame(_, handed) => Some(handed),
            Found::Nothing | Found::Held => None,
            Found::Failed(error) => panic!("{error}"),
        }
    }

    fn settle(&self, index: usize, handed: &Handed) {
        self.journal.lock().settle(index, &handed.meta, handed.end, &[], self.now);
        follow(&self.journal);
    }

    /// The next so many frames for a destination, settled.
    fn take(&mut self, index: usize, count: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        while taken.len() < count
            && let Some(handed) = self.find(index)
        {
            self.settle(index, &handed);
            taken.push(handed.meta.sequence);
        }
        taken
    }

    /// The process is killed, and another one starts.
    fn restart(&mut self) {
        self.journal = open(&self.disk, &self.destinations);
        self.cursors = self.destinations.iter().map(|_| Cursor::default()).collect();
    }

    /// More than the lane holds.
    fn overflow(&mut self) {
        for _ in 0..60 {
            self.journal.lock().make_room(4000, self.now);
            let job = self.journal.lock().take_sync();
            if let Some(job) = job {
                let result = job.run();
                self.journal.lock().synced(&job, result);
            }
            if self.journal.lock().room().free > 4000 {
                self.append(3000);
            }
        }
    }

    fn lost(&self, reason: LossReason) -> u64 {
        let journal = self.journal.lock();
        let of = journal.ledger().entries().filter(|(key, _)| key.reason == reason);
        of.map(|(_, entry)| entry.extent.records).sum()
    }

    /// Another last byte of the payload.
    fn damage(&self, number: u64) {
        self.overwrite(number, |found| found.end() - 1);
    }

    /// Another first byte: it is not found any more.
    fn destroy(&self, number: u64) {
        self.overwrite(number, |found| found.offset);
    }

    fn overwrite(&self, number: u64, at: fn(&FrameRef) -> u64) {
        let segments = self.journal.lock().segments.clone();
        let info = segments.iter().find(|info| info.frames.contains(&number)).unwrap();
        let file = || self.disk.open(&file_name(info.id)).unwrap();
        let reader = SegmentReader::of(file(), info.id).unwrap();
        let is_it = |found: &FrameRef| {
            let record = Record::decode(&found.meta[..]).unwrap();
            record.frame.is_some_and(|meta| meta.sequence == number)
        };
        let mut frames = reader.scan(0, info.bytes).filter_map(|scanned| match scanned.unwrap() {
            Scanned::Frame(found) => Some(found),
            Scanned::Damage { .. } => None,
        });
        let found = frames.find(is_it).unwrap();
        file().write_all_at(&[0x55], at(&found)).unwrap();
    }

    fn ahead(&self, index: usize) -> Vec<Range<u64>> {
        self.journal.lock().destinations[index].ahead.clone()
    }
}

#[test]
fn what_is_new_goes_before_the_backlog_and_the_backlog_goes_on() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(20, 100);
    assert_eq!(rig.take(0, 2), [1, 2]);
    rig.append(100);
    assert_eq!(rig.take(0, 3), [21, 3, 4]);
    (0..10).for_each(|_| rig.append(100));
    assert_eq!(rig.take(0, 8), [22, 23, 24, 25, 5, 26, 27, 28]);
    assert_eq!(rig.journal.lock().usage().frames, 18);
    let rest = rig.take(0, 100);
    assert_eq!(rest[..5], [29, 6, 30, 31, 7]);
    assert!(rest[5..].iter().copied().eq(8..=20), "{rest:?}");
    rig.append(100);
    assert_eq!(rig.take(0, 2), [32], "in order again");
    assert!(rig.journal.lock().destinations[0].live.is_none());
}

#[test]
fn what_waits_for_less_than_ten_seconds_stays_in_order() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    (0..20).for_each(|_| rig.append(100));
    rig.now += 10_000_000_000;
    assert_eq!(rig.take(0, 2), [1, 2]);
    rig.append(100);
    assert!(rig.take(0, 100).iter().copied().eq(3..=21));
}

#[test]
fn who_wants_order_gets_it() {
    let mut rig = Rig::new(vec![named("a", WhenFull::Block, CatchUp::InOrder)]);
    rig.backlog(20, 100);
    assert_eq!(rig.take(0, 2), [1, 2]);
    rig.append(100);
    assert!(rig.take(0, 100).iter().copied().eq(3..=21));
}

#[test]
fn a_killed_process_goes_on_with_nothing_skipped_and_nothing_doubled() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(20, 100);
    let mut all = rig.take(0, 2);
    for _ in 0..6 {
        rig.append(100);
        all.extend(rig.take(0, 3));
        rig.restart();
    }
    assert_eq!(rig.ahead(0), vec![21..27; 1]);
    all.extend(rig.take(0, 100));
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=26), "{all:?}");
}

#[test]
fn another_trouble_while_it_catches_up_begins_another_live_edge() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(10, 100);
    rig.take(0, 1);
    rig.append(100);
    assert_eq!(rig.take(0, 1), [11]);
    rig.backlog(5, 100);
    rig.take(0, 1);
    rig.append(100);
    assert_eq!(rig.take(0, 1), [17]);
    assert_eq!(rig.ahead(0), [11..12, 17..18]);
    let rest = rig.take(0, 100);
    assert!(rest.iter().copied().eq((3..=10).chain(12..=16)), "{rest:?}");
}

#[test]
fn while_little_room_is_left_the_backlog_goes_first() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(20, 4000);
    rig.take(0, 1);
    rig.append(100);
    assert!(!rig.journal.lock().has_ease());
    assert_eq!(rig.take(0, 3), [2, 3, 4]);
}

#[test]
fn frames_settled_ahead_are_settled_for_all_when_the_slowest_comes_by_once() {
    let mut rig = Rig::new(vec![newest_first("a"), newest_first("b")]);
    rig.backlog(10, 100);
    (0..2).for_each(|index| assert_eq!(rig.take(index, 1), [1]));
    (0..30).for_each(|_| rig.append(2000));
    // Both have taken the same ahead, over several segments; then one is through, then the other.
    for index in [0, 1, 0, 1] {
        rig.take(index, 20);
        let journal = rig.journal.lock();
        let of = |ledger: &Ledger| ledger.entries().map(|it| it.1.extent.records).sum::<u64>();
        assert_eq!(of(journal.told.ledger()), journal.base - 1, "one loss a frame");
        let settled = journal.settled.iter().map(|it| it.position.stdout).next().unwrap_or(0);
        assert_eq!(settled, journal.base - 1);
    }
    assert_eq!(rig.journal.lock().base, 41);
    rig.restart();
    assert_eq!(rig.lost(LossReason::RecordTooLarge), 40);
    assert_eq!(rig.journal.lock().positions()[0].position.stdout, 40);
}

#[test]
fn a_process_killed_before_base_has_followed_counts_the_losses_once() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(3, 100);
    rig.take(0, 1);
    (0..5).for_each(|_| rig.append(100));
    assert_eq!(rig.take(0, 6), [4, 5, 6, 7, 2, 8]);
    let last = rig.find(0).unwrap();
    rig.journal.lock().settle(0, &last.meta, last.end, &[], rig.now);
    assert_eq!(rig.journal.lock().base, 4, "nobody has followed");
    assert_eq!(rig.journal.lock().usage().frames, 0, "and nothing waits");
    rig.restart();
    assert_eq!(rig.journal.lock().base, 9);
    assert_eq!(rig.lost(LossReason::RecordTooLarge), 8);
    rig.restart();
    assert_eq!(rig.lost(LossReason::RecordTooLarge), 8);
}

#[test]
fn who_follows_beside_another_counts_nothing_twice() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(3, 100);
    rig.take(0, 1);
    (0..5).for_each(|_| rig.append(100));
    rig.take(0, 6);
    let last = rig.find(0).unwrap();
    rig.journal.lock().settle(0, &last.meta, last.end, &[], rig.now);
    let slow = rig.journal.lock().left_behind().unwrap();
    let metas = slow.read().unwrap();
    follow(&rig.journal);
    let mut journal = rig.journal.lock();
    assert_eq!(journal.base, 9);
    journal.followed(&slow, &metas);
    let told: u64 = journal.told.ledger().entries().map(|it| it.1.extent.records).sum();
    assert_eq!((journal.base, told), (9, 8));
}

/// A power cut took a frame that was settled ahead, its losses stand nowhere else, and the backlog has just passed over it.
#[test]
fn what_was_lost_with_a_frame_settled_ahead_is_found_again_however_often_the_process_starts() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(3, 100);
    rig.take(0, 1);
    (0..5).for_each(|_| rig.append(100));
    rig.take(0, 6);
    let last = rig.find(0).unwrap();
    rig.journal.lock().settle(0, &last.meta, last.end, &[], rig.now);
    rig.destroy(6);
    for _ in 0..3 {
        rig.restart();
        // Whatever is settled meanwhile.
        rig.append(100);
        rig.take(0, 100);
        rig.journal.lock().tick();
        follow(&rig.journal);
        assert_eq!(rig.journal.lock().base, 6);
    }
    let missing = rig.journal.lock().take_missing();
    let lines = |it: &Cover| (it.from.stdout, it.position.stdout);
    assert_eq!(missing[0].covers.iter().map(lines).collect::<Vec<_>>(), [(5, 6)]);
    let losses = vec![Loss::of_stream(&stream(0), LossReason::RecordTooLarge, Extent::known(1, 1))];
    let again = frame(&vec![(0, 5, 6)], Vec::new(), losses, vec![missing[0].id], 0);
    rig.journal.lock().append(again, rig.now).unwrap();
    assert_eq!(rig.take(0, 100), [12]);
    assert_eq!(rig.journal.lock().base, 13);
    rig.restart();
    assert_eq!(rig.lost(LossReason::RecordTooLarge), 11, "one a frame");
}

#[test]
fn nothing_is_let_go_while_lines_of_it_are_being_read_again() {
    let mut rig = Rig::new(vec![named("a", WhenFull::Drop, CatchUp::NewestFirst)]);
    rig.backlog(12, 700);
    rig.destroy(3);
    rig.restart();
    rig.overflow();
    assert_eq!(rig.journal.lock().base, 1);
    let missing = rig.journal.lock().take_missing();
    let again = frame(&vec![(0, 2, 3)], Vec::new(), Vec::new(), vec![missing[0].id], 0);
    rig.journal.lock().append(again, rig.now).unwrap();
    rig.overflow();
    assert!(rig.journal.lock().base > 12, "{:?}", rig.journal);
}

#[test]
fn what_is_let_go_is_counted_but_for_what_was_settled_ahead() {
    let mut rig = Rig::new(vec![named("a", WhenFull::Drop, CatchUp::NewestFirst)]);
    rig.backlog(12, 700);
    let mut taken = rig.take(0, 1);
    for _ in 0..3 {
        rig.append(700);
        taken.extend(rig.take(0, 1));
    }
    assert_eq!(taken, [1, 13, 14, 15]);
    let mixed = |info: &SegmentInfo| info.frames.start <= 12 && info.frames.end > 13;
    assert!(rig.journal.lock().segments.iter().any(mixed), "both are in one segment");
    // It is away again, and the lane overflows.
    rig.overflow();
    assert!(rig.journal.lock().base > 16, "{:?}", rig.journal);
    taken.extend(rig.take(0, 1000));
    let frames = rig.journal.lock().next - 1;
    assert_eq!(rig.lost(LossReason::SpoolFull) + taken.len() as u64, frames);
}

#[test]
fn a_damaged_frame_holds_only_the_end_that_it_is_at() {
    let mut rig = Rig::new(vec![newest_first("a")]);
    rig.backlog(10, 100);
    rig.take(0, 1);
    rig.damage(3);
    rig.append(100);
    assert_eq!(rig.take(0, 3), [11, 2], "3 is being read again");
    (0..6).for_each(|_| rig.append(100));
    let new = rig.take(0, 100);
    assert!(new.iter().copied().eq(12..=17), "and what is new goes on: {new:?}");
    let missing = rig.journal.lock().take_missing();
    assert_eq!((missing.len(), missing[0].id), (1, 3));
    let again = frame(&vec![(0, 2, 3)], Vec::new(), Vec::new(), vec![3], 0);
    rig.journal.lock().append(again, rig.now).unwrap();
    let rest = rig.take(0, 100);
    assert_eq!(rest, [4, 18, 5, 6, 7, 8, 9, 10]);
    assert_eq!(rig.journal.lock().base, 19);
}
