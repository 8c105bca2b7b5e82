//! The protobuf wire format (<https://protobuf.dev/programming-guides/encoding/>), the five shapes that OTLP needs.

/// Wire type 0.
const VARINT: u32 = 0;
/// Wire type 1.
const FIXED64: u32 = 1;
/// Wire type 2.
const LEN: u32 = 2;

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
