//! `/proc/spl/kstat/zfs/arcstats`: the cache of ZFS. Format: three columns, name, type and value, below two lines of
//! headings (`spl-kstat.c`).

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::named::Named;
use crate::{HostRoot, file, text};

/// Every field of the cache's statistics. Sizes are in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ArcStats {
    fields: Named,
    /// What was not understood.
    pub skipped: Skipped,
}

impl ArcStats {
    /// A field by its name in the file (`size`, `c_max`, `hits`, `misses`).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<u64> {
        self.fields.get(name)
    }

    /// All fields, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.fields.iter()
    }
}

/// Reads `/proc/spl/kstat/zfs/arcstats`. Missing where ZFS is not loaded.
///
/// # Errors
/// When the file cannot be read, or nothing in it is understood.
pub fn read(root: &HostRoot) -> Result<ArcStats, ReadError> {
    file::parse(root.proc("spl/kstat/zfs/arcstats"), parse)
}

/// Parses the text of `arcstats`.
///
/// # Errors
/// When nothing in it is understood.
pub fn parse(bytes: &[u8]) -> Result<ArcStats, ParseError> {
    let mut stats = ArcStats::default();
    for mut line in text::lines(bytes).skip(2) {
        let field = line.word("name").and_then(|name| {
            line.skip(1); // the type: 4 is a number of 64 bits
            let name =
                str::from_utf8(name).map_err(|_not_text| line.error("name", Problem::Malformed));
            Ok((name?, line.u64("data")?))
        });
        if let Some((name, value)) = stats.skipped.keep(field) {
            stats.fields.add(name, value);
        }
    }
    let nothing = ParseError { line: 1, field: "name", problem: Problem::Missing };
    if stats.fields.is_empty() { Err(stats.skipped.first.unwrap_or(nothing)) } else { Ok(stats) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_column_is_the_value() {
        let text = b"6 1 0x01 91 4368 5266997922 97951858082072\nname                            type data\n\
            hits                            4    8772612\nsize                            4    1603939792\nbad 4 x\n";
        let stats = parse(text).expect("parsed");
        assert_eq!((stats.get("hits"), stats.get("size")), (Some(8_772_612), Some(1_603_939_792)));
        assert_eq!((stats.iter().count(), stats.skipped.lines), (2, 1));
        assert!(parse(b"").is_err());
    }
}
