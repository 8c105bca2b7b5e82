//! The world that a lane lives in: files that are written, a reader, destinations, and what befalls them; and what the lane must
//! have made of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use fastrand::Rng;
use hawsepipe_model::{
    AppendError, Cover, Entry, Extent, Frame, Ledger, Loss, LossKey, LossReason, Missing,
};
use parking_lot::Mutex;

use super::STREAMS;
use super::destination::{Destination, Known, SECOND};
use super::lines::{Runs, cover, frame, runs, stream};
use super::sim::SimDisk;
use crate::journal::*;

/// What may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evil {
    /// Full disks.
    Nothing,
    /// Processes are killed, at any write; an older version comes and goes.
    Kills,
    /// The power fails.
    PowerCuts,
    /// Bits flip.
    Flips,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.merged += more.merged;
        self.resumed += more.resumed;
        self.forgotten += more.forgotten;
        self.dropped += more.dropped;
    }
}

/// How often something was played that must have been played.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// Frames that were given before older ones.
    pub(super) passed: u64,
    /// Times that a backlog came to what was settled ahead.
    pub(super) merged: u64,
    /// Starts at which something was settled ahead.
    pub(super) resumed: u64,
    /// The same, of an older version, which does not know it.
    pub(super) forgotten: u64,
    /// Times that something was let go of which some was settled ahead.
    pub(super) dropped: u64,
}

pub(super) struct World {
    rng: Rng,
    evil: Evil,
    disk: SimDisk,
    journal: Option<Mutex<Journal<SimDisk>>>,
    pub(super) destinations: Vec<Destination>,
    pub(super) written: [u64; STREAMS],
    /// How far the reader of this process is.
    pub(super) read: [u64; STREAMS],
    to_read: Vec<Missing>,
    /// The reader passes over a line now and then, and counts it.
    pub(super) passes_over: bool,
    /// Frames with records, by their numbers.
    frames: BTreeMap<u64, Known>,
    capacity: u64,
    /// Its disk is full now and then.
    disk_fills: bool,
    /// Frames are padded by up to so many bytes.
    padding: usize,
    /// Destinations take up to so many frames at a time.
    speed: u32,
    now: u64,
    /// A step takes up to so long.
    pace: u64,
    /// This process is of an older version: it knows nothing of what was settled ahead.
    older: bool,
    killed: bool,
    cut: bool,
    flipped: bool,
    pub(super) tally: Tally,
}

impl World {
    pub(super) fn new(seed: u64, evil: Evil) -> Self {
        let mut rng = Rng::with_seed(seed);
        let destination = |rng: &mut Rng, when_full| {
            let order = [CatchUp::NewestFirst, CatchUp::NewestFirst, CatchUp::InOrder];
            Destination::new(when_full, order[rng.usize(0..3)])
        };
        let mut destinations = vec![destination(&mut rng, WhenFull::Block)];
        if rng.bool() {
            destinations.push(destination(&mut rng, WhenFull::Drop));
        }
        if rng.bool() {
            destinations.push(destination(&mut rng, WhenFull::Block));
        }
        let padding = [200, 1500, 6000][rng.usize(0..3)];
        let capacity = [48 << 10, 128 << 10][rng.usize(0..2)];
        let disk_fills = rng.bool();
        let speed = [1, 5, 12][rng.usize(0..3)];
        let pace = [0, SECOND / 3, 2 * SECOND][rng.usize(0..3)];
        let disk = SimDisk::new(rng.u64(..));
        let mut world = Self {
            rng,
            evil,
            disk,
            journal: None,
            destinations,
            written: [0; STREAMS],
            read: [0; STREAMS],
            to_read: Vec::new(),
            passes_over: true,
            frames: BTreeMap::new(),
            capacity,
            disk_fills,
            padding,
            speed,
            now: 1000 * SECOND,
            pace,
            older: false,
            killed: false,
            cut: false,
            flipped: false,
            tally: Tally::default(),
        };
        world.start();
        world
    }

    fn settings(&self) -> Settings {
        let named = |(index, it): (usize, &Destination)| DestinationSettings {
            name: format!("d{index}").into(),
            when_full: it.when_full,
            catch_up: if self.older { CatchUp::InOrder } else { it.catch_up },
        };
        Settings {
            capacity: self.capacity,
            working_set: self.capacity / 2,
            min_free: MinFree::Bytes(0),
            synced: false,
            destinations: self.destinations.iter().enumerate().map(named).collect(),
        }
    }

    /// Whether frames stay what and where they are.
    fn is_gentle(&self) -> bool {
        !self.cut && !self.flipped
    }

    pub(super) fn disk(&self) -> &SimDisk {
        &self.disk
    }

    /// A new process.
    pub(super) fn start(&mut self) {
        self.older = self.evil >= Evil::Kills && self.rng.u8(0..6) == 0;
        loop {
            match Journal::open(Arc::new(self.disk.clone()), self.settings(), self.now) {
                Ok((mut journal, _)) => {
                    if !self.remember(&mut journal) {
                        self.disk.revive();
                        continue;
                    }
                    self.read = [0; STREAMS];
                    for cover in journal.positions() {
                        let index = cover.segment.inode as usize;
                        assert!(cover.position.stdout <= self.written[index], "{cover:?}");
                        self.read[index] = cover.position.stdout;
                    }
                    self.to_read = journal.take_missing();
                    self.journal = Some(Mutex::new(journal));
                    return;
                }
                // It dies while it starts.
                Err(_) if self.disk.has_crashed() => self.disk.revive(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What a new process knows of frames that are settled; false when it dies at it.
    fn remember(&mut self, journal: &mut Journal<SimDisk>) -> bool {
        let ahead = journal.destinations.iter().any(|place| !place.ahead.is_empty());
        if self.older && ahead {
            self.tally.forgotten += 1;
            journal.destinations.iter_mut().for_each(|place| place.ahead.clear());
            // Such a version would have begun with this.
            journal.roll_if_possible();
            if self.disk.has_crashed() {
                return false;
            }
        } else if ahead {
            self.tally.resumed += 1;
        }
        for (it, place) in self.destinations.iter_mut().zip(&journal.destinations) {
            let has = |number: &u64| place.has(&(*number..*number + 1));
            let perhaps = it.unsaved.iter().chain(&it.forgotten);
            it.settled.extend(perhaps.filter(|number| has(number)));
            if self.older {
                let of = |number: &u64| self.frames.get(number).map_or(0, |known| known.records);
                let forgotten = it.settled.extract_if(.., |number| !has(number));
                for number in forgotten {
                    it.may_double += of(&number);
                    it.forgotten.insert(number);
                }
            }
            it.unsaved.clear();
            it.given.clear();
            (it.passed, it.in_a_row, it.was_late) = (None, 0, false);
        }
        self.check_places(journal);
        true
    }

    /// Frames are settled that destinations have settled, and no others.
    fn check_places(&self, journal: &Journal<SimDisk>) {
        for (it, place) in self.destinations.iter().zip(&journal.destinations) {
            assert!(place.ahead.is_sorted_by(|one, next| one.end < next.start), "{place:?}");
            assert!(place.ahead.iter().all(|range| place.next() < range.start), "{place:?}");
            assert!(place.ahead.len() <= 8, "{place:?}");
            assert!(journal.base <= place.next(), "{journal:?}");
            for number in self.frames.keys().filter(|_| self.is_gentle()) {
                let (has, done) = (place.has(&(*number..*number + 1)), it.is_done(*number));
                assert!(has || !done, "frame {number} is forgotten: {place:?}");
                let dropped = it.when_full == WhenFull::Drop;
                assert!(done || !has || dropped, "frame {number} is skipped: {place:?}");
            }
        }
    }

    /// Another disk, of which one destination has received nothing.
    pub(super) fn begin_with(&mut self, disk: SimDisk) {
        self.disk = disk;
        self.destinations = vec![Destination::new(WhenFull::Block, CatchUp::NewestFirst)];
        self.frames.clear();
        self.start();
    }

    pub(super) fn end(&mut self) {
        self.journal = None;
        for destination in &mut self.destinations {
            destination.cursor = Cursor::default();
            let records = |number| self.frames.get(number).map_or(0, |known| known.records);
            destination.may_double += destination.unsaved.iter().map(records).sum::<u64>();
            if let Some((frame, _)) = destination.in_hand.take() {
                destination.may_double += frame.records;
            }
        }
    }

    pub(super) fn journal(&self) -> &Mutex<Journal<SimDisk>> {
        self.journal.as_ref().unwrap()
    }

    pub(super) fn step(&mut self) {
        self.now += self.rng.u64(0..=self.pace);
        match self.rng.u32(0..100) {
            0..25 => {
                let index = self.rng.usize(0..STREAMS);
                self.written[index] += self.rng.u64(1..6);
            }
            25..50 => self.read_on(),
            50..75 => {
                let index = self.rng.usize(0..self.destinations.len());
                let it = &mut self.destinations[index];
                let often = match (it.away, it.when_full) {
                    (true, WhenFull::Block) => 12,
                    _ => 40,
                };
                it.away ^= self.rng.u8(0..often) == 0;
                let times = if it.away { 0 } else { self.rng.u32(1..=self.speed) };
                (0..times).for_each(|_| self.deliver(index));
            }
            75..85 => self.sync(),
            85..90 => self.tick(),
            90..92 if self.disk_fills => {
                let more = self.rng.bool().then(|| self.rng.usize(0..40_000));
                self.disk.fill_to(more);
            }
            92..94 if self.evil >= Evil::Kills => {
                let writes = self.rng.u32(0..12);
                self.disk.crash_in(writes);
            }
            94..96 if self.evil >= Evil::Kills => self.kill(),
            _ => self.read_missing(),
        }
        if self.disk.has_crashed() {
            self.kill();
        }
        let journal = self.journal().lock();
        self.check_places(&journal);
        let usage = journal.usage();
        if self.is_gentle() {
            let wanted = |number: &&u64| self.destinations.iter().any(|it| !it.is_done(**number));
            let blocks = self.destinations.iter().all(|it| it.when_full == WhenFull::Block);
            let frames = self.frames.keys().filter(wanted).count() as u64;
            assert!(usage.frames >= frames || !blocks, "{frames} wait, {usage:?}");
            assert!(frames == 0 || usage.waiting > 0 || !blocks, "{frames} wait, {usage:?}");
        }
        // A frame that replaces one, notes and acknowledgements come on top.
        assert!(usage.used <= self.capacity + (32 << 10), "{usage:?}");
    }

    /// The process ends, and perhaps more.
    fn kill(&mut self) {
        self.end();
        self.killed = true;
        if self.rng.u8(0..8) == 0 {
            // The clock was wrong.
            self.now -= self.now / 2;
        }
        self.disk.revive();
        if self.evil >= Evil::PowerCuts && self.rng.bool() {
            self.cut = true;
            self.disk.power_cut();
        }
        if self.evil == Evil::Flips && self.rng.u8(0..4) == 0 {
            self.flipped = true;
            self.disk.flip();
        }
        self.start();
    }

    /// The reader makes a frame of what it finds, and passes over a line now and then.
    fn read_on(&mut self) {
        let (mut found, mut covers, mut losses) = (Runs::new(), Vec::new(), Vec::new());
        let mut read = self.read;
        for (index, from) in self.read.into_iter().enumerate() {
            let end = self.written[index];
            if from == end || self.rng.u8(0..3) == 0 {
                continue;
            }
            let to = self.rng.u64(from + 1..=end);
            let mut first = from;
            if self.passes_over && self.rng.u8(0..20) == 0 {
                first += 1;
                let reason = LossReason::DeletedBeforeRead;
                losses.push(Loss::of_stream(&stream(index), reason, Extent::known(1, 1)));
            }
            if first < to {
                found.push((index, first, to));
            }
            covers.push(cover(index, from, to));
            read[index] = to;
        }
        if covers.is_empty() {
            return;
        }
        let padding = self.rng.usize(0..self.padding);
        let made = frame(&found, covers, losses, Vec::new(), padding);
        let needed = made.cost() as u64;
        let mut journal = self.journal().lock();
        let ahead =
            journal.destinations.iter().map(|place| place.ahead.clone()).collect::<Vec<_>>();
        journal.make_room(needed, self.now);
        let changed = journal.destinations.iter().zip(&ahead).any(|(it, ahead)| it.ahead != *ahead);
        drop(journal);
        self.tally.dropped += u64::from(changed);
        match self.append(made) {
            Ok(()) => self.read = read,
            Err(AppendError::Full(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn append(&mut self, made: Frame) -> Result<(), AppendError> {
        let mut journal = self.journal().lock();
        let (number, records) = (journal.next, made.records);
        journal.append(made, self.now)?;
        drop(journal);
        if records > 0 {
            self.frames.insert(number, Known { records, at: self.now });
        }
        Ok(())
    }

    /// The reader reads again what was damaged.
    fn read_missing(&mut self) {
        let more = self.journal().lock().take_missing();
        self.to_read.extend(more);
        let Some(missing) = self.to_read.pop() else { return };
        let range = |cover: &Cover| {
            let index = cover.segment.inode as usize;
            (index, cover.from.stdout, cover.position.stdout.min(self.written[index]))
        };
        let found: Runs = missing.covers.iter().map(range).filter(|run| run.1 < run.2).collect();
        let made = frame(&found, Vec::new(), Vec::new(), vec![missing.id], 0);
        let appended = self.append(made);
        if appended.is_err() {
            self.to_read.push(missing);
        }
    }

    fn deliver(&mut self, index: usize) {
        let journal = self.journal.as_ref().unwrap();
        let gentle = self.is_gentle();
        let destination = &mut self.destinations[index];
        if destination.in_hand.is_none()
            && let Found::Frame(frame, handed) =
                find(journal, index, &mut destination.cursor, self.now)
        {
            for (index, from, to) in runs(&frame.payload) {
                assert!(to <= self.written[index], "a line that was never written");
                for line in from..to {
                    destination.doubled += u64::from(!destination.received[index].insert(line));
                }
            }
            let number = handed.meta.sequence;
            assert!(destination.given.insert(number), "frame {number} twice");
            // One may have been written by the process that died of it.
            let known = Known { records: frame.records, at: handed.meta.at };
            self.frames.insert(number, known);
            if gentle && destination.when_full == WhenFull::Block {
                let passed = destination.take(number, &self.frames, self.now);
                self.tally.passed += u64::from(passed);
            }
            destination.in_hand = Some((frame, handed));
        }
        // It may take its time, or the process may be killed before it says so.
        if self.rng.bool()
            && let Some((_, handed)) = destination.in_hand.take()
        {
            let mut journal = journal.lock();
            let ahead = journal.destinations[index].ahead.len();
            journal.settle(index, &handed.meta, handed.end, &[], self.now);
            let now = journal.destinations[index].ahead.len();
            self.tally.merged += u64::from(now < ahead);
            destination.unsaved.insert(handed.meta.sequence);
            if !journal.unsaved {
                for it in &mut self.destinations {
                    it.settled.append(&mut it.unsaved);
                }
            }
        }
        if self.rng.bool() {
            follow(journal);
        }
    }

    fn tick(&self) {
        self.journal().lock().tick();
        follow(self.journal());
    }

    fn sync(&self) {
        let job = self.journal().lock().take_sync();
        if let Some(job) = job {
            let result = job.run();
            self.journal().lock().synced(&job, result);
        }
    }

    /// No more evil: everything arrives.
    pub(super) fn heal(&mut self) {
        if self.disk.has_crashed() {
            self.kill();
        }
        self.disk.revive();
        self.disk.fill_to(None);
        for round in 0.. {
            assert!(round < 20_000, "it does not come to an end: {:?}", self.journal());
            self.tick();
            self.sync();
            self.read_missing();
            self.read_on();
            (0..self.destinations.len()).for_each(|index| self.deliver(index));
            let usage = self.journal().lock().usage();
            if usage.frames == 0 && self.read == self.written && self.to_read.is_empty() {
                return;
            }
        }
    }

    pub(super) fn check(&mut self) {
        follow(self.journal());
        self.check_places(&self.journal().lock());
        check_settled(&self.journal().lock());
        let ledger = self.journal().lock().ledger().clone();
        let passed_over = sum(&ledger, None, LossReason::DeletedBeforeRead);
        let gentle = self.is_gentle();
        for (index, destination) in self.destinations.iter().enumerate() {
            let written: u64 = self.written.iter().sum();
            let received: u64 = destination.received.iter().map(|lines| lines.len() as u64).sum();
            let missing = written - received;
            let name = format!("d{index}");
            let dropped = sum(&ledger, Some(&name), LossReason::SpoolFull);
            // A frame that a power cut took was let go: of that not even the extent is known.
            let of = |(key, _): &(&LossKey, &Entry)| key.destination.as_deref() == Some(&*name);
            let unknown = ledger.entries().filter(of).any(|(_, entry)| entry.extent.unknown > 0);
            assert!(!gentle || !unknown);
            assert!(
                missing <= passed_over + dropped || unknown || self.flipped,
                "{missing} lines are missing, {passed_over} + {dropped} counted"
            );
            if destination.when_full == WhenFull::Block {
                assert_eq!(dropped, 0);
                assert!(
                    !gentle || missing == passed_over,
                    "{missing} missing, {passed_over} counted"
                );
            }
            if gentle && !self.killed {
                assert_eq!(missing, passed_over + dropped, "lost and counted");
            }
            if gentle {
                assert!(
                    destination.doubled <= destination.may_double,
                    "{} lines came twice, {} were in hand",
                    destination.doubled,
                    destination.may_double
                );
            }
        }
    }
}

/// Everything is settled: what a snapshot would say is what is.
fn check_settled(journal: &Journal<SimDisk>) {
    assert_eq!(journal.base, journal.next);
    let of = |positions: &Positions| {
        let end = |cover: &Cover| (cover.segment.inode, cover.position.stdout);
        positions.iter().map(end).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(of(&journal.settled), of(&journal.head));
    let of = |ledger: &Ledger| {
        let extent = |(key, entry): (&LossKey, &Entry)| (key.clone(), entry.extent);
        ledger.entries().map(extent).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(of(journal.told.ledger()), of(&journal.ledger));
}

fn sum(ledger: &Ledger, destination: Option<&str>, reason: LossReason) -> u64 {
    let of = ledger
        .entries()
        .filter(|(key, _)| key.destination.as_deref() == destination && key.reason == reason);
    of.map(|(_, entry)| entry.extent.records).sum()
}
