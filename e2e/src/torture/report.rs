//! What there is to say at the end: numbers for people, and which promise held.

use anyhow::{Result, ensure};

use crate::torture::arrived::Arrived;
use crate::torture::ledger::Ledger;
use crate::torture::torments::Done;
use crate::torture::verdict::{self, Truth, Verdict};
use crate::torture::written::Written;
use crate::torture::{Order, Plan};

/// Everything that is known at the end.
pub(crate) struct Outcome {
    /// The truth.
    pub(crate) written: Written,
    /// How sure it is.
    pub(crate) truth: Truth,
    /// Which order was asked for.
    pub(crate) order: Order,
    /// What was done to the node.
    pub(crate) done: Vec<Done>,
    /// What the receiver has.
    pub(crate) arrived: Arrived,
    /// What the agent says it lost.
    pub(crate) ledger: Ledger,
    /// What comes of it.
    pub(crate) verdict: Verdict,
}

const LEDGER: &str = "torture::every_line_that_could_be_read_is_received_or_in_the_ledger";
const INVENTED: &str = "torture::no_line_arrives_that_was_never_written_like_this";
const ORDER: &str = "torture::new_lines_of_a_container_arrive_in_order";
const TRUTH: &str = "torture::the_truth_is_known_and_every_torment_happened";

impl Outcome {
    /// Each promise and whether it held.
    pub(crate) fn promises(&self, plan: &Plan) -> Vec<(&'static str, Result<()>)> {
        let Self { written, truth, order, done, arrived, verdict, .. } = self;
        let is_sure = *truth == Truth::All;
        let truth = || {
            ensure!(
                !is_sure || written.missed.is_empty(),
                "the watcher missed something, so that the truth is not known:\n  {}",
                written.missed.join("\n  ")
            );
            // A power cut leaves half lines, and what is found at two boots is found twice.
            ensure!(!is_sure || written.strange.is_empty(), "no log lines: {:#?}", written.strange);
            ensure!(
                !is_sure || written.repeated == 0,
                "{} lines were found twice",
                written.repeated
            );
            let few = plan.minutes * if is_sure { 100_000 } else { 500 };
            ensure!(written.count() > few, "only {} lines", written.count());
            for done in done {
                ensure!(done.times > 0, "it never came to this: {}", done.what);
            }
            Ok(())
        };
        let ledger = || {
            ensure!(verdict.unaccounted.is_empty(), "{}", verdict.unaccounted.words());
            Ok(())
        };
        let invented = || {
            ensure!(verdict.invented.is_empty(), "{}", verdict.invented.words());
            ensure!(arrived.strange.is_empty(), "nobody's lines: {:#?}", arrived.strange);
            Ok(())
        };
        let in_order = || {
            let Arrived { disordered, disorder, .. } = arrived;
            ensure!(*disordered == 0, "{disordered} lines: {disorder:#?}");
            Ok(())
        };
        let mut promises = vec![(TRUTH, truth()), (LEDGER, ledger()), (INVENTED, invented())];
        if *order == Order::InOrder {
            promises.push((ORDER, in_order()));
        }
        promises
    }

    /// Prints the numbers.
    pub(crate) fn print(&self) {
        let Self { written, truth, order, done, arrived, ledger, verdict } = self;
        let megabytes = written.bytes / 1_000_000;
        println!(
            "          written   {} lines, {megabytes} MB in {} files, by {} containers",
            written.count(),
            written.files,
            written.lines.len()
        );
        println!("          received  {} lines; {}", arrived.distinct, verdict::shares(arrived));
        if *order == Order::NewestFirst {
            println!("          passed    {} lines by later ones", arrived.disordered);
        }
        let total = ledger.total();
        let known = if ledger.exists { "" } else { " (the agent's /status has no `losses`)" };
        println!(
            "          missing   {} lines; the ledger says {} and {} times of unknown extent{known}",
            verdict.missing, total.records, total.unknown
        );
        if *truth == Truth::Survivors {
            println!(
                "          vanished  {} of the received lines are in no file any more",
                verdict.vanished
            );
        }
        if verdict.excused > 0 {
            println!(
                "          excused   {} of the missing lines by nothing but an unknown extent:\n{}",
                verdict.excused,
                verdict.excuses.words()
            );
        }
        for (reason, (lost, words)) in &ledger.reasons {
            let words = words.as_deref().unwrap_or_default();
            println!(
                "            {reason}: {} lines, {} times unknown {words}",
                lost.records, lost.unknown
            );
        }
        for Done { what, times, lasted } in done {
            match lasted.as_secs() {
                0 => println!("          {what} {times} times"),
                seconds => println!("          {what} {times} times, {seconds} s"),
            }
        }
    }
}
