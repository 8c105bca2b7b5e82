//! Texts and lists of parts that many objects have in common, each kept once.
//!
//! In: what is read of objects. Out: shared pointers, equal for equal contents. Always holds: what nobody holds any more is
//! forgotten when the pool has doubled since it was last looked through, so that a pool never holds more than twice what is
//! in use, and some.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// Below so many entries a pool is not looked through.
const FEW: usize = 1024;

static TEXTS: LazyLock<Pool<Text>> = LazyLock::new(Pool::default);

/// A text of which equal ones are kept once: a namespace, a node's name, an image, a reason. Takes 8 bytes; an empty one
/// takes no memory besides.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(Option<Arc<String>>);

/// A pointer that can tell how many there are to the same.
pub(crate) trait Shared: Clone + Eq + Hash {
    fn holders(&self) -> usize;
}

/// What is kept once.
#[derive(Debug)]
pub(crate) struct Pool<P>(Mutex<Entries<P>>);

#[derive(Debug)]
struct Entries<P> {
    all: HashSet<P>,
    /// With so many it is looked through.
    look_at: usize,
}

// === impl Text ===

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().map_or("", String::as_str)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.is_empty() {
            return Self(None);
        }
        TEXTS.share(text, || Self(Some(Arc::new(text.to_owned()))))
    }
}

/// As the text: what is looked up by one is found by the other.
impl Hash for Text {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(text.into())
            }
        }

        deserializer.deserialize_str(Reader)
    }
}

// === impl Pool ===

impl<P: Shared> Pool<P> {
    /// The one that equals `key`; else what `make` makes of it.
    pub(crate) fn share<Q>(&self, key: &Q, make: impl FnOnce() -> P) -> P
    where
        Q: ?Sized + Hash + Eq,
        P: Borrow<Q>,
    {
        let mut entries = self.0.lock();
        if let Some(known) = entries.all.get(key) {
            return known.clone();
        }
        if entries.all.len() >= entries.look_at {
            entries.all.retain(|entry| entry.holders() > 1);
            entries.look_at = FEW.max(2 * entries.all.len());
        }
        let made = make();
        entries.all.insert(made.clone());
        made
    }
}

impl<P> Default for Pool<P> {
    fn default() -> Self {
        Self(Mutex::new(Entries { all: HashSet::new(), look_at: FEW }))
    }
}

impl Shared for Text {
    fn holders(&self) -> usize {
        self.0.as_ref().map_or(0, Arc::strong_count)
    }
}

impl<T: ?Sized + Eq + Hash> Shared for Arc<T> {
    fn holders(&self) -> usize {
        Arc::strong_count(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn equal_texts_are_one_and_an_empty_one_is_none() {
        let (a, b) = (Text::from("namespace-of-this-test"), Text::from("namespace-of-this-test"));
        assert!(Arc::ptr_eq(a.0.as_ref().unwrap(), b.0.as_ref().unwrap()));
        assert_eq!(Text::from(""), Text::default());
        assert_eq!(size_of::<Text>(), 8);
    }

    proptest! {
        #[test]
        fn prop_a_pool_holds_at_most_twice_what_is_in_use_and_some(held in 0..1500_usize, passing in 0..4000_usize) {
            let pool: Pool<Arc<[usize]>> = Pool::default();
            let share = |it: usize| pool.share(&[it][..], || Arc::from([it]));
            let kept: Vec<_> = (0..held).map(share).collect();
            for it in 0..passing {
                drop(share(held + it));
            }
            let all = pool.0.lock().all.len();
            prop_assert!(all <= FEW.max(2 * held) , "{all} of {held}");
            for (it, kept) in kept.iter().enumerate() {
                prop_assert!(Arc::ptr_eq(kept, &share(it)));
            }
        }
    }
}
