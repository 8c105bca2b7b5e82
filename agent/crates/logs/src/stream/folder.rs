//! A container's folder: what is in it, and where each file is begun.
//!
//! In: the names and identities of files. Out: segments, opened where they are to be read on. Always: a file is known by
//! what it is, and by its name alone never; what was read before is not read again; nothing is taken for deleted after one
//! look.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use hawsepipe_model::{Cover, Extent, LossReason, Position, SegmentId, SegmentState};

use super::{Begin, ContainerStream, Done, gone};
use crate::metrics::Metrics;
use crate::scan::LogName;
use crate::segment::{Segment, compressed_head, identity};

/// How often a folder is looked at when something is missed in it: a look may miss a file that is renamed meanwhile (POSIX,
/// readdir), and the kubelet deletes a file only after its compressed copy has its name.
const LOOKS: usize = 3;

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
        let mut found = Vec::new();
        for _ in 0..LOOKS {
            match self.list(metrics) {
                Ok(list) => found = list,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.gone = true;
                    self.forget(&HashSet::new());
                    return;
                }
                Err(error) => {
                    self.refuse(self.dir.clone(), &error, metrics);
                    return;
                }
            }
            if !self.misses(&found) {
                break;
            }
        }
        self.gone = false;
        // A compressed one beside its plain one is the compressor's, at work: docker and logrotate write it under its last name.
        let plain: Vec<_> =
            found.iter().map(|it| &it.name).filter(|it| !it.compressed).cloned().collect();
        found.retain(|it| !it.name.compressed || !plain.iter().any(|name| name.is_same(&it.name)));
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
            segment.unlinked = segment.is_unlinked();
            if !segment.is_open() && segment.stat().is_err() {
                segment.switch_to_copy();
            }
        }
        self.introduce();
        self.arrange(&present);
        self.forget(&present);
    }

    /// Puts what was found where it belongs. What was known keeps its order: a file that was rotated, compressed and deleted
    /// between two looks still has the name of the one that is written to, and is older than all that came after it.
    fn arrange(&mut self, present: &HashSet<SegmentId>) {
        // What is being read keeps its place.
        let kept = usize::from(self.reading.is_some() && !self.segments.is_empty());
        let unread = &mut self.segments.make_contiguous()[kept..];
        let is_stale = |it: &Segment| it.name.rotated.is_none() && !present.contains(&it.id);
        let is_before = |new: &Segment, known: &Segment| {
            new.id.restart < known.id.restart || (!is_stale(known) && new.name < known.name)
        };
        for number in 1..unread.len() {
            let (known, new) = unread.split_at(number);
            let behind = known.iter().rposition(|it| !is_before(&new[0], it));
            unread[behind.map_or(0, |at| at + 1)..=number].rotate_right(1);
        }
    }

    /// The log files in the folder.
    fn list(&mut self, metrics: &Metrics) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(LogName::parse) else {
                continue;
            };
            let path = entry.path();
            // Through links: docker's files stand elsewhere.
            match fs::metadata(&path) {
                Ok(meta) => {
                    self.polled |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
                    let id = identity(&meta, name.restart);
                    found.push(Found { id, name, path, size: meta.len() });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.refuse(path, &error, metrics),
            }
        }
        Ok(found)
    }

    /// Whether something that is known is not among what was found.
    fn misses(&self, found: &[Found]) -> bool {
        let has = |id: SegmentId, name: Option<&LogName>| {
            let same = |file: &Found| name.is_some_and(|name| file.name.is_same(name));
            found.iter().any(|file| file.id == id || (file.name.compressed && same(file)))
        };
        let open = self.segments.iter().filter(|segment| !segment.unlinked);
        let mut known = open
            .map(|segment| (segment.id, Some(&segment.name)))
            .chain(self.done.iter().map(|(id, done)| (*id, Some(&done.name))))
            .chain(self.restored.keys().map(|id| (*id, None)));
        known.any(|(id, name)| !has(id, name))
    }

    fn scan_plain(&mut self, file: Found, begin: Begin, metrics: &Metrics) {
        if let Some(known) = self.segments.iter_mut().find(|segment| segment.id == file.id) {
            if !known.is_compressed() {
                known.name = file.name;
                known.path = file.path;
                known.size = known.size.max(file.size);
            }
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
        if let Some(open) = self.segments.iter_mut().find(|open| open.name.is_same(&file.name)) {
            return Some(has_copy(open, file));
        }
        let is_same = |done: &Done| done.name.is_same(&file.name);
        if let Some((&id, done)) = self.done.iter().find(|(_, done)| is_same(done)) {
            return Some(if done.name.compressed { id } else { self.done_copy(id, file, metrics) });
        }
        let head = match compressed_head(&file.path, &self.files) {
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
                    return Some(has_copy(open, file));
                }
            }
            let same =
                |(id, done): &(&SegmentId, &Done)| id.restart == restart && done.head == head;
            if let Some((&id, _)) = self.done.iter().find(same) {
                return Some(self.done_copy(id, file, metrics));
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

    /// A segment that was left has been compressed. What a runtime wrote into it after it was left is in there.
    fn done_copy(&mut self, id: SegmentId, file: Found, metrics: &Metrics) -> SegmentId {
        let copy = Segment::closed(&file.path, file.name.clone(), id, &self.files);
        let Some(done) = self.done.get_mut(&id) else { return id };
        done.name = file.name.clone();
        let (read, head, mut copy) = (done.read, done.head, copy);
        if copy.open().is_ok() && copy.cmp_len(read).is_ok_and(Ordering::is_gt) {
            self.open(Found { id, ..file }, Begin::Start, metrics);
            if let Some(segment) = self.segments.iter_mut().find(|segment| segment.id == id) {
                segment.set_head(head);
            }
        }
        id
    }

    fn open(&mut self, file: Found, begin: Begin, metrics: &Metrics) {
        let Found { id, name, path, size } = file;
        // It is looked into in any case, and closed again when there are too many.
        let keep = self.files.has_room();
        let (own, compressed) = (id.born_nanos, name.compressed);
        let mut segment = Segment::closed(&path, name, id, &self.files);
        match segment.open() {
            Ok(()) => {}
            // Another one has its name by now; the next look finds both.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                self.refuse(path, &error, metrics);
                return;
            }
        }
        self.refused.remove(&path);
        if !compressed {
            segment.size = size;
        }
        if let Some(cover) = self.restored.remove(&id) {
            self.open_restored(segment, &cover, keep, metrics);
            return;
        }
        // A runtime wrote into a renamed file after it was left: the rest is read, late but not lost.
        if let Some(done) = self.done.remove(&id) {
            segment.begin_at(done.read);
            self.take_in(segment, keep);
            return;
        }
        let older = is_older(own, compressed, begin);
        if older {
            segment.begin_at(segment.len().unwrap_or(size));
        }
        let passed = older && segment.name.rotated.is_some();
        let state = if passed { SegmentState::Finished } else { SegmentState::Open };
        let begins = segment.told;
        self.notices.push(segment.cover(&self.key, begins, state));
        self.fresh = true;
        if passed {
            self.pass_over(segment, begins.upper());
        } else {
            self.take_in(segment, keep);
        }
    }

    /// Opens a segment at the position that was kept of it.
    fn open_restored(
        &mut self,
        mut segment: Segment,
        cover: &Cover,
        keep: bool,
        metrics: &Metrics,
    ) {
        let read = cover.position.upper();
        let longer = segment.cmp_len(read).is_ok_and(Ordering::is_gt);
        if cover.state == SegmentState::Finished && !longer {
            self.pass_over(segment, read);
            return;
        }
        match segment.resume(cover) {
            Ok(true) => {
                let Position { stdout, stderr } = segment.covered;
                let file = segment.path.display();
                tracing::debug!(stream = %self.key, %file, stdout, stderr, "reading goes on");
            }
            Ok(false) => {
                // It was truncated, or is another file under the same identity, which no file system should give; better
                // twice than not at all.
                tracing::warn!(
                    path = %segment.path.display(),
                    "a log file is not the one that was read before, reading it from its beginning"
                );
                segment.begin_anew();
            }
            Err(error) => {
                let path = segment.path.clone();
                self.refuse(path, &error, metrics);
                self.restored.insert(cover.segment, cover.clone());
                return;
            }
        }
        self.take_in(segment, keep);
    }

    fn take_in(&mut self, mut segment: Segment, keep: bool) {
        if !keep {
            segment.close();
        }
        self.segments.push_back(segment);
    }

    /// Leaves a segment as it is.
    pub(super) fn pass_over(&mut self, mut segment: Segment, read: u64) {
        let head = segment.head();
        self.done.insert(segment.id, Done { read, name: segment.name, head });
    }

    /// Forgets what is not in the folder any more.
    pub(super) fn forget(&mut self, present: &HashSet<SegmentId>) {
        let Self { done, key, notices, .. } = self;
        done.retain(|id, done| {
            let here = present.contains(id);
            if !here {
                let read = Position { stdout: done.read, stderr: done.read };
                notices.push(gone(key, *id, read));
            }
            here
        });
        // What is left of the positions speaks of files that are not there, unless one could not be looked into.
        self.refused.retain(|path| path.symlink_metadata().is_ok());
        if !self.refused.is_empty() {
            return;
        }
        let (kept, missing): (HashMap<_, _>, HashMap<_, _>) = std::mem::take(&mut self.restored)
            .into_iter()
            .partition(|(id, _)| present.contains(id));
        self.restored = kept;
        for (id, cover) in missing {
            if cover.state == SegmentState::Open && self.included != Some(false) {
                let (dir, from) = (self.dir.clone(), cover.position.lower());
                let extent = cover.rest.map_or(Extent::UNKNOWN, |rest| rest.extent);
                if extent != Extent::default() {
                    self.lose(LossReason::DeletedBeforeRead, &dir, (from, None), extent);
                }
            }
            self.notices.push(gone(&self.key, id, cover.position));
        }
    }
}

/// The kubelet has compressed a segment that is known; the segment's identity.
fn has_copy(segment: &mut Segment, file: Found) -> SegmentId {
    if !segment.is_compressed() {
        segment.name = LogName { compressed: false, ..file.name };
        segment.copy = Some(file.path);
    }
    segment.id
}

/// Whether a file of which no position was kept was there before the first start of an agent.
fn is_older(born: i64, compressed: bool, begin: Begin) -> bool {
    match begin {
        Begin::Start => false,
        Begin::End { born_before, first } if born == 0 || compressed => {
            first || (born != 0 && born < born_before)
        }
        Begin::End { born_before, .. } => born < born_before,
    }
}
