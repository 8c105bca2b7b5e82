//! What is found of a kind, on its way into the store.

use serde_json::value::RawValue;
use tracing::{debug, warn};

use super::super::change::Cause;
use super::super::kind::ObjectKind;
use super::super::store::{self, ObjectError, ObjectStore};
use crate::events::version;
use crate::failure::{Kind, Resource};
use crate::link::Link;
use crate::object::{Meta, MetaOnly};

/// Reads objects one by one: one that is odd does not hide the others.
pub(super) struct Intake<'a> {
    pub(super) store: &'a ObjectStore,
    pub(super) link: &'a Link,
    pub(super) kind: ObjectKind,
    /// It was said that an object cannot be read.
    pub(super) odd: bool,
}

impl Intake<'_> {
    /// An object is there; answers with its version, 0 where that is no number.
    pub(super) fn found(&mut self, json: &RawValue, cause: Cause) -> u64 {
        match store::read(self.kind, json.get()) {
            Ok(object) => {
                self.store.apply(&object, cause);
                object.metadata().resource_version
            }
            Err(error) => {
                let meta = rest(json);
                self.left_out(&meta, &error);
                self.store.keep(self.kind, &meta.uid.as_str().into());
                version(&meta.resource_version).unwrap_or_default()
            }
        }
    }

    /// An object is gone; answers with the version of that.
    pub(super) fn deleted(&self, json: &RawValue) -> u64 {
        if let Ok(object) = store::read(self.kind, json.get()) {
            self.store.delete(self.kind, &object.metadata().uid, Some(&object));
            object.metadata().resource_version
        } else {
            // Who it was is enough.
            let meta = rest(json);
            self.store.delete(self.kind, &meta.uid.as_str().into(), None);
            version(&meta.resource_version).unwrap_or_default()
        }
    }

    /// Said once, and counted.
    fn left_out(&mut self, meta: &Meta, error: &ObjectError) {
        let resource = Resource::all(self.kind);
        self.link.metrics.count_error(resource, Kind::decode);
        let (namespace, name) = (&meta.namespace, &meta.name);
        if std::mem::replace(&mut self.odd, true) {
            debug!(%resource, namespace, name, %error, "another object is left out");
        } else {
            warn!(
                %resource, namespace, name, %error,
                "an object is left out, what was known of it stays; others like it are counted alone: is this \
                 Kubernetes newer than this agent knows?"
            );
        }
    }
}

/// What can be read of an object that is odd somewhere.
fn rest(json: &RawValue) -> Meta {
    serde_json::from_str(json.get()).map(|it: MetaOnly| it.metadata).unwrap_or_default()
}
