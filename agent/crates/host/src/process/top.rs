//! The largest few of many, without keeping the many.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// Keeps the `n` values with the largest keys, whatever is pushed.
#[derive(Debug, Clone)]
pub struct Top<T> {
    most: usize,
    heap: BinaryHeap<Reverse<Ranked<T>>>,
}

#[derive(Debug, Clone)]
struct Ranked<T> {
    key: f64,
    value: T,
}

impl<T> Top<T> {
    /// Nothing yet, and never more than `n`.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { most: n, heap: BinaryHeap::new() }
    }

    /// Offers a value. It is made only if its key is among the largest so far; of equal keys the earlier stays.
    pub fn push(&mut self, key: f64, value: impl FnOnce() -> T) {
        if self.heap.len() < self.most {
            self.heap.push(Reverse(Ranked { key, value: value() }));
        } else if let Some(mut least) = self.heap.peek_mut()
            && key.total_cmp(&least.0.key) == Ordering::Greater
        {
            *least = Reverse(Ranked { key, value: value() });
        }
    }

    /// What was kept, the largest first.
    #[must_use]
    pub fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec().into_iter().map(|ranked| ranked.0.value).collect()
    }
}

impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key)
    }
}

impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Ranked<T> {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_is_made_that_is_not_kept() {
        let mut top = Top::new(2);
        for key in [5.0, 4.0] {
            top.push(key, || key);
        }
        top.push(3.0, || panic!("not among the largest"));
        assert_eq!(top.into_sorted(), [5.0, 4.0]);
        let mut none = Top::new(0);
        none.push(1.0, || panic!("nothing is kept"));
        assert!(none.into_sorted().is_empty());
    }

    proptest! {
        #[test]
        fn prop_it_is_what_sorting_all_would_give(keys in proptest::collection::vec(-1e9..1e9_f64, 0..60), n in 0..20_usize) {
            let mut top = Top::new(n);
            for key in &keys {
                top.push(*key, || *key);
            }
            let mut sorted = keys;
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted.truncate(n);
            prop_assert_eq!(top.into_sorted(), sorted);
        }
    }
}
