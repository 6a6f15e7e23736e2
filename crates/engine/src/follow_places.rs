//! Places among those who follow logs.
//!
//! Each takes a connection and memory for long, so there are only so many; and one key has only a share of them, so that
//! whoever holds it cannot keep everybody else out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Error;

/// The part of all places that one key may have: one in so many.
const SHARE: usize = 4;

/// Where there are so few places that its part would be less, one key may have this many.
const SHARE_MIN: usize = 10;

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
}

impl Places {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_of_one_key: (most / SHARE).max(SHARE_MIN).min(most),
            taken: Mutex::default(),
        })
    }

    pub(crate) fn take(self: &Arc<Self>, key_id: &str) -> Result<Place, Error> {
        let mut taken = self.taken.lock();
        if taken.values().sum::<usize>() >= self.most {
            return Err(Error::TooManyFollowers);
        }
        let of_key = taken.entry(key_id.to_owned()).or_default();
        if *of_key >= self.most_of_one_key {
            return Err(Error::TooManyFollowersOfOneKey {
                most: self.most_of_one_key,
            });
        }
        *of_key += 1;
        Ok(Place {
            places: Arc::clone(self),
            key_id: key_id.to_owned(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Entry::Occupied(mut of_key) = taken.entry(mem::take(&mut self.key_id)) {
            *of_key.get_mut() -= 1;
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
        let places = Places::new(100);
        let mut of_one: Vec<Place> = (0..25).map(|_| places.take("one").expect("its share")).collect();
        assert!(matches!(
            places.take("one"),
            Err(Error::TooManyFollowersOfOneKey { most: 25 })
        ));
        let of_other = places.take("other").expect("there is room");
        of_one.pop();
        of_one.push(places.take("one").expect("one of its places is free again"));
        drop((of_one, of_other));
        assert!(places.taken.lock().is_empty(), "nobody is remembered who has gone");
    }

    #[test]
    fn where_there_are_few_places_one_key_may_have_ten_of_them_or_all() {
        let places = Places::new(12);
        let of_one: Vec<Place> = (0..10).map(|_| places.take("one").expect("its share")).collect();
        assert!(matches!(
            places.take("one"),
            Err(Error::TooManyFollowersOfOneKey { most: 10 })
        ));
        let others = ["other", "third"].map(|key| places.take(key).expect("there is room"));
        assert!(matches!(places.take("fourth"), Err(Error::TooManyFollowers)));
        drop((of_one, others));
        let few = Places::new(2);
        let both = [few.take("one").expect("the first"), few.take("one").expect("the last")];
        assert!(matches!(few.take("one"), Err(Error::TooManyFollowers)));
        drop(both);
    }
}
