//! Counters told as deltas, to a destination that asks for them.
//!
//! In: frames of metrics, in order, as they were made (cumulative), and the word that one was taken. Out: the same frames
//! with every counter and histogram as what it gained since its last point that this destination took. A series is what
//! OTLP calls one: resource, scope, metric and attributes. What always holds:
//!
//! - no delta is negative, and no two that were taken speak of the same time: between the first and the last point that a
//!   series was told of, deltas add up to what it gained;
//! - what is remembered of what was told changes only when a frame was taken. One that was refused, or let go before it
//!   came here, leaves its share to the next one. One that was refused in part counts as taken: which points were is not
//!   said, and none is told twice;
//! - a series that began after this process did is told whole, from its start. Of any other nobody knows here what an
//!   earlier process told: its first point is the baseline, and is not told;
//! - gauges, and sums that go down too, stay as they are (OpenTelemetry's delta preference, "OTLP Metrics Exporter":
//!   up-down counters are cumulative);
//! - what is remembered is bounded. A series that was forgotten is as one from before this process.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hawsepipe_model::codec::{self, CodecError, Compressor};
use hawsepipe_model::{Codec, Frame};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::sleep;

const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;
const DELTA: i32 = AggregationTemporality::Delta as i32;

/// A series that was in no frame for so long is forgotten, in nanoseconds of frames (see [`GAP`]).
const REMEMBERED: u64 = 2 * 3600 * 1_000_000_000;
/// Time without frames counts for no more than this, in nanoseconds: after an outage whose frames were let go, every
/// series is still known.
const GAP: u64 = 60 * 1_000_000_000;
/// Series that are remembered at most, about 64 bytes each: ten times those of a busy node.
const MAX_SERIES: usize = 100_000;

/// What one destination was told of counters.
#[derive(Debug)]
pub(crate) struct Deltas(Arc<Mutex<Series>>);

impl Deltas {
    /// Nothing yet, by a process that begins now.
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        Self(Arc::new(Mutex::new(Series::since(begun))))
    }

    /// `frame` with deltas, in `codec`, to be sent as often as need be; and what to remember once it is taken. It may have
    /// no records left. A frame that cannot be read stays as it is: nobody takes it.
    pub(crate) async fn of(&self, frame: &Arc<Frame>, codec: Codec) -> (Arc<Frame>, Told) {
        loop {
            let (series, whole) = (Arc::clone(&self.0), Arc::clone(frame));
            // Milliseconds, away from the async threads.
            let work = move || convert(&mut series.lock(), &whole, codec);
            match tokio::task::spawn_blocking(work).await {
                Ok(Ok(Some((deltas, told)))) => return (Arc::new(deltas), told),
                Ok(Ok(None)) => return (Arc::clone(frame), Told::default()),
                // Only a lack of memory, or the end of the runtime: it passes.
                Ok(Err(_)) | Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// The destination took the frame that this was given with.
    pub(crate) fn taken(&self, told: Told) {
        self.0.lock().taken(told);
    }
}

/// The last points of a frame, by series.
pub(crate) type Told = HashMap<u64, Last>;

/// The last point of a series.
#[derive(Debug, Clone)]
pub(crate) struct Last {
    start_unix_nano: u64,
    time_unix_nano: u64,
    value: Value,
    /// When it was remembered, by [`Series::clock`].
    seen: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Value {
    Int(i64),
    Double(f64),
    Histogram(Box<Distribution>),
}

#[derive(Debug, Clone, PartialEq)]
struct Distribution {
    count: u64,
    sum: Option<f64>,
    bounds: Vec<f64>,
    counts: Vec<u64>,
}

impl Value {
    fn of(point: &NumberDataPoint) -> Option<Self> {
        match point.value? {
            Number::AsInt(value) => Some(Self::Int(value)),
            Number::AsDouble(value) => Some(Self::Double(value)),
        }
    }

    fn of_histogram(point: &HistogramDataPoint) -> Self {
        Self::Histogram(Box::new(Distribution {
            count: point.count,
            sum: point.sum,
            bounds: point.explicit_bounds.clone(),
            counts: point.bucket_counts.clone(),
        }))
    }

    /// What was gained since `before`; `None` if that is no gain.
    fn since(&self, before: &Self) -> Option<Self> {
        match (self, before) {
            (Self::Int(now), Self::Int(before)) => {
                now.checked_sub(*before).filter(|gain| *gain >= 0).map(Self::Int)
            }
            (Self::Double(now), Self::Double(before)) => {
                Some(now - before).filter(|gain| *gain >= 0.0).map(Self::Double)
            }
            (Self::Histogram(now), Self::Histogram(before)) => {
                if now.bounds != before.bounds || now.counts.len() != before.counts.len() {
                    return None;
                }
                let counts = now.counts.iter().zip(&before.counts);
                Some(Self::Histogram(Box::new(Distribution {
                    count: now.count.checked_sub(before.count)?,
                    sum: now.sum.zip(before.sum).map(|(now, before)| now - before),
                    bounds: now.bounds.clone(),
                    counts: counts
                        .map(|(now, before)| now.checked_sub(*before))
                        .collect::<Option<_>>()?,
                })))
            }
            _ => None,
        }
    }

    /// The same, since it counted nothing.
    fn since_nothing(&self) -> Option<Self> {
        match self {
            Self::Int(value) => (*value >= 0).then(|| self.clone()),
            Self::Double(value) => (*value >= 0.0).then(|| self.clone()),
            Self::Histogram(_) => Some(self.clone()),
        }
    }
}

/// The counters that one destination knows.
#[derive(Debug)]
struct Series {
    /// By a hash of 64 bits: two series of a node do not meet there.
    known: HashMap<u64, Last>,
    state: RandomState,
    /// Of a series that is not known and began after this, nothing was ever told, in nanoseconds since the epoch: when this
    /// process began, or the last point of a series that was forgotten.
    horizon: u64,
    /// The newest point that was seen, in nanoseconds since the epoch.
    newest: u64,
    /// Time that passed in frames, in nanoseconds.
    clock: u64,
    /// [`clock`](Self::clock) when it was last looked for what may be forgotten.
    swept: u64,
}

impl Series {
    fn since(begun_unix_nano: u64) -> Self {
        Self {
            known: HashMap::new(),
            state: RandomState::new(),
            horizon: begun_unix_nano,
            newest: 0,
            clock: 0,
            swept: 0,
        }
    }

    /// Makes deltas of what is cumulative in `request`, and takes out what is not told; the number of points that are left.
    fn convert(&mut self, request: &mut ExportMetricsServiceRequest) -> (Told, u64) {
        let (mut told, mut points) = (Told::new(), 0);
        for block in &mut request.resource_metrics {
            let about = self.hash(0, &block.resource.as_ref().map(Message::encode_to_vec));
            for scope in &mut block.scope_metrics {
                let about = self.hash(about, &scope.scope.as_ref().map(Message::encode_to_vec));
                scope.metrics.retain_mut(|metric| {
                    let left = self.metric(about, metric, &mut told);
                    points += left as u64;
                    left > 0
                });
            }
            block.scope_metrics.retain(|scope| !scope.metrics.is_empty());
        }
        request.resource_metrics.retain(|block| !block.scope_metrics.is_empty());
        self.bound();
        (told, points)
    }

    /// The number of points that are left of `metric`.
    fn metric(&mut self, about: u64, metric: &mut Metric, told: &mut Told) -> usize {
        let about = self.hash(about, &(&metric.name, &metric.unit));
        match &mut metric.data {
            Some(Data::Sum(sum))
                if sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE =>
            {
                self.sum(about, sum, told);
                sum.data_points.len()
            }
            Some(Data::Histogram(histogram)) if histogram.aggregation_temporality == CUMULATIVE => {
                self.histogram(about, histogram, told);
                histogram.data_points.len()
            }
            Some(Data::Gauge(gauge)) => gauge.data_points.len(),
            Some(Data::Sum(sum)) => sum.data_points.len(),
            Some(Data::Histogram(histogram)) => histogram.data_points.len(),
            // The agent makes none.
            Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
            Some(Data::Summary(summary)) => summary.data_points.len(),
            None => 0,
        }
    }

    fn sum(&mut self, about: u64, sum: &mut Sum, told: &mut Told) {
        sum.aggregation_temporality = DELTA;
        sum.data_points.retain_mut(|point| {
            // Without a value: it says that the series ended.
            let Some(value) = Value::of(point) else { return true };
            let key = self.key(about, &point.attributes);
            let last = self.last(point.start_time_unix_nano, point.time_unix_nano, value);
            let Some((start, gain)) = self.gain(key, last, told) else { return false };
            point.start_time_unix_nano = start;
            point.value = match gain {
                Value::Int(gain) => Some(Number::AsInt(gain)),
                Value::Double(gain) => Some(Number::AsDouble(gain)),
                Value::Histogram(_) => None,
            };
            true
        });
    }

    fn histogram(&mut self, about: u64, histogram: &mut Histogram, told: &mut Told) {
        histogram.aggregation_temporality = DELTA;
        histogram.data_points.retain_mut(|point| {
            let key = self.key(about, &point.attributes);
            let value = Value::of_histogram(point);
            let last = self.last(point.start_time_unix_nano, point.time_unix_nano, value);
            let gain = self.gain(key, last, told);
            let Some((start, Value::Histogram(gain))) = gain else { return false };
            point.start_time_unix_nano = start;
            (point.count, point.sum, point.bucket_counts) = (gain.count, gain.sum, gain.counts);
            // Of all values so far: nobody knows which came last.
            (point.min, point.max) = (None, None);
            true
        });
    }

    fn last(&mut self, start_unix_nano: u64, time_unix_nano: u64, value: Value) -> Last {
        if time_unix_nano > self.newest {
            let passed = if self.newest == 0 { 0 } else { time_unix_nano - self.newest };
            self.clock += passed.min(GAP);
            self.newest = time_unix_nano;
        } else if self.newest - time_unix_nano > GAP {
            // The host's clock was set back.
            self.newest = time_unix_nano;
        }
        Last { start_unix_nano, time_unix_nano, value, seen: self.clock }
    }

    /// What is told of a point, and from when on; `None`: nothing.
    fn gain(&mut self, key: u64, now: Last, told: &mut Told) -> Option<(u64, Value)> {
        let before = told.get(&key).or_else(|| self.known.get(&key));
        let gain = match before {
            None if now.start_unix_nano > self.horizon => {
                now.value.since_nothing().map(|whole| (now.start_unix_nano, whole))
            }
            None => None,
            Some(before) if now.time_unix_nano <= before.time_unix_nano => {
                let set_back = now.time_unix_nano < before.time_unix_nano
                    && now.start_unix_nano == before.start_unix_nano
                    && now.value.since(&before.value).is_some();
                if !set_back {
                    // Told already.
                    return None;
                }
                // The host's clock was set back: it goes on from here, and not when that time comes again.
                None
            }
            Some(before) if now.start_unix_nano == before.start_unix_nano => {
                now.value.since(&before.value).map(|gain| (before.time_unix_nano, gain))
            }
            // It began anew.
            Some(before) if now.start_unix_nano >= before.time_unix_nano => {
                now.value.since_nothing().map(|whole| (now.start_unix_nano, whole))
            }
            // Its start is another and lies within what was told: what of the value is new is not known.
            Some(_) => None,
        };
        if gain.is_some() {
            told.insert(key, now);
        } else {
            // A baseline is not told, so it needs nobody's word.
            told.remove(&key);
            self.known.insert(key, now);
        }
        gain
    }

    fn taken(&mut self, told: Told) {
        self.known.extend(told);
        self.bound();
    }

    fn key(&self, about: u64, attributes: &[KeyValue]) -> u64 {
        attributes.iter().fold(about, |about, pair| self.hash(about, &pair.encode_to_vec()))
    }

    fn hash(&self, about: u64, what: &impl std::hash::Hash) -> u64 {
        self.state.hash_one((about, what))
    }

    /// Forgets what was not seen for long, and the oldest of what is too much.
    fn bound(&mut self) {
        if self.clock - self.swept >= GAP {
            self.swept = self.clock;
            let (horizon, clock) = (&mut self.horizon, self.clock);
            self.known.retain(|_, last| {
                let keep = clock - last.seen <= REMEMBERED;
                if !keep {
                    *horizon = (*horizon).max(last.time_unix_nano);
                }
                keep
            });
        }
        if self.known.len() > MAX_SERIES {
            let mut ages: Vec<_> = self.known.iter().map(|(key, last)| (last.seen, *key)).collect();
            ages.sort_unstable();
            // Some more, so that it is not done for each point.
            for (_, key) in &ages[..ages.len() - MAX_SERIES * 9 / 10] {
                if let Some(last) = self.known.remove(key) {
                    self.horizon = self.horizon.max(last.time_unix_nano);
                }
            }
        }
    }
}

fn convert(
    series: &mut Series,
    frame: &Frame,
    codec: Codec,
) -> Result<Option<(Frame, Told)>, CodecError> {
    let plain = codec::decompress(frame.codec, &frame.payload, frame.uncompressed_len).ok();
    let request = plain.and_then(|plain| ExportMetricsServiceRequest::decode(&plain[..]).ok());
    let Some(mut request) = request else { return Ok(None) };
    let (told, records) = series.convert(&mut request);
    let plain = request.encode_to_vec();
    let payload = Compressor::new()?.compress(codec, &plain)?;
    let deltas = Frame {
        signal: frame.signal,
        codec,
        uncompressed_len: plain.len(),
        records,
        payload: payload.into(),
        ..Frame::note(Vec::new(), Vec::new(), Vec::new())
    };
    Ok(Some((deltas, told)))
}

#[cfg(test)]
mod tests;
