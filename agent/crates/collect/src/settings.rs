//! What is collected, how often, and of what.

use std::collections::BTreeSet;
use std::time::Duration;

use globset::{Glob, GlobSet, GlobSetBuilder};
use hawsepipe_cluster::objects::ObjectKind;
use hawsepipe_model::Attributes;

use crate::collector::{Collector, Scope, list_of};
use crate::tick::Sources;

/// Everything that a [`Collection`](crate::Collection) needs to know.
#[derive(Debug)]
pub struct Settings {
    /// What is read.
    pub sources: Sources,
    /// What is collected, each as it is chosen.
    pub choices: Vec<Choice>,
    /// How often, for what says nothing else. Ticks are aligned to it.
    pub interval: Duration,
    /// The node's name: nodes of different names have their ticks at different moments.
    pub node_name: String,
    /// Attributes that are added to everything; they win over what is found out.
    pub attributes: Attributes,
}

/// A collector, chosen.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Which.
    pub collector: &'static Collector,
    /// How often it reads.
    pub interval: Duration,
    /// Which of its metrics are wanted, in the order of their declaration.
    pub wanted: Vec<bool>,
    /// What else it may be told.
    pub options: Options,
}

impl Choice {
    /// A collector with everything as it declares it.
    #[must_use]
    pub fn of(collector: &'static Collector, interval: Duration) -> Self {
        let wanted = collector.metrics.iter().map(|metric| metric.default).collect();
        Self { collector, interval, wanted, options: Options::of(collector) }
    }

    /// Every collector of this scope that is on by default.
    #[must_use]
    pub fn defaults(scope: Scope, interval: Duration) -> Vec<Self> {
        let on = list_of(scope).filter(|collector| collector.default);
        on.map(|collector| Self::of(collector, interval)).collect()
    }

    /// The kinds of objects that these need, each once: what is to be followed, and what rights are needed for.
    #[must_use]
    pub fn kinds(choices: &[Self]) -> Vec<ObjectKind> {
        // One whose metrics are all unwanted reads nothing.
        let choices = choices.iter().filter(|choice| choice.wanted.contains(&true));
        let kinds: BTreeSet<_> = choices.flat_map(|choice| choice.collector.kinds()).collect();
        kinds.into_iter().collect()
    }
}

/// What a collector may be told beside which metrics are wanted.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What is told of, by its name.
    pub select: Globs,
    /// How many are told of at most.
    pub top: usize,
}

impl Options {
    /// What holds for a collector unless the configuration says otherwise.
    #[must_use]
    pub fn of(collector: &Collector) -> Self {
        Self { select: Globs::default(), top: collector.top.unwrap_or(0) }
    }
}

/// Names that are told of. By default all.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Globs {
    /// What matches one of `include` (all, if it is empty) and none of `exclude`.
    ///
    /// # Errors
    /// When one is no glob.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, globset::Error> {
        let set = |globs: &[String]| {
            let mut set = GlobSetBuilder::new();
            for glob in globs {
                set.add(Glob::new(glob)?);
            }
            set.build()
        };
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Self { include, exclude: set(exclude)? })
    }

    /// Whether `name` is told of.
    #[must_use]
    pub fn take(&self, name: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.is_match(name)) && !self.exclude.is_match(name)
    }
}
