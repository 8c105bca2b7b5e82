//! `/proc/vmstat`: what the host's memory management counted. Written by `mm/vmstat.c`; which fields there are
//! depends on the kernel.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::named::Named;
use crate::{HostRoot, file, text};

/// Every field of `/proc/vmstat`: those that begin with `nr_` are as of now, the others count since boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vmstat {
    fields: Named,
    /// What was not understood.
    pub skipped: Skipped,
}

impl Vmstat {
    /// A field by its name in the file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.fields.get(name)
    }

    /// All fields, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.fields.iter()
    }

    /// Page faults, major ones too.
    #[must_use]
    pub fn page_faults(&self) -> Option<u64> {
        self.get("pgfault")
    }

    /// Page faults that waited for a disk.
    #[must_use]
    pub fn major_page_faults(&self) -> Option<u64> {
        self.get("pgmajfault")
    }

    /// What was read from block devices, in bytes; the file has KiB.
    #[must_use]
    pub fn paged_in_bytes(&self) -> Option<u64> {
        self.get("pgpgin").map(|kib| kib.saturating_mul(1024))
    }

    /// What was written to block devices, in bytes; the file has KiB.
    #[must_use]
    pub fn paged_out_bytes(&self) -> Option<u64> {
        self.get("pgpgout").map(|kib| kib.saturating_mul(1024))
    }

    /// Pages that came back from swap.
    #[must_use]
    pub fn swapped_in_pages(&self) -> Option<u64> {
        self.get("pswpin")
    }

    /// Pages that went into swap.
    #[must_use]
    pub fn swapped_out_pages(&self) -> Option<u64> {
        self.get("pswpout")
    }

    /// Processes that were killed because memory ran out, on the host or in a cgroup (since 4.13).
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        self.get("oom_kill")
    }
}

/// Reads `/proc/vmstat`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Vmstat, ReadError> {
    file::parse(root.proc("vmstat"), parse)
}

/// Parses the text of `/proc/vmstat`.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<Vmstat, ParseError> {
    let mut read = Vmstat::default();
    for mut line in text::lines(bytes) {
        let field = line.word("name").and_then(|name| {
            let name =
                str::from_utf8(name).map_err(|_not_text| line.error("name", Problem::Malformed));
            Ok((name?, line.u64("value")?))
        });
        if let Some((name, value)) = read.skipped.keep(field) {
            read.fields.add(name, value);
        }
    }
    let nothing = ParseError { line: 1, field: "name", problem: Problem::Missing };
    if read.fields.is_empty() { Err(read.skipped.first.unwrap_or(nothing)) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name_and_the_bad_ones_are_counted() {
        let read =
            parse(b"nr_free_pages 7\npgpgin 2\npgpgout 3\npgfault x\npgmajfault -1\nnew_field 9\n")
                .expect("parsed");
        assert_eq!((read.paged_in_bytes(), read.paged_out_bytes()), (Some(2048), Some(3072)));
        assert_eq!((read.page_faults(), read.skipped.lines), (None, 2));
        assert_eq!(read.iter().last(), Some(("new_field", 9)));
        assert!(parse(b"").is_err());
    }
}
