//! The configuration as it is written: every key that can be written is a field here, its name in camelCase, with what
//! it does and its default.

use std::collections::BTreeMap;
use std::time::Duration;

use hawsepipe_spool::MinFree;
use serde::Deserialize;

use super::text::{Bytes, Free, Span, Text};

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawConfig {
    /// The cluster that this agent runs in.
    pub(super) cluster: RawCluster,
    /// What is added to everything that is sent.
    pub(super) resource: RawResource,
    /// Where everything is sent, each by a name of the admin's choice. At least one.
    pub(super) destinations: BTreeMap<String, RawDestination>,
    /// Container logs.
    pub(super) logs: RawLogs,
    /// Metrics of the node.
    pub(super) metrics: RawMetrics,
    /// Events of the cluster, sent by the one process that leads.
    pub(super) events: RawEvents,
    /// Heartbeats of the host's jobs.
    pub(super) heartbeats: RawHeartbeats,
    /// What is asked of the cluster.
    pub(super) kubernetes: RawKubernetes,
    /// The buffer between reading and sending.
    pub(super) spool: RawSpool,
    /// The port for people and probes.
    pub(super) admin: RawAdmin,
    /// The agent's own logs.
    pub(super) log: RawLog,
    /// How long the destinations go on sending after the word to stop; keep it below the pod's
    /// `terminationGracePeriodSeconds`. Default 20s.
    pub(super) shutdown_timeout: Span,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            cluster: RawCluster::default(),
            resource: RawResource::default(),
            destinations: BTreeMap::new(),
            logs: RawLogs::default(),
            metrics: RawMetrics::default(),
            events: RawEvents::default(),
            heartbeats: RawHeartbeats::default(),
            kubernetes: RawKubernetes::default(),
            spool: RawSpool::default(),
            admin: RawAdmin::default(),
            log: RawLog::default(),
            shutdown_timeout: Span(Duration::from_secs(20)),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawCluster {
    /// `k8s.cluster.name` on everything. Empty: the attribute is left out.
    pub(super) name: Text,
    /// What says which process does what is done once in the cluster.
    pub(super) lease: RawLease,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawLease {
    /// Its name, the same for all processes of one installation. Default hawsepipe.
    pub(super) name: Text,
    /// Its namespace. Default: the pod's own.
    pub(super) namespace: Text,
}

impl Default for RawLease {
    fn default() -> Self {
        Self { name: Text("hawsepipe".to_owned()), namespace: Text::default() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawResource {
    /// Attributes by their OpenTelemetry names; they win over what the agent finds out.
    pub(super) attributes: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawDestination {
    /// What it speaks.
    pub(super) r#type: RawType,
    /// Over what. Default grpc.
    #[serde(default)]
    pub(super) protocol: RawProtocol,
    /// `https://HOST:PORT`, or `http://HOST:PORT` for plain text.
    pub(super) endpoint: Text,
    /// auto (default: ask the destination), zstd, gzip or none.
    #[serde(default = "auto")]
    pub(super) compression: Text,
    /// The key. Default: none is sent.
    pub(super) auth: Option<RawAuth>,
    /// Whom to trust.
    #[serde(default)]
    pub(super) tls: RawTls,
    /// Time limit of one request. Default 30s.
    #[serde(default = "half_a_minute")]
    pub(super) timeout: Span,
    /// What happens when what waits for it fills the spool. Default block.
    #[serde(default)]
    pub(super) when_full: RawWhenFull,
    /// In which order it gets what waits for it after a time away. Default newestFirst.
    #[serde(default)]
    pub(super) catch_up: RawCatchUp,
    /// How it is told of counters. Default cumulative.
    #[serde(default)]
    pub(super) temporality: RawTemporality,
}

fn auto() -> Text {
    Text("auto".to_owned())
}

fn half_a_minute() -> Span {
    Span(hawsepipe_export::Settings::DEFAULT_TIMEOUT)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawType {
    /// The OpenTelemetry protocol.
    Otlp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawProtocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawWhenFull {
    /// Reading stops, for all destinations, until this one has taken something.
    #[default]
    Block,
    /// The oldest of what waits for this one is let go and counted, the others go on.
    Drop,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawCatchUp {
    /// What is new first, beside what waits.
    #[default]
    NewestFirst,
    /// Everything in the order in which it was read.
    InOrder,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawTemporality {
    /// As sums since their start.
    #[default]
    Cumulative,
    /// As what was gained since the last point that it took.
    Delta,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawAuth {
    /// The header that carries the key. Default x-api-key.
    #[serde(default = "api_key")]
    pub(super) header: Text,
    /// The header's value, `{key}` standing for the key. Default `{key}`.
    #[serde(default = "key_alone")]
    pub(super) format: Text,
    /// The file that holds the key; it is read again when it changes.
    pub(super) key_file: Text,
}

fn api_key() -> Text {
    Text("x-api-key".to_owned())
}

fn key_alone() -> Text {
    Text(hawsepipe_export::Auth::DEFAULT_FORMAT.to_owned())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawTls {
    /// PEM file of the CA to trust. Default: the system's.
    pub(super) ca_file: Option<Text>,
    /// The name in the destination's certificate. Default: the endpoint's host.
    pub(super) server_name: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawLogs {
    /// Folder of the pods' logs. Default /var/log/pods.
    pub(super) pods_path: Text,
    /// Containers to read: those that match one of these rules. Default: all.
    pub(super) include: Vec<RawRule>,
    /// Containers not to read, though they are included. Default: none.
    pub(super) exclude: Vec<RawRule>,
    /// Where files are begun that are older than the node's first agent. Default all: what a cluster logged before the
    /// agent came is often why it was installed, the kubelet's rotation bounds it, and it is read behind new lines.
    pub(super) start_at: RawStartAt,
    /// Longest record; what is longer is cut, marked and counted. Default 1MiB.
    pub(super) max_record_bytes: Bytes,
    /// Bytes of deleted files that are held open until they are read; beyond it the oldest is let go and counted. Default
    /// 1GiB.
    pub(super) max_unlinked: Bytes,
}

impl Default for RawLogs {
    fn default() -> Self {
        Self {
            pods_path: Text("/var/log/pods".to_owned()),
            include: Vec::new(),
            exclude: Vec::new(),
            start_at: RawStartAt::All,
            max_record_bytes: Bytes(1 << 20),
            max_unlinked: Bytes(1 << 30),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawRule {
    /// Globs of namespaces. Default: any.
    pub(super) namespaces: Vec<Text>,
    /// Globs of pod names. Default: any.
    pub(super) pods: Vec<Text>,
    /// Globs of container names. Default: any.
    pub(super) containers: Vec<Text>,
    /// Labels that the pod must all have; values are globs. Default: any.
    pub(super) labels: BTreeMap<String, Text>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawStartAt {
    /// At their beginning.
    All,
    /// At their end.
    New,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawMetrics {
    /// Whether anything is collected. Default true.
    pub(super) enabled: bool,
    /// How often collectors read. Default 15s.
    pub(super) interval: Span,
    /// Whether the agent's own metrics are sent too. Default true.
    pub(super) agent: bool,
    /// Where the node's /proc is. Default /proc.
    pub(super) proc_path: Text,
    /// Where the node's /sys is. Default /sys.
    pub(super) sys_path: Text,
    /// Where the node's root file system is. Default /; empty: it is not there.
    pub(super) root_path: Text,
    /// The node's kubelet.
    pub(super) kubelet: RawKubelet,
    /// Collectors by their names; what is not said is as they declare it.
    pub(super) collectors: BTreeMap<String, RawCollector>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawKubelet {
    /// `https://HOST:PORT`. Default: NODE_IP of the environment, or what the node says of itself.
    pub(super) endpoint: Text,
    /// A PEM file of CAs to trust beside the cluster's. Default: none.
    pub(super) ca_file: Text,
    /// Whether a certificate that does not verify is taken. Default false.
    pub(super) insecure_skip_verify: bool,
}

impl Default for RawMetrics {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Span(Duration::from_secs(15)),
            agent: true,
            proc_path: Text("/proc".to_owned()),
            sys_path: Text("/sys".to_owned()),
            root_path: Text("/".to_owned()),
            kubelet: RawKubelet::default(),
            collectors: BTreeMap::new(),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawCollector {
    /// Whether it runs. Default: as it declares.
    pub(super) enabled: Option<bool>,
    /// How often it reads. Default: metrics.interval.
    pub(super) interval: Option<Span>,
    /// Metrics by their names, true or false. Default: as it declares.
    pub(super) metrics: BTreeMap<String, bool>,
    /// Globs of what it tells of, where it has something to select. Default: all.
    pub(super) include: Vec<Text>,
    /// Globs of what it does not tell of. Default: none.
    pub(super) exclude: Vec<Text>,
    /// How many it tells of at most, where it has such a bound. Default: as it declares.
    pub(super) top: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawEvents {
    /// Whether they are sent. Default true.
    pub(super) enabled: bool,
    /// Events to send: those that match one of these rules. Default: all.
    pub(super) include: Vec<RawEventRule>,
    /// Events not to send, though they are included. Default: none.
    pub(super) exclude: Vec<RawEventRule>,
}

impl Default for RawEvents {
    fn default() -> Self {
        Self { enabled: true, include: Vec::new(), exclude: Vec::new() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawEventRule {
    /// Globs of namespaces; events about nodes are in `default`. Default: any.
    pub(super) namespaces: Vec<Text>,
    /// Globs of reasons, such as `BackOff`. Default: any.
    pub(super) reasons: Vec<Text>,
    /// Globs of types: `Normal`, `Warning`. Default: any.
    pub(super) types: Vec<Text>,
    /// Globs of the kinds of the objects that they are about, such as `Pod`. Default: any.
    pub(super) kinds: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawHeartbeats {
    /// Whether they are taken. Default: with kubernetes.source none.
    pub(super) enabled: Option<bool>,
    /// Address and port that takes them. Default 127.0.0.1:9465.
    pub(super) listen: Text,
    /// Jobs by their names, with what is known of them from the start.
    pub(super) jobs: BTreeMap<String, RawJob>,
    /// CronJobs and Jobs of the cluster.
    pub(super) cron_jobs: RawCronJobs,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawCronJobs {
    /// Whether their heartbeats are told. Default: with kubernetes.source apiserver.
    pub(super) enabled: Option<bool>,
}

impl Default for RawHeartbeats {
    fn default() -> Self {
        let listen = Text("127.0.0.1:9465".to_owned());
        Self { enabled: None, listen, jobs: BTreeMap::new(), cron_jobs: RawCronJobs::default() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct RawJob {
    /// When it is to run, as a CronJob has it.
    pub(super) schedule: Text,
    /// The time zone of the schedule. Default: the host's.
    #[serde(default)]
    pub(super) time_zone: Text,
    /// How late a start may be before it counts as missed. Default 5m.
    #[serde(default = "default_grace")]
    pub(super) grace: Span,
}

fn default_grace() -> Span {
    Span(hawsepipe_collect::DEFAULT_GRACE)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawKubernetes {
    /// apiserver (default), or none: everything but labels and owners then works without a cluster.
    pub(super) source: RawSource,
    /// The node that the agent runs on. Needed with source apiserver.
    pub(super) node_name: Text,
    /// Globs of pod labels that become `k8s.pod.label.KEY`. Default: all.
    pub(super) labels: Vec<Text>,
    /// Globs of pod annotations that become `k8s.pod.annotation.KEY`. Default: none.
    pub(super) annotations: Vec<Text>,
    /// How long a container's lines wait for its pod's metadata. Default 10s.
    pub(super) metadata_timeout: Span,
}

impl Default for RawKubernetes {
    fn default() -> Self {
        Self {
            source: RawSource::Apiserver,
            node_name: Text::default(),
            labels: vec![Text("*".to_owned())],
            annotations: Vec::new(),
            metadata_timeout: Span(Duration::from_secs(10)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawSource {
    /// The API server.
    Apiserver,
    /// Nobody.
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawSpool {
    /// The agent's folder, of this agent alone. Default /var/lib/hawsepipe.
    pub(super) path: Text,
    /// What waits of logs that can be read again.
    pub(super) files: RawFiles,
    /// What waits of what applications hand to the agent.
    pub(super) pushed: RawPushed,
    /// What waits of metrics and the like.
    pub(super) sampled: RawSampled,
    /// Room that is left on the folder's file system: below it the spool does not grow, reading stops and the files
    /// wait. A size, or a part of the file system. Default 10%, below which the kubelet evicts pods unless it is told
    /// otherwise (`nodefs.available<10%`); 0 switches it off.
    pub(super) min_free: Free,
}

impl Default for RawSpool {
    fn default() -> Self {
        Self {
            path: Text("/var/lib/hawsepipe".to_owned()),
            files: RawFiles::default(),
            pushed: RawPushed::default(),
            sampled: RawSampled::default(),
            min_free: Free(MinFree::Percent(10)),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawFiles {
    /// Bytes on the disk that may wait; when they do, reading stops and the files wait. Default 1GiB.
    pub(super) max_bytes: Bytes,
}

impl Default for RawFiles {
    fn default() -> Self {
        Self { max_bytes: Bytes(1 << 30) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawPushed {
    /// Bytes on the disk that may wait; when they do, senders are told to wait. Default 64MiB.
    pub(super) max_bytes: Bytes,
}

impl Default for RawPushed {
    fn default() -> Self {
        Self { max_bytes: Bytes(64 << 20) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawSampled {
    /// Bytes on the disk that may wait; when there are more, the oldest are let go and counted. Default 64MiB.
    pub(super) max_bytes: Bytes,
}

impl Default for RawSampled {
    fn default() -> Self {
        Self { max_bytes: Bytes(64 << 20) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawAdmin {
    /// Address and port of /metrics, /healthz, /readyz and /status. Default 127.0.0.1:9464.
    pub(super) listen: Text,
}

impl Default for RawAdmin {
    fn default() -> Self {
        Self { listen: Text("127.0.0.1:9464".to_owned()) }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct RawLog {
    /// error, warn, info (default), debug or trace.
    pub(super) level: RawLevel,
    /// json (default) or text, to stderr.
    pub(super) format: RawLogFormat,
}

impl Default for RawLog {
    fn default() -> Self {
        Self { level: RawLevel::Info, format: RawLogFormat::Json }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawLevel {
    /// What needs a person.
    Error,
    /// What may need one.
    Warn,
    /// Changes of state.
    Info,
    /// For finding defects.
    Debug,
    /// Everything.
    Trace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum RawLogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
