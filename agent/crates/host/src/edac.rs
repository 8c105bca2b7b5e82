//! `/sys/devices/system/edac/mc`: errors of the memory that were found, and corrected or not.
//!
//! Format: `Documentation/admin-guide/ras.rst`.

use crate::error::ReadError;
use crate::{HostRoot, file, text};

/// A memory controller. Counters are since its driver was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryController {
    /// The `N` of `mcN`.
    pub number: u32,
    /// Errors that were corrected.
    pub corrected: u64,
    /// Errors that could not be.
    pub uncorrected: u64,
    /// Errors that were corrected, of which the place is not known.
    pub corrected_elsewhere: Option<u64>,
    /// Errors that could not be, of which the place is not known.
    pub uncorrected_elsewhere: Option<u64>,
    /// By row of chips.
    pub rows: Vec<MemoryRow>,
}

/// A row of chips (`csrowN`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRow {
    /// The `N`.
    pub number: u32,
    /// Errors that were corrected.
    pub corrected: u64,
    /// Errors that could not be.
    pub uncorrected: u64,
}

/// Reads every memory controller, in order of their numbers. A machine without such memory has no folder, or an empty
/// one.
///
/// # Errors
/// When the folder cannot be listed.
pub fn read(root: &HostRoot) -> Result<Vec<MemoryController>, ReadError> {
    let top = root.sys("devices/system/edac/mc");
    let mut controllers = Vec::new();
    for (number, name) in numbered(&file::names(&top)?, "mc") {
        let folder = top.join(name);
        let count = |name| file::optional(file::number(folder.join(name))).flatten();
        let (Some(corrected), Some(uncorrected)) = (count("ce_count"), count("ue_count")) else {
            continue;
        };
        let row = |(number, name): (u32, &str)| {
            let count =
                |file: &str| file::optional(file::number(folder.join(name).join(file))).flatten();
            Some(MemoryRow {
                number,
                corrected: count("ce_count")?,
                uncorrected: count("ue_count")?,
            })
        };
        let rows = file::names(&folder).unwrap_or_default();
        controllers.push(MemoryController {
            number,
            corrected,
            uncorrected,
            corrected_elsewhere: count("ce_noinfo_count"),
            uncorrected_elsewhere: count("ue_noinfo_count"),
            rows: numbered(&rows, "csrow").into_iter().filter_map(row).collect(),
        });
    }
    Ok(controllers)
}

/// The names that are `begin` and a number, in order of the numbers.
fn numbered<'a>(names: &'a [String], begin: &str) -> Vec<(u32, &'a str)> {
    let number =
        |name: &'a String| Some((text::u32(name.strip_prefix(begin)?.as_bytes())?, name.as_str()));
    let mut numbered: Vec<_> = names.iter().filter_map(number).collect();
    numbered.sort_unstable();
    numbered
}
