//! What is pushed: a frame whose sender was told that it is taken arrives, whatever the power cut takes.

use std::collections::BTreeSet;
use std::sync::Arc;

use fastrand::Rng;
use parking_lot::Mutex;

use super::lines::{frame, runs};
use super::number;
use super::sim::SimDisk;
use crate::journal::*;

struct Rig {
    disk: SimDisk,
    journal: Mutex<Journal<SimDisk>>,
    cursor: Cursor<SimDisk>,
    /// Lines, one a frame, and the frame's number: those that wait for a sync, in this process.
    waiting: Vec<(u64, u64)>,
    /// Lines whose senders were told that they are taken.
    told: BTreeSet<u64>,
    received: BTreeSet<u64>,
    lines: u64,
}

fn open(disk: &SimDisk) -> Mutex<Journal<SimDisk>> {
    let destination = DestinationSettings {
        name: "main".into(),
        when_full: WhenFull::Block,
        catch_up: CatchUp::InOrder,
    };
    loop {
        let settings = Settings {
            capacity: 96 << 10,
            working_set: 48 << 10,
            min_free: MinFree::Bytes(0),
            synced: true,
            destinations: vec![destination.clone()],
        };
        match Journal::open(Arc::new(disk.clone()), settings, 1) {
            Ok((journal, _)) => return Mutex::new(journal),
            // It dies while it starts.
            Err(_) if disk.has_crashed() => disk.revive(),
            Err(error) => panic!("{error}"),
        }
    }
}

impl Rig {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        Self {
            journal: open(&disk),
            disk,
            cursor: Cursor::default(),
            waiting: Vec::new(),
            told: BTreeSet::new(),
            received: BTreeSet::new(),
            lines: 0,
        }
    }

    fn append(&mut self, padding: usize) {
        let line = self.lines;
        self.lines += 1;
        let made = frame(&vec![(0, line, line + 1)], Vec::new(), Vec::new(), Vec::new(), padding);
        let mut journal = self.journal.lock();
        journal.make_room(made.cost() as u64, 1);
        if journal.append(made, 1).is_ok() {
            self.waiting.push((line, journal.newest()));
        }
    }

    /// One sync for all that wait; frames may come between its beginning and its end.
    fn flush(&mut self, between: u32) {
        let Some(flush) = self.journal.lock().take_flush() else { panic!("nobody else is at it") };
        (0..between).for_each(|_| self.append(10));
        let flushed = flush.run();
        let mut journal = self.journal.lock();
        journal.flushed(flushed);
        self.waiting.retain(|(line, number)| match journal.is_flushed(*number) {
            Some(true) => {
                self.told.insert(*line);
                false
            }
            Some(false) => false,
            None => true,
        });
    }

    fn deliver(&mut self, settles: bool) {
        let Found::Frame(frame, handed) = find(&self.journal, 0, &mut self.cursor, 1) else {
            return;
        };
        self.received.extend(runs(&frame.payload).iter().map(|run| run.1));
        if settles {
            self.journal.lock().settle(0, &handed.meta, handed.end, &[], 1);
            follow(&self.journal);
        }
    }

    fn sync(&self) {
        let job = self.journal.lock().take_sync();
        if let Some(job) = job {
            let result = job.run();
            self.journal.lock().synced(&job, result);
        }
    }

    /// The process is gone, and with it whoever waited; perhaps the power too.
    fn end(&mut self, power: bool) {
        self.waiting.clear();
        self.cursor = Cursor::default();
        self.disk.revive();
        if power {
            self.disk.power_cut();
        }
        self.journal = open(&self.disk);
    }

    fn step(&mut self, rng: &mut Rng) {
        match rng.u32(0..100) {
            0..40 => self.append([20, 900, 5000][rng.usize(0..3)]),
            40..60 => self.flush(rng.u32(0..3)),
            60..78 => self.deliver(rng.bool()),
            78..86 => self.sync(),
            86..92 => self.journal.lock().tick(),
            92..96 => self.disk.crash_in(rng.u32(0..12)),
            _ => self.end(rng.bool()),
        }
        if self.disk.has_crashed() {
            self.end(rng.bool());
        }
    }
}

#[test]
fn what_was_acknowledged_arrives_whatever_write_the_process_dies_at_and_whatever_a_power_cut_takes()
{
    let steps = number("HAWSEPIPE_MODEL_STEPS").unwrap_or(60_000);
    let given = number("HAWSEPIPE_MODEL_SEED");
    let (mut played, mut told) = (0, 0);
    while played < steps {
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        let mut rng = Rng::with_seed(seed);
        let mut rig = Rig::new(seed);
        let length = 20 + seed % 600;
        (0..length).for_each(|_| rig.step(&mut rng));
        rig.end(true);
        (0..length * 4).for_each(|_| rig.deliver(true));
        let lost: Vec<_> = rig.told.difference(&rig.received).collect();
        assert!(
            lost.is_empty(),
            "HAWSEPIPE_MODEL_SEED={seed}: {lost:?} were acknowledged and are lost"
        );
        assert!(rig.received.iter().all(|line| *line < rig.lines));
        (played, told) = (played + length, told + rig.told.len());
        if given.is_some() {
            return;
        }
    }
    assert!(told > 0, "nothing was acknowledged");
}

#[test]
fn one_sync_is_for_all_that_wait_and_not_for_those_that_come_after_it_began() {
    let mut rig = Rig::new(1);
    (0..10).for_each(|_| rig.append(100));
    rig.flush(2);
    assert_eq!(rig.told.iter().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!((rig.waiting.len(), rig.journal.lock().usage().syncs), (2, 1));
    rig.flush(0);
    assert_eq!((rig.told.len(), rig.journal.lock().usage().syncs), (12, 2));
}

#[test]
fn what_came_into_a_file_while_its_sync_failed_is_not_said_to_be_taken_by_the_next_one() {
    let mut rig = Rig::new(1);
    rig.append(100);
    let flush = rig.journal.lock().take_flush().unwrap();
    rig.append(100);
    rig.disk.crash_in(0);
    let failed = flush.run();
    rig.disk.revive();
    rig.journal.lock().flushed(failed);
    rig.append(100);
    rig.flush(0);
    let journal = rig.journal.lock();
    let flushed = [1, 2, 3].map(|number| journal.is_flushed(number));
    assert_eq!(flushed, [Some(false), Some(false), Some(true)]);
    assert_eq!(journal.usage().segments, 2, "it is another file");
}

#[test]
fn after_a_sync_that_failed_nobody_is_told_that_his_frame_is_taken() {
    let mut rig = Rig::new(1);
    rig.append(100);
    let flush = rig.journal.lock().take_flush().unwrap();
    rig.disk.crash_in(0);
    let failed = flush.run();
    rig.disk.revive();
    rig.journal.lock().flushed(failed);
    // Another one's sync goes well before the first one looks.
    rig.append(100);
    rig.flush(0);
    let journal = rig.journal.lock();
    assert_eq!((journal.is_flushed(1), journal.is_flushed(2)), (Some(false), Some(true)));
}
