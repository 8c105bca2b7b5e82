//! `/proc/sys/fs/file-nr`: how many files the host has open. Format: `Documentation/admin-guide/sysctl/fs.rst`.

use crate::error::{ParseError, ReadError};
use crate::{HostRoot, file, text};

/// Open files of the whole host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileHandles {
    /// How many are allocated.
    pub allocated: u64,
    /// How many can be (`fs.file-max`).
    pub max: u64,
}

/// Reads `/proc/sys/fs/file-nr`.
///
/// # Errors
/// When the file cannot be read or does not hold three numbers.
pub fn read(root: &HostRoot) -> Result<FileHandles, ReadError> {
    file::parse(root.proc("sys/fs/file-nr"), parse)
}

/// Parses the text of `/proc/sys/fs/file-nr`. The second number has been 0 since 2.6.
///
/// # Errors
/// When it does not hold three numbers.
pub fn parse(bytes: &[u8]) -> Result<FileHandles, ParseError> {
    let mut line = text::only_line(bytes);
    let allocated = line.u64("allocated")?;
    line.u64("free")?;
    Ok(FileHandles { allocated, max: line.u64("maximum")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_and_the_third_count() {
        let max = 9_223_372_036_854_775_807;
        assert_eq!(
            parse(b"1632\t0\t9223372036854775807\n"),
            Ok(FileHandles { allocated: 1632, max })
        );
        assert_eq!(parse(b"1632\t0\n").expect_err("cut").field, "maximum");
        assert!(parse(b"").is_err());
    }
}
