//! Keeping what a program writes, within a bound: the beginning says what it did, the end says why it stopped.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::sleep;

use crate::Captured;

/// As much as a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// What comes beyond so much is read with pauses, so that the program waits: to read as fast as it can write would take a
/// processor from its neighbours, for bytes of which the least are kept.
const AT_ONCE_BYTES: usize = 8 << 20;
const PAUSE: Duration = Duration::from_millis(1);

/// To read is work also where there is little: a flood of single bytes is one, too.
const READ_COSTS_BYTES: usize = 1024;

/// The first and the last half of what fits.
#[derive(Debug)]
pub(crate) struct Capture {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    half: usize,
    total: u64,
    /// How much of the first half was taken already, and how long a text that made.
    taken: usize,
    taken_text: usize,
}

impl Capture {
    pub(crate) const fn new(most: usize) -> Self {
        Self {
            head: Vec::new(),
            tail: VecDeque::new(),
            half: most / 2,
            total: 0,
            taken: 0,
            taken_text: 0,
        }
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        let (first, rest) = bytes.split_at(bytes.len().min(self.half - self.head.len()));
        self.head.extend_from_slice(first);
        // Only the last half of a long write can survive.
        let rest = &rest[rest.len().saturating_sub(self.half)..];
        let surplus = (self.tail.len() + rest.len()).saturating_sub(self.half);
        self.tail.drain(..surplus);
        self.tail.extend(rest);
    }

    /// What came to the first half since this was asked last, at most so many bytes of it. A character that is not whole
    /// yet waits for its rest: what is taken piece by piece makes the same text as what is taken at once.
    pub(crate) fn take(&mut self, most: usize) -> Option<String> {
        let new = &self.head[self.taken..];
        let new = &new[..new.len().min(most)];
        let new = &new[..without_broken_end(new)];
        if new.is_empty() {
            return None;
        }
        let text = storable(new);
        self.taken += new.len();
        self.taken_text += text.len();
        Some(text)
    }

    pub(crate) fn finish(mut self) -> Captured {
        let kept = (self.head.len() + self.tail.len()) as u64;
        let cut = self.total - kept;
        let tail: &[u8] = self.tail.make_contiguous();
        let text = if cut == 0 {
            storable(&[&self.head[..], tail].concat())
        } else {
            // A character that the cut went through is no invalid output of the program.
            let head = &self.head[..without_broken_end(&self.head)];
            let tail = without_broken_start(tail);
            let cut = self.total - (head.len() + tail.len()) as u64;
            format!("{}\n[... {cut} bytes cut ...]\n{}", storable(head), storable(tail))
        };
        Captured {
            text,
            total_bytes: self.total,
            taken_bytes: self.taken_text,
        }
    }
}

/// What is not UTF-8 is replaced; so is U+0000, which PostgreSQL cannot store.
fn storable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    if text.contains('\0') {
        text.replace('\0', "\u{fffd}")
    } else {
        text.into_owned()
    }
}

/// The length without a character at the end of which only the beginning is there.
fn without_broken_end(bytes: &[u8]) -> usize {
    /// A character has at most four bytes.
    const LONGEST_BEGINNING: usize = 3;
    let begins_one = |start: &usize| {
        std::str::from_utf8(&bytes[*start..])
            .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    let beginnings = bytes.len().saturating_sub(LONGEST_BEGINNING)..bytes.len();
    beginnings.into_iter().find(begins_one).unwrap_or(bytes.len())
}

fn without_broken_start(bytes: &[u8]) -> &[u8] {
    let continuation = bytes.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count();
    &bytes[continuation..]
}

/// Reads to the end of the stream, or to an error, which is an end too.
pub(crate) async fn capture(stream: impl AsyncRead + Unpin, into: &Mutex<Capture>) {
    read(stream, |bytes| into.lock().add(bytes)).await;
}

/// Reads to the end, likewise. Dropped half-way it has lost nothing: what was read was taken.
pub(crate) async fn read(mut stream: impl AsyncRead + Unpin, mut take: impl FnMut(&[u8])) {
    let mut buffer = vec![0; 1024];
    let mut at_once = AT_ONCE_BYTES;
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        take(&buffer[..read]);
        if read == buffer.len() && buffer.len() < READ_BYTES {
            // Most programs write a line; a buffer for a flood is made when there is one.
            buffer.resize(READ_BYTES, 0);
        }
        at_once = at_once.saturating_sub(read.max(READ_COSTS_BYTES));
        if at_once == 0 {
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(most: usize, writes: &[&[u8]]) -> Captured {
        let mut capture = Capture::new(most);
        for write in writes {
            capture.add(write);
        }
        capture.finish()
    }

    #[test]
    fn what_fits_is_kept_as_it_came() {
        assert_eq!(captured(10, &[b"hello", b"world"]).text, "helloworld");
        assert_eq!(captured(10, &[]).text, "");
    }

    #[test]
    fn of_more_the_beginning_and_the_end_are_kept() {
        for writes in [
            &[&b"beginning and the very end"[..]][..],
            &[b"begin", b"ning and the ve", b"ry end"],
        ] {
            let captured = captured(10, writes);
            assert_eq!(captured.text, "begin\n[... 16 bytes cut ...]\ny end");
            assert_eq!(captured.total_bytes, 26);
        }
    }

    #[test]
    fn a_flood_does_not_grow() {
        let flood = vec![b'x'; 65_536];
        let mut capture = Capture::new(1_000);
        for _ in 0..1_000 {
            capture.add(&flood);
        }
        assert!(capture.head.capacity() + capture.tail.capacity() < 10_000);
        assert_eq!(capture.finish().total_bytes, 65_536_000);
    }

    #[tokio::test(start_paused = true)]
    async fn beyond_what_is_read_at_once_the_writer_waits() {
        let begin = tokio::time::Instant::now();
        let text = vec![b'x'; AT_ONCE_BYTES];
        read(&text[1..], |_| {}).await;
        assert!(begin.elapsed().is_zero());
        let (pauses, bytes) = (100, vec![b'x'; AT_ONCE_BYTES + 100 * READ_BYTES]);
        let mut taken = 0;
        read(&bytes[..], |part| taken += part.len()).await;
        assert_eq!(taken, bytes.len(), "nothing is lost");
        assert!(begin.elapsed() >= PAUSE * pauses);
    }

    #[test]
    fn what_is_not_text_is_replaced() {
        assert_eq!(captured(100, &[b"a\xffb\0c"]).text, "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn a_cut_does_not_leave_half_a_character() {
        let text = "é".repeat(100);
        let captured = captured(11, &[text.as_bytes()]);
        assert_eq!(captured.text, "éé\n[... 192 bytes cut ...]\néé");
    }

    #[test]
    fn what_is_taken_piece_by_piece_and_the_rest_are_the_whole() {
        let text = "aé✓\u{1f600}\0".repeat(20);
        let mut bytes = text.into_bytes();
        bytes.extend(b"\xff\xe2\x82(\xf0\x80 end\xe2\x82");
        for (most, at_once) in [(1_000, 1), (1_000, 7), (64, 3), (64, 500), (33, 1)] {
            let mut capture = Capture::new(most);
            let mut taken = String::new();
            for byte in &bytes {
                capture.add(&[*byte]);
                taken.extend(capture.take(at_once.max(4)));
            }
            let whole = captured(most, &[&bytes]);
            let finished = capture.finish();
            assert_eq!(finished.text, whole.text);
            assert_eq!(finished.text.get(..finished.taken_bytes), Some(taken.as_str()));
            assert!(!taken.is_empty() && taken.len() < finished.text.len());
        }
    }

    #[test]
    fn only_the_first_half_is_taken_before_the_end() {
        let mut capture = Capture::new(10);
        capture.add(b"beg");
        assert_eq!(capture.take(100).as_deref(), Some("beg"));
        assert_eq!(capture.take(100), None);
        capture.add(b"inning and the very end");
        assert_eq!(capture.take(100).as_deref(), Some("in"));
        assert_eq!(capture.take(100), None);
        let finished = capture.finish();
        assert_eq!(
            &finished.text[finished.taken_bytes..],
            "\n[... 16 bytes cut ...]\ny end"
        );
    }
}
