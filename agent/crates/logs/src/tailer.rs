//! The log path, from outside: how it is to work, what it does now, start and stop.
//!
//! In: [`Settings`], a [`PodDirectory`], a [`FrameSink`]. Out: a thread that puts frames into the sink (`worker.rs`), until it
//! is stopped.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hawsepipe_model::codec::CodecError;
use hawsepipe_model::{Attributes, Cover, FrameSink, PodDirectory, PreferredCodec};
use parking_lot::Mutex;

use crate::metrics::Metrics;
use crate::select::Selection;
use crate::wake::{Wake, Waker};
use crate::worker::Worker;

/// Where reading starts in files that are older than the first start of an agent on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// At their beginning: what was logged before the agent came is delivered too, behind the new lines.
    All,
    /// At their end. Files that were born later are read from their beginning, whenever they are found.
    New,
}

/// How the log path is to work.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the pods' logs, usually `/var/log/pods`.
    pub pods_path: PathBuf,
    /// Which containers are read.
    pub selection: Selection,
    /// Where older files are begun.
    pub start_at: StartAt,
    /// Bytes of deleted files that may be held open until they are read; when there are more, the oldest is let go and
    /// what was not read of it is counted.
    pub max_unlinked: u64,
    /// Longest record, in bytes of its body; what is longer is cut and counted.
    pub max_record_bytes: usize,
    /// How long a stream waits for its pod's metadata.
    pub metadata_timeout: Duration,
    /// Attributes that are added to every resource, over what was found out.
    pub attributes: Attributes,
    /// How many log files may be held open ([`max_open_files`](crate::max_open_files)). What is idle is closed and found
    /// again; deleted files are held beyond this.
    pub max_open_files: usize,
    /// Where reading goes on, as the frames said that were kept.
    pub positions: Vec<Cover>,
    /// When an agent first started on this node with the spool that kept the positions, nanoseconds since the epoch. `None`:
    /// this is that start.
    pub first_start: Option<i64>,
}

/// What the log path does now, for `/status`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Containers whose logs are followed.
    pub streams: usize,
    /// Log files held open.
    pub open_files: usize,
    /// Streams that wait for their pod's metadata.
    pub waiting: usize,
    /// Whether nothing is read because the queue is full.
    pub blocked: bool,
}

/// Why the log path cannot run.
#[derive(Debug, thiserror::Error)]
pub enum TailerError {
    /// The thread could not be started.
    #[error("cannot start the log thread: {0}")]
    Thread(#[source] io::Error),
    /// The compressor could not be made.
    #[error(transparent)]
    Compressor(#[from] CodecError),
}

/// The running log path.
#[derive(Debug)]
pub struct Tailer {
    thread: Option<JoinHandle<()>>,
    waker: Waker,
    status: Arc<Mutex<Status>>,
}

impl Tailer {
    /// Starts the log thread.
    ///
    /// # Errors
    /// When the thread or its compressor cannot be made.
    pub fn start(
        settings: Settings,
        sink: Arc<dyn FrameSink>,
        pods: Arc<dyn PodDirectory>,
        codec: Arc<PreferredCodec>,
        metrics: Metrics,
    ) -> Result<Self, TailerError> {
        let wake = Wake::new();
        let waker = wake.waker();
        let status = Arc::new(Mutex::new(Status::default()));
        let worker = Worker::new(settings, sink, pods, codec, metrics, wake, Arc::clone(&status))?;
        let thread = std::thread::Builder::new()
            .name("logs".to_owned())
            .spawn(move || worker.run())
            .map_err(TailerError::Thread)?;
        Ok(Self { thread: Some(thread), waker, status })
    }

    /// Whether the thread runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// What it does now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.lock()
    }

    /// Stops reading, puts the frame at hand into the queue if it has room, and ends the thread.
    pub fn stop(&mut self) {
        self.waker.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log thread ended by a panic; this is a defect of ours");
        }
    }
}

impl Drop for Tailer {
    fn drop(&mut self) {
        self.stop();
    }
}
