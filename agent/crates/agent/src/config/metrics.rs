//! What the section `metrics` means: which collectors run, how often, and what of.

use std::path::PathBuf;
use std::time::Duration;

use hawsepipe_cluster::kubelet::KubeletSettings;
use hawsepipe_collect::{Choice, Collector, Globs, Need, Options, Scope, find, list};
use hawsepipe_host::HostRoot;

use super::raw::{RawCollector, RawKubelet, RawMetrics};
use super::text::{Span, Text};
use super::unknown::nearest;
use super::{Wrong, wrong};

/// Metrics of the node, and of the cluster's objects.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) interval: Duration,
    /// Whether the agent's own are sent too.
    pub(crate) agent: bool,
    pub(crate) host: HostRoot,
    /// The node's kubelet; `None` where nothing says that there is one.
    pub(crate) kubelet: Option<KubeletSettings>,
    /// The collectors that run on a node.
    pub(crate) of_node: Vec<Choice>,
    /// Those of the cluster's objects, which run where this process leads.
    pub(crate) of_cluster: Vec<Choice>,
}

/// `node_name` is the node's in the cluster, `None` where there is none.
pub(super) fn resolve(raw: &RawMetrics, node_name: Option<&str>) -> Result<Option<Metrics>, Wrong> {
    let kubelet = kubelet(&raw.kubelet, node_name)?;
    let interval = interval("metrics.interval", raw.interval)?;
    if let Some(name) = raw.collectors.keys().find(|name| find(name).is_none()) {
        return Err(unknown_collector(name));
    }
    let (mut of_node, mut of_cluster) = (Vec::new(), Vec::new());
    let none = RawCollector::default();
    for collector in list() {
        let raw = raw.collectors.get(collector.name).unwrap_or(&none);
        let choice = choice(collector, raw, interval)?;
        let lacking = lacking(collector, kubelet.is_some(), node_name.is_some());
        if raw.enabled == Some(true)
            && let Some((reason, remedy)) = lacking
        {
            let key = format!("metrics.collectors.{}.enabled", collector.name);
            return Err(wrong(key, reason, remedy));
        }
        if raw.enabled.unwrap_or(collector.default && lacking.is_none()) {
            match collector.scope() {
                Scope::Node => of_node.push(choice),
                Scope::Cluster => of_cluster.push(choice),
            }
        }
    }
    // One whose metrics are all unwanted has nothing to do.
    of_cluster.retain(|choice| choice.wanted.contains(&true));
    let path = |text: &Text| PathBuf::from(&text.0);
    let root = Some(path(&raw.root_path)).filter(|path| !path.as_os_str().is_empty());
    let host = HostRoot::new(path(&raw.proc_path), path(&raw.sys_path), root);
    Ok(raw.enabled.then_some(Metrics {
        interval,
        agent: raw.agent,
        host,
        kubelet,
        of_node,
        of_cluster,
    }))
}

/// Why a collector cannot run here, and what to do about it.
fn lacking(
    collector: &Collector,
    has_kubelet: bool,
    has_cluster: bool,
) -> Option<(&'static str, &'static str)> {
    if collector.needs.contains(&Need::Kubelet) && !has_kubelet {
        let reason = "there is no kubelet to ask: kubernetes.source is none";
        return Some((reason, "set metrics.kubelet.endpoint, or leave it out"));
    }
    if collector.scope() == Scope::Cluster && !has_cluster {
        let reason = "it tells of the objects of a cluster, and kubernetes.source is none";
        return Some((reason, "set kubernetes.source: apiserver, or leave it out"));
    }
    None
}

fn kubelet(raw: &RawKubelet, node_name: Option<&str>) -> Result<Option<KubeletSettings>, Wrong> {
    let RawKubelet { endpoint, ca_file, insecure_skip_verify } = raw;
    let said = |text: &Text| Some(text.0.clone()).filter(|text| !text.is_empty());
    let endpoint = said(endpoint);
    if let Some(endpoint) = &endpoint {
        KubeletSettings::check_endpoint(endpoint).map_err(|error| {
            wrong("metrics.kubelet.endpoint", error.to_string(), "write https://HOST:PORT")
        })?;
    }
    let is_there = endpoint.is_some() || node_name.is_some();
    Ok(is_there.then(|| KubeletSettings {
        endpoint,
        ca_file: said(ca_file).map(PathBuf::from),
        insecure_skip_verify: *insecure_skip_verify,
        node_ip: std::env::var("NODE_IP").ok(),
        ..KubeletSettings::of_node(node_name.unwrap_or_default())
    }))
}

fn choice(
    collector: &'static Collector,
    raw: &RawCollector,
    every: Duration,
) -> Result<Choice, Wrong> {
    let at = |key: &str| format!("metrics.collectors.{}.{key}", collector.name);
    let mut choice = Choice::of(collector, every);
    if let Some(raw) = raw.interval {
        choice.interval = interval(&at("interval"), raw)?;
    }
    for (name, wanted) in &raw.metrics {
        let metrics = collector.metrics.iter();
        let Some(place) = metrics.clone().position(|metric| metric.name == name) else {
            let remedy = match nearest(name, metrics.map(|metric| metric.name)) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "METRICS.md names those that it has".to_owned(),
            };
            let reason = format!("the collector {} has no such metric", collector.name);
            return Err(wrong(at(&format!("metrics.{name}")), reason, remedy));
        };
        choice.wanted[place] = *wanted;
    }
    choice.options = options(collector, raw)?;
    Ok(choice)
}

fn options(collector: &'static Collector, raw: &RawCollector) -> Result<Options, Wrong> {
    let at = |key: &str| format!("metrics.collectors.{}.{key}", collector.name);
    let mut options = Options::of(collector);
    for (key, globs) in [("include", &raw.include), ("exclude", &raw.exclude)] {
        if !globs.is_empty() && collector.selects.is_none() {
            let reason = format!("the collector {} has nothing to select", collector.name);
            return Err(wrong(at(key), reason, "leave it out"));
        }
    }
    let texts = |list: &[Text]| list.iter().map(|text| text.0.clone()).collect::<Vec<_>>();
    let (include, exclude) = (texts(&raw.include), texts(&raw.exclude));
    options.select = Globs::new(&include, &exclude).map_err(|error| {
        let key = if Globs::new(&include, &[]).is_err() { "include" } else { "exclude" };
        wrong(at(key), error.to_string(), "write globs, for instance \"veth*\"")
    })?;
    match (raw.top, collector.top) {
        (None, _) => {}
        (Some(top), Some(_)) if top > 0 => options.top = top,
        (Some(_), Some(_)) => {
            return Err(wrong(
                at("top"),
                "nothing would be told",
                "write at least 1, or enabled: false",
            ));
        }
        (Some(_), None) => {
            let reason = format!("the collector {} has no such bound", collector.name);
            return Err(wrong(at("top"), reason, "leave it out"));
        }
    }
    Ok(options)
}

fn interval(key: &str, raw: Span) -> Result<Duration, Wrong> {
    if raw.0.is_zero() {
        return Err(wrong(key, "it would read without end", "write for instance 15s"));
    }
    Ok(raw.0)
}

fn unknown_collector(name: &str) -> Wrong {
    let names = || list().iter().map(|collector| collector.name);
    let remedy = match nearest(name, names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
    };
    wrong(format!("metrics.collectors.{name}"), "there is no such collector", remedy)
}
