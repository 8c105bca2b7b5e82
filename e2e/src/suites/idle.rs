//! What the agent costs when nothing happens.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};
use crate::received::text;
use crate::release;

pub(crate) const SUITE: Suite = Suite {
    name: "idle",
    promises: &[Promise { name: "an_idle_agent_stays_below_what_its_pod_requests", check: idle }],
};

const WINDOW: Duration = Duration::from_secs(30);

fn idle(cluster: &Cluster) -> Result<()> {
    release::ensure(cluster)?;
    let pod = release::agent_pod(cluster)?;
    let pid = release::container_pid(cluster, &release::container_id(&pod)?)?;
    // The suites before this one may just have ended.
    std::thread::sleep(Duration::from_secs(5));
    let started = Instant::now();
    let before = cpu_seconds(cluster, pid)?;
    std::thread::sleep(WINDOW);
    let used = cpu_seconds(cluster, pid)? - before;
    let cores = used / started.elapsed().as_secs_f64();
    let memory = |field: &str| -> Result<f64> {
        let status = cluster.node_shell(&format!("cat /proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with(field)).context("VmRSS")?;
        let kib: f64 = line.split_whitespace().nth(1).context("VmRSS")?.parse()?;
        Ok(kib / 1024.0)
    };
    let (now, peak) = (memory("VmRSS:")?, memory("VmHWM:")?);
    println!(
        "          agent, idle: {now:.1} MiB RSS (peak {peak:.1} MiB), {:.3} % of a core over {} s",
        cores * 100.0,
        WINDOW.as_secs()
    );
    let requests = &pod["spec"]["containers"][0]["resources"]["requests"];
    let memory_request = quantity(&text(&requests["memory"]))? / 1024.0 / 1024.0;
    let cpu_request = quantity(&text(&requests["cpu"]))?;
    ensure!(
        now <= memory_request,
        "{now:.1} MiB are more than the {memory_request} MiB it requests"
    );
    ensure!(cores <= cpu_request, "{cores:.3} cores are more than the {cpu_request} it requests");
    Ok(())
}

/// Time on a CPU, all threads: the first field of /proc/PID/task/TID/schedstat, in nanoseconds (the
/// kernel's Documentation/scheduler/sched-stats.rst). The ticks of /proc/PID/stat are too coarse.
fn cpu_seconds(cluster: &Cluster, pid: u32) -> Result<f64> {
    let threads = cluster.node_shell(&format!("cat /proc/{pid}/task/*/schedstat"))?;
    let mut nanoseconds = 0;
    for line in threads.lines() {
        let first = line.split(' ').next().context("schedstat is empty")?;
        nanoseconds += first.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(nanoseconds).as_secs_f64())
}

/// A Kubernetes quantity with one of the suffixes that the chart uses.
fn quantity(text: &str) -> Result<f64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: f64 = digits.parse().with_context(|| format!("quantity {text:?}"))?;
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "m" => 1e-3,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        other => anyhow::bail!("quantity {text:?}: suffix {other}"),
    };
    Ok(number * factor)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quantity_is_read_with_its_suffix() {
        assert!((super::quantity("50m").unwrap() - 0.05).abs() < 1e-9);
        assert!((super::quantity("64Mi").unwrap() - 67_108_864.0).abs() < 1e-9);
        assert!(super::quantity("1x").is_err());
    }
}
