//! `/sys/fs/xfs/DEVICE/stats/stats`: what each XFS file system did since it was mounted. Format: lines of a name and
//! numbers, explained in the XFS FAQ ("Runtime stats") and `fs/xfs/xfs_stats.h`.

use crate::error::{ReadError, Skipped};
use crate::{HostRoot, file, text};

/// An XFS file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XfsStats {
    /// Its device (`sda1`).
    pub device: Box<str>,
    /// Calls to write and to read.
    pub write_calls: u64,
    /// See `write_calls`.
    pub read_calls: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Extents that were given to files.
    pub extents_allocated: u64,
    /// Blocks in them.
    pub blocks_allocated: u64,
    /// Extents that were taken back.
    pub extents_freed: u64,
    /// Blocks in them.
    pub blocks_freed: u64,
    /// Look-ups of names, files that were made and removed, and readings of folders.
    pub directories: [u64; 4],
    /// What was not understood.
    pub skipped: Skipped,
}

/// Reads every XFS file system, sorted by device. Missing where XFS is not loaded.
///
/// # Errors
/// When the folder cannot be listed.
pub fn read(root: &HostRoot) -> Result<Vec<XfsStats>, ReadError> {
    let top = root.sys("fs/xfs");
    let mut all = Vec::new();
    for name in file::names(&top)? {
        // `debug` and `stats` stand there too; the latter is the sum of all.
        let path = top.join(&name).join("stats/stats");
        if let Some(stats) = file::optional(file::parse(path, |bytes| Ok(parse(bytes)))) {
            all.push(XfsStats { device: name.into(), ..stats });
        }
    }
    Ok(all)
}

/// Parses the text of a file system's statistics.
#[must_use]
pub fn parse(bytes: &[u8]) -> XfsStats {
    let mut stats = XfsStats::default();
    for mut line in text::lines(bytes) {
        let name = line.next();
        let mut take = |places: &mut [&mut u64]| {
            places.iter_mut().try_for_each(|place| line.u64("count").map(|count| **place = count))
        };
        let read = match name {
            Some(b"extent_alloc") => take(&mut [
                &mut stats.extents_allocated,
                &mut stats.blocks_allocated,
                &mut stats.extents_freed,
                &mut stats.blocks_freed,
            ]),
            Some(b"dir") => {
                let [looked_up, made, removed, listed] = &mut stats.directories;
                take(&mut [looked_up, made, removed, listed])
            }
            Some(b"rw") => take(&mut [&mut stats.write_calls, &mut stats.read_calls]),
            // The first is what was written from the cache later; it is in the second.
            Some(b"xpc") => take(&mut [&mut 0, &mut stats.written_bytes, &mut stats.read_bytes]),
            _ => Ok(()),
        };
        stats.skipped.keep(read);
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_where_their_names_say() {
        let stats = parse(b"extent_alloc 92447 97589 92448 93751\ndir 1 2 3 4\nrw 107739 94045\nxpc 399724544 92823103 86219234\nnew 1\nrw x\n");
        assert_eq!((stats.write_calls, stats.read_calls), (107_739, 94_045));
        assert_eq!((stats.written_bytes, stats.read_bytes), (92_823_103, 86_219_234));
        assert_eq!((stats.extents_allocated, stats.blocks_freed), (92_447, 93_751));
        assert_eq!((stats.directories, stats.skipped.lines), ([1, 2, 3, 4], 1));
    }
}
