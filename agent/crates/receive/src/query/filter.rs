//! What a query selects.

use globset::{GlobBuilder, GlobMatcher};
use hawsepipe_proto::v1::{QueryRequest, Value};
use opentelemetry_proto::tonic::common::v1::any_value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use regex::Regex;

use super::convert;
use crate::otlp;
use crate::store::{ContainerName, FrameMeta, Segment};

/// A pattern that does not compile.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilterError {
    #[error("`{pattern}` is no glob for a {what}: {source}; use names with *, ?, [ab], {{a,b}}")]
    Glob { what: &'static str, pattern: String, source: globset::Error },
    #[error("`{pattern}` is no regular expression: {source}")]
    Regex { pattern: String, source: Box<regex::Error> },
}

/// A compiled request.
#[derive(Debug)]
pub(crate) struct Filter {
    namespace: Name,
    pod: Name,
    container: Name,
    since: u64,
    until: u64,
    grep: Option<Regex>,
    /// Events, instead of what containers wrote.
    events: bool,
}

#[derive(Debug)]
enum Name {
    Any,
    Exact(String),
    Glob(Box<GlobMatcher>),
}

// === impl Filter ===

impl Filter {
    pub(crate) fn new(request: &QueryRequest) -> Result<Self, FilterError> {
        let grep = match request.grep.as_str() {
            "" => None,
            pattern => Some(Regex::new(pattern).map_err(|source| FilterError::Regex {
                pattern: pattern.to_owned(),
                source: Box::new(source),
            })?),
        };
        Ok(Self {
            namespace: Name::new("namespace", &request.namespace)?,
            pod: Name::new("pod", &request.pod)?,
            container: Name::new("container", &request.container)?,
            since: request.since_unix_nano,
            until: match request.until_unix_nano {
                0 => u64::MAX,
                until => until,
            },
            grep,
            events: request.events,
        })
    }

    /// Whether there is something under this name that is asked for.
    pub(crate) fn names(&self, name: &ContainerName) -> bool {
        name.events == self.events && self.is_named(name)
    }

    /// Whether the names are those of the request, lines or events.
    pub(crate) fn is_named(&self, name: &ContainerName) -> bool {
        self.namespace.is(&name.namespace)
            && self.pod.is(&name.pod)
            && self.container.is(&name.container)
    }

    fn any_named(&self) -> bool {
        matches!((&self.namespace, &self.pod, &self.container), (Name::Any, Name::Any, Name::Any))
    }

    /// Whether records between these times may be selected.
    fn times(&self, min: u64, max: u64) -> bool {
        max >= self.since && min < self.until
    }

    /// Whether a segment that is written no more may hold a selected record.
    pub(crate) fn segment(&self, segment: &Segment) -> bool {
        self.times(segment.min_time, segment.max_time)
            && (segment.more_containers
                || self.any_named()
                || segment.containers.iter().any(|name| self.names(name)))
    }

    /// Whether a frame may hold a selected record.
    pub(crate) fn frame(&self, meta: &FrameMeta) -> bool {
        self.times(meta.min_time, meta.max_time)
            && (meta.more_containers
                || self.any_named()
                || meta.containers.iter().any(|name| self.names(name)))
    }

    /// Whether a record of a selected container is selected.
    pub(crate) fn record(&self, record: &LogRecord, received: u64) -> bool {
        let time = otlp::time(record, received);
        self.events != record.event_name.is_empty()
            && self.times(time, time)
            && self.grep.as_ref().is_none_or(|grep| grep_in(grep, record))
    }
}

fn grep_in(grep: &Regex, record: &LogRecord) -> bool {
    match record.body.as_ref().and_then(|body| body.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => grep.is_match(text),
        Some(_) => {
            let body: Option<Value> = record.body.as_ref().map(convert::value);
            body.is_some_and(|body| grep.is_match(&body.to_text()))
        }
        None => grep.is_match(""),
    }
}

// === impl Name ===

impl Name {
    fn new(what: &'static str, pattern: &str) -> Result<Self, FilterError> {
        if pattern.is_empty() {
            return Ok(Self::Any);
        }
        // No Kubernetes name holds any of these.
        if !pattern.contains(['*', '?', '[', '{', '\\']) {
            return Ok(Self::Exact(pattern.to_owned()));
        }
        let glob = GlobBuilder::new(pattern).build();
        let glob =
            glob.map_err(|source| FilterError::Glob { what, pattern: pattern.to_owned(), source })?;
        Ok(Self::Glob(Box::new(glob.compile_matcher())))
    }

    fn is(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(exact) => exact == name,
            Self::Glob(glob) => glob.is_match(name),
        }
    }
}
