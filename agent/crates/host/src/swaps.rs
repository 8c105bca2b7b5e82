//! `/proc/swaps`: where the host swaps to. Written by `mm/swapfile.c`; its sizes are in KiB.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file, mounts};

/// All swap devices and files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swaps {
    /// In the file's order; none on a host without swap.
    pub swaps: Vec<Swap>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// A device or file to swap to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    /// Its path.
    pub name: Box<str>,
    /// `partition` or `file`.
    pub kind: Box<str>,
    /// Bytes that fit in.
    pub size: u64,
    /// Bytes that are in use.
    pub used: u64,
    /// Those with a higher one are used first.
    pub priority: i64,
}

/// Reads `/proc/swaps`. It is missing where the kernel is built without swap.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &HostRoot) -> Result<Swaps, ReadError> {
    file::parse(root.proc("swaps"), parse)
}

/// Parses the text of `/proc/swaps`.
///
/// # Errors
/// When it does not begin with the line of headings.
pub fn parse(bytes: &[u8]) -> Result<Swaps, ParseError> {
    let mut lines = text::lines(bytes);
    let missing = ParseError { line: 1, field: "Filename", problem: Problem::Missing };
    if lines.next().and_then(|mut line| line.next()) != Some(b"Filename") {
        return Err(missing);
    }
    let mut swaps = Swaps::default();
    for mut line in lines {
        swaps.swaps.extend(swaps.skipped.keep(swap(&mut line)));
    }
    Ok(swaps)
}

fn swap(line: &mut Fields<'_>) -> Result<Swap, ParseError> {
    Ok(Swap {
        name: mounts::unescape(line.word("Filename")?).into(),
        kind: line.text("Type")?,
        size: line.u64("Size")?.saturating_mul(1024),
        used: line.u64("Used")?.saturating_mul(1024),
        priority: line.i64("Priority")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swaps_are_read_and_bad_ones_counted() {
        let text = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n\
            /dev/zram0                              partition\t8388604\t\t1024\t\t100\n/my\\040swap file 4 0 -2\n/x file many 0 -3\n";
        let read = parse(text).expect("parsed");
        let [zram, file] = &read.swaps[..] else { panic!("two: {read:?}") };
        assert_eq!((&*zram.name, &*zram.kind, zram.priority), ("/dev/zram0", "partition", 100));
        assert_eq!((zram.size, zram.used), (8_388_604 * 1024, 1024 * 1024));
        assert_eq!((&*file.name, file.priority), ("/my swap", -2));
        assert_eq!(read.skipped.lines, 1);
        assert_eq!(parse(b"Filename Type Size Used Priority\n"), Ok(Swaps::default()));
        assert!(parse(b"").is_err());
    }
}
