//! A container's folder: what is in it, and where each file is begun.
//!
//! In: the names and identities of files. Out: segments, opened where they are to be read on. Always: a file is known by
//! what it is, and by its name alone never; what was read before is not read again.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use hawsepipe_model::{Cover, Position, SegmentId, SegmentState};

use super::{Begin, ContainerStream, Done, gone};
use crate::metrics::{DELETED, Metrics};
use crate::scan::LogName;
use crate::segment::{Segment, identity};

/// A log file in the folder.
struct Found {
    id: SegmentId,
    name: LogName,
    path: PathBuf,
    size: u64,
}

impl ContainerStream {
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
    pub(super) fn pass_over(&mut self, mut segment: Segment, read: u64) {
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
}
