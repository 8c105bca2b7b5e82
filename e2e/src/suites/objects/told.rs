//! Values of metrics, as they arrive and as they must be, by the same keys.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::received::text;
use crate::sink::Point;

/// Whether something is well, in one number (SERVICE-CHECKS.md).
const SERVICE_CHECK: &str = "hawsepipe.service_check.status";
/// The objects of which that is told.
const CHECKED: [&str; 4] = ["node", "deployment", "statefulset", "daemonset"];

/// A value by its metric, by what it is about and by its attributes.
pub(super) type Values = BTreeMap<Key, f64>;

/// Metric, UID (with the container, where it is one's) or namespace, attributes as JSON.
pub(super) type Key = (String, String, String);

/// What a point that arrived says; `None` for what is not about an object of the cluster.
pub(super) fn key(point: &Point) -> Option<Key> {
    // What an agent tells of its node.
    if point.resource.contains_key("os.type") {
        return None;
    }
    let uid = |kind: &str| point.resource.get(&format!("k8s.{kind}.uid")).map(text);
    let about = if point.name == SERVICE_CHECK {
        CHECKED.iter().find_map(|kind| uid(kind))?
    } else {
        let name = point.name.strip_prefix("hawsepipe.").unwrap_or(&point.name);
        match name.strip_prefix("k8s.")?.split('.').next()? {
            "container" => format!("{}/{}", uid("pod")?, point.text("k8s.container.name")),
            "replicaset" => point.text("k8s.namespace.name"),
            "replication_controller" => uid("replicationcontroller")?,
            "resource_quota" => uid("resourcequota")?,
            kind => uid(kind)?,
        }
    };
    Some((point.name.clone(), about, attributes(&point.attributes)))
}

/// An attribute without a value is the same as none.
fn attributes(all: &Map<String, Value>) -> String {
    let said = all.iter().filter(|(_, value)| !text(value).is_empty());
    let said: Map<_, _> = said.map(|(key, value)| (key.clone(), json!(text(value)))).collect();
    Value::Object(said).to_string()
}

/// Takes down what must be told of an object.
pub(super) struct Told<'a> {
    pub(super) values: &'a mut Values,
    /// What it is about, as in a [`Key`].
    pub(super) about: String,
}

impl Told<'_> {
    /// A value.
    pub(super) fn put(&mut self, name: &str, attributes: &[(&str, &str)], value: f64) {
        let all = attributes.iter().filter(|(_, value)| !value.is_empty());
        let all: Map<_, _> = all.map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        let key = (name.to_owned(), self.about.clone(), Value::Object(all).to_string());
        self.values.insert(key, value);
    }

    /// Numbers, and flags as 1 and 0; what is absent is 0.
    pub(super) fn numbers(&mut self, prefix: &str, all: &[(&str, &Value)]) {
        for (name, value) in all {
            self.put(&format!("{prefix}.{name}"), &[], number(value));
        }
    }

    /// A number, if it is there.
    pub(super) fn maybe(&mut self, name: &str, value: &Value) {
        if !value.is_null() {
            self.put(name, &[], number(value));
        }
    }

    /// A time, in seconds since the epoch, if it is there.
    pub(super) fn moment(&mut self, name: &str, value: &Value) -> Result<()> {
        if let Some(time) = value.as_str() {
            let time: jiff::Timestamp = time.parse().with_context(|| name.to_owned())?;
            self.put(name, &[], time.as_second() as f64);
        }
        Ok(())
    }

    /// Each condition of the object.
    pub(super) fn conditions(&mut self, name: &str, all: &Value) {
        for condition in items(all) {
            let holds = holds(Some(condition));
            self.put(name, &[("condition", &text(&condition["type"]))], holds);
        }
    }

    /// How a service check comes out.
    pub(super) fn check(&mut self, name: &str, status: f64) {
        self.put(SERVICE_CHECK, &[("hawsepipe.service_check.name", name)], status);
    }

    /// 1 for the state that holds, 0 for the others.
    pub(super) fn states(&mut self, name: &str, attribute: &str, all: &[&str], holds: &str) {
        for state in all {
            self.put(name, &[(attribute, state)], f64::from(u8::from(*state == holds)));
        }
    }

    /// An amount, if it is there.
    pub(super) fn quantity(&mut self, name: &str, value: &Value) -> Result<()> {
        if !value.is_null() {
            self.put(name, &[], quantity(value)?);
        }
        Ok(())
    }
}

/// The items of a list; none where there is no list.
pub(super) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

fn number(value: &Value) -> f64 {
    value.as_bool().map(|flag| f64::from(u8::from(flag))).or(value.as_f64()).unwrap_or(0.0)
}

/// 1: the condition holds, 0: it does not, -1: nobody knows.
pub(super) fn holds(condition: Option<&Value>) -> f64 {
    match condition.and_then(|it| it["status"].as_str()) {
        Some("True") => 1.0,
        Some("False") => 0.0,
        _ => -1.0,
    }
}

/// An amount as Kubernetes writes it: <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
pub(super) fn quantity(value: &Value) -> Result<f64> {
    let text = text(value);
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
    let (amount, unit) = text.split_at(end.unwrap_or(text.len()));
    let factor = match unit {
        "" => 1.0,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "Ki" => 1024.0,
        "Mi" => 1048576.0,
        "Gi" => 1073741824.0,
        _ => anyhow::bail!("no rule for the quantity {text}"),
    };
    Ok(amount.parse::<f64>().with_context(|| text.clone())? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, value) in [("250m", 0.25), ("1536Mi", 1610612736.0), ("5G", 5e9), ("12", 12.0)] {
            assert_eq!(quantity(&json!(text)).ok(), Some(value), "{text}");
        }
        assert_eq!(quantity(&json!(3)).ok(), Some(3.0));
        assert!(quantity(&json!("3Xi")).is_err(), "a unit that nobody knows");
    }
}
