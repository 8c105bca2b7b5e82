//! The tables.
//!
//! In: what was measured, the window without agents first. Out: standard output, as Markdown that a document can take.

use super::audit::{self, Asked};
use super::nodes::Fleet;
use super::{Measured, Server};

/// How long the API server is asked to let a watch run (`WATCH_SECONDS` in the agent's `watch.rs`).
pub(crate) const WATCH_SECONDS: u32 = 290;
/// So many seconds of a roll-out are shown.
const SHOWN: usize = 30;

/// Prints both tables and the roll-outs second by second.
pub(crate) fn print(all: &[Measured], fleet: Fleet) {
    println!(
        "\n{} pods on each node, {} changes of them a minute on each",
        fleet.pods, fleet.changes
    );
    steady(all);
    start(all);
    for measured in all.iter().filter(|measured| measured.agents > 0) {
        let mut seconds = audit::by_second(&measured.start);
        seconds.truncate(SHOWN);
        println!("\n{} agents, requests in each second: {seconds:?}", measured.agents);
        println!("  {}", kinds(&measured.start));
        println!("  then: {}", kinds(&measured.steady));
    }
}

fn steady(all: &[Measured]) {
    println!(
        "\n| agents | window s | changes | requests/s | each, per 290 s | bytes/s to agents | each | bytes/s from agents | each | watches of pods and nodes | connections | closed | API server: events/s | bytes/s | CPU s/s | memory MiB |"
    );
    println!("|{}", "---|".repeat(16));
    for measured in all {
        let Measured { agents, seconds, changes, sockets, server, .. } = measured;
        let requests = measured.steady.len() as f64 / seconds;
        let (received, sent) = (sockets.received as f64 / seconds, sockets.sent as f64 / seconds);
        let Server { events, event_bytes, cpu, watches, memory, .. } = server;
        println!(
            "| {agents} | {seconds:.0} | {changes} | {requests:.3} | {:.2} | {received:.0} | {:.1} | {sent:.0} | {:.1} | {watches} | {} | {} | {:.1} | {:.0} | {:.3} | {:.0} |",
            measured.each(requests) * f64::from(WATCH_SECONDS),
            measured.each(received),
            measured.each(sent),
            sockets.open,
            sockets.opened - sockets.open,
            events / seconds,
            event_bytes / seconds,
            cpu / seconds,
            memory / f64::from(1 << 20),
        );
    }
}

fn start(all: &[Measured]) {
    println!(
        "\n| agents | requests | each | bytes to agents, each | the highest second | known after s: half | all | refused | turned away by fair queueing | s queued, all | answers bytes | CPU s |"
    );
    println!("|{}", "---|".repeat(12));
    for measured in all.iter().filter(|measured| measured.agents > 0) {
        let mut took = measured.took.clone();
        took.sort_by(f64::total_cmp);
        let Server { answer_bytes, rejected, queued, cpu, .. } = measured.starting;
        println!(
            "| {} | {} | {:.2} | {:.0} | {} | {:.1} | {:.1} | {} | {rejected} | {queued:.2} | {answer_bytes:.0} | {cpu:.1} |",
            measured.agents,
            measured.start.len(),
            measured.each(measured.start.len() as f64),
            measured.each(measured.start_received as f64),
            measured.highest(),
            took.get(took.len() / 2).copied().unwrap_or_default(),
            took.last().copied().unwrap_or_default(),
            measured.refused(),
        );
    }
}

fn kinds(asked: &[Asked]) -> String {
    let counts = audit::by_kind(asked);
    let words: Vec<String> = counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}
