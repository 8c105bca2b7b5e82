//! The log thread: it finds, waits, reads in turns, and hands frames to the queue.
//!
//! In: the file system, events, room in the sink. Out: frames. Always: a stream reads at most one chunk a turn, and every
//! stream that has something gets its turn; files that will soon be deleted are read first; of what was there before the agent,
//! one chunk is read after each round of the others' turns while the queue is nearly empty, so that new lines do not wait
//! behind it; when the queue is full nothing is read, but new files are still opened, so that they can be read later even if
//! they are deleted.

mod turns;

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hawsepipe_model::codec::CodecError;
use hawsepipe_model::{FrameSink, Missing, PodDirectory, PreferredCodec};
use parking_lot::Mutex;

use self::turns::Served;
use crate::discover::{Discovery, Surroundings};
use crate::files::OpenFiles;
use crate::framer::{Framer, now};
use crate::metrics::Metrics;
use crate::reread::Again;
use crate::stream::{Begin, ContainerStream, Context};
use crate::tailer::{Settings, StartAt, Status};
use crate::wake::{Dirty, Wake};

/// What one turn reads at most. A container runtime's lines have 16 KiB; a chunk stays in the processor's cache.
const CHUNK: usize = 256 << 10;
/// How often streams are looked at that no event tells of.
const TICK: Duration = Duration::from_millis(100);
/// Bytes that are read in a tick to be counted: a few milliseconds' worth.
const COUNTED: u64 = 4 << 20;
/// What was not written to for this long does not rotate soon.
const QUIET: Duration = Duration::from_secs(60);
/// How often it is asked for damaged frames, while nothing else is to do.
const ASK: Duration = Duration::from_secs(1);
/// How often everything is looked at, so that a lost event costs no more than this.
const RESCAN: Duration = Duration::from_secs(10);
/// Writes within a second that make a stream hot: an event a line costs more than looking ten times a second.
const HOT_WRITES: u32 = 10;
/// A hot stream that had nothing to read for this long is left to events again.
const COOL: Duration = Duration::from_secs(3);
/// How often a hot stream's folder is looked at, for rotation; nothing tells of it.
const HOT_SCAN: Duration = Duration::from_millis(500);
/// How often it is looked whether the backlog may go on.
const PACE: Duration = Duration::from_millis(20);
/// File systems stamp births with the kernel's coarse clock, which stands still for a tick: 10 ms at the slowest
/// (`CONFIG_HZ=100`). A file that is that little older than the agent is taken for a new one.
const CLOCK_GRAIN: i64 = 20_000_000;
/// Wakes closer together than this are one.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// What the log thread works with.
pub(crate) struct Worker {
    settings: Settings,
    discovery: Discovery,
    files: OpenFiles,
    wake: Wake,
    framer: Framer,
    sink: Arc<dyn FrameSink>,
    pods: Arc<dyn PodDirectory>,
    codec: Arc<PreferredCodec>,
    metrics: Metrics,
    status: Arc<Mutex<Status>>,
    /// Streams that may have something to read, in the order of their turns.
    ready: VecDeque<usize>,
    /// Streams that are looked at on every tick.
    ticking: BTreeSet<usize>,
    /// Frames that the queue wants again.
    missing: VecDeque<Missing>,
    chunk: Vec<u8>,
    /// Where files are begun that are found now.
    begin: Begin,
}

impl Worker {
    pub(crate) fn new(
        mut settings: Settings,
        sink: Arc<dyn FrameSink>,
        pods: Arc<dyn PodDirectory>,
        codec: Arc<PreferredCodec>,
        metrics: Metrics,
        wake: Wake,
        status: Arc<Mutex<Status>>,
    ) -> Result<Self, CodecError> {
        // What is older is the backlog.
        let started = i64::try_from(now()).unwrap_or(i64::MAX) - CLOCK_GRAIN;
        let first = settings.first_start.map(|start| start - CLOCK_GRAIN);
        let begin = match settings.start_at {
            StartAt::All => Begin::Start,
            StartAt::New => {
                Begin::End { born_before: first.unwrap_or(started), first: first.is_none() }
            }
        };
        let framer = Framer::new(Arc::clone(&sink), Arc::clone(&codec), metrics.clone())?;
        let files = OpenFiles::new(settings.max_open_files);
        let positions = std::mem::take(&mut settings.positions);
        let (path, cap) = (settings.pods_path.clone(), settings.max_record_bytes);
        Ok(Self {
            discovery: Discovery::new(path, cap, files.clone(), started, positions),
            settings,
            files,
            wake,
            framer,
            sink,
            pods,
            codec,
            metrics,
            status,
            ready: VecDeque::new(),
            ticking: BTreeSet::new(),
            missing: VecDeque::new(),
            chunk: vec![0; CHUNK],
            begin,
        })
    }

    /// Works until it is stopped.
    pub(crate) fn run(mut self) {
        self.rescan();
        // What a first start passes over stays passed over, whatever happens next.
        self.framer.hasten();
        self.framer.flush();
        let (mut last_rescan, mut last_tick) = (Instant::now(), Instant::now());
        let mut served = Served::All;
        let waker = self.wake.waker();
        while !waker.is_stopped() {
            let now = Instant::now();
            let (dirty, lost) = self.wake.take();
            for (dir, what) in dirty {
                self.look(&dir, what, now);
            }
            if lost || now.duration_since(last_rescan) >= RESCAN {
                last_rescan = now;
                self.discovery.suspect_all(lost);
                self.rescan();
            }
            if now.duration_since(last_tick) >= TICK {
                last_tick = now;
                self.tick(now);
                self.bound_pinned();
                self.replace_missing();
                self.count_waiting(served);
            }
            served = self.serve();
            let due = self.framer.deadline().is_some_and(|deadline| deadline <= Instant::now());
            if due || self.framer.is_stuck() {
                self.framer.flush();
            }
            self.publish(served == Served::Full);
            match served {
                Served::Full => self.wait_for_room(),
                Served::Paced => {
                    self.wake.wait(PACE);
                }
                Served::All if self.ready.is_empty() => self.rest(last_rescan, last_tick),
                Served::All => {}
            }
        }
        self.framer.flush();
        if self.framer.is_stuck() {
            tracing::info!("the spool is full; what is at hand is read again after the start");
        }
        self.publish(false);
    }

    /// Waits for the next thing to do.
    fn rest(&self, last_rescan: Instant, last_tick: Instant) {
        let mut until = (last_rescan + RESCAN).min(Instant::now() + ASK);
        if !self.ticking.is_empty() {
            until = until.min(last_tick + TICK);
        }
        if let Some(deadline) = self.framer.deadline() {
            until = until.min(deadline);
        }
        let timeout = until.saturating_duration_since(Instant::now());
        if self.wake.wait(timeout) && timeout > DEBOUNCE {
            std::thread::sleep(DEBOUNCE);
        }
    }

    /// Waits a little for the queue.
    fn wait_for_room(&self) {
        let since = Instant::now();
        if self.framer.is_stuck() {
            // It may say that it has room, and have none on its disk.
            std::thread::sleep(DEBOUNCE);
        }
        self.sink.wait_for_room(self.framer.needed(self.settings.max_record_bytes), TICK);
        self.metrics.blocked_seconds.inc_by(since.elapsed().as_secs_f64());
    }

    fn rescan(&mut self) {
        let begin = self.begin;
        let mut around = Surroundings {
            wake: &mut self.wake,
            selection: &self.settings.selection,
            metrics: &self.metrics,
        };
        let ids = self.discovery.scan_all(begin, &mut around);
        let (unfound, losses) = self.discovery.take_unfound();
        for cover in unfound {
            self.framer.cover(cover);
        }
        for loss in &losses {
            self.framer.lose(loss);
        }
        for id in ids {
            if let Some(stream) = self.discovery.get_mut(id) {
                stream.tell(&mut self.framer);
            }
            self.make_ready(id);
        }
        if self.discovery.has_root() {
            self.begin = Begin::Start;
        }
    }

    /// Follows a hint of the watcher.
    fn look(&mut self, dir: &Path, what: Dirty, now: Instant) {
        if what.writes > 0
            && let Some(id) = self.discovery.id_of(dir)
            && let Some(stream) = self.discovery.get_mut(id)
        {
            stream.suspect = true;
            if grows_hot(stream, what.writes, now) {
                self.wake.unwatch(dir);
                // Its turn may be far away: the queue may be full.
                self.ticking.insert(id);
            }
            stream.hold();
            stream.tell(&mut self.framer);
            self.make_ready(id);
        }
        if what.names {
            let mut around = Surroundings {
                wake: &mut self.wake,
                selection: &self.settings.selection,
                metrics: &self.metrics,
            };
            for id in self.discovery.scan_dir(dir, &mut around) {
                if let Some(stream) = self.discovery.get_mut(id) {
                    stream.hold();
                    stream.tell(&mut self.framer);
                }
                self.make_ready(id);
                self.discovery.close_some();
            }
        }
        self.discovery.close_some();
    }

    /// Looks at the streams that no event tells of.
    fn tick(&mut self, now: Instant) {
        let ids: Vec<_> = self.ticking.iter().copied().collect();
        for id in ids {
            let Some(stream) = self.discovery.get_mut(id) else {
                continue;
            };
            let hot = stream.activity.hot;
            if (hot || stream.polled) && now.duration_since(stream.activity.last_scan) >= HOT_SCAN {
                stream.scan(Begin::Start, &self.metrics);
            }
            if hot && now.duration_since(stream.activity.last_read) >= COOL {
                stream.activity.hot = false;
                stream.polled |= !self.wake.watch(&stream.dir);
                // What came between the last look and the watch.
                stream.scan(Begin::Start, &self.metrics);
            }
            self.make_ready(id);
        }
    }

    /// Holds what deleted files pin on the disk within its bound.
    fn bound_pinned(&mut self) {
        let max = self.settings.max_unlinked;
        // Streams are numbered as they came: the first is among the oldest.
        let ids: Vec<_> = self.discovery.streams().map(|(id, _)| id).collect();
        let mut pinned: u64 =
            self.discovery.streams().map(|(_, stream)| stream.pinned_bytes()).sum();
        // What the kubelet has compressed is not lost by letting go of it.
        for step in [Step::Switch, Step::LetGo] {
            for &id in &ids {
                while pinned > max
                    && let Some(stream) = self.discovery.get_mut(id)
                {
                    let before = stream.pinned_bytes();
                    let again = match step {
                        Step::Switch => {
                            stream.switch_to_copies();
                            false
                        }
                        Step::LetGo => stream.let_go(&mut self.framer, &mut self.chunk),
                    };
                    pinned = pinned.saturating_sub(before.saturating_sub(stream.pinned_bytes()));
                    if !again {
                        break;
                    }
                }
            }
        }
        self.metrics.pinned_bytes.set(i64::try_from(pinned).unwrap_or(i64::MAX));
    }

    /// Counts what waits in files that may be deleted before it can be read.
    fn count_waiting(&mut self, served: Served) {
        let (cap, mut read) = (self.settings.max_record_bytes, 0);
        let waits = |stream: &ContainerStream| served == Served::Full || stream.is_waiting();
        let mut ids: Vec<_> = self
            .discovery
            .streams()
            .filter(|(_, stream)| waits(stream))
            .map(|(id, stream)| (stream.has_deleted(), stream.finished(), id))
            .filter(|(deleted, finished, _)| *deleted || *finished > 0)
            .filter(|(deleted, _, id)| *deleted || self.discovery.get(*id).is_some_and(is_written))
            .collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        for (_, _, id) in ids {
            let Some(stream) = self.discovery.get_mut(id) else { continue };
            while read < COUNTED
                && let Some(bytes) = stream.count_rest(cap, &mut self.chunk)
            {
                read += bytes;
            }
            stream.tell(&mut self.framer);
        }
        if read > 0 {
            // An agent that is killed now must find it.
            self.framer.flush();
            self.discovery.close_some();
        }
    }

    /// Reads again what the queue wants again.
    fn replace_missing(&mut self) {
        self.missing.extend(self.sink.take_missing());
        while let Some(missing) = self.missing.pop_front() {
            let (sink, codec) = (Arc::clone(&self.sink), Arc::clone(&self.codec));
            let replaced = Framer::new(sink, codec, self.metrics.clone()).is_ok_and(|framer| {
                let mut again = Again {
                    discovery: &self.discovery,
                    files: &self.files,
                    context: Context {
                        pods: &*self.pods,
                        selection: &self.settings.selection,
                        attributes: &self.settings.attributes,
                        metadata_timeout: self.settings.metadata_timeout,
                        metrics: &self.metrics,
                    },
                    max_record_bytes: self.settings.max_record_bytes,
                    chunk: &mut self.chunk,
                    framer,
                };
                again.read(&missing)
            });
            if !replaced {
                // The disk is full, or memory is short: again at the next tick.
                self.missing.push_front(missing);
                return;
            }
        }
    }

    fn publish(&self, blocked: bool) {
        let open_files = self.files.count();
        let mut status = Status { blocked, open_files, ..Status::default() };
        for (_, stream) in self.discovery.streams() {
            status.streams += 1;
            status.waiting += usize::from(stream.is_waiting());
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.streams.set(number(status.streams));
        self.metrics.open_files.set(number(status.open_files));
        self.metrics.waiting.set(number(status.waiting));
        *self.status.lock() = status;
    }
}

/// How deleted files are let go of.
#[derive(Debug, Clone, Copy)]
enum Step {
    Switch,
    LetGo,
}

/// Whether somebody writes to a stream: its rotated files will be deleted, while history stays where it is.
fn is_written(stream: &ContainerStream) -> bool {
    // A clock that was set back says nothing.
    stream.last_write().is_some_and(|last| last.elapsed().map_or(true, |since| since < QUIET))
}

/// Notes writes that events told of; true when the stream has become hot by them.
fn grows_hot(stream: &mut ContainerStream, writes: u32, now: Instant) -> bool {
    let activity = &mut stream.activity;
    if now.duration_since(activity.window) >= Duration::from_secs(1) {
        activity.window = now;
        activity.writes = 0;
    }
    activity.writes += writes;
    if activity.hot || activity.writes < HOT_WRITES {
        return false;
    }
    activity.hot = true;
    activity.last_read = now;
    true
}
