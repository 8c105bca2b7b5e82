//! `agent/docs/CONFIG.md` says what the code does: the same keys, the same defaults, an example that is taken.

use std::collections::BTreeSet;
use std::path::Path;

use serde_yaml::{Mapping, Value};

use super::Config;
use super::raw::RawConfig;

const PAGE: &str = include_str!("../../../../docs/CONFIG.md");
const RAW: &str = include_str!("raw.rs");

/// A row of the page's tables: the key as a path, and what stands under "default".
struct Row {
    path: Vec<&'static str>,
    default: &'static str,
}

fn rows() -> Vec<Row> {
    let cells = |line: &'static str| line.strip_prefix("| `")?.split_once("` | ");
    let row = |(key, rest): (&'static str, &'static str)| Row {
        path: key.split('.').collect(),
        default: rest.split(" | ").next().unwrap(),
    };
    let rows: Vec<_> = PAGE.lines().filter_map(cells).map(row).collect();
    assert!(rows.len() > 30, "the tables have another form now: {} rows", rows.len());
    rows
}

fn example() -> &'static str {
    PAGE.split("```").find_map(|block| block.strip_prefix("yaml\n")).unwrap()
}

/// What stands at `path`: `<name>` is any key, `KEY[]` any item of the list.
fn find<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    let Some((first, rest)) = path.split_first() else {
        return Some(value);
    };
    if *first == "<name>" {
        return value.as_mapping()?.values().find_map(|value| find(value, rest));
    }
    match first.strip_suffix("[]") {
        Some(key) => value.get(key)?.as_sequence()?.iter().find_map(|item| find(item, rest)),
        None => find(value.get(*first)?, rest),
    }
}

fn set(value: &mut Value, path: &[&str], to: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = to;
        return;
    };
    let key = if *first == "<name>" { "main" } else { first };
    let map = value.as_mapping_mut().unwrap();
    set(map.entry(key.into()).or_insert(Value::Mapping(Mapping::new())), rest, to);
}

#[test]
fn the_example_is_taken_and_has_every_key_of_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let (key, ca) = (folder.path().join("key"), folder.path().join("ca.crt"));
    std::fs::write(&key, "secret").unwrap();
    let certificate = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    std::fs::write(&ca, certificate.cert.pem()).unwrap();
    let text = example()
        .replace("${NODE_NAME}", "node-1")
        .replace("/etc/hawsepipe/keys/main/key", key.to_str().unwrap())
        .replace("/etc/hawsepipe/ca/main/ca.crt", ca.to_str().unwrap());
    Config::parse(&text, Path::new("CONFIG.md")).unwrap();
    let value: Value = serde_yaml::from_str(&text).unwrap();
    for row in rows() {
        let key = row.path.join(".");
        assert!(find(&value, &row.path).is_some(), "the example leaves out `{key}`");
    }
}

#[test]
fn every_key_that_can_be_written_is_on_the_page() {
    let rows = rows();
    let documented: BTreeSet<_> = rows
        .iter()
        .flat_map(|row| &row.path)
        .map(|segment| segment.trim_end_matches("[]").to_lowercase())
        .collect();
    let field = |line: &'static str| line.trim().strip_prefix("pub(super) ")?.split_once(": ");
    let fields: Vec<_> = RAW.lines().filter_map(field).map(|(name, _)| name).collect();
    assert!(fields.len() > 35, "the fields have another form now: {fields:?}");
    for name in fields {
        // camelCase on the page, snake_case in the code.
        let key = name.trim_start_matches("r#").replace('_', "");
        assert!(documented.contains(&key), "CONFIG.md does not have `{name}` of raw.rs");
    }
}

#[test]
fn the_defaults_on_the_page_are_those_of_the_code() {
    let needed = "
destinations:
  main: {type: otlp, endpoint: \"http://h:1\", auth: {keyFile: /key}, tls: {}}
";
    let mut written: Value = serde_yaml::from_str(needed).unwrap();
    let mut count = 0;
    for row in rows() {
        let Some(default) = row.default.strip_prefix('`').and_then(|text| text.strip_suffix('`'))
        else {
            continue;
        };
        set(&mut written, &row.path, serde_yaml::from_str(default).unwrap());
        count += 1;
    }
    assert!(count > 18, "{count} defaults");
    let all: RawConfig = serde_yaml::from_value(written).unwrap();
    let none: RawConfig = serde_yaml::from_str(needed).unwrap();
    assert_eq!(format!("{all:#?}"), format!("{none:#?}"));
}
