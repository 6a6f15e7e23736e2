//! Lists and maps of a body that stop growing one entry after the most that is allowed, so that their rule is found broken.
//! What comes after is read over: a body of small entries would take forty times its size.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub(crate) fn list<'de, D, T, const MOST: usize>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_seq(Entries::<Vec<T>, MOST>(PhantomData))
}

/// `null` is no map.
pub(crate) fn map<'de, D, V, const MOST: usize>(deserializer: D) -> Result<Option<BTreeMap<String, V>>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    deserializer.deserialize_option(Optional::<V, MOST>(PhantomData))
}

struct Entries<T, const MOST: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<Vec<T>, MOST> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while list.len() <= MOST {
            match entries.next_element()? {
                Some(entry) => list.push(entry),
                None => return Ok(list),
            }
        }
        while entries.next_element::<IgnoredAny>()?.is_some() {}
        Ok(list)
    }
}

impl<'de, V: Deserialize<'de>, const MOST: usize> Visitor<'de> for Entries<BTreeMap<String, V>, MOST> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut map = BTreeMap::new();
        while map.len() <= MOST {
            match entries.next_entry()? {
                Some((key, value)) => map.insert(key, value),
                None => return Ok(map),
            };
        }
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(map)
    }
}

struct Optional<V, const MOST: usize>(PhantomData<V>);

impl<'de, V: Deserialize<'de>, const MOST: usize> Visitor<'de> for Optional<V, MOST> {
    type Value = Option<BTreeMap<String, V>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let entries = Entries::<BTreeMap<String, V>, MOST>(PhantomData);
        deserializer.deserialize_map(entries).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_read_over_and_still_checked() {
        let read = |text: &str| {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            list::<_, u8, 2>(&mut deserializer).map_err(|error| error.to_string())
        };
        assert_eq!(read("[1, 2]"), Ok(vec![1, 2]));
        assert_eq!(read("[1, 2, 3, 4, \"any\"]"), Ok(vec![1, 2, 3]));
        assert!(read("[1, 2, 3, 4, }").is_err());
    }

    #[test]
    fn a_map_keeps_one_entry_more_than_allowed() {
        let read = |text: &str| {
            let mut deserializer = serde_json::Deserializer::from_str(text);
            map::<_, u8, 2>(&mut deserializer).map_err(|error| error.to_string())
        };
        assert_eq!(read("null"), Ok(None));
        assert_eq!(
            read(r#"{"a": 1, "a": 2}"#).map(|map| map.map(|map| map.len())),
            Ok(Some(1))
        );
        assert_eq!(
            read(r#"{"a": 1, "b": 2, "c": 3, "d": "any"}"#).map(|map| map.map(|map| map.len())),
            Ok(Some(3))
        );
        assert!(read(r#"{"a": "one"}"#).is_err());
    }
}
