//! `/proc/1/mountinfo`: what is mounted where, as the host's first process sees it. `/proc/mounts` would be what the
//! reader sees.
//!
//! Format: `proc_pid_mountinfo(5)`. Blanks, tabs, newlines and backslashes in paths are written as octal escapes
//! (`mangle` in `fs/seq_file.c`). A node has a few mounts for each pod and long lines for overlays, so the file is
//! read as a stream, and a mount that the caller does not keep costs no allocation.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// What is mounted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mounts {
    /// In the order of mounting; of several at one mount point the last is what is seen there.
    pub mounts: Vec<Mount>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number.
    pub id: u64,
    /// The number of the mount that it is in.
    pub parent: u64,
    /// Major and minor number of the device. Mounts of one file system share it.
    pub device: (u32, u32),
    /// What of the file system is mounted: `/`, or a folder that is bound.
    pub root: Box<str>,
    /// Where, in the host's own paths.
    pub mount_point: Box<str>,
    /// Options of this mount.
    pub options: Box<str>,
    /// The file system's type.
    pub fs_type: Box<str>,
    /// The device or whatever stands for it.
    pub source: Box<str>,
    /// Options of the file system.
    pub super_options: Box<str>,
}

impl Mount {
    /// Nothing can be written here: the mount or the file system is read-only.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        [&self.options, &self.super_options].iter().any(|all| all.split(',').any(|one| one == "ro"))
    }
}

/// Reads every mount.
///
/// # Errors
/// When the file cannot be read.
pub fn read(root: &HostRoot) -> Result<Mounts, ReadError> {
    read_kept(root, |_fs_type, _mount_point| true)
}

/// Reads the mounts that `keep` wants, by file system type and mount point.
///
/// # Errors
/// When the file cannot be read.
pub fn read_kept(
    root: &HostRoot,
    mut keep: impl FnMut(&str, &str) -> bool,
) -> Result<Mounts, ReadError> {
    let mut mounts = Mounts::default();
    file::each_line(&root.proc("1/mountinfo"), |mut line| {
        let mount = mount(&mut line, &mut keep);
        mounts.mounts.extend(mounts.skipped.keep(mount).flatten());
    })?;
    Ok(mounts)
}

/// Parses the text of a `mountinfo`.
#[must_use]
pub fn parse(bytes: &[u8]) -> Mounts {
    let mut mounts = Mounts::default();
    for mut line in text::lines(bytes) {
        let mount = mount(&mut line, &mut |_fs_type, _mount_point| true);
        mounts.mounts.extend(mounts.skipped.keep(mount).flatten());
    }
    mounts
}

/// File system types that live on a block device: those that `/proc/filesystems` does not mark as `nodev`.
///
/// # Errors
/// When the file cannot be read.
pub fn device_types(root: &HostRoot) -> Result<BTreeSet<Box<str>>, ReadError> {
    file::parse(root.proc("filesystems"), |bytes| {
        let types = text::lines(bytes).filter(|line| !line.rest().starts_with(b"nodev"));
        Ok(types.map(|line| text::text(line.rest())).filter(|name| !name.is_empty()).collect())
    })
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
fn mount(
    line: &mut Fields<'_>,
    keep: &mut impl FnMut(&str, &str) -> bool,
) -> Result<Option<Mount>, ParseError> {
    let (id, parent) = (line.u64("mount ID")?, line.u64("parent ID")?);
    let device = line.word("major:minor")?;
    let device =
        text::device_number(device).ok_or_else(|| line.error("major:minor", Problem::Malformed))?;
    let (root, mount_point) = (line.word("root")?, line.word("mount point")?);
    let options = line.word("mount options")?;
    // Any number of optional fields, then a hyphen.
    while line.word("separator")? != b"-" {}
    let fs_type = line.word("file system type")?;
    let mount_point = unescape(mount_point);
    if !keep(&String::from_utf8_lossy(fs_type), &mount_point) {
        return Ok(None);
    }
    Ok(Some(Mount {
        id,
        parent,
        device,
        root: unescape(root).into(),
        mount_point: mount_point.into(),
        options: text::text(options),
        fs_type: text::text(fs_type),
        // Some file systems write no source at all: then the options stand in its place, or nothing.
        source: line.next().map(|source| unescape(source).into()).unwrap_or_default(),
        super_options: line.next().map(text::text).unwrap_or_default(),
    }))
}

/// A path without its octal escapes; what is no UTF-8 is replaced. A backslash that begins no escape stands for itself.
pub(crate) fn unescape(path: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'\\', path).is_none() {
        return String::from_utf8_lossy(path);
    }
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, behind)) = rest.split_first() {
        match behind.first_chunk::<3>().filter(|_| first == b'\\').and_then(octal) {
            Some(byte) => {
                plain.push(byte);
                rest = &behind[3..];
            }
            None => {
                plain.push(first);
                rest = behind;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

fn octal(digits: &[u8; 3]) -> Option<u8> {
    let value = digits
        .iter()
        .try_fold(0_u32, |value, digit| Some(value * 8 + (*digit as char).to_digit(8)?));
    value.and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mount_is_read_whole_whatever_stands_between() {
        let text = b"36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
            44 27 0:5 / /\\134\\011x ro,relatime - tmpfs  rw\n1 2 0:1 / /a rw - proc\n";
        let mounts = parse(text);
        let first = &mounts.mounts[0];
        assert_eq!((first.id, first.parent, first.device), (36, 35, (98, 0)));
        assert_eq!((&*first.root, &*first.mount_point), ("/mnt1", "/mnt two"));
        assert_eq!((&*first.fs_type, &*first.source), ("ext3", "/dev/root"));
        assert_eq!((&*first.options, &*first.super_options), ("rw,noatime", "rw,errors=continue"));
        assert!(!first.is_read_only());
        assert_eq!(&*mounts.mounts[1].mount_point, "/\\\tx");
        assert!(mounts.mounts[1].is_read_only());
        assert_eq!(&*mounts.mounts[2].source, "");
        assert_eq!(mounts.skipped.lines, 0);
    }

    #[test]
    fn mounts_that_are_not_understood_cost_those_mounts() {
        let mounts = parse(b"x\n1 2 0-5 / /a rw - ext4 a b\n1 2 0:5 / /a rw shared:1\n1 2 0:5 / /b rw - ext4 a b\n");
        assert_eq!((mounts.mounts.len(), mounts.skipped.lines), (1, 3));
        assert_eq!(mounts.skipped.first.map(|error| error.field), Some("mount ID"));
    }

    fn escape(path: &str) -> String {
        path.chars()
            .map(|letter| match letter {
                ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", letter as u32),
                other => other.to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn prop_any_path_comes_back_as_it_was(path in "/[^\0\u{b}\u{c}\r\u{85}\u{2000}-\u{3000}]{0,40}") {
            let line = format!("1 2 0:5 / {} rw - ext4 /dev/a rw\n", escape(&path));
            let mounts = parse(line.as_bytes());
            prop_assert_eq!(&*mounts.mounts[0].mount_point, path.as_str());
        }

        #[test]
        fn prop_no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mounts = parse(&bytes);
            let lines = text::lines(&bytes).count();
            prop_assert!(mounts.mounts.len() + mounts.skipped.lines as usize <= lines);
            unescape(&bytes);
        }
    }
}
