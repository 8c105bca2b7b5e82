//! One reading for a person.
//!
//! In: the [`Sources`] and what is chosen. Out: every point of every chosen collector, once, of the second of two
//! readings shortly after each other, so that what is told of a time between two readings is there.

use std::sync::Arc;
use std::time::Duration;

use hawsepipe_model::Attributes;
pub use hawsepipe_model::otlp::Number;

use crate::collector::{CollectError, Collector};
use crate::metric::Metric;
use crate::points::View;
use crate::round::Body;
use crate::settings::Choice;
use crate::tick::{Sources, Tick};

/// What one collector has read.
#[derive(Debug)]
pub struct Reading {
    /// Which.
    pub collector: &'static Collector,
    /// Its points, in its own order.
    pub points: Vec<Point>,
    /// What could not be read.
    pub problem: Option<CollectError>,
}

/// A point.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Of which metric.
    pub metric: &'static Metric,
    /// What it is about, where that is not the host or the cluster alone.
    pub resource: Option<Attributes>,
    /// Its attributes.
    pub attributes: Vec<(&'static str, String)>,
    /// When its counter began, nanoseconds since the epoch; 0 for what is no counter.
    pub start_unix_nano: u64,
    /// When it was read.
    pub time_unix_nano: u64,
    /// Its value.
    pub value: Number,
    /// How much a counter has counted since the first of the two readings, a second.
    pub rate: Option<f64>,
}

/// Reads twice, `apart` from each other; it takes as long, on the thread of whoever asks.
#[must_use]
pub fn read(sources: Sources, choices: &[Choice], apart: Duration) -> Vec<Reading> {
    let sources = Arc::new(sources);
    let mut bodies: Vec<Body> = choices.iter().map(Body::new).collect();
    let first = Tick::new(Arc::clone(&sources));
    let mut before = Vec::new();
    for (choice, body) in choices.iter().zip(&mut bodies) {
        // What fails fails again, and is told then.
        before.push(body.read_all(choice, &first).0);
    }
    std::thread::sleep(apart);
    let second = Tick::new(sources);
    let all = choices.iter().zip(&mut bodies).zip(before);
    all.map(|((choice, body), before)| {
        let (mut points, problem) = body.read_all(choice, &second);
        for (at, point) in points.iter_mut().enumerate() {
            // Mostly at the same place.
            let same = |other: &&Point| other.is_same_series(point);
            let last = before.get(at).filter(same).or_else(|| before.iter().find(same));
            point.rate = last.and_then(|last| last.rate_to(point));
        }
        Reading { collector: choice.collector, points, problem }
    })
    .collect()
}

impl Body {
    fn read_all(&mut self, choice: &Choice, tick: &Tick) -> (Vec<Point>, Option<CollectError>) {
        let (mut points, mut problem) = (Vec::new(), None);
        loop {
            let error = self.read(choice, tick).err();
            problem = problem.or(error);
            points.extend(self.points.iter().map(Point::from));
            if !self.more() {
                return (points, problem);
            }
        }
    }
}

impl Point {
    fn is_same_series(&self, other: &Self) -> bool {
        std::ptr::eq(self.metric, other.metric)
            && self.attributes == other.attributes
            && self.resource == other.resource
    }

    fn rate_to(&self, later: &Self) -> Option<f64> {
        let counts = later.metric.instrument == hawsepipe_model::otlp::Instrument::Counter;
        let began = self.start_unix_nano == later.start_unix_nano;
        let nanos = later.time_unix_nano.checked_sub(self.time_unix_nano).filter(|it| *it > 0)?;
        let difference = as_f64(later.value) - as_f64(self.value);
        (counts && began).then_some(difference / (nanos as f64 / 1e9))
    }
}

/// The value as a number with a point.
#[must_use]
pub fn as_f64(value: Number) -> f64 {
    match value {
        Number::Int(value) => value as f64,
        Number::Double(value) => value,
    }
}

impl From<View<'_>> for Point {
    fn from(view: View<'_>) -> Self {
        let keys = view.metric.attributes.iter().copied();
        let attributes = keys.zip(view.attributes().map(|(_, value)| value.to_owned()));
        Self {
            metric: view.metric,
            resource: view.resource.cloned(),
            attributes: attributes.collect(),
            start_unix_nano: view.start_unix_nano,
            time_unix_nano: view.time_unix_nano,
            value: view.value,
            rate: None,
        }
    }
}
