//! All objects that are known, by kind and UID.
//!
//! In: what is found of each kind by its one follower. Out: answers from memory, and calls of the watchers. Always holds:
//! watchers are told after the store has changed and while nothing is locked; a kind is synced once a list of it was
//! complete, and until it is switched off.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};

use super::change::{Cause, Change, ObjectWatcher};
use super::kind::{Kept, Object, ObjectKind};
use super::meta::Uid;
use super::status::{KindStatus, ObjectsStatus, Off};

/// The state of the cluster's objects.
#[derive(Default)]
pub struct ObjectStore {
    shelves: [Shelf; ObjectKind::ALL.len()],
    watchers: RwLock<Vec<Arc<dyn ObjectWatcher>>>,
}

/// The objects of a kind.
#[derive(Default)]
struct Shelf {
    entries: RwLock<HashMap<Uid, Entry>>,
    state: Mutex<State>,
}

struct Entry {
    object: Object,
    /// The list that it was found by, or that was the last when it was watched.
    list: u32,
}

#[derive(Default)]
struct State {
    /// Somebody follows it.
    followed: bool,
    /// Lists that were begun.
    lists: u32,
    synced_since: Option<Timestamp>,
    off: Option<Off>,
}

/// An object that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// A field is of another type than Kubernetes has it.
    #[error("it cannot be read as a {kind}: {error}")]
    Odd {
        /// The kind's name.
        kind: &'static str,
        /// What is wrong.
        #[source]
        error: serde_json::Error,
    },
    /// Nothing tells it from others.
    #[error("a {kind} without metadata.uid")]
    NoUid {
        /// The kind's name.
        kind: &'static str,
    },
}

impl ObjectStore {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells `watcher` of every change from now on. To be done before the store is filled, else it misses what was before.
    pub fn subscribe(&self, watcher: Arc<dyn ObjectWatcher>) {
        self.watchers.write().push(watcher);
    }

    /// All objects of a kind at this moment, in no order. Costs a pointer each; nothing is locked while they are read.
    ///
    /// ```
    /// # use hawsepipe_cluster::objects::{ObjectStore, Pod};
    /// # let store = ObjectStore::new();
    /// for pod in store.all::<Pod>() {
    ///     println!("{}/{} {}", pod.metadata.namespace, pod.metadata.name, pod.status.phase);
    /// }
    /// ```
    #[must_use]
    pub fn all<K: Kept>(&self) -> Vec<Arc<K>> {
        let entries = self.shelf(K::KIND).entries.read();
        entries.values().filter_map(|entry| K::of(&entry.object)).map(Arc::clone).collect()
    }

    /// The object of this kind and UID.
    #[must_use]
    pub fn get<K: Kept>(&self, uid: &Uid) -> Option<Arc<K>> {
        let entries = self.shelf(K::KIND).entries.read();
        entries.get(uid).and_then(|entry| K::of(&entry.object)).map(Arc::clone)
    }

    /// The object of this kind, namespace (empty for what has none) and name. Looks at all of that kind: for few kinds of
    /// which there are few.
    #[must_use]
    pub fn find<K: Kept>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let entries = self.shelf(K::KIND).entries.read();
        let named = |entry: &&Entry| {
            let meta = entry.object.metadata();
            *meta.name == *name && meta.namespace == *namespace
        };
        entries.values().find(named).and_then(|entry| K::of(&entry.object)).map(Arc::clone)
    }

    /// How many objects of this kind are known.
    #[must_use]
    pub fn count(&self, kind: ObjectKind) -> usize {
        self.shelf(kind).entries.read().len()
    }

    /// Whether all objects of this kind are known, as of some moment: a list was complete, and the kind is not switched off.
    /// While the API server is away it stays so.
    #[must_use]
    pub fn is_synced(&self, kind: ObjectKind) -> bool {
        self.shelf(kind).state.lock().synced_since.is_some()
    }

    /// How each kind that is followed is doing.
    #[must_use]
    pub fn status(&self) -> ObjectsStatus {
        let mut kinds = BTreeMap::new();
        for &kind in ObjectKind::ALL {
            let objects = self.count(kind);
            let state = self.shelf(kind).state.lock();
            if state.followed {
                let (synced_since, off) = (state.synced_since, state.off.clone());
                kinds.insert(kind.resource(), KindStatus { objects, synced_since, off });
            }
        }
        ObjectsStatus { kinds }
    }

    /// An object as the API server writes it was added or has changed, as if watched: for what replays recorded objects.
    ///
    /// # Errors
    /// [`ObjectError`] for what is no such object.
    pub fn apply_json(
        &self,
        kind: ObjectKind,
        object: &serde_json::Value,
    ) -> Result<(), ObjectError> {
        self.apply(&read(kind, &object.to_string())?, Cause::Watched);
        Ok(())
    }

    /// An object was deleted; this is its last state, as the API server writes it. For what replays recorded objects.
    ///
    /// # Errors
    /// [`ObjectError`] for what is no such object.
    pub fn delete_json(
        &self,
        kind: ObjectKind,
        object: &serde_json::Value,
    ) -> Result<(), ObjectError> {
        let last = read(kind, &object.to_string())?;
        self.delete(kind, &last.metadata().uid, Some(&last));
        Ok(())
    }

    /// These are all objects of a kind, as the API server writes them: others are gone. For what replays recorded objects.
    ///
    /// # Errors
    /// [`ObjectError`] for the first that is no such object; nothing has changed then.
    pub fn replace_json(
        &self,
        kind: ObjectKind,
        all: &[serde_json::Value],
    ) -> Result<(), ObjectError> {
        let all = all.iter().map(|object| read(kind, &object.to_string()));
        let all = all.collect::<Result<Vec<_>, _>>()?;
        self.begin_list(kind);
        for object in all {
            self.apply(&object, Cause::Listed);
        }
        self.end_list(kind);
        Ok(())
    }

    /// Somebody follows this kind from now on.
    pub(super) fn follow(&self, kind: ObjectKind) {
        self.shelf(kind).state.lock().followed = true;
    }

    /// A list begins. What was found by one that was not complete stays until one is.
    pub(super) fn begin_list(&self, kind: ObjectKind) {
        let mut state = self.shelf(kind).state.lock();
        state.lists = state.lists.wrapping_add(1);
    }

    /// An object was found.
    pub(super) fn apply(&self, object: &Object, cause: Cause) {
        let kind = object.kind();
        let shelf = self.shelf(kind);
        let list = shelf.state.lock().lists;
        let before = {
            let mut entries = shelf.entries.write();
            let meta = object.metadata();
            if let Some(known) = entries.get_mut(&meta.uid) {
                known.list = list;
                // Not by the version alone: after a restored backup there can be another one of the same number.
                if known.object == *object {
                    return;
                }
                Some(std::mem::replace(&mut known.object, object.clone()))
            } else {
                entries.insert(meta.uid.clone(), Entry { object: object.clone(), list });
                None
            }
        };
        self.tell(kind, before.as_ref(), Some(object), cause);
    }

    /// The object of this UID is there, though it could not be read: what is known of it stays.
    pub(super) fn keep(&self, kind: ObjectKind, uid: &Uid) {
        let shelf = self.shelf(kind);
        let list = shelf.state.lock().lists;
        if let Some(known) = shelf.entries.write().get_mut(uid) {
            known.list = list;
        }
    }

    /// An object was deleted; `last` is its last state, if that can be read.
    pub(super) fn delete(&self, kind: ObjectKind, uid: &Uid, last: Option<&Object>) {
        let known = self.shelf(kind).entries.write().remove(uid);
        if let Some(known) = known {
            self.tell(kind, last.or(Some(&known.object)), None, Cause::Watched);
        }
    }

    /// A list is complete: what it did not find is gone.
    pub(super) fn end_list(&self, kind: ObjectKind) {
        let shelf = self.shelf(kind);
        let list = shelf.state.lock().lists;
        let gone: Vec<_> =
            shelf.entries.write().extract_if(|_, entry| entry.list != list).collect();
        for (_, entry) in gone {
            self.tell(kind, Some(&entry.object), None, Cause::Listed);
        }
        {
            let mut state = shelf.state.lock();
            state.off = None;
            state.synced_since.get_or_insert_with(Timestamp::now);
        }
        for watcher in self.watchers.read().iter() {
            watcher.listed(self, kind);
        }
    }

    /// A kind cannot be followed until somebody does something about it. What is known stays, and is told to be gone by no
    /// one; but the kind is not synced.
    pub(super) fn switch_off(&self, kind: ObjectKind, message: String, remedy: String) {
        let mut state = self.shelf(kind).state.lock();
        state.synced_since = None;
        let since = state.off.as_ref().map_or_else(Timestamp::now, |off| off.since);
        state.off = Some(Off { since, message, remedy });
    }

    fn tell(
        &self,
        kind: ObjectKind,
        before: Option<&Object>,
        after: Option<&Object>,
        cause: Cause,
    ) {
        let change = Change { kind, before, after, cause, store: self };
        for watcher in self.watchers.read().iter() {
            watcher.changed(&change);
        }
    }

    fn shelf(&self, kind: ObjectKind) -> &Shelf {
        &self.shelves[kind as usize]
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("status", &self.status()).finish_non_exhaustive()
    }
}

/// Reads an object that can be kept.
pub(super) fn read(kind: ObjectKind, json: &str) -> Result<Object, ObjectError> {
    let name = kind.name();
    let object =
        Object::read(kind, json).map_err(|error| ObjectError::Odd { kind: name, error })?;
    if object.metadata().uid.is_empty() {
        return Err(ObjectError::NoUid { kind: name });
    }
    Ok(object)
}
