//! Trees of files that stand for a host.

use std::fs;
use std::path::{Path, PathBuf};

use hawsepipe_host::HostRoot;

/// A committed tree.
pub(crate) fn fixture(name: &str) -> HostRoot {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    assert!(folder.is_dir(), "{}", folder.display());
    HostRoot::new(folder.join("proc"), folder.join("sys"), None)
}

/// A tree that a test makes, deleted at its end.
pub(crate) struct Tree {
    folder: tempfile::TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    pub(crate) fn root(&self) -> HostRoot {
        HostRoot::new(self.path("proc"), self.path("sys"), None)
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.path(path);
        let parent = path.parent().expect("it is in a folder");
        fs::create_dir_all(parent).expect("the folder is made");
        fs::write(path, text).expect("the file is written");
    }

    /// Copies a committed tree, so that it can be changed.
    pub(crate) fn copy_of(name: &str) -> Self {
        let tree = Self::new();
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        copy(&from, tree.folder.path());
        tree
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder is made");
    for entry in fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
