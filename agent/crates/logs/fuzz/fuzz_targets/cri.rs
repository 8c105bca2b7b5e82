//! Any bytes as a physical line: what is taken for content is the line's end, and nothing panics.
#![no_main]

use hawsepipe_logs::{TimeParser, parse_cri};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut times = TimeParser::default();
    for line in data.split(|byte| *byte == b'\n') {
        if let Some(parsed) = parse_cri(line, &mut times) {
            assert!(line.ends_with(parsed.content));
            // A parser that remembers a minute says what one says that does not.
            assert_eq!(parse_cri(line, &mut TimeParser::default()), Some(parsed));
        }
    }
});
