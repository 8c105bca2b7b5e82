//! A compressed file and a position that was kept of it, both of any kind: nothing panics, reading ends, and where both are
//! sound, what is read behind the position is what was written there.
#![no_main]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use hawsepipe_logs::fuzzing::read_compressed;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((head, rest)) = data.split_first_chunk::<9>() else { return };
    let [sound, o1, o2, e1, e2, before @ ..] = *head;
    let stdout = u64::from(u16::from_le_bytes([o1, o2]));
    let stderr = u64::from(u16::from_le_bytes([e1, e2]));
    if sound % 2 == 0 {
        // As it comes, and with a sound head.
        let _ = read_compressed(rest, (stdout, stderr), u32::from_le_bytes(before));
        let framed = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03"[..], rest].concat();
        let _ = read_compressed(&framed, (stdout, stderr), u32::from_le_bytes(before));
        return;
    }
    // Lines that are no CRI, and no holes: each is a record, and its bytes are the record.
    let text: Vec<u8> = rest.iter().map(|byte| if *byte == 0 { b'x' } else { *byte }).collect();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&text).expect("a vector takes everything");
    let gz = encoder.finish().expect("a vector takes everything");
    let starts = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let starts: Vec<usize> = [0].into_iter().chain(starts).collect();
    let at = starts[usize::from(o1) % starts.len()];
    let bodies = read_compressed(&gz, (at as u64, at as u64), 0);
    let mut expected: Vec<&[u8]> = text[at..].split(|byte| *byte == b'\n').collect();
    // Behind the last newline stands nothing.
    expected.pop_if(|last| last.is_empty());
    if expected.iter().all(|line| {
        hawsepipe_logs::parse_cri(line, &mut Default::default()).is_none()
            && line.first() != Some(&b'{')
    }) {
        let lengths: Vec<u64> = expected.iter().map(|line| line.len() as u64).collect();
        assert_eq!(bodies, lengths);
    }
});
