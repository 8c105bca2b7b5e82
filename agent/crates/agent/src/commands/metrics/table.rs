//! A reading as a table: a block for each metric, a row for each thing that it tells of, a column for each of its
//! states or directions.

use std::collections::BTreeMap;

use hawsepipe_collect::reading::{Point, Reading, as_f64};
use hawsepipe_collect::{Collector, Metric};
use hawsepipe_model::otlp::Instrument;
use hawsepipe_model::{Attributes, Value};

use super::units;

/// More columns than this are rows.
const MAX_COLUMNS: usize = 9;
/// More rows than this are for `--all`.
const MAX_ROWS: usize = 16;
/// Attributes whose values stand side by side: what a thing is in, or which way.
const STATES: [&str; 5] = ["state", "direction", "status", "type", "window"];
/// Width of names and labels.
const NAMES: usize = 34;

/// How it is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    /// With colours and weights, for a terminal.
    pub(super) colour: bool,
    /// With what is zero and with every row.
    pub(super) all: bool,
}

/// A block: cells by row and column, in the order in which they came.
struct Block<'a> {
    metric: &'static Metric,
    columns: Vec<&'a str>,
    rows: Vec<(String, Vec<Cell>)>,
}

/// A value, and of a counter how fast it counts.
#[derive(Debug, Clone, Default)]
struct Cell {
    value: String,
    rate: String,
}

/// The whole table.
pub(super) fn table(readings: &[Reading], style: Style) -> String {
    let mut out = String::new();
    let (mut shown, mut silent) = (0, 0);
    for reading in readings {
        let blocks: Vec<_> = by_metric(&reading.points)
            .filter_map(|(metric, mut points)| {
                if !style.all {
                    points.retain(|point| is_moving(point, &reading.points));
                }
                let told =
                    !points.is_empty() && (style.all || !is_told_by_another(metric, reading));
                silent += usize::from(!told);
                told.then(|| block(metric, &points, style))
            })
            .collect();
        if blocks.is_empty() {
            continue;
        }
        shown += blocks.len();
        heading(&mut out, reading.collector, style);
        blocks.iter().for_each(|block| show(&mut out, block, style));
    }
    let hidden = match silent {
        0 => String::new(),
        _ => format!("; {silent} more are zero or told by another (--all)"),
    };
    out.push_str(&style.dim(&format!("\n{shown} metrics{hidden}\n")));
    out
}

/// What the host is, in a line, as far as it was read.
pub(super) fn summary(readings: &[Reading], name: &str, style: Style) -> String {
    let points = || readings.iter().flat_map(|reading| &reading.points);
    let of = |metric: &str| points().find(|point| point.metric.name == metric);
    let told = |metric, words: fn(&str) -> String| {
        of(metric).map(|point| words(&units::value(point.value, point.metric.unit)))
    };
    let parts = [
        told("system.cpu.logical.count", |cpus| format!("{cpus} CPUs")),
        told("system.memory.limit", |memory| format!("{memory} of memory")),
        told("system.uptime", |up| format!("up {up}")),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    format!("{}  {}\n", style.bold(name), parts.join(", "))
}

/// Points of a metric behind each other, metrics in the order in which they came.
pub(super) fn by_metric(points: &[Point]) -> impl Iterator<Item = (&'static Metric, Vec<&Point>)> {
    let mut order: Vec<&'static Metric> = Vec::new();
    let mut of: BTreeMap<&str, Vec<&Point>> = BTreeMap::new();
    for point in points {
        let of = of.entry(point.metric.name).or_default();
        if of.is_empty() {
            order.push(point.metric);
        }
        of.push(point);
    }
    order.into_iter().filter_map(move |metric| Some((metric, of.remove(metric.name)?)))
}

/// Whether there is anything to see in the row of a point: of several states of a thing, all are shown if one is not
/// zero.
fn is_moving(point: &Point, all: &[Point]) -> bool {
    let thing = |point: &Point| point.attributes.len().saturating_sub(1);
    let same = |other: &&Point| {
        std::ptr::eq(other.metric, point.metric)
            && other.resource == point.resource
            && other.attributes[..thing(other)] == point.attributes[..thing(point)]
    };
    let is_state = point.metric.attributes.last().is_some_and(|key| STATES.contains(key));
    let zero = |point: &Point| as_f64(point.value) == 0.0;
    if is_state { !all.iter().filter(same).all(zero) } else { !zero(point) }
}

/// A time that is told as a utilization too: `system.cpu.time` beside `system.cpu.utilization`.
fn is_told_by_another(metric: &Metric, reading: &Reading) -> bool {
    let utilization = metric.name.strip_suffix(".time").map(|stem| format!("{stem}.utilization"));
    utilization.is_some_and(|name| reading.points.iter().any(|point| point.metric.name == name))
}

fn block<'a>(metric: &'static Metric, points: &[&'a Point], style: Style) -> Block<'a> {
    let last = |point: &&'a Point| point.attributes.last().map(|(_, value)| value.as_str());
    let mut columns: Vec<&str> = Vec::new();
    for value in points.iter().filter_map(last) {
        if !columns.contains(&value) {
            columns.push(value);
        }
    }
    let is_state = metric.attributes.last().is_some_and(|key| STATES.contains(key));
    let across = is_state && (2..=MAX_COLUMNS).contains(&columns.len());
    if !across {
        columns.clear();
    }
    let mut rows: Vec<(String, Vec<Cell>)> = Vec::new();
    for point in points {
        // A state in a row of its own.
        if is_state && !across && !style.all && as_f64(point.value) == 0.0 {
            continue;
        }
        let label = label(point, across);
        let at = rows.iter().position(|(other, _)| *other == label).unwrap_or_else(|| {
            rows.push((label, vec![Cell::default(); columns.len().max(1)]));
            rows.len() - 1
        });
        let column = last(point).and_then(|value| columns.iter().position(|it| *it == value));
        rows[at].1[column.unwrap_or(0)] = cell(point);
    }
    Block { metric, columns, rows }
}

/// What a row is about.
fn label(point: &Point, across: bool) -> String {
    let about = point.resource.as_ref().map(about);
    let attributes = point.attributes.len() - usize::from(across);
    let values = point.attributes.iter().take(attributes).map(|(_, value)| value.clone());
    about.into_iter().chain(values).collect::<Vec<_>>().join(" ")
}

/// What a point is about, beside the node: a process, or a pod and what is in it.
fn about(resource: &Attributes) -> String {
    if let Some(Value::Int(pid)) = resource.get("process.pid") {
        return format!("{pid} {}", resource.str("process.executable.name").unwrap_or_default());
    }
    let first = |keys: &[&str]| keys.iter().find_map(|key| resource.str(key));
    // Without an API server or a kubelet the UID is known, and of a container its id: their beginnings tell them apart.
    let short = |key, length| resource.str(key).map(|id| id.get(..length).unwrap_or(id));
    let pod = first(&["k8s.pod.name", "k8s.node.system_container.name"]);
    let inside = first(&["k8s.container.name", "k8s.volume.name"]);
    let parts = [
        first(&["k8s.namespace.name"]),
        pod.or_else(|| short("k8s.pod.uid", 8)),
        inside.or_else(|| short("container.id", 12)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("/")
}

fn cell(point: &Point) -> Cell {
    let unit = point.metric.unit;
    let counts = point.metric.instrument == Instrument::Counter;
    let rate = point.rate.filter(|rate| counts && *rate > 0.0);
    Cell {
        value: units::value(point.value, unit),
        rate: rate.map(|rate| format!(" +{}", units::rate(rate, unit))).unwrap_or_default(),
    }
}

fn heading(out: &mut String, collector: &Collector, style: Style) {
    let about = collector.about.split(". ").next().unwrap_or_default();
    let text = format!("\n{}  {}\n", style.bold(collector.name), style.dim(about));
    out.push_str(&text);
}

fn show(out: &mut String, block: &Block<'_>, style: Style) {
    let Block { metric, columns, rows } = block;
    let shown = if style.all { rows.len() } else { rows.len().min(MAX_ROWS) };
    let rows_shown = &rows[..shown];
    let width = |at: usize, text: fn(&Cell) -> &str| {
        let cells = rows_shown.iter().filter_map(|(_, cells)| cells.get(at));
        cells.map(|cell| text(cell).chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns.len().max(1))
        .map(|at| {
            let rate = width(at, |cell| &cell.rate);
            let heading = columns.get(at).map_or(0, |name| name.chars().count());
            (width(at, |cell| &cell.value).max(heading.saturating_sub(rate)), rate)
        })
        .collect();
    let name = format!("  {:<NAMES$}", metric.name);
    // A row without a label stands beside the name when nothing stands above it.
    if let ([(label, cells)], []) = (rows_shown, columns.as_slice())
        && label.is_empty()
    {
        line(out, &style.name(&name), cells, &widths, style);
        return;
    }
    let mut headings = style.name(&name);
    for (column, (value, rate)) in columns.iter().zip(&widths) {
        headings.push_str(&format!("  {}", style.dim(&format!("{column:>0$}", value + rate))));
    }
    out.push_str(headings.trim_end());
    out.push('\n');
    for (label, cells) in rows_shown {
        line(out, &format!("    {:<1$}", cut(label), NAMES - 2), cells, &widths, style);
    }
    if rows.len() > shown {
        let more = format!("    ... {} more (--all)\n", rows.len() - shown);
        out.push_str(&style.dim(&more));
    }
}

fn line(out: &mut String, begin: &str, cells: &[Cell], widths: &[(usize, usize)], style: Style) {
    let mut text = begin.to_owned();
    for (Cell { value, rate }, (of_value, of_rate)) in cells.iter().zip(widths) {
        let pad = of_rate.saturating_sub(rate.chars().count());
        text.push_str(&format!("  {value:>of_value$}{}{:pad$}", style.rate(rate), ""));
    }
    out.push_str(text.trim_end());
    out.push('\n');
}

/// What is too long for its place keeps its end, which tells it from the others.
fn cut(label: &str) -> String {
    let long = label.chars().count().saturating_sub(NAMES - 2);
    if long == 0 {
        return label.to_owned();
    }
    format!("..{}", label.chars().skip(long + 2).collect::<String>())
}

// === impl Style ===

impl Style {
    fn bold(self, text: &str) -> String {
        self.escape(text, "1")
    }

    fn dim(self, text: &str) -> String {
        self.escape(text, "2")
    }

    fn rate(self, text: &str) -> String {
        if text.is_empty() { String::new() } else { self.escape(text, "32") }
    }

    fn name(self, text: &str) -> String {
        self.escape(text, "36")
    }

    /// ECMA-48, "Select Graphic Rendition".
    fn escape(self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use hawsepipe_collect::find;
    use hawsepipe_collect::reading::Number;

    use super::*;

    const PLAIN: Style = Style { colour: false, all: false };

    fn point(
        collector: &str,
        metric: &str,
        values: &[&str],
        value: i64,
        rate: Option<f64>,
    ) -> Point {
        let metric = find(collector).unwrap().metric(metric).unwrap();
        let keys = metric.attributes.iter().copied();
        let attributes = keys.zip(values.iter().map(ToString::to_string)).collect();
        let value = Number::Int(value);
        let (start_unix_nano, time_unix_nano) = (1, 2);
        let resource = None;
        Point { metric, resource, attributes, start_unix_nano, time_unix_nano, value, rate }
    }

    fn reading(collector: &str, points: Vec<Point>) -> Reading {
        Reading { collector: find(collector).unwrap(), points, problem: None }
    }

    #[test]
    fn directions_stand_side_by_side_and_things_below_each_other() {
        let io = "system.disk.io";
        let points = vec![
            point("disk", io, &["sda", "read"], 2048, Some(1024.0)),
            point("disk", io, &["sda", "write"], 0, Some(0.0)),
            point("disk", io, &["sdb", "read"], 1 << 30, None),
            point("disk", io, &["sdb", "write"], 1, None),
            point("disk", io, &["sdc", "read"], 0, None),
            point("disk", io, &["sdc", "write"], 0, None),
            point("disk", "system.disk.pending_operations", &["sda"], 0, None),
        ];
        let text = table(&[reading("disk", points)], PLAIN);
        let expected = "
disk  What the block devices and their partitions do
  system.disk.io                                    read  write
    sda                               2.0 KiB +1.0 KiB/s    0 B
    sdb                               1.0 GiB               1 B

1 metrics; 1 more are zero or told by another (--all)
";
        assert_eq!(text, expected);
    }

    #[test]
    fn rows_name_the_pod_and_what_is_in_it() {
        let about = |pairs: &[(&'static str, &str)]| {
            let mut resource = Attributes::new();
            pairs.iter().for_each(|(key, value)| resource.set(*key, *value));
            about(&resource)
        };
        let pod = [("k8s.namespace.name", "shop"), ("k8s.pod.name", "web-0"), ("k8s.pod.uid", "u")];
        assert_eq!(about(&pod), "shop/web-0");
        let container = [&pod[..], &[("k8s.container.name", "nginx"), ("container.id", "c")]];
        assert_eq!(about(&container.concat()), "shop/web-0/nginx");
        let volume = [&pod[..], &[("k8s.volume.name", "data")]];
        assert_eq!(about(&volume.concat()), "shop/web-0/data");
        let unknown = [
            ("k8s.pod.uid", "0a1b2c3d-097c-49b4-9cc4-d5046f4087ba"),
            ("container.id", "4e5f60718293a4b5c6d7e8f9"),
        ];
        assert_eq!(about(&unknown), "0a1b2c3d/4e5f60718293", "without a cluster");
        assert_eq!(about(&[("k8s.node.system_container.name", "kubelet")]), "kubelet");
    }

    #[test]
    fn a_value_alone_stands_beside_its_name() {
        let points = vec![point("processes", "system.processes.created", &[], 12, Some(1.5))];
        let text = table(&[reading("processes", points)], PLAIN);
        assert!(text.contains("\n  system.processes.created            12 +1.5/s\n"), "{text}");
    }

    #[test]
    fn a_long_list_is_cut_and_told_of() {
        let name = "system.disk.pending_operations";
        let points = (0..40).map(|disk| point("disk", name, &[&format!("sd{disk}")], 7, None));
        let readings = [reading("disk", points.collect())];
        let text = table(&readings, PLAIN);
        assert!(text.contains("    sd15 ") && !text.contains("    sd16 "), "{text}");
        assert!(text.contains("... 24 more (--all)"), "{text}");
        let all = table(&readings, Style { all: true, ..PLAIN });
        assert!(all.contains("    sd39 ") && !all.contains("more"), "{all}");
    }
}
