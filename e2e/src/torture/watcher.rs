//! The independent watcher: looks at the node's log files many times a second, keeps each of them
//! open across rename and deletion, and notes every line. It shares no code with the agent and is
//! never ended before the pods are.
//!
//! In: the folder of pod logs, and a namespace. Out: [`Written`]. What always holds: of two files of
//! a container the older one is read at least as far as it was when the newer one had the size up
//! to which that one is read; so pieces of a line are met in the order in which they were written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::torture::cri::Joiner;
use crate::torture::line;
use crate::torture::written::{Container, Written};

/// The kubelet looks at sizes every 3 s, so a file has its first name much longer than this.
const LOOK: Duration = Duration::from_millis(50);
/// A deleted file is let go when nothing was added to it for so long.
const GRACE: Duration = Duration::from_secs(10);
const CHUNK: usize = 256 << 10;

/// The running watcher.
pub(crate) struct Watcher {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<Result<Written>>,
}

impl Watcher {
    /// Starts it. It sees the namespace's pods from then on.
    pub(crate) fn start(root: PathBuf, namespace: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let bytes = Arc::new(AtomicU64::new(0));
        let mut node = Node::new(root, namespace);
        let (told, seen) = (Arc::clone(&stop), Arc::clone(&bytes));
        let thread = thread::spawn(move || {
            // Once more after it was told: what was written before that is noted.
            loop {
                let last = told.load(Ordering::Acquire);
                node.look()?;
                seen.store(node.written.bytes, Ordering::Relaxed);
                if last {
                    return Ok(node.finish());
                }
                thread::sleep(LOOK);
            }
        });
        Self { stop, bytes, thread }
    }

    /// How many bytes it has read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Everything there is now, and no more.
    pub(crate) fn stop(self) -> Result<Written> {
        self.stop.store(true, Ordering::Release);
        match self.thread.join() {
            Ok(written) => written,
            Err(_) => bail!("the watcher panicked"),
        }
    }
}

/// Reads what is in a folder like that of pod logs, and adds it.
pub(crate) fn read_once(root: PathBuf, namespace: &str, written: Written) -> Result<Written> {
    let mut node = Node::new(root, namespace);
    node.written = written;
    node.look()?;
    Ok(node.finish())
}

/// What is known of the node's files.
struct Node {
    root: PathBuf,
    /// How the pods' folders begin: `NAMESPACE_`.
    prefix: String,
    folders: BTreeMap<PathBuf, Folder>,
    written: Written,
    buffer: Vec<u8>,
}

/// A container's folder.
struct Folder {
    container: Container,
    /// In the order in which they were born.
    files: Vec<Open>,
    /// Every name that a plain file had.
    names: BTreeSet<String>,
    joiner: Joiner,
}

/// A file that is held open.
struct Open {
    file: File,
    inode: (u64, u64),
    restart: u64,
    position: u64,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    changed: Instant,
}

impl Node {
    fn new(root: PathBuf, namespace: &str) -> Self {
        Self {
            root,
            prefix: format!("{namespace}_"),
            folders: BTreeMap::new(),
            written: Written::default(),
            buffer: vec![0; CHUNK],
        }
    }

    fn look(&mut self) -> Result<()> {
        for (pod, name) in entries(&self.root)? {
            // NAMESPACE_POD_UID; none of the three holds an underscore.
            let Some((pod_name, _)) =
                name.strip_prefix(&self.prefix).and_then(|n| n.split_once('_'))
            else {
                continue;
            };
            for (folder, container) in entries(&pod)? {
                if !self.folders.contains_key(&folder) {
                    let container = Container { pod: pod_name.to_owned(), name: container };
                    self.folders.insert(folder.clone(), Folder::new(container));
                }
                if let Some(known) = self.folders.get_mut(&folder) {
                    known.open_new(&folder, &mut self.written)?;
                }
            }
        }
        for folder in self.folders.values_mut() {
            folder.read(&mut self.written, &mut self.buffer)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Written {
        for mut folder in self.folders.into_values() {
            for open in folder.files {
                // The beginning of a line that nobody goes on writing.
                let (container, open_ends) = (&folder.container, &mut self.written.open_ends);
                folder.joiner.line(open.restart, &open.rest, |body, _cuts| {
                    open_ends.insert((container.clone(), line::fingerprint(body)));
                });
            }
            for body in folder.joiner.open_ends() {
                let end = (folder.container.clone(), line::fingerprint(&body));
                self.written.open_ends.insert(end);
            }
        }
        self.written
    }
}

impl Folder {
    fn new(container: Container) -> Self {
        Self { container, files: Vec::new(), names: BTreeSet::new(), joiner: Joiner::default() }
    }

    /// Opens files that are not open yet, the older first.
    fn open_new(&mut self, folder: &Path, written: &mut Written) -> Result<()> {
        let mut found = entries(folder)?;
        // N.log is younger than N.log.TIME, and a later time is younger than an earlier one.
        found.sort_by(|(_, a), (_, b)| key(a).cmp(&key(b)));
        for (path, name) in found {
            if name.ends_with(".tmp") {
                continue;
            }
            if let Some(plain) = name.strip_suffix(".gz") {
                if self.names.insert(plain.to_owned()) {
                    written.missed.push(format!("{} was compressed unseen", path.display()));
                }
                continue;
            }
            self.names.insert(name.clone());
            let Some((file, inode)) = open(&path)? else { continue };
            if self.files.iter().any(|open| open.inode == inode) {
                continue;
            }
            let restart = name.split('.').next().and_then(|number| number.parse().ok());
            let restart = restart.with_context(|| format!("{} has no number", path.display()))?;
            written.files += 1;
            self.files.push(Open {
                file,
                inode,
                restart,
                position: 0,
                rest: Vec::new(),
                changed: Instant::now(),
            });
        }
        Ok(())
    }

    /// Reads on in all files.
    fn read(&mut self, written: &mut Written, buffer: &mut [u8]) -> Result<()> {
        let mut sizes = Vec::with_capacity(self.files.len());
        // The newest is asked for its size first: what the older ones hold when they are asked is at
        // least what was in them when that much of the newer one had been written.
        for open in self.files.iter().rev() {
            let metadata = open.file.metadata()?;
            sizes.push((metadata.len(), metadata.nlink()));
        }
        let (container, joiner) = (&self.container, &mut self.joiner);
        for (open, (size, _)) in self.files.iter_mut().zip(sizes.iter().rev()) {
            open.read(*size, buffer, written, |restart, line, written| {
                let known = joiner.line(restart, line, |body, cuts| {
                    written.line(container, body, cuts);
                });
                if !known {
                    let shown = String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned();
                    written.strange.push(format!("{}: {shown:?}", container.pod));
                }
            })?;
        }
        let mut sizes = sizes.into_iter().rev();
        self.files.retain(|open| {
            let deleted = sizes.next().is_some_and(|(_, links)| links == 0);
            !deleted || open.changed.elapsed() < GRACE
        });
        Ok(())
    }
}

impl Open {
    fn read(
        &mut self,
        size: u64,
        buffer: &mut [u8],
        written: &mut Written,
        mut line: impl FnMut(u64, &[u8], &mut Written),
    ) -> Result<()> {
        while self.position < size {
            let wanted = buffer.len().min(usize::try_from(size - self.position)?);
            let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
            if read == 0 {
                break;
            }
            self.position += read as u64;
            self.changed = Instant::now();
            written.bytes += read as u64;
            let mut chunk = &buffer[..read];
            while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
                if self.rest.is_empty() {
                    line(self.restart, &chunk[..end], written);
                } else {
                    self.rest.extend_from_slice(&chunk[..end]);
                    line(self.restart, &self.rest, written);
                    self.rest.clear();
                }
                chunk = &chunk[end + 1..];
            }
            self.rest.extend_from_slice(chunk);
        }
        Ok(())
    }
}

/// What a file's name says of its age among its siblings.
fn key(name: &str) -> (&str, bool, &str) {
    let (number, rest) = name.split_once('.').unwrap_or((name, ""));
    (number, rest == "log", rest)
}

/// A file that was renamed or deleted in this very moment is no error: it is open already, or its
/// new name is seen at the next look.
fn open(path: &Path) -> Result<Option<(File, (u64, u64))>> {
    let opened = File::open(path).and_then(|file| {
        let metadata = file.metadata()?;
        Ok(metadata.is_file().then_some((file, (metadata.dev(), metadata.ino()))))
    });
    match opened {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.with_context(|| path.display().to_string()),
    }
}

/// Paths and names in a folder; one that is gone is empty.
fn entries(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let gone = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
    };
    let listed = match fs::read_dir(folder) {
        Err(error) if gone(&error) => return Ok(Vec::new()),
        other => other.with_context(|| folder.display().to_string())?,
    };
    let mut found = Vec::new();
    for entry in listed {
        match entry {
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error).with_context(|| folder.display().to_string()),
            Ok(entry) => {
                if let Ok(name) = entry.file_name().into_string() {
                    found.push((entry.path(), name));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(from: u64, to: u64) -> String {
        (from..=to).map(|n| format!("t stdout F 0a1b2c3d o {n:04} 26 fillin.\n")).collect()
    }

    #[test]
    fn lines_are_seen_across_rename_compression_and_deletion() {
        let root =
            std::env::temp_dir().join(format!("hawsepipe-e2e-watcher-{}", std::process::id()));
        let folder = root.join("ns_pod_uid/c");
        fs::create_dir_all(&folder).unwrap();
        let live = folder.join("0.log");
        let mut node = Node::new(root.clone(), "ns");
        fs::write(&live, lines(1, 10)).unwrap();
        node.look().unwrap();
        let mut old = File::options().append(true).open(&live).unwrap();
        fs::rename(&live, folder.join("0.log.20260101-000000")).unwrap();
        fs::write(&live, lines(21, 30)).unwrap();
        // The runtime still has the old file open.
        old.write_all(lines(11, 20).as_bytes()).unwrap();
        node.look().unwrap();
        old.write_all(lines(31, 31).as_bytes()).unwrap();
        fs::remove_dir_all(&root).unwrap();
        node.look().unwrap();
        let written = node.finish();
        assert_eq!(written.count(), 31);
        assert_eq!((written.files, written.missed.len()), (2, 0));
    }
}
