//! RFC 3339 time stamps to nanoseconds since the epoch, to the nanosecond, quickly.
//!
//! containerd writes UTC or local time with trailing zeros trimmed (`time.RFC3339Nano`), CRI-O nine digits and an
//! offset. Neighbouring lines share the minute, so the last minute that was worked out is kept.

/// `YYYY-MM-DDTHH:MM:`
const MINUTE_LEN: usize = 17;
const NANOS_PER_SEC: i64 = 1_000_000_000;

/// Parses time stamps; remembers the last minute.
#[derive(Debug, Clone, Default)]
pub struct TimeParser {
    minute: [u8; MINUTE_LEN],
    /// Seconds since the epoch at the beginning of `minute`, as if it were UTC.
    seconds: i64,
}

impl TimeParser {
    /// Nanoseconds since the epoch, or `None` when `text` is no RFC 3339 time between 1970 and 2262.
    pub fn parse(&mut self, text: &[u8]) -> Option<u64> {
        let (minute, rest) = text.split_first_chunk::<MINUTE_LEN>()?;
        if *minute != self.minute {
            self.seconds = minute_to_seconds(minute)?;
            self.minute = *minute;
        }
        let second = two_digits(rest)?;
        // 60 is a leap second (RFC 3339, section 5.7).
        if second > 60 {
            return None;
        }
        let (nanos, zone) = fraction(&rest[2..])?;
        let seconds = self.seconds + second - offset(zone)?;
        let total = seconds.checked_mul(NANOS_PER_SEC)?.checked_add(nanos)?;
        u64::try_from(total).ok()
    }
}

fn digit(byte: u8) -> Option<i64> {
    byte.is_ascii_digit().then(|| i64::from(byte - b'0'))
}

fn two_digits(text: &[u8]) -> Option<i64> {
    let [a, b, ..] = text else { return None };
    Some(digit(*a)? * 10 + digit(*b)?)
}

/// The fraction of a second in nanoseconds, and what stands behind it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let len = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 || len > 9 {
        return None;
    }
    let mut nanos = 0;
    for &byte in &digits[..len] {
        nanos = nanos * 10 + i64::from(byte - b'0');
    }
    for _ in len..9 {
        nanos *= 10;
    }
    Some((nanos, &digits[len..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" => Some(0),
        [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let hours = two_digits(hours)?;
            let minutes = two_digits(&[*m1, *m2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn minute_to_seconds(text: &[u8; MINUTE_LEN]) -> Option<i64> {
    let year = two_digits(&text[0..])? * 100 + two_digits(&text[2..])?;
    let month = two_digits(&text[5..])?;
    let day = two_digits(&text[8..])?;
    let hour = two_digits(&text[11..])?;
    let minute = two_digits(&text[14..])?;
    let marks = [text[4], text[7], text[10], text[13], text[16]] == *b"--T::";
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !marks || !(1..=days).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    Some(days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60)
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years begin in March, so that the leap day is a
/// year's last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Option<u64> {
        TimeParser::default().parse(text.as_bytes())
    }

    #[test]
    fn a_time_keeps_its_nanoseconds() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse("2016-10-06T00:17:09.669794202Z"), Some(1_475_713_029_669_794_202));
        assert_eq!(parse("2016-10-06T00:17:09.66Z"), Some(1_475_713_029_660_000_000));
        assert_eq!(parse("2016-10-06T02:17:09.669794202+02:00"), Some(1_475_713_029_669_794_202));
        assert_eq!(parse("2016-10-05T18:47:09.669794202-05:30"), Some(1_475_713_029_669_794_202));
        assert_eq!(parse("2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2016",
            "2016-13-06T00:17:09Z",
            "2016-10-32T00:17:09Z",
            "2023-02-29T00:17:09Z",
            "2016-10-06T24:17:09Z",
            "2016-10-06T00:60:09Z",
            "2016-10-06T00:17:61Z",
            "2016-10-06 00:17:09Z",
            "2016-10-06T00:17:09",
            "2016-10-06T00:17:09.Z",
            "2016-10-06T00:17:09.1234567890Z",
            "2016-10-06T00:17:09+2:00",
            "2016-10-06T00:17:09+02:00x",
            "1969-12-31T23:59:59Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn prop_a_remembered_minute_changes_nothing(
            seconds in proptest::collection::vec(0_i64..4_000_000_000, 1..20),
        ) {
            let mut parser = TimeParser::default();
            for second in seconds {
                // The inverse, worked out by counting years and months.
                let (mut days, rest) = (second / 86_400, second % 86_400);
                let (mut year, mut month) = (1970, 1);
                loop {
                    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
                    let lengths =
                        [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
                    if days < lengths[month - 1] {
                        break;
                    }
                    days -= lengths[month - 1];
                    month += 1;
                    if month == 13 {
                        (year, month) = (year + 1, 1);
                    }
                }
                let text = format!(
                    "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.5Z",
                    days + 1, rest / 3600, rest / 60 % 60, rest % 60
                );
                let nanos = second as u64 * 1_000_000_000 + 500_000_000;
                prop_assert_eq!(parser.parse(text.as_bytes()), Some(nanos));
            }
        }

        #[test]
        fn prop_any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..50)) {
            let _ = TimeParser::default().parse(&bytes);
        }
    }
}
