//! Parts that objects of several kinds have: words, conditions, amounts.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use super::meta::{Time, time};
use super::text::Text;
use crate::object::or_default;
use crate::quantity::Quantity;

/// An enum of the words that a field may hold; what is absent, or a word that is not known, is the first one.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $(#[$other_doc:meta])* $other:ident = $other_word:literal, $($(#[$word_doc:meta])* $word:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $(#[$other_doc])*
            #[default]
            $other,
            $($(#[$word_doc])* $word,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[Self::$other, $(Self::$word,)+];

            /// The word that Kubernetes has for it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::$other => $other_word,
                    $(Self::$word => stringify!($word),)+
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Ok(match word.as_ref() {
                    $(stringify!($word) => Self::$word,)+
                    _ => Self::$other,
                })
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// `status` of a condition.
    ConditionStatus {
        /// Nobody knows.
        Unknown = "Unknown",
        /// It holds.
        True,
        /// It does not.
        False,
    }
}

/// An entry of `status.conditions`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, `Available`, `Complete`, .. (`type`).
    #[serde(rename = "type", deserialize_with = "or_default")]
    pub kind: Text,
    /// Whether it holds.
    #[serde(deserialize_with = "or_default")]
    pub status: ConditionStatus,
    /// Why, in one word; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub reason: Text,
    /// Since when (`lastTransitionTime`).
    #[serde(rename = "lastTransitionTime", deserialize_with = "time")]
    pub since: Option<Time>,
}

/// The conditions of an object.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(transparent)]
pub struct Conditions(pub Box<[Condition]>);

/// Amounts of resources by name: `cpu` in CPUs, `memory` and `ephemeral-storage` in bytes, the rest in whole pieces.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct ResourceList(pub Box<[(Text, Quantity)]>);

// === impl Conditions ===

impl Conditions {
    /// The condition of this type.
    #[must_use]
    pub fn get(&self, kind: &str) -> Option<&Condition> {
        self.0.iter().find(|condition| condition.kind == *kind)
    }

    /// Whether the condition of this type holds; without it nobody knows.
    #[must_use]
    pub fn status(&self, kind: &str) -> ConditionStatus {
        self.get(kind).map(|condition| condition.status).unwrap_or_default()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Condition> {
        self.0.iter()
    }
}

// === impl ResourceList ===

impl ResourceList {
    /// The amount of this resource.
    #[must_use]
    pub fn get(&self, resource: &str) -> Option<Quantity> {
        self.iter().find(|(name, _)| *name == resource).map(|(_, amount)| amount)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Quantity)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }
}

impl fmt::Debug for ResourceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl<'de> Deserialize<'de> for ResourceList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// One that cannot be read is not there.
        #[derive(Deserialize)]
        struct Amount(#[serde(deserialize_with = "crate::quantity::amount")] Option<Quantity>);

        let amounts = BTreeMap::<Text, Amount>::deserialize(deserializer)?;
        let known = amounts.into_iter().filter_map(|(name, amount)| Some((name, amount.0?)));
        Ok(Self(known.collect()))
    }
}
