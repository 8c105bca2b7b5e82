//! Which labels and annotations of a pod become attributes.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};
use hawsepipe_model::Attributes;

use crate::ClusterError;

/// The chosen labels and annotations, by globs over their keys. `*` matches `/` too.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    labels: GlobSet,
    annotations: GlobSet,
}

impl Selection {
    /// Compiles the globs of `kubernetes.labels` and `kubernetes.annotations`.
    pub(crate) fn new(labels: &[String], annotations: &[String]) -> Result<Self, ClusterError> {
        Ok(Self {
            labels: compile("kubernetes.labels", labels)?,
            annotations: compile("kubernetes.annotations", annotations)?,
        })
    }

    /// Sets `k8s.pod.label.<key>` and `k8s.pod.annotation.<key>` for whatever is chosen.
    pub(crate) fn apply(
        &self,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
        attributes: &mut Attributes,
    ) {
        for (key, value) in labels.iter().filter(|(key, _)| self.labels.is_match(key)) {
            attributes.set_text(format!("k8s.pod.label.{key}"), value);
        }
        for (key, value) in annotations.iter().filter(|(key, _)| self.annotations.is_match(key)) {
            attributes.set(format!("k8s.pod.annotation.{key}"), value.as_str());
        }
    }
}

fn compile(field: &'static str, globs: &[String]) -> Result<GlobSet, ClusterError> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(Glob::new(glob).map_err(|source| ClusterError::Glob { field, source })?);
    }
    set.build().map_err(|source| ClusterError::Glob { field, source })
}
