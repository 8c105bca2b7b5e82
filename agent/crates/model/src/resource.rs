//! Attributes: the identity of what a record is about.

use std::collections::BTreeMap;

/// The value of an attribute (the part of OTLP's `AnyValue` that resources need).
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A string.
    Str(String),
    /// A signed integer.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A truth value.
    Bool(bool),
    /// A list of strings.
    Strings(Vec<String>),
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Str(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Str(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Double(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<Vec<String>> for Value {
    fn from(value: Vec<String>) -> Self {
        Self::Strings(value)
    }
}

/// A set of attributes, each key once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(BTreeMap<String, Value>);

impl Attributes {
    /// No attributes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key`, over what it was. An empty string is no information and is left out.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Value>) {
        let value = value.into();
        if !matches!(&value, Value::Str(text) if text.is_empty()) {
            self.0.insert(key.into(), value);
        }
    }

    /// Sets `key` to a text as it is, also an empty one: a label without a value says something by being there.
    pub fn set_text(&mut self, key: impl Into<String>, text: &str) {
        self.0.insert(key.into(), Value::Str(text.to_owned()));
    }

    /// Sets everything that `other` has.
    pub fn extend(&mut self, other: &Self) {
        for (key, value) in &other.0 {
            self.0.insert(key.clone(), value.clone());
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key)
    }

    /// The value of `key` if it is a string.
    #[must_use]
    pub fn str(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Value::Str(text)) => Some(text),
            _ => None,
        }
    }

    /// All attributes, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}
