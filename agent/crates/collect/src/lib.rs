//! Metrics: what is read of a host, when, and what becomes of it.
//!
//! In: a host's `/proc` and `/sys` (`hawsepipe-host`) and its kubelet's numbers (`hawsepipe-cluster`), read every few seconds. Out: frames of OTLP metrics in a
//! [`FrameSink`](hawsepipe_model::FrameSink), or one [`Reading`](reading::Reading) for a person.
//!
//! The events of the cluster ([`Events`]) become log records here, in the one process that leads, and so do the heartbeats of
//! the host's jobs ([`Heartbeats`]) and of CronJobs and Jobs ([`CronJobs`]), the latter by the process that leads.
//!
//! A *collector* is one file in `src/collectors`; it declares its metrics and what it needs, and nothing else has to
//! be edited for it (`build.rs` finds it). What always holds: a point can only be made for a metric that its
//! collector declares, with the attributes, the instrument and the type of the declaration; a source file is read
//! once a tick, whoever needs it; a collector that fails or hangs costs no other its tick; a counter that went back
//! begins anew and is never a negative rate.

#[macro_use]
mod metric;

mod census;
mod collection;
mod collector;
mod collectors;
mod counters;
mod cronjobs;
mod events;
mod health;
mod heartbeats;
mod kubelet;
mod lane;
mod marks;
mod metrics;
mod objects;
mod page;
mod pods;
mod points;
mod pressures;
pub mod reading;
mod round;
mod schedule;
mod settings;
mod tick;
mod usage;
mod writer;

pub use collection::{Collection, Status};
pub use collector::{CollectError, Collector, Need, Scope, find, list, list_of};
pub use cronjobs::{CronJobs, JobTallies};
pub use events::{EventRule, EventSelection, EventSettings, Events};
pub use health::{CollectorStatus, State};
pub use heartbeats::{
    BadBeat, Beat, BookError, DEFAULT_GRACE, HeartbeatSettings, Heartbeats, JobName, Jobs,
    NotTaken, Plan, Report, Said, Schedule, ScheduleError, State as HeartbeatState,
};
pub use metric::{Metric, ValueType};
pub use metrics::Metrics;
pub use page::page;
pub use settings::{Choice, Globs, Options, Settings};
pub use tick::Sources;
