//! What a heartbeat is as a log record. `agent/docs/HEARTBEATS.md` has the table.

use hawsepipe_model::codec::{CodecError, Compressor};
use hawsepipe_model::otlp::{EventRecord, LogsRequest, Severity, encode_entity};
use hawsepipe_model::{Attributes, Codec, Frame, StreamKey, Tally};
use jiff::Timestamp;

use super::beat::State;
use super::job::{Heartbeat, Lines};

/// What all of them are called.
const NAME: &str = "hawsepipe.heartbeat";
/// The job, on records and on points.
pub(crate) const JOB_NAME: &str = "hawsepipe.job.name";
/// What the ledger knows them by.
const STREAM: &str = "__/heartbeats";

/// The heartbeats of a job as one frame.
///
/// # Errors
/// When it cannot be compressed, which only a lack of memory explains.
pub(super) fn frame(
    job: &str,
    heartbeats: &[Heartbeat],
    resource: &Attributes,
    codec: Codec,
) -> Result<Option<Frame>, CodecError> {
    let mut request = LogsRequest::default();
    request.begin_resource(&encode_entity(resource));
    let mut bytes = 0;
    for heartbeat in heartbeats {
        bytes += push(&mut request, job, heartbeat);
    }
    let frame = request.frame(codec, &mut Compressor::new()?)?;
    Ok(frame.map(|frame| {
        let stream = StreamKey(STREAM.into());
        let tallies = vec![Tally { stream, records: frame.records, bytes }];
        Frame { tallies, ..frame }
    }))
}

/// Writes a heartbeat into the open block of a request. The bytes of its words.
pub(crate) fn push(request: &mut LogsRequest, job: &str, heartbeat: &Heartbeat) -> u64 {
    let body = body(job, heartbeat);
    request.push_event(&EventRecord {
        time_unix_nano: nanos(heartbeat.time),
        observed_time_unix_nano: nanos(Timestamp::now()),
        severity: severity(heartbeat.state),
        severity_text: "",
        name: NAME,
        body: &body,
        original_bytes: None,
        attributes: &attributes(job, heartbeat),
    });
    body.len() as u64
}

fn severity(state: State) -> Severity {
    match state {
        State::Scheduled | State::Started | State::Succeeded => Severity::Info,
        State::Late | State::Missed => Severity::Warn,
        State::Failed => Severity::Error,
    }
}

fn attributes(job: &str, heartbeat: &Heartbeat) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set(JOB_NAME, job);
    attributes.set("hawsepipe.heartbeat.state", heartbeat.state.name());
    attributes.set("hawsepipe.job.run.id", heartbeat.run.as_deref().unwrap_or_default());
    attributes.set("hawsepipe.heartbeat.reason", heartbeat.reason.as_deref().unwrap_or_default());
    attributes.set("hawsepipe.heartbeat.id", heartbeat.id.as_deref().unwrap_or_default());
    if let Some(Lines { pod, pod_uid, container }) = &heartbeat.lines {
        attributes.set("k8s.pod.name", pod.as_str());
        attributes.set("k8s.pod.uid", pod_uid.as_str());
        attributes.set("k8s.container.name", container.as_str());
    }
    if let Some(seconds) = heartbeat.duration {
        attributes.set("hawsepipe.job.duration", seconds);
    }
    if let Some(code) = heartbeat.exit_code {
        attributes.set("process.exit.code", code);
    }
    if let Some(signal) = heartbeat.signal {
        attributes.set("hawsepipe.job.signal", signal);
    }
    if let Some(scheduled) = heartbeat.scheduled {
        attributes.set("hawsepipe.job.scheduled_time", scheduled.to_string());
    }
    if heartbeat.state == State::Missed {
        attributes.set("hawsepipe.job.missed", i64::try_from(heartbeat.times).unwrap_or(i64::MAX));
    }
    attributes
}

/// The words for people.
fn body(job: &str, heartbeat: &Heartbeat) -> String {
    let mut body = match (heartbeat.state, heartbeat.times) {
        (State::Scheduled, _) => format!("{job} was scheduled"),
        (State::Started, _) => format!("{job} started"),
        (State::Succeeded, _) => format!("{job} succeeded"),
        (State::Failed, _) => format!("{job} failed"),
        (State::Late, _) => format!("{job} is late"),
        (State::Missed, 1) => format!("{job} was missed"),
        (State::Missed, times) => format!("{job} was missed {times} times, the last"),
    };
    if let Some(scheduled) = heartbeat.scheduled
        && matches!(heartbeat.state, State::Scheduled | State::Late | State::Missed)
    {
        body.push_str(&format!(" at {scheduled}"));
    }
    if let Some(seconds) = heartbeat.duration {
        body.push_str(&format!(" after {seconds:.1} s"));
    }
    if let Some(reason) = &heartbeat.reason {
        body.push_str(": ");
        body.push_str(reason);
    }
    if let Some(Lines { pod, container, .. }) = &heartbeat.lines {
        body.push_str(&format!("; the last lines are those of container {container} of pod {pod}"));
    }
    body
}

/// Nanoseconds since the epoch; 0 for what is before it.
fn nanos(time: Timestamp) -> u64 {
    u64::try_from(time.as_nanosecond()).unwrap_or(0)
}
