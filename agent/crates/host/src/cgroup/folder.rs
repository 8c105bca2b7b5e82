//! A cgroup's folder in one tree, and its files.
//!
//! In: where it is. Out: what its files say, and which folders are in it. Always: an error names the whole path. The kernel takes longer to walk from
//! the root to a file than to read it, and a node has thousands of them: folders that many cgroups are in are held open
//! ([`Held`]), and what is below one is opened from there.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, RawDir};

use crate::error::{ParseError, ReadError};
use crate::{file, text};

/// Bytes of a listing that are asked for at a time: a cgroup has some fifty files.
const LISTING: usize = 4 << 10;

/// Folders that are held open.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<[(PathBuf, OwnedFd)]>);

impl Held {
    /// Holds those of the folders that are there.
    pub(super) fn open(folders: impl Iterator<Item = PathBuf>) -> Self {
        let open = |path: PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let folder = rustix::fs::open(&path, flags, Mode::empty()).ok()?;
            Some((path, folder))
        };
        Self(folders.filter_map(open).collect())
    }

    /// The nearest folder above this one that is held, and how many bytes of the path lead there.
    fn above(&self, path: &Path) -> Option<(&OwnedFd, usize)> {
        let path = path.as_os_str().as_bytes();
        let above = self.0.iter().filter_map(|(above, folder)| {
            let above = above.as_os_str().as_bytes();
            let below = path.strip_prefix(above)?;
            below.starts_with(b"/").then_some((folder, above.len() + 1))
        });
        above.max_by_key(|(_, length)| *length)
    }
}

/// A cgroup's folder.
pub(super) struct Folder<'a> {
    path: PathBuf,
    above: Option<(&'a OwnedFd, usize)>,
}

impl<'a> Folder<'a> {
    pub(super) fn new(path: PathBuf, held: &'a Held) -> Self {
        Self { above: held.above(&path), path }
    }

    /// The whole path of a file.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Lends a file's bytes to `parse`.
    pub(super) fn parse<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, ParseError>,
    ) -> Result<T, ReadError> {
        file::parse_opened(self.path(name), |path| self.open(path), parse)
    }

    /// The names of the folders in it, sorted.
    pub(super) fn folders(&self) -> Result<Vec<String>, ReadError> {
        let failed = |source| ReadError::from_io(&self.path, source);
        let folder = self.open(&self.path).map_err(failed)?;
        let mut listing = [MaybeUninit::uninit(); LISTING];
        let mut entries = RawDir::new(folder, &mut listing);
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| failed(errno.into()))?;
            // The kernel tells a folder from a file in the listing itself.
            if entry.file_type() == FileType::Directory
                && let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        if let Some((above, length)) = self.above {
            let below = OsStr::from_bytes(&path.as_os_str().as_bytes()[length..]);
            match rustix::fs::openat(above, below, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            {
                // The folder may have been removed and made anew since it is held.
                Err(rustix::io::Errno::NOENT) => {}
                opened => return Ok(opened?.into()),
            }
        }
        File::open(path)
    }

    /// A file that holds a number and must.
    pub(super) fn required(&self, name: &str) -> Result<u64, ReadError> {
        self.parse(name, |bytes| text::only_line(bytes).u64("value"))
    }

    /// A file that holds a number; `None` if there is none in it (`max`).
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, ReadError> {
        self.parse(name, |bytes| Ok(text::u64(bytes.trim_ascii())))
    }

    /// A file that holds a number, or `max` for none, or is not there.
    pub(super) fn optional(&self, name: &str) -> Option<u64> {
        file::optional(self.number(name)).flatten()
    }

    /// A file of names and numbers, a pair a line. Lines that are something else are passed over.
    pub(super) fn pairs(
        &self,
        name: &str,
        mut each: impl FnMut(&[u8], u64),
    ) -> Result<(), ReadError> {
        self.parse(name, |bytes| {
            for_pairs(bytes, &mut each);
            Ok(())
        })
    }
}

fn for_pairs(bytes: &[u8], each: &mut impl FnMut(&[u8], u64)) {
    for mut line in text::lines(bytes) {
        if let (Some(name), Some(number)) = (line.next(), line.next().and_then(text::u64)) {
            each(name, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_opened_from_the_folder_that_is_held_and_from_one_that_was_made_anew() {
        let tree = tempfile::tempdir().expect("a folder");
        let pods = tree.path().join("kubepods");
        let group = pods.join("pod1/c");
        fs::create_dir_all(&group).expect("made");
        fs::write(group.join("pids.current"), "7\n").expect("written");
        let held = Held::open([tree.path().join("none"), pods.clone()].into_iter());
        let folder = Folder::new(group.clone(), &held);
        assert_eq!(folder.required("pids.current").expect("read"), 7);
        // What is held is still that folder, by whatever name.
        fs::rename(&pods, tree.path().join("away")).expect("renamed");
        assert_eq!(folder.required("pids.current").expect("read"), 7);
        fs::remove_dir_all(tree.path().join("away")).expect("removed");
        let error = folder.required("pids.current").expect_err("removed");
        assert_eq!((error.is_missing(), error.path()), (true, &*group.join("pids.current")));
        fs::create_dir_all(&group).expect("made anew");
        fs::write(group.join("pids.current"), "8\n").expect("written");
        assert_eq!(folder.required("pids.current").expect("read"), 8);
    }

    #[test]
    fn folders_are_listed_by_name_however_many_and_whatever_is_beside_them() {
        let tree = tempfile::tempdir().expect("a folder");
        let pods = tree.path().join("kubepods");
        let mut made: Vec<_> = (0..500).map(|number| format!("pod{number}")).collect();
        for name in &made {
            fs::create_dir_all(pods.join(name)).expect("made");
            fs::write(pods.join(format!("{name}.file")), "").expect("written");
        }
        made.sort_unstable();
        for held in [Held::default(), Held::open(std::iter::once(tree.path().to_path_buf()))] {
            let listed = Folder::new(pods.clone(), &held).folders().expect("listed");
            assert_eq!(listed, made);
            let error = Folder::new(pods.join("none"), &held).folders().expect_err("not there");
            assert_eq!((error.is_missing(), error.path()), (true, &*pods.join("none")));
        }
    }

    #[test]
    fn a_folder_whose_name_only_begins_like_one_that_is_held_is_not_in_it() {
        let tree = tempfile::tempdir().expect("a folder");
        for (name, number) in [("kubepods", "1"), ("kubepods-other", "2")] {
            fs::create_dir_all(tree.path().join(name).join("c")).expect("made");
            fs::write(tree.path().join(name).join("c/pids.current"), number).expect("written");
        }
        let held = Held::open(std::iter::once(tree.path().join("kubepods")));
        let folder = Folder::new(tree.path().join("kubepods-other/c"), &held);
        assert!(folder.above.is_none());
        assert_eq!(folder.required("pids.current").expect("read"), 2);
        assert!(Folder::new(tree.path().join("kubepods/c"), &held).above.is_some());
    }

    proptest! {
        #[test]
        fn prop_no_bytes_make_pairs_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for_pairs(&bytes, &mut |_, _| {});
        }
    }
}
