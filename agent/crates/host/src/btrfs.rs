//! `/sys/fs/btrfs/UUID`: how btrfs file systems share out their disks, and their disks' errors.
//!
//! `statfs` cannot say how full such a file system is; this can. Format: `btrfs(5)`, written by `fs/btrfs/sysfs.c`.

use std::path::Path;

use crate::error::ReadError;
use crate::{HostRoot, file, text};

/// A btrfs file system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Btrfs {
    /// Its UUID.
    pub uuid: Box<str>,
    /// Its label; empty without one.
    pub label: Box<str>,
    /// What data, metadata and the system have, in this order; `None` where that cannot be read.
    pub data: Option<Allocation>,
    /// See `data`.
    pub metadata: Option<Allocation>,
    /// See `data`.
    pub system: Option<Allocation>,
    /// What is kept back so that there is always room to free some, in bytes.
    pub reserve: Option<u64>,
    /// Its disks (since 5.14), by number.
    pub devices: Vec<BtrfsDevice>,
}

/// What one kind of blocks has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Bytes that it was given.
    pub total: u64,
    /// Bytes of those that are in use.
    pub used: u64,
    /// Bytes that it was given of the disks: more than `total` where blocks are kept twice.
    pub disk_total: u64,
}

/// A disk of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BtrfsDevice {
    /// Its number.
    pub number: u32,
    /// Writes that failed.
    pub write_errors: u64,
    /// Reads that failed.
    pub read_errors: u64,
    /// Flushes that failed.
    pub flush_errors: u64,
    /// Blocks with a wrong checksum.
    pub corruption_errors: u64,
    /// Blocks that are older than they should be.
    pub generation_errors: u64,
}

/// Reads every mounted btrfs file system, sorted by UUID.
///
/// # Errors
/// When the folder cannot be listed: without the module there is none.
pub fn read(root: &HostRoot) -> Result<Vec<Btrfs>, ReadError> {
    let top = root.sys("fs/btrfs");
    // `features` and `debug` stand there too.
    let names =
        file::names(&top)?.into_iter().filter(|name| top.join(name).join("allocation").is_dir());
    Ok(names
        .map(|name| Btrfs { uuid: name.as_str().into(), ..file_system(&top.join(&name)) })
        .collect())
}

fn file_system(folder: &Path) -> Btrfs {
    let number = |path: &str| file::optional(file::number(folder.join(path))).flatten();
    let allocation = |kind: &str| {
        let of = |name: &str| number(&format!("allocation/{kind}/{name}"));
        Some(Allocation {
            total: of("total_bytes")?,
            used: of("bytes_used")?,
            disk_total: of("disk_total")?,
        })
    };
    let devices = file::names(&folder.join("devinfo")).unwrap_or_default();
    let mut devices: Vec<_> = devices.iter().filter_map(|name| device(folder, name)).collect();
    devices.sort_by_key(|device| device.number);
    Btrfs {
        label: file::optional(file::line(folder.join("label"))).unwrap_or_default(),
        data: allocation("data"),
        metadata: allocation("metadata"),
        system: allocation("system"),
        reserve: number("allocation/global_rsv_size"),
        devices,
        ..Btrfs::default()
    }
}

fn device(folder: &Path, name: &str) -> Option<BtrfsDevice> {
    let mut device = BtrfsDevice { number: text::u32(name.as_bytes())?, ..BtrfsDevice::default() };
    let path = folder.join("devinfo").join(name).join("error_stats");
    let read = file::parse_attribute(path, |bytes| {
        for mut line in text::lines(bytes) {
            let place = match line.next() {
                Some(b"write_errs") => &mut device.write_errors,
                Some(b"read_errs") => &mut device.read_errors,
                Some(b"flush_errs") => &mut device.flush_errors,
                Some(b"corruption_errs") => &mut device.corruption_errors,
                Some(b"generation_errs") => &mut device.generation_errors,
                _ => continue,
            };
            *place = line.u64("count")?;
        }
        Ok(())
    });
    file::optional(read).map(|()| device)
}
