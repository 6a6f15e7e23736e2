//! How far a program is, by its own word: numbers from 0 to 1, each on a line, in an open file of its own.
//!
//! The last one counts. All else that comes there is passed over, so nothing a program writes can do harm: no number is
//! made of what is none, a line takes no more memory than a number does, and of what came at once only the end is looked at.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::unix::pipe;

use crate::capture::read;

/// The number of the open file, in the program.
pub const PROGRESS_DESCRIPTOR: i32 = 3;

/// No number that is worth telling is longer.
const LINE_MAX_BYTES: usize = 64;

/// What was told last, for whoever looks while the program runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Option<f64>>>);

impl Told {
    pub(crate) fn last(&self) -> Option<f64> {
        *self.0.lock()
    }
}

/// The caller's end.
#[derive(Debug)]
pub(crate) struct Progress {
    pipe: pipe::Receiver,
    lines: Lines,
    told: Told,
}

impl Progress {
    pub(crate) fn new(pipe: pipe::Receiver, told: Told) -> Self {
        let lines = Lines::default();
        Self { pipe, lines, told }
    }

    /// Reads to the end. May be dropped half-way and called again.
    pub(crate) async fn read(&mut self) {
        let Self { pipe, lines, told } = self;
        read(pipe, |bytes| {
            if let Some(number) = lines.add(bytes) {
                *told.0.lock() = Some(number);
            }
        })
        .await;
    }
}

#[derive(Debug, Default)]
struct Lines {
    /// Of a line that has no end yet. One byte more than a line may have tells that it has too many.
    begun: Vec<u8>,
}

impl Lines {
    /// The last number among the lines that end here.
    fn add(&mut self, bytes: &[u8]) -> Option<f64> {
        let is_end = |byte: &u8| *byte == b'\n';
        let Some(end) = bytes.iter().position(is_end) else {
            self.begin(bytes);
            return None;
        };
        self.begin(&bytes[..end]);
        let first = std::mem::take(&mut self.begun);
        let rest = &bytes[end + 1..];
        // Up to the last end, what is behind it has none yet.
        let ended = rest.iter().rposition(is_end).map_or(0, |end| end + 1);
        self.begin(&rest[ended..]);
        let lines = rest[..ended].rsplit(is_end);
        lines.chain([first.as_slice()]).find_map(number)
    }

    fn begin(&mut self, bytes: &[u8]) {
        let room = (LINE_MAX_BYTES + 1).saturating_sub(self.begun.len());
        self.begun.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

fn number(line: &[u8]) -> Option<f64> {
    if line.len() > LINE_MAX_BYTES {
        return None;
    }
    let number: f64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (0.0..=1.0).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told last, however the bytes come.
    fn last(text: &[u8]) -> Option<f64> {
        let all = |at_once: usize| {
            let mut lines = Lines::default();
            text.chunks(at_once).fold(None, |told, part| lines.add(part).or(told))
        };
        let last = all(text.len().max(1));
        for at_once in 1..20 {
            assert_eq!(all(at_once), last, "{at_once} bytes at once");
        }
        last
    }

    #[test]
    fn the_last_line_that_is_a_share_counts() {
        for (text, expected) in [
            ("0.5\n", Some(0.5)),
            ("0\n1\n", Some(1.0)),
            ("0.9\n0.25\n", Some(0.25)),
            (" 0.5 \r\n", Some(0.5)),
            ("1e-1\n", Some(0.1)),
            ("0.5\nnonsense\n", Some(0.5)),
            ("\n\n0.5\n\n\n", Some(0.5)),
            ("0.1\n0.2", Some(0.1)),
            ("0.5", None),
            ("", None),
            ("\n", None),
            ("50%\n-0.1\n1.1\nNaN\ninf\n0,5\n0.5 0.6\n{}\n", None),
        ] {
            assert_eq!(last(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(last(b"0.5\n\xff\xfe\n\0\n0.\x000\n"), Some(0.5));
    }

    #[test]
    fn a_line_that_is_too_long_is_none_and_takes_no_memory() {
        let zeros = "0".repeat(LINE_MAX_BYTES - 1);
        assert_eq!(last(format!("{zeros}1\n").as_bytes()), Some(1.0));
        assert_eq!(last(format!("0.5\n{zeros}01\n").as_bytes()), Some(0.5));
        let (mut lines, part) = (Lines::default(), vec![b'0'; 65_536]);
        for _ in 0..1_000 {
            assert_eq!(lines.add(&part), None);
        }
        assert!(lines.begun.capacity() < 1_000);
        assert_eq!(lines.add(b"\n0.5\n"), Some(0.5), "the next line is another one");
    }

    #[test]
    fn of_a_flood_only_the_end_is_looked_at() {
        let flood = "0.1\n".repeat(100_000) + "0.7\n";
        assert_eq!(Lines::default().add(flood.as_bytes()), Some(0.7));
    }
}
