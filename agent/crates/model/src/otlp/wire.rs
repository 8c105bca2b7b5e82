//! The protobuf wire format (<https://protobuf.dev/programming-guides/encoding/>): written in the five shapes that OTLP
//! needs, read field by field.

/// Wire type 0.
const VARINT: u32 = 0;
/// Wire type 1.
const FIXED64: u32 = 1;
/// Wire type 2.
const LEN: u32 = 2;
/// Wire type 5.
const FIXED32: u32 = 5;

/// Bytes of a length that is written later: a varint of five bytes holds 35 bits. Longer than needed is valid
/// ("Varints" there; decoders take up to ten bytes).
pub(super) const OPEN_LEN: usize = 5;

pub(super) const fn varint_len(value: u64) -> usize {
    // ceil(bits / 7), at least one.
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Length of a field key for field numbers below 16.
pub(super) const KEY_LEN: usize = 1;

pub(super) fn put_key(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    put_varint(out, u64::from(field << 3 | wire_type));
}

pub(super) fn put_fixed64(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, FIXED64);
    out.extend_from_slice(&value.to_le_bytes());
}

pub(super) fn put_double(out: &mut Vec<u8>, field: u32, value: f64) {
    put_fixed64(out, field, value.to_bits());
}

pub(super) fn put_uint(out: &mut Vec<u8>, field: u32, value: u64) {
    put_key(out, field, VARINT);
    put_varint(out, value);
}

pub(super) fn put_len(out: &mut Vec<u8>, field: u32, len: usize) {
    put_key(out, field, LEN);
    put_varint(out, len as u64);
}

pub(super) fn put_bytes(out: &mut Vec<u8>, field: u32, bytes: &[u8]) {
    put_len(out, field, bytes.len());
    out.extend_from_slice(bytes);
}

/// Length of a length-delimited field, key and length included, for field numbers below 16.
pub(super) const fn bytes_field_len(len: usize) -> usize {
    KEY_LEN + varint_len(len as u64) + len
}

/// Opens a length-delimited field whose length is not known yet; close it with [`close_len`].
pub(super) fn open_len(out: &mut Vec<u8>, field: u32) -> usize {
    put_key(out, field, LEN);
    let at = out.len();
    out.extend_from_slice(&[0x80, 0x80, 0x80, 0x80, 0]);
    at
}

/// Writes the length of everything behind the place that [`open_len`] returned.
pub(super) fn close_len(out: &mut [u8], at: usize) {
    let mut len = out.len() - at - OPEN_LEN;
    for (index, byte) in out[at..at + OPEN_LEN].iter_mut().enumerate() {
        let more = if index + 1 < OPEN_LEN { 0x80 } else { 0 };
        *byte = (len & 0x7f) as u8 | more;
        len >>= 7;
    }
}

/// Why bytes are no protobuf message of the kind that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A field ends behind the end of its message.
    #[error("a field ends behind the end of its message")]
    Truncated,
    /// A varint of more than ten bytes or 64 bits.
    #[error("a number is longer than 64 bits")]
    Varint,
    /// A field number of zero, or over 2^29 - 1.
    #[error("a field has an impossible number")]
    FieldNumber,
    /// Groups (deprecated, never in OTLP) and the two wire types that do not exist.
    #[error("a field has the wire type {0}, which OTLP does not use")]
    WireType(u32),
}

/// One field as it stands on the wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    /// Its number.
    pub(super) number: u32,
    /// The content, if it is length-delimited.
    pub(super) content: Option<&'a [u8]>,
    /// All its bytes, key and length included.
    pub(super) raw: &'a [u8],
}

impl<'a> Field<'a> {
    /// The content of the length-delimited field `number`; `None` for any other field.
    pub(super) fn message(&self, number: u32) -> Option<&'a [u8]> {
        self.content.filter(|_| self.number == number)
    }
}

/// The fields of a message, one after the other; ends after the first error.
#[derive(Debug, Clone)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read_field(self.0);
        self.0 = match &field {
            Ok(field) => &self.0[field.raw.len()..],
            Err(_) => &[],
        };
        Some(field)
    }
}

fn read_field(bytes: &[u8]) -> Result<Field<'_>, WireError> {
    let mut rest = bytes;
    let key = read_varint(&mut rest)?;
    let number = u32::try_from(key >> 3).unwrap_or(u32::MAX);
    if number == 0 || number > (1 << 29) - 1 {
        return Err(WireError::FieldNumber);
    }
    let mut content = None;
    match (key & 7) as u32 {
        VARINT => drop(read_varint(&mut rest)?),
        FIXED64 => drop(take(&mut rest, 8)?),
        FIXED32 => drop(take(&mut rest, 4)?),
        LEN => {
            let len = read_varint(&mut rest)?;
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            content = Some(take(&mut rest, len)?);
        }
        other => return Err(WireError::WireType(other)),
    }
    Ok(Field { number, content, raw: &bytes[..bytes.len() - rest.len()] })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], WireError> {
    let (taken, left) = rest.split_at_checked(len).ok_or(WireError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn read_varint(rest: &mut &[u8]) -> Result<u64, WireError> {
    let mut value = 0;
    for index in 0..10 {
        let byte = take(rest, 1)?[0];
        if index == 9 && byte > 1 {
            return Err(WireError::Varint);
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(WireError::Varint)
}
