//! The reference page `agent/docs/METRICS.md`, made of the declarations.

use crate::collector::{Collector, Need, list};
use crate::metric::Metric;

const HEAD: &str = "\
# Metrics

What the agent says of its host and of the cluster, by collector. This page is made of the collectors' declarations
(`agent/crates/collect/src/collectors/`), a test keeps it equal to them, and
`HAWSEPIPE_WRITE_DOCS=1 cargo test -p hawsepipe-collect page` writes it anew.

Names, units, types and attributes are those of the OpenTelemetry Collector's hostmetrics receiver, and for
containers, pods, volumes and the node as the kubelet sees it of its kubeletstats receiver, so that what is built on
them goes on working; where a collector says that names are ours, no receiver of the Collector tells it. A
*counter* is a cumulative monotonic sum, an *updowncounter* a cumulative sum that is not monotonic. Counters carry
the time from which they count (the host's boot, the start of the pod or container); one that went back counts from its last point on.

\"On\" says what is sent unless `metrics.collectors` says otherwise ([CONFIG.md](CONFIG.md)): a collector is switched
by `metrics.collectors.<collector>.enabled`, a metric by `metrics.collectors.<collector>.metrics.<metric>`. A metric
is sent when both are on. `hawsepipe metrics` shows what they say of this machine.
[NODE_EXPORTER.md](NODE_EXPORTER.md) has node_exporter's names beside these, [KUBE-STATE-METRICS.md](KUBE-STATE-METRICS.md) those of
kube-state-metrics.

Everything stands under the scope `hawsepipe`, on a resource with what is known of the node (`host.*`, `os.*`,
`k8s.node.*`, `cloud.*`, `k8s.cluster.*`) and `resource.attributes`; `entity_refs` name the host and the node,
and the pod and the container where it is about one.

## The cluster

Collectors whose names begin with `cluster_` tell of all objects of the cluster, by what the API server says of them. They run in the one
process that leads, and follow exactly the kinds that they need. Their resources have `k8s.cluster.uid`, the object's own attributes and
`resource.attributes`, and nothing of whoever tells it. Names, units and attributes are those of the Collector's k8s_cluster receiver; what
begins with `hawsepipe.k8s.` that receiver does not have.

- Of a kind that is not known whole (not listed yet, no right to it) nothing is told; `/status` says why, and other kinds are told.
- Of a few states (a phase, a container's state) each is told, 1 for the one that holds. Of what there may be anything (a reason, a taint)
  the one that holds is told with 1, and once more with 0 when it ceases to. An object that is deleted has no points any more.
- Conditions are 1 (true), 0 (false), -1 (unknown). Moments are seconds since the epoch.

## Where numbers differ from the Collector's

[COLLECTOR.md](COLLECTOR.md) has all of it: what is the same, what is not and why.

- `system.cpu.time` and `system.cpu.utilization` tell of each CPU; the Collector sums up over `cpu` unless it is asked
  for.
- `system.paging.faults` counts faults and `system.paging.operations` pages; the Collector multiplies both by 4096,
  and of `minor` operations it multiplies KiB, which is 16384 times the pages.
- `system.network.connections` has the kernel's names of states; the Collector adds `FIN_WAIT_1`, `FIN_WAIT_2` and
  `DELETE`, always 0.
- `system.disk.*` leaves out devices that have done nothing since boot.
- `nfs.client.operation.count` has the names of the kernel's own order; the Collector swaps `LAYOUTGET` with
  `GETDEVICEINFO`, and `LOOKUPP`, `LAYOUTERROR` and `COPY_NOTIFY`.
- `system.cpu.time` of `idle` and `wait` never goes back by a little, as the kernel's does.

## What is not read in each tick

- Limits of memory are read once a minute, and so is throttling where no limit of CPU time is set (cgroup v1).
- Kills of a container are read when the host has counted one.
- `pressure.total` of a pod or container is read when the group that it is in has waited, and once a minute: it may be
  late by that where it waited for less than shows there ([ADR 018](adr/018-pressure-where-it-can-have-grown.md)).

## The agent itself

With `metrics.agent`, what `/metrics` shows of the agent is sent as `hawsepipe.*`: `hawsepipe_logs_read_bytes_total`
there is `hawsepipe.logs.read` here, in `By`; labels are attributes. `process.cpu.time`, `process.memory.usage`,
`process.memory.virtual`, `process.threads` and `process.open_file_descriptors` tell of the agent's process. The
resource has `service.name` `hawsepipe`, its version and, with the chart, its pod. What was lost of logs is
`hawsepipe.loss.records`, `hawsepipe.loss.bytes` and `hawsepipe.loss.unknown_extent`, whatever `metrics` says.
";

/// The page.
#[must_use]
pub fn page() -> String {
    let mut out = HEAD.to_owned();
    list().iter().for_each(|collector| section(&mut out, collector));
    out
}

fn section(out: &mut String, collector: &Collector) {
    let Collector { name, about, reads, needs, default, metrics, selects, top, .. } = collector;
    let on = if *default { "on" } else { "off" };
    out.push_str(&format!("\n## {name}\n\n{about}. The collector is {on} by default.\n\n"));
    let reads: Vec<_> = reads.iter().map(|path| format!("`{path}`")).collect();
    out.push_str(&format!("- Reads {}.\n", reads.join(", ")));
    let of_host = needs.iter().filter(|need| !matches!(need, Need::Objects(_)));
    let needs: Vec<_> = of_host.map(|need| format!("`{need}` (`{}`)", need.key())).collect();
    let kinds: Vec<_> = collector.kinds().map(|kind| format!("`{}`", kind.resource())).collect();
    if !kinds.is_empty() {
        out.push_str(&format!("- Needs the rights to list and watch {}.\n", kinds.join(", ")));
    }
    if !needs.is_empty() {
        out.push_str(&format!("- Needs the host's {}.\n", needs.join(" and ")));
    }
    if let Some(what) = selects {
        out.push_str(&format!("- `include` and `exclude` select {what}.\n"));
    }
    if let Some(top) = top {
        out.push_str(&format!("- `top` bounds how many are told of: {top} by default.\n"));
    }
    out.push_str(
        "\n| metric | instrument | value | unit | attributes | on | what it says |\n|---|---|---|---|---|---|---|\n",
    );
    metrics.iter().for_each(|metric| out.push_str(&row(metric)));
}

fn row(metric: &Metric) -> String {
    let attributes: Vec<_> = metric.attributes.iter().map(|key| format!("`{key}`")).collect();
    format!(
        "| `{}` | {} | {} | `{}` | {} | {} | {} |\n",
        metric.name,
        metric.instrument.name(),
        metric.value.name(),
        metric.unit,
        if attributes.is_empty() { "-".to_owned() } else { attributes.join(", ") },
        if metric.default { "yes" } else { "no" },
        metric.description(),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_docs_is_the_one_that_the_declarations_make() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
        if std::env::var_os("HAWSEPIPE_WRITE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == page(),
            "agent/docs/METRICS.md differs; run HAWSEPIPE_WRITE_DOCS=1 cargo test -p hawsepipe-collect page"
        );
    }

    #[test]
    fn every_metric_beside_one_of_kube_state_metrics_is_declared() {
        let declared: BTreeSet<_> =
            list().iter().flat_map(|it| it.metrics).map(|metric| metric.name).collect();
        let table = include_str!("../../../docs/KUBE-STATE-METRICS.md");
        let rows: Vec<_> = table.lines().filter(|line| line.starts_with("| `kube_")).collect();
        let kinds: BTreeSet<_> = rows.iter().map(|row| row.split('`').nth(1)).collect();
        assert_eq!(kinds.len(), rows.len(), "a family twice");
        assert!(table.contains(&format!("families of metrics, of {} |", rows.len())));
        // Names at the beginning of a cell are metrics, others are attributes.
        let cells = rows.iter().filter_map(|row| row.split(" | ").nth(1)?.strip_prefix('`'));
        let told: Vec<_> = cells.flat_map(|cell| cell.split(&[';', ' '][..])).collect();
        let names = told.iter().map(|word| word.trim_matches(&['`', ','][..]));
        let names: Vec<_> = names.filter(|word| word.contains("k8s.")).collect();
        assert!(names.len() > 80, "the page has another form now");
        for name in names {
            assert!(declared.contains(name), "{name}");
        }
    }

    #[test]
    fn every_metric_beside_one_of_node_exporter_is_declared() {
        let declared: BTreeSet<_> =
            list().iter().flat_map(|it| it.metrics).map(|metric| metric.name).collect();
        let table = include_str!("../../../docs/NODE_EXPORTER.md");
        let rows = table.lines().filter(|line| line.starts_with("| "));
        let words = rows.flat_map(|row| row.split('`'));
        let is_name =
            |word: &&str| ["system.", "hw.", "nfs."].iter().any(|it| word.starts_with(it));
        let named: BTreeSet<_> = words.filter(is_name).filter(|word| !word.contains('*')).collect();
        assert!(named.len() > 80, "the page has another form now");
        let attributes: BTreeSet<_> =
            list().iter().flat_map(|it| it.metrics).flat_map(|metric| metric.attributes).collect();
        for name in named {
            assert!(declared.contains(name) || attributes.contains(&name), "{name}");
        }
    }
}
