//! `/proc/loadavg`: how many threads run or want to, on average. Format: `proc_loadavg(5)`.

use crate::error::{ParseError, ReadError};
use crate::{HostRoot, file, text};

/// The load of the host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LoadAverage {
    /// Threads that run, could run or wait for a disk, on average of a minute.
    pub one_minute: f64,
    /// Of five minutes.
    pub five_minutes: f64,
    /// Of fifteen minutes.
    pub fifteen_minutes: f64,
    /// Threads that run or could run now.
    pub runnable: Option<u64>,
    /// All threads there are.
    pub threads: Option<u64>,
}

/// Reads `/proc/loadavg`.
///
/// # Errors
/// When the file cannot be read or does not hold three numbers.
pub fn read(root: &HostRoot) -> Result<LoadAverage, ReadError> {
    file::parse(root.proc("loadavg"), parse)
}

/// Parses the text of `/proc/loadavg`.
///
/// # Errors
/// When it does not hold three numbers.
pub fn parse(bytes: &[u8]) -> Result<LoadAverage, ParseError> {
    let mut line = text::only_line(bytes);
    let one_minute = line.f64("1 minute")?;
    let five_minutes = line.f64("5 minutes")?;
    let fifteen_minutes = line.f64("15 minutes")?;
    let (runnable, threads) =
        match line.next().and_then(|field| str::from_utf8(field).ok()?.split_once('/')) {
            Some((runnable, threads)) => {
                (text::u64(runnable.as_bytes()), text::u64(threads.as_bytes()))
            }
            None => (None, None),
        };
    Ok(LoadAverage { one_minute, five_minutes, fifteen_minutes, runnable, threads })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_averages_and_the_threads_are_read() {
        let load = parse(b"0.20 1.18 10.12 3/843 11206\n").expect("parsed");
        assert_eq!((load.one_minute, load.five_minutes, load.fifteen_minutes), (0.2, 1.18, 10.12));
        assert_eq!((load.runnable, load.threads), (Some(3), Some(843)));
    }

    #[test]
    fn what_is_no_load_is_refused_by_field() {
        let field = |text: &[u8]| parse(text).expect_err("refused").field;
        assert_eq!(field(b""), "1 minute");
        assert_eq!(field(b"0.1 x"), "5 minutes");
        assert_eq!(field(b"0.1 0.2 NaN"), "15 minutes");
        assert_eq!(field(b"-0.1 0.2 0.3"), "1 minute");
        assert_eq!(parse(b"0.1 0.2 0.3").expect("parsed").threads, None);
    }
}
