//! Sets of numbers as ranges: millions of lines that came in order are one pair of numbers.
//!
//! What always holds: ranges are not empty, and there is at least one number between two of them.

use std::collections::BTreeMap;
use std::fmt;

/// How many ranges are shown before the rest is only counted.
const SHOWN: usize = 6;

/// A set of numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges {
    /// By first number, the last one.
    by_first: BTreeMap<u64, u64>,
    len: u64,
}

impl Ranges {
    /// Adds a number; false when it was there.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        let mut first = number;
        let mut last = number;
        if let Some((&before, end)) = self.by_first.range_mut(..=number).next_back() {
            if *end >= number {
                return false;
            }
            if end.checked_add(1) == Some(number) {
                *end = number;
                first = before;
            }
        }
        if let Some(next) = number.checked_add(1)
            && let Some(end) = self.by_first.remove(&next)
        {
            last = end;
        }
        self.by_first.insert(first, last);
        self.len += 1;
        true
    }

    /// Whether it is there.
    #[cfg(test)]
    fn contains(&self, number: u64) -> bool {
        self.by_first.range(..=number).next_back().is_some_and(|(_, last)| *last >= number)
    }

    /// How many numbers.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The largest number.
    pub(crate) fn last(&self) -> Option<u64> {
        self.by_first.last_key_value().map(|(_, last)| *last)
    }

    /// What is here and not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut left = Self::default();
        for (&first, &last) in &self.by_first {
            let mut from = first;
            // The range of the other that begins before this one may reach into it.
            let before = other.by_first.range(..first).next_back();
            for (&theirs, &end) in before.into_iter().chain(other.by_first.range(first..=last)) {
                if end < from {
                    continue;
                }
                if theirs > from {
                    left.push(from, theirs - 1);
                }
                from = end.saturating_add(1);
                if from > last {
                    break;
                }
            }
            if from <= last {
                left.push(from, last);
            }
        }
        left
    }

    /// A range behind all others.
    fn push(&mut self, first: u64, last: u64) {
        self.by_first.insert(first, last);
        self.len += last - first + 1;
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.by_first.iter().take(SHOWN).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            if first == last {
                write!(formatter, "{comma}{first}")?;
            } else {
                write!(formatter, "{comma}{first}-{last}")?;
            }
        }
        match self.by_first.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(formatter, " and {more} ranges more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = u64>) -> Ranges {
        let mut ranges = Ranges::default();
        for number in numbers {
            ranges.insert(number);
        }
        ranges
    }

    #[test]
    fn neighbours_become_one_range() {
        let ranges = of([3, 1, 2, 7, 9, 8]);
        assert_eq!(ranges.to_string(), "1-3, 7-9");
        assert_eq!((ranges.len(), ranges.last()), (6, Some(9)));
        assert!(ranges.contains(8) && !ranges.contains(4));
    }

    #[test]
    fn a_number_is_new_only_once() {
        let mut ranges = of([1, 2, 3]);
        assert!(!ranges.insert(2));
        assert!(ranges.insert(4));
        assert_eq!(ranges.len(), 4);
    }

    #[test]
    fn what_a_set_says_is_what_a_plain_set_says() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..300 {
            let some = |random: &mut fastrand::Rng| -> BTreeSet<u64> {
                (0..random.usize(0..40)).map(|_| random.u64(0..60)).collect()
            };
            let (a, b) = (some(&mut random), some(&mut random));
            let difference: BTreeSet<u64> = a.difference(&b).copied().collect();
            let ranges = of(a.iter().copied()).without(&of(b.iter().copied()));
            assert_eq!(ranges, of(difference.iter().copied()), "{a:?} without {b:?}");
            assert_eq!(ranges.len(), difference.len() as u64);
        }
    }
}
