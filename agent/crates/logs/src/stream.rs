//! One container's logs: segments in the order they were written, read one after the other.
//!
//! In: the files of one folder. Out: lines to the [`Framer`]. Always: a segment is left only at its end, when
//! it has a successor or its folder is gone, and it has stopped growing; lines of one container keep their
//! order; what was written and cannot be read is counted.

mod counting;
mod folder;
mod reading;
mod resource;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hawsepipe_model::{
    Attributes, Cover, Extent, Fingerprint, Loss, LossReason, PodDirectory, Position, SegmentId,
    SegmentState, StreamKey,
};

use self::resource::Resource;
use crate::files::OpenFiles;
use crate::framer::Framer;
use crate::join::Joiner;
use crate::metrics::Metrics;
use crate::scan::{LogName, PodDir};
use crate::segment::{Closing, Segment};
use crate::select::Selection;

/// What a stream needs to know of the rest.
pub(crate) struct Context<'a> {
    pub(crate) pods: &'a dyn PodDirectory,
    pub(crate) selection: &'a Selection,
    /// What is added to every resource.
    pub(crate) attributes: &'a Attributes,
    pub(crate) metadata_timeout: Duration,
    pub(crate) metrics: &'a Metrics,
}

/// What came of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Something was read; there may be more.
    Read,
    /// There is nothing to read now.
    Idle,
    /// There never will be.
    Done,
}

/// Where a segment is begun of which no position was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At its first byte.
    Start,
    /// At its end, if it is older than the first start of an agent on this node; segments that are rotated already are
    /// passed over then.
    End {
        /// That start, nanoseconds since the epoch.
        born_before: i64,
        /// Whether this is that start. A file whose birth cannot be known is older then, and so is a compressed one: it was
        /// born when it was compressed.
        first: bool,
    },
}

/// A segment that was left.
struct Done {
    /// Bytes that were read of it.
    read: u64,
    /// The kubelet may compress it under this name.
    name: LogName,
    /// [`Fingerprint::head`].
    head: u32,
}

/// The logs of one container.
pub(crate) struct ContainerStream {
    pub(crate) key: StreamKey,
    pub(crate) dir: PathBuf,
    pod: Arc<PodDir>,
    container: String,
    files: OpenFiles,
    segments: VecDeque<Segment>,
    /// Segments that were left, and are still in the folder.
    done: HashMap<SegmentId, Done>,
    /// Positions that were kept from before this agent started, of segments that were not found yet.
    restored: HashMap<SegmentId, Cover>,
    /// Covers of segments that were left while a line was open that began in them.
    left: Vec<Cover>,
    /// Covers that say no more than that a segment is there, from where on it will be read, or that it is not there any more.
    notices: Vec<Cover>,
    /// A segment is there that the queue does not know of: should it be deleted while no agent runs, that must be seen.
    fresh: bool,
    /// What was lost and is not told yet.
    lost: Vec<Loss>,
    /// Paths that could not be opened and were said to be so.
    refused: HashSet<PathBuf>,
    joiner: Joiner,
    /// The first segment, once its reading has begun.
    reading: Option<SegmentId>,
    resource: Option<Resource>,
    /// Since when metadata is waited for.
    waiting: Option<Instant>,
    /// Decided by the selection, once it can be.
    included: Option<bool>,
    /// The folder is gone: what is open is all there is.
    gone: bool,
    /// It was there before the agent and its end was not reached yet.
    pub(crate) backlog: bool,
    /// It must be looked at on every tick: no event tells of its writes.
    pub(crate) polled: bool,
    /// It stands in the queue of those that may have something to read.
    pub(crate) queued: bool,
    /// Something may have been written since it was looked at.
    pub(crate) suspect: bool,
    pub(crate) activity: Activity,
}

/// How busy a stream is; it decides whether events or ticks tell of its writes.
#[derive(Debug)]
pub(crate) struct Activity {
    pub(crate) window: Instant,
    pub(crate) writes: u32,
    pub(crate) last_read: Instant,
    pub(crate) last_scan: Instant,
    pub(crate) hot: bool,
}

impl ContainerStream {
    pub(crate) fn new(
        dir: PathBuf,
        pod: &Arc<PodDir>,
        key: StreamKey,
        container: &str,
        joiner: Joiner,
        files: &OpenFiles,
    ) -> Self {
        let now = Instant::now();
        Self {
            key,
            dir,
            pod: Arc::clone(pod),
            container: container.to_owned(),
            files: files.clone(),
            segments: VecDeque::new(),
            done: HashMap::new(),
            restored: HashMap::new(),
            left: Vec::new(),
            notices: Vec::new(),
            fresh: false,
            lost: Vec::new(),
            refused: HashSet::new(),
            joiner,
            reading: None,
            resource: None,
            waiting: None,
            included: None,
            gone: false,
            backlog: false,
            polled: false,
            queued: false,
            suspect: true,
            activity: Activity {
                window: now,
                writes: 0,
                last_read: now,
                last_scan: now,
                hot: false,
            },
        }
    }

    /// Gives it the positions that were kept of its segments.
    pub(crate) fn restore(&mut self, positions: HashMap<SegmentId, Cover>) {
        self.restored = positions;
    }

    /// The stream ends: nothing of it needs to be remembered.
    pub(crate) fn end(&mut self, framer: &mut Framer) {
        self.forget(&HashSet::new());
        for cover in self.left.drain(..) {
            framer.cover(cover);
        }
        self.tell(framer);
    }

    /// Whether the selection leaves this container out, decided without labels.
    pub(crate) fn is_excluded(&mut self, selection: &Selection) -> bool {
        if self.included.is_none() {
            self.included =
                selection.decide(&self.pod.namespace, &self.pod.pod, &self.container, None);
        }
        self.included == Some(false)
    }

    /// Whether something in it was there before this time (nanoseconds since the epoch).
    pub(crate) fn is_older_than(&self, time: i64) -> bool {
        let older = |born| born != 0 && born < time;
        self.segments.iter().any(|segment| older(segment.id.born_nanos))
    }

    /// The folder is not there any more.
    pub(crate) fn set_gone(&mut self) {
        self.gone = true;
    }

    /// How much of a hurry reading it is: the files that are not read to their end and will be deleted at the next rotations,
    /// where there are several. What has no name any more waits without being lost.
    pub(crate) fn hurry(&self) -> usize {
        let rotated = |segment: &&Segment| segment.name.rotated.is_some() && !segment.unlinked;
        let rotated = self.segments.iter().filter(rotated).count();
        if rotated < 2 || self.gone { 0 } else { rotated }
    }

    /// Files that have a successor, so that nobody writes to them any more, and are not read to their end.
    pub(crate) fn finished(&self) -> usize {
        self.segments.len().saturating_sub(1)
    }

    /// When the newest file was last written to.
    pub(crate) fn last_write(&self) -> Option<SystemTime> {
        Some(self.segments.back()?.stat().ok()?.modified)
    }

    /// Whether the next rotation is near: the file that is written to has grown to half of the one before.
    pub(crate) fn rotates_soon(&self) -> bool {
        let mut newest = self.segments.iter().rev();
        match (newest.next(), newest.next()) {
            (Some(live), Some(before)) if live.name.rotated.is_none() => {
                live.size >= before.size / 2 && !before.is_compressed()
            }
            _ => false,
        }
    }

    /// Whether it has files that have no name any more.
    pub(crate) fn has_deleted(&self) -> bool {
        self.segments.iter().any(|segment| self.gone || segment.unlinked)
    }

    /// Bytes on the disk that are there because this stream holds deleted files open.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        let deleted = self.segments.iter().filter(|segment| self.gone || segment.unlinked);
        deleted.map(Segment::disk_bytes).sum()
    }

    /// Goes on in the kubelet's compressed copies, where it holds the files open that they were made of.
    pub(crate) fn switch_to_copies(&mut self) {
        for segment in self.segments.iter_mut().filter(|segment| segment.unlinked) {
            segment.switch_to_copy();
        }
    }

    /// Opens what is not read to its end, so that it can be read whatever becomes of its name.
    pub(crate) fn hold(&mut self) {
        for segment in &mut self.segments {
            segment.look();
            if segment.is_compressed() || segment.size != segment.seen {
                // It is tried again when its turn comes, and said then.
                drop(segment.open());
            }
        }
        self.introduce();
    }

    /// Lets the queue know by what a file can be recognized that was found empty: it may be compressed before any line of it is
    /// read.
    pub(super) fn introduce(&mut self) {
        for segment in self.segments.iter_mut().filter(|segment| segment.is_open()) {
            if segment.has_new_head() {
                let told = segment.told;
                self.notices.push(segment.cover(&self.key, told, SegmentState::Open));
                self.fresh = true;
            }
        }
    }

    /// What closing its files would cost, with their numbers.
    pub(crate) fn closing(&self) -> impl Iterator<Item = (Closing, Instant, usize)> {
        let numbered = self.segments.iter().enumerate();
        numbered.filter_map(|(number, file)| Some((file.closing()?, file.used, number)))
    }

    pub(crate) fn close(&mut self, number: usize) {
        if let Some(segment) = self.segments.get_mut(number) {
            segment.close();
        }
    }

    /// A segment apart from the one that is being read, if it is known here.
    pub(crate) fn again(&self, id: SegmentId) -> Option<Segment> {
        self.segments.iter().find(|segment| segment.id == id)?.again().ok()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Whether time alone may change what a turn does.
    pub(crate) fn needs_ticks(&self) -> bool {
        let unlinked = self.segments.front().is_some_and(|segment| segment.unlinked);
        self.polled
            || self.activity.hot
            || self.gone
            || unlinked
            || self.segments.len() > 1
            || self.is_waiting()
    }

    /// Says once that something cannot be read; it is tried again at every scan.
    fn refuse(&mut self, path: PathBuf, error: &io::Error, metrics: &Metrics) {
        metrics.file_errors.inc();
        if !self.refused.contains(&path) {
            tracing::warn!(
                path = %path.display(),
                %error,
                "cannot read a log file, trying again; does the agent run as a user who may read it?"
            );
            self.refused.insert(path);
        }
    }

    /// Counts what was lost of a file, from a byte to a byte, and says so.
    fn lose(
        &mut self,
        reason: LossReason,
        file: &Path,
        (from, to): (u64, Option<u64>),
        extent: Extent,
    ) {
        tracing::warn!(
            stream = %self.key,
            file = %file.display(),
            from,
            to,
            lines = extent.records,
            bytes = extent.bytes,
            whole_extent_known = extent.unknown == 0,
            %reason,
            "log lines were lost"
        );
        self.lost.push(Loss::of_stream(&self.key, reason, extent));
    }

    /// Tells what is covered of segments that are not being read, and what was lost.
    pub(crate) fn tell(&mut self, framer: &mut Framer) {
        // An output whose line that began in segments before this one is told has those covered to their ends; the other
        // may have one open still. Both in the frame that tells the line: of half a line nothing must be left to be read.
        let (stdout, stderr) = self.joiner.carried();
        for mut left in std::mem::take(&mut self.left) {
            let (from, end) = (left.from, left.position);
            let position = Position {
                stdout: if stdout { from.stdout } else { end.stdout },
                stderr: if stderr { from.stderr } else { end.stderr },
            };
            if position == end {
                framer.cover(left);
                continue;
            }
            if position != from {
                let state = SegmentState::Open;
                framer.cover(Cover { position, state, ..left.clone() });
                left.from = position;
            }
            self.left.push(left);
        }
        for cover in self.notices.drain(..) {
            framer.cover(cover);
        }
        if std::mem::take(&mut self.fresh) {
            framer.hasten();
        }
        for loss in self.lost.drain(..) {
            framer.lose(&loss);
        }
    }
}

/// Nothing needs to be remembered of a segment.
pub(crate) fn gone(key: &StreamKey, segment: SegmentId, from: Position) -> Cover {
    let (stream, position, fingerprint) = (key.clone(), from, Fingerprint::default());
    let state = SegmentState::Gone;
    Cover { stream, segment, from, position, fingerprint, state, rest: None }
}
