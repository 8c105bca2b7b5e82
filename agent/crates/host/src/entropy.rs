//! `/proc/sys/kernel/random`: how much entropy the host has. Since 5.18 it is 256 of 256 once it was seeded. Format:
//! `random(4)`.

use crate::error::{ParseError, Problem, ReadError};
use crate::{HostRoot, file};

/// The kernel's entropy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entropy {
    /// Bits that are there.
    pub available: u64,
    /// Bits that there can be.
    pub pool: Option<u64>,
}

/// Reads `/proc/sys/kernel/random/{entropy_avail,poolsize}`.
///
/// # Errors
/// When the first cannot be read or holds no number.
pub fn read(root: &HostRoot) -> Result<Entropy, ReadError> {
    let path = root.proc("sys/kernel/random/entropy_avail");
    let available = file::number(path.clone())?;
    let source = ParseError { line: 1, field: "entropy_avail", problem: Problem::NotANumber };
    let available = available.ok_or(ReadError::Parse { path, source })?;
    let pool = file::optional(file::number(root.proc("sys/kernel/random/poolsize"))).flatten();
    Ok(Entropy { available, pool })
}
