//! How many files the whole host has open.

use hawsepipe_host::file_handles;

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "file_handles",
    about: "How many files the whole host has open, and how many it can. No receiver of the Collector tells it; the \
            names are ours",
    reads: &["/proc/sys/fs/file-nr"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// Files that are open
    COUNT: UpDownCounter Int "system.linux.file_handles.count" "{file}" [] on;
    /// Files that can be open (`fs.file-max`)
    LIMIT: UpDownCounter Int "system.linux.file_handles.limit" "{file}" [] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let handles = tick.read(file_handles::read)?;
    out.metric(&COUNT).push(handles.allocated, &[]);
    out.metric(&LIMIT).push(handles.max, &[]);
    Ok(())
}
