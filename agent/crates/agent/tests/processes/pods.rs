//! Containers that log: files as the container runtime and the kubelet write them.
//!
//! Every line begins with its number, so that it can be told whether all of them arrived, once and in order.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::process::wait_until;

/// One container of one pod.
pub(crate) struct Container {
    pub(crate) dir: PathBuf,
    pod: String,
    file: File,
    restarts: u32,
    rotations: u32,
    /// The number of the next line.
    next: u64,
}

impl Container {
    /// A new pod in the namespace `shop` whose one container is called `app`.
    pub(crate) fn create(pods: &Path, pod: &str) -> Self {
        let dir = pods.join(format!("shop_{pod}_uid-of-{pod}")).join("app");
        fs::create_dir_all(&dir).unwrap();
        let file = open(&dir, 0);
        Self { dir, pod: pod.to_owned(), file, restarts: 0, rotations: 0, next: 0 }
    }

    /// A physical line: `tag` is F for a whole line or the last piece of one, P for a piece that others follow.
    pub(crate) fn piece(&mut self, output: &str, tag: char, text: &str) {
        let time = jiff::Timestamp::now();
        self.file.write_all(format!("{time} {output} {tag} {text}\n").as_bytes()).unwrap();
    }

    /// The next numbered line, with `text` behind the number.
    pub(crate) fn line(&mut self, output: &str, text: &str) {
        let line = format!("{} {text}", self.number());
        self.piece(output, 'F', &line);
    }

    /// Numbered lines.
    pub(crate) fn lines(&mut self, count: u64) {
        for _ in 0..count {
            self.line("stdout", "is written");
        }
    }

    /// The next number, for a line that the test writes itself.
    pub(crate) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Lines written so far.
    pub(crate) fn written(&self) -> u64 {
        self.next
    }

    /// The file that it writes to.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.restarts))
    }

    /// As the kubelet does: the file is renamed, and the runtime opens a new one. Gives its new path.
    pub(crate) fn rotate(&mut self) -> PathBuf {
        let name = format!("{}.log", self.restarts);
        let rotated = self.dir.join(format!("{name}.20260101-{:06}", self.rotations));
        fs::rename(self.dir.join(&name), &rotated).unwrap();
        self.rotations += 1;
        self.file = open(&self.dir, self.restarts);
        rotated
    }

    /// As the kubelet does with a rotated file, once there is a newer one.
    pub(crate) fn compress(rotated: &Path) {
        let with = |suffix: &str| PathBuf::from(format!("{}.{suffix}", rotated.display()));
        let mut encoder = GzEncoder::new(File::create(with("tmp")).unwrap(), Compression::fast());
        encoder.write_all(&fs::read(rotated).unwrap()).unwrap();
        encoder.finish().unwrap();
        fs::rename(with("tmp"), with("gz")).unwrap();
        fs::remove_file(rotated).unwrap();
    }

    /// The container was restarted.
    pub(crate) fn restart(&mut self) {
        self.restarts += 1;
        self.file = open(&self.dir, self.restarts);
    }

    /// Waits until its file is older than an agent that starts now, also by a coarse clock.
    pub(crate) fn let_age(&self) {
        let born = self.file.metadata().unwrap().created().unwrap();
        wait_until("the file is old", || born.elapsed().is_ok_and(|age| age.as_millis() > 100));
    }

    /// Bytes in the file that is written to.
    pub(crate) fn bytes(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    /// The numbers of its lines among `records`, in the order of their arrival.
    pub(crate) fn numbers(&self, records: &[Value]) -> Vec<u64> {
        let own = records.iter().filter(|record| record["pod"] == *self.pod);
        own.map(|record| number(record).unwrap_or_else(|| panic!("{record}"))).collect()
    }

    /// Every line arrived, once, in order.
    #[track_caller]
    pub(crate) fn assert_exact(&self, records: &[Value]) {
        let numbers = self.numbers(records);
        let wrong = numbers.iter().zip(0..).position(|(found, expected)| *found != expected);
        if let Some(at) = wrong {
            let around = &numbers[at.saturating_sub(3)..numbers.len().min(at + 4)];
            panic!("{}: line {at} is another: {around:?}", self.pod);
        }
        assert_eq!(numbers.len() as u64, self.next, "lines of {}", self.pod);
    }
}

fn open(dir: &Path, restarts: u32) -> File {
    let path = dir.join(format!("{restarts}.log"));
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn number(record: &Value) -> Option<u64> {
    record["body"].as_str()?.split(' ').next()?.parse().ok()
}
