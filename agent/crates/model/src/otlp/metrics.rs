//! Metrics, encoded as they are read.
//!
//! In: a resource, a [`Metric`], its data points, in that order, as often as need be. Out: an
//! `ExportMetricsServiceRequest` (opentelemetry-proto v1, `opentelemetry/proto/metrics/v1/metrics.proto`), or a frame
//! of it. What always holds: sums are cumulative; a metric without points and a resource without metrics leave no
//! trace; everything stands under the scope `hawsepipe` with the version that wrote it.

use super::logs::put_attribute;
use super::wire::{
    KEY_LEN, bytes_field_len, close_len, open_len, put_bytes, put_double, put_fixed64, put_len,
    put_uint, varint_len,
};
use crate::codec::{CodecError, Compressor};
use crate::{Attributes, Codec, Frame, Signal};

/// A request is closed when it has so many bytes; frames hold about 1 MiB before compression.
const FULL: usize = 1 << 20;
/// `AGGREGATION_TEMPORALITY_CUMULATIVE`.
const CUMULATIVE: u64 = 2;
/// The scope that everything stands under.
const SCOPE: &str = "hawsepipe";
/// The conventions whose names the metrics carry: those of the OpenTelemetry Collector's receivers
/// (`sem_conv_version` in their `metadata.yaml`). It is said of the scope and not of the resource, whose attributes
/// are newer.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.9.0";

/// What kind of series a metric has, by the names of OpenTelemetry's instruments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instrument {
    /// Counts up: a monotonic sum. Its points carry when counting began.
    Counter,
    /// Goes up and down, and can be added over its series: a sum that is not monotonic.
    UpDownCounter,
    /// Is as it is, and is not added: a gauge.
    Gauge,
    /// How often values were in which range, cumulative.
    Histogram,
}

impl Instrument {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::UpDownCounter => "updowncounter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What is said of a metric on the wire, once for all its points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric<'a> {
    /// Its name, by OpenTelemetry's conventions.
    pub name: &'a str,
    /// What it says.
    pub description: &'a str,
    /// Its unit, as UCUM writes it.
    pub unit: &'a str,
    /// The kind of its series.
    pub instrument: Instrument,
}

/// The value of a data point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Int(i64),
    /// Any other.
    Double(f64),
}

/// The value of an attribute of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeValue<'a> {
    /// A string.
    Str(&'a str),
    /// A whole number.
    Int(i64),
}

impl<'a> From<&'a str> for AttributeValue<'a> {
    fn from(text: &'a str) -> Self {
        Self::Str(text)
    }
}

/// One value of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DataPoint {
    /// When counting began, nanoseconds since the epoch; 0 where that says nothing, as with a gauge.
    pub start_unix_nano: u64,
    /// When the value was read.
    pub time_unix_nano: u64,
    /// The value.
    pub value: Number,
}

/// One distribution of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramPoint<'a> {
    /// When counting began, nanoseconds since the epoch.
    pub start_unix_nano: u64,
    /// When it was read.
    pub time_unix_nano: u64,
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// The upper bounds of the ranges, in order; the last range has none.
    pub bounds: &'a [f64],
    /// How many values were in each range: one more than there are bounds.
    pub counts: &'a [u64],
}

/// An `ExportMetricsServiceRequest` under construction. The buffer is used again from request to request.
#[derive(Debug, Default)]
pub struct MetricsRequest {
    bytes: Vec<u8>,
    points: u64,
    /// The resource of the open block, as it was given.
    resource: Vec<u8>,
    block: Option<Block>,
    metric: Option<OpenMetric>,
}

/// Where the lengths of the open `ResourceMetrics` stand.
#[derive(Debug, Clone, Copy)]
struct Block {
    /// Its first byte: where the request ends if the block stays empty.
    begin: usize,
    resource: usize,
    scope: usize,
    points: u64,
}

/// Where the lengths of the open `Metric` stand.
#[derive(Debug, Clone, Copy)]
struct OpenMetric {
    begin: usize,
    metric: usize,
    data: usize,
    instrument: Instrument,
    points: u64,
}

impl MetricsRequest {
    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no data point in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.points == 0
    }

    /// Whether it is as large as a frame should be: [`frame`](Self::frame) and begin anew.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Data points so far.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.points
    }

    /// Begins the metrics of a resource, given as [`encode_resource`](super::encode_resource) or [`encode_entity`]
    /// made it. The resource that is open already goes on.
    pub fn begin_resource(&mut self, resource: &[u8]) {
        if self.block.is_some() && self.resource == resource {
            return;
        }
        self.end_resource();
        self.resource.clear();
        self.resource.extend_from_slice(resource);
        let out = &mut self.bytes;
        let begin = out.len();
        let block = open_len(out, 1); // resource_metrics
        put_bytes(out, 1, resource);
        let scope = open_len(out, 2); // scope_metrics
        let named = open_len(out, 1); // scope
        put_bytes(out, 1, SCOPE.as_bytes());
        put_bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
        close_len(out, named);
        self.block = Some(Block { begin, resource: block, scope, points: self.points });
    }

    /// Begins a metric of the open resource.
    pub fn begin_metric(&mut self, metric: &Metric<'_>) {
        self.end_metric();
        let out = &mut self.bytes;
        let begin = out.len();
        let at = open_len(out, 2); // metrics
        put_bytes(out, 1, metric.name.as_bytes());
        put_bytes(out, 2, metric.description.as_bytes());
        put_bytes(out, 3, metric.unit.as_bytes());
        let data = open_len(
            out,
            match metric.instrument {
                Instrument::Gauge => 5,
                Instrument::Counter | Instrument::UpDownCounter => 7,
                Instrument::Histogram => 9,
            },
        );
        let (instrument, points) = (metric.instrument, self.points);
        self.metric = Some(OpenMetric { begin, metric: at, data, instrument, points });
    }

    /// Writes one point of the open metric.
    pub fn push<'a, V: Into<AttributeValue<'a>>>(
        &mut self,
        point: DataPoint,
        attributes: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        let out = &mut self.bytes;
        let at = open_len(out, 1); // data_points
        if point.start_unix_nano > 0 {
            put_fixed64(out, 2, point.start_unix_nano);
        }
        put_fixed64(out, 3, point.time_unix_nano);
        match point.value {
            Number::Double(value) => put_double(out, 4, value),
            Number::Int(value) => put_fixed64(out, 6, value.cast_unsigned()),
        }
        put_attributes(out, 7, attributes);
        close_len(out, at);
        self.points += 1;
    }

    /// Writes one distribution of the open metric, which is a histogram.
    pub fn push_histogram<'a, V: Into<AttributeValue<'a>>>(
        &mut self,
        point: &HistogramPoint<'_>,
        attributes: impl IntoIterator<Item = (&'a str, V)>,
    ) {
        let out = &mut self.bytes;
        let at = open_len(out, 1); // data_points
        put_fixed64(out, 2, point.start_unix_nano);
        put_fixed64(out, 3, point.time_unix_nano);
        put_fixed64(out, 4, point.count);
        put_double(out, 5, point.sum);
        put_len(out, 6, 8 * point.counts.len());
        point.counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
        put_len(out, 7, 8 * point.bounds.len());
        point.bounds.iter().for_each(|bound| out.extend_from_slice(&bound.to_le_bytes()));
        put_attributes(out, 9, attributes);
        close_len(out, at);
        self.points += 1;
    }

    fn end_metric(&mut self) {
        let Some(open) = self.metric.take() else { return };
        let out = &mut self.bytes;
        if open.points == self.points {
            out.truncate(open.begin);
            return;
        }
        match open.instrument {
            Instrument::Gauge => {}
            Instrument::Counter | Instrument::UpDownCounter => {
                put_uint(out, 2, CUMULATIVE);
                put_uint(out, 3, u64::from(open.instrument == Instrument::Counter));
            }
            Instrument::Histogram => put_uint(out, 2, CUMULATIVE),
        }
        close_len(out, open.data);
        close_len(out, open.metric);
    }

    fn end_resource(&mut self) {
        self.end_metric();
        let Some(block) = self.block.take() else { return };
        let out = &mut self.bytes;
        if block.points == self.points {
            out.truncate(block.begin);
            return;
        }
        put_bytes(out, 3, SCHEMA_URL.as_bytes()); // of the scope
        close_len(out, block.scope);
        close_len(out, block.resource);
    }

    /// Closes the request and gives its bytes; [`clear`](Self::clear) begins the next.
    pub fn finish(&mut self) -> &[u8] {
        self.end_resource();
        &self.bytes
    }

    /// Empties the request; its memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.points = 0;
        self.block = None;
        self.metric = None;
    }

    /// The request as a frame; the request is empty then. `None` if it has no points.
    ///
    /// # Errors
    /// When it cannot be compressed, which only a lack of memory explains.
    pub fn frame(
        &mut self,
        codec: Codec,
        compressor: &mut Compressor,
    ) -> Result<Option<Frame>, CodecError> {
        let points = self.points;
        let request = self.finish();
        let frame = (points > 0).then(|| metrics_frame(request, points, codec, compressor));
        self.clear();
        frame.transpose()
    }
}

fn put_attributes<'a, V: Into<AttributeValue<'a>>>(
    out: &mut Vec<u8>,
    field: u32,
    attributes: impl IntoIterator<Item = (&'a str, V)>,
) {
    for (key, value) in attributes {
        let value = value.into();
        let any = match value {
            AttributeValue::Str(text) => bytes_field_len(text.len()),
            AttributeValue::Int(number) => KEY_LEN + varint_len(number.cast_unsigned()),
        };
        put_len(out, field, bytes_field_len(key.len()) + bytes_field_len(any));
        put_bytes(out, 1, key.as_bytes());
        put_len(out, 2, any);
        match value {
            AttributeValue::Str(text) => put_bytes(out, 1, text.as_bytes()),
            AttributeValue::Int(number) => put_uint(out, 3, number.cast_unsigned()),
        }
    }
}

/// Compresses a request of metrics into a frame.
fn metrics_frame(
    request: &[u8],
    points: u64,
    codec: Codec,
    compressor: &mut Compressor,
) -> Result<Frame, CodecError> {
    Ok(Frame {
        signal: Signal::Metrics,
        codec,
        uncompressed_len: request.len(),
        records: points,
        payload: compressor.compress(codec, request)?.into(),
        ..Frame::note(Vec::new(), Vec::new(), Vec::new())
    })
}

/// An entity (opentelemetry-proto, `common.proto`, `EntityRef`): its type, the attribute that identifies it, those that
/// describe it, by the semantic conventions' `entities.yaml`.
struct Entity(&'static str, &'static str, &'static [&'static str]);

const ENTITIES: [Entity; 4] = [
    Entity("host", "host.id", &["host.name", "host.type", "host.arch"]),
    Entity("k8s.node", "k8s.node.uid", &["k8s.node.name"]),
    Entity("k8s.pod", "k8s.pod.uid", &["k8s.pod.name"]),
    Entity("container", "container.id", &["container.image.name", "container.image.tags"]),
];

/// Encodes a resource as [`encode_resource`](super::encode_resource) does, and says which of its attributes identify
/// which entity (host, node, pod, container), as far as they are there.
#[must_use]
pub fn encode_entity(attributes: &Attributes) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    for (key, value) in attributes.iter() {
        put_attribute(&mut out, 1, key, value);
    }
    for Entity(kind, id, descriptions) in &ENTITIES {
        if attributes.get(id).is_none() {
            continue;
        }
        let entity = open_len(&mut out, 3); // entity_refs
        put_bytes(&mut out, 2, kind.as_bytes());
        put_bytes(&mut out, 3, id.as_bytes());
        for key in descriptions.iter().filter(|key| attributes.get(key).is_some()) {
            put_bytes(&mut out, 4, key.as_bytes());
        }
        close_len(&mut out, entity);
    }
    out
}

#[cfg(test)]
mod tests;
