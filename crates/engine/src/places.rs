//! Places among those who are served for long.
//!
//! Each takes a connection and memory, so there are only so many; and one key has only a share of them, so that whoever holds it
//! cannot keep everybody else out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Places {
    most: usize,
    most_of_one_key: usize,
    /// By the id of the key.
    taken: Mutex<HashMap<String, usize>>,
}

/// Free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    key_id: String,
    size: usize,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    All,
    OfOneKey { most: usize },
}

impl Places {
    pub(crate) fn new(most: usize, most_of_one_key: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one_key,
            taken: Mutex::default(),
        })
    }

    /// A place as large as so many.
    pub(crate) fn take(self: &Arc<Self>, key_id: &str, size: usize) -> Result<Place, Full> {
        let mut taken = self.taken.lock();
        if taken.values().sum::<usize>() + size > self.most {
            return Err(Full::All);
        }
        let of_key = taken.get(key_id).copied().unwrap_or_default();
        if of_key + size > self.most_of_one_key {
            return Err(Full::OfOneKey {
                most: self.most_of_one_key,
            });
        }
        taken.insert(key_id.to_owned(), of_key + size);
        Ok(Place {
            places: Arc::clone(self),
            key_id: key_id.to_owned(),
            size,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Entry::Occupied(mut of_key) = taken.entry(mem::take(&mut self.key_id)) {
            *of_key.get_mut() -= self.size;
            if *of_key.get() == 0 {
                of_key.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_has_its_share_and_leaves_the_rest_to_others() {
        let places = Places::new(30, 25);
        let mut of_one: Vec<Place> = (0..25).map(|_| places.take("one", 1).expect("its share")).collect();
        assert_eq!(places.take("one", 1).err(), Some(Full::OfOneKey { most: 25 }));
        let of_other = places.take("other", 5).expect("there is room");
        of_one.pop();
        assert_eq!(places.take("one", 2).err(), Some(Full::All));
        of_one.push(places.take("one", 1).expect("one of its places is free again"));
        assert_eq!(places.take("third", 1).err(), Some(Full::All));
        drop((of_one, of_other));
        assert!(places.taken.lock().is_empty(), "nobody is remembered who has gone");
    }
}
