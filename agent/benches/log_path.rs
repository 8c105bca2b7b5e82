//! The log path, from files to compressed frames, beside its ceiling.
//!
//! In: files of CRI lines, made here and read from the page cache. Out: MB/s of input on one thread, and the ratio to
//! the ceiling: the same input through read, split, parse, encode and zstd-1, written by hand for this one input, in the
//! same run, in turns with what is measured. What is measured is the thread's time on the processor: a core's worth of
//! work, whatever else the machine does, and without the half second that the last frame waits for company.
//!
//! `cargo bench -p hawsepipe-benches` (megabytes and rounds: `-- 256 5`).

#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hawsepipe_logs::{Metrics, Selection, Settings, StartAt, Tailer};
use hawsepipe_model::{
    AppendError, Attributes, Codec, Frame, FrameSink, NodeMeta, PodDirectory, PodMeta,
    PreferredCodec, Room,
};

const FRAME: usize = 1 << 20;
const CHUNK: usize = 256 << 10;

fn main() {
    // Cargo adds `--bench`.
    let numbers: Vec<u64> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let megabytes = numbers.first().copied().unwrap_or(256);
    let rounds = numbers.get(1).copied().unwrap_or(5) as usize;
    let folder = tempfile::tempdir().unwrap();
    println!("input: {megabytes} MB of CRI lines, {rounds} rounds, one thread each");
    let dir = folder.path().join("bench_writer_0a1b2c3d").join("app");
    std::fs::create_dir_all(&dir).unwrap();
    let log = dir.join("0.log");
    let lines = write_lines(&log, megabytes << 20);
    let bytes = std::fs::metadata(&log).unwrap().len();

    let (mut path, mut ceiling) = (Vec::new(), Vec::new());
    let mut sizes = (0, 0);
    for round in 0..=rounds {
        let (ours, our_size) = log_path(folder.path(), lines);
        let (best, best_size) = by_hand(&log, lines);
        sizes = (our_size, best_size);
        // The first round warms the page cache and the processor.
        if round > 0 {
            path.push(ours);
            ceiling.push(best);
        }
    }
    let mut ratios: Vec<f64> = ceiling
        .iter()
        .zip(&path)
        .map(|(ceiling, path)| ceiling.as_secs_f64() / path.as_secs_f64())
        .collect();
    let speed = |times: &mut Vec<Duration>| {
        times.sort();
        bytes as f64 / 1e6 / times[times.len() / 2].as_secs_f64()
    };
    ratios.sort_by(f64::total_cmp);
    println!("ceiling   {:7.1} MB/s per core, {} bytes compressed", speed(&mut ceiling), sizes.1);
    println!("log path  {:7.1} MB/s per core, {} bytes compressed", speed(&mut path), sizes.0);
    println!(
        "ratio     {:7.2} of the ceiling (min {:.2}, max {:.2}), {:.2} M lines/s",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
        lines as f64 / path[path.len() / 2].as_secs_f64() / 1e6,
    );
}

/// Lines as web servers and services write them, about 160 bytes each; no two alike.
fn write_lines(path: &Path, size: u64) -> u64 {
    let mut out = BufWriter::new(File::create(path).unwrap());
    let (mut written, mut lines) = (0, 0_u64);
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    while written < size {
        // xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let line = format!(
            "2026-11-22T10:{:02}:{:02}.{:09}Z {} F 10.244.{}.{} - - \"GET /api/v1/items/{:x} HTTP/1.1\" \
             {} {} \"-\" \"Mozilla/5.0 (X11; Linux x86_64)\" trace={:016x}\n",
            lines / 60_000 % 60,
            lines / 1000 % 60,
            lines % 1000 * 1_000_003 % 1_000_000_000,
            if lines % 10 == 0 { "stderr" } else { "stdout" },
            state % 256,
            state / 256 % 256,
            state % 65_536,
            [200, 200, 200, 204, 404, 500][(state % 6) as usize],
            state % 10_000,
            state,
        );
        out.write_all(line.as_bytes()).unwrap();
        written += line.len() as u64;
        lines += 1;
    }
    out.flush().unwrap();
    lines
}

/// Takes every frame and keeps none.
#[derive(Default)]
struct Counted {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl FrameSink for Counted {
    fn room(&self) -> Room {
        Room { free: 1 << 30, waiting: 0, capacity: 1 << 30 }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        self.bytes.fetch_add(frame.payload.len() as u64, Ordering::Relaxed);
        self.records.fetch_add(frame.records, Ordering::Release);
        Ok(())
    }

    fn wait_for_room(&self, _bytes: usize, _timeout: Duration) -> bool {
        true
    }
}

#[derive(Default)]
struct NoPods(Arc<NodeMeta>);

impl PodDirectory for NoPods {
    fn pod(&self, _uid: &str) -> Option<Arc<PodMeta>> {
        None
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::clone(&self.0)
    }

    fn expected(&self) -> bool {
        false
    }
}

fn log_path(pods_path: &Path, lines: u64) -> (Duration, u64) {
    let sink = Arc::new(Counted::default());
    let settings = Settings {
        pods_path: pods_path.to_owned(),
        selection: Selection::default(),
        start_at: StartAt::All,
        max_unlinked: 1 << 30,
        max_record_bytes: 1 << 20,
        metadata_timeout: Duration::ZERO,
        attributes: Attributes::new(),
        max_open_files: 1000,
        positions: Vec::new(),
        first_start: None,
    };
    let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
    let output = Arc::clone(&sink) as Arc<dyn FrameSink>;
    let _tailer =
        Tailer::start(settings, output, Arc::new(NoPods::default()), codec, Metrics::default())
            .unwrap();
    let worker = thread_named("logs");
    while sink.records.load(Ordering::Acquire) < lines {
        std::thread::sleep(Duration::from_millis(1));
    }
    (cpu_time(&worker), sink.bytes.load(Ordering::Relaxed))
}

/// The folder of a thread of ours.
fn thread_named(name: &str) -> PathBuf {
    loop {
        for task in std::fs::read_dir("/proc/self/task").unwrap() {
            let path = task.unwrap().path();
            if std::fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name) {
                return path;
            }
        }
    }
}

/// Time on the processor (Linux, Documentation/scheduler/sched-stats.rst, `/proc/PID/schedstat`).
fn cpu_time(thread: &Path) -> Duration {
    let text = std::fs::read_to_string(thread.join("schedstat")).unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// The ceiling: no discovery, no checks, no partial lines, one resource, this one form of line.
fn by_hand(log: &Path, lines: u64) -> (Duration, u64) {
    let thread = Path::new("/proc/thread-self");
    let before = cpu_time(thread);
    let mut file = File::open(log).unwrap();
    let mut chunk = vec![0; CHUNK];
    let mut kept = 0;
    let mut frame = Vec::with_capacity(FRAME * 2);
    let mut packed = vec![0; zstd::zstd_safe::compress_bound(FRAME * 2)];
    let mut compressor = zstd::bulk::Compressor::new(1).unwrap();
    let (mut records, mut bytes) = (0, 0);
    loop {
        let read = file.read(&mut chunk[kept..]).unwrap();
        if read == 0 {
            break;
        }
        let filled = kept + read;
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &chunk[..filled]) {
            encode(&chunk[begin..end], &mut frame);
            records += 1;
            begin = end + 1;
        }
        chunk.copy_within(begin..filled, 0);
        kept = filled - begin;
        if frame.len() >= FRAME - CHUNK {
            bytes += compressor.compress_to_buffer(&frame, &mut packed[..]).unwrap() as u64;
            frame.clear();
        }
    }
    bytes += compressor.compress_to_buffer(&frame, &mut packed[..]).unwrap() as u64;
    assert_eq!(records, lines);
    (cpu_time(thread) - before, bytes)
}

fn encode(line: &[u8], out: &mut Vec<u8>) {
    let digits = |range: std::ops::Range<usize>| {
        line[range].iter().fold(0, |number, byte| number * 10 + u64::from(byte - b'0'))
    };
    let seconds = digits(11..13) * 3600 + digits(14..16) * 60 + digits(17..19);
    let time = (20_779 * 86_400 + seconds) * 1_000_000_000 + digits(20..29);
    let stdout = line[34] == b'o';
    let body = &line[40..];
    let attribute: &[u8] = if stdout {
        b"\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06stdout"
    } else {
        b"\x32\x18\x0a\x0clog.iostream\x12\x08\x0a\x06stderr"
    };
    let varint = |out: &mut Vec<u8>, mut value: usize| {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    };
    let len = |value: usize| if value < 0x80 { 1 } else { 2 };
    let any = 1 + len(body.len()) + body.len();
    out.push(0x12);
    varint(out, 18 + 1 + len(any) + any + attribute.len());
    out.push(0x09);
    out.extend_from_slice(&time.to_le_bytes());
    out.push(0x59);
    out.extend_from_slice(&time.to_le_bytes());
    out.push(0x2a);
    varint(out, any);
    out.push(0x0a);
    varint(out, body.len());
    out.extend_from_slice(body);
    out.extend_from_slice(attribute);
}
