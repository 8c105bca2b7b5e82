//! The store's files as they are known in memory: one summary a segment, nothing a frame.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hawsepipe_spool::segment::{
    FILE_HEADER_BYTES, Scanned, SegmentError, SegmentReader, cut_torn_tail,
};

use super::frame::{ContainerName, FrameMeta};
use super::{Settings, StoreError};
use crate::metrics::Metrics;

/// A segment names at most this many containers; one of more is opened by every query.
const MAX_NAMED: usize = 10_000;
const SUFFIX: &str = "seg";
const SET_ASIDE: &str = "set-aside";

/// What is known of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// The sequence number of its first frame; also its name.
    pub(crate) id: u64,
    pub(crate) path: PathBuf,
    /// Bytes of the file that hold frames.
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) records: u64,
    pub(crate) first_received: u64,
    pub(crate) last_received: u64,
    pub(crate) min_time: u64,
    pub(crate) max_time: u64,
    pub(crate) containers: HashSet<Arc<ContainerName>>,
    pub(crate) more_containers: bool,
    /// False for a file of a newer version: it takes its place until it is too old, and is not read.
    pub(crate) readable: bool,
}

// === impl Segment ===

impl Segment {
    pub(crate) fn new(folder: &Path, id: u64) -> Self {
        Self {
            id,
            path: folder.join(format!("{id:020}.{SUFFIX}")),
            bytes: FILE_HEADER_BYTES,
            frames: 0,
            records: 0,
            first_received: 0,
            last_received: 0,
            min_time: u64::MAX,
            max_time: 0,
            containers: HashSet::new(),
            more_containers: false,
            readable: true,
        }
    }

    /// Takes note of a frame; `names` holds each name once for all segments.
    pub(crate) fn note(&mut self, meta: &FrameMeta, names: &mut HashSet<Arc<ContainerName>>) {
        if self.frames == 0 {
            self.first_received = meta.received;
        }
        self.last_received = self.last_received.max(meta.received);
        self.frames += 1;
        self.records += meta.records;
        self.min_time = self.min_time.min(meta.min_time);
        self.max_time = self.max_time.max(meta.max_time);
        self.more_containers |= meta.more_containers;
        for name in &meta.containers {
            if self.containers.contains(name) {
                continue;
            }
            if self.containers.len() >= MAX_NAMED {
                self.more_containers = true;
                break;
            }
            let shared = names.get(name).cloned().unwrap_or_else(|| {
                let shared = Arc::new(name.clone());
                names.insert(Arc::clone(&shared));
                shared
            });
            self.containers.insert(shared);
        }
    }
}

/// What was found when a store was opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) segments: VecDeque<Segment>,
    pub(crate) names: HashSet<Arc<ContainerName>>,
    pub(crate) next_sequence: u64,
}

/// Reads the store's folder: the torn tail of the newest segment is cut, what cannot be read is set aside or counted.
pub(crate) fn load(settings: &Settings, metrics: &Metrics) -> Result<Found, StoreError> {
    let mut found = Found { next_sequence: 1, ..Found::default() };
    let mut files = list(&settings.path).map_err(|source| settings.io("list", source))?;
    files.sort();
    let newest = files.iter().rposition(|file| !file.set_aside);
    for (index, file) in files.iter().enumerate() {
        let segment = if file.set_aside {
            set_aside(&settings.path, file, false).map_err(|source| settings.io("read", source))?
        } else {
            let is_newest = Some(index) == newest;
            match read(&settings.path, file.id, is_newest, &mut found, metrics) {
                Ok(segment) => segment,
                Err(SegmentError::Newer { found }) => {
                    tracing::warn!(
                        path = %file.path.display(), format = found,
                        "a segment was written by a newer version of this program: set aside, not read",
                    );
                    metrics.set_aside.inc();
                    set_aside(&settings.path, file, true)
                        .map_err(|source| settings.io("rename a segment in", source))?
                }
                Err(SegmentError::Io(source)) => return Err(settings.io("read", source)),
                Err(error) => return Err(settings.io("read", io::Error::other(error))),
            }
        };
        found.next_sequence = found.next_sequence.max(segment.id + segment.frames.max(1));
        if segment.readable && segment.frames == 0 {
            fs::remove_file(&segment.path).map_err(|source| settings.io("tidy up", source))?;
        } else {
            found.segments.push_back(segment);
        }
    }
    Ok(found)
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Listed {
    id: u64,
    path: PathBuf,
    set_aside: bool,
}

fn list(folder: &Path) -> io::Result<Vec<Listed>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        let suffix = path.extension().and_then(|suffix| suffix.to_str());
        if let (Some(id), Some(suffix @ (SUFFIX | SET_ASIDE))) = (id, suffix) {
            let set_aside = suffix == SET_ASIDE;
            files.push(Listed { id, path, set_aside });
        }
    }
    Ok(files)
}

fn set_aside(folder: &Path, file: &Listed, rename: bool) -> io::Result<Segment> {
    let meta = fs::metadata(&file.path)?;
    let path = file.path.with_extension(SET_ASIDE);
    if rename {
        fs::rename(&file.path, &path)?;
    }
    let since = meta.modified()?.duration_since(std::time::UNIX_EPOCH);
    let age = since.map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(0));
    Ok(Segment {
        path,
        bytes: meta.len(),
        first_received: age,
        last_received: age,
        readable: false,
        ..Segment::new(folder, file.id)
    })
}

fn read(
    folder: &Path,
    id: u64,
    newest: bool,
    found: &mut Found,
    metrics: &Metrics,
) -> Result<Segment, SegmentError> {
    let mut segment = Segment::new(folder, id);
    if newest {
        let recovery = cut_torn_tail(&segment.path, id)?;
        if recovery.cut_bytes > 0 {
            metrics.torn_bytes.inc_by(recovery.cut_bytes);
            tracing::warn!(
                path = %segment.path.display(), bytes = recovery.cut_bytes,
                "the newest segment had a torn tail, as after a crash: cut",
            );
        }
    }
    let reader = SegmentReader::open(&segment.path, id)?;
    segment.bytes = reader.file_len()?;
    let (mut damaged, mut damaged_bytes) = (0, 0);
    let mut next_sequence = id;
    for scanned in reader.scan(0, segment.bytes) {
        match scanned? {
            Scanned::Frame(frame) => match FrameMeta::parse(&frame.meta) {
                Ok(meta) => {
                    next_sequence = meta.sequence + 1;
                    segment.note(&meta, &mut found.names);
                }
                Err(_) => damaged += 1,
            },
            Scanned::Damage { bytes, .. } => {
                damaged += 1;
                damaged_bytes += bytes;
            }
        }
    }
    found.next_sequence = found.next_sequence.max(next_sequence);
    if damaged > 0 {
        metrics.damaged_frames.inc_by(damaged);
        tracing::warn!(
            path = %segment.path.display(), places = damaged, bytes = damaged_bytes,
            "a segment is damaged: what is damaged is lost, the rest is served",
        );
    }
    Ok(segment)
}
