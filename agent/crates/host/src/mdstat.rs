//! `/proc/mdstat`: the arrays of disks that the kernel makes. Format: `md(4)`, written by `drivers/md/md.c`.

use crate::error::{ParseError, Problem, ReadError, Skipped};
use crate::text::{self, Fields};
use crate::{HostRoot, file};

/// All arrays.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mdstat {
    /// In the file's order.
    pub arrays: Vec<Array>,
    /// What was not understood.
    pub skipped: Skipped,
}

/// An array.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Array {
    /// Its name (`md0`).
    pub name: Box<str>,
    /// It is running.
    pub is_active: bool,
    /// Its level (`raid1`); `None` while it is not running.
    pub level: Option<Box<str>>,
    /// Its disks.
    pub members: Vec<Member>,
    /// What fits on it, in bytes.
    pub size: Option<u64>,
    /// How many disks it needs; levels without redundancy do not say.
    pub needed: Option<u64>,
    /// How many of those it has.
    pub working: Option<u64>,
    /// What is being done to it.
    pub repair: Option<Repair>,
}

/// A disk of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The device (`sda1`).
    pub device: Box<str>,
    /// It failed.
    pub is_faulty: bool,
    /// It waits for another to fail.
    pub is_spare: bool,
}

/// What is being done to an array.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// `recovery`, `resync`, `reshape` or `check`.
    pub kind: Box<str>,
    /// How much of it is done, 0 to 1; 0 while it waits for its turn.
    pub done: f64,
}

/// Reads `/proc/mdstat`. Missing where the kernel has no arrays.
///
/// # Errors
/// When the file cannot be read or does not begin as it must.
pub fn read(root: &HostRoot) -> Result<Mdstat, ReadError> {
    file::parse(root.proc("mdstat"), parse)
}

/// Parses the text of `/proc/mdstat`.
///
/// # Errors
/// When it does not begin with the line of levels.
pub fn parse(bytes: &[u8]) -> Result<Mdstat, ParseError> {
    let mut lines = text::lines(bytes);
    if lines.next().and_then(|mut line| line.next()) != Some(b"Personalities") {
        return Err(ParseError { line: 1, field: "Personalities", problem: Problem::Missing });
    }
    let mut read = Mdstat::default();
    // Lines that are set in belong to the array above, if it was understood.
    let mut inside = false;
    for mut line in lines {
        let is_set_in = line.starts_with_blank();
        let Some(first) = line.next() else { continue };
        if first == b"unused" {
            inside = false;
        } else if !is_set_in {
            let array = read.skipped.keep(heading(first, &mut line));
            inside = array.is_some();
            read.arrays.extend(array);
        } else if let Some(array) = read.arrays.last_mut().filter(|_| inside) {
            detail(array, first, line);
        }
    }
    Ok(read)
}

/// `md0 : active (auto-read-only) raid1 sda1[0] sdb1[1](F)`.
fn heading(name: &[u8], line: &mut Fields<'_>) -> Result<Array, ParseError> {
    if line.word("colon")? != b":" {
        return Err(line.error("colon", Problem::Malformed));
    }
    let is_active = match line.word("state")? {
        b"active" => true,
        b"inactive" | b"broken" => false,
        _ => return Err(line.error("state", Problem::Malformed)),
    };
    let mut array = Array { name: text::text(name), is_active, ..Array::default() };
    while let Some(word) = line.next() {
        match memchr::memchr(b'[', word) {
            Some(bracket) => {
                let flags = &word[bracket..];
                array.members.push(Member {
                    device: text::text(&word[..bracket]),
                    is_faulty: flags.ends_with(b"(F)"),
                    is_spare: flags.ends_with(b"(S)"),
                });
            }
            None if word.starts_with(b"(") => {}
            None => array.level = Some(text::text(word)),
        }
    }
    Ok(array)
}

/// `976630336 blocks super 1.2 [2/1] [U_]`, or `[=>....]  recovery =  8.5% (…) finish=…`, or `resync=DELAYED`.
fn detail(array: &mut Array, first: &[u8], mut line: Fields<'_>) {
    if let Some(blocks) = text::u64(first) {
        if line.next() == Some(b"blocks") {
            array.size = Some(blocks.saturating_mul(1024));
        }
        while let Some(word) = line.next() {
            if let Some((needed, working)) = disks(word) {
                (array.needed, array.working) = (Some(needed), Some(working));
            }
        }
        return;
    }
    let waits = first.strip_suffix(b"=DELAYED").or_else(|| first.strip_suffix(b"=PENDING"));
    if let Some(kind) = waits {
        array.repair = Some(Repair { kind: text::text(kind), done: 0.0 });
        return;
    }
    if first.starts_with(b"[") {
        let kind = line.next();
        let percent =
            line.until(b'%').and_then(|done| text::f64(done.strip_prefix(b"=")?.trim_ascii()));
        if let (Some(kind), Some(percent)) = (kind, percent) {
            array.repair = Some(Repair { kind: text::text(kind), done: percent / 100.0 });
        }
    }
}

/// `[2/1]`: needed, working.
fn disks(word: &[u8]) -> Option<(u64, u64)> {
    let inner = word.strip_prefix(b"[")?.strip_suffix(b"]")?;
    let slash = memchr::memchr(b'/', inner)?;
    Some((text::u64(&inner[..slash])?, text::u64(&inner[slash + 1..])?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"Personalities : [raid1] [raid6] [raid5] [raid4] [raid0]\n\
md127 : active raid1 sdi2[0] sdj2[1](F) sdk2[2](S)\n      312319552 blocks super 1.2 [2/1] [U_]\n      [=>...................]  recovery =  8.5% (16775552/195310144) finish=17.0min speed=259783K/sec\n      bitmap: 0/3 pages [0KB], 65536KB chunk\n\n\
md1 : active (auto-read-only) raid0 sda1[0] sdb1[1]\n      1024 blocks super 1.2 512k chunks\n\n\
md2 : inactive sdc1[0](S)\n      4096 blocks super 1.2\n\n\
md3 : active raid5 sdd1[0]\n      8 blocks [1/1] [U]\n      \tresync=DELAYED\n\n\
md4 - odd\n      9 blocks [9/9]\nunused devices: <none>\n";

    #[test]
    fn arrays_are_told_with_their_disks_and_what_is_done_to_them() {
        let read = parse(TEXT).expect("parsed");
        let names: Vec<_> = read
            .arrays
            .iter()
            .map(|array| (&*array.name, array.is_active, array.level.as_deref()))
            .collect();
        let expected = [
            ("md127", true, Some("raid1")),
            ("md1", true, Some("raid0")),
            ("md2", false, None),
            ("md3", true, Some("raid5")),
        ];
        assert_eq!(names, expected);
        let first = &read.arrays[0];
        let members: Vec<_> =
            first.members.iter().map(|one| (&*one.device, one.is_faulty, one.is_spare)).collect();
        assert_eq!(members, [("sdi2", false, false), ("sdj2", true, false), ("sdk2", false, true)]);
        assert_eq!(
            (first.size, first.needed, first.working),
            (Some(312_319_552 * 1024), Some(2), Some(1))
        );
        assert_eq!(first.repair, Some(Repair { kind: "recovery".into(), done: 0.085 }));
        assert_eq!((read.arrays[1].size, read.arrays[1].needed), (Some(1 << 20), None));
        assert_eq!(read.arrays[3].repair, Some(Repair { kind: "resync".into(), done: 0.0 }));
        assert_eq!(read.arrays[3].needed, Some(1), "the next array's lines are not its own");
        assert_eq!(read.skipped.lines, 1);
        assert!(parse(b"").is_err());
        assert_eq!(parse(b"Personalities : \nunused devices: <none>\n"), Ok(Mdstat::default()));
    }

    proptest! {
        #[test]
        fn prop_no_bytes_make_it_panic(bytes in "(md0|:|active|\\[2/1\\]|\\[=>|recovery =|8%|blocks|[0-9]{1,22}|[ \n]{1,3}|\\PC){0,40}") {
            let _ = parse(format!("Personalities :\n{bytes}").as_bytes());
        }
    }
}
