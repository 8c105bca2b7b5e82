//! Doors for the fuzz targets (`fuzz/`), which see no more of this crate than anybody.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;

use hawsepipe_model::{Cover, Fingerprint, Position, SegmentId, SegmentState, StreamKey};
use rustix::fs::MemfdFlags;

use crate::files::OpenFiles;
use crate::join::{Joiner, Line};
use crate::lines::drain;
use crate::scan::LogName;
use crate::segment::Segment;

/// Reads bytes as a compressed file, on from a position that was kept of it; how long each record was.
#[must_use]
pub fn read_compressed(bytes: &[u8], (stdout, stderr): (u64, u64), before: u32) -> Vec<u64> {
    let mut lengths = Vec::new();
    let Ok(memory) = rustix::fs::memfd_create("fuzz", MemfdFlags::CLOEXEC) else {
        return lengths;
    };
    let mut file = std::fs::File::from(memory);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let Some(name) = LogName::parse("0.log.20261122-100000.gz") else { return lengths };
    let id = SegmentId { restart: 0, device: 0, inode: 0, born_nanos: 0 };
    let mut segment = Segment::closed(Path::new(&path), name, id, &OpenFiles::new(8));
    if file.write_all(bytes).is_err() || segment.open().is_err() {
        return lengths;
    }
    let position = Position { stdout, stderr };
    let cover = Cover {
        stream: StreamKey("ns_pod_uid/c".into()),
        segment: id,
        from: position,
        position,
        fingerprint: Fingerprint { head: 0, before },
        state: SegmentState::Open,
        rest: None,
    };
    if !segment.resume(&cover).unwrap_or(false) {
        segment.begin_anew();
    }
    let mut joiner = Joiner::new(1000);
    joiner.begin_segment(segment.covered);
    let emit = &mut |line: Line<'_>| lengths.push(line.original);
    // That it is corrupt is an answer too.
    drop(drain(&mut segment, u64::MAX, &mut joiner, &mut vec![0; 4096], emit));
    joiner.flush(emit);
    lengths
}
