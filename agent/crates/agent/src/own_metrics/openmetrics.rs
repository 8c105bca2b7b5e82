//! The page `/metrics` (OpenMetrics 1.0, as `prometheus-client` writes it), taken apart again.
//!
//! In: the page's text. Out: its families, in order. A line that is not understood is passed over.

use std::borrow::Cow;

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// `info` and what we do not have.
    Other,
}

/// Samples of one name.
#[derive(Debug)]
pub(super) struct Family<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Kind,
    /// `bytes`, `seconds`; empty if there is none.
    pub(super) unit: &'a str,
    pub(super) help: &'a str,
    pub(super) samples: Vec<Sample<'a>>,
}

/// One line.
#[derive(Debug, PartialEq)]
pub(super) struct Sample<'a> {
    /// What the name has behind the family's: `_total`, `_bucket`.
    pub(super) suffix: &'a str,
    pub(super) labels: Labels<'a>,
    pub(super) value: &'a str,
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// The samples of one histogram, put together.
#[derive(Debug, PartialEq)]
pub(super) struct Histogram<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) count: u64,
    pub(super) sum: f64,
    /// Upper bound, and how many values are below it.
    pub(super) buckets: Vec<(f64, u64)>,
}

/// The families of a page.
pub(super) fn parse(page: &str) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in page.lines() {
        if let Some(about) = line.strip_prefix("# ") {
            describe(&mut families, about);
        } else if let Some(family) = families.last_mut() {
            family.samples.extend(sample(line, family.name));
        }
    }
    families
}

fn describe<'a>(families: &mut Vec<Family<'a>>, about: &'a str) {
    let mut words = about.splitn(3, ' ');
    let (Some(what), Some(name)) = (words.next(), words.next()) else { return };
    let rest = words.next().unwrap_or_default();
    if families.last().is_none_or(|family| family.name != name) {
        let (kind, unit, help) = (Kind::Other, "", "");
        families.push(Family { name, kind, unit, help, samples: Vec::new() });
    }
    let Some(family) = families.last_mut() else { return };
    match what {
        // The encoder ends it with a full stop.
        "HELP" => family.help = rest.trim_end_matches('.'),
        "UNIT" => family.unit = rest,
        "TYPE" => {
            family.kind = match rest {
                "counter" => Kind::Counter,
                "gauge" => Kind::Gauge,
                "histogram" => Kind::Histogram,
                _ => Kind::Other,
            };
        }
        _ => {}
    }
}

/// `name_suffix{key="value",..} value`.
fn sample<'a>(line: &'a str, name: &str) -> Option<Sample<'a>> {
    let rest = line.strip_prefix(name)?;
    let end = rest.find(['{', ' '])?;
    let (suffix, mut rest) = rest.split_at(end);
    let mut labels = Vec::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (key, behind) = inside.split_once("=\"")?;
            let end = closing_quote(behind)?;
            labels.push((key.trim_start_matches(','), unescape(&behind[..end])));
            inside = &behind[end + 1..];
        }
        rest = &inside[1..];
    }
    Some(Sample { suffix, labels, value: rest.trim_start().split(' ').next()? })
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })
}

/// OpenMetrics 1.0, "Escaping".
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => plain.push('\n'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

impl<'a> Family<'a> {
    /// Its histograms, one for each set of labels.
    pub(super) fn histograms(&self) -> Vec<Histogram<'a>> {
        let mut all: Vec<Histogram<'a>> = Vec::new();
        for Sample { suffix, labels, value } in &self.samples {
            let (bounds, labels): (Labels<'a>, Labels<'a>) =
                labels.iter().cloned().partition(|(key, _)| *key == "le");
            let at = all.iter().position(|one| one.labels == labels).unwrap_or_else(|| {
                all.push(Histogram { labels, count: 0, sum: 0.0, buckets: Vec::new() });
                all.len() - 1
            });
            let one = &mut all[at];
            match (*suffix, bounds.first()) {
                ("_count", _) => one.count = value.parse().unwrap_or(0),
                ("_sum", _) => one.sum = value.parse().unwrap_or(0.0),
                ("_bucket", Some((_, bound))) => {
                    let bound = if bound == "+Inf" { Ok(f64::INFINITY) } else { bound.parse() };
                    one.buckets.extend(bound.ok().zip(value.parse().ok()));
                }
                _ => {}
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family as Labelled;
    use prometheus_client::metrics::gauge::Gauge;
    use prometheus_client::metrics::histogram::Histogram as Distribution;
    use prometheus_client::registry::{Registry, Unit};

    use super::*;

    fn page() -> String {
        let mut registry = Registry::with_prefix("hawsepipe");
        let counter = Labelled::<Vec<(String, String)>, Counter>::default();
        for name in ["plain", "a \"quoted\\ one,\n}"] {
            counter.get_or_create(&vec![("name".to_owned(), name.to_owned())]).inc_by(3);
        }
        registry.register("logs_lines", "Lines, of a kind", counter);
        let gauge = Gauge::<i64>::default();
        gauge.set(-7);
        registry.register_with_unit("logs_pinned", "What is held", Unit::Bytes, gauge);
        let histogram = Distribution::new([0.5, 1.0]);
        [0.1, 0.7, 0.8, 9.0].into_iter().for_each(|value| histogram.observe(value));
        registry.register_with_unit("export_duration", "How long", Unit::Seconds, histogram);
        let mut page = String::new();
        encode(&mut page, &registry).unwrap();
        page
    }

    #[test]
    fn a_page_reads_back_as_what_was_registered() {
        let page = page();
        let families = parse(&page);
        let told: Vec<_> = families.iter().map(|it| (it.name, it.kind, it.unit, it.help)).collect();
        let expected = [
            ("hawsepipe_logs_lines", Kind::Counter, "", "Lines, of a kind"),
            ("hawsepipe_logs_pinned_bytes", Kind::Gauge, "bytes", "What is held"),
            ("hawsepipe_export_duration_seconds", Kind::Histogram, "seconds", "How long"),
        ];
        assert_eq!(told[..3], expected, "{page}");
        let lines = &families[0].samples;
        let labels: Vec<_> = lines.iter().map(|sample| sample.labels[0].1.to_string()).collect();
        assert!(labels.contains(&"a \"quoted\\ one,\n}".to_owned()), "{labels:?}");
        assert!(lines.iter().all(|sample| (sample.suffix, sample.value) == ("_total", "3")));
        assert_eq!(families[1].samples[0].value, "-7");
        let histogram = &families[2].histograms()[0];
        assert_eq!((histogram.count, histogram.buckets.len()), (4, 3));
        assert!((histogram.sum - 10.6).abs() < 1e-9);
        assert_eq!(histogram.buckets, [(0.5, 1), (1.0, 3), (f64::INFINITY, 4)]);
    }
}
