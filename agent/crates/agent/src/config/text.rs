//! Values as they are written: texts with `${VAR}`, sizes and times with units.

use std::time::Duration;

use hawsepipe_spool::MinFree;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

/// A text; `${VAR}` is replaced from the environment, `$$` is a dollar sign. Numbers and truth values are taken as YAML
/// reads them: `1.10` is `1.1` unless it is quoted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text(pub(super) String);

/// A number of bytes: `4096`, `64KiB`, `1MiB`, `2GiB`, `10MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) usize);

/// Room on a file system: a number of bytes, or `10%` of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Free(pub(super) MinFree);

/// A span of time: `500ms`, `30s`, `5m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(|text| Ok(Self(text))))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(|text: String| {
            let bytes = parse_bytes(&text).map(Self);
            bytes.ok_or_else(|| format!("`{text}` is no size; write for instance 64MiB"))
        }))
    }
}

impl<'de> Deserialize<'de> for Free {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(|text: String| {
            let free = parse_free(&text).map(Self);
            free.ok_or_else(|| {
                format!(
                    "`{text}` is no size, and no percentage below 100; write for instance 10% or 5GiB"
                )
            })
        }))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar(|text: String| {
            let span = parse_span(&text).map(Self);
            span.ok_or_else(|| format!("`{text}` is no time; write for instance 500ms, 30s or 5m"))
        }))
    }
}

/// Gives a scalar, its variables replaced, to a function. The reader adds key and place to errors that come from a
/// visitor, and only to those.
struct Scalar<F>(F);

impl<T, F: FnOnce(String) -> Result<T, String>> Visitor<'_> for Scalar<F> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        let text = expand(text, |name| std::env::var(name).ok());
        text.and_then(self.0).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        self.visit_str(&flag.to_string())
    }
}

/// Replaces `${VAR}`.
fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            out.push('$');
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix('{') {
            let Some((name, behind)) = behind.split_once('}') else {
                return Err(format!(
                    "`{text}` has a `${{` without its `}}`; write `$$` for a dollar sign"
                ));
            };
            let Some(value) = lookup(name) else {
                return Err(format!(
                    "the environment has no variable {name}; set it, or write `$$` for a dollar sign"
                ));
            };
            out.push_str(&value);
            rest = behind;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// A number and its unit.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim_start()))
}

/// Bytes by IEC 80000-13 and SI units; Kubernetes' `Mi` and `M` are taken too.
pub(crate) fn parse_bytes(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit {
        "" | "B" => 1,
        "kB" | "KB" | "k" => 1000,
        "MB" | "M" => 1_000_000,
        "GB" | "G" => 1_000_000_000,
        "TB" | "T" => 1_000_000_000_000,
        "KiB" | "Ki" => 1 << 10,
        "MiB" | "Mi" => 1 << 20,
        "GiB" | "Gi" => 1 << 30,
        "TiB" | "Ti" => 1 << 40,
        _ => return None,
    };
    usize::try_from(number.checked_mul(factor)?).ok()
}

/// Bytes, or a percentage of a file system that leaves something of it.
fn parse_free(text: &str) -> Option<MinFree> {
    match split_unit(text)? {
        (percent, "%") => {
            let percent = u8::try_from(percent).ok().filter(|percent| *percent < 100);
            percent.map(MinFree::Percent)
        }
        _ => parse_bytes(text).map(|bytes| MinFree::Bytes(bytes as u64)),
    }
}

/// A span of time; a number needs its unit.
pub(crate) fn parse_span(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" | "min" => number.checked_mul(60_000)?,
        "h" => number.checked_mul(3_600_000)?,
        "d" => number.checked_mul(86_400_000)?,
        _ => return None,
    };
    Some(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_dollars_kept() {
        let lookup = |name: &str| (name == "NODE").then(|| "n1".to_owned());
        assert_eq!(expand("a-${NODE}-b", lookup).unwrap(), "a-n1-b");
        assert_eq!(expand("$$5 $x $${NODE}", lookup).unwrap(), "$5 $x ${NODE}");
        assert!(expand("${OTHER}", lookup).unwrap_err().contains("OTHER"));
        assert!(expand("${NODE", lookup).is_err());
    }

    #[test]
    fn sizes_and_times_take_units() {
        assert_eq!(parse_bytes("64MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("10 MB"), Some(10_000_000));
        assert_eq!(parse_bytes("4096"), Some(4096));
        for text in ["", "MiB", "-1", "1.5MiB", "1 parsec", "99999999999TiB"] {
            assert_eq!(parse_bytes(text), None, "{text}");
        }
        assert_eq!(parse_free("10%"), Some(MinFree::Percent(10)));
        assert_eq!(parse_free("5 GiB"), Some(MinFree::Bytes(5 << 30)));
        assert_eq!(parse_free("0"), Some(MinFree::Bytes(0)));
        for text in ["", "%", "-1%", "1.5%", "100%", "1000%", "ten", "10 % of it"] {
            assert_eq!(parse_free(text), None, "{text}");
        }
        assert_eq!(parse_span("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_span("5m"), Some(Duration::from_secs(300)));
        for text in ["", "5", "s", "-5s", "5 parsec"] {
            assert_eq!(parse_span(text), None, "{text}");
        }
    }
}
