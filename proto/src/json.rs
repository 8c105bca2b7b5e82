//! Values as JSON, in OTLP's manner: bytes in base64, numbers that JSON does not have as strings.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json};

use crate::v1::value::Value as Kind;
use crate::v1::{Attribute, Value};

impl Value {
    /// The value in JSON; `null` if it is empty.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match &self.value {
            None => Json::Null,
            Some(Kind::StringValue(text)) => text.as_str().into(),
            Some(Kind::BoolValue(flag)) => (*flag).into(),
            Some(Kind::IntValue(number)) => (*number).into(),
            Some(Kind::DoubleValue(number)) => serde_json::Number::from_f64(*number)
                .map_or_else(|| number.to_string().into(), Json::Number),
            Some(Kind::ListValue(list)) => list.values.iter().map(Self::to_json).collect(),
            Some(Kind::MapValue(map)) => Json::Object(attributes_to_json(&map.attributes)),
            Some(Kind::BytesValue(bytes)) => STANDARD.encode(bytes).into(),
        }
    }

    /// The text of a string, or the JSON form of anything else.
    #[must_use]
    pub fn to_text(&self) -> std::borrow::Cow<'_, str> {
        match &self.value {
            None => "".into(),
            Some(Kind::StringValue(text)) => text.into(),
            Some(_) => self.to_json().to_string().into(),
        }
    }
}

/// Attributes as a JSON object.
#[must_use]
pub fn attributes_to_json(attributes: &[Attribute]) -> Map<String, Json> {
    let pair = |attribute: &Attribute| {
        let value = attribute.value.as_ref().map_or(Json::Null, Value::to_json);
        (attribute.key.clone(), value)
    };
    attributes.iter().map(pair).collect()
}
