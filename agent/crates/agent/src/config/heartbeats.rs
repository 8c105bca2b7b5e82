//! What the section `heartbeats` means: where they are taken, and which jobs are to run when.

use std::net::SocketAddr;

use hawsepipe_collect::{JobName, Plan, Schedule, ScheduleError};

use super::raw::{RawHeartbeats, RawJob};
use super::{Wrong, wrong};

/// Heartbeats of the host's jobs.
#[derive(Debug)]
pub(crate) struct Heartbeats {
    /// The port that takes them.
    pub(crate) listen: SocketAddr,
    /// Jobs whose schedule is known from the start.
    pub(crate) plans: Vec<(JobName, Plan)>,
}

/// Where nothing is said they are taken on hosts without a cluster: a pod's loopback is nobody else's.
pub(super) fn resolve(raw: &RawHeartbeats, has_cluster: bool) -> Result<Option<Heartbeats>, Wrong> {
    let listen = &raw.listen.0;
    let listen = listen.parse().map_err(|_error| {
        wrong(
            "heartbeats.listen",
            format!("`{listen}` is no address with a port"),
            "write for instance `127.0.0.1:9465`, or set heartbeats.enabled: false",
        )
    })?;
    let plans = raw.jobs.iter().map(|(name, job)| plan(name, job)).collect::<Result<_, _>>()?;
    let enabled = raw.enabled.unwrap_or(!has_cluster);
    Ok(enabled.then_some(Heartbeats { listen, plans }))
}

fn plan(name: &str, raw: &RawJob) -> Result<(JobName, Plan), Wrong> {
    let key = |below: &str| format!("heartbeats.jobs.{name}{below}");
    let job = JobName::new(name).map_err(|_error| {
        wrong(
            key(""),
            "that is no name of a job",
            "use letters, digits and `._-/`, at most 253 of them",
        )
    })?;
    if raw.grace.0.is_zero() {
        return Err(wrong(key(".grace"), "every start would be too late", "write for instance 5m"));
    }
    let schedule = Schedule::parse(&raw.schedule.0, &raw.time_zone.0).map_err(|error| {
        let below =
            if matches!(error, ScheduleError::TimeZone(_)) { ".timeZone" } else { ".schedule" };
        let text = error.to_string();
        let (reason, remedy) = text.split_once("; ").unwrap_or((&text, "correct it"));
        wrong(key(below), reason, remedy)
    })?;
    Ok((job, Plan { schedule, grace: raw.grace.0 }))
}
