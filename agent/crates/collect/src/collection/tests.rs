//! Collectors at work, with collectors that hang, fail and panic.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hawsepipe_cluster::objects::{ObjectKind, ObjectStore};
use hawsepipe_host::HostRoot;
use hawsepipe_model::codec::decompress;
use hawsepipe_model::{AppendError, Attributes, Codec, Frame, NodeMeta, PodMeta, Room};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Kind;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use parking_lot::{Condvar, Mutex};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use prost::Message;
use serde_json::json;

use super::*;
use crate::collector::{Collect, CollectError, Collector, find};
use crate::health::State;
use crate::points::Points;
use crate::settings::{Choice, Options};
use crate::tick::Tick;

metrics! {
    /// A value of a test
    VALUE: Gauge Int "test.value" "1" ["who"] on;
    /// Another, with enough of it to fill frames
    MANY: Counter Int "test.many" "1" ["who"] on;
}

/// A collector of this name, with the metrics of the tests.
const fn collector(name: &'static str, new: fn(&Options) -> Box<dyn Collect>) -> Collector {
    Collector {
        name,
        about: "",
        reads: &[],
        needs: &[],
        default: true,
        metrics: METRICS,
        selects: None,
        top: None,
        new,
    }
}

fn value(who: &str, out: &mut Points) {
    out.metric(&VALUE).push(1_u64, &[who]);
}

static GOOD: Collector = collector("good", |_| {
    Box::new(|_: &Tick, out: &mut Points| {
        value("good", out);
        Ok(())
    })
});

static OTHER: Collector = collector("other", |_| {
    Box::new(|_: &Tick, out: &mut Points| {
        value("other", out);
        Ok(())
    })
});

static FAILING: Collector = collector("failing", |_| {
    Box::new(|_: &Tick, out: &mut Points| {
        value("failing", out);
        Err(CollectError::Failed("the file is in Klingon".to_owned()))
    })
});

static PANICKING: Collector = collector("panicking", |_| {
    let mut ticks = 0;
    Box::new(move |_: &Tick, out: &mut Points| {
        ticks += 1;
        assert!(ticks < 2, "the second tick of this state");
        value("panicking", out);
        Ok(())
    })
});

/// Holds whoever passes until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: AtomicU64,
}

impl Gate {
    const fn new() -> Self {
        Self { open: Mutex::new(false), opened: Condvar::new(), waiting: AtomicU64::new(0) }
    }

    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut open = self.open.lock();
        while !*open {
            self.opened.wait(&mut open);
        }
    }

    fn open(&self) {
        *self.open.lock() = true;
        self.opened.notify_all();
    }
}

static GATE: Gate = Gate::new();

static HANGING: Collector = collector("hanging", |_| {
    Box::new(|_: &Tick, out: &mut Points| {
        GATE.pass();
        value("hanging", out);
        Ok(())
    })
});

static LARGE: Collector = collector("large", |_| {
    Box::new(|_: &Tick, out: &mut Points| {
        let mut many = out.metric(&MANY);
        for number in 0..40_000_u64 {
            many.push(number, &[&format!("number-{number}")]);
        }
        Ok(())
    })
});

/// Keeps what it is given.
#[derive(Default)]
struct Sink {
    frames: Mutex<Vec<Frame>>,
    full: bool,
}

impl FrameSink for Sink {
    fn room(&self) -> Room {
        Room { free: 0, waiting: 0, capacity: 0 }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        if self.full {
            return Err(AppendError::Full(frame));
        }
        self.frames.lock().push(frame);
        Ok(())
    }

    fn wait_for_room(&self, _bytes: usize, _timeout: Duration) -> bool {
        false
    }
}

struct Node;

impl PodDirectory for Node {
    fn pod(&self, _uid: &str) -> Option<Arc<PodMeta>> {
        None
    }

    fn node(&self) -> Arc<NodeMeta> {
        let mut attributes = Attributes::new();
        attributes.set("k8s.node.name", "node-1");
        attributes.set("k8s.node.uid", "u");
        Arc::new(NodeMeta { attributes })
    }

    fn expected(&self) -> bool {
        false
    }
}

struct Rig {
    sink: Arc<Sink>,
    metrics: Metrics,
    status: Status,
    cancel: CancellationToken,
}

/// Collectors at work, every few milliseconds.
fn start(collectors: &[&'static Collector], full: bool) -> Rig {
    start_on(Sources::new(HostRoot::new("/nowhere", "/nowhere", None)), collectors, full)
}

fn start_on(sources: Sources, collectors: &[&'static Collector], full: bool) -> Rig {
    let interval = Duration::from_millis(40);
    let mut attributes = Attributes::new();
    attributes.set("team", "core");
    let settings = Settings {
        sources,
        choices: collectors.iter().map(|it| Choice::of(it, interval)).collect(),
        interval,
        node_name: "node-1".to_owned(),
        attributes,
    };
    let sink = Arc::new(Sink { full, ..Sink::default() });
    let metrics = Metrics::default();
    let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
    let given = Arc::clone(&sink) as Arc<dyn FrameSink>;
    let collection = Collection::new(settings, given, Arc::new(Node), codec, metrics.clone());
    let (status, cancel) = (collection.status(), CancellationToken::new());
    tokio::spawn(collection.run(cancel.clone()));
    Rig { sink, metrics, status, cancel }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Rig {
    fn requests(&self) -> Vec<ExportMetricsServiceRequest> {
        let frames = self.sink.frames.lock();
        let plain = frames.iter().map(|frame| {
            let bytes = decompress(frame.codec, &frame.payload, frame.uncompressed_len).unwrap();
            ExportMetricsServiceRequest::decode(&*bytes).unwrap()
        });
        plain.collect()
    }

    /// Whose values arrived, each as often as it did.
    fn who(&self) -> Vec<String> {
        let requests = self.requests().into_iter();
        let metrics = requests
            .flat_map(|request| request.resource_metrics)
            .flat_map(|block| block.scope_metrics)
            .flat_map(|scope| scope.metrics);
        let points = metrics.flat_map(|metric| match metric.data {
            Some(Data::Gauge(gauge)) => gauge.data_points,
            Some(Data::Sum(sum)) => sum.data_points,
            other => panic!("{other:?}"),
        });
        points.map(|point| format!("{:?}", point.attributes[0].value)).collect()
    }

    fn count(&self, who: &str) -> usize {
        self.who().iter().filter(|text| text.contains(&format!("\"{who}\""))).count()
    }

    fn of(&self, name: &str) -> CollectorStatus {
        self.status.get().into_iter().find(|status| status.name == name).unwrap()
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_fails_or_panics_costs_no_other_its_tick() {
    let rig = start(&[&FAILING, &GOOD, &PANICKING, &OTHER], false);
    // The one that panics begins anew and has a first tick again.
    until("several ticks", || rig.count("other") > 6 && rig.count("panicking") > 2).await;
    let (good, other) = (rig.count("good"), rig.count("other"));
    assert!(good.abs_diff(other) <= 1, "{good} and {other}");
    assert!(rig.count("failing") > 2, "what was read before the failure counts");
    let failing = rig.of("failing");
    assert_eq!((failing.state, failing.points), (State::Failing, 1));
    assert_eq!(failing.message.as_deref(), Some("the file is in Klingon"));
    assert!(rig.of("panicking").errors > 0 && rig.of("good").errors == 0);
    assert_eq!(rig.of("good").state, State::Ok);
}

/// A test that fails opens it too: the runtime waits for the thread that is held.
struct OpensAtTheEnd;

impl Drop for OpensAtTheEnd {
    fn drop(&mut self) {
        GATE.open();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_holds_up_nobody_is_skipped_and_its_points_follow() {
    let _opens = OpensAtTheEnd;
    let rig = start(&[&GOOD, &HANGING, &OTHER], false);
    until("the others go on", || rig.count("good") > 4 && rig.count("other") > 4).await;
    assert_eq!(rig.count("hanging"), 0);
    assert_eq!(GATE.waiting.load(Ordering::SeqCst), 1, "it is not asked a second time");
    assert!(rig.of("hanging").skipped > 2 && rig.of("hanging").reading_since.is_some());
    assert_eq!(rig.of("good").skipped, 0);
    GATE.open();
    until("what it read arrives", || rig.count("hanging") > 1).await;
    assert!(rig.of("hanging").reading_since.is_none() || rig.count("hanging") > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tick_is_one_frame_with_the_node_in_it() {
    let rig = start(&[&GOOD, &OTHER], false);
    until("two ticks", || rig.sink.frames.lock().len() > 2).await;
    for request in rig.requests() {
        let [block] = <[_; 1]>::try_from(request.resource_metrics).unwrap();
        let resource = block.resource.unwrap();
        let keys: BTreeSet<_> = resource.attributes.iter().map(|pair| pair.key.as_str()).collect();
        let expected = ["k8s.node.name", "k8s.node.uid", "os.type", "team"];
        assert_eq!(keys, BTreeSet::from(expected));
        assert_eq!(resource.entity_refs[0].r#type, "k8s.node");
        let metrics = &block.scope_metrics[0].metrics;
        assert_eq!(metrics.len(), 2, "one of each collector");
        assert_eq!(metrics[0].unit, "1");
    }
    assert!(rig.metrics.points_of("good") > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_fits_into_a_frame_is_cut_into_several_and_nothing_is_missing() {
    let rig = start(&[&LARGE], false);
    until("frames of a tick", || rig.sink.frames.lock().len() > 3).await;
    rig.cancel.cancel();
    let frames = rig.sink.frames.lock();
    assert!(frames.iter().all(|frame| frame.uncompressed_len < (1 << 20) + 4096));
    let tick: u64 = frames.iter().map(|frame| frame.records).take(3).sum();
    assert!(tick >= 40_000, "{tick}");
    drop(frames);
    let who = rig.who();
    let first: BTreeSet<_> = who.iter().take(40_000).collect();
    assert_eq!(first.len(), 40_000, "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn points_that_the_spool_does_not_take_are_counted_and_not_waited_with() {
    let rig = start(&[&GOOD, &OTHER], true);
    let mut registry = Registry::default();
    rig.metrics.register(&mut registry);
    let dropped = || {
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix("metrics_dropped_points_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    until("ticks go on", || dropped() > 5).await;
    assert!(rig.of("good").points == 1 && rig.of("good").state == State::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_of_the_cluster_says_nothing_of_whoever_tells_it() {
    let store = Arc::new(ObjectStore::new());
    // Not a node: its attributes would hide those of the one that tells.
    let shop =
        json!({"metadata": {"name": "shop", "uid": "shop-uid"}, "status": {"phase": "Active"}});
    store.replace_json(ObjectKind::Namespaces, &[shop]).unwrap();
    let uid = Arc::new(OnceLock::from("cluster-1".to_owned()));
    let namespaces = find("cluster_namespaces").unwrap();
    let rig = start_on(Sources::of_cluster(store, uid), &[namespaces], false);
    until("a tick", || !rig.sink.frames.lock().is_empty()).await;
    for block in rig.requests().into_iter().flat_map(|request| request.resource_metrics) {
        let resource = block.resource.unwrap();
        let pairs = resource.attributes.iter().map(|pair| {
            let Some(Kind::StringValue(text)) = pair.value.clone().unwrap().value else { panic!() };
            (pair.key.as_str(), text)
        });
        let expected = [
            ("k8s.cluster.uid", "cluster-1"),
            ("k8s.namespace.name", "shop"),
            ("k8s.namespace.uid", "shop-uid"),
            ("team", "core"),
        ];
        let expected = expected.map(|(key, value)| (key, value.to_owned()));
        assert_eq!(pairs.collect::<BTreeSet<_>>(), BTreeSet::from(expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_in_parts_arrives_whole_and_counts_as_one_run() {
    let store = Arc::new(ObjectStore::new());
    let uid = |number: u32| format!("00000000-0000-0000-0000-{number:012}");
    let node = |number| json!({"metadata": {"name": uid(number), "uid": uid(number)}});
    store.replace_json(ObjectKind::Nodes, &(0..1700).map(node).collect::<Vec<_>>()).unwrap();
    let sources = Sources::of_cluster(store, Arc::default());
    let rig = start_on(sources, &[find("cluster_nodes").unwrap()], false);
    until("a tick", || rig.of("cluster_nodes").points > 0).await;
    let points = rig.of("cluster_nodes").points;
    assert!(points >= 1700, "{points}");
    let told = || {
        let blocks = rig.requests().into_iter().flat_map(|request| request.resource_metrics);
        let names = blocks.map(|block| format!("{:?}", block.resource.unwrap().attributes));
        names.collect::<BTreeSet<_>>().len()
    };
    until("all of it", || told() == 1700).await;
}
