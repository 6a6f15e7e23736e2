//! Reads values of one kind and notes every fault on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::tree::{Field, Node, Value};
use crate::JsonText;
use crate::saga::definition::Delay;
use crate::saga::fault::{Fault, Faults, Place, shown};
use crate::task::json_pointer;

/// A node and the way to it.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    pub(super) node: &'a Node,
    pub(super) pointer: String,
}

impl<'a> At<'a> {
    pub(super) const fn root(node: &'a Node) -> Self {
        Self {
            node,
            pointer: String::new(),
        }
    }

    pub(super) fn entry(&self, index: usize, node: &'a Node) -> Self {
        Self {
            node,
            pointer: format!("{}/{index}", self.pointer),
        }
    }

    fn field(&self, field: &'a Field) -> Self {
        Self {
            node: &field.node,
            pointer: format!("{}{}", self.pointer, json_pointer(&field.name)),
        }
    }

    pub(super) const fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    /// What it is, as messages call it.
    const fn kind(&self) -> &'static str {
        match self.node.value {
            Value::Null => "null",
            Value::Truth(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Object(_) => "an object",
        }
    }
}

/// An object and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Object<'a> {
    pub(super) at: At<'a>,
    fields: &'a [Field],
}

impl<'a> Object<'a> {
    /// The field of a name. One that is `null` is as good as none.
    pub(super) fn field(&self, name: &str) -> Option<At<'a>> {
        self.present(name).filter(|at| !at.is_null())
    }

    /// The field of a name, whatever it is.
    pub(super) fn present(&self, name: &str) -> Option<At<'a>> {
        let field = self.fields.iter().find(|field| field.name == name)?;
        Some(self.at.field(field))
    }

    /// All fields, with the places of their names.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&'a str, Place, At<'a>)> {
        let fields = self.fields.iter();
        fields.map(|field| (field.name.as_str(), field.place, self.at.field(field)))
    }
}

/// Collects the faults.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) faults: Faults,
    /// The pointers to entries of lists that cannot be read: those behind them have other numbers in the definition.
    pub(super) left_out: BTreeSet<String>,
}

impl Reader {
    pub(super) fn fault(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.faults
            .add(Fault::new(at.pointer.clone(), message).at(at.node.place));
    }

    fn other_kind(&mut self, at: &At<'_>, wanted: &str) {
        self.fault(at, format!("must be {wanted}, not {}", at.kind()));
    }

    /// An object of which all names are known.
    pub(super) fn object<'a>(&mut self, at: &At<'a>, what: &str, known: &[&str]) -> Option<Object<'a>> {
        let object = self.map(at)?;
        for (name, place, field) in object.fields() {
            if !known.contains(&name) && !self.faults.is_full() {
                let message = format!("is no field of {what}, which has {}", known.join(", "));
                let fault = Fault::new(field.pointer, message).at(place);
                self.faults.add(fault.meant(name, known.iter().copied()));
            }
        }
        Some(object)
    }

    /// An object whose names its author chose.
    pub(super) fn map<'a>(&mut self, at: &At<'a>) -> Option<Object<'a>> {
        if let Value::Object(fields) = &at.node.value {
            return Some(Object { at: at.clone(), fields });
        }
        self.other_kind(at, "an object");
        None
    }

    /// A field that must be there.
    pub(super) fn required<'a>(&mut self, object: &Object<'a>, name: &str) -> Option<At<'a>> {
        let field = object.field(name);
        if field.is_none() {
            let pointer = format!("{}/{name}", object.at.pointer);
            self.faults
                .add(Fault::new(pointer, "must be given").at(object.at.node.place));
        }
        field
    }

    /// The entries of a list that can be read; none where there is no list.
    pub(super) fn list<'a, T>(
        &mut self,
        at: Option<At<'a>>,
        mut read: impl FnMut(&mut Self, &At<'a>) -> Option<T>,
    ) -> Vec<T> {
        let Some(at) = at else { return Vec::new() };
        let Value::List(nodes) = &at.node.value else {
            self.other_kind(&at, "a list");
            return Vec::new();
        };
        let mut entries = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let entry = at.entry(index, node);
            match read(self, &entry) {
                Some(read) => entries.push(read),
                // Where no more is told, nobody asks where it would be.
                None if !self.faults.is_full() => {
                    self.left_out.insert(entry.pointer);
                }
                None => {}
            }
        }
        entries
    }

    /// The entries of an object whose names are names of the domain.
    pub(super) fn named<'a, K: FromStr<Err: Display> + Ord, T>(
        &mut self,
        at: Option<At<'a>>,
        mut read: impl FnMut(&mut Self, &At<'a>) -> Option<T>,
    ) -> BTreeMap<K, T> {
        let mut named = BTreeMap::new();
        let Some(object) = at.and_then(|at| self.map(&at)) else {
            return named;
        };
        for (name, place, field) in object.fields() {
            let value = read(self, &field);
            match name.parse::<K>() {
                Ok(name) => {
                    if let Some(value) = value {
                        named.insert(name, value);
                    }
                }
                Err(error) => {
                    let message = format!("has the name {:?}, which {error}", shown(name));
                    self.faults.add(Fault::new(field.pointer, message).at(place));
                }
            }
        }
        named
    }

    pub(super) fn text(&mut self, at: &At<'_>) -> Option<String> {
        if let Value::Text(text) = &at.node.value {
            return Some(text.clone());
        }
        self.other_kind(at, "a text");
        None
    }

    /// A name of the domain.
    pub(super) fn name<T: FromStr<Err: Display>>(&mut self, at: &At<'_>) -> Option<T> {
        let text = self.text(at)?;
        match text.parse() {
            Ok(name) => Some(name),
            Err(error) => {
                self.fault(at, format!("{error}, not {:?}", shown(&text)));
                None
            }
        }
    }

    pub(super) fn truth(&mut self, at: Option<At<'_>>) -> bool {
        let Some(at) = at else { return false };
        if let Value::Truth(truth) = &at.node.value {
            return *truth;
        }
        self.other_kind(&at, "true or false");
        false
    }

    pub(super) fn delay(&mut self, at: &At<'_>) -> Option<Delay> {
        let Value::Number(number) = &at.node.value else {
            self.other_kind(at, "a number of seconds");
            return None;
        };
        match Delay::of_seconds(number.parse().unwrap_or(f64::NAN)) {
            Ok(delay) => Some(delay),
            Err(error) => {
                self.fault(at, error.to_string());
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy + Default>(&mut self, at: Option<At<'_>>, words: &[(&str, T)]) -> T {
        let Some(at) = at else { return T::default() };
        let Some(text) = self.text(&at) else {
            return T::default();
        };
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return *meaning;
        }
        let names = words.iter().map(|(word, _)| *word);
        let all: Vec<&str> = names.clone().collect();
        let message = format!("must be {}, not {:?}", all.join(" or "), shown(&text));
        let fault = Fault::new(at.pointer.clone(), message).at(at.node.place);
        self.faults.add(fault.meant(&text, names));
        T::default()
    }

    /// Whatever it is, in its canonical form.
    pub(super) fn json(&mut self, at: &At<'_>) -> Option<JsonText> {
        let mut json = String::new();
        at.node.write_canonical(&mut json);
        match JsonText::new(json) {
            Ok(json) => Some(json),
            Err(error) => {
                self.fault(at, error.to_string());
                None
            }
        }
    }

    /// A text, which is taken as it is, with the expressions it may hold.
    pub(super) fn source(&mut self, at: Option<At<'_>>) -> Option<String> {
        self.text(&at?)
    }
}
