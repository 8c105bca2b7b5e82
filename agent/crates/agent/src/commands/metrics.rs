//! `hawsepipe metrics`: what the collectors say of this machine now, as a table or as JSON.
//!
//! In: nothing, or a configuration. Out: one reading, of two shortly after each other, so that what is told of a time
//! between two is there. Always: what a collector cannot read is said at the end, on stderr, and costs no other its
//! place.

mod table;
pub(crate) mod units;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hawsepipe_cluster::kubelet::KubeletSource;
use hawsepipe_collect::reading::{Number, Point, Reading, read};
use hawsepipe_collect::{
    Choice, CollectError, Collector, Need, Scope, Sources, find, list, list_of,
};
use hawsepipe_host::HostRoot;
use hawsepipe_model::{Attributes, Value as Attribute};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::task::spawn_blocking;

use crate::app::kubelet;
use crate::commands::print;
use crate::config::Config;
use crate::config::text::parse_span;

/// The interval that nothing is read at.
const UNUSED: Duration = Duration::from_secs(15);

/// Options of `hawsepipe metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Collectors to ask. Default: those that are on by default.
    #[arg(value_name = "COLLECTOR")]
    collectors: Vec<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
    /// With every collector, metric and row, zeros too.
    #[arg(long)]
    all: bool,
    /// The time between the two readings.
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = span)]
    apart: Duration,
    /// Reads as an agent with this configuration does: its collectors, its metrics, its places.
    #[arg(long, value_name = "FILE", env = "HAWSEPIPE_CONFIG")]
    config: Option<PathBuf>,
}

/// Reads and prints.
pub(crate) async fn run(args: MetricsArgs) -> anyhow::Result<ExitCode> {
    let (sources, choices) = chosen(&args)?;
    let of_host = sources.attributes();
    let name = of_host.str("host.name").unwrap_or("this host").to_owned();
    let apart = args.apart;
    let readings = spawn_blocking(move || read(sources, &choices, apart)).await?;
    if args.json {
        print(&format!("{:#}\n", as_json(&readings)));
    } else {
        let stdout = std::io::stdout();
        let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let style = table::Style { colour, all: args.all };
        if args.collectors.is_empty() {
            print(&table::summary(&readings, &name, style));
        }
        print(&table::table(&readings, style));
    }
    let every = args.all || !args.collectors.is_empty() || args.config.is_some();
    // A closed stderr has no reader to tell.
    drop(std::io::stderr().write_all(problems(&readings, every).as_bytes()));
    let told = readings.iter().any(|reading| !reading.points.is_empty());
    Ok(if told { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What is asked, and where.
fn chosen(args: &MetricsArgs) -> anyhow::Result<(Sources, Vec<Choice>)> {
    let (sources, mut choices) = match &args.config {
        Some(path) => match Config::load(path)?.metrics {
            Some(metrics) => {
                let kubelet = kubelet(&metrics, None).map(|it| it as Arc<dyn KubeletSource>);
                (Sources::new(metrics.host).with_kubelet(kubelet), metrics.of_node)
            }
            None => bail!("{}: metrics.enabled is false: nothing is collected", path.display()),
        },
        None => (Sources::new(HostRoot::here()), of_this_machine(args.all)),
    };
    if !args.collectors.is_empty() {
        if let Some(name) = args.collectors.iter().find(|name| find(name).is_none()) {
            let names: Vec<_> = list().iter().map(|collector| collector.name).collect();
            bail!("there is no collector {name}; there are {}", names.join(", "));
        }
        let configured = choices;
        let wanted = list().iter().filter(|it| args.collectors.iter().any(|name| name == it.name));
        let choice = |collector: &&'static Collector| {
            let chosen = configured.iter().find(|choice| choice.collector.name == collector.name);
            chosen.cloned().unwrap_or_else(|| everything_of(collector))
        };
        choices = wanted.map(choice).collect();
    }
    Ok((sources, choices))
}

/// The collectors that are on by default, or all; with all of their metrics.
fn of_this_machine(all: bool) -> Vec<Choice> {
    // Where no configuration says so there is no kubelet.
    let can = |collector: &&'static Collector| !collector.needs.contains(&Need::Kubelet);
    let on = list_of(Scope::Node).filter(can).filter(|collector| all || collector.default);
    on.map(everything_of).collect()
}

fn everything_of(collector: &'static Collector) -> Choice {
    let wanted = vec![true; collector.metrics.len()];
    Choice { wanted, ..Choice::of(collector, UNUSED) }
}

/// What could not be read, a line for each; what this machine does not have, in one line for all unless `every` is said.
fn problems(readings: &[Reading], every: bool) -> String {
    let problems = readings.iter().filter_map(|it| Some((it.collector.name, it.problem.as_ref()?)));
    let (mut text, mut lacking) = (String::new(), Vec::new());
    for (collector, problem) in problems {
        if matches!(problem, CollectError::Unavailable(_)) && !every {
            lacking.push(collector);
        } else {
            text.push_str(&format!("hawsepipe: {collector}: {problem}\n"));
        }
    }
    if !lacking.is_empty() {
        let names = lacking.join(", ");
        text.push_str(&format!("hawsepipe: not on this machine (--all says why): {names}\n"));
    }
    text
}

/// A list of metrics, each with its points.
fn as_json(readings: &[Reading]) -> Value {
    let mut metrics: Vec<Value> = Vec::new();
    for reading in readings {
        for (metric, points) in table::by_metric(&reading.points) {
            metrics.push(json!({
                "collector": reading.collector.name,
                "name": metric.name,
                "description": metric.description(),
                "instrument": metric.instrument.name(),
                "unit": metric.unit,
                "points": points.into_iter().map(point_json).collect::<Vec<_>>(),
            }));
        }
    }
    let problem = |reading: &Reading| {
        let problem = reading.problem.as_ref()?;
        let unavailable = matches!(problem, CollectError::Unavailable(_));
        let state = if unavailable { "unavailable" } else { "failing" };
        let collector = reading.collector.name;
        Some(json!({"collector": collector, "state": state, "message": problem.to_string()}))
    };
    let problems: Vec<_> = readings.iter().filter_map(problem).collect();
    json!({"metrics": metrics, "problems": problems})
}

fn point_json(point: &Point) -> Value {
    let value = match point.value {
        Number::Int(value) => json!(value),
        Number::Double(value) => json!(value),
    };
    let mut json = json!({"value": value, "time": time(point.time_unix_nano)});
    if let Value::Object(map) = &mut json {
        let attributes =
            point.attributes.iter().map(|(key, value)| ((*key).to_owned(), json!(value)));
        let attributes: Map<_, _> = attributes.collect();
        if !attributes.is_empty() {
            map.insert("attributes".to_owned(), Value::Object(attributes));
        }
        if let Some(resource) = &point.resource {
            map.insert("resource".to_owned(), resource_json(resource));
        }
        if point.start_unix_nano > 0 {
            map.insert("start".to_owned(), json!(time(point.start_unix_nano)));
        }
        if let Some(rate) = point.rate {
            map.insert("perSecond".to_owned(), json!(rate));
        }
    }
    json
}

fn resource_json(attributes: &Attributes) -> Value {
    let value = |value: &Attribute| match value {
        Attribute::Str(text) => json!(text),
        Attribute::Int(number) => json!(number),
        Attribute::Double(number) => json!(number),
        Attribute::Bool(flag) => json!(flag),
        Attribute::Strings(list) => json!(list),
    };
    attributes.iter().map(|(key, it)| (key.to_owned(), value(it))).collect::<Map<_, _>>().into()
}

fn time(unix_nano: u64) -> Option<Timestamp> {
    Timestamp::from_nanosecond(i128::from(unix_nano)).ok()
}

fn span(text: &str) -> Result<Duration, String> {
    parse_span(text).ok_or_else(|| "no time; write for instance 500ms or 5s".to_owned())
}
