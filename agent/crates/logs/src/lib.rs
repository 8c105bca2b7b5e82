//! Container logs: from the files that the runtime writes to frames in the queue.
//!
//! In: the folder of pod logs (`/var/log/pods`), what is known of the pods
//! ([`PodDirectory`](hawsepipe_model::PodDirectory)), room in a
//! [`FrameSink`](hawsepipe_model::FrameSink). Out: frames of OTLP log records, with the positions that they
//! cover. One thread does it all, reading, joining, encoding and compressing, without an allocation per line.
//!
//! Always: nothing is read that the sink has no room for, the file is the buffer; an open file is left only
//! when it has a successor (or its pod is gone) and has stopped growing; no pod waits on another's behalf.

mod cri;
mod discover;
mod docker;
mod files;
mod framer;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod join;
mod lines;
mod metrics;
mod reread;
mod scan;
mod segment;
mod select;
mod stream;
mod tailer;
mod time;
mod wake;
mod worker;

pub use cri::{CriLine, parse as parse_cri};
pub use docker::{DockerLine, parse as parse_docker};
pub use files::max_open_files;
pub use metrics::Metrics;
pub use select::{Rule, Selection, SelectionError};
pub use tailer::{Settings, StartAt, Status, Tailer, TailerError};
pub use time::TimeParser;
