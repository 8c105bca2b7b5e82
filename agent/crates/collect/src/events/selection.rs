//! Which events are sent: `events.include` and `events.exclude`.

use hawsepipe_cluster::Event;

use crate::settings::Globs;

/// One rule as it is written in the configuration: globs. What is not named matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventRule {
    /// Namespaces of the events; those about nodes are in `default`.
    pub namespaces: Vec<String>,
    /// Reasons: `BackOff`, `Scheduled`, ..
    pub reasons: Vec<String>,
    /// Types: `Normal`, `Warning`.
    pub types: Vec<String>,
    /// Kinds of the objects that they are about: `Pod`, `Node`, ..
    pub kinds: Vec<String>,
}

/// An event is sent when an include rule matches (or there is none) and no exclude rule does.
#[derive(Debug, Clone, Default)]
pub struct EventSelection {
    include: Vec<Rule>,
    exclude: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    namespaces: Globs,
    reasons: Globs,
    types: Globs,
    kinds: Globs,
}

impl EventSelection {
    /// Compiles the rules.
    ///
    /// # Errors
    /// For a pattern that is no glob.
    pub fn new(include: &[EventRule], exclude: &[EventRule]) -> Result<Self, globset::Error> {
        let rules = |rules: &[EventRule]| rules.iter().map(Rule::new).collect::<Result<_, _>>();
        Ok(Self { include: rules(include)?, exclude: rules(exclude)? })
    }

    /// Whether the event is sent.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let matches = |rule: &Rule| rule.matches(event);
        (self.include.is_empty() || self.include.iter().any(matches))
            && !self.exclude.iter().any(matches)
    }
}

impl Rule {
    fn new(rule: &EventRule) -> Result<Self, globset::Error> {
        let globs = |list: &[String]| Globs::new(list, &[]);
        Ok(Self {
            namespaces: globs(&rule.namespaces)?,
            reasons: globs(&rule.reasons)?,
            types: globs(&rule.types)?,
            kinds: globs(&rule.kinds)?,
        })
    }

    fn matches(&self, event: &Event) -> bool {
        self.namespaces.take(&event.metadata.namespace)
            && self.reasons.take(&event.reason)
            && self.types.take(&event.kind)
            && self.kinds.take(&event.regarding.kind)
    }
}
