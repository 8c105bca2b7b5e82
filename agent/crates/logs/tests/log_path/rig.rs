//! A folder of pods, the log path over it, and a queue that keeps what it is given.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use hawsepipe_logs::{Metrics, Selection, Settings, StartAt, Tailer};
use hawsepipe_model::codec::decompress;
use hawsepipe_model::{
    AppendError, Attributes, Codec, ContainerMeta, Cover, Extent, Frame, FrameSink, LossReason,
    Missing, NodeMeta, PodDirectory, PodMeta, PreferredCodec, Room, SegmentId, SegmentState,
    StreamKey,
};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use parking_lot::Mutex;
use prost::Message;

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const CAPACITY: usize = 64 << 20;

/// A queue that keeps everything, and can be made to refuse, or to look used.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) frames: Mutex<Vec<Frame>>,
    /// No room: only notes and what replaces a damaged frame are taken.
    pub(crate) full: Mutex<bool>,
    /// After so many frames with lines it is full.
    pub(crate) frames_left: Mutex<Option<u64>>,
    /// It says that it has room, and takes notes alone: the disk has become full.
    pub(crate) refuses: Mutex<bool>,
    /// Not even those: the disk is full, or the agent was killed.
    pub(crate) dead: Mutex<bool>,
    /// Frames with lines are larger than it could ever take.
    pub(crate) tiny: Mutex<bool>,
    pub(crate) used: Mutex<usize>,
    /// How often something was not taken.
    pub(crate) refused: Mutex<u64>,
    pub(crate) missing: Mutex<Vec<Missing>>,
}

impl FrameSink for Kept {
    fn room(&self) -> Room {
        let waiting = *self.used.lock();
        let free = if *self.full.lock() { 0 } else { CAPACITY - waiting };
        Room { free, waiting, capacity: CAPACITY }
    }

    fn append(&self, frame: Frame) -> Result<(), AppendError> {
        let unlimited = frame.is_note() || !frame.replaces.is_empty();
        let full = *self.full.lock() || *self.refuses.lock();
        if *self.dead.lock() || (full && !unlimited) {
            *self.refused.lock() += 1;
            return Err(AppendError::Full(frame));
        }
        if *self.tiny.lock() && !frame.is_note() {
            let needed = frame.cost();
            return Err(AppendError::TooLarge { frame, needed, capacity: 1 });
        }
        check(&frame);
        if !frame.is_note()
            && let Some(left) = &mut *self.frames_left.lock()
        {
            *left -= 1;
            *self.full.lock() = *left == 0;
        }
        self.frames.lock().push(frame);
        Ok(())
    }

    fn take_missing(&self) -> Vec<Missing> {
        std::mem::take(&mut self.missing.lock())
    }

    fn wait_for_room(&self, bytes: usize, timeout: Duration) -> bool {
        std::thread::sleep(timeout.min(Duration::from_millis(5)));
        self.room().free >= bytes
    }
}

/// What holds for every frame.
fn check(frame: &Frame) {
    let records: u64 = frame.tallies.iter().map(|tally| tally.records).sum();
    assert_eq!(records, frame.records);
    let unlike = |a: &Cover, b: &Cover| a.stream != b.stream || a.segment != b.segment;
    for (number, cover) in frame.covers.iter().enumerate() {
        assert!(frame.covers[..number].iter().all(|other| unlike(other, cover)), "{cover:?}");
    }
}

/// Pods that the test makes known.
#[derive(Default)]
pub(crate) struct Pods {
    pub(crate) known: Mutex<BTreeMap<String, Arc<PodMeta>>>,
    node: Arc<NodeMeta>,
    expected: bool,
}

impl PodDirectory for Pods {
    fn pod(&self, uid: &str) -> Option<Arc<PodMeta>> {
        self.known.lock().get(uid).cloned()
    }

    fn node(&self) -> Arc<NodeMeta> {
        Arc::clone(&self.node)
    }

    fn expected(&self) -> bool {
        self.expected
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) body: String,
    pub(crate) attributes: BTreeMap<String, Value>,
    pub(crate) resource: BTreeMap<String, Value>,
}

impl Record {
    pub(crate) fn text(&self, key: &str) -> &str {
        match self.resource.get(key).or_else(|| self.attributes.get(key)) {
            Some(Value::StringValue(text)) => text,
            _ => "",
        }
    }
}

pub(crate) struct Rig {
    pub(crate) root: tempfile::TempDir,
    pub(crate) sink: Arc<Kept>,
    pub(crate) pods: Arc<Pods>,
    pub(crate) settings: Settings,
    pub(crate) metrics: Metrics,
    pub(crate) tailer: Option<Tailer>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let settings = Settings {
            pods_path: root.path().to_owned(),
            selection: Selection::default(),
            start_at: StartAt::All,
            max_unlinked: 1 << 30,
            max_record_bytes: 1 << 20,
            metadata_timeout: Duration::from_secs(3600),
            attributes: Attributes::new(),
            max_open_files: 10_000,
            positions: Vec::new(),
            first_start: None,
        };
        let (sink, pods) = (Arc::default(), Arc::default());
        Self { root, sink, pods, settings, metrics: Metrics::default(), tailer: None }
    }

    pub(crate) fn with_metadata(mut self) -> Self {
        self.pods = Arc::new(Pods { expected: true, ..Pods::default() });
        self
    }

    pub(crate) fn start(&mut self) {
        let sink = Arc::clone(&self.sink) as Arc<dyn FrameSink>;
        let pods = Arc::clone(&self.pods) as Arc<dyn PodDirectory>;
        let codec = Arc::new(PreferredCodec::new(Codec::Zstd));
        self.metrics = Metrics::default();
        let (settings, metrics) = (self.settings.clone(), self.metrics.clone());
        let tailer = Tailer::start(settings, sink, pods, codec, metrics).unwrap();
        self.tailer = Some(tailer);
    }

    pub(crate) fn container(&self, pod: &str, container: &str) -> PathBuf {
        let dir = self.root.path().join(pod).join(container);
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let map = |list: &[KeyValue]| {
            let value = |pair: &KeyValue| pair.value.clone().unwrap().value.unwrap();
            list.iter().map(|pair| (pair.key.clone(), value(pair))).collect()
        };
        let mut records = Vec::new();
        for frame in self.sink.frames.lock().iter().filter(|frame| !frame.is_note()) {
            let bytes = decompress(frame.codec, &frame.payload, 64 << 20).unwrap();
            assert_eq!(bytes.len(), frame.uncompressed_len);
            let request = ExportLogsServiceRequest::decode(&bytes[..]).unwrap();
            let before = records.len();
            for block in &request.resource_logs {
                let resource = map(&block.resource.clone().unwrap().attributes);
                for record in block.scope_logs.iter().flat_map(|scope| &scope.log_records) {
                    let Value::StringValue(body) = record.body.clone().unwrap().value.unwrap()
                    else {
                        panic!("a body is a string");
                    };
                    let attributes = map(&record.attributes);
                    records.push(Record { body, attributes, resource: BTreeMap::clone(&resource) });
                }
            }
            assert_eq!((records.len() - before) as u64, frame.records);
        }
        records
    }

    pub(crate) fn bodies(&self) -> Vec<String> {
        self.records().into_iter().map(|record| record.body).collect()
    }

    /// What was lost, by reason.
    pub(crate) fn losses(&self) -> BTreeMap<LossReason, Extent> {
        let mut losses: BTreeMap<_, Extent> = BTreeMap::new();
        for loss in self.sink.frames.lock().iter().flat_map(|frame| &frame.losses) {
            losses.entry(loss.key.reason).or_default().add(loss.extent);
        }
        losses
    }

    /// Waits until this was lost, and nothing else.
    #[track_caller]
    pub(crate) fn wait_for_loss(&self, reason: LossReason, extent: Extent) {
        let expected = BTreeMap::from([(reason, extent)]);
        wait(|| self.losses() == expected, || format!("{:?}", self.losses()));
    }

    /// The positions that the frames in the queue say.
    pub(crate) fn positions(&self) -> Vec<Cover> {
        let mut last: HashMap<(StreamKey, SegmentId), Cover> = HashMap::new();
        for cover in self.sink.frames.lock().iter().flat_map(|frame| &frame.covers) {
            let key = (cover.stream.clone(), cover.segment);
            if cover.state == SegmentState::Gone {
                last.remove(&key);
            } else {
                last.insert(key, cover.clone());
            }
        }
        last.into_values().collect()
    }

    /// The agent ends without a word. What is not in a frame is forgotten.
    pub(crate) fn kill(&mut self) {
        *self.sink.dead.lock() = true;
        self.tailer = None;
        *self.sink.dead.lock() = false;
    }

    /// The agent starts with what the queue kept.
    pub(crate) fn restart(&mut self) {
        self.settings.positions = self.positions();
        self.settings.first_start.get_or_insert(0);
        self.start();
    }

    /// Waits until the queue has refused something.
    #[track_caller]
    pub(crate) fn wait_for_refusal(&self) {
        wait(|| *self.sink.refused.lock() > 0, String::new);
    }

    /// Waits until so many streams are followed.
    #[track_caller]
    pub(crate) fn wait_for_streams(&self, count: usize) {
        let tailer = self.tailer.as_ref().unwrap();
        wait(|| tailer.status().streams == count, || format!("{:?}", tailer.status()));
    }

    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Record> {
        wait(|| self.records().len() >= count, || format!("{:?}", self.bodies()));
        let records = self.records();
        assert_eq!(records.len(), count, "{:?}", self.bodies());
        records
    }
}

#[track_caller]
pub(crate) fn wait(condition: impl Fn() -> bool, seen: impl Fn() -> String) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "not in time; seen: {}", seen());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the file is older than an agent that starts now, also by a coarse clock.
pub(crate) fn let_age(path: &Path) {
    let born = fs::metadata(path).unwrap().created().unwrap();
    let old = Duration::from_millis(100);
    wait(|| born.elapsed().is_ok_and(|age| age > old), || format!("{:?}", born.elapsed()));
}

pub(crate) fn append(path: &Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// What the kubelet does with a rotated file, once there is a newer one.
pub(crate) fn compress(plain: &Path) {
    copy_compressed(plain);
    fs::remove_file(plain).unwrap();
}

/// The first half of it: both are there for a while.
pub(crate) fn copy_compressed(plain: &Path) {
    let name = plain.file_name().unwrap().to_str().unwrap();
    let (tmp, gz) =
        (plain.with_file_name(format!("{name}.tmp")), plain.with_file_name(format!("{name}.gz")));
    let mut encoder = GzEncoder::new(fs::File::create(&tmp).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(plain).unwrap()).unwrap();
    encoder.finish().unwrap();
    fs::rename(&tmp, gz).unwrap();
}

/// Whether this process holds a file open that is, or was, under this path.
pub(crate) fn is_held(path: &Path) -> bool {
    let fds = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut targets = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
    let deleted = format!("{} (deleted)", path.display());
    targets.any(|target| target == path || target.as_os_str() == deleted.as_str())
}

/// Makes a file look as if nobody had written to it for long: a rotation that is over.
pub(crate) fn age(path: &Path) {
    let file = OpenOptions::new().append(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
}

pub(crate) fn line(text: &str) -> String {
    format!("2026-11-22T10:00:00.123456789Z stdout F {text}\n")
}

pub(crate) fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|number| line(&number.to_string())).collect()
}

pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

pub(crate) fn pod(uid: &str, label: &str) -> Arc<PodMeta> {
    let container =
        ContainerMeta { ids: BTreeMap::from([(0, "abc".to_owned())]), ..ContainerMeta::default() };
    let mut attributes = Attributes::new();
    attributes.set("k8s.pod.label.app", label);
    Arc::new(PodMeta {
        uid: uid.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), label.to_owned())]),
        attributes,
        containers: BTreeMap::from([("c".to_owned(), container)]),
        ..PodMeta::default()
    })
}
