//! The declaration of a metric: what a collector says of it once, and what the points, the reference page and the
//! configuration take from it.

use hawsepipe_model::otlp::Instrument;

/// A metric as it is declared. Made with [`metrics!`] alone.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, by OpenTelemetry's conventions.
    pub name: &'static str,
    /// Its unit, as UCUM writes it.
    pub unit: &'static str,
    /// The kind of its series.
    pub instrument: Instrument,
    /// What its values are.
    pub value: ValueType,
    /// The keys of its attributes, in the order in which its points give their values.
    pub attributes: &'static [&'static str],
    /// Whether it is sent unless the configuration says otherwise.
    pub default: bool,
    /// What it says; with a space in front, as a doc comment has it.
    pub(crate) words: &'static str,
}

/// What the values of a metric are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// Whole numbers.
    Int,
    /// Any numbers.
    Double,
}

impl ValueType {
    /// The word for it, as the OpenTelemetry Collector's pages have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Double => "double",
        }
    }
}

impl Metric {
    /// What it says.
    #[must_use]
    pub fn description(&self) -> &'static str {
        self.words.trim()
    }
}

/// Declares the metrics of a collector: a private static for each, and the list `METRICS` of all of them. There is no
/// other way to make one, so a collector has no metric that is not in its list.
///
/// ```ignore
/// metrics! {
///     /// What it says.
///     IO: Counter Int "system.disk.io" "By" ["device", "direction"] on;
/// }
/// ```
///
/// `off` instead of `on`: only where the configuration asks for it.
macro_rules! metrics {
    ($(
        $(#[doc = $words:literal])+
        $id:ident: $instrument:ident $value:ident $name:literal $unit:literal
        [$($attribute:literal),*] $default:ident;
    )+) => {
        $(
            $(#[doc = $words])+
            static $id: $crate::metric::Metric = $crate::metric::Metric {
                name: $name,
                unit: $unit,
                instrument: hawsepipe_model::otlp::Instrument::$instrument,
                value: $crate::metric::ValueType::$value,
                attributes: &[$($attribute),*],
                default: metrics!(@ $default),
                words: concat!($($words),+),
            };
        )+
        /// Every metric of this collector.
        static METRICS: &[&$crate::metric::Metric] = &[$(&$id),+];
    };
    (@ on) => { true };
    (@ off) => { false };
}
