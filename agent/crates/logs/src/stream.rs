//! One container's logs: segments in the order they were written, read one after the other.
//!
//! In: the files of one folder. Out: lines to the [`Framer`]. Always: a segment is left only at its end, when
//! it has a successor or its folder is gone, and it has stopped growing; lines of one container keep their
//! order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hawsepipe_model::otlp::encode_resource;
use hawsepipe_model::{
    Attributes, Cover, Fingerprint, NodeMeta, PodDirectory, PodMeta, Position, SegmentId,
    SegmentState, StreamKey,
};

use crate::framer::Framer;
use crate::join::{Joiner, Line};
use crate::metrics::{CORRUPT, DELETED, Metrics, NUL};
use crate::scan::{LogName, PodDir};
use crate::segment::{Filled, Segment, identity};
use crate::select::Selection;

/// How long a segment that has a successor must have been still before it is left: the kubelet renames first and then
/// asks the runtime to reopen, which may still drain what it holds into the renamed file.
const GRACE: Duration = Duration::from_secs(1);

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

/// Where a segment that was there before the agent is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// At its first byte.
    Start,
    /// At its end, if it was born before this time (nanoseconds since the epoch); segments that are rotated already
    /// are passed over then.
    End {
        /// When the agent started.
        born_before: i64,
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

/// A log file in the folder.
struct Found {
    id: SegmentId,
    name: LogName,
    path: PathBuf,
    size: u64,
}

/// The resource of one run of the container, and what it was made from.
struct Resource {
    restart: u32,
    pod: Option<Arc<PodMeta>>,
    node: Arc<NodeMeta>,
    bytes: Arc<[u8]>,
}

/// The logs of one container.
pub(crate) struct ContainerStream {
    pub(crate) key: StreamKey,
    pub(crate) dir: PathBuf,
    pod: Arc<PodDir>,
    container: String,
    segments: VecDeque<Segment>,
    /// Segments that were left, and are still in the folder.
    done: HashMap<SegmentId, Done>,
    /// Positions that were kept from before this agent started, of segments that were not found yet.
    restored: HashMap<SegmentId, Cover>,
    /// Covers of segments that were left while a line was open that began in them.
    left: Vec<Cover>,
    /// Segments that are not on the disk any more: their positions need not be kept.
    forgotten: Vec<Cover>,
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
        cap: usize,
        restored: HashMap<SegmentId, Cover>,
    ) -> Self {
        let now = Instant::now();
        Self {
            key,
            dir,
            pod: Arc::clone(pod),
            container: container.to_owned(),
            segments: VecDeque::new(),
            done: HashMap::new(),
            restored,
            left: Vec::new(),
            forgotten: Vec::new(),
            refused: HashSet::new(),
            joiner: Joiner::new(cap),
            reading: None,
            resource: None,
            waiting: None,
            included: None,
            gone: false,
            backlog: false,
            polled: false,
            queued: false,
            activity: Activity {
                window: now,
                writes: 0,
                last_read: now,
                last_scan: now,
                hot: false,
            },
        }
    }

    /// The stream ends: nothing of it needs to be remembered.
    pub(crate) fn end(&mut self, framer: &mut Framer) {
        for cover in self.left.drain(..) {
            framer.cover(cover);
        }
        let ids = self.done.drain().map(|(id, _)| id);
        for cover in ids.map(|id| gone(&self.key, id)).chain(self.forgotten.drain(..)) {
            framer.cover(cover);
        }
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

    /// Bytes on the disk that are there because this stream holds deleted files open.
    pub(crate) fn pinned_bytes(&self) -> u64 {
        let deleted = self.segments.iter().filter(|segment| self.gone || segment.unlinked);
        deleted.filter_map(|segment| segment.stat().ok()).map(|stat| stat.size).sum()
    }

    /// Lets go of the oldest deleted file; what was not read of it is lost, in bytes. `None`: there is none.
    pub(crate) fn let_go(&mut self, framer: &mut Framer) -> Option<u64> {
        if !(self.gone || self.segments.front()?.unlinked) {
            return None;
        }
        let mut segment = self.segments.pop_front()?;
        self.reading = None;
        self.joiner = Joiner::new(self.joiner.cap());
        let size = segment.stat().map_or(segment.offset, |stat| stat.size);
        let end = Position { stdout: size, stderr: size };
        framer.cover(segment.cover(&self.key, end, SegmentState::Gone));
        Some(size.saturating_sub(segment.offset))
    }

    pub(crate) fn open_files(&self) -> usize {
        self.segments.len()
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

    /// Looks at the folder: opens what is new, follows what was renamed.
    pub(crate) fn scan(&mut self, begin: Begin, metrics: &Metrics) {
        self.activity.last_scan = Instant::now();
        if self.included == Some(false) {
            return;
        }
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    self.gone = true;
                } else {
                    self.refuse(self.dir.clone(), &error, metrics);
                }
                return;
            }
        };
        self.gone = false;
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(LogName::parse) else {
                continue;
            };
            let path = entry.path();
            // Through links: docker's files stand elsewhere.
            match fs::metadata(&path) {
                Ok(meta) => {
                    self.polled |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
                    found.push(Found {
                        id: identity(&meta, name.restart),
                        name,
                        path,
                        size: meta.len(),
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.refuse(path, &error, metrics),
            }
        }
        // Plain ones first: a compressed one beside its plain one is the compressor's, at work.
        found.sort_by(|a, b| a.name.compressed.cmp(&b.name.compressed).then(a.name.cmp(&b.name)));
        let mut present = HashSet::new();
        for file in found {
            if file.name.compressed {
                present.extend(self.scan_compressed(file, begin, metrics));
            } else {
                present.insert(file.id);
                self.scan_plain(file, begin, metrics);
            }
        }
        for segment in &mut self.segments {
            segment.unlinked = !present.contains(&segment.id) && segment.is_unlinked();
        }
        // What is being read keeps its place.
        let kept = usize::from(self.reading.is_some() && !self.segments.is_empty());
        self.segments.make_contiguous()[kept..].sort_by(|a, b| a.name.cmp(&b.name));
        self.forget(&present, metrics);
    }

    fn scan_plain(&mut self, file: Found, begin: Begin, metrics: &Metrics) {
        if let Some(known) = self.segments.iter_mut().find(|segment| segment.id == file.id) {
            known.name = file.name;
            known.path = file.path;
            return;
        }
        match self.done.get_mut(&file.id) {
            Some(done) if file.size <= done.read => done.name = file.name,
            _ => self.open(file, begin, metrics),
        }
    }

    /// A compressed file; the identity of its segment.
    fn scan_compressed(
        &mut self,
        file: Found,
        begin: Begin,
        metrics: &Metrics,
    ) -> Option<SegmentId> {
        // What this agent has seen in its plain form, it knows by its name...
        let open = self.segments.iter().find(|segment| segment.name.is_same(&file.name));
        let done = || self.done.iter().find(|(_, done)| done.name.is_same(&file.name));
        if let Some(id) = open.map(|segment| segment.id).or_else(|| done().map(|(id, _)| *id)) {
            return Some(id);
        }
        let head = match Segment::compressed_head(&file.path) {
            Ok(head) => head,
            Err(error) => {
                self.refuse(file.path, &error, metrics);
                return None;
            }
        };
        // ... or, if it was renamed and compressed between two looks, by its first line.
        let restart = file.name.restart;
        if let Some(head) = head {
            for open in &mut self.segments {
                if open.id.restart == restart && open.head() == head {
                    open.name = file.name;
                    return Some(open.id);
                }
            }
            let same =
                |(id, done): &(&SegmentId, &mut Done)| id.restart == restart && done.head == head;
            if let Some((id, done)) = self.done.iter_mut().find(same) {
                done.name = file.name;
                return Some(*id);
            }
        }
        // So is what was seen before this agent started.
        let mut covers = self.restored.values();
        let was = covers
            .find(|cover| cover.segment.restart == restart && Some(cover.fingerprint.head) == head);
        let id = was.map_or(file.id, |cover| cover.segment);
        self.open(Found { id, ..file }, begin, metrics);
        if let (Some(head), Some(segment)) =
            (head, self.segments.iter_mut().find(|segment| segment.id == id))
        {
            segment.set_head(head);
        }
        Some(id)
    }

    fn open(&mut self, file: Found, begin: Begin, metrics: &Metrics) {
        let Found { id, name, path, size: _ } = file;
        let mut segment = match Segment::open(&path, name) {
            Ok(Some(segment)) => segment,
            Ok(None) => {
                let error = io::Error::other("it is no regular file");
                self.refuse(path, &error, metrics);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.refuse(path, &error, metrics);
                return;
            }
        };
        self.refused.remove(&path);
        if segment.is_compressed() {
            segment.id = id;
        }
        if let Some(cover) = self.restored.remove(&segment.id) {
            self.open_restored(segment, &cover, metrics);
            return;
        }
        if let Begin::End { born_before } = begin
            && (segment.is_compressed() || segment.id.born_nanos < born_before)
        {
            let size = segment.stat().map_or(0, |stat| stat.size);
            let end = Position { stdout: size, stderr: size };
            (segment.offset, segment.covered, segment.told) = (size, end, end);
            if segment.name.rotated.is_some() {
                self.left.push(segment.cover(&self.key, end, SegmentState::Finished));
                self.pass_over(segment, size);
                return;
            }
            self.left.push(segment.cover(&self.key, end, SegmentState::Open));
        }
        // A runtime wrote into a renamed file after it was left: the rest is read, late but not lost.
        if let Some(done) = self.done.remove(&segment.id) {
            segment.offset = done.read;
            segment.covered = Position { stdout: done.read, stderr: done.read };
            segment.told = segment.covered;
        }
        segment.seen = segment.offset;
        self.segments.push_back(segment);
    }

    /// Opens a segment at the position that was kept of it.
    fn open_restored(&mut self, mut segment: Segment, cover: &Cover, metrics: &Metrics) {
        let finished = cover.state == SegmentState::Finished;
        let grown = !segment.is_compressed()
            && segment.stat().is_ok_and(|stat| stat.size > cover.position.lower());
        if finished && !grown {
            self.pass_over(segment, cover.position.lower());
            return;
        }
        match segment.resume(cover) {
            Ok(true) => {}
            Ok(false) => {
                // Another file under the same identity, which no file system should give; better twice than not at all.
                tracing::warn!(
                    path = %segment.path.display(),
                    "a log file is not the one that was read before, reading it from its beginning"
                );
                match Segment::open(&segment.path, segment.name.clone()) {
                    Ok(Some(mut again)) => {
                        again.id = segment.id;
                        segment = again;
                    }
                    _ => return,
                }
            }
            Err(error) => {
                let path = segment.path.clone();
                self.refuse(path, &error, metrics);
                self.pass_over(segment, cover.position.lower());
                return;
            }
        }
        self.segments.push_back(segment);
    }

    /// Leaves a segment as it is.
    fn pass_over(&mut self, mut segment: Segment, read: u64) {
        let head = segment.head();
        self.done.insert(segment.id, Done { read, name: segment.name, head });
    }

    /// Forgets what is not in the folder any more.
    fn forget(&mut self, present: &HashSet<SegmentId>, metrics: &Metrics) {
        let Self { done, key, forgotten, restored, .. } = self;
        done.retain(|id, _| {
            let here = present.contains(id);
            if !here {
                forgotten.push(gone(key, *id));
            }
            here
        });
        // Every file that is there was looked at: what is left of the positions speaks of files that are not.
        for (id, cover) in restored.drain() {
            if cover.state == SegmentState::Open {
                tracing::warn!(
                    stream = %key,
                    "a log file was deleted before it was read to its end, while the agent was away"
                );
                metrics.lost_records.get_or_create(&DELETED).inc();
            }
            forgotten.push(gone(key, id));
        }
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

    /// Reads at most one chunk and hands on its lines.
    pub(crate) fn turn(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        context: &Context<'_>,
    ) -> Turn {
        loop {
            self.tell(framer);
            let Some(segment) = self.segments.front() else {
                self.backlog = false;
                return if self.gone { Turn::Done } else { Turn::Idle };
            };
            let restart = segment.name.restart;
            let Some(resource) = self.resource_for(restart, context) else {
                return if self.included == Some(false) { Turn::Done } else { Turn::Idle };
            };
            match self.read(framer, chunk, &resource, context) {
                Ok(true) => {
                    self.activity.last_read = Instant::now();
                    return Turn::Read;
                }
                Ok(false) => {}
                Err(error) => {
                    let path = self.segments[0].path.clone();
                    self.refuse(path, &error, context.metrics);
                    if !self.segments[0].is_compressed() {
                        return Turn::Idle;
                    }
                    // It will not become better, and what is behind it waits.
                    context.metrics.lost_records.get_or_create(&CORRUPT).inc();
                    framer.begin(&self.key, &resource);
                    self.joiner.flush(&mut |line| framer.push(line));
                    self.finish(framer);
                    continue;
                }
            }
            if self.segments.len() == 1 {
                self.backlog = false;
            }
            if !self.is_over() {
                return Turn::Idle;
            }
            self.leave(framer, chunk, &resource, context);
        }
    }

    /// Reads the first segment on; false at its end.
    fn read(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        resource: &Arc<[u8]>,
        context: &Context<'_>,
    ) -> io::Result<bool> {
        let segment = &mut self.segments[0];
        let size = segment.stat()?.size;
        if size < segment.offset {
            tracing::warn!(
                path = %segment.path.display(),
                size,
                offset = segment.offset,
                "a log file was truncated, reading it from its beginning"
            );
            context.metrics.truncated_files.inc();
            (segment.offset, segment.seen) = (0, 0);
            framer.begin(&self.key, resource);
            self.joiner.flush(&mut |line| framer.push(line));
            self.joiner.begin_segment(Position::default());
        }
        if size == segment.seen {
            return Ok(false);
        }
        if self.reading.is_none() {
            self.reading = Some(segment.id);
            self.joiner.begin_segment(segment.covered);
        }
        let Filled { len, at_end } = segment.read(chunk)?;
        if len == 0 {
            // The last read filled the chunk to the file's last byte.
            segment.seen = segment.offset;
            return Ok(false);
        }
        framer.begin(&self.key, resource);
        let used =
            consume(&mut self.joiner, &chunk[..len], segment.offset, at_end, framer, context);
        segment.advance(&chunk[..len], used, at_end);
        context.metrics.read_bytes.inc_by(used as u64);
        self.cover(framer, SegmentState::Open);
        Ok(used > 0)
    }

    /// Tells what is covered of segments that are not being read.
    fn tell(&mut self, framer: &mut Framer) {
        // Lines that began in segments before this one are told: those are covered to their ends.
        if !self.joiner.has_carried() {
            for cover in self.left.drain(..) {
                framer.cover(cover);
            }
        }
        for cover in self.forgotten.drain(..) {
            framer.cover(cover);
        }
    }

    /// Puts how far the first segment was read into the frame.
    fn cover(&mut self, framer: &mut Framer, state: SegmentState) {
        self.tell(framer);
        if let Some(segment) = self.segments.front_mut() {
            let position = self.joiner.position(segment.offset);
            framer.cover(segment.cover(&self.key, position, state));
        }
    }

    /// Whether nothing will be written to the first segment any more.
    fn is_over(&self) -> bool {
        let first = &self.segments[0];
        if self.segments.len() < 2 && !self.gone && !first.unlinked && !first.is_compressed() {
            return false;
        }
        let Ok(stat) = self.segments[0].stat() else {
            return true;
        };
        match SystemTime::now().duration_since(stat.modified) {
            Ok(still) => still >= GRACE && stat.size == self.segments[0].seen,
            // A clock that was set back: the segment's age cannot be known, its size must do.
            Err(ahead) => ahead.duration() > GRACE && stat.size == self.segments[0].seen,
        }
    }

    /// Leaves the first segment; a last line without a newline is delivered.
    fn leave(
        &mut self,
        framer: &mut Framer,
        chunk: &mut [u8],
        resource: &Arc<[u8]>,
        context: &Context<'_>,
    ) {
        let Some(segment) = self.segments.front_mut() else {
            return;
        };
        framer.begin(&self.key, resource);
        if segment.seen > segment.offset
            && let Ok(Filled { len, at_end }) = segment.read(chunk)
        {
            let emit = &mut |line: Line<'_>| framer.push(line);
            if self.joiner.is_long() {
                self.joiner.extend_long(&chunk[..len]);
            } else {
                self.joiner.whole(&chunk[..len], segment.offset, emit);
            }
            segment.advance(&chunk[..len], len, at_end);
            context.metrics.read_bytes.inc_by(len as u64);
        }
        let emit = &mut |line: Line<'_>| framer.push(line);
        self.joiner.close_long(emit);
        let restart = segment.id.restart;
        let goes_on = self.segments.get(1).is_some_and(|next| next.id.restart == restart);
        if !goes_on {
            self.joiner.flush(emit);
        }
        // While a line is open that began in it, the segment is covered up to there; to its end, once that line is told.
        self.cover(framer, SegmentState::Open);
        self.finish(framer);
    }

    /// Takes the first segment out. It is covered to its end once the lines are told that began in it.
    fn finish(&mut self, framer: &mut Framer) {
        if let Some(mut segment) = self.segments.pop_front() {
            let end = Position { stdout: segment.offset, stderr: segment.offset };
            self.left.push(segment.cover(&self.key, end, SegmentState::Finished));
            let read = segment.offset;
            self.pass_over(segment, read);
        }
        self.joiner.begin_segment(Position::default());
        self.reading = None;
        self.tell(framer);
    }

    /// The resource of a run, as bytes; `None` while metadata is waited for, or when the container is left out.
    fn resource_for(&mut self, restart: u32, context: &Context<'_>) -> Option<Arc<[u8]>> {
        let pod = context.pods.pod(&self.pod.uid);
        let node = context.pods.node();
        if let Some(known) = &self.resource
            && known.restart == restart
            && same(known.pod.as_ref(), pod.as_ref())
            && Arc::ptr_eq(&known.node, &node)
        {
            return Some(Arc::clone(&known.bytes));
        }
        // A run that already flows is not held up again.
        let flows = self.resource.as_ref().is_some_and(|known| known.restart == restart);
        let complete = !context.pods.expected()
            || pod.as_ref().is_some_and(|pod| knows_run(pod, &self.container, restart));
        if !complete && !flows && !self.gone {
            let since = *self.waiting.get_or_insert_with(Instant::now);
            if since.elapsed() < context.metadata_timeout {
                return None;
            }
        }
        self.waiting = None;
        if self.included.is_none() {
            let labels = pod.as_ref().map(|pod| &pod.labels);
            let (namespace, name) = (&self.pod.namespace, &self.pod.pod);
            let decided = context.selection.decide(namespace, name, &self.container, labels);
            // Labels that cannot be had must not cost lines.
            if decided == Some(false) {
                self.included = decided;
                self.segments.clear();
                return None;
            }
            if labels.is_some() {
                self.included = Some(true);
            }
        }
        if !complete && !flows {
            context.metrics.incomplete_metadata.inc();
        }
        let attributes = self.attributes(restart, pod.as_deref(), &node, complete, context);
        let bytes: Arc<[u8]> = encode_resource(&attributes).into();
        self.resource = Some(Resource { restart, pod, node, bytes: Arc::clone(&bytes) });
        Some(bytes)
    }

    /// What the path says is always right; what the API server says is added; what the admin says wins.
    fn attributes(
        &self,
        restart: u32,
        pod: Option<&PodMeta>,
        node: &NodeMeta,
        complete: bool,
        context: &Context<'_>,
    ) -> Attributes {
        let mut attributes = node.attributes.clone();
        attributes.set("k8s.pod.uid", self.pod.uid.as_str());
        attributes.set("service.namespace", self.pod.namespace.as_str());
        if let Some(pod) = pod {
            attributes.extend(&pod.container_attributes(&self.container, restart));
        }
        attributes.set("k8s.namespace.name", self.pod.namespace.as_str());
        attributes.set("k8s.pod.name", self.pod.pod.as_str());
        attributes.set("k8s.container.name", self.container.as_str());
        attributes.set("k8s.container.restart_count", i64::from(restart));
        if !complete {
            attributes.set("hawsepipe.metadata.complete", false);
        }
        attributes.extend(context.attributes);
        attributes
    }
}

/// Nothing needs to be remembered of a segment.
pub(crate) fn gone(key: &StreamKey, segment: SegmentId) -> Cover {
    let (position, fingerprint) = (Position::default(), Fingerprint::default());
    let (stream, from) = (key.clone(), position);
    Cover { stream, segment, from, position, fingerprint, state: SegmentState::Gone }
}

fn same(a: Option<&Arc<PodMeta>>, b: Option<&Arc<PodMeta>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

/// Whether the pod's status has come as far as this run of the container. Runs before the last are never named there.
fn knows_run(pod: &PodMeta, container: &str, restart: u32) -> bool {
    let last = pod.containers.get(container).and_then(|meta| meta.ids.keys().next_back());
    last.is_some_and(|last| *last >= restart)
}

/// Hands on the whole lines of a chunk that was read at `base`; how many of its bytes are done with.
fn consume(
    joiner: &mut Joiner,
    chunk: &[u8],
    base: u64,
    at_end: bool,
    framer: &mut Framer,
    context: &Context<'_>,
) -> usize {
    let mut start = 0;
    if joiner.is_long() {
        let Some(newline) = memchr::memchr(b'\n', chunk) else {
            joiner.extend_long(chunk);
            return chunk.len();
        };
        joiner.extend_long(&chunk[..newline]);
        joiner.close_long(&mut |line| framer.push(line));
        start = newline + 1;
    }
    loop {
        if chunk.get(start) == Some(&0) {
            // A hole that a power cut left; no runtime begins a line with NUL.
            let run = chunk[start..].iter().take_while(|byte| **byte == 0).count();
            context.metrics.lost_bytes.get_or_create(&NUL).inc_by(run as u64);
            start += run;
        }
        let Some(len) = memchr::memchr(b'\n', &chunk[start..]) else {
            break;
        };
        let line = &chunk[start..start + len];
        joiner.whole(line, base + start as u64, &mut |line| framer.push(line));
        start += len + 1;
    }
    if start == 0 && !at_end {
        joiner.open_long(chunk, base);
        start = chunk.len();
    }
    start
}
