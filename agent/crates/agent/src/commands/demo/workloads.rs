//! Three workloads that write as a container runtime and a kubelet do: lines in CRI format, long ones in pieces of
//! 16 KiB, files that are rotated, pods that come and go. Every line holds its number.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::super::print;

/// The runtime's buffer for one line (containerd, `pkg/cri/io/logger.go`, `defaultBufSize`).
const PIECE: usize = 16 << 10;
/// Lines after which the played kubelet rotates.
const ROTATE_AFTER: u64 = 100;

/// Lines by pod.
pub(super) type Written = BTreeMap<String, u64>;

/// The running workloads.
pub(super) struct Workloads {
    path: PathBuf,
    written: Arc<Mutex<Written>>,
    stop: CancellationToken,
    tasks: JoinSet<io::Result<()>>,
}

impl Workloads {
    /// Starts them below `path`.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(super) fn start(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        let (written, stop) = (Arc::default(), CancellationToken::new());
        let player =
            Player { path: path.to_owned(), written: Arc::clone(&written), stop: stop.clone() };
        let mut tasks = JoinSet::new();
        tasks.spawn(player.clone().web());
        tasks.spawn(player.clone().worker());
        tasks.spawn(player.batch());
        Ok(Self { path: path.to_owned(), written, stop, tasks })
    }

    /// The folder of pods.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Lines written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.lock().values().sum()
    }

    /// Ends them; what each pod wrote.
    pub(super) async fn finish(mut self) -> Written {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                print(&format!("a workload could not write: {error}\n"));
            }
        }
        self.written.lock().clone()
    }
}

#[derive(Clone)]
struct Player {
    path: PathBuf,
    written: Arc<Mutex<Written>>,
    stop: CancellationToken,
}

impl Player {
    /// Many short lines to both outputs; its file is rotated.
    async fn web(self) -> io::Result<()> {
        let mut container = Container::create(&self.path, "web-7d9f8c6b5-x2x4q", "web")?;
        let mut number = 0;
        while !self.stop.is_cancelled() {
            let path = ["/", "/login", "/cart", "/checkout"][number as usize % 4];
            let stream = if number % 7 == 3 { "stderr" } else { "stdout" };
            container.line(stream, &format!("{number} GET {path} 200 {} ms", number * 7 % 90))?;
            number += 1;
            self.count(&container, number);
            if number % ROTATE_AFTER == 0 {
                container.rotate()?;
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Lines that the runtime must break, with lines of the other output between the pieces.
    async fn worker(self) -> io::Result<()> {
        let mut container = Container::create(&self.path, "worker-0", "worker")?;
        let mut number = 0;
        while !self.stop.is_cancelled() {
            let long = format!("{number} result {}", "0123456789abcdef".repeat(3000));
            let mut pieces = long.as_bytes().chunks(PIECE).peekable();
            while let Some(piece) = pieces.next() {
                let last = pieces.peek().is_none();
                container.piece("stdout", last, piece)?;
                if !last {
                    number += 1;
                    container.line("stderr", &format!("{number} still at work"))?;
                }
            }
            number += 1;
            self.count(&container, number);
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    /// Pods that live a second and are deleted.
    async fn batch(self) -> io::Result<()> {
        let mut run = 0;
        while !self.stop.is_cancelled() {
            run += 1;
            let mut container = Container::create(&self.path, &format!("batch-{run}"), "batch")?;
            for number in 0..10 {
                container.line("stdout", &format!("{number} of run {run}"))?;
                self.count(&container, number + 1);
                sleep(Duration::from_millis(100)).await;
            }
            fs::remove_dir_all(&container.pod_dir)?;
        }
        Ok(())
    }

    fn count(&self, container: &Container, lines: u64) {
        self.written.lock().insert(container.pod.clone(), lines);
    }
}

struct Container {
    pod: String,
    pod_dir: PathBuf,
    dir: PathBuf,
    file: File,
    rotations: u64,
}

impl Container {
    fn create(path: &Path, pod: &str, container: &str) -> io::Result<Self> {
        let pod_dir = path.join(format!("demo_{pod}_{}", uid(pod)));
        let dir = pod_dir.join(container);
        fs::create_dir_all(&dir)?;
        let file = Self::open(&dir)?;
        Ok(Self { pod: pod.to_owned(), pod_dir, dir, file, rotations: 0 })
    }

    fn open(dir: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(dir.join("0.log"))
    }

    fn line(&mut self, stream: &str, text: &str) -> io::Result<()> {
        self.piece(stream, true, text.as_bytes())
    }

    fn piece(&mut self, stream: &str, last: bool, content: &[u8]) -> io::Result<()> {
        let tag = if last { 'F' } else { 'P' };
        let mut line = format!("{} {stream} {tag} ", jiff::Timestamp::now()).into_bytes();
        line.extend_from_slice(content);
        line.push(b'\n');
        self.file.write_all(&line)
    }

    /// As the kubelet does: rename, reopen, and delete the one before.
    fn rotate(&mut self) -> io::Result<()> {
        let name = |number: u64| self.dir.join(format!("0.log.20260101-{number:06}"));
        fs::rename(self.dir.join("0.log"), name(self.rotations))?;
        self.file = Self::open(&self.dir)?;
        if let Some(before) = self.rotations.checked_sub(2) {
            fs::remove_file(name(before))?;
        }
        self.rotations += 1;
        Ok(())
    }
}

/// A name in the form of a UID, the same for the same pod.
fn uid(pod: &str) -> String {
    let hash = pod.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let text = format!("{hash:016x}{:016x}", hash.rotate_left(17));
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    parts.join("-")
}
