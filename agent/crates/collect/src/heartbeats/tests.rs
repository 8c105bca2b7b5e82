//! Real files; the lane is played: it keeps frames, or is full.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hawsepipe_cluster::NoCluster;
use hawsepipe_host::HostRoot;
use hawsepipe_model::codec::decompress;
use hawsepipe_model::{Codec, Frame, Room};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;
use tempfile::TempDir;

use super::*;
use crate::collector::find;
use crate::reading::{as_f64, read};
use crate::settings::Choice;

#[derive(Default)]
struct Lane {
    frames: Mutex<Vec<Frame>>,
    full: AtomicBool,
}

impl FrameSink for Lane {
    fn room(&self) -> Room {
        Room { free: 1, waiting: 0, capacity: 1 }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(AppendError::Full(frame));
        }
        // A disk takes its time, and meanwhile others come.
        std::thread::sleep(Duration::from_millis(2));
        self.frames.lock().push(frame);
        Ok(())
    }

    fn wait_for_room(&self, _bytes: usize, _timeout: Duration) -> bool {
        false
    }
}

/// A record: severity, body, and attributes as texts.
type Record = (i32, String, Vec<(String, String)>);

impl Lane {
    /// What came since the last call.
    fn take(&self) -> Vec<Record> {
        let frames = std::mem::take(&mut *self.frames.lock());
        frames.iter().flat_map(records).collect()
    }
}

fn text(value: Option<Any>) -> String {
    match value {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::DoubleValue(number)) => format!("{number:?}"),
        other => panic!("{other:?}"),
    }
}

fn records(frame: &Frame) -> Vec<Record> {
    let bytes = decompress(frame.codec, &frame.payload, 1 << 20).unwrap();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    let resource = &request.resource_logs[0];
    let keys: Vec<_> = resource.resource.iter().flat_map(|it| &it.attributes).collect();
    assert!(keys.iter().any(|pair| pair.key == "host.name"), "{keys:?}");
    assert!(keys.iter().any(|pair| pair.key == "team"), "{keys:?}");
    let records = resource.scope_logs[0].log_records.iter().map(|record| {
        assert_eq!(record.event_name, "hawsepipe.heartbeat");
        let attributes = record
            .attributes
            .iter()
            .map(|pair| (pair.key.clone(), text(pair.value.clone().and_then(|value| value.value))));
        let body = text(record.body.clone().and_then(|body| body.value));
        (record.severity_number, body, attributes.collect())
    });
    records.collect()
}

struct Rig {
    folder: TempDir,
    lane: Arc<Lane>,
}

impl Rig {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), lane: Arc::default() }
    }

    /// An agent's heartbeats; the one before is gone.
    fn open(&self, plans: Vec<(JobName, Plan)>) -> Heartbeats {
        let mut attributes = Attributes::new();
        attributes.set("team", "core");
        let settings = HeartbeatSettings {
            file: self.folder.path().join("heartbeats.json"),
            plans,
            sources: Sources::new(HostRoot::here()),
            attributes,
        };
        let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
        let sink = Arc::clone(&self.lane) as Arc<dyn FrameSink>;
        Heartbeats::open(settings, sink, codec, Arc::new(NoCluster::new("node"))).unwrap()
    }
}

fn beat(job: &str, report: Report, said: Said) -> Beat {
    Beat::new(job, report, said, Timestamp::now()).unwrap()
}

fn value<'a>(record: &'a Record, key: &str) -> &'a str {
    let found = record.2.iter().find(|(name, _)| name == key);
    found.map_or_else(|| panic!("no {key} in {record:?}"), |(_, value)| value)
}

#[test]
fn a_start_and_an_end_are_two_records_of_one_run_with_what_is_known_of_it() {
    let rig = Rig::new();
    let heartbeats = rig.open(Vec::new());
    let run = heartbeats.take(&beat("backup", Report::Start, Said::default())).unwrap();
    let said = Said { exit_code: Some(3), duration: Some(1.5), ..Said::default() };
    assert_eq!(heartbeats.take(&beat("backup", Report::Fail, said)).unwrap(), run);
    let [start, end] = &rig.lane.take()[..] else { panic!("two records") };
    assert_eq!((start.0, start.1.as_str()), (9, "backup started"));
    assert_eq!((end.0, end.1.as_str()), (17, "backup failed after 1.5 s: exit code 3"));
    for record in [start, end] {
        assert_eq!(value(record, "hawsepipe.job.name"), "backup");
        assert_eq!(value(record, "hawsepipe.job.run.id"), run);
    }
    assert_eq!(value(start, "hawsepipe.heartbeat.state"), "started");
    assert_eq!(value(end, "hawsepipe.heartbeat.state"), "failed");
    assert_eq!(value(end, "hawsepipe.job.duration"), "1.5");
    assert_eq!(value(end, "process.exit.code"), "3");
}

#[test]
fn a_restart_forgets_neither_an_open_run_nor_a_schedule_nor_a_count() {
    let rig = Rig::new();
    let heartbeats = rig.open(Vec::new());
    let said = Said { schedule: Some("@every 1h".to_owned()), ..Said::default() };
    let run = heartbeats.take(&beat("backup", Report::Start, said)).unwrap();
    drop(heartbeats);
    let heartbeats = rig.open(Vec::new());
    let end = beat("backup", Report::Success, Said::default());
    assert_eq!(heartbeats.take(&end).unwrap(), run);
    rig.lane.take();
    heartbeats.look(Timestamp::now() + Duration::from_secs(3600 + 301));
    let [missed] = &rig.lane.take()[..] else { panic!("one record") };
    assert_eq!(missed.0, 13);
    assert_eq!(value(missed, "hawsepipe.heartbeat.state"), "missed");
    assert!(missed.1.contains("no start within 300s of its time"), "{}", missed.1);
    let job = heartbeats.jobs.copy(&JobName::new("backup").unwrap());
    assert_eq!(job.counts[&State::Started], 1);
}

#[test]
fn what_the_lane_does_not_take_changes_nothing_and_is_taken_later() {
    let rig = Rig::new();
    let heartbeats = rig.open(Vec::new());
    let said = Said { schedule: Some("@every 1h".to_owned()), ..Said::default() };
    let run = heartbeats.take(&beat("backup", Report::Start, said)).unwrap();
    rig.lane.take();
    rig.lane.full.store(true, Ordering::Relaxed);
    let end = beat("backup", Report::Success, Said::default());
    assert!(matches!(heartbeats.take(&end), Err(NotTaken::Full)));
    let later = Timestamp::now() + Duration::from_secs(2 * 3600);
    heartbeats.look(later);
    assert_eq!(heartbeats.jobs.last_open(&end.job).as_deref(), Some(run.as_str()));
    rig.lane.full.store(false, Ordering::Relaxed);
    assert_eq!(heartbeats.take(&end).unwrap(), run);
    heartbeats.look(later);
    heartbeats.look(later);
    let states: Vec<_> = rig
        .lane
        .take()
        .iter()
        .map(|it| value(it, "hawsepipe.heartbeat.state").to_owned())
        .collect();
    assert_eq!(states, ["succeeded", "missed"], "and once");
}

#[test]
fn the_configuration_wins_over_what_a_beat_says_and_takes_its_schedule_back() {
    let rig = Rig::new();
    let name = JobName::new("backup").unwrap();
    let plan = Plan::parse("@every 10h", "", None).unwrap();
    let heartbeats = rig.open(vec![(name.clone(), plan)]);
    let said = Said { schedule: Some("@every 1h".to_owned()), ..Said::default() };
    heartbeats.take(&beat("backup", Report::Start, said)).unwrap();
    rig.lane.take();
    let in_two_hours = Timestamp::now() + Duration::from_secs(2 * 3600);
    heartbeats.look(in_two_hours);
    assert!(rig.lane.take().is_empty());
    drop(heartbeats);
    let heartbeats = rig.open(Vec::new());
    heartbeats.look(in_two_hours + Duration::from_secs(20 * 3600));
    assert!(rig.lane.take().is_empty(), "it has none any more");
}

#[test]
fn a_file_that_cannot_be_read_is_set_aside() {
    let rig = Rig::new();
    let file = rig.folder.path().join("heartbeats.json");
    std::fs::write(&file, "{\"version\": 7").unwrap();
    drop(rig.open(Vec::new()));
    assert!(rig.folder.path().join("heartbeats.set-aside").exists());
    assert!(serde_json::from_slice::<serde_json::Value>(&std::fs::read(file).unwrap()).is_ok());
}

#[test]
fn the_collector_tells_of_each_job_how_often_when_and_how_long() {
    let rig = Rig::new();
    let heartbeats = rig.open(Vec::new());
    for (report, duration) in [
        (Report::Start, None),
        (Report::Success, Some(2.5)),
        (Report::Start, None),
        (Report::Start, None),
    ] {
        heartbeats.take(&beat("backup", report, Said { duration, ..Said::default() })).unwrap();
    }
    let choices = [Choice::of(find("job").unwrap(), Duration::from_secs(15))];
    let sources = Sources::new(HostRoot::here()).with_jobs(Some(heartbeats.jobs()));
    let readings = read(sources, &choices, Duration::ZERO);
    let points: Vec<_> = readings[0]
        .points
        .iter()
        .map(|point| {
            let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
            (point.metric.name, values.join(","), as_f64(point.value))
        })
        .collect();
    let told = |name, values: &str| {
        let found = points.iter().find(|(metric, of, _)| (*metric, of.as_str()) == (name, values));
        found.unwrap_or_else(|| panic!("no {name}{{{values}}} in {points:?}")).2
    };
    assert_eq!(told("hawsepipe.job.runs", "backup,started"), 3.0);
    assert_eq!(told("hawsepipe.job.runs", "backup,succeeded"), 1.0);
    assert_eq!(told("hawsepipe.job.active", "backup"), 2.0);
    assert_eq!(told("hawsepipe.job.duration", "backup"), 2.5);
    assert!(told("hawsepipe.job.last_success.time", "backup") > 1.7e9);
    let none = read(Sources::new(HostRoot::here()), &choices, Duration::ZERO);
    assert!(none[0].problem.is_some());
}

#[test]
fn ends_that_do_not_say_of_which_run_are_of_one_each_also_at_the_same_time() {
    let rig = Rig::new();
    let heartbeats = rig.open(Vec::new());
    let begun: BTreeSet<_> = (0..8)
        .map(|_| heartbeats.take(&beat("backup", Report::Start, Said::default())).unwrap())
        .collect();
    let end = || heartbeats.take(&beat("backup", Report::Success, Said::default())).unwrap();
    let ended: BTreeSet<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(end)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ended, begun);
    assert_eq!(rig.lane.take().len(), 16);
}

#[test]
fn a_job_has_one_name_in_its_records_and_in_its_metrics() {
    for metric in find("job").unwrap().metrics {
        assert_eq!(metric.attributes.first(), Some(&record::JOB_NAME), "{}", metric.name);
    }
}
