//! What happened: always as a hash, and as text where somebody will read it.

use std::hash::{Hash, Hasher};

use crate::limits::{Micros, SECOND, START};

/// FNV-1a over 64-bit words: it only has to tell states and traces apart, and must be the same on every machine, which
/// the hashers of the standard library do not promise. Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        // Rotated, so that the high bits, which a product never carries down, count as well.
        self.0 = (self.0 ^ value).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_i64(&mut self, value: i64) {
        self.write_u64(value.cast_unsigned());
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value.cast_unsigned() as u64);
    }
}

/// The trace of one schedule.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Fnv,
    steps: u32,
    /// Text costs ten times the schedule itself, so it is only made when a seed is replayed.
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(with_lines: bool) -> Self {
        Self {
            hash: Fnv::default(),
            steps: 0,
            lines: with_lines.then(Vec::new),
        }
    }

    pub(crate) fn step(&mut self, now: Micros, what: &impl Hash, writes: u64) {
        self.steps += 1;
        self.hash.write_i64(now);
        what.hash(&mut self.hash);
        self.hash.write_u64(writes);
    }

    pub(crate) fn note(&mut self, now: Micros, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            #[expect(clippy::cast_precision_loss, reason = "for reading only")]
            let seconds = (now - START) as f64 / SECOND as f64;
            lines.push(format!("{seconds:>9.3} s  {}", line()));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
