//! The configuration: one YAML file, read twice.
//!
//! In: the file's text. First into what was written ([`raw`]; unknown keys are refused with line, column and the
//! nearest known key), then into what it means ([`Config`]; checked, with the defaults filled in). Out: values that
//! cannot be wrong, or a [`ConfigError`] that says where, what and what to do.

mod events;
mod heartbeats;
mod metrics;
mod raw;
pub(crate) mod text;
mod unknown;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hawsepipe_cluster as cluster;
use hawsepipe_cluster::objects::ObjectKind;
use hawsepipe_collect::{Choice, CronJobs};
use hawsepipe_export as export;
use hawsepipe_logs::{Rule, Selection, StartAt};
use hawsepipe_model::Attributes;
use hawsepipe_spool::{CatchUp, MinFree, WhenFull};
use tracing::level_filters::LevelFilter;

pub(crate) use events::Leading;
pub(crate) use heartbeats::Heartbeats;
pub(crate) use metrics::Metrics;
use raw::{RawConfig, RawDestination};

/// What a frame may cost the queue beside its largest record, in bytes.
const FRAME_HEADROOM: usize = 2 << 20;
/// The queue holds at least this many of the largest frames, so that reading, sending and the next frame overlap.
const MIN_FILES_FACTOR: usize = 4;
/// Room for a few of the largest frames, or some dozens of the agent's own metrics: a lane with less takes nothing, or
/// lets go at once what it took.
const MIN_LANE: usize = 4 << 20;

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source}; give its path with --config", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no YAML, a key is unknown, a value has the wrong type.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, what and what to do.
        message: String,
    },
    /// A value makes no sense.
    #[error("{}: {key}: {reason}; {remedy}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key's path in the file.
        key: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        remedy: String,
    },
}

/// What is wrong with one value; the file is added where it is known.
struct Wrong {
    key: String,
    reason: String,
    remedy: String,
}

fn wrong(key: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Wrong {
    Wrong { key: key.into(), reason: reason.into(), remedy: remedy.into() }
}

impl ConfigError {
    fn of(path: &Path, Wrong { key, reason, remedy }: Wrong) -> Self {
        Self::Value { path: path.to_owned(), key, reason, remedy }
    }
}

/// What the configuration means.
#[derive(Debug)]
pub(crate) struct Config {
    /// Attributes that are added to everything: `resource.attributes` and `k8s.cluster.name`.
    pub(crate) attributes: Attributes,
    pub(crate) destinations: Vec<Destination>,
    pub(crate) logs: Logs,
    /// `None`: `metrics.enabled: false`.
    pub(crate) metrics: Option<Metrics>,
    /// What is done once in the cluster.
    pub(crate) leading: Leading,
    /// `None`: none are taken.
    pub(crate) heartbeats: Option<Heartbeats>,
    /// The name of the node, where it is given.
    pub(crate) node_name: String,
    /// `None`: `kubernetes.source: none`.
    pub(crate) kubernetes: Option<cluster::Settings>,
    pub(crate) spool: Spool,
    pub(crate) admin: SocketAddr,
    pub(crate) log: Log,
    /// How long the destinations go on after the word to stop.
    pub(crate) shutdown_timeout: Duration,
}

/// Where everything is sent.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) name: String,
    pub(crate) settings: export::Settings,
    pub(crate) when_full: WhenFull,
    pub(crate) catch_up: CatchUp,
}

#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) pods_path: PathBuf,
    pub(crate) selection: Selection,
    pub(crate) start_at: StartAt,
    pub(crate) max_record_bytes: usize,
    pub(crate) max_unlinked: u64,
    pub(crate) metadata_timeout: Duration,
}

#[derive(Debug)]
pub(crate) struct Spool {
    pub(crate) path: PathBuf,
    pub(crate) files_max_bytes: u64,
    pub(crate) pushed_max_bytes: u64,
    pub(crate) sampled_max_bytes: u64,
    /// Below it the spool takes no more than [`working_set`](Self::working_set).
    pub(crate) min_free: MinFree,
    /// The least that it works with, in bytes.
    pub(crate) working_set: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    pub(crate) level: LevelFilter,
    pub(crate) json: bool,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// [`ConfigError`], for a person.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads a file for a process that does what is done once in the cluster.
    ///
    /// # Errors
    /// [`ConfigError`], for a person; also where there is no cluster.
    pub(crate) fn load_with_cluster(path: &Path) -> Result<Self, ConfigError> {
        let config = Self::load(path)?;
        if config.kubernetes.is_none() {
            return Err(ConfigError::of(path, no_cluster()));
        }
        Ok(config)
    }

    /// Whether there is something to do once in the cluster.
    pub(crate) fn has_duties(&self) -> bool {
        let of_cluster = self.metrics.iter().flat_map(|metrics| &metrics.of_cluster);
        self.leading.events.is_some() || self.leading.cronjobs || of_cluster.count() > 0
    }

    /// The kinds of objects that whoever leads has to know.
    pub(crate) fn object_kinds(&self) -> Vec<ObjectKind> {
        let of_cluster = self.metrics.iter().flat_map(|metrics| metrics.of_cluster.clone());
        let mut kinds = Choice::kinds(&of_cluster.collect::<Vec<_>>());
        if self.leading.cronjobs {
            kinds.extend(CronJobs::KINDS);
            kinds.sort_unstable();
            kinds.dedup();
        }
        kinds
    }

    /// Reads a text that came from `path`.
    ///
    /// # Errors
    /// [`ConfigError`], for a person.
    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: RawConfig = serde_yaml::from_str(text).map_err(|error| ConfigError::Syntax {
            path: path.to_owned(),
            message: unknown::explain(&error),
        })?;
        Self::resolve(raw).map_err(|wrong| ConfigError::of(path, wrong))
    }

    fn resolve(raw: RawConfig) -> Result<Self, Wrong> {
        let mut attributes = Attributes::new();
        attributes.set("k8s.cluster.name", raw.cluster.name.0.clone());
        for (key, value) in raw.resource.attributes {
            attributes.set(key, value.0);
        }
        if raw.destinations.is_empty() {
            return Err(wrong(
                "destinations",
                "there is none",
                "name at least one, for instance `main: {type: otlp, endpoint: \"https://host:4317\"}`",
            ));
        }
        let destinations = raw.destinations.into_iter().map(|(name, raw)| destination(name, raw));
        let destinations = destinations.collect::<Result<_, Wrong>>()?;
        let kubernetes = kubernetes(&raw.kubernetes)?;
        let logs = logs(&raw.logs, raw.kubernetes.metadata_timeout.0, kubernetes.is_some())?;
        let node_name = kubernetes.as_ref().map(|settings| settings.node_name.as_str());
        let metrics = metrics::resolve(&raw.metrics, node_name)?;
        let leading = events::resolve(
            &raw.cluster.lease,
            &raw.events,
            &raw.heartbeats.cron_jobs,
            kubernetes.is_some(),
        )?;
        let heartbeats = heartbeats::resolve(&raw.heartbeats, kubernetes.is_some())?;
        let spool = spool(&raw.spool, logs.max_record_bytes)?;
        let listen = raw.admin.listen.0;
        let admin = listen.parse().map_err(|_error| {
            wrong(
                "admin.listen",
                format!("`{listen}` is no address with a port"),
                "write for instance `0.0.0.0:9464` or `[::]:9464`",
            )
        })?;
        let level = match raw.log.level {
            raw::RawLevel::Error => LevelFilter::ERROR,
            raw::RawLevel::Warn => LevelFilter::WARN,
            raw::RawLevel::Info => LevelFilter::INFO,
            raw::RawLevel::Debug => LevelFilter::DEBUG,
            raw::RawLevel::Trace => LevelFilter::TRACE,
        };
        let log = Log { level, json: raw.log.format == raw::RawLogFormat::Json };
        let shutdown_timeout = raw.shutdown_timeout.0;
        Ok(Self {
            attributes,
            destinations,
            logs,
            metrics,
            leading,
            heartbeats,
            node_name: raw.kubernetes.node_name.0,
            kubernetes,
            spool,
            admin,
            log,
            shutdown_timeout,
        })
    }
}

/// Refuses a configuration that cannot do what is wanted of this process.
fn no_cluster() -> Wrong {
    wrong(
        "kubernetes.source",
        "it is none, and a process with --role cluster asks the API server",
        "set it to apiserver, or leave --role out where there is no cluster",
    )
}

fn destination(name: String, raw: RawDestination) -> Result<Destination, Wrong> {
    let below = |error: &export::SettingsError| {
        wrong(format!("destinations.{name}.{}", error.field()), error.reason(), error.remedy())
    };
    let RawDestination {
        r#type: raw::RawType::Otlp,
        protocol: raw::RawProtocol::Grpc,
        endpoint,
        compression,
        auth,
        tls,
        timeout,
        when_full,
        catch_up,
        temporality,
    } = raw;
    let endpoint = export::Endpoint::parse(&endpoint.0).map_err(|error| below(&error))?;
    let compression = compression.0.parse().map_err(|error| below(&error))?;
    let auth = auth
        .map(|auth| export::Auth::new(&auth.header.0, &auth.format.0, auth.key_file.0))
        .transpose()
        .map_err(|error| below(&error))?;
    let tls = export::Tls {
        ca_file: tls.ca_file.map(|path| path.0.into()),
        server_name: tls.server_name.map(|name| name.0),
    };
    let settings = export::Settings::new(endpoint, compression, auth, tls, timeout.0)
        .map_err(|error| below(&error))?
        .with_temporality(match temporality {
            raw::RawTemporality::Cumulative => export::Temporality::Cumulative,
            raw::RawTemporality::Delta => export::Temporality::Delta,
        });
    let when_full = match when_full {
        raw::RawWhenFull::Block => WhenFull::Block,
        raw::RawWhenFull::Drop => WhenFull::Drop,
    };
    let catch_up = match catch_up {
        raw::RawCatchUp::NewestFirst => CatchUp::NewestFirst,
        raw::RawCatchUp::InOrder => CatchUp::InOrder,
    };
    Ok(Destination { name, settings, when_full, catch_up })
}

fn spool(raw: &raw::RawSpool, max_record_bytes: usize) -> Result<Spool, Wrong> {
    let working_set = MIN_FILES_FACTOR * (FRAME_HEADROOM + max_record_bytes);
    let files = raw.files.max_bytes.0;
    if files < working_set {
        let least = working_set.div_ceil(1 << 20);
        return Err(wrong(
            "spool.files.maxBytes",
            format!("{files} bytes do not hold {MIN_FILES_FACTOR} frames"),
            format!("give it at least {least}MiB, or lower logs.maxRecordBytes"),
        ));
    }
    let (pushed, sampled) = (raw.pushed.max_bytes.0, raw.sampled.max_bytes.0);
    for (key, bytes, why) in [
        ("spool.pushed.maxBytes", pushed, "do not hold a few frames"),
        ("spool.sampled.maxBytes", sampled, "are let go before they can be sent"),
    ] {
        if bytes < MIN_LANE {
            let remedy = format!("give it at least {}MiB", MIN_LANE >> 20);
            return Err(wrong(key, format!("{bytes} bytes {why}"), remedy));
        }
    }
    Ok(Spool {
        path: (&*raw.path.0).into(),
        files_max_bytes: files as u64,
        pushed_max_bytes: pushed as u64,
        sampled_max_bytes: sampled as u64,
        min_free: raw.min_free.0,
        working_set: working_set as u64,
    })
}

fn kubernetes(raw: &raw::RawKubernetes) -> Result<Option<cluster::Settings>, Wrong> {
    if raw.source == raw::RawSource::None {
        return Ok(None);
    }
    let node_name = raw.node_name.0.clone();
    if node_name.is_empty() {
        return Err(wrong(
            "kubernetes.nodeName",
            "it is empty, and kubernetes.source is apiserver",
            "set it to \"${NODE_NAME}\" with NODE_NAME from the pod's spec.nodeName, or set \
             kubernetes.source: none where there is no cluster",
        ));
    }
    let globs = |key: &str, list: &[text::Text]| {
        let check = |glob: &text::Text| {
            globset::Glob::new(&glob.0).map(|_| glob.0.clone()).map_err(|error| {
                wrong(
                    format!("kubernetes.{key}"),
                    error.to_string(),
                    "write globs of keys, for instance \"app.kubernetes.io/*\"",
                )
            })
        };
        list.iter().map(check).collect::<Result<Vec<_>, _>>()
    };
    Ok(Some(cluster::Settings {
        node_name,
        labels: globs("labels", &raw.labels)?,
        annotations: globs("annotations", &raw.annotations)?,
    }))
}

fn logs(raw: &raw::RawLogs, metadata_timeout: Duration, has_labels: bool) -> Result<Logs, Wrong> {
    let rules = |key: &str, rules: &[raw::RawRule]| {
        let texts = |list: &[text::Text]| list.iter().map(|text| text.0.clone()).collect();
        let one = |rule: &raw::RawRule| {
            if !rule.labels.is_empty() && !has_labels {
                return Err(wrong(
                    format!("logs.{key}"),
                    "a rule selects by labels, and kubernetes.source is none",
                    "select by namespaces, pods or containers, or set kubernetes.source: apiserver",
                ));
            }
            let labels = rule.labels.iter().map(|(key, value)| (key.clone(), value.0.clone()));
            Ok(Rule {
                namespaces: texts(&rule.namespaces),
                pods: texts(&rule.pods),
                containers: texts(&rule.containers),
                labels: labels.collect(),
            })
        };
        rules.iter().map(one).collect::<Result<Vec<_>, Wrong>>()
    };
    let include = rules("include", &raw.include)?;
    let exclude = rules("exclude", &raw.exclude)?;
    let selection = Selection::new(&include, &exclude).map_err(|error| {
        let key = if Selection::new(&include, &[]).is_err() { "include" } else { "exclude" };
        wrong(format!("logs.{key}"), error.to_string(), "write globs, for instance \"team-*\"")
    })?;
    if raw.max_record_bytes.0 == 0 {
        return Err(wrong("logs.maxRecordBytes", "no record fits", "write for instance 1MiB"));
    }
    Ok(Logs {
        pods_path: (&*raw.pods_path.0).into(),
        selection,
        start_at: match raw.start_at {
            raw::RawStartAt::All => StartAt::All,
            raw::RawStartAt::New => StartAt::New,
        },
        max_record_bytes: raw.max_record_bytes.0,
        max_unlinked: raw.max_unlinked.0 as u64,
        metadata_timeout,
    })
}

#[cfg(test)]
mod docs;
#[cfg(test)]
mod tests;
