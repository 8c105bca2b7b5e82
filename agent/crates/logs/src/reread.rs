//! Frames that were damaged in the queue: their lines, read from the files again.
//!
//! In: the ranges that such a frame covered. Out: a frame in its place, with every line of them that the files still have, and
//! the rest as a loss; a note, if that is all. Always: the streams that are being read do not notice; the frame waits
//! for no room, since a destination waits for it; it holds no more than the damaged one did.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hawsepipe_model::{Cover, Extent, Loss, LossReason, Missing, StreamKey};

use crate::discover::Discovery;
use crate::files::OpenFiles;
use crate::framer::Framer;
use crate::join::{Joiner, Line};
use crate::lines::drain;
use crate::scan::LogName;
use crate::segment::{Segment, compressed_head, identity};
use crate::stream::{ContainerStream, Context};

/// What is needed to find files and to read them.
pub(crate) struct Again<'a> {
    pub(crate) discovery: &'a Discovery,
    pub(crate) files: &'a OpenFiles,
    pub(crate) context: Context<'a>,
    pub(crate) max_record_bytes: usize,
    pub(crate) chunk: &'a mut [u8],
    /// One of its own: what is at hand for the next frame stays there.
    pub(crate) framer: Framer,
}

impl Again<'_> {
    /// Puts a frame in the place of a damaged one; false when the disk has no room for it.
    pub(crate) fn read(&mut self, missing: &Missing) -> bool {
        let mut streams: BTreeMap<&StreamKey, Vec<&Cover>> = BTreeMap::new();
        for cover in &missing.covers {
            streams.entry(&cover.stream).or_default().push(cover);
        }
        for tally in &missing.tallies {
            streams.entry(&tally.stream).or_default();
        }
        let mut losses = Vec::new();
        for (key, covers) in streams {
            let whole = self.read_stream(key, &covers);
            let (records, bytes) = self.framer.tally(key);
            let extent = match missing.tallies.iter().find(|tally| tally.stream == *key) {
                Some(tally) if tally.records > records => {
                    Extent::known(tally.records - records, tally.bytes.saturating_sub(bytes))
                }
                None if !whole && missing.tallies.is_empty() => Extent::UNKNOWN,
                _ => continue,
            };
            tracing::warn!(
                stream = %key,
                lines = extent.records,
                bytes = extent.bytes,
                whole_extent_known = extent.unknown == 0,
                "log lines were lost: the spool was damaged, and the files do not have them any more"
            );
            losses.push(Loss::of_stream(key, LossReason::SpoolDamage, extent));
        }
        if missing.covers.is_empty() && missing.tallies.is_empty() {
            let nobody = StreamKey("".into());
            losses.push(Loss::of_stream(&nobody, LossReason::SpoolDamage, Extent::UNKNOWN));
        }
        // What was cut the first time was counted the first time.
        self.framer.forget_losses();
        for loss in &losses {
            self.framer.lose(loss);
        }
        self.framer.replace(missing.id)
    }

    /// Reads the ranges of one stream; whether all of them are still there.
    fn read_stream(&mut self, key: &StreamKey, covers: &[&Cover]) -> bool {
        let (dir, stream) = self.discovery.find(key);
        let mut whole = true;
        let mut segments = Vec::new();
        for cover in covers.iter().filter(|cover| cover.from.lower() < cover.position.upper()) {
            match find(cover, &dir, stream, self.files) {
                Some(segment) => segments.push((segment, *cover)),
                None => whole = false,
            }
        }
        let Some(stream) = stream else { return segments.is_empty() && whole };
        segments.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        let mut joiner = Joiner::new(self.max_record_bytes);
        let mut last_restart = None;
        for (mut segment, cover) in segments {
            let restart = segment.id.restart;
            if last_restart.replace(restart) != Some(restart) {
                joiner.flush(&mut |line| self.framer.push(line));
                self.framer.begin(key, &stream.resource_at_once(restart, &self.context));
            }
            segment.begin_at(cover.from.lower());
            joiner.begin_range(cover.from, cover.position);
            let emit = &mut |line: Line<'_>| self.framer.push(line);
            let end = cover.position.upper();
            whole &= drain(&mut segment, end, &mut joiner, self.chunk, emit).unwrap_or(false);
        }
        joiner.flush(&mut |line| self.framer.push(line));
        whole
    }
}

/// The segment of a cover, wherever it is now: held open, under another name, or compressed.
fn find(
    cover: &Cover,
    dir: &Path,
    stream: Option<&ContainerStream>,
    files: &OpenFiles,
) -> Option<Segment> {
    if let Some(mut segment) = stream.and_then(|stream| stream.again(cover.segment))
        && segment.is_of(cover)
    {
        return Some(segment);
    }
    // It may be renamed during the first look.
    find_in(cover, dir, files).or_else(|| find_in(cover, dir, files))
}

fn find_in(cover: &Cover, dir: &Path, files: &OpenFiles) -> Option<Segment> {
    let (id, head) = (cover.segment, cover.fingerprint.head);
    for entry in fs::read_dir(dir).ok()?.flatten() {
        let Some(name) = entry.file_name().to_str().and_then(LogName::parse) else { continue };
        let path = entry.path();
        let is_it = if name.compressed {
            let own = || compressed_head(&path, files).ok().flatten();
            name.restart == id.restart && head != 0 && own() == Some(head)
        } else {
            fs::metadata(&path).is_ok_and(|meta| identity(&meta, name.restart) == id)
        };
        if is_it {
            let mut segment = Segment::closed(&path, name, id, files);
            if segment.is_of(cover) {
                return Some(segment);
            }
        }
    }
    None
}
