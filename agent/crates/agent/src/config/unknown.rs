//! Errors of the YAML reader in words that help: the nearest known key is named.

/// Below this likeness (Jaro-Winkler, 0 to 1) a key is another one rather than a misspelt one.
const ALIKE: f64 = 0.75;

/// The error with its place, and with the key that was probably meant.
pub(super) fn explain(error: &serde_yaml::Error) -> String {
    let mut message = error.to_string();
    // The reader leaves out the place when it is the very first.
    if !message.contains(" at line ") {
        message.push_str(" at line 1 column 1");
    }
    suggest(&message)
}

/// Adds to "unknown field `a`, expected one of `b`, `c`" which one was probably meant.
fn suggest(message: &str) -> String {
    let Some((_, behind)) = message.split_once("unknown field `") else {
        return message.to_owned();
    };
    let Some((unknown, expected)) = behind.split_once("`, expected ") else {
        return message.to_owned();
    };
    // Between backticks: the names, at every second place.
    match nearest(unknown, expected.split('`').skip(1).step_by(2)) {
        Some(name) => format!("{message}; did you mean `{name}`?"),
        None => message.to_owned(),
    }
}

/// What was probably meant by `unknown`, if anything.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let lower = unknown.to_lowercase();
    let likeness = |name: &&str| strsim::jaro_winkler(&lower, &name.to_lowercase());
    let nearest = known.into_iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    nearest.filter(|name| likeness(name) >= ALIKE)
}
