//! `cargo e2e clients`: what the agents of many nodes ask of the API server, and what it costs.
//!
//! In: a running cluster, numbers of agents. Out: two tables and a tally. Real agents' clients ([`agents`]) are started for nodes that are
//! only objects ([`nodes`]), all at once, and then left alone while pods change. Always: who asked what is the API
//! server's own word ([`audit`], which has the agents' account alone), bytes are the kernel's ([`sockets`]), and the
//! objects and processes are gone at the end.
//!
//! Numbers of requests and bytes are right on any machine; those of time are this machine's, which runs the agents too.

pub(crate) mod admin;
mod agents;
mod audit;
pub(crate) mod nodes;
pub(crate) mod place;
mod report;
pub(crate) mod server;
mod sockets;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use self::agents::Agents;
use self::audit::{Asked, Audit};
use self::nodes::Churn;
use self::place::Place;
use self::server::Page;
use self::sockets::Sockets;
use crate::cluster::Cluster;
use crate::promise::Tally;
use crate::wait;

pub(crate) use self::agents::{Part, run as run_part};
pub(crate) use self::nodes::Fleet;

/// What an agent asks for when it starts: pods and its node, each listed and watched, and the namespace kube-system.
const AT_START: usize = 5;
/// Over how long agents that start together spread (`START_JITTER` in the agent's `cluster.rs`).
const START_SPAN: Duration = Duration::from_secs(5);
/// Watches of an agent.
const WATCHES: usize = 2;
/// How long it is looked at what goes on without agents.
const QUIET: Duration = Duration::from_secs(60);

/// What is to be measured.
pub(crate) struct Plan {
    /// Numbers of agents, one after the other.
    pub(crate) counts: Vec<usize>,
    /// How long each number of them is watched.
    pub(crate) window: Duration,
    /// Pods on each node, and how often they change.
    pub(crate) fleet: Fleet,
}

/// What one number of agents did.
pub(crate) struct Measured {
    /// How many agents.
    pub(crate) agents: usize,
    /// What they asked from their start until all knew everything and watched.
    pub(crate) start: Vec<Asked>,
    /// The seconds that each took until it knew everything.
    pub(crate) took: Vec<f64>,
    /// What the API server says of that time.
    pub(crate) starting: Server,
    /// Bytes from the API server in that time.
    pub(crate) start_received: u64,
    /// What they asked in the window.
    pub(crate) steady: Vec<Asked>,
    /// Its length in seconds.
    pub(crate) seconds: f64,
    /// Changes of pods in it, on all nodes.
    pub(crate) changes: u64,
    /// The connections in it.
    pub(crate) sockets: Sockets,
    /// What the API server says of it.
    pub(crate) server: Server,
}

impl Measured {
    /// A number for each agent.
    pub(crate) fn each(&self, all: f64) -> f64 {
        all / self.agents.max(1) as f64
    }

    /// The most requests in a second of the start.
    pub(crate) fn highest(&self) -> usize {
        audit::by_second(&self.start).into_iter().max().unwrap_or_default()
    }

    /// Requests that were turned away at the start.
    pub(crate) fn refused(&self) -> usize {
        self.start.iter().filter(|asked| asked.code >= 400).count()
    }
}

/// What the API server says of itself, whoever asked.
pub(crate) struct Server {
    /// Events of pods and nodes that it sent to watchers, and their bytes before HTTP and TLS.
    pub(crate) events: f64,
    pub(crate) event_bytes: f64,
    /// Bytes of its answers to lists and gets of pods, nodes and namespaces.
    pub(crate) answer_bytes: f64,
    /// Requests that fair queueing turned away, and seconds that others waited in it.
    pub(crate) rejected: f64,
    pub(crate) queued: f64,
    /// Seconds of CPU.
    pub(crate) cpu: f64,
    /// At the end: watches of pods and nodes, and resident memory in bytes.
    pub(crate) watches: f64,
    pub(crate) memory: f64,
}

impl Server {
    fn between(before: &Page, after: &Page) -> Self {
        let of =
            |metric: &str, label: &str| after.sum(metric, &[label]) - before.sum(metric, &[label]);
        let both =
            |metric: &str| of(metric, "resource=\"pods\",v") + of(metric, "resource=\"nodes\",v");
        let answers = ["pods", "nodes", "namespaces"].map(|resource| {
            of("apiserver_response_sizes_sum", &format!("resource=\"{resource}\""))
        });
        let watches = ["pods", "nodes"].map(|resource| {
            let resource = format!("resource=\"{resource}\"");
            after.sum("apiserver_longrunning_requests", &[&resource, "verb=\"WATCH\""])
        });
        Self {
            events: both("apiserver_watch_events_total"),
            event_bytes: both("apiserver_watch_events_sizes_sum"),
            answer_bytes: answers.iter().sum(),
            rejected: of("apiserver_flowcontrol_rejected_requests_total", ""),
            queued: of(
                "apiserver_flowcontrol_request_wait_duration_seconds_sum",
                "flow_schema=\"service-accounts\"",
            ),
            cpu: of("process_cpu_seconds_total", ""),
            watches: watches.iter().sum(),
            memory: after.sum("process_resident_memory_bytes", &[]),
        }
    }
}

/// Measures, prints and judges.
pub(crate) fn run(cluster: &Cluster, plan: &Plan) -> Tally {
    let started = Instant::now();
    let mut tally = Tally::default();
    println!("test clients ...");
    let promises = match measure(cluster, plan) {
        Ok(measured) => {
            report::print(&measured, plan.fleet);
            judge(&measured)
        }
        Err(error) => vec![("clients", Err(error))],
    };
    let seconds = started.elapsed().as_secs_f64();
    for (name, result) in &promises {
        tally.count(name, result, seconds);
    }
    tally
}

/// Measures each number of agents; before them, none.
pub(crate) fn measure(cluster: &Cluster, plan: &Plan) -> Result<Vec<Measured>> {
    ensure!(plan.counts.iter().all(|count| *count > 0), "a number of agents is zero");
    let Some(nodes) = plan.counts.iter().copied().max() else { bail!("no numbers of agents") };
    let fleet = Fleet { nodes, ..plan.fleet };
    let place = wait::step("an account with the chart's rights", || Place::create(cluster))?;
    wait::step(&format!("{nodes} nodes with {} pods each", fleet.pods), || {
        nodes::create(&place, fleet)
    })?;
    let churn = Churn::start(&place, fleet);
    let mut all = Vec::new();
    for agents in std::iter::once(0).chain(plan.counts.iter().copied()) {
        let window = if agents == 0 { plan.window.min(QUIET) } else { plan.window };
        let few = Few { agents, pods: fleet.pods, window };
        let name = format!("{agents} agents for {} s", window.as_secs());
        all.push(wait::step(&name, || measure_some(cluster, &place, &churn, few))?);
    }
    churn.stop()?;
    Ok(all)
}

/// One number of agents.
#[derive(Clone, Copy)]
struct Few {
    agents: usize,
    pods: usize,
    window: Duration,
}

fn measure_some(
    cluster: &Cluster,
    place: &Place<'_>,
    churn: &Churn,
    Few { agents: count, pods, window }: Few,
) -> Result<Measured> {
    let log = cluster.work().log("audit")?;
    let audit = Audit::from_now(log.clone())?;
    let before = Page::ask(cluster)?;
    let longest = window + Duration::from_secs(600);
    let agents = Agents::start(cluster.work(), &place.kubeconfig, count, pods, longest)?;
    let mut sockets = Sockets::of(agents.pids());
    let took = agents.wait()?;
    wait::until("the watches", Duration::from_secs(120), Duration::from_millis(500), || {
        let asked = audit.asked()?;
        let begun = |asked: &&Asked| asked.what.starts_with("watch") && asked.code == 200;
        let watches = asked.iter().filter(begun).count();
        ensure!(watches >= count * WATCHES, "{watches} of {}", count * WATCHES);
        Ok(Some(()))
    })?;
    let (start, steady) = (audit.asked()?, Audit::from_now(log)?);
    sockets.look()?;
    let start_received = sockets.received;
    sockets.begin();
    let between = Page::ask(cluster)?;
    let (began, changes) = (Instant::now(), churn.made());
    while began.elapsed() < window {
        std::thread::sleep(window.saturating_sub(began.elapsed()).min(Duration::from_secs(5)));
        sockets.look()?;
    }
    let steady = steady.asked()?;
    let seconds = began.elapsed().as_secs_f64();
    let after = Page::ask(cluster)?;
    Ok(Measured {
        agents: count,
        start,
        took,
        starting: Server::between(&before, &between),
        start_received,
        steady,
        seconds,
        changes: churn.made() - changes,
        sockets,
        server: Server::between(&between, &after),
    })
}

/// The promises.
pub(crate) fn judge(all: &[Measured]) -> Vec<(&'static str, Result<()>)> {
    let some: Vec<&Measured> = all.iter().filter(|measured| measured.agents > 0).collect();
    vec![
        ("an_agent_that_starts_asks_for_the_same_however_many_there_are", same_at_start(&some)),
        ("an_agent_that_runs_asks_for_the_same_however_many_there_are", same_later(&some)),
        ("an_agent_is_sent_what_its_own_node_makes_and_nothing_of_the_others", same_bytes(&some)),
        ("all_that_start_at_once_ask_no_faster_than_the_stated_rate", rate(&some)),
    ]
}

/// What was turned away is asked once more, and counts beside that.
fn same_at_start(some: &[&Measured]) -> Result<()> {
    for measured in some {
        let (asked, wanted) = (measured.start.len(), AT_START * measured.agents);
        ensure!(
            asked == wanted + measured.refused(),
            "{} agents asked {asked} times, {} were refused, instead of {wanted}: {:?}",
            measured.agents,
            measured.refused(),
            audit::by_kind(&measured.start)
        );
    }
    Ok(())
}

/// A watch is taken up again when its time is over, and for no other reason. It began before the window did, with the start.
fn same_later(some: &[&Measured]) -> Result<()> {
    const START: f64 = 30.0;
    for measured in some {
        let ends = ((measured.seconds + START) / f64::from(report::WATCH_SECONDS)).floor();
        let (asked, most) = (measured.steady.len(), WATCHES * measured.agents * ends as usize);
        ensure!(
            asked <= most,
            "{} agents asked {asked} times in {:.0} s instead of {most}: {:?}",
            measured.agents,
            measured.seconds,
            audit::by_kind(&measured.steady)
        );
    }
    Ok(())
}

/// What falls into a window differs by some events for a single agent; an agent that sees others' pods sees many times more.
fn same_bytes(some: &[&Measured]) -> Result<()> {
    let rate =
        |measured: &Measured| measured.each(measured.sockets.received as f64) / measured.seconds;
    let (Some(first), Some(last)) = (some.first(), some.last()) else { return Ok(()) };
    ensure!(rate(first) > 0.0, "nothing changed on the node of the first agent");
    ensure!(
        rate(last) < rate(first) * 1.5,
        "{:.0} bytes a second for each of {} agents, {:.0} for each of {}",
        rate(last),
        last.agents,
        rate(first),
        first.agents
    );
    Ok(())
}

/// Each agent asks all that it asks at the start at some moment of the span: as many requests a second as that makes, and as
/// many more as chance may pile up (four standard deviations of the number of agents in a second).
fn rate(some: &[&Measured]) -> Result<()> {
    for measured in some {
        let in_a_second = measured.agents as f64 / START_SPAN.as_secs_f64();
        let most = AT_START as f64 * (in_a_second + 4.0 * in_a_second.sqrt() + 1.0);
        let highest = measured.highest();
        ensure!(
            highest as f64 <= most,
            "{} agents asked {highest} times in a second; {most:.0} are stated",
            measured.agents
        );
    }
    Ok(())
}
