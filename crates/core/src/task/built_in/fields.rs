//! An input, field by field. Every field is taken once, and every broken rule is noted on the way.
//!
//! Not derived: what serde says of a value of the wrong type repeats the value, and it stops at the first.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::environment;
use crate::identity::EnvironmentName;
use crate::json::JsonText;
use crate::task::rules::{Violations, json_pointer};

/// How many arguments and variables there may be: the kernel's limit on their size comes on top.
const COUNT_MAX: usize = 1_000;

/// Which names the entries of an object may have.
pub(super) struct Names {
    pub(super) count_max: usize,
    pub(super) is_allowed: fn(&str) -> bool,
    pub(super) rule: fn() -> String,
}

/// `null` stands for an absent field.
pub(super) struct Fields<'a> {
    /// What is none has no fields, and is not told which of them it lacks.
    is_object: bool,
    values: BTreeMap<&'static str, &'a RawValue>,
    violations: Violations,
}

impl<'a> Fields<'a> {
    /// Of all that the input may have.
    pub(super) fn of(input: &'a str, known: &'static [&'static [&'static str]]) -> Self {
        let mut violations = Violations::default();
        let mut deserializer = serde_json::Deserializer::from_str(input);
        let known = Known {
            names: known,
            violations: &mut violations,
        };
        let values = deserializer.deserialize_map(known).ok();
        if values.is_none() {
            violations.add("", format!("must be an object, not {}", kind(input)));
        }
        Self {
            is_object: values.is_some(),
            values: values.unwrap_or_default(),
            violations,
        }
    }

    pub(super) fn required_text(&mut self, name: &'static str) -> String {
        self.required_text_if_present(name).unwrap_or_default()
    }

    /// The same for whoever has rules for it: one that is missing has been told of.
    pub(super) fn required_text_if_present(&mut self, name: &'static str) -> Option<String> {
        if self.is_absent(name) {
            self.lack_field(name);
        }
        self.text(name)
    }

    pub(super) fn lack_field(&mut self, name: &'static str) {
        if self.is_object {
            self.refuse(name, "is missing");
        }
    }

    pub(super) fn is_absent(&self, name: &'static str) -> bool {
        self.values.get(name).is_none_or(|value| value.get() == "null")
    }

    /// Whether it is absent or an empty text.
    pub(super) fn is_blank(&self, name: &'static str) -> bool {
        self.is_absent(name) || self.values.get(name).is_some_and(|value| value.get() == "\"\"")
    }

    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.take(name)?;
        self.text_of(&json_pointer(name), value)
    }

    pub(super) fn environment(&mut self, name: &'static str) -> Option<EnvironmentName> {
        let named = EnvironmentName::new(self.text(name)?);
        if let Err(rule) = &named {
            self.refuse(name, &rule.to_string());
        }
        named.ok()
    }

    pub(super) fn json(&mut self, name: &'static str) -> JsonText {
        self.take(name)
            .map_or_else(JsonText::null, |value| JsonText::trusted(value.get()))
    }

    /// As it was written.
    pub(super) fn value(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.take(name)
    }

    pub(super) fn array(&mut self, name: &'static str, what: &str) -> Option<Vec<&'a RawValue>> {
        let value = self.take(name)?;
        let entries = serde_json::from_str(value.get());
        if entries.is_err() {
            let message = format!("must be {what}, not {}", kind(value.get()));
            self.violations.add(json_pointer(name), message);
        }
        entries.ok()
    }

    /// An array as it was written.
    pub(super) fn raw_array(&mut self, name: &'static str) -> Option<JsonText> {
        self.raw(name, "an array")
    }

    /// An object as it was written.
    pub(super) fn raw_object(&mut self, name: &'static str) -> Option<JsonText> {
        self.raw(name, "an object")
    }

    fn raw(&mut self, name: &'static str, wanted: &str) -> Option<JsonText> {
        let value = self.take(name)?.get();
        let is_wanted = kind(value) == wanted;
        if !is_wanted {
            let message = format!("must be {wanted}, not {}", kind(value));
            self.violations.add(json_pointer(name), message);
        }
        is_wanted.then(|| JsonText::trusted(value))
    }

    pub(super) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let Some(entries) = self.array(name, "an array of texts") else {
            return Vec::new();
        };
        let pointer = json_pointer(name);
        if !self.is_few(&pointer, entries.len(), COUNT_MAX) {
            return Vec::new();
        }
        let texts = entries
            .into_iter()
            .enumerate()
            .filter_map(|(index, entry)| self.text_of(&format!("{pointer}/{index}"), entry));
        texts.collect()
    }

    pub(super) fn variables(&mut self, name: &'static str) -> BTreeMap<String, String> {
        let names = Names {
            count_max: COUNT_MAX,
            is_allowed: environment::is_allowed,
            rule: environment::rule,
        };
        self.texts_by_name(name, &names)
    }

    /// What an object has, by its names.
    pub(super) fn entries(
        &mut self,
        name: &'static str,
        what: &str,
        most: usize,
    ) -> Option<BTreeMap<String, &'a RawValue>> {
        let value = self.take(name)?;
        let pointer = json_pointer(name);
        let entries = serde_json::Deserializer::from_str(value.get()).deserialize_map(Entries);
        let Ok((entries, repeated)) = entries else {
            let message = format!("must be {what}, not {}", kind(value.get()));
            self.violations.add(pointer, message);
            return None;
        };
        if !self.is_few(&pointer, entries.len(), most) {
            return None;
        }
        for name in repeated {
            self.violations
                .add(format!("{pointer}{}", named(&name)), "is given twice");
        }
        Some(entries)
    }

    pub(super) fn texts_by_name(&mut self, name: &'static str, names: &Names) -> BTreeMap<String, String> {
        let pointer = json_pointer(name);
        let entries = self.entries(name, "an object of texts", names.count_max);
        let mut texts = BTreeMap::new();
        for (name, entry) in entries.unwrap_or_default() {
            let pointer = format!("{pointer}{}", named(&name));
            if !(names.is_allowed)(&name) {
                self.violations.add(pointer, (names.rule)());
            } else if let Some(text) = self.text_of(&pointer, entry) {
                texts.insert(name, text);
            }
        }
        texts
    }

    /// A choice that is `false` unless it is made.
    pub(super) fn flag(&mut self, name: &'static str) -> bool {
        self.flag_or(name, false)
    }

    pub(super) fn flag_or(&mut self, name: &'static str, default: bool) -> bool {
        let Some(value) = self.take(name) else { return default };
        match value.get() {
            "true" => true,
            "false" => false,
            other => {
                let message = format!("must be true or false, not {}", kind(other));
                self.violations.add(json_pointer(name), message);
                default
            }
        }
    }

    pub(super) fn refuse(&mut self, name: &str, message: &str) {
        self.violations.add(json_pointer(name), message);
    }

    /// Refuses what is in a field, by its name or its place there.
    pub(super) fn refuse_entry(&mut self, name: &str, entry: &str, message: &str) {
        let pointer = format!("{}{}", json_pointer(name), named(entry));
        self.violations.add(pointer, message);
    }

    /// Refuses what lies deeper in a field.
    pub(super) fn refuse_below(&mut self, name: &str, pointer: &str, message: &str) {
        self.violations.add(format!("{}{pointer}", json_pointer(name)), message);
    }

    /// A rule about the fields together.
    pub(super) fn lack(&mut self, message: &str) {
        if self.is_object {
            self.violations.add("", message);
        }
    }

    pub(super) fn finish<T>(self, input: T) -> Result<T, Violations> {
        self.violations.into_result().map(|()| input)
    }

    /// For an input that cannot be made of what was read.
    pub(super) fn broken(self) -> Violations {
        self.violations
    }

    fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.values.remove(name).filter(|value| value.get() != "null")
    }

    fn text_of(&mut self, pointer: &str, value: &RawValue) -> Option<String> {
        let text = serde_json::from_str(value.get());
        if text.is_err() {
            let message = format!("must be a text, not {}", kind(value.get()));
            self.violations.add(pointer, message);
        }
        text.ok()
    }

    fn is_few(&mut self, pointer: &str, count: usize, most: usize) -> bool {
        if count > most {
            let message = format!("must have at most {most} entries, not {count}");
            self.violations.add(pointer, message);
        }
        count <= most
    }
}

/// What a JSON text is, told by how it begins.
fn kind(json: &str) -> &'static str {
    match json.trim_start().bytes().next() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't') => "true",
        Some(b'f') => "false",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// A pointer to a field that the caller named, cut where the name is long: it is told to people.
fn named(name: &str) -> String {
    const SHOWN: usize = 100;
    json_pointer(&name[..name.floor_char_boundary(SHOWN)])
}

/// Keeps the values of known fields, and notes the other ones.
struct Known<'v> {
    names: &'static [&'static [&'static str]],
    violations: &'v mut Violations,
}

impl<'de> Visitor<'de> for Known<'_> {
    type Value = BTreeMap<&'static str, &'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut values = BTreeMap::new();
        while let Some(name) = entries.next_key::<String>()? {
            let Some(known) = self.names.iter().copied().flatten().find(|known| **known == name) else {
                let names = self.names.concat().join(", ");
                let message = format!("is no field of this input, which has {names}");
                self.violations.add(named(&name), message);
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if values.insert(*known, entries.next_value()?).is_some() {
                self.violations.add(json_pointer(known), "is given twice");
            }
        }
        Ok(values)
    }
}

/// The entries of an object, and the names that it has more than once: which of their values counts, everybody who reads
/// JSON decides for themselves.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = (BTreeMap<String, &'de RawValue>, BTreeSet<String>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut entries = BTreeMap::new();
        let mut repeated = BTreeSet::new();
        while let Some(name) = object.next_key::<String>()? {
            match entries.entry(name) {
                Entry::Vacant(place) => {
                    place.insert(object.next_value()?);
                }
                Entry::Occupied(first) => {
                    repeated.insert(first.key().clone());
                    object.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok((entries, repeated))
    }
}
