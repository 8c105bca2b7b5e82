//! `cargo e2e torture`: the agent is killed, its disk fills up, receiver and API server go away, pods
//! come and go, all at the same time, while pods write numbered lines that the kubelet rotates. In the
//! end every line that could be read must be at the receiver or in the agent's loss ledger.
//!
//! In: a running cluster, minutes and a seed. Out: a report, one line a promise, a tally. What always
//! holds: the truth is what an independent watcher read in the node's files ([`watcher`]), never what
//! the agent says of itself; and at the end everything that was taken away is there again.

mod arrived;
mod cri;
mod drain;
mod ledger;
mod line;
mod place;
mod ranges;
mod report;
mod torments;
mod verdict;
mod watcher;
mod writers;
mod written;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use self::place::Place;
use self::report::Outcome;
use self::torments::Stage;
use self::watcher::Watcher;
use crate::cluster::Cluster;
use crate::promise::Tally;
use crate::release;
use crate::workload::Namespace;
use crate::{diagnose, wait};

pub(crate) use self::torments::Torment;

/// What is to be done.
pub(crate) struct Plan {
    /// For how long.
    pub(crate) minutes: u64,
    /// Drawn when there is none.
    pub(crate) seed: Option<u64>,
    /// What is left out.
    pub(crate) without: Vec<Torment>,
    /// Whether everything is left as it is at the end.
    pub(crate) keep: bool,
}

/// Runs it and judges.
pub(crate) fn run(cluster: &Cluster, plan: &Plan) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    println!("test torture ...");
    let promises = match torture(cluster, plan) {
        Ok(outcome) => outcome.promises(plan),
        Err(error) => vec![("torture", Err(error))],
    };
    let seconds = started.elapsed().as_secs_f64();
    let failed = promises.iter().filter(|(name, result)| tally.count(name, result, seconds));
    if failed.count() > 0 {
        diagnose::print(cluster);
    }
    if !plan.keep
        && let Err(error) = tidy(cluster)
    {
        println!("torture: {error:#}");
    }
    tally
}

/// What was installed for it goes: the suites have other values.
fn tidy(cluster: &Cluster) -> Result<()> {
    if cluster.pod_logs().is_err() {
        return Ok(());
    }
    release::uninstall(cluster)?;
    Place::of(cluster)?.remove()
}

fn torture(cluster: &Cluster, plan: &Plan) -> Result<Outcome> {
    let logs = cluster.pod_logs()?;
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("          seed {seed}, {} minutes", plan.minutes);
    let torments: Vec<Torment> = Torment::value_variants()
        .iter()
        .copied()
        .filter(|torment| !plan.without.contains(torment))
        .collect();
    release::load_image(cluster)?;
    let place = Place::create(cluster)?;
    let mut namespace = Namespace::create(cluster, "torture")?;
    if plan.keep {
        namespace.keep();
    }
    wait::step("helm install", || install(cluster, &place, &namespace.name))?;

    let watcher = Watcher::start(logs, &namespace.name);
    let whole = Duration::from_secs(plan.minutes * 60);
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + whole.as_secs();
    namespace.apply(&writers::pods(cluster.node(), end))?;
    let stage = Stage {
        cluster,
        namespace: &namespace,
        place: &place,
        node: cluster.node(),
        end,
        until: Instant::now() + whole,
        whole,
    };
    let done = wait::step("torments", || torments::run(&stage, &torments, seed))?;
    std::thread::sleep(stage.until.saturating_duration_since(Instant::now()));
    wait::step("the writers' end", || wait_for_silence(&stage, &watcher))?;
    let written = watcher.stop()?;
    release::wait_ready(cluster)?;
    let (arrived, ledger, verdict) =
        wait::step("what is left arrives", || drain::drain(cluster, &namespace.name, &written))?;
    let outcome = Outcome { written, done, arrived, ledger, verdict };
    outcome.print();
    Ok(outcome)
}

fn install(cluster: &Cluster, place: &Place<'_>, namespace: &str) -> Result<()> {
    let key = release::random_key()?;
    release::prepare(cluster, &key, &key)?;
    cluster.apply(&place.volume().to_string())?;
    let here = json!({"kubernetes.io/hostname": cluster.node()});
    release::helm_upgrade(
        cluster,
        &json!({
            "logs": {"include": [{"namespaces": [namespace]}]},
            "spool": {"path": place.spool(), "files": {"maxBytes": "16MiB"}},
            "receiver": {
                "maxBytes": "16GiB",
                "persistence": {"enabled": true, "existingClaim": place::CLAIM},
                "resources": {"limits": {"memory": "1Gi"}},
                "nodeSelector": here,
            },
        }),
    )?;
    release::wait_ready(cluster)
}

/// Waits until nothing is written any more, and nobody is left who would still begin: the kubelet may
/// have learned of a pod only when the API server was back.
fn wait_for_silence(stage: &Stage<'_>, watcher: &Watcher) -> Result<()> {
    let patience = Duration::from_secs(180);
    let namespace = &stage.namespace.name;
    wait::until("every pod to have begun", patience, Duration::from_secs(1), || {
        let pods = stage.cluster.get(&["pods", "-n", namespace])?;
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let waiting = pods.any(|pod| {
            pod["status"]["phase"] == "Pending" || !pod["metadata"]["deletionTimestamp"].is_null()
        });
        Ok((!waiting).then_some(()))
    })?;
    let mut last = (watcher.bytes(), Instant::now());
    wait::until_true("the writers to stop", patience, || {
        let now = watcher.bytes();
        if now != last.0 {
            last = (now, Instant::now());
        }
        last.1.elapsed() > Duration::from_secs(8)
    })
}
