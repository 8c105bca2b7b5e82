//! The state of the cluster's objects, told object by object.
//!
//! In: an [`ObjectStore`] that is filled while this process leads. Out: points, each on the resource of its object. Always:
//! - of a kind that is not known whole (not listed yet, switched off) nothing is told, and why is said; other kinds are told;
//! - a tick tells of the objects that there were when it came to their kind, some at a time: not all points of a large
//!   cluster are in memory at once.

mod held;

use std::sync::Arc;

pub(crate) use self::held::Held;
use crate::collector::{Collect, CollectError, Need};
use crate::points::{Points, Series};
use crate::settings::{Globs, Options};
use crate::tick::Tick;
use hawsepipe_cluster::objects::{
    Condition, ConditionStatus, Conditions, Kept, ObjectKind, ObjectMeta, ObjectStore, Time,
};
use hawsepipe_model::Attributes;

/// So many objects are told of before what was told is written: some ten thousand points.
const AT_ONCE: usize = 500;

/// What `include` and `exclude` select of objects.
pub(crate) const NAMESPACES: &str = "namespaces by their names; what is in none is always told";

/// What tells of the objects of a kind.
pub(crate) trait Tell<K>: Send {
    /// A tick begins.
    fn begin(&mut self, store: &ObjectStore) {
        let _ = store;
    }

    /// Tells of an object.
    fn tell(&mut self, object: &K, out: &mut Points);

    /// Every object of the tick was told of.
    fn end(&mut self, out: &mut Points) {
        let _ = out;
    }
}

/// What remembers nothing is a function.
impl<K, F: FnMut(&K, &mut Points) + Send> Tell<K> for F {
    fn tell(&mut self, object: &K, out: &mut Points) {
        self(object, out);
    }
}

/// A collector that tells of objects, kind by kind.
pub(crate) struct Teller {
    needs: &'static [Need],
    select: Globs,
    kinds: Vec<Box<dyn TellKind>>,
    /// The kind that is told, while a tick goes on.
    at: Option<usize>,
}

trait TellKind: Send {
    fn begin(&mut self, store: &ObjectStore);

    /// Tells of some; true if there are more.
    fn go_on(&mut self, select: &Globs, out: &mut Points) -> bool;
}

struct Kind<K, T> {
    /// Those that are not told of yet, while a tick goes on.
    left: std::vec::IntoIter<Arc<K>>,
    told: bool,
    tell: T,
}

// === impl Teller ===

impl Teller {
    /// For a collector with these needs.
    pub(crate) fn new(needs: &'static [Need], options: &Options) -> Self {
        Self { needs, select: options.select.clone(), kinds: Vec::new(), at: None }
    }

    /// Tells of the objects of this kind, too.
    pub(crate) fn of<K>(mut self, tell: impl Tell<K> + 'static) -> Self
    where
        K: Kept + Send + Sync + 'static,
    {
        debug_assert!(self.needs.contains(&Need::Objects(K::KIND)), "{:?}", K::KIND);
        self.kinds.push(Box::new(Kind { left: Vec::new().into_iter(), told: false, tell }));
        self
    }
}

impl Collect for Teller {
    fn collect(&mut self, tick: &Tick, out: &mut Points) -> Result<(), CollectError> {
        let store = tick.sources().objects()?;
        let at = self.at.unwrap_or_else(|| {
            self.kinds.iter_mut().for_each(|kind| kind.begin(store));
            0
        });
        let more = self.kinds.get_mut(at).is_some_and(|kind| kind.go_on(&self.select, out));
        let next = if more { at } else { at + 1 };
        self.at = (next < self.kinds.len()).then_some(next);
        if self.more() { Ok(()) } else { missing(self.needs, store) }
    }

    fn more(&self) -> bool {
        self.at.is_some()
    }
}

impl<K, T> TellKind for Kind<K, T>
where
    K: Kept + Send + Sync,
    T: Tell<K>,
{
    fn begin(&mut self, store: &ObjectStore) {
        // Half a list is no state.
        self.told = store.is_synced(K::KIND);
        if self.told {
            self.tell.begin(store);
            self.left = store.all::<K>().into_iter();
        }
    }

    fn go_on(&mut self, select: &Globs, out: &mut Points) -> bool {
        if !self.told {
            return false;
        }
        for object in self.left.by_ref().take(AT_ONCE) {
            let metadata = object.metadata();
            let namespace = match K::KIND {
                ObjectKind::Namespaces => &*metadata.name,
                _ => metadata.namespace.as_str(),
            };
            if namespace.is_empty() || select.take(namespace) {
                self.tell.tell(&object, out);
            }
        }
        let more = self.left.len() > 0;
        if !more {
            self.tell.end(out);
        }
        more
    }
}

/// Says which kinds are not told of, and why.
pub(crate) fn missing(needs: &[Need], store: &ObjectStore) -> Result<(), CollectError> {
    let kinds = needs.iter().filter_map(|need| match need {
        Need::Objects(kind) if !store.is_synced(*kind) => Some(*kind),
        _ => None,
    });
    let status = store.status();
    let why = |kind: ObjectKind| match status.kinds.get(kind.resource()).map(|it| &it.off) {
        None => format!("{} are not followed", kind.resource()),
        Some(None) => format!("{} are not listed yet", kind.resource()),
        Some(Some(off)) => {
            format!("{} are switched off: {}; {}", kind.resource(), off.message, off.remedy)
        }
    };
    let all: Vec<_> = kinds.map(why).collect();
    if all.is_empty() { Ok(()) } else { Err(CollectError::Unavailable(all.join("; "))) }
}

/// Who an object is: its namespace, and its name and UID behind `prefix`, which is the semantic conventions' for its kind.
pub(crate) fn about(prefix: &str, metadata: &ObjectMeta) -> Attributes {
    let mut attributes = Attributes::new();
    attributes.set("k8s.namespace.name", metadata.namespace.as_str());
    attributes.set(format!("{prefix}.name"), &*metadata.name);
    attributes.set(format!("{prefix}.uid"), metadata.uid.to_string());
    attributes
}

/// Tells which of a few states holds: 1 for that one, 0 for the others.
pub(crate) fn states<'a>(
    mut series: Series<'_>,
    all: impl IntoIterator<Item = &'a str>,
    holds: &str,
) {
    for state in all {
        series.push(state == holds, &[state]);
    }
}

/// Tells of each condition of an object, as [`holds`] says it.
pub(crate) fn conditions(mut series: Series<'_>, all: &Conditions) {
    for Condition { kind, status, .. } in all.iter() {
        series.push(holds(*status), &[kind]);
    }
}

/// 1: it holds, 0: it does not, -1: nobody knows; as the k8s_cluster receiver has it.
pub(crate) fn holds(status: ConditionStatus) -> i64 {
    match status {
        ConditionStatus::True => 1,
        ConditionStatus::False => 0,
        ConditionStatus::Unknown => -1,
    }
}

/// Tells of a moment, in seconds since the epoch, if there was one.
pub(crate) fn moment(mut series: Series<'_>, time: Option<Time>) {
    series.maybe(time.map(Time::as_second), &[]);
}

#[cfg(test)]
mod tests;
