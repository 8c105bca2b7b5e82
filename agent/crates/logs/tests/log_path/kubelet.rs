//! A kubelet and a runtime that do what they may do, in any order, while the agent reads, stops and is killed. The queue
//! keeps frames and positions together, as the spool does.
//!
//! `PROPTEST_CASES` makes it more.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawsepipe_model::{Extent, LossReason, SegmentId};
use proptest::prelude::*;

use crate::rig::{Rig, append, compress, copy_compressed, lines, wait};

/// An output of the container, as the runtime names it and as its lines begin.
const OUTPUTS: [(&str, char); 2] = [("stdout", 'o'), ("stderr", 'e')];

#[derive(Debug, Clone)]
enum Step {
    /// Whole lines of an output, in one write.
    Write(usize, usize),
    /// A piece of a line; the last one or not.
    Piece(usize, bool),
    /// The kubelet renames, the runtime drains some lines into the renamed file and reopens. An aged file looks as if nobody
    /// had written to it for long.
    Rotate {
        drained: usize,
        aged: bool,
    },
    /// The runtime does not reopen, and the kubelet renames back.
    FailedRotation(usize),
    /// All rotated files but the newest.
    Compress,
    /// Its first half: copy and original are both there.
    CompressHalf,
    /// The container begins anew, with a log of its own.
    NewRun,
    /// The kubelet deletes the oldest rotated file. While the agent runs only what was delivered: what it holds open is
    /// not seen from here.
    DeleteOldest,
    Full(bool),
    Stop,
    Kill,
    Start,
    Settle,
}

fn steps(deletes: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        5 => (0..2_usize, 1..40_usize).prop_map(|(output, count)| Step::Write(output, count)),
        // A piece whose other half is deleted would be a line that nobody wrote.
        5 => (0..2_usize, any::<bool>()).prop_map(move |(output, last)| {
            if deletes { Step::DeleteOldest } else { Step::Piece(output, last) }
        }),
        4 => (0..3_usize, any::<bool>()).prop_map(|(drained, aged)| Step::Rotate { drained, aged }),
        1 => (0..3_usize).prop_map(Step::FailedRotation),
        2 => Just(Step::Compress),
        1 => Just(Step::CompressHalf),
        1 => Just(Step::NewRun),
        1 => any::<bool>().prop_map(Step::Full),
        1 => Just(Step::Stop),
        3 => Just(Step::Kill),
        3 => Just(Step::Start),
        2 => Just(Step::Settle),
    ];
    proptest::collection::vec(step, 1..40)
}

/// An inode and its birth, nanoseconds since the epoch.
type Identity = (u64, i64);

/// A node with one container, and what was written there.
struct Node {
    rig: Rig,
    dir: PathBuf,
    run: u32,
    /// The file that the runtime holds open.
    runtime: File,
    rotations: u32,
    /// Of each output: lines so far, and the line that is open.
    counts: [usize; 2],
    open: [Option<String>; 2],
    written: [Vec<String>; 2],
    /// The files that are there, in their order, each with its lines; the last is the live one.
    files: Vec<(PathBuf, Identity, Vec<String>)>,
    /// Lines of files that were deleted while no agent ran...
    deleted_away: BTreeSet<String>,
    /// ... and that no agent had ever told the queue of, so that nobody can know of them.
    unknowable: BTreeSet<String>,
    /// Files were deleted. An agent that is killed before it has seen that cannot know that they were read to their ends.
    was_deleted: bool,
    /// Files were compressed. One that was empty when the agent was stopped cannot be recognized then.
    was_compressed: bool,
}

impl Node {
    fn new() -> Self {
        let mut rig = Rig::new();
        let dir = rig.container("ns_pod_uid", "c");
        let live = dir.join("0.log");
        append(&live, "");
        rig.start();
        Self {
            runtime: OpenOptions::new().append(true).open(&live).unwrap(),
            files: vec![(live.clone(), identity(&live), Vec::new())],
            rig,
            dir,
            run: 0,
            rotations: 0,
            counts: [0; 2],
            open: [const { None }; 2],
            written: [const { Vec::new() }; 2],
            deleted_away: BTreeSet::new(),
            unknowable: BTreeSet::new(),
            was_deleted: false,
            was_compressed: false,
        }
    }

    fn live(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.run))
    }

    fn lines_here(&mut self) -> &mut Vec<String> {
        &mut self.files.last_mut().unwrap().2
    }

    fn next(&mut self, output: usize) -> String {
        self.counts[output] += 1;
        format!("{}{}", OUTPUTS[output].1, self.counts[output])
    }

    /// A physical line; no two of a container have the same time.
    fn physical(&self, output: usize, tag: char, text: &str) -> String {
        let nanos: usize = self.counts.iter().sum();
        format!("2026-11-22T10:00:00.{nanos:09}Z {} {tag} {text}\n", OUTPUTS[output].0)
    }

    fn write(&mut self, output: usize, count: usize) {
        // What is open ends first: a runtime gives an output's lines one after the other.
        if self.open[output].is_some() {
            self.piece(output, true);
        }
        let mut text = String::new();
        for _ in 0..count {
            let body = self.next(output);
            text += &self.physical(output, 'F', &body);
            self.lines_here().push(body.clone());
            self.written[output].push(body);
        }
        self.runtime.write_all(text.as_bytes()).unwrap();
    }

    fn piece(&mut self, output: usize, last: bool) {
        let piece = match self.open[output] {
            Some(_) => "+".to_owned(),
            None => self.next(output),
        };
        let line = self.physical(output, if last { 'F' } else { 'P' }, &piece);
        self.runtime.write_all(line.as_bytes()).unwrap();
        let body = self.open[output].take().unwrap_or_default() + &piece;
        if last {
            self.lines_here().push(body.clone());
            self.written[output].push(body);
        } else {
            self.open[output] = Some(body);
        }
    }

    fn rotate(&mut self, drained: usize, aged: bool) {
        let name = format!("{}.log.20261122-{:06}", self.run, self.rotations);
        self.rotations += 1;
        let rotated = self.dir.join(name);
        fs::rename(self.live(), &rotated).unwrap();
        self.files.last_mut().unwrap().0 = rotated;
        if drained > 0 {
            self.write(0, drained);
        }
        if aged {
            let past = SystemTime::now() - Duration::from_secs(60);
            self.runtime.set_modified(past).unwrap();
        }
        self.reopen();
    }

    fn reopen(&mut self) {
        let live = self.live();
        self.runtime = OpenOptions::new().create(true).append(true).open(&live).unwrap();
        let identity = identity(&live);
        self.files.push((live, identity, Vec::new()));
    }

    fn rotated(&self) -> Vec<PathBuf> {
        let rotated = |path: &&PathBuf| path.to_str().unwrap().contains(".log.");
        self.files.iter().map(|(path, ..)| path).filter(rotated).cloned().collect()
    }

    fn compress(&mut self, half: bool) {
        self.was_compressed = true;
        let rotated = self.rotated();
        let old = &rotated[..rotated.len().max(1) - 1];
        for plain in old.iter().filter(|path| path.exists()) {
            if half { copy_compressed(plain) } else { compress(plain) }
        }
    }

    fn delete_oldest(&mut self) {
        let Some(oldest) = self.rotated().first().cloned() else { return };
        let index = self.files.iter().position(|(path, ..)| *path == oldest).unwrap();
        let (_, identity, lines) = self.files[index].clone();
        if self.rig.tailer.is_some() {
            if *self.rig.sink.full.lock() {
                return;
            }
            let delivered = || {
                let bodies: BTreeSet<_> = self.rig.bodies().into_iter().collect();
                lines.iter().all(|line| bodies.contains(line) || self.deleted_away.contains(line))
            };
            wait(delivered, || format!("{:?} of {lines:?}", self.rig.bodies()));
        } else {
            let is_it = |id: SegmentId| (id.inode, id.born_nanos) == identity;
            if !self.rig.positions().iter().any(|cover| is_it(cover.segment)) {
                self.unknowable.extend(lines.iter().cloned());
            }
            self.deleted_away.extend(lines);
        }
        self.was_deleted = true;
        self.files.remove(index);
        for path in [oldest.clone(), PathBuf::from(format!("{}.gz", oldest.display()))] {
            if path.exists() {
                fs::remove_file(path).unwrap();
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Write(output, count) => self.write(output, count),
            Step::Piece(output, last) => self.piece(output, last),
            Step::Rotate { drained, aged } => self.rotate(drained, aged),
            Step::FailedRotation(count) => {
                let aside =
                    self.dir.join(format!("{}.log.20261122-{:06}", self.run, self.rotations));
                fs::rename(self.live(), &aside).unwrap();
                if count > 0 {
                    self.write(1, count);
                }
                fs::rename(&aside, self.live()).unwrap();
            }
            Step::Compress => self.compress(false),
            Step::CompressHalf => self.compress(true),
            Step::NewRun => {
                // Its lines end where the container did.
                for output in 0..2 {
                    if let Some(body) = self.open[output].take() {
                        self.lines_here().push(body.clone());
                        self.written[output].push(body);
                    }
                }
                self.run += 1;
                self.reopen();
            }
            Step::DeleteOldest => self.delete_oldest(),
            Step::Full(full) => *self.rig.sink.full.lock() = full,
            Step::Stop => self.rig.tailer = None,
            Step::Kill => self.rig.kill(),
            Step::Start if self.rig.tailer.is_none() => self.rig.restart(),
            Step::Start => {}
            Step::Settle if self.rig.tailer.is_some() && !*self.rig.sink.full.lock() => {
                self.settle();
            }
            Step::Settle => {}
        }
    }

    /// Waits until all that is written has been delivered, as far as it was not deleted while no agent ran.
    fn settle(&self) {
        let all = || {
            let bodies: BTreeSet<_> = self.rig.bodies().into_iter().collect();
            let written = self.written.iter().flatten();
            written
                .into_iter()
                .all(|line| bodies.contains(line) || self.deleted_away.contains(line))
        };
        wait(all, || format!("{:?} of {:?}", self.rig.bodies(), self.written));
    }

    /// Ends every line, lets the agent read all, and gives what arrived of each output.
    fn finish(&mut self) -> [Vec<String>; 2] {
        *self.rig.sink.full.lock() = false;
        if self.rig.tailer.is_none() {
            self.rig.restart();
        }
        for output in 0..2 {
            // The last line of each: nothing can follow it.
            self.write(output, 1);
        }
        self.settle();
        let bodies = self.rig.bodies();
        OUTPUTS
            .map(|(_, mark)| bodies.iter().filter(|body| body.starts_with(mark)).cloned().collect())
    }
}

/// What a file is known by: its inode, which the file system gives again to another one, and its birth.
fn identity(path: &Path) -> Identity {
    let meta = fs::metadata(path).unwrap();
    let born = meta.created().unwrap().duration_since(UNIX_EPOCH).unwrap();
    (meta.ino(), i64::try_from(born.as_nanos()).unwrap())
}

fn config(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let cases = asked.unwrap_or(usual);
    ProptestConfig { cases, max_shrink_iters: 20, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(20))]

    /// Scenario: the runtime writes whole lines and pieces to both outputs, the kubelet rotates (and fails to), compresses
    /// and restarts the container, the agent is stopped, killed and started, the queue is full for a while.
    /// Guarantees: every line once, in the order of its output; nothing is said to be lost.
    #[test]
    fn prop_every_line_arrives_once_whatever_happens_between(steps in steps(false)) {
        let mut node = Node::new();
        for step in &steps {
            node.step(step);
        }
        let arrived = node.finish();
        prop_assert_eq!(&arrived, &node.written);
        let losses = node.rig.losses();
        let guessed = Extent { unknown: 0, ..losses.values().copied().next().unwrap_or_default() };
        prop_assert!(losses.is_empty() || node.was_compressed, "{losses:?}");
        prop_assert!(losses.len() <= 1 && guessed == Extent::default(), "{losses:?}");
    }

    /// Scenario: files are deleted too, while no agent runs or once they are delivered.
    /// Guarantees: what arrives arrives once and in order; what does not was in a file that was deleted while no agent ran,
    /// and then a loss says so.
    #[test]
    fn prop_what_is_missing_is_among_the_losses(steps in steps(true)) {
        let mut node = Node::new();
        for step in &steps {
            node.step(step);
        }
        let arrived = node.finish();
        let mut missing = 0;
        for (arrived, written) in arrived.iter().zip(&node.written) {
            let mut rest = arrived.iter().peekable();
            for line in written {
                if rest.next_if(|next| *next == line).is_none() {
                    prop_assert!(node.deleted_away.contains(line), "{line} is missing in {arrived:?}");
                    missing += usize::from(!node.unknowable.contains(line));
                }
            }
            prop_assert!(rest.next().is_none(), "{arrived:?}");
        }
        let losses = node.rig.losses();
        let unknown = losses.get(&LossReason::DeletedBeforeRead).copied().unwrap_or_default().unknown;
        prop_assert!(missing == 0 || unknown > 0, "{missing} lines are missing, {losses:?}");
        let away = node.was_deleted || node.was_compressed;
        prop_assert!(away || losses.is_empty(), "{losses:?}");
    }

    /// Scenario: the queue is full, files are rotated, compressed and deleted, and may pin little.
    /// Guarantees: what arrives and what is counted are together what was written, to the line.
    #[test]
    fn prop_what_is_let_go_is_counted_to_the_line(
        sizes in proptest::collection::vec(1..200_usize, 2..8),
        compressed in 0..4_usize,
        deleted in 0..8_usize,
        max_unlinked in 0..20_000_u64,
    ) {
        let mut rig = Rig::new();
        rig.settings.max_unlinked = max_unlinked;
        *rig.sink.full.lock() = true;
        let dir = rig.container("ns_pod_uid", "c");
        let path = |number: usize| match number + 1 {
            last if last == sizes.len() => dir.join("0.log"),
            _ => dir.join(format!("0.log.20261122-{number:06}")),
        };
        let mut written = 0;
        for (number, size) in sizes.iter().enumerate() {
            append(&path(number), lines(written..written + size));
            written += size;
        }
        rig.start();
        let tailer = rig.tailer.as_ref().unwrap();
        wait(|| tailer.status().open_files == sizes.len(), || format!("{:?}", tailer.status()));
        let deleted = deleted.min(sizes.len() - 1);
        for number in 0..(deleted + compressed).min(sizes.len() - 1) {
            if number < deleted {
                fs::remove_file(path(number)).unwrap();
            } else {
                compress(&path(number));
            }
        }
        let bounded = || {
            let pinned = rig.metrics.pinned_bytes();
            pinned >= 0 && pinned.unsigned_abs() <= max_unlinked
        };
        wait(bounded, || rig.metrics.pinned_bytes().to_string());
        *rig.sink.full.lock() = false;
        let lost = || rig.losses().values().fold(Extent::default(), |mut sum, extent| {
            sum.add(*extent);
            sum
        });
        let last = (written - 1).to_string();
        wait(
            || rig.bodies().last() == Some(&last),
            || format!("{:?}, {:?} of {written}", rig.bodies(), rig.losses()),
        );
        let numbers: Vec<usize> = rig.bodies().iter().map(|body| body.parse().unwrap()).collect();
        prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        let lost = lost();
        prop_assert_eq!(lost.unknown, 0);
        prop_assert_eq!(numbers.len() as u64 + lost.records, written as u64, "{:?}", rig.losses());
    }
}
