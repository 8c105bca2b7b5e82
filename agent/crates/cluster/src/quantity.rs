//! Kubernetes' way to write amounts: `100m`, `1.5Gi`, `2e3`.
//!
//! In: the text. Out: a [`Quantity`], exact to a billionth, rounded up as Kubernetes does. Format: `Quantity` in
//! `staging/src/k8s.io/apimachinery/pkg/api/resource/quantity.go`: a decimal number, behind it nothing, one of
//! `n u m k M G T P E`, one of `Ki Mi Gi Ti Pi Ei`, or an exponent of ten (`e3`, `E-2`). What is larger than 2^63 - 1 counts
//! as that; what is negative is none here, where amounts are what somebody asks for.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// An amount that is not negative.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Quantity {
    /// In billionths.
    nano: i128,
}

const NANO: i128 = 1_000_000_000;
/// The largest (`maxAllowed` in Kubernetes).
const MOST: i128 = i64::MAX as i128 * NANO;
/// So many digits behind the point are told apart; whatever follows rounds up.
const FRACTION: usize = 18;
const FRACTION_ONE: i128 = 1_000_000_000_000_000_000;

impl Quantity {
    /// Reads an amount; `None` for what is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('+').unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !digits(fraction) {
            return None;
        }
        let nano = match unit(suffix)? {
            Unit::Nano(nano) => times(whole, fraction, nano),
            // Below a billionth: any of it rounds up to one.
            Unit::Less => i128::from(number.bytes().any(|byte| matches!(byte, b'1'..=b'9'))),
            Unit::More if number.bytes().any(|byte| matches!(byte, b'1'..=b'9')) => MOST,
            Unit::More => 0,
        };
        Some(Self { nano })
    }

    /// The amount as a number.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn units(self) -> f64 {
        // In two steps: 0.1 is to be 0.1.
        (self.nano / NANO) as f64 + (self.nano % NANO) as f64 / 1e9
    }

    /// The amount in whole units, rounded up.
    #[must_use]
    pub fn whole(self) -> u64 {
        u64::try_from(div_up(self.nano, NANO)).unwrap_or(u64::MAX)
    }
}

/// What a suffix says.
enum Unit {
    /// One is so many billionths.
    Nano(i128),
    /// Less than a billionth.
    Less,
    /// More than can be.
    More,
}

fn unit(suffix: &str) -> Option<Unit> {
    let binary = |power: u32| Some(Unit::Nano(NANO << (10 * power)));
    match suffix {
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        "n" => Some(ten_to(-9)),
        "u" => Some(ten_to(-6)),
        "m" => Some(ten_to(-3)),
        "" => Some(ten_to(0)),
        "k" => Some(ten_to(3)),
        "M" => Some(ten_to(6)),
        "G" => Some(ten_to(9)),
        "T" => Some(ten_to(12)),
        "P" => Some(ten_to(15)),
        "E" => Some(ten_to(18)),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            // More digits than fit are far beyond either end.
            let beyond = if exponent.starts_with('-') { i32::MIN } else { i32::MAX };
            Some(ten_to(exponent.parse().unwrap_or(beyond)))
        }
    }
}

fn ten_to(exponent: i32) -> Unit {
    match exponent {
        ..=-10 => Unit::Less,
        // 10^27 billionths are 10^18, the largest power of ten that there is.
        -9..=18 => Unit::Nano((0..exponent + 9).fold(1, |power, _| power * 10)),
        _ => Unit::More,
    }
}

/// `whole.fraction`, each of which is so many billionths.
fn times(whole: &str, fraction: &str, nano: i128) -> i128 {
    // A number that does not fit is larger than what is largest.
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<i128>().ok() };
    let whole = whole.and_then(|whole| whole.checked_mul(nano));
    let (told, rest) = fraction.split_at(fraction.len().min(FRACTION));
    let digits = told.bytes().chain(std::iter::repeat(b'0')).take(FRACTION);
    let told = digits.fold(0_i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let rest = rest.bytes().any(|digit| digit != b'0');
    // The product would not fit with a large unit; those are whole multiples of a billion billionths.
    let part = if nano < NANO {
        up(told * nano, FRACTION_ONE, rest)
    } else {
        up(told * (nano / NANO), FRACTION_ONE / NANO, rest)
    };
    whole.and_then(|whole| whole.checked_add(part)).unwrap_or(MOST).min(MOST)
}

/// A division, rounded up; `more` says that there was a little more.
fn up(number: i128, by: i128, more: bool) -> i128 {
    if more { number / by + 1 } else { div_up(number, by) }
}

fn div_up(number: i128, by: i128) -> i128 {
    number / by + i128::from(number % by != 0)
}

/// Reads a text or a number. What is no amount is none: an odd amount must not cost the pod.
pub(crate) fn amount<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Quantity>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Text(String),
        Whole(u64),
        Number(f64),
        Other(IgnoredAny),
    }
    Ok(match Written::deserialize(from)? {
        Written::Text(text) => Quantity::parse(&text),
        Written::Whole(number) => Quantity::parse(&number.to_string()),
        Written::Number(number) => Quantity::parse(&number.to_string()),
        Written::Other(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nano(text: &str) -> i128 {
        Quantity::parse(text).unwrap_or_else(|| panic!("{text} is an amount")).nano
    }

    #[test]
    fn amounts_are_read_as_kubernetes_writes_them() {
        for (text, billionths) in [
            ("0", 0),
            ("1", NANO),
            ("+1", NANO),
            ("100m", NANO / 10),
            ("0.1", NANO / 10),
            (".5", NANO / 2),
            ("1.", NANO),
            ("250u", 250_000),
            ("7n", 7),
            ("1k", 1000 * NANO),
            ("1Ki", 1024 * NANO),
            ("1.5Gi", 3 * (1 << 29) * NANO),
            ("128974848", 128_974_848 * NANO),
            ("129e6", 129_000_000 * NANO),
            ("129M", 129_000_000 * NANO),
            ("123Mi", 123 * (1 << 20) * NANO),
            ("1e3", 1000 * NANO),
            ("1E3", 1000 * NANO),
            ("1E", 1_000_000_000_000_000_000 * NANO),
            ("12E-1", NANO * 12 / 10),
            ("1e-9", 1),
            ("007", 7 * NANO),
        ] {
            assert_eq!(nano(text), billionths, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_billionth_rounds_up() {
        assert_eq!(nano("0.1n"), 1);
        assert_eq!(nano("1.0000000001"), NANO + 1);
        assert_eq!(nano("1.000000000000000000000000001"), NANO + 1);
        assert_eq!(nano("1.0000000000000000000000000000000000000000000"), NANO);
        assert_eq!(nano("1e-400"), 1);
        assert_eq!(nano("0e-400"), 0);
        assert_eq!(Quantity::parse("1500m").map(Quantity::whole), Some(2));
        assert_eq!(Quantity::parse("1500m").map(Quantity::units), Some(1.5));
        assert_eq!(Quantity::parse("100m").map(Quantity::units), Some(0.1));
    }

    #[test]
    fn what_is_too_large_is_the_largest() {
        for text in ["8Ei", "1e19", "9223372036854775808", "1e999999999999", &"9".repeat(60)] {
            assert_eq!(nano(text), MOST, "{text}");
        }
        assert_eq!(nano("0e999"), 0);
        assert_eq!(Quantity::parse("1e19").map(Quantity::whole), Some(i64::MAX as u64));
    }

    #[test]
    fn what_is_no_amount_is_none() {
        for text in [
            "", ".", "-1", "- 1", "1 ", " 1", "1kk", "1K", "1mi", "Ki", "1.2.3", "1e", "1e+",
            "1e1.5", "1Ee3", "m1", "0x1", "1_000", "many", "+", "++1", "1.-2", "١",
        ] {
            assert_eq!(Quantity::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn prop_any_text_is_read_without_panic(text in "[0-9.+-]{0,45}(\\PC{0,6}|[eE][+-]?[0-9]{0,12}|[KMGTPE]i?)") {
            if let Some(quantity) = Quantity::parse(&text) {
                prop_assert!((0..=MOST).contains(&quantity.nano));
            }
        }

        #[test]
        fn prop_an_amount_in_millionths_is_read_to_the_millionth(amount in 0..1_000_000_000_000_000_u64) {
            let expected = i128::from(amount) * 1000;
            prop_assert_eq!(nano(&format!("{amount}u")), expected);
            prop_assert_eq!(nano(&format!("{}.{:06}", amount / 1_000_000, amount % 1_000_000)), expected);
            prop_assert_eq!(nano(&format!("{amount}e-6")), expected);
            prop_assert_eq!(nano(&format!("{}.{:03}m", amount / 1000, amount % 1000)), expected);
        }

        #[test]
        fn prop_binary_units_are_powers_of_1024(amount in 0..1000_u64, fraction in 0..1024_u64, power in 1..6_usize) {
            let unit = ["Ki", "Mi", "Gi", "Ti", "Pi"][power - 1];
            let smaller = ["", "Ki", "Mi", "Gi", "Ti"][power - 1];
            // A 1024th has ten digits.
            let text = format!("{amount}.{:010}{unit}", fraction * 10_000_000_000 / 1024);
            let exact = nano(&format!("{}{smaller}", amount * 1024 + fraction));
            prop_assert_eq!(nano(&text), exact);
        }

        #[test]
        fn prop_more_is_never_read_as_less(a in 0..u64::MAX, b in 0..u64::MAX, unit in "|m|k|Ki|G|Ei|e2|e-3") {
            let read = |number: u64| nano(&format!("{number}{unit}"));
            prop_assert!(read(a.min(b)) <= read(a.max(b)));
        }
    }
}
