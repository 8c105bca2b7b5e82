//! `/proc/meminfo`: where the host's memory is.
//!
//! Format: `proc_meminfo(5)`, written by `fs/proc/meminfo.c`; the `kB` in it are KiB. The same lines, with `Node N`
//! before each, are in `/sys/devices/system/node/nodeN/meminfo` ([`crate::numa`] reads those).

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::named::Named;
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// Every field of `/proc/meminfo`. Sizes are in bytes; counts (`HugePages_*`) have no unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meminfo {
    fields: Named,
    /// What was not understood.
    pub skipped: Skipped,
}

impl Meminfo {
    /// A field by its name in the file (`MemTotal`): bytes, or a count for what has no unit there.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.fields.get(name)
    }

    /// All fields, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.fields.iter()
    }
}

/// An accessor for each field that has a name of its own in metrics.
macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $field:literal;)*) => {
        impl Meminfo {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> Option<u64> {
                self.get($field)
            })*
        }
    };
}

fields! {
    /// Memory that the kernel can use, in bytes.
    total: "MemTotal";
    /// Memory that nothing uses, in bytes.
    free: "MemFree";
    /// What new programs could have without swapping, by the kernel's estimate, in bytes (since 3.14).
    available: "MemAvailable";
    /// Cache of block devices, in bytes.
    buffers: "Buffers";
    /// Cache of files, with tmpfs and shared memory, in bytes.
    cached: "Cached";
    /// Memory that was swapped out, is back, and is still in the swap too, in bytes.
    swap_cached: "SwapCached";
    /// Memory that was used lately, in bytes.
    active: "Active";
    /// Memory that was not, in bytes.
    inactive: "Inactive";
    /// tmpfs and shared memory, in bytes.
    shared: "Shmem";
    /// The kernel's own structures, in bytes.
    slab: "Slab";
    /// Slab that can be given back, in bytes.
    slab_reclaimable: "SReclaimable";
    /// Slab that cannot, in bytes.
    slab_unreclaimable: "SUnreclaim";
    /// What waits to be written to a disk, in bytes.
    dirty: "Dirty";
    /// What is being written to a disk, in bytes.
    writeback: "Writeback";
    /// Memory of programs that no file is behind, in bytes.
    anonymous: "AnonPages";
    /// Files mapped into programs, in bytes.
    mapped: "Mapped";
    /// Page tables, in bytes.
    page_tables: "PageTables";
    /// Stacks of the kernel, in bytes.
    kernel_stack: "KernelStack";
    /// All swap, in bytes.
    swap_total: "SwapTotal";
    /// Swap that nothing uses, in bytes.
    swap_free: "SwapFree";
    /// What programs may be promised, in bytes.
    commit_limit: "CommitLimit";
    /// What they were promised, in bytes.
    committed: "Committed_AS";
    /// Huge pages of the default size, as a count.
    hugepages_total: "HugePages_Total";
    /// Huge pages that nothing uses, as a count.
    hugepages_free: "HugePages_Free";
    /// Huge pages that are promised and not used yet, as a count.
    hugepages_reserved: "HugePages_Rsvd";
    /// Huge pages above the configured number, as a count.
    hugepages_surplus: "HugePages_Surp";
    /// The default size of a huge page, in bytes.
    hugepage_size: "Hugepagesize";
}

/// Reads `/proc/meminfo`.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<Meminfo, ReadError> {
    file::parse(root.proc("meminfo"), parse)
}

/// Parses the text of `/proc/meminfo`.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<Meminfo, ParseError> {
    parse_lines(bytes, 0)
}

/// The same with some words before each name.
pub(crate) fn parse_lines(bytes: &[u8], before: usize) -> Result<Meminfo, ParseError> {
    let mut memory = Meminfo::default();
    for mut line in text::lines(bytes) {
        line.skip(before);
        let field = field(&mut line);
        if let Some((name, value)) = memory.skipped.keep(field) {
            memory.fields.add(name, value);
        }
    }
    let nothing = ParseError { line: 1, field: "MemTotal", problem: Problem::Missing };
    if memory.fields.is_empty() { Err(memory.skipped.first.unwrap_or(nothing)) } else { Ok(memory) }
}

/// `MemTotal:       16384 kB`.
fn field<'a>(line: &mut Fields<'a>) -> Result<(&'a str, u64), ParseError> {
    let name = line.until(b':').and_then(|name| str::from_utf8(name).ok());
    let name = name.ok_or_else(|| line.error("name", Problem::Malformed))?;
    let value = line.u64("value")?;
    let unit = match line.next() {
        None => 1,
        Some(b"kB") => 1024,
        Some(_) => return Err(line.error("unit", Problem::Malformed)),
    };
    Ok((name, value.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_and_counts_are_counts() {
        let memory = parse(b"MemTotal:  16 kB\nHugePages_Total:       3\nActive(anon): 2 kB\n")
            .expect("parsed");
        assert_eq!(memory.total(), Some(16_384));
        assert_eq!(memory.hugepages_total(), Some(3));
        assert_eq!(memory.get("Active(anon)"), Some(2048));
        assert_eq!(memory.available(), None);
        assert_eq!(
            memory.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["MemTotal", "HugePages_Total", "Active(anon)"]
        );
    }

    #[test]
    fn lines_that_are_not_understood_cost_those_lines() {
        let memory = parse(b"MemTotal: many kB\nMemFree: 1 MB\nBuffers 1 kB\nCached: 1 kB\n")
            .expect("parsed");
        assert_eq!((memory.cached(), memory.skipped.lines), (Some(1024), 3));
        let error = parse(b"garbage\n").expect_err("nothing understood");
        assert_eq!(error, ParseError { line: 1, field: "name", problem: Problem::Malformed });
        assert!(parse(b"").is_err());
    }
}
