//! What becomes of events, with a lane that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hawsepipe_cluster::{Event, EventMeta, EventsProgress, Found, Regarding};
use hawsepipe_model::codec::decompress;
use hawsepipe_model::{
    AppendError, Attributes, Codec, Extent, Frame, FrameSink, LossReason, PreferredCodec, Room,
    SettlingSink,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::writer::Writer;
use super::{EventRule, EventSelection, EventSettings};

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

struct Rig {
    kept: Arc<Kept>,
    writer: Arc<Writer>,
    found: mpsc::Sender<Found>,
    retire: CancellationToken,
    write: JoinHandle<()>,
}

/// A record with the resource that it is about.
struct Sent {
    resource: BTreeMap<String, Any>,
    attributes: BTreeMap<String, Any>,
    record: LogRecord,
}

impl Rig {
    fn new(selection: EventSelection) -> Self {
        let mut attributes = Attributes::new();
        attributes.set("k8s.cluster.name", "prod");
        let settings = EventSettings { selection, max_record_bytes: 100, attributes };
        let kept = Arc::<Kept>::default();
        let sink = Arc::clone(&kept) as Arc<dyn SettlingSink>;
        let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
        let writer = Arc::new(Writer::new(settings, sink, codec));
        writer.cluster_uid.get_or_init(|| "c1".to_owned());
        writer.begin(Some(progress(10)));
        let (found, receiver) = mpsc::channel(4);
        let retire = CancellationToken::new();
        let write = {
            let (writer, retire) = (Arc::clone(&writer), retire.clone());
            tokio::spawn(async move { writer.write(receiver, retire).await })
        };
        Self { kept, writer, found, retire, write }
    }

    async fn find(&self, event: Event, version: u64) {
        let found = Found { event: Some(event), reached: Some(progress(version)) };
        self.found.send(found).await.unwrap();
    }

    async fn reach(&self, version: u64) {
        self.found.send(Found { event: None, reached: Some(progress(version)) }).await.unwrap();
    }

    fn reached(&self) -> u64 {
        self.writer.progress().unwrap().resource_version
    }

    /// Everything that was taken is in the lane then.
    async fn end(self) -> Arc<Kept> {
        drop(self.found);
        tokio::time::timeout(DEADLINE, self.write).await.unwrap().unwrap();
        self.kept
    }
}

impl Kept {
    fn sent(&self) -> Vec<Sent> {
        let frames = self.frames.lock();
        let requests = frames.iter().filter(|frame| !frame.is_note()).map(|frame| {
            let bytes = decompress(frame.codec, &frame.payload, 64 << 20).unwrap();
            ExportLogsServiceRequest::decode(&bytes[..]).unwrap()
        });
        let blocks = requests.flat_map(|request| request.resource_logs);
        let records = blocks.flat_map(|block| {
            let resource = map(&block.resource.unwrap().attributes);
            let records = block.scope_logs.into_iter().flat_map(|scope| scope.log_records);
            records.map(move |record| Sent {
                resource: resource.clone(),
                attributes: map(&record.attributes),
                record,
            })
        });
        records.collect()
    }

    fn bodies(&self) -> Vec<String> {
        let body = |sent: Sent| match sent.record.body.unwrap().value {
            Some(Any::StringValue(text)) => text,
            other => panic!("{other:?} is no body"),
        };
        self.sent().into_iter().map(body).collect()
    }
}

fn map(list: &[KeyValue]) -> BTreeMap<String, Any> {
    let value = |pair: &KeyValue| pair.value.clone().unwrap().value.unwrap();
    list.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
}

fn progress(resource_version: u64) -> EventsProgress {
    EventsProgress { resource_version, time: "2026-01-01T12:00:00Z".parse().unwrap() }
}

fn event(note: &str) -> Event {
    Event {
        metadata: EventMeta {
            name: "web.17".to_owned(),
            namespace: "shop".to_owned(),
            uid: "e1".to_owned(),
            resource_version: "42".to_owned(),
            creation_timestamp: None,
        },
        kind: "Warning".to_owned(),
        reason: "BackOff".to_owned(),
        note: note.to_owned(),
        regarding: Regarding {
            kind: "Pod".to_owned(),
            name: "web".to_owned(),
            namespace: "shop".to_owned(),
            uid: "p1".to_owned(),
            api_version: "v1".to_owned(),
            field_path: "spec.containers{app}".to_owned(),
            ..Regarding::default()
        },
        reporting_controller: "kubelet".to_owned(),
        count: 3,
        first: Some("2026-01-01T11:00:00Z".parse().unwrap()),
        last: Some("2026-01-01T11:30:00Z".parse().unwrap()),
        ..Event::default()
    }
}

async fn wait(condition: impl Fn() -> bool) {
    let until = std::time::Instant::now() + DEADLINE;
    while !condition() {
        assert!(std::time::Instant::now() < until, "not in time");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_event_is_a_record_about_its_object_and_can_be_known_again() {
    let rig = Rig::new(EventSelection::default());
    rig.find(event("it is slow"), 42).await;
    let kept = rig.end().await;
    let sent = kept.sent();
    let Sent { resource, attributes, record } = &sent[0];
    let text = |text: &str| Any::StringValue(text.to_owned());
    let expected = [
        ("k8s.cluster.name", "prod"),
        ("k8s.cluster.uid", "c1"),
        ("k8s.container.name", "app"),
        ("k8s.namespace.name", "shop"),
        ("k8s.object.api_version", "v1"),
        ("k8s.object.fieldpath", "spec.containers{app}"),
        ("k8s.object.kind", "Pod"),
        ("k8s.object.name", "web"),
        ("k8s.object.uid", "p1"),
        ("k8s.pod.name", "web"),
        ("k8s.pod.uid", "p1"),
    ];
    assert_eq!(*resource, expected.map(|(key, value)| (key.to_owned(), text(value))).into());
    let expected = [
        ("k8s.event.count", Any::IntValue(3)),
        ("k8s.event.name", text("web.17")),
        ("k8s.event.reason", text("BackOff")),
        ("k8s.event.reporting_controller", text("kubelet")),
        ("k8s.event.resource_version", text("42")),
        ("k8s.event.start_time", text("2026-01-01T11:00:00Z")),
        ("k8s.event.uid", text("e1")),
        ("k8s.namespace.name", text("shop")),
    ];
    assert_eq!(*attributes, expected.map(|(key, value)| (key.to_owned(), value)).into());
    assert_eq!((record.severity_number, record.severity_text.as_str()), (13, "Warning"));
    assert_eq!(record.event_name, "k8s.event");
    assert_eq!(record.time_unix_nano, 1_767_267_000_000_000_000);
    assert_eq!(kept.bodies(), ["it is slow"]);
}

#[tokio::test]
async fn an_event_about_nothing_is_about_its_namespace_and_one_of_a_node_has_no_uid_that_is_a_name()
{
    let rig = Rig::new(EventSelection::default());
    rig.find(Event { regarding: Regarding::default(), ..event("of nothing") }, 1).await;
    let node = Regarding {
        kind: "Node".to_owned(),
        name: "node-1".to_owned(),
        uid: "node-1".to_owned(),
        ..Regarding::default()
    };
    rig.find(Event { regarding: node, ..event("of a node") }, 2).await;
    let sent = rig.end().await.sent();
    assert_eq!(sent[0].resource["k8s.namespace.name"], Any::StringValue("shop".to_owned()));
    assert_eq!(sent[1].resource["k8s.node.name"], Any::StringValue("node-1".to_owned()));
    for key in ["k8s.node.uid", "k8s.namespace.name"] {
        assert!(!sent[1].resource.contains_key(key), "{key}");
    }
}

#[tokio::test]
async fn how_far_it_got_is_told_of_what_is_settled_and_of_nothing_behind_it() {
    let rig = Rig::new(EventSelection::default());
    assert_eq!(rig.reached(), 10, "where the last leader was");
    rig.reach(11).await;
    wait(|| rig.reached() == 11).await;
    rig.find(event("one"), 12).await;
    wait(|| rig.kept.frames.lock().len() == 1).await;
    rig.reach(13).await;
    rig.find(event("two"), 14).await;
    wait(|| rig.kept.frames.lock().len() == 2).await;
    assert_eq!(rig.reached(), 11, "nothing is settled");
    *rig.kept.settled.lock() = 1;
    assert_eq!(rig.reached(), 13, "the first frame is, and what needed none behind it");
    *rig.kept.settled.lock() = 2;
    wait(|| rig.reached() == 14).await;
}

#[tokio::test]
async fn events_of_a_list_say_nothing_of_how_far_it_is_until_the_list_is_over() {
    let rig = Rig::new(EventSelection::default());
    rig.found.send(Found { event: Some(event("listed")), reached: None }).await.unwrap();
    wait(|| rig.kept.frames.lock().len() == 1).await;
    *rig.kept.settled.lock() = 1;
    assert_eq!(rig.reached(), 10);
    rig.reach(20).await;
    wait(|| rig.reached() == 20).await;
}

#[tokio::test]
async fn a_full_lane_is_waited_for_and_nothing_is_let_go() {
    let rig = Rig::new(EventSelection::default());
    *rig.kept.full.lock() = true;
    rig.find(event("one"), 11).await;
    wait(|| *rig.kept.refused.lock() > 2).await;
    assert_eq!(rig.reached(), 10);
    *rig.kept.full.lock() = false;
    assert_eq!(rig.end().await.bodies(), ["one"]);
}

#[tokio::test]
async fn who_retires_puts_what_is_at_hand_into_the_lane_first() {
    let rig = Rig::new(EventSelection::default());
    rig.find(event("one"), 11).await;
    wait(|| rig.found.capacity() == rig.found.max_capacity()).await;
    rig.retire.cancel();
    tokio::time::timeout(DEADLINE, rig.write).await.unwrap().unwrap();
    assert_eq!(rig.kept.bodies(), ["one"]);
}

#[tokio::test]
async fn a_note_that_is_too_long_is_cut_at_a_character_and_counted() {
    let rig = Rig::new(EventSelection::default());
    rig.find(event(&"\u{e9}".repeat(51)), 11).await;
    rig.find(event(&format!("x{}", "\u{e9}".repeat(60))), 12).await;
    let kept = rig.end().await;
    let bodies = kept.bodies();
    assert_eq!(bodies[0], "\u{e9}".repeat(50));
    assert_eq!(bodies[1].len(), 99);
    let sent = kept.sent();
    assert_eq!(sent[0].attributes["hawsepipe.log.original_bytes"], Any::IntValue(102));
    let frames = kept.frames.lock();
    let losses = frames.iter().flat_map(|frame| &frame.losses);
    let counted = losses.fold(Extent::default(), |mut sum, loss| {
        assert_eq!(loss.key.reason, LossReason::RecordTooLarge);
        assert_eq!((&*loss.key.namespace, &*loss.key.pod), ("shop", ""));
        sum.add(loss.extent);
        sum
    });
    assert_eq!(counted, Extent::known(2, 2 + 22));
}

#[tokio::test]
async fn a_frame_says_what_it_holds_of_each_namespace() {
    let rig = Rig::new(EventSelection::default());
    let mut other = event("12345");
    other.metadata.namespace = "web_less".replace('_', "-");
    rig.find(event("123"), 11).await;
    rig.find(other, 12).await;
    rig.find(event("1"), 13).await;
    let kept = rig.end().await;
    let frames = kept.frames.lock();
    let held = frames.iter().flat_map(|frame| &frame.tallies);
    let mut sums = BTreeMap::<_, (u64, u64)>::new();
    for tally in held {
        let sum = sums.entry(tally.stream.namespace_and_pod().0.to_owned()).or_default();
        *sum = (sum.0 + tally.records, sum.1 + tally.bytes);
    }
    assert_eq!(sums, [("shop".to_owned(), (2, 4)), ("web-less".to_owned(), (1, 5))].into());
}

#[tokio::test]
async fn what_the_configuration_leaves_out_is_passed_over_and_counted() {
    let rule = |types: &[&str], reasons: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        EventRule { types: own(types), reasons: own(reasons), ..EventRule::default() }
    };
    let selection =
        EventSelection::new(&[rule(&["Warn*"], &[])], &[rule(&[], &["BackOff", "Un*"])]).unwrap();
    let rig = Rig::new(selection);
    rig.find(event("excluded"), 11).await;
    rig.find(Event { kind: "Normal".to_owned(), ..event("not included") }, 12).await;
    wait(|| rig.reached() == 12).await;
    assert_eq!(rig.writer.excluded.get(), 2);
    rig.find(Event { reason: "Failed".to_owned(), ..event("sent") }, 13).await;
    assert_eq!(rig.end().await.bodies(), ["sent"]);
    assert!(EventSelection::new(&[rule(&["["], &[])], &[]).is_err());
}
