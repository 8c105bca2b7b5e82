//! Arrays of disks.

use hawsepipe_host::mdstat::{self, Array, Member};

use crate::collector::{CollectError, Collector, Need};
use crate::points::Points;
use crate::tick::Tick;

pub(crate) static COLLECTOR: Collector = Collector {
    name: "md",
    about: "Arrays of disks that the kernel makes (software RAID). No receiver of the Collector tells it; the \
            names are ours",
    reads: &["/proc/mdstat"],
    needs: &[Need::Proc],
    default: true,
    metrics: METRICS,
    selects: None,
    top: None,
    new: |_options| Box::new(collect),
};

metrics! {
    /// 1 for what the array is in: `active`, `inactive`, or what is being done to it (`recovery`, `resync`, `reshape`, `check`)
    STATE: Gauge Int "system.linux.md.state" "1" ["device", "state"] on;
    /// Disks of the array: `active`, `failed`, `spare`
    DISKS: UpDownCounter Int "system.linux.md.disks" "{disk}" ["device", "state"] on;
    /// Disks that the array needs, for levels with redundancy
    NEEDED: UpDownCounter Int "system.linux.md.disks.required" "{disk}" ["device"] on;
    /// What fits on the array
    SIZE: UpDownCounter Int "system.linux.md.limit" "By" ["device"] on;
    /// How much is done of what is being done to it
    DONE: Gauge Double "system.linux.md.progress" "1" ["device"] on;
}

fn collect(tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
    let read = tick.read(mdstat::read);
    let all = read.map_err(|error| error.or_unavailable("the kernel makes no arrays"))?;
    let mut series = out.metric(&STATE);
    for array in &all.arrays {
        series.push(1_u64, &[&array.name, state(array)]);
    }
    let mut disks = out.metric(&DISKS);
    for array in &all.arrays {
        let count = |of: fn(&Member) -> bool| array.members.iter().filter(|it| of(it)).count();
        let failed = count(|member| member.is_faulty) as u64;
        let spare = count(|member| member.is_spare) as u64;
        let others = (array.members.len() as u64).saturating_sub(failed + spare);
        // What does not run has disks, and none of them is at work.
        let active = if array.is_active { array.working.unwrap_or(others) } else { 0 };
        disks.push(active, &[&array.name, "active"]);
        disks.push(failed, &[&array.name, "failed"]);
        disks.push(spare, &[&array.name, "spare"]);
    }
    let mut needed = out.metric(&NEEDED);
    for array in &all.arrays {
        needed.maybe(array.needed, &[&array.name]);
    }
    let mut size = out.metric(&SIZE);
    for array in &all.arrays {
        size.maybe(array.size, &[&array.name]);
    }
    let mut done = out.metric(&DONE);
    for array in &all.arrays {
        done.maybe(array.repair.as_ref().map(|repair| repair.done), &[&array.name]);
    }
    Ok(())
}

fn state(array: &Array) -> &str {
    match &array.repair {
        Some(repair) => &repair.kind,
        None if array.is_active => "active",
        None => "inactive",
    }
}
