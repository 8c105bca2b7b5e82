//! Which metrics came in: what is said of each, and the last value of its series. For trials and tests; metrics are not
//! stored, and their points are counted alone.
//!
//! Always: bounded; what comes after the bound is counted with the rest and not told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use parking_lot::Mutex;
use serde::Serialize;

/// Metrics that are told apart, by their names.
const MAX_METRICS: usize = 4096;
/// Series of a metric whose last value is kept.
const MAX_SERIES: usize = 1024;

/// A metric that came in, since the start of the process.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenMetric {
    /// `counter`, `updowncounter`, `gauge`, `delta` (a sum of changes), `histogram` or `summary`.
    pub instrument: &'static str,
    /// `int` or `double`; empty for what holds no single number.
    pub value: &'static str,
    /// Its unit.
    pub unit: String,
    /// The keys of its points' attributes.
    pub attributes: BTreeSet<String>,
    /// Points so far.
    pub points: u64,
    /// Points that are older than the last one of their series, or lower than it within one start time though it is a
    /// counter: what would be shown as a negative rate.
    pub went_back: u64,
    /// By what the resource and the attributes say.
    #[serde(skip)]
    series: BTreeMap<(String, String), Last>,
}

/// The last point of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Last {
    start: u64,
    time: u64,
    value: f64,
}

impl SeenMetric {
    /// The last value of a series, by the values of its attributes with commas between; of any resource.
    #[must_use]
    pub fn value(&self, attributes: &str) -> Option<f64> {
        let mut series = self.series.iter().filter(|((_, series), _)| series == attributes);
        series.next().map(|(_, last)| last.value)
    }
}

/// All metrics that came in; clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<String, SeenMetric>>>);

impl Seen {
    /// Notes what is in a request.
    pub(crate) fn note(&self, request: &ExportMetricsServiceRequest) {
        let mut seen = self.0.lock();
        for block in &request.resource_metrics {
            let about = block.resource.as_ref().map(|resource| values(&resource.attributes));
            let about = about.unwrap_or_default();
            for metric in block.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                if seen.len() < MAX_METRICS || seen.contains_key(&metric.name) {
                    seen.entry(metric.name.clone()).or_default().note(metric, &about);
                }
            }
        }
    }

    /// Everything that came in, by name.
    pub(crate) fn get(&self) -> BTreeMap<String, SeenMetric> {
        self.0.lock().clone()
    }
}

impl SeenMetric {
    fn note(&mut self, metric: &Metric, about: &str) {
        self.unit.clone_from(&metric.unit);
        match &metric.data {
            None => {}
            Some(Data::Gauge(gauge)) => {
                self.instrument = "gauge";
                gauge.data_points.iter().for_each(|point| self.point(point, about));
            }
            Some(Data::Sum(sum)) => {
                // AGGREGATION_TEMPORALITY_CUMULATIVE is 2.
                self.instrument = match (sum.aggregation_temporality, sum.is_monotonic) {
                    (2, true) => "counter",
                    (2, false) => "updowncounter",
                    _ => "delta",
                };
                sum.data_points.iter().for_each(|point| self.point(point, about));
            }
            Some(Data::Histogram(histogram)) => {
                self.instrument = "histogram";
                self.points += histogram.data_points.len() as u64;
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                self.instrument = "histogram";
                self.points += histogram.data_points.len() as u64;
            }
            Some(Data::Summary(summary)) => {
                self.instrument = "summary";
                self.points += summary.data_points.len() as u64;
            }
        }
    }

    fn point(&mut self, point: &NumberDataPoint, about: &str) {
        self.points += 1;
        for pair in &point.attributes {
            if !self.attributes.contains(&pair.key) {
                self.attributes.insert(pair.key.clone());
            }
        }
        let value = match point.value {
            Some(Number::AsInt(value)) => {
                self.value = "int";
                value as f64
            }
            Some(Number::AsDouble(value)) => {
                self.value = "double";
                value
            }
            None => return,
        };
        let series = (about.to_owned(), values(&point.attributes));
        if self.series.len() >= MAX_SERIES && !self.series.contains_key(&series) {
            return;
        }
        let now = Last { start: point.start_time_unix_nano, time: point.time_unix_nano, value };
        if let Some(last) = self.series.insert(series, now) {
            let lower = now.start == last.start && now.value < last.value;
            let back = now.time < last.time || (self.instrument == "counter" && lower);
            self.went_back += u64::from(back);
        }
    }
}

/// The values of attributes, with commas between.
fn values(attributes: &[KeyValue]) -> String {
    let mut text = String::new();
    for (at, pair) in attributes.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        match &pair.value {
            Some(AnyValue { value: Some(Value::StringValue(value)) }) => text.push_str(value),
            // Writing into a text does not fail.
            Some(AnyValue { value: Some(Value::IntValue(value)) }) => {
                write!(text, "{value}").unwrap_or_default();
            }
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{ResourceMetrics, ScopeMetrics, Sum};

    use super::*;

    fn request(start: u64, time: u64, value: i64) -> ExportMetricsServiceRequest {
        let point = NumberDataPoint {
            start_time_unix_nano: start,
            time_unix_nano: time,
            value: Some(Number::AsInt(value)),
            ..NumberDataPoint::default()
        };
        let sum = Sum { data_points: vec![point], aggregation_temporality: 2, is_monotonic: true };
        let metric = Metric {
            name: "requests".to_owned(),
            unit: "1".to_owned(),
            data: Some(Data::Sum(sum)),
            ..Metric::default()
        };
        let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
        let block = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        ExportMetricsServiceRequest { resource_metrics: vec![block] }
    }

    #[test]
    fn a_metric_is_told_with_what_was_said_of_it_and_its_last_value() {
        let seen = Seen::default();
        seen.note(&request(1, 2, 5));
        seen.note(&request(1, 3, 7));
        let metric = seen.get().remove("requests").unwrap();
        assert_eq!((metric.instrument, metric.value, &*metric.unit), ("counter", "int", "1"));
        assert_eq!((metric.points, metric.went_back, metric.value("")), (2, 0, Some(7.0)));
    }

    #[test]
    fn a_counter_that_goes_back_without_a_new_start_is_told() {
        let seen = Seen::default();
        seen.note(&request(1, 2, 5));
        seen.note(&request(2, 3, 4));
        assert_eq!(seen.get()["requests"].went_back, 0, "it began anew");
        seen.note(&request(2, 4, 3));
        assert_eq!(seen.get()["requests"].went_back, 1);
        seen.note(&request(2, 3, 9));
        assert_eq!(seen.get()["requests"].went_back, 2, "an older point");
    }

    #[test]
    fn metrics_without_end_are_not_told_apart_without_end() {
        let seen = Seen::default();
        for number in 0..MAX_METRICS + 10 {
            let mut request = request(1, 2, 3);
            request.resource_metrics[0].scope_metrics[0].metrics[0].name = number.to_string();
            seen.note(&request);
        }
        assert_eq!(seen.get().len(), MAX_METRICS);
    }
}
