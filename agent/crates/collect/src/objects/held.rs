//! What held of an object, of which there may be anything: reasons, taints, zones.
//!
//! In: what holds now. Out: each of these, and once each that held in the tick before and does not any more, so that its series
//! ends there and not when somebody finds it stale. Always: of what has nothing, or is gone, nothing is kept.

use std::collections::HashMap;
use std::hash::Hash;

/// What held, by whom it held for.
#[derive(Debug)]
pub(crate) struct Held<Of, What> {
    before: HashMap<Of, Box<[What]>>,
    now: HashMap<Of, Box<[What]>>,
}

impl<Of, What> Default for Held<Of, What> {
    fn default() -> Self {
        Self { before: HashMap::new(), now: HashMap::new() }
    }
}

impl<Of: Eq + Hash, What: PartialEq> Held<Of, What> {
    /// A tick begins.
    pub(crate) fn begin(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// `now` is what holds; `tell` is called with each, and with what has just ceased to (false).
    pub(crate) fn tell(
        &mut self,
        of: Of,
        now: impl IntoIterator<Item = What>,
        mut tell: impl FnMut(&What, bool),
    ) {
        let now: Box<[What]> = now.into_iter().collect();
        let before = self.before.remove(&of).unwrap_or_default();
        before.iter().filter(|what| !now.contains(what)).for_each(|what| tell(what, false));
        now.iter().for_each(|what| tell(what, true));
        if !now.is_empty() {
            self.now.insert(of, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ceases_is_told_once_and_forgotten() {
        let mut held = Held::default();
        let mut tick = |now: &[&'static str]| {
            let mut told = Vec::new();
            held.begin();
            held.tell("a", now.iter().copied(), |what, holds| told.push((*what, holds)));
            (told, held.now.len())
        };
        assert_eq!(tick(&["x", "y"]), (vec![("x", true), ("y", true)], 1));
        assert_eq!(tick(&["y"]), (vec![("x", false), ("y", true)], 1));
        assert_eq!(tick(&[]), (vec![("y", false)], 0));
        assert_eq!(tick(&[]), (vec![], 0));
    }

    #[test]
    fn of_what_is_gone_nothing_is_kept() {
        let mut held = Held::default();
        held.tell("gone", ["x"], |_, _| {});
        held.begin();
        held.tell("there", ["x"], |_, _| {});
        held.begin();
        assert_eq!(held.before.keys().collect::<Vec<_>>(), [&"there"]);
    }
}
