//! What a collector puts out in a tick.
//!
//! In: values of declared metrics. Out: the points, in the order in which they came. A point costs no allocation: its
//! attributes' values stand behind each other in one text, their keys are the declaration's. Always: a point belongs
//! to a metric of this collector that the configuration wants, and its value has the declared type.

use std::sync::Arc;

use hawsepipe_model::Attributes;
use hawsepipe_model::otlp::{Instrument, Number};

use crate::collector::{CollectError, Collector};
use crate::metric::{Metric, ValueType};

/// The points of one collector; the memory is used again from tick to tick.
#[derive(Debug)]
pub(crate) struct Points {
    collector: &'static Collector,
    /// Which of the collector's metrics are wanted, in the order of their declaration.
    wanted: Vec<bool>,
    time_unix_nano: u64,
    start_unix_nano: u64,
    points: Vec<Raw>,
    /// Values of attributes, one behind the other, and where each ends.
    text: String,
    ends: Vec<usize>,
    resources: Vec<Arc<Attributes>>,
    problems: Vec<CollectError>,
}

#[derive(Debug, Clone, Copy)]
struct Raw {
    metric: &'static Metric,
    /// 0: the node or the cluster; else behind the place in `resources`.
    resource: usize,
    start_unix_nano: u64,
    value: Number,
    /// The first of its values in `ends`.
    values: usize,
}

/// A point, as it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) metric: &'static Metric,
    /// What it is about, where that is not the node or the cluster alone.
    pub(crate) resource: Option<&'a Attributes>,
    pub(crate) start_unix_nano: u64,
    pub(crate) time_unix_nano: u64,
    pub(crate) value: Number,
    points: &'a Points,
    values: usize,
}

/// A wanted metric that takes points; one that is not wanted takes them and forgets them.
pub(crate) struct Series<'a> {
    points: &'a mut Points,
    metric: &'static Metric,
    wanted: bool,
}

// === impl Points ===

impl Points {
    /// For the points of `collector`; `wanted` says which of its metrics.
    pub(crate) fn new(collector: &'static Collector, wanted: Vec<bool>) -> Self {
        Self {
            collector,
            wanted,
            time_unix_nano: 0,
            start_unix_nano: 0,
            points: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            resources: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Begins a tick. Counters count from `start_unix_nano` unless [`resource`](Self::resource) says otherwise.
    pub(crate) fn begin(&mut self, time_unix_nano: u64, start_unix_nano: u64) {
        self.time_unix_nano = time_unix_nano;
        self.start_unix_nano = start_unix_nano;
        self.points.clear();
        self.text.clear();
        self.ends.clear();
        self.resources.clear();
        self.problems.clear();
    }

    /// Whether the metric is wanted: what is read for it alone need not be read otherwise.
    pub(crate) fn wants(&self, metric: &'static Metric) -> bool {
        let mut all = self.collector.metrics.iter().zip(&self.wanted);
        all.any(|(declared, wanted)| *wanted && std::ptr::eq(*declared, metric))
    }

    /// Begins the points of a metric.
    pub(crate) fn metric(&mut self, metric: &'static Metric) -> Series<'_> {
        let wanted = self.wants(metric);
        Series { points: self, metric, wanted }
    }

    /// What comes now is about `attributes`, beside the node or the cluster, and its counters count from `start_unix_nano`.
    pub(crate) fn resource(
        &mut self,
        attributes: impl Into<Arc<Attributes>>,
        start_unix_nano: u64,
    ) {
        self.resources.push(attributes.into());
        self.start_unix_nano = start_unix_nano;
    }

    /// Counters count from `start_unix_nano` from here on.
    pub(crate) fn count_from(&mut self, start_unix_nano: u64) {
        self.start_unix_nano = start_unix_nano;
    }

    /// Something could not be read, and the rest could.
    pub(crate) fn problem(&mut self, error: CollectError) {
        self.problems.push(error);
    }

    /// What could not be read.
    pub(crate) fn problems(&self) -> &[CollectError] {
        &self.problems
    }

    pub(crate) fn len(&self) -> usize {
        self.points.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = View<'_>> {
        self.points.iter().map(|raw| self.view(raw))
    }

    fn view(&self, raw: &Raw) -> View<'_> {
        View {
            metric: raw.metric,
            resource: raw
                .resource
                .checked_sub(1)
                .and_then(|at| self.resources.get(at))
                .map(Arc::as_ref),
            start_unix_nano: raw.start_unix_nano,
            time_unix_nano: self.time_unix_nano,
            value: raw.value,
            points: self,
            values: raw.values,
        }
    }

    /// Gives each counter the time from which it counts.
    pub(crate) fn start_counters(&mut self, mut start: impl FnMut(&View<'_>) -> u64) {
        for at in 0..self.points.len() {
            let raw = self.points[at];
            if raw.metric.instrument == Instrument::Counter {
                self.points[at].start_unix_nano = start(&self.view(&raw));
            }
        }
    }
}

// === impl View ===

impl<'a> View<'a> {
    /// Its attributes.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let points = self.points;
        let end = move |at: usize| points.ends.get(at).copied().unwrap_or(points.text.len());
        let values = self.values;
        self.metric.attributes.iter().enumerate().map(move |(at, key)| {
            let at = values + at;
            let begin = at.checked_sub(1).map_or(0, end);
            (*key, points.text.get(begin..end(at)).unwrap_or_default())
        })
    }
}

// === impl Series ===

impl Series<'_> {
    /// Puts out one value. `values` are those of the attributes, in the order of the declaration. A number that is none
    /// (0/0) is left out.
    pub(crate) fn push(&mut self, value: impl Amount, values: &[&str]) {
        debug_assert_eq!(values.len(), self.metric.attributes.len(), "{}", self.metric.name);
        if !self.wanted {
            return;
        }
        let Some(value) = value.number(self.metric.value) else { return };
        let out = &mut *self.points;
        let first = out.ends.len();
        for (at, _) in self.metric.attributes.iter().enumerate() {
            out.text.push_str(values.get(at).copied().unwrap_or_default());
            out.ends.push(out.text.len());
        }
        out.points.push(Raw {
            metric: self.metric,
            resource: out.resources.len(),
            start_unix_nano: match self.metric.instrument {
                Instrument::Counter | Instrument::UpDownCounter => out.start_unix_nano,
                Instrument::Gauge | Instrument::Histogram => 0,
            },
            value,
            values: first,
        });
    }

    /// Puts out a value if there is one.
    pub(crate) fn maybe(&mut self, value: Option<impl Amount>, values: &[&str]) {
        if let Some(value) = value {
            self.push(value, values);
        }
    }
}

/// What a value may be given as; it becomes the type that the metric declares.
pub(crate) trait Amount {
    /// The same as the declared type; `None` for what is no number.
    fn number(self, kind: ValueType) -> Option<Number>;
}

impl Amount for u64 {
    fn number(self, kind: ValueType) -> Option<Number> {
        Some(match kind {
            ValueType::Int => Number::Int(i64::try_from(self).unwrap_or(i64::MAX)),
            ValueType::Double => Number::Double(self as f64),
        })
    }
}

impl Amount for i64 {
    fn number(self, kind: ValueType) -> Option<Number> {
        Some(match kind {
            ValueType::Int => Number::Int(self),
            ValueType::Double => Number::Double(self as f64),
        })
    }
}

impl Amount for i32 {
    fn number(self, kind: ValueType) -> Option<Number> {
        i64::from(self).number(kind)
    }
}

impl Amount for u32 {
    fn number(self, kind: ValueType) -> Option<Number> {
        i64::from(self).number(kind)
    }
}

/// 1 for yes, 0 for no.
impl Amount for bool {
    fn number(self, kind: ValueType) -> Option<Number> {
        i64::from(self).number(kind)
    }
}

impl Amount for f64 {
    fn number(self, kind: ValueType) -> Option<Number> {
        self.is_finite().then(|| match kind {
            // `as` saturates.
            ValueType::Int => Number::Int(self.round() as i64),
            ValueType::Double => Number::Double(self),
        })
    }
}

/// A part of a whole, for a gauge in `1`; `None` where there is no whole.
pub(crate) fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
