//! Errors of the memory.

use hawsepipe_host::edac;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "edac",
    about: "Errors of the memory that its controllers found. A machine whose memory has no error correction \
            tells nothing. Names are those of OpenTelemetry's hardware conventions",
    reads: &["/sys/devices/system/edac/mc"],
    needs: &[Need::Sys],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Errors by memory controller, `corrected` or `uncorrected`
    ERRORS: Counter Int "hw.errors" "{error}" ["hw.id", "hw.type", "error.type"] on;
    /// Errors by row of chips: which module is to be replaced; `unknown` where the controller did not say
    ROW_ERRORS: Counter Int "system.linux.edac.row.errors" "{error}"
        ["hw.id", "row", "error.type"] off;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(edac::read);
    let controllers =
        read.map_err(|error| error.or_unavailable("the memory corrects no errors"))?;
    let named = || controllers.iter().map(|it| (format!("mc{}", it.number), it));
    let mut errors = out.metric(&ERRORS);
    for (name, controller) in named() {
        errors.push(controller.corrected, &[&name, "memory", "corrected"]);
        errors.push(controller.uncorrected, &[&name, "memory", "uncorrected"]);
    }
    let mut errors = out.metric(&ROW_ERRORS);
    for (name, controller) in named() {
        for row in &controller.rows {
            let number = format!("csrow{}", row.number);
            errors.push(row.corrected, &[&name, &number, "corrected"]);
            errors.push(row.uncorrected, &[&name, &number, "uncorrected"]);
        }
        errors.maybe(controller.corrected_elsewhere, &[&name, "unknown", "corrected"]);
        errors.maybe(controller.uncorrected_elsewhere, &[&name, "unknown", "uncorrected"]);
    }
    Ok(())
}
