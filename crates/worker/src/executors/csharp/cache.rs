//! Compiled code, by what it was compiled from: bounded by number and by size, and the one that nobody used for longest goes
//! first.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::server::Assembly;

const NUMBER_MAX: usize = 1_000;
const BYTES_MAX: usize = 64 << 20;

/// Stands for a source: the same compiler with the same libraries makes the same of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(code: &str) -> Self {
        Self(Sha256::digest(code).into())
    }
}

/// In the memory of the worker, which hands out copies: no task can change what another one gets.
#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts the uses.
    now: u64,
}

#[derive(Debug)]
struct Entry {
    assembly: Arc<Assembly>,
    used_at: u64,
}

impl Cache {
    pub(super) fn get(&mut self, key: &Key) -> Option<Arc<Assembly>> {
        self.now += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used_at = self.now;
        Some(Arc::clone(&entry.assembly))
    }

    pub(super) fn keep(&mut self, key: Key, assembly: Arc<Assembly>) {
        let bytes = assembly.bytes();
        if bytes > BYTES_MAX {
            return;
        }
        self.now += 1;
        self.bytes += bytes;
        let used_at = self.now;
        if let Some(before) = self.entries.insert(key, Entry { assembly, used_at }) {
            self.bytes -= before.assembly.bytes();
        }
        while self.entries.len() > NUMBER_MAX || self.bytes > BYTES_MAX {
            // A look at each is little beside the compilation that came before.
            let Some(oldest) = self.entries.iter().min_by_key(|(_, entry)| entry.used_at) else {
                break;
            };
            let oldest = *oldest.0;
            if let Some(gone) = self.entries.remove(&oldest) {
                self.bytes -= gone.assembly.bytes();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assembly(bytes: usize) -> Arc<Assembly> {
        Arc::new(Assembly {
            image: "a".repeat(bytes),
            ..Assembly::default()
        })
    }

    #[test]
    fn what_was_not_used_for_longest_goes_when_there_are_too_many() {
        let mut cache = Cache::default();
        let key = |number: usize| Key::of(&number.to_string());
        for number in 0..NUMBER_MAX {
            cache.keep(key(number), assembly(1));
        }
        assert!(cache.get(&key(0)).is_some(), "it has been used");
        cache.keep(key(NUMBER_MAX), assembly(1));
        assert!(cache.get(&key(1)).is_none(), "nobody used it");
        assert!(cache.get(&key(0)).is_some() && cache.get(&key(2)).is_some());
        assert_eq!(cache.bytes, NUMBER_MAX);
    }

    #[test]
    fn the_size_is_bounded_and_what_is_larger_is_not_kept() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.keep(Key::of(name), assembly(BYTES_MAX / 2));
        }
        assert!(cache.get(&Key::of("a")).is_none() && cache.get(&Key::of("c")).is_some());
        cache.keep(Key::of("d"), assembly(BYTES_MAX + 1));
        assert!(cache.get(&Key::of("d")).is_none());
        cache.keep(Key::of("c"), assembly(5));
        assert_eq!(cache.bytes, BYTES_MAX / 2 + 5, "an old one counts no more");
    }
}
