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
use hawsepipe_model::{Attributes, NodeMeta, PodDirectory, PodMeta, SegmentId, StreamKey};

use crate::framer::Framer;
use crate::join::Joiner;
use crate::metrics::{Metrics, NUL};
use crate::scan::{LogName, PodDir};
use crate::segment::{Segment, identity};
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
    /// Segments that were read to their end and are still in the folder, with what was read of them.
    done: HashMap<SegmentId, u64>,
    /// Paths that could not be opened and were said to be so.
    refused: HashSet<PathBuf>,
    joiner: Joiner,
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
        pod_dir: &str,
        container: &str,
        cap: usize,
    ) -> Self {
        let now = Instant::now();
        Self {
            key: StreamKey(format!("{pod_dir}/{container}").into()),
            dir,
            pod: Arc::clone(pod),
            container: container.to_owned(),
            segments: VecDeque::new(),
            done: HashMap::new(),
            refused: HashSet::new(),
            joiner: Joiner::new(cap),
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
        let mut present = HashSet::new();
        for entry in entries.flatten() {
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(LogName::parse) else {
                continue;
            };
            let path = entry.path();
            // Through links: docker's files stand elsewhere.
            let meta = match fs::metadata(&path) {
                Ok(meta) => meta,
                Err(error) => {
                    if error.kind() != io::ErrorKind::NotFound {
                        self.refuse(path, &error, metrics);
                    }
                    continue;
                }
            };
            let id = identity(&meta, name.restart);
            present.insert(id);
            if let Some(known) = self.segments.iter_mut().find(|segment| segment.id == id) {
                known.name = name;
                known.path = path;
            } else if self.done.get(&id).is_none_or(|read| meta.len() > *read) {
                self.polled |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
                self.open(path, name, begin, metrics);
            }
        }
        for segment in &mut self.segments {
            segment.unlinked = !present.contains(&segment.id) && segment.is_unlinked();
        }
        self.segments.make_contiguous().sort_by(|a, b| a.name.cmp(&b.name));
        self.done.retain(|id, _| present.contains(id));
    }

    fn open(&mut self, path: PathBuf, name: LogName, begin: Begin, metrics: &Metrics) {
        let rotated = name.rotated.is_some();
        match Segment::open(&path, name) {
            Ok(Some(mut segment)) => {
                self.refused.remove(&path);
                if let Begin::End { born_before } = begin
                    && segment.id.born_nanos < born_before
                {
                    segment.offset = segment.stat().map_or(0, |stat| stat.size);
                    if rotated {
                        self.done.insert(segment.id, segment.offset);
                        return;
                    }
                }
                // A runtime wrote into a renamed file after it was left: the rest is read, late but not lost.
                if let Some(read) = self.done.remove(&segment.id) {
                    segment.offset = read;
                }
                segment.seen = segment.offset;
                self.segments.push_back(segment);
            }
            Ok(None) => {
                let error = io::Error::other("it is no regular file");
                self.refuse(path, &error, metrics);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.refuse(path, &error, metrics),
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
                    return Turn::Idle;
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
        }
        if size == segment.seen {
            return Ok(false);
        }
        let read = segment.read(chunk)?;
        if read == 0 {
            // The last read filled the chunk to the file's last byte.
            segment.seen = segment.offset;
            return Ok(false);
        }
        let at_end = read < chunk.len();
        framer.begin(&self.key, resource);
        let used =
            consume(&mut self.joiner, &chunk[..read], segment.offset, at_end, framer, context);
        segment.offset += used as u64;
        if at_end {
            segment.seen = segment.offset + (read - used) as u64;
        }
        context.metrics.read_bytes.inc_by(used as u64);
        framer.cover(&self.key, segment.id, self.joiner.position(segment.offset));
        Ok(used > 0)
    }

    /// Whether nothing will be written to the first segment any more.
    fn is_over(&self) -> bool {
        if self.segments.len() < 2 && !self.gone && !self.segments[0].unlinked {
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
        let Some(mut segment) = self.segments.pop_front() else {
            return;
        };
        framer.begin(&self.key, resource);
        let emit = &mut |line: crate::join::Line<'_>| framer.push(line);
        if segment.seen > segment.offset
            && let Ok(read) = segment.read(chunk)
        {
            if self.joiner.is_long() {
                self.joiner.extend_long(&chunk[..read]);
            } else {
                self.joiner.whole(&chunk[..read], segment.offset, emit);
            }
            segment.offset += read as u64;
            context.metrics.read_bytes.inc_by(read as u64);
        }
        self.joiner.close_long(emit);
        let goes_on =
            self.segments.front().is_some_and(|next| next.id.restart == segment.id.restart);
        if !goes_on {
            self.joiner.flush(emit);
        }
        framer.cover(&self.key, segment.id, self.joiner.position(segment.offset));
        self.done.insert(segment.id, segment.offset);
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
