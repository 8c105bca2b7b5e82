//! Which kernel runs, and what it allows: `/proc/sys/kernel`. The host's name is not here: what a reader sees there
//! is that of its own UTS namespace.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// The kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kernel {
    /// `Linux`.
    pub os_type: Box<str>,
    /// Its release (`6.1.0-18-amd64`).
    pub release: Box<str>,
    /// Which build of it.
    pub version: Box<str>,
    /// The largest number of a process, and one.
    pub pid_max: Option<u64>,
    /// Threads that there can be.
    pub threads_max: Option<u64>,
    /// Threads that hung, uninterruptibly, for longer than `kernel.hung_task_timeout_secs`, since boot (since 6.13).
    pub hung_tasks: Option<u64>,
}

/// Reads `/proc/sys/kernel`.
///
/// # Errors
/// When the first three cannot be read.
pub fn read(root: &HostRoot) -> Result<Kernel, ReadError> {
    let path = |name: &str| root.proc("sys/kernel").join(name);
    let number = |name| file::optional(file::number(path(name))).flatten();
    Ok(Kernel {
        os_type: file::line(path("ostype"))?,
        release: file::line(path("osrelease"))?,
        version: file::line(path("version"))?,
        pid_max: number("pid_max"),
        threads_max: number("threads-max"),
        hung_tasks: number("hung_task_detect_count"),
    })
}
