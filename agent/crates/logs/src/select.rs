//! Which containers' logs are read: `logs.include` and `logs.exclude`.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

/// One rule as it is written in the configuration. What is not named matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule {
    /// Namespaces, as globs.
    pub namespaces: Vec<String>,
    /// Pod names, as globs.
    pub pods: Vec<String>,
    /// Container names, as globs.
    pub containers: Vec<String>,
    /// Pod labels that must all be there; values are globs.
    pub labels: BTreeMap<String, String>,
}

/// A pattern that is no glob.
#[derive(Debug, thiserror::Error)]
#[error("`{pattern}` is no glob: {source}")]
pub struct SelectionError {
    /// The pattern.
    pub pattern: String,
    /// The library's word.
    pub source: globset::Error,
}

#[derive(Debug, Clone)]
struct CompiledRule {
    namespaces: Vec<GlobMatcher>,
    pods: Vec<GlobMatcher>,
    containers: Vec<GlobMatcher>,
    labels: Vec<(String, GlobMatcher)>,
}

/// A container is read when an include rule matches (or there is none) and no exclude rule does.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    include: Vec<CompiledRule>,
    exclude: Vec<CompiledRule>,
}

/// What a rule says when the pod's labels are not known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Matches,
    DependsOnLabels,
    Differs,
}

impl Selection {
    /// Compiles the rules.
    ///
    /// # Errors
    /// For a pattern that is no glob.
    pub fn new(include: &[Rule], exclude: &[Rule]) -> Result<Self, SelectionError> {
        let compile =
            |rules: &[Rule]| rules.iter().map(CompiledRule::new).collect::<Result<_, _>>();
        Ok(Self { include: compile(include)?, exclude: compile(exclude)? })
    }

    /// Whether the container is read. `None`: its pod's labels decide, and they are not given.
    #[must_use]
    pub fn decide(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Option<bool> {
        let verdict = |rules: &[CompiledRule]| {
            rules.iter().map(|rule| rule.verdict(namespace, pod, container, labels)).fold(
                Verdict::Differs,
                |best, next| match (best, next) {
                    (Verdict::Matches, _) | (_, Verdict::Matches) => Verdict::Matches,
                    (Verdict::DependsOnLabels, _) | (_, Verdict::DependsOnLabels) => {
                        Verdict::DependsOnLabels
                    }
                    _ => Verdict::Differs,
                },
            )
        };
        let included =
            if self.include.is_empty() { Verdict::Matches } else { verdict(&self.include) };
        match (included, verdict(&self.exclude)) {
            (Verdict::Differs, _) | (_, Verdict::Matches) => Some(false),
            (Verdict::Matches, Verdict::Differs) => Some(true),
            _ => None,
        }
    }
}

impl CompiledRule {
    fn new(rule: &Rule) -> Result<Self, SelectionError> {
        let all =
            |patterns: &[String]| patterns.iter().map(|text| glob(text)).collect::<Result<_, _>>();
        let labels = rule.labels.iter().map(|(key, value)| Ok((key.clone(), glob(value)?)));
        Ok(Self {
            namespaces: all(&rule.namespaces)?,
            pods: all(&rule.pods)?,
            containers: all(&rule.containers)?,
            labels: labels.collect::<Result<_, SelectionError>>()?,
        })
    }

    fn verdict(
        &self,
        namespace: &str,
        pod: &str,
        container: &str,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Verdict {
        let any = |globs: &[GlobMatcher], text: &str| {
            globs.is_empty() || globs.iter().any(|glob| glob.is_match(text))
        };
        if !any(&self.namespaces, namespace)
            || !any(&self.pods, pod)
            || !any(&self.containers, container)
        {
            return Verdict::Differs;
        }
        if self.labels.is_empty() {
            return Verdict::Matches;
        }
        let Some(labels) = labels else {
            return Verdict::DependsOnLabels;
        };
        let has = |(key, glob): &(String, GlobMatcher)| {
            labels.get(key).is_some_and(|value| glob.is_match(value))
        };
        if self.labels.iter().all(has) { Verdict::Matches } else { Verdict::Differs }
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, SelectionError> {
    Glob::new(pattern)
        .map(|glob| glob.compile_matcher())
        .map_err(|source| SelectionError { pattern: pattern.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|&name| name.to_owned()).collect()
    }

    fn app(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("app".to_owned(), value.to_owned())])
    }

    #[test]
    fn without_rules_everything_is_read() {
        let selection = Selection::new(&[], &[]).unwrap();
        assert_eq!(selection.decide("any", "pod", "c", None), Some(true));
    }

    #[test]
    fn an_exclude_rule_wins_over_an_include_rule() {
        let include = Rule { namespaces: names(&["team-*"]), ..Rule::default() };
        let exclude = Rule { containers: names(&["istio-proxy"]), ..Rule::default() };
        let selection = Selection::new(&[include], &[exclude]).unwrap();
        assert_eq!(selection.decide("team-a", "web", "app", None), Some(true));
        assert_eq!(selection.decide("team-a", "web", "istio-proxy", None), Some(false));
        assert_eq!(selection.decide("other", "web", "app", None), Some(false));
    }

    #[test]
    fn a_rule_on_labels_waits_for_labels() {
        let exclude = Rule { labels: app("noisy*"), ..Rule::default() };
        let selection = Selection::new(&[], &[exclude]).unwrap();
        assert_eq!(selection.decide("a", "b", "c", None), None);
        assert_eq!(selection.decide("a", "b", "c", Some(&app("noisy-1"))), Some(false));
        assert_eq!(selection.decide("a", "b", "c", Some(&app("web"))), Some(true));
        assert_eq!(selection.decide("a", "b", "c", Some(&BTreeMap::new())), Some(true));
    }

    #[test]
    fn a_pattern_that_is_no_glob_is_named() {
        let rule = Rule { pods: names(&["a[b"]), ..Rule::default() };
        let error = Selection::new(&[rule], &[]).unwrap_err();
        assert!(error.to_string().contains("`a[b`"), "{error}");
    }
}
