//! What the machine is made of: `/sys/class/dmi`, `/sys/class/nvme`, `/sys/class/watchdog`, and whether SELinux
//! guards it.
//!
//! All of it is read once; it changes when a device comes or goes.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// What the firmware says of the machine (`Documentation/ABI/testing/sysfs-class-dmi`). Serial numbers are the
/// superuser's alone, and are not read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Who made it.
    pub vendor: Option<Box<str>>,
    /// What it is called.
    pub product: Option<Box<str>>,
    /// Which version of that.
    pub product_version: Option<Box<str>>,
    /// Who made its board.
    pub board_vendor: Option<Box<str>>,
    /// What that is called.
    pub board: Option<Box<str>>,
    /// Who made its firmware.
    pub firmware_vendor: Option<Box<str>>,
    /// Which version of that.
    pub firmware_version: Option<Box<str>>,
    /// Of which day, month first.
    pub firmware_date: Option<Box<str>>,
}

/// An NVMe controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nvme {
    /// Its name (`nvme0`).
    pub name: Box<str>,
    /// What it is called.
    pub model: Option<Box<str>>,
    /// Which firmware it has.
    pub firmware: Option<Box<str>>,
    /// `live`, `resetting`, `dead`.
    pub state: Option<Box<str>>,
}

/// A watchdog, which resets the machine when nothing tends it (`Documentation/watchdog/watchdog-api.rst`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchdog {
    /// Its name (`watchdog0`).
    pub name: Box<str>,
    /// What it is called.
    pub identity: Option<Box<str>>,
    /// `active` or `inactive`.
    pub state: Option<Box<str>>,
    /// Why it reset the machine the last time, as a mask of `WDIOF_*`; 0 if it did not.
    pub boot_status: Option<u64>,
    /// Seconds after which it resets.
    pub timeout: Option<u64>,
    /// Seconds that are left.
    pub time_left: Option<u64>,
}

/// SELinux, where it is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Selinux {
    /// It forbids; otherwise it only tells.
    pub is_enforcing: bool,
    /// The version of its policy's format.
    pub policy_version: Option<u64>,
}

/// Reads what the firmware says.
///
/// # Errors
/// [`ReadError::Missing`] where there is no such firmware: many virtual machines and arm64 boards.
pub fn machine(root: &HostRoot) -> Result<Machine, ReadError> {
    let folder = root.sys("class/dmi/id");
    file::names(&folder)?;
    let word = |name| file::optional(file::line(folder.join(name))).filter(|word| !word.is_empty());
    Ok(Machine {
        vendor: word("sys_vendor"),
        product: word("product_name"),
        product_version: word("product_version"),
        board_vendor: word("board_vendor"),
        board: word("board_name"),
        firmware_vendor: word("bios_vendor"),
        firmware_version: word("bios_version"),
        firmware_date: word("bios_date"),
    })
}

/// Reads every NVMe controller, sorted by name.
///
/// # Errors
/// When the folder cannot be listed: a machine without any has none.
pub fn nvme(root: &HostRoot) -> Result<Vec<Nvme>, ReadError> {
    let top = root.sys("class/nvme");
    let controller = |name: String| {
        let word = |file: &str| file::optional(file::line(top.join(&name).join(file)));
        let (model, firmware, state) = (word("model"), word("firmware_rev"), word("state"));
        Nvme { name: name.into(), model, firmware, state }
    };
    Ok(file::names(&top)?.into_iter().map(controller).collect())
}

/// Reads every watchdog, sorted by name. Most of it needs `CONFIG_WATCHDOG_SYSFS`.
///
/// # Errors
/// When the folder cannot be listed.
pub fn watchdogs(root: &HostRoot) -> Result<Vec<Watchdog>, ReadError> {
    let top = root.sys("class/watchdog");
    let watchdog = |name: String| {
        let folder = top.join(&name);
        let word = |file: &str| file::optional(file::line(folder.join(file)));
        let number = |file: &str| file::optional(file::number(folder.join(file))).flatten();
        Watchdog {
            name: name.into(),
            identity: word("identity"),
            state: word("state"),
            boot_status: number("bootstatus"),
            timeout: number("timeout"),
            time_left: number("timeleft"),
        }
    };
    Ok(file::names(&top)?.into_iter().map(watchdog).collect())
}

/// Reads whether SELinux guards the host.
///
/// # Errors
/// [`ReadError::Missing`] where it is off.
pub fn selinux(root: &HostRoot) -> Result<Selinux, ReadError> {
    let folder = root.sys("fs/selinux");
    Ok(Selinux {
        is_enforcing: file::number(folder.join("enforce"))? == Some(1),
        policy_version: file::optional(file::number(folder.join("policyvers"))).flatten(),
    })
}
