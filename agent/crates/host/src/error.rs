//! What can go wrong when a file is read, and what a caller needs to tell apart.

use std::io;
use std::path::{Path, PathBuf};

/// A file of the host that could not be read. Names the file, and for what was not understood the line and the field.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is not there, or says nothing: this kernel does not have it, is built without it or has it switched
    /// off (pressure answers `EOPNOTSUPP` then), or nothing is mounted there.
    #[error("{}: not there", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// What the file told about (a process, a cgroup, a device) ended between the moment it was found and the moment
    /// it was read. No failure: it is not counted as one, and there is nothing to say.
    #[error("{}: gone", path.display())]
    Gone {
        /// The file, or the folder that it was in.
        path: PathBuf,
    },
    /// The kernel refuses: no right to read, an I/O error.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The file is not what it is said to be.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: ParseError,
    },
}

impl ReadError {
    /// What an I/O error at this file means.
    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            _ if source.raw_os_error() == Some(OFF) => Self::Missing { path },
            _ if source.raw_os_error().is_some_and(|code| GONE.contains(&code)) => {
                Self::Gone { path }
            }
            _ => Self::Io { path, source },
        }
    }

    /// The same error for something that was there a moment ago: a file that is not there any more is [`Self::Gone`].
    #[must_use]
    pub(crate) fn was_there(self) -> Self {
        match self {
            Self::Missing { path } => Self::Gone { path },
            other => other,
        }
    }

    /// The file that this is about.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path }
            | Self::Gone { path }
            | Self::Io { path, .. }
            | Self::Parse { path, .. } => path,
        }
    }

    /// The file is not there, and perhaps never will be.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// What it told about ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Gone { .. })
    }
}

/// What a file answers that is there but switched off.
const OFF: i32 = rustix::io::Errno::OPNOTSUPP.raw_os_error();

/// What reading an open file answers when its process (`ESRCH`) or its cgroup or device (`ENODEV`) ended: see
/// `kernfs_fop_read_iter` and `proc_pid_*` in the kernel's sources.
const GONE: [i32; 2] =
    [rustix::io::Errno::SRCH.raw_os_error(), rustix::io::Errno::NODEV.raw_os_error()];

/// What was not understood, by line and field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: field {field}: {problem}")]
pub struct ParseError {
    /// The line, from 1. For what is missing altogether, the last line of the file.
    pub line: usize,
    /// The field's name, in the words of the kernel's documentation.
    pub field: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is not there.
    #[error("missing")]
    Missing,
    /// A number was expected.
    #[error("not a number, or one that does not fit")]
    NotANumber,
    /// Anything else that does not follow the format.
    #[error("not understood")]
    Malformed,
}

/// Lines that were not understood and are left out of a result. Lines of kinds that are unknown (a newer kernel's)
/// are not counted: there is nothing wrong with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// How many.
    pub lines: u32,
    /// The first of them.
    pub first: Option<ParseError>,
}

impl Skipped {
    /// Counts one.
    pub(crate) fn add(&mut self, error: ParseError) {
        self.lines = self.lines.saturating_add(1);
        self.first.get_or_insert(error);
    }

    /// The value, or `None` and a count.
    pub(crate) fn keep<T>(&mut self, result: Result<T, ParseError>) -> Option<T> {
        result.map_err(|error| self.add(error)).ok()
    }
}
