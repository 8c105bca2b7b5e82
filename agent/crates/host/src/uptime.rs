//! `/proc/uptime`: how long the host has been up. Format: `proc_uptime(5)`.

use crate::error::{ParseError, ReadError};
use crate::{HostRoot, file, text};

/// How long the host has been up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Uptime {
    /// Seconds since boot, with the time that it was suspended.
    pub up: f64,
    /// Seconds that its CPUs did nothing, summed up over all of them.
    pub idle: Option<f64>,
}

/// Reads `/proc/uptime`.
///
/// # Errors
/// When the file cannot be read or does not begin with a number.
pub fn read(root: &HostRoot) -> Result<Uptime, ReadError> {
    file::parse(root.proc("uptime"), parse)
}

/// Parses the text of `/proc/uptime`.
///
/// # Errors
/// When it does not begin with a number.
pub fn parse(bytes: &[u8]) -> Result<Uptime, ParseError> {
    let mut line = text::only_line(bytes);
    Ok(Uptime { up: line.f64("uptime")?, idle: line.f64("idle").ok() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_since_boot_are_read() {
        assert_eq!(
            parse(b"350735.47 234388.90\n").ok(),
            Some(Uptime { up: 350_735.47, idle: Some(234_388.9) })
        );
        assert_eq!(parse(b"12.5\n").ok(), Some(Uptime { up: 12.5, idle: None }));
        assert_eq!(parse(b"\n").expect_err("empty").field, "uptime");
    }
}
