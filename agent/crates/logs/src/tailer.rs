//! The log thread: it finds, waits, reads in turns, and hands frames to the queue.
//!
//! In: [`Settings`], a [`PodDirectory`], a [`FrameSink`]. Out: frames. Always: a stream reads at most one chunk a
//! turn, and every stream that has something gets its turn; of what was there before the agent, one chunk is read
//! after each round of the others' turns while the queue is nearly empty, so that new lines do not wait behind it; when
//! the queue is full nothing is read, but new files are still opened, so that they can be read later even if they are deleted.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hawsepipe_model::codec::CodecError;
use hawsepipe_model::{Attributes, Cover, FrameSink, PodDirectory, PreferredCodec};
use parking_lot::Mutex;

use crate::discover::{Discovery, Surroundings};
use crate::framer::Framer;
use crate::metrics::{Metrics, UNLINKED};
use crate::select::Selection;
use crate::stream::{Begin, ContainerStream, Context, Turn};
use crate::wake::{Dirty, Wake, Waker};

/// What one turn reads at most. A container runtime's lines have 16 KiB; a chunk stays in the processor's cache.
const CHUNK: usize = 256 << 10;
/// How often streams are looked at that no event tells of.
const TICK: Duration = Duration::from_millis(100);
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
const CLOCK_GRAIN: Duration = Duration::from_millis(20);
/// Wakes closer together than this are one.
const DEBOUNCE: Duration = Duration::from_millis(10);

/// Where reading starts in files that are older than the agent's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At their beginning: what was logged before the agent came is delivered too, behind the new lines.
    All,
    /// At their end.
    New,
}

/// How the log path is to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the pods' logs, usually `/var/log/pods`.
    pub pods_path: PathBuf,
    /// Which containers are read.
    pub selection: Selection,
    /// Where older files are begun.
    pub start_at: StartAt,
    /// Bytes of deleted files that may be held open until they are read; when there are more, the oldest is let go and
    /// what was not read of it is counted.
    pub max_unlinked: u64,
    /// Longest record, in bytes of its body; what is longer is cut and counted.
    pub max_record_bytes: usize,
    /// How long a stream waits for its pod's metadata.
    pub metadata_timeout: Duration,
    /// Attributes that are added to every resource, over what was found out.
    pub attributes: Attributes,
    /// Where reading goes on, as the frames said that were kept.
    pub positions: Vec<Cover>,
}

/// What the log path does now, for `/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Containers whose logs are followed.
    pub streams: usize,
    /// Log files held open.
    pub open_files: usize,
    /// Streams that wait for their pod's metadata.
    pub waiting: usize,
    /// Whether nothing is read because the queue is full.
    pub blocked: bool,
}

/// Why the log path cannot run.
#[derive(Debug, thiserror::Error)]
pub enum TailerError {
    /// The thread could not be started.
    #[error("cannot start the log thread: {0}")]
    Thread(#[source] io::Error),
    /// The compressor could not be made.
    #[error(transparent)]
    Compressor(#[from] CodecError),
}

/// The running log path.
#[derive(Debug)]
pub struct Tailer {
    thread: Option<JoinHandle<()>>,
    waker: Waker,
    status: Arc<Mutex<Status>>,
}

impl Tailer {
    /// Starts the log thread.
    ///
    /// # Errors
    /// When the thread or its compressor cannot be made.
    pub fn start(
        mut settings: Settings,
        sink: Arc<dyn FrameSink>,
        pods: Arc<dyn PodDirectory>,
        codec: Arc<PreferredCodec>,
        metrics: Metrics,
    ) -> Result<Self, TailerError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = i64::try_from((now - CLOCK_GRAIN.min(now)).as_nanos()).unwrap_or(i64::MAX);
        let wake = Wake::new();
        let waker = wake.waker();
        let status = Arc::new(Mutex::new(Status::default()));
        let framer = Framer::new(Arc::clone(&sink), codec, metrics.clone())?;
        let positions = std::mem::take(&mut settings.positions);
        let (path, cap) = (settings.pods_path.clone(), settings.max_record_bytes);
        let discovery = Discovery::new(path, cap, started, positions);
        let worker = Worker {
            discovery,
            wake,
            framer,
            sink,
            pods,
            metrics,
            status: Arc::clone(&status),
            ready: VecDeque::new(),
            ticking: BTreeSet::new(),
            chunk: vec![0; CHUNK],
            started,
            settings,
        };
        let thread = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || worker.run())
            .map_err(TailerError::Thread)?;
        Ok(Self { thread: Some(thread), waker, status })
    }

    /// Whether the thread runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.lock()
    }

    /// Stops reading, puts the frame at hand into the queue if it has room, and ends the thread.
    pub fn stop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log thread ended by a panic; this is a defect of ours");
        }
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    settings: Settings,
    discovery: Discovery,
    wake: Wake,
    framer: Framer,
    sink: Arc<dyn FrameSink>,
    pods: Arc<dyn PodDirectory>,
    metrics: Metrics,
    status: Arc<Mutex<Status>>,
    /// Streams that may have something to read, in the order of their turns.
    ready: VecDeque<usize>,
    /// Streams that are looked at on every tick.
    ticking: BTreeSet<usize>,
    chunk: Vec<u8>,
    /// When the agent started, nanoseconds since the epoch: what is older is the backlog.
    started: i64,
}

/// How far a round of turns came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Served {
    /// Every stream had its turn.
    All,
    /// Only the backlog is left, and it waits until the queue is nearly empty.
    Paced,
    /// The queue has no room.
    Full,
}

impl Worker {
    fn run(mut self) {
        let begin = match self.settings.start_at {
            StartAt::All => Begin::Start,
            StartAt::New => Begin::End { born_before: self.started },
        };
        self.rescan(begin);
        let (mut last_rescan, mut last_tick) = (Instant::now(), Instant::now());
        let waker = self.wake.waker();
        while !waker.is_stopped() {
            let now = Instant::now();
            let (dirty, lost) = self.wake.take();
            for (dir, what) in dirty {
                self.look(&dir, what, now);
            }
            if lost || now.duration_since(last_rescan) >= RESCAN {
                last_rescan = now;
                self.rescan(Begin::Start);
            }
            if now.duration_since(last_tick) >= TICK {
                last_tick = now;
                self.tick(now);
                self.bound_pinned();
            }
            let served = self.serve();
            let due = self.framer.deadline().is_some_and(|deadline| deadline <= Instant::now());
            if due {
                self.flush();
            }
            self.publish(served == Served::Full);
            match served {
                Served::Full => {
                    let since = Instant::now();
                    let needed = self.framer.needed(self.settings.max_record_bytes);
                    self.sink.wait_for_room(needed, TICK);
                    self.metrics.blocked_seconds.inc_by(since.elapsed().as_secs_f64());
                }
                Served::Paced => {
                    self.wake.wait(PACE);
                }
                Served::All if self.ready.is_empty() => self.rest(last_rescan, last_tick),
                Served::All => {}
            }
        }
        self.flush();
        self.publish(false);
    }

    /// Waits for the next thing to do.
    fn rest(&self, last_rescan: Instant, last_tick: Instant) {
        let mut until = last_rescan + RESCAN;
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

    fn rescan(&mut self, begin: Begin) {
        let mut around = Surroundings {
            wake: &mut self.wake,
            selection: &self.settings.selection,
            metrics: &self.metrics,
        };
        let ids = self.discovery.scan_all(begin, &mut around);
        for cover in self.discovery.take_unfound(&self.metrics) {
            self.framer.cover(cover);
        }
        for id in ids {
            self.make_ready(id);
        }
    }

    /// Follows a hint of the watcher.
    fn look(&mut self, dir: &std::path::Path, what: Dirty, now: Instant) {
        if what.names {
            let mut around = Surroundings {
                wake: &mut self.wake,
                selection: &self.settings.selection,
                metrics: &self.metrics,
            };
            for id in self.discovery.scan_dir(dir, &mut around) {
                self.make_ready(id);
            }
        }
        if what.writes == 0 {
            return;
        }
        let Some(id) = self.discovery.id_of(dir) else {
            return;
        };
        if let Some(stream) = self.discovery.get_mut(id)
            && grows_hot(stream, what.writes, now)
        {
            self.wake.unwatch(dir);
        }
        self.make_ready(id);
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
        let mut pinned: u64 =
            self.discovery.streams().map(|(_, stream)| stream.pinned_bytes()).sum();
        // Streams are numbered as they came: the first is among the oldest.
        let ids: Vec<_> = self.discovery.streams().map(|(id, _)| id).collect();
        for id in ids {
            while pinned > self.settings.max_unlinked {
                let Some(stream) = self.discovery.get_mut(id) else { break };
                let before = stream.pinned_bytes();
                let Some(lost) = stream.let_go(&mut self.framer) else { break };
                pinned -= before.saturating_sub(stream.pinned_bytes()).min(pinned);
                tracing::warn!(
                    stream = %stream.key,
                    bytes = lost,
                    "a deleted log file was let go before it was read: logs.maxUnlinked is reached"
                );
                self.metrics.lost_bytes.get_or_create(&UNLINKED).inc_by(lost);
                self.metrics.lost_records.get_or_create(&UNLINKED).inc();
            }
        }
        self.metrics.pinned_bytes.set(i64::try_from(pinned).unwrap_or(i64::MAX));
    }

    fn make_ready(&mut self, id: usize) {
        if let Some(stream) = self.discovery.get_mut(id)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    /// Gives every ready stream its turn, and one of the backlog's.
    fn serve(&mut self) -> Served {
        let mut backlog = VecDeque::new();
        for _ in 0..self.ready.len() {
            if !self.has_room() {
                self.ready.append(&mut backlog);
                return Served::Full;
            }
            let Some(id) = self.ready.pop_front() else {
                break;
            };
            if self.discovery.get_mut(id).is_some_and(|stream| stream.backlog) {
                backlog.push_back(id);
            } else {
                self.turn(id);
            }
        }
        if backlog.is_empty() {
            return Served::All;
        }
        let paced = !self.is_nearly_empty();
        if !paced && let Some(id) = backlog.pop_front() {
            // It stands behind the rest of the backlog then.
            self.ready.append(&mut backlog);
            self.turn(id);
        }
        let others = !self.ready.is_empty();
        self.ready.append(&mut backlog);
        if paced && !others { Served::Paced } else { Served::All }
    }

    fn turn(&mut self, id: usize) {
        let context = Context {
            pods: &*self.pods,
            selection: &self.settings.selection,
            attributes: &self.settings.attributes,
            metadata_timeout: self.settings.metadata_timeout,
            metrics: &self.metrics,
        };
        let Some(stream) = self.discovery.get_mut(id) else {
            return;
        };
        stream.queued = false;
        let turn = stream.turn(&mut self.framer, &mut self.chunk, &context);
        if turn == Turn::Done {
            self.ticking.remove(&id);
            let dir = stream.dir.clone();
            self.wake.unwatch(&dir);
            if !dir.exists() {
                stream.end(&mut self.framer);
                self.discovery.remove(id);
            }
        } else {
            if stream.needs_ticks() {
                self.ticking.insert(id);
            } else {
                self.ticking.remove(&id);
            }
            if turn == Turn::Read {
                self.make_ready(id);
            }
        }
        if self.framer.is_full() {
            self.flush();
        }
    }

    fn has_room(&self) -> bool {
        self.sink.room().free >= self.framer.needed(self.settings.max_record_bytes)
    }

    /// Whether what stands in the queue would hold up a line of the backlog's by no more than an eighth of it.
    fn is_nearly_empty(&self) -> bool {
        let room = self.sink.room();
        room.capacity - room.free <= room.capacity / 8
    }

    fn flush(&mut self) {
        let waker = self.wake.waker();
        if let Err(error) = self.framer.flush(&|| waker.is_stopped()) {
            tracing::error!(%error, "cannot put a frame of logs into the spool; it is lost");
        }
    }

    fn publish(&self, blocked: bool) {
        let mut status = Status { blocked, ..Status::default() };
        for (_, stream) in self.discovery.streams() {
            status.streams += 1;
            status.open_files += stream.open_files();
            status.waiting += usize::from(stream.is_waiting());
        }
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.streams.set(number(status.streams));
        self.metrics.open_files.set(number(status.open_files));
        self.metrics.waiting.set(number(status.waiting));
        *self.status.lock() = status;
    }
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
