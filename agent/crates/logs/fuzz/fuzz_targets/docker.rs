//! Any bytes as a line of docker's: nothing panics, and a whole line's content ends before its newline.
#![no_main]

use hawsepipe_logs::{TimeParser, parse_docker};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut times = TimeParser::default();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some(parsed) = parse_docker(line, &mut times) {
            assert!(parsed.content.len() <= line.len());
            assert!(!parsed.partial || !parsed.content.ends_with('\n'));
        }
    }
});
