//! Numbers with their units, for people.

use hawsepipe_collect::reading::{Number, as_f64};

/// A value in a metric's unit.
pub(super) fn value(number: Number, unit: &str) -> String {
    let value = as_f64(number);
    match unit {
        "By" => bytes(value),
        "s" => seconds(value),
        // A whole number in `1` is a count (the kubelet receiver's page faults, inodes), or whether something is so.
        "1" if matches!(number, Number::Double(_)) => percent(value),
        "Hz" => scaled(value, 1000.0, &["Hz", "kHz", "MHz", "GHz"]),
        _ => match number {
            Number::Int(_) => count(value),
            Number::Double(_) => format!("{value:.2}"),
        },
    }
}

/// How fast a counter counts, a second.
pub(super) fn rate(rate: f64, unit: &str) -> String {
    match unit {
        "By" => format!("{}/s", bytes(rate)),
        // Seconds of a second.
        "s" => percent(rate),
        _ => format!("{}/s", count(rate)),
    }
}

/// Bytes.
pub(crate) fn bytes(value: f64) -> String {
    scaled(value, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"])
}

/// A part of a whole.
pub(crate) fn percent(part: f64) -> String {
    let percent = part * 100.0;
    let digits = usize::from(percent != 0.0 && percent < 9.95);
    format!("{percent:.digits$} %")
}

/// Whole numbers as they are as long as they are short.
fn count(value: f64) -> String {
    if value.abs() < 100_000.0 {
        let digits = usize::from(value.fract() != 0.0 && value.abs() < 100.0);
        return format!("{value:.digits$}");
    }
    scaled(value, 1000.0, &["", "k", "M", "G", "T"]).trim_end().to_owned()
}

fn scaled(mut value: f64, step: f64, units: &[&str]) -> String {
    let mut at = 0;
    // Rounding must not make 1024.0 KiB of it.
    while value.abs() >= step - 0.5 && at + 1 < units.len() {
        value /= step;
        at += 1;
    }
    let digits = usize::from(at > 0 && value.abs() < 99.95);
    format!("{value:.digits$} {}", units[at])
}

/// The two largest units that a time has.
fn seconds(value: f64) -> String {
    if value.abs() < 60.0 {
        let digits = if value == 0.0 { 0 } else { 2 };
        return format!("{value:.digits$} s");
    }
    // `as` saturates.
    let whole = value as u64;
    let (days, hours, minutes) = (whole / 86_400, whole / 3600 % 24, whole / 60 % 60);
    if days > 0 {
        format!("{days} d {hours} h")
    } else if hours > 0 {
        format!("{hours} h {minutes} min")
    } else {
        format!("{minutes} min {} s", whole % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_say_their_unit() {
        for (number, unit, text) in [
            (Number::Int(0), "By", "0 B"),
            (Number::Int(1023), "By", "1023 B"),
            (Number::Int(1_048_575), "By", "1.0 MiB"),
            (Number::Int(150 << 30), "By", "150 GiB"),
            (Number::Double(0.0312), "1", "3.1 %"),
            (Number::Int(654_300), "1", "654 k"),
            (Number::Int(1), "1", "1"),
            (Number::Double(0.0), "1", "0 %"),
            (Number::Double(0.999), "1", "100 %"),
            (Number::Double(1.5), "s", "1.50 s"),
            (Number::Double(75.0), "s", "1 min 15 s"),
            (Number::Double(90_061.0), "s", "1 d 1 h"),
            (Number::Double(2.4e9), "Hz", "2.4 GHz"),
            (Number::Double(0.5), "{thread}", "0.50"),
            (Number::Int(99_999), "{operations}", "99999"),
            (Number::Int(1_234_567), "{operations}", "1.2 M"),
        ] {
            assert_eq!(value(number, unit), text);
        }
        assert_eq!(rate(2048.0, "By"), "2.0 KiB/s");
        assert_eq!(rate(0.25, "s"), "25 %");
        assert_eq!(rate(3.2, "{packets}"), "3.2/s");
    }
}
