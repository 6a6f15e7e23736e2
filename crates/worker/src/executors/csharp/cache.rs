//! What became of sources, by the source: bounded by number and by size, and the one that nobody asked for longest goes first.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::server::Assembly;

const NUMBER_MAX: usize = 1_000;
const BYTES_MAX: usize = 64 << 20;

/// For so long nobody tries again what was too much.
const TOO_MUCH_LASTS: Duration = Duration::from_secs(600);

/// Stands for a source: the same compiler with the same libraries makes the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(code: &str) -> Self {
        Self(Sha256::digest(code).into())
    }
}

/// What became of a source.
#[derive(Debug, Clone)]
pub(super) enum Verdict {
    Compiled(Arc<Assembly>),
    /// The compiler's own words, which would be the same again.
    Refused(Arc<str>),
    /// The compiler did not get to its end. A machine with less to do may have one that does.
    TooMuch(Arc<str>),
}

impl Verdict {
    fn bytes(&self) -> usize {
        match self {
            Self::Compiled(assembly) => assembly.bytes(),
            Self::Refused(message) | Self::TooMuch(message) => message.len(),
        }
    }
}

/// In the memory of the worker, which hands out copies: no task can change what another one gets.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts the uses.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    verdict: Verdict,
    kept_at: Instant,
    last_use: u64,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        matches!(self.verdict, Verdict::TooMuch(_)) && now.duration_since(self.kept_at) >= TOO_MUCH_LASTS
    }
}

impl Cache {
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Verdict> {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        if entry.is_over(now) {
            return None;
        }
        entry.last_use = self.uses;
        Some(entry.verdict.clone())
    }

    pub(super) fn keep(&mut self, key: Key, verdict: Verdict, now: Instant) {
        let bytes = verdict.bytes();
        if bytes > BYTES_MAX {
            return;
        }
        self.uses += 1;
        self.bytes += bytes;
        let entry = Entry {
            verdict,
            kept_at: now,
            last_use: self.uses,
        };
        if let Some(before) = self.entries.insert(key, entry) {
            self.bytes -= before.verdict.bytes();
        }
        while self.entries.len() > NUMBER_MAX || self.bytes > BYTES_MAX {
            // A look at each is little beside the compilation that came before.
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.last_use) else {
                break;
            };
            let oldest = *oldest.0;
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.verdict.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembly(bytes: usize) -> Verdict {
        Verdict::Compiled(Arc::new(Assembly {
            image: "a".repeat(bytes),
            ..Assembly::default()
        }))
    }

    #[test]
    fn what_was_not_used_for_longest_goes_when_there_are_too_many() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let key = |number: usize| Key::of(&number.to_string());
        for number in 0..NUMBER_MAX {
            cache.keep(key(number), assembly(1), now);
        }
        assert!(cache.get(&key(0), now).is_some(), "it has been used");
        cache.keep(key(NUMBER_MAX), assembly(1), now);
        assert!(cache.get(&key(1), now).is_none(), "nobody used it");
        assert!(cache.get(&key(0), now).is_some() && cache.get(&key(2), now).is_some());
        assert_eq!(cache.bytes, NUMBER_MAX);
    }

    #[test]
    fn the_size_is_bounded_and_what_is_larger_is_not_kept() {
        let mut cache = Cache::default();
        let now = Instant::now();
        let kept = |cache: &mut Cache, name: &str| cache.get(&Key::of(name), now).is_some();
        for name in ["a", "b"] {
            cache.keep(Key::of(name), assembly(BYTES_MAX / 2), now);
        }
        let words = "c".repeat(BYTES_MAX / 2);
        cache.keep(Key::of("c"), Verdict::Refused(words.into()), now);
        assert!(!kept(&mut cache, "a") && kept(&mut cache, "c"));
        cache.keep(Key::of("d"), assembly(BYTES_MAX + 1), now);
        assert!(!kept(&mut cache, "d"));
        cache.keep(Key::of("c"), assembly(5), now);
        assert_eq!(cache.bytes, BYTES_MAX / 2 + 5, "an old one counts no more");
    }

    #[test]
    fn what_the_compiler_refused_stays_refused_and_what_was_too_much_may_be_tried_again() {
        let mut cache = Cache::default();
        let now = Instant::now();
        cache.keep(Key::of("refused"), Verdict::Refused("a message".into()), now);
        cache.keep(Key::of("too much"), Verdict::TooMuch("a message".into()), now);
        let mut kept = |name: &str, at: Instant| cache.get(&Key::of(name), at).is_some();
        assert!(kept("refused", now) && kept("too much", now));
        let later = now + TOO_MUCH_LASTS;
        assert!(kept("refused", later) && !kept("too much", later));
    }
}
