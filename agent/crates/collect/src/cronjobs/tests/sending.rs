//! From objects to frames, in real time; the lane is played: it keeps frames, or is full.

use hawsepipe_model::codec::decompress;
use hawsepipe_model::{AppendError, Codec, Frame, FrameSink, Room};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use prost::Message;

use super::*;
use crate::collector::find;
use crate::reading::{as_f64, read};
use crate::settings::Choice;
use crate::tick::Sources;

const DEADLINE: Duration = Duration::from_secs(30);

/// A lane that keeps everything, and can be made to refuse.
#[derive(Default)]
struct Kept {
    frames: Mutex<Vec<Frame>>,
    settled: Mutex<u64>,
    full: Mutex<bool>,
    refused: Mutex<u64>,
}

impl FrameSink for Kept {
    fn room(&self) -> Room {
        Room { free: usize::MAX, waiting: 0, capacity: usize::MAX }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        self.put(frame).map(drop)
    }

    fn wait_for_room(&self, _bytes: usize, _timeout: Duration) -> bool {
        std::thread::sleep(Duration::from_millis(5));
        true
    }
}

impl SettlingSink for Kept {
    fn put(&self, frame: Frame) -> Result<u64, AppendError> {
        if *self.full.lock() {
            *self.refused.lock() += 1;
            return Err(AppendError::Full(frame));
        }
        let mut frames = self.frames.lock();
        frames.push(frame);
        Ok(frames.len() as u64 - 1)
    }

    fn settled(&self) -> u64 {
        *self.settled.lock()
    }
}

fn map(list: &[KeyValue]) -> BTreeMap<String, Any> {
    let value = |pair: &KeyValue| pair.value.clone().unwrap().value.unwrap();
    list.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn writer(kept: &Arc<Kept>) -> Writer {
    let mut attributes = Attributes::new();
    attributes.set("k8s.cluster.name", "prod");
    let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
    let writer = Writer::new(attributes, Arc::clone(kept) as _, codec);
    writer.cluster_uid.get_or_init(|| "u1".to_owned());
    writer
}

/// A run that failed, and a time that was missed.
fn due() -> Vec<Due> {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.pod(&job, terminated(3, "01T01:00:02", "01T01:00:08"));
    world.ends(&job, "Failed", "BackoffLimitExceeded", "01T01:00:09");
    let mut due = world.due(at("01T01:00:10"));
    due.extend(world.due(at("01T02:10:00")));
    due
}

#[tokio::test]
async fn a_heartbeat_is_a_record_about_its_job_and_can_be_known_again() {
    let kept = Arc::<Kept>::default();
    writer(&kept).write(&due(), at("01T02:09:00")).await;
    let frames = kept.frames.lock();
    let bytes = decompress(frames[0].codec, &frames[0].payload, 1 << 20).unwrap();
    let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
    let [run, missed] = &request.resource_logs[..] else { panic!("two resources") };
    let text = |text: &str| Any::StringValue(text.to_owned());
    let texts = |pairs: &[(&str, &str)]| -> BTreeMap<_, _> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), text(value))).collect()
    };
    let uid = format!("j{}", at("01T01:00:00").as_second());
    let mut resource = vec![
        ("k8s.cluster.name", "prod"),
        ("k8s.cluster.uid", "u1"),
        ("k8s.namespace.name", "shop"),
        ("k8s.cronjob.name", "backup"),
        ("k8s.cronjob.uid", "c1"),
    ];
    assert_eq!(map(&missed.resource.as_ref().unwrap().attributes), texts(&resource));
    resource.extend([("k8s.job.name", "backup-29538780"), ("k8s.job.uid", uid.as_str())]);
    assert_eq!(map(&run.resource.as_ref().unwrap().attributes), texts(&resource));

    let records = &run.scope_logs[0].log_records;
    let body = |at: usize| records[at].body.clone().unwrap().value.unwrap();
    let states = ["shop/backup was scheduled at 2026-03-01T01:00:00Z", "shop/backup started"];
    assert_eq!([body(0), body(1)], states.map(text));
    let failed = "shop/backup failed after 7.0 s: BackoffLimitExceeded; the last lines are those of container main of \
                  pod backup-29538780-x7x";
    assert_eq!(body(2), text(failed));
    assert_eq!(
        (records[2].severity_number, records[2].event_name.as_str()),
        (17, "hawsepipe.heartbeat")
    );
    assert_eq!(records[2].time_unix_nano, at("01T01:00:09").as_nanosecond() as u64);
    let id = format!("{uid}/failed");
    let mut expected = texts(&[
        ("hawsepipe.job.name", "shop/backup"),
        ("hawsepipe.job.run.id", &uid),
        ("hawsepipe.heartbeat.id", &id),
        ("hawsepipe.heartbeat.state", "failed"),
        ("hawsepipe.heartbeat.reason", "BackoffLimitExceeded"),
        ("k8s.pod.name", "backup-29538780-x7x"),
        ("k8s.pod.uid", &format!("p-{uid}")),
        ("k8s.container.name", "main"),
    ]);
    expected.insert("process.exit.code".to_owned(), Any::IntValue(3));
    expected.insert("hawsepipe.job.duration".to_owned(), Any::DoubleValue(7.0));
    assert_eq!(map(&records[2].attributes), expected);

    let missed = &missed.scope_logs[0].log_records[0];
    let attributes = map(&missed.attributes);
    assert_eq!(attributes["hawsepipe.heartbeat.id"], text("c1/2026-03-01T02:00:00Z/missed"));
    assert_eq!(attributes["hawsepipe.job.scheduled_time"], text("2026-03-01T02:00:00Z"));
    assert!(!attributes.contains_key("hawsepipe.job.run.id"));
    let [tally] = &frames[0].tallies[..] else { panic!("one namespace") };
    assert_eq!((tally.stream.namespace_and_pod(), tally.records), (("shop", ""), 4));
}

#[tokio::test]
async fn how_far_it_got_is_told_of_what_is_settled_and_a_full_lane_is_waited_for() {
    let kept = Arc::<Kept>::default();
    let writer = Arc::new(writer(&kept));
    writer.begin(Some(at("01T00:30:00")));
    assert_eq!(writer.progress(), Some(at("01T00:30:00")), "where the last leader was");
    writer.write(&[], at("01T00:40:00")).await;
    assert_eq!(writer.progress(), Some(at("01T00:40:00")), "there was nothing to tell");
    *kept.full.lock() = true;
    let write = {
        let writer = Arc::clone(&writer);
        tokio::spawn(async move { writer.write(&due(), at("01T02:09:00")).await })
    };
    let until = std::time::Instant::now() + DEADLINE;
    while *kept.refused.lock() < 2 {
        assert!(std::time::Instant::now() < until, "not in time");
        tokio::task::yield_now().await;
    }
    assert_eq!(writer.progress(), Some(at("01T00:40:00")));
    *kept.full.lock() = false;
    timeout(DEADLINE, write).await.unwrap().unwrap();
    assert_eq!(writer.progress(), Some(at("01T00:40:00")), "it is not settled");
    writer.write(&[], at("01T02:10:00")).await;
    assert_eq!(writer.progress(), Some(at("01T00:40:00")), "nor what is behind it");
    *kept.settled.lock() = 1;
    assert_eq!(writer.progress(), Some(at("01T02:10:00")));
    assert_eq!(writer.sent.get(), 4);
}

#[tokio::test]
async fn many_heartbeats_are_several_frames_and_only_the_last_says_how_far_it_is() {
    let kept = Arc::<Kept>::default();
    let writer = writer(&kept);
    let many: Vec<_> = (0..1000).flat_map(|_| due()).collect();
    writer.write(&many, at("01T02:09:00")).await;
    let records = |frames: &[Frame]| frames.iter().map(|frame| frame.records).collect::<Vec<_>>();
    let sent = records(&kept.frames.lock());
    assert!(sent.len() > 1, "{sent:?}");
    assert_eq!(sent.iter().sum::<u64>(), 4000);
    *kept.settled.lock() = sent.len() as u64 - 1;
    assert_eq!(writer.progress(), None);
    *kept.settled.lock() = sent.len() as u64;
    assert_eq!(writer.progress(), Some(at("01T02:09:00")));
}

#[tokio::test]
async fn who_retires_looks_once_more_and_the_first_leader_has_got_to_where_it_began() {
    let kept = Arc::<Kept>::default();
    let mut world = World::new(None);
    let writer = Arc::new(writer(&kept));
    let (begun, retire) = (Timestamp::now(), CancellationToken::new());
    writer.begin(None);
    let of_now = || {
        let mut job = job(begun, Timestamp::now());
        job["metadata"]["ownerReferences"][0]["uid"] = json!("c2");
        job
    };
    world.apply(ObjectKind::Jobs, of_now());
    {
        let learnt = std::future::ready(());
        let mut run = pin!(timeout(
            DEADLINE,
            writer.run(&world.store, &world.known, begun, retire.clone(), learnt)
        ));
        assert!(timeout(LOOK_EVERY * 2, &mut run).await.is_err());
        assert_eq!(writer.progress(), None, "it does not know all kinds");
        for kind in KINDS {
            let all = if kind == ObjectKind::Jobs { vec![of_now()] } else { Vec::new() };
            world.store.replace_json(kind, &all).unwrap();
        }
        let is_known = async {
            while writer.progress().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            _ = &mut run => panic!("it goes on"),
            known = timeout(DEADLINE, is_known) => known.unwrap(),
        }
        assert_eq!(writer.progress(), Some(begun));
        let later = begun + SignedDuration::from_secs(60);
        world.store.apply_json(ObjectKind::Jobs, &job(later, Timestamp::now())).unwrap();
        retire.cancel();
        run.await.unwrap();
    }
    assert_eq!(writer.sent.get(), 1, "what is new since it began");
}

#[test]
fn the_collector_tells_of_each_job_on_the_resource_of_its_cronjob() {
    let mut world = World::since("01T00:30:00");
    world.cronjob(hourly());
    let job = world.job("01T01:00:00", "01T01:00:00");
    world.runs(&job, "01T01:00:02");
    world.look(at("01T01:00:03"));
    let cronjobs = Arc::new(JobTallies(Mutex::new(Some(Arc::clone(&world.known)))));
    let collector = find("cluster_heartbeats").unwrap();
    let choices = [Choice::of(collector, Duration::from_secs(15))];
    let told = |cronjobs| {
        let uid = Arc::new(OnceLock::new());
        let store = Arc::new(ObjectStore::new());
        let sources = Sources::of_cluster(store, uid).with_cronjobs(cronjobs);
        read(sources, &choices, Duration::ZERO).remove(0)
    };
    let reading = told(Some(cronjobs));
    let points: BTreeMap<_, _> = reading
        .points
        .iter()
        .map(|point| {
            let resource = point.resource.as_ref().unwrap();
            assert_eq!(resource.str("k8s.cronjob.uid"), Some("c1"));
            assert_eq!(resource.str("k8s.job.uid"), None, "of all its runs");
            let values: Vec<_> = point.attributes.iter().map(|(_, value)| value.as_str()).collect();
            (format!("{} {}", point.metric.name, values.join(",")), as_f64(point.value))
        })
        .collect();
    let expected = [
        ("hawsepipe.job.active shop/backup", 1.0),
        ("hawsepipe.job.runs shop/backup,scheduled", 1.0),
        ("hawsepipe.job.runs shop/backup,started", 1.0),
    ];
    let expected = expected.map(|(series, value)| (series.to_owned(), value));
    assert_eq!(points, expected.into());
    assert!(told(Some(Arc::default())).points.is_empty(), "while it does not lead");
    assert!(told(None).problem.is_some());
}
