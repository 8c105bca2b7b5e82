//! Pressure of control groups, read where it can have grown.
//!
//! In: a control group, and those that it is in. Out: for how long its threads waited. Always: nothing is told that was
//! not waited for; what was is told in the same tick where the group above shows it, and within a minute where that
//! does not (ADR 018 has why it may not, and by how much). Averages are of now or not told.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hawsepipe_host::ReadError;
use hawsepipe_host::cgroup::{CgroupPath, Cgroups};
use hawsepipe_host::pressure::{Pressure, PressureKind};

use crate::pods::there;

/// How often a group is read whatever the one above it shows: once a minute, also where ticks come a little early.
const ANYWAY_EVERY: Duration = Duration::from_secs(55);
/// A group that nobody asked for in this time has ended.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);
/// What groups tell of.
const KINDS: [PressureKind; 3] = [PressureKind::Cpu, PressureKind::Memory, PressureKind::Io];

/// What is known of the groups' pressure from tick to tick.
#[derive(Debug, Default)]
pub(crate) struct Pressures {
    groups: HashMap<CgroupPath, Group>,
    /// The tick that asked last.
    tick: Option<Instant>,
}

/// The last reading of each of [`KINDS`].
type Group = [Option<Reading>; KINDS.len()];

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// `None` where the kernel does not have it.
    pressure: Option<Pressure>,
    /// What the group above had shown before, in seconds of `some`.
    above: Option<f64>,
    /// The tick that read it.
    tick: Instant,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    /// When the tick began.
    pub(crate) tick: Instant,
    pub(crate) cgroups: &'a Cgroups,
    pub(crate) kind: PressureKind,
    /// Whether the averages will be told, which change while the totals stand still.
    pub(crate) averages: bool,
}

impl Pressures {
    /// The pressure of `path`, which is in the last of the groups `above`, each of which is in the one before it;
    /// `None` where the kernel does not have it, which is asked once a minute. The first of `above` is read in each
    /// tick.
    ///
    /// # Errors
    /// As [`Cgroups::pressure`] of `path`, but for that. What is below a group that shows none is read in each tick.
    pub(crate) fn read(
        &mut self,
        asked: Asked<'_>,
        above: &[&CgroupPath],
        path: &CgroupPath,
    ) -> Result<Option<Pressure>, ReadError> {
        self.begin(asked.tick);
        let mut shown = None;
        for group in above {
            let read = self.read_one(Asked { averages: false, ..asked }, shown, group);
            let some = read.ok().flatten().and_then(|pressure| pressure.some);
            shown = some.map(|some| some.total);
        }
        self.read_one(asked, shown, path)
    }

    /// `above` is what the group above shows in this tick, if it shows anything.
    fn read_one(
        &mut self,
        asked: Asked<'_>,
        above: Option<f64>,
        path: &CgroupPath,
    ) -> Result<Option<Pressure>, ReadError> {
        let Asked { tick, cgroups, kind, averages } = asked;
        let known = self.groups.get(path).and_then(|group| group[slot(kind)?]);
        let stands = |known: &Reading| {
            let is_old = tick.saturating_duration_since(known.tick) >= ANYWAY_EVERY;
            let is_still = above.is_some() && known.above == above && !averages;
            known.tick == tick || (!is_old && (is_still || known.pressure.is_none()))
        };
        if let Some(known) = known.filter(stands) {
            return Ok(known.pressure);
        }
        let pressure = there(cgroups.pressure(path, kind))?;
        let group = self.groups.entry(path.clone()).or_default();
        if let Some(place) = slot(kind).map(|slot| &mut group[slot]) {
            *place = Some(Reading { pressure, above, tick });
        }
        Ok(pressure)
    }

    /// With a new tick, who has ended is forgotten.
    fn begin(&mut self, tick: Instant) {
        if self.tick.replace(tick) != Some(tick) {
            let asked_for =
                |reading: &Reading| tick.saturating_duration_since(reading.tick) < FORGOTTEN_AFTER;
            self.groups.retain(|_, group| group.iter().flatten().any(asked_for));
        }
    }
}

fn slot(kind: PressureKind) -> Option<usize> {
    KINDS.iter().position(|known| *known == kind)
}

#[cfg(test)]
mod tests;
