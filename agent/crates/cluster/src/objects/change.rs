//! How others learn that an object has appeared, changed or gone.

use super::kind::{Object, ObjectKind};
use super::store::ObjectStore;

/// What has become of an object.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Its kind.
    pub kind: ObjectKind,
    /// How it was. `None`: it is new to us. When it is gone: its last state, as far as the API server gave it.
    pub before: Option<&'a Object>,
    /// How it is. `None`: it is gone. Its version differs from the one before, though the rest of what is kept may not.
    pub after: Option<&'a Object>,
    /// How that was found.
    pub cause: Cause,
    /// Where it is kept, already as after the change.
    pub store: &'a ObjectStore,
}

/// How a change was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// By a list, the first one or after a gap: it may have happened long ago, and what lay between is not known.
    Listed,
    /// By a watch: it has just happened.
    Watched,
}

/// Somebody who wants to know of every change.
///
/// Its functions are called on the task of the kind's watch, in the order of that kind's changes (kinds run side by side).
/// They must not block or take long: the watch waits for them. They may read the store.
pub trait ObjectWatcher: Send + Sync {
    /// An object has appeared, changed or gone.
    fn changed(&self, change: &Change<'_>);

    /// A list of this kind is complete: whatever it has found was told of.
    fn listed(&self, store: &ObjectStore, kind: ObjectKind) {
        let _ = (store, kind);
    }
}
