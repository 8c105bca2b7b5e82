//! The little grammar that the kernel's text files share: lines of fields between blanks.
//!
//! In: bytes, of any content. Out: fields and numbers, or a [`ParseError`] that names the line and the field. Nothing
//! here allocates, and no input makes it panic.

use crate::error::{ParseError, Problem};

/// Lines with their numbers from 1, without their ends; the empty rest behind the last newline is none.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = Fields<'_>> {
    let mut rest = text;
    let mut number = 0;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest);
        let (line, behind) = end.map_or((rest, &[][..]), |end| (&rest[..end], &rest[end + 1..]));
        rest = behind;
        number += 1;
        Some(Fields::new(line, number))
    })
}

/// A file that holds one line: its fields.
pub(crate) fn only_line(text: &[u8]) -> Fields<'_> {
    lines(text).next().unwrap_or(Fields::new(&[], 1))
}

/// What is left of a line, to be taken field by field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    line: usize,
}

impl<'a> Fields<'a> {
    /// All of a line.
    pub(crate) fn new(line: &'a [u8], number: usize) -> Self {
        Self { rest: line, line: number }
    }

    /// The line's number.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// What is left, without blanks around it.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii()
    }

    /// What is left begins with a blank.
    pub(crate) fn starts_with_blank(&self) -> bool {
        self.rest.first().is_some_and(u8::is_ascii_whitespace)
    }

    /// The line's error for a field.
    pub(crate) fn error(&self, field: &'static str, problem: Problem) -> ParseError {
        ParseError { line: self.line, field, problem }
    }

    /// The next field; `None` at the end of the line.
    pub(crate) fn next(&mut self) -> Option<&'a [u8]> {
        let text = self.rest.trim_ascii_start();
        if text.is_empty() {
            self.rest = text;
            return None;
        }
        let end = text.iter().position(u8::is_ascii_whitespace).unwrap_or(text.len());
        let (field, rest) = text.split_at(end);
        self.rest = rest;
        Some(field)
    }

    /// Passes over some fields.
    pub(crate) fn skip(&mut self, fields: usize) {
        for _ in 0..fields {
            self.next();
        }
    }

    /// What stands before the first `mark`, without blanks around it; the rest is behind the mark. `None` if there is
    /// no mark.
    pub(crate) fn until(&mut self, mark: u8) -> Option<&'a [u8]> {
        let at = memchr::memchr(mark, self.rest)?;
        let (before, rest) = (&self.rest[..at], &self.rest[at + 1..]);
        self.rest = rest;
        Some(before.trim_ascii())
    }

    /// A field that must be there.
    pub(crate) fn word(&mut self, field: &'static str) -> Result<&'a [u8], ParseError> {
        self.next().ok_or_else(|| self.error(field, Problem::Missing))
    }

    /// A field that must be there, as text; what is no UTF-8 is replaced.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<Box<str>, ParseError> {
        self.word(field).map(text)
    }

    /// A number that must be there.
    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, ParseError> {
        let word = self.word(field)?;
        u64(word).ok_or_else(|| self.error(field, Problem::NotANumber))
    }

    /// A number that must be there and may be below zero.
    pub(crate) fn i64(&mut self, field: &'static str) -> Result<i64, ParseError> {
        let word = self.word(field)?;
        i64(word).ok_or_else(|| self.error(field, Problem::NotANumber))
    }

    /// A number that must be there, with a fraction.
    pub(crate) fn f64(&mut self, field: &'static str) -> Result<f64, ParseError> {
        let word = self.word(field)?;
        f64(word).ok_or_else(|| self.error(field, Problem::NotANumber))
    }

    /// A number that older kernels do not have.
    pub(crate) fn newer_u64(&mut self, field: &'static str) -> Result<Option<u64>, ParseError> {
        match self.next() {
            None => Ok(None),
            Some(word) => u64(word).map(Some).ok_or_else(|| self.error(field, Problem::NotANumber)),
        }
    }
}

/// A whole number: digits alone, no sign. `None` for anything else and for what does not fit.
pub(crate) fn u64(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |number, &digit| {
        let value = digit.checked_sub(b'0').filter(|value| *value < 10)?;
        number.checked_mul(10)?.checked_add(u64::from(value))
    })
}

/// A whole number that fits into 32 bits.
pub(crate) fn u32(word: &[u8]) -> Option<u32> {
    u64(word).and_then(|number| u32::try_from(number).ok())
}

/// A whole number with or without a minus.
pub(crate) fn i64(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        None => u64(word).and_then(|number| i64::try_from(number).ok()),
        Some(digits) => u64(digits).and_then(|number| 0_i64.checked_sub_unsigned(number)),
    }
}

/// A number in hexadecimal, without a prefix.
pub(crate) fn hex(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |number, &digit| {
        let value = (digit as char).to_digit(16)?;
        number.checked_mul(16)?.checked_add(u64::from(value))
    })
}

/// A number with a fraction. Infinity, what is below zero and what is no number are none: the kernel writes no such
/// thing.
pub(crate) fn f64(word: &[u8]) -> Option<f64> {
    let number: f64 = str::from_utf8(word).ok()?.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

/// Bytes as text; what is no UTF-8 is replaced.
pub(crate) fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

/// Major and minor number of a device (`8:0`).
pub(crate) fn device_number(device: &[u8]) -> Option<(u32, u32)> {
    let colon = memchr::memchr(b':', device)?;
    Some((u32(&device[..colon])?, u32(&device[colon + 1..])?))
}

/// Kernel lists of CPUs and nodes (`0-3,8`): how many there are. `None` if it is no such list.
pub(crate) fn list_len(list: &[u8]) -> Option<u64> {
    let list = list.trim_ascii();
    if list.is_empty() {
        return Some(0);
    }
    list.split(|byte| *byte == b',').try_fold(0_u64, |count, range| {
        let mut ends = range.splitn(2, |byte| *byte == b'-');
        let first = u64(ends.next()?)?;
        let last = ends.next().map_or(Some(first), u64)?;
        count.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_digits_alone_and_fit() {
        assert_eq!(u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(u64(b"18446744073709551616"), None);
        for word in [&b""[..], b"-1", b"+1", b"1.0", b" 1", b"1k", b"\xff"] {
            assert_eq!(u64(word), None, "{word:?}");
        }
        assert_eq!(i64(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(i64(b"-9223372036854775809"), None);
        assert_eq!(f64(b"0.25"), Some(0.25));
        assert_eq!(f64(b"inf"), None);
        assert_eq!(f64(b"nan"), None);
        assert_eq!(f64(b"-0.5"), None);
        assert_eq!(hex(b"0A"), Some(10));
        assert_eq!(hex(b"0x0A"), None);
    }

    #[test]
    fn lists_of_cpus_are_counted() {
        assert_eq!(list_len(b"0-3,8\n"), Some(5));
        assert_eq!(list_len(b"0"), Some(1));
        assert_eq!(list_len(b"\n"), Some(0));
        assert_eq!(list_len(b"3-1"), None);
        assert_eq!(list_len(b"0-18446744073709551615"), None);
    }

    proptest! {
        #[test]
        fn prop_no_bytes_make_the_grammar_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for (before, mut line) in lines(&bytes).enumerate() {
                prop_assert_eq!(line.line(), before + 1);
                while line.next().is_some() {}
                prop_assert!(line.rest().is_empty());
            }
            let _ = (u64(&bytes), i64(&bytes), hex(&bytes), f64(&bytes), list_len(&bytes));
        }

        #[test]
        fn prop_what_was_written_as_a_number_is_read_as_it(number in any::<u64>(), signed in any::<i64>()) {
            prop_assert_eq!(u64(number.to_string().as_bytes()), Some(number));
            prop_assert_eq!(i64(signed.to_string().as_bytes()), Some(signed));
            prop_assert_eq!(hex(format!("{number:08X}").as_bytes()), Some(number));
        }
    }
}
