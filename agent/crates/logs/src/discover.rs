//! Which containers there are: the pods path, its pod folders, their container folders.
//!
//! In: the file system, and hints where to look. Out: one [`ContainerStream`] a container folder. Always: a folder is
//! watched before it is read, so that nothing falls between.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hawsepipe_model::{Cover, Extent, Loss, LossReason, SegmentId, SegmentState, StreamKey};

use crate::files::OpenFiles;
use crate::join::Joiner;
use crate::metrics::Metrics;
use crate::scan::PodDir;
use crate::select::Selection;
use crate::stream::{Begin, ContainerStream, gone};
use crate::wake::Wake;

/// All streams, by number.
pub(crate) struct Discovery {
    root: PathBuf,
    max_record_bytes: usize,
    files: OpenFiles,
    slots: Vec<Option<ContainerStream>>,
    free: Vec<usize>,
    by_dir: HashMap<PathBuf, usize>,
    pods: HashMap<PathBuf, Arc<PodDir>>,
    root_error: bool,
    root_watched: bool,
    /// When the agent started, nanoseconds since the epoch.
    started: i64,
    /// Positions that were kept from before, of streams that were not found yet.
    restored: HashMap<StreamKey, HashMap<SegmentId, Cover>>,
}

/// What discovery needs of the rest.
pub(crate) struct Surroundings<'a> {
    pub(crate) wake: &'a mut Wake,
    pub(crate) selection: &'a Selection,
    pub(crate) metrics: &'a Metrics,
}

impl Discovery {
    pub(crate) fn new(
        root: PathBuf,
        max_record_bytes: usize,
        files: OpenFiles,
        started: i64,
        positions: Vec<Cover>,
    ) -> Self {
        let mut restored: HashMap<StreamKey, HashMap<SegmentId, Cover>> = HashMap::new();
        for cover in positions {
            restored.entry(cover.stream.clone()).or_default().insert(cover.segment, cover);
        }
        Self {
            root,
            max_record_bytes,
            files,
            slots: Vec::new(),
            free: Vec::new(),
            by_dir: HashMap::new(),
            pods: HashMap::new(),
            root_error: false,
            root_watched: false,
            started,
            restored,
        }
    }

    /// Whether the folder of pods could be looked at, the last time.
    pub(crate) fn has_root(&self) -> bool {
        !self.root_error
    }

    /// Once the folder of pods was looked at: what positions speak of and is not there any more, and what was lost by that.
    pub(crate) fn take_unfound(&mut self) -> (Vec<Cover>, Vec<Loss>) {
        let (mut unfound, mut losses) = (Vec::new(), Vec::new());
        if self.root_error {
            return (unfound, losses);
        }
        for (key, segments) in self.restored.drain() {
            let mut extent = Extent::default();
            for cover in segments.values().filter(|cover| cover.state == SegmentState::Open) {
                extent.add(cover.rest.map_or(Extent::UNKNOWN, |rest| rest.extent));
            }
            if extent != Extent::default() {
                tracing::warn!(
                    stream = %key,
                    lines = extent.records,
                    bytes = extent.bytes,
                    files_of_unknown_extent = extent.unknown,
                    "a container's logs were deleted while the agent was away; what was not read is lost"
                );
                losses.push(Loss::of_stream(&key, LossReason::DeletedBeforeRead, extent));
            }
            let cover = |(id, cover): (SegmentId, Cover)| gone(&key, id, cover.position);
            unfound.extend(segments.into_iter().map(cover));
        }
        (unfound, losses)
    }

    /// Closes files until there are no more than there may be: those first that are found again most easily, and of those
    /// the ones that were of no use for the longest time.
    pub(crate) fn close_some(&mut self) {
        let over = self.files.over();
        if over == 0 {
            return;
        }
        let mut closing: Vec<_> = self
            .streams()
            .flat_map(|(id, stream)| {
                stream.closing().map(move |(cost, used, number)| (cost, used, id, number))
            })
            .collect();
        closing.sort_unstable();
        for (_, _, id, number) in closing.into_iter().take(over) {
            if let Some(stream) = self.get_mut(id) {
                stream.close(number);
            }
        }
    }

    /// Events were lost: anything may have been written.
    pub(crate) fn suspect_all(&mut self, lost: bool) {
        for stream in self.slots.iter_mut().flatten() {
            stream.suspect |= lost;
        }
    }

    pub(crate) fn get(&self, id: usize) -> Option<&ContainerStream> {
        self.slots.get(id)?.as_ref()
    }

    /// The folder of a stream, and the stream if there is one.
    pub(crate) fn find(&self, key: &StreamKey) -> (PathBuf, Option<&ContainerStream>) {
        let dir = self.root.join(&*key.0);
        let stream = self.by_dir.get(&dir).and_then(|id| self.get(*id));
        (dir, stream)
    }

    pub(crate) fn get_mut(&mut self, id: usize) -> Option<&mut ContainerStream> {
        self.slots.get_mut(id)?.as_mut()
    }

    pub(crate) fn streams(&self) -> impl Iterator<Item = (usize, &ContainerStream)> {
        self.slots.iter().enumerate().filter_map(|(id, slot)| Some((id, slot.as_ref()?)))
    }

    /// Forgets a stream whose folder is gone and whose files are read.
    pub(crate) fn remove(&mut self, id: usize) {
        if let Some(stream) = self.slots.get_mut(id).and_then(Option::take) {
            self.by_dir.remove(&stream.dir);
            self.free.push(id);
        }
    }

    /// Looks at everything; the streams that may have something to read.
    pub(crate) fn scan_all(&mut self, begin: Begin, around: &mut Surroundings<'_>) -> Vec<usize> {
        self.scan_root(begin, around);
        let pods: Vec<_> = self.pods.keys().cloned().collect();
        for dir in pods {
            self.scan_pod(&dir, begin, around);
        }
        let ids: Vec<_> = self.by_dir.values().copied().collect();
        for &id in &ids {
            if let Some(stream) = self.get_mut(id) {
                stream.scan(begin, around.metrics);
            }
        }
        ids
    }

    /// Looks where something came, went or was renamed; the streams that may have something to read.
    pub(crate) fn scan_dir(&mut self, dir: &Path, around: &mut Surroundings<'_>) -> Vec<usize> {
        if dir == self.root {
            return self.scan_root(Begin::Start, around);
        }
        if self.pods.contains_key(dir) {
            return self.scan_pod(dir, Begin::Start, around);
        }
        let Some(&id) = self.by_dir.get(dir) else {
            return Vec::new();
        };
        if let Some(stream) = self.get_mut(id) {
            stream.scan(Begin::Start, around.metrics);
        }
        vec![id]
    }

    pub(crate) fn id_of(&self, dir: &Path) -> Option<usize> {
        self.by_dir.get(dir).copied()
    }

    fn scan_root(&mut self, begin: Begin, around: &mut Surroundings<'_>) -> Vec<usize> {
        if !self.root_watched {
            self.root_watched = self.root.is_dir() && around.wake.watch(&self.root);
        }
        let found = match subfolders(&self.root) {
            Ok(found) => found,
            Err(error) => {
                self.root_watched = false;
                if !self.root_error {
                    self.root_error = true;
                    tracing::warn!(
                        path = %self.root.display(),
                        %error,
                        "cannot read logs.podsPath, trying again; is it mounted and readable?"
                    );
                }
                return Vec::new();
            }
        };
        self.root_error = false;
        let mut touched = Vec::new();
        for dir in &found {
            if self.pods.contains_key(dir) {
                continue;
            }
            let Some(pod) = dir.file_name().and_then(|n| n.to_str()).and_then(PodDir::parse) else {
                continue;
            };
            self.pods.insert(dir.clone(), Arc::new(pod));
            around.wake.watch(dir);
            touched.extend(self.scan_pod(dir, begin, around));
        }
        let found: HashSet<PathBuf> = found.into_iter().collect();
        let gone: Vec<_> = self.pods.keys().filter(|dir| !found.contains(*dir)).cloned().collect();
        for dir in gone {
            self.pods.remove(&dir);
            around.wake.unwatch(&dir);
            touched.extend(self.set_gone_below(&dir, around));
        }
        touched
    }

    fn scan_pod(&mut self, dir: &Path, begin: Begin, around: &mut Surroundings<'_>) -> Vec<usize> {
        let Some(pod) = self.pods.get(dir).map(Arc::clone) else {
            return Vec::new();
        };
        let Ok(found) = subfolders(dir) else {
            // It went between two looks; the root's next scan says so.
            return Vec::new();
        };
        let pod_dir = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut touched = Vec::new();
        for container_dir in found {
            if self.by_dir.contains_key(&container_dir) {
                continue;
            }
            let Some(container) = container_dir.file_name().and_then(|name| name.to_str()) else {
                continue;
            };
            let joiner = Joiner::new(self.max_record_bytes);
            let key = StreamKey(format!("{pod_dir}/{container}").into());
            let restored = self.restored.remove(&key).unwrap_or_default();
            let dir = container_dir.clone();
            let mut stream = ContainerStream::new(dir, &pod, key, container, joiner, &self.files);
            stream.restore(restored);
            if !stream.is_excluded(around.selection) {
                stream.polled = !around.wake.watch(&container_dir);
                stream.scan(begin, around.metrics);
                stream.backlog = stream.is_older_than(self.started);
            }
            let id = self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
            self.slots[id] = Some(stream);
            self.by_dir.insert(container_dir, id);
            touched.push(id);
        }
        touched
    }

    fn set_gone_below(&mut self, dir: &Path, around: &mut Surroundings<'_>) -> Vec<usize> {
        let below = self.by_dir.iter().filter(|(path, _)| path.starts_with(dir));
        let ids: Vec<_> = below.map(|(_, id)| *id).collect();
        for &id in &ids {
            if let Some(stream) = self.get_mut(id) {
                stream.set_gone();
                around.wake.unwatch(&stream.dir);
            }
        }
        ids
    }
}

fn subfolders(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.push(path);
        }
    }
    Ok(found)
}
