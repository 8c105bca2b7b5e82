//! How grave a log record is.

/// How grave a log record is: the first of each range of numbers (OpenTelemetry, logs data model, "SeverityNumber").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Severity {
    /// Nobody says.
    #[default]
    Unspecified,
    /// Something happened.
    Info,
    /// Something may need a person.
    Warn,
    /// Something went wrong.
    Error,
}

impl Severity {
    /// `SeverityNumber`.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Unspecified => 0,
            Self::Info => 9,
            Self::Warn => 13,
            Self::Error => 17,
        }
    }
}
