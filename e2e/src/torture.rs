//! `cargo e2e torture`: the agent is killed, its disk fills up, receiver and API server go away, pods
//! come and go, all at the same time, while pods write numbered lines that the kubelet rotates. In the
//! end every line that could be read must be at the receiver or in the agent's loss ledger.
//!
//! In: a running cluster, minutes and a seed. Out: a report, one line a promise, a tally. What always
//! holds: the truth is what an independent watcher read in the node's files ([`watcher`]), never what
//! the agent says of itself; and at the end everything that was taken away is there again.
//!
//! With `--node power` it all happens on the second node, whose power is cut instead; what can be known
//! there is less ([`survivors`]).

mod arrived;
mod cri;
mod drain;
mod ledger;
mod line;
mod place;
mod ranges;
mod report;
mod survivors;
mod torments;
mod verdict;
mod watcher;
mod writers;
mod written;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde_json::json;

use self::place::Place;
use self::report::Outcome;
use self::torments::Stage;
use self::verdict::Truth;
use self::watcher::Watcher;
use crate::cluster::Cluster;
use crate::promise::Tally;
use crate::release;
use crate::workload::Namespace;
use crate::{diagnose, wait};

pub(crate) use self::line::Voice;
pub(crate) use self::torments::Torment;

/// Where it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Node {
    /// The first node: fast, and the agent is killed
    Fast,
    /// The second node: slow, and its power is cut
    Power,
}

/// What can happen on that node.
const ON_FAST: &[Torment] =
    &[Torment::Kills, Torment::Receiver, Torment::Disk, Torment::Api, Torment::Pods];
const ON_POWER: &[Torment] = &[Torment::Power, Torment::Receiver, Torment::Api, Torment::Pods];

/// In which order a destination that was away gets what waits: the agent's `catchUp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// What is new first: lines may arrive behind later ones.
    NewestFirst,
    /// Lines of a container arrive in order.
    InOrder,
}

impl Order {
    /// Both are tortured: odd seeds keep the order.
    fn of(seed: u64) -> Self {
        if seed % 2 == 1 { Self::InOrder } else { Self::NewestFirst }
    }

    /// As the configuration says it.
    fn name(self) -> &'static str {
        match self {
            Self::NewestFirst => "newestFirst",
            Self::InOrder => "inOrder",
        }
    }
}

/// What is to be done.
pub(crate) struct Plan {
    /// For how long.
    pub(crate) minutes: u64,
    /// Drawn when there is none.
    pub(crate) seed: Option<u64>,
    /// Where.
    pub(crate) node: Node,
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
    let is_slow = plan.node == Node::Power;
    let node = if is_slow { cluster.second_node()? } else { cluster.node() };
    let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("          seed {seed}, {} minutes on {node}", plan.minutes);
    let possible = if is_slow { ON_POWER } else { ON_FAST }.iter().copied();
    let torments: Vec<Torment> =
        possible.filter(|torment| !plan.without.contains(torment)).collect();
    // What cannot be watched is not begun.
    let logs = cluster.pod_logs()?;
    release::load_image(cluster)?;
    let place = Place::create(cluster)?;
    let mut namespace = Namespace::create(cluster, "torture")?;
    if plan.keep {
        namespace.keep();
    }
    let order = Order::of(seed);
    println!("          catchUp: {}", order.name());
    wait::step("helm install", || install(cluster, plan.node, order, &place, &namespace.name))?;

    let watcher = (!is_slow).then(|| Watcher::start(logs, &namespace.name));
    let whole = Duration::from_secs(plan.minutes * 60);
    let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + whole.as_secs();
    namespace.apply(&writers::pods(node, end, is_slow))?;
    let stage = Stage {
        cluster,
        namespace: &namespace,
        place: &place,
        node,
        is_slow,
        end,
        until: Instant::now() + whole,
        whole,
    };
    let done = wait::step("torments", || torments::run(&stage, &torments, seed))?;
    std::thread::sleep(stage.until.saturating_duration_since(Instant::now()));
    let (written, truth) = match watcher {
        Some(watcher) => {
            wait_for_silence(&stage, || Ok(watcher.bytes()))?;
            (watcher.stop()?, Truth::All)
        }
        None => {
            let found = || survivors::read(&cluster.surviving_logs()?, &namespace.name);
            wait_for_silence(&stage, || Ok(found()?.count()))?;
            (found()?, Truth::Survivors)
        }
    };
    release::wait_ready(cluster)?;
    let (arrived, ledger, verdict) = wait::step("what is left arrives", || {
        drain::drain(cluster, &namespace.name, node, &written, truth)
    })?;
    let outcome = Outcome { written, truth, order, done, arrived, ledger, verdict };
    outcome.print();
    Ok(outcome)
}

/// Whether what the second node's disk still had of a namespace's lines, at each boot and now that
/// nothing is written any more, is at the receiver or in the ledger.
pub(crate) fn check_survivors(cluster: &Cluster, namespace: &str) -> Result<()> {
    let written = survivors::read(&cluster.surviving_logs()?, namespace)?;
    let node = cluster.second_node()?;
    let (arrived, _, verdict) = drain::drain(cluster, namespace, node, &written, Truth::Survivors)?;
    println!(
        "          {} lines survived, {} arrived, {} of these are in no file any more",
        written.count(),
        arrived.distinct,
        verdict.vanished
    );
    ensure!(verdict.unaccounted.is_empty(), "{}", verdict.unaccounted.words());
    ensure!(verdict.invented.is_empty(), "{}", verdict.invented.words());
    // Nothing is said of the order: a node that was off has a backlog, and what is new goes before it.
    Ok(())
}

fn install(
    cluster: &Cluster,
    node: Node,
    order: Order,
    place: &Place<'_>,
    namespace: &str,
) -> Result<()> {
    let key = release::random_key()?;
    release::prepare(cluster, &key, &key)?;
    cluster.apply(&place.volume().to_string())?;
    // Where the power is cut, the spool is on the disk that this is about.
    let (spool, agents) = match node {
        Node::Fast => (place.spool(), cluster.node()),
        Node::Power => ("/var/lib/hawsepipe".to_owned(), cluster.second_node()?),
    };
    if node == Node::Power {
        cluster.second_shell(&format!("rm -rf {spool}"))?;
    }
    release::helm_upgrade(
        cluster,
        &json!({
            "logs": {"include": [{"namespaces": [namespace]}]},
            "nodeSelector": {"kubernetes.io/hostname": agents},
            "spool": {"path": spool, "files": {"maxBytes": "16MiB"}},
            "destinations": {"receiver": {"catchUp": order.name()}},
            "receiver": {
                "maxBytes": "16GiB",
                "persistence": {"enabled": true, "existingClaim": place::CLAIM},
                "resources": {"limits": {"memory": "1Gi"}},
                "nodeSelector": {"kubernetes.io/hostname": cluster.node()},
            },
        }),
    )?;
    release::wait_ready(cluster)
}

/// Waits until nothing is written any more, and nobody is left who would still begin: the kubelet may
/// have learned of a pod only when the API server was back.
fn wait_for_silence(stage: &Stage<'_>, progress: impl Fn() -> Result<u64>) -> Result<()> {
    const SILENT: Duration = Duration::from_secs(8);
    let patience = Duration::from_secs(180);
    let second = Duration::from_secs(1);
    let namespace = &stage.namespace.name;
    wait::until("every pod to have begun", patience, second, || {
        let pods = stage.cluster.get(&["pods", "-n", namespace])?;
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let waiting = pods.any(|pod| {
            pod["status"]["phase"] == "Pending" || !pod["metadata"]["deletionTimestamp"].is_null()
        });
        Ok((!waiting).then_some(()))
    })?;
    let mut last = (progress()?, Instant::now());
    wait::step("the writers' end", || {
        wait::until("the writers to stop", patience, second, || {
            let now = progress()?;
            if now != last.0 {
                last = (now, Instant::now());
            }
            Ok((last.1.elapsed() > SILENT).then_some(()))
        })
    })
}
