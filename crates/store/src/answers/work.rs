//! What it takes to hold an answer against a schema, known before it is done: the row of the saga is locked meanwhile.
//!
//! A schema becomes a tree of weights, one node for all that looks at the same place of an answer. A walk of an answer through the tree
//! then adds up what the validator does at the worst, where nothing lets it stop early, and goes no further than it is to. Weights are
//! in units of 10 ns, as they were seen with little optimization.

use std::collections::BTreeMap;
use std::ops::{AddAssign, Mul};
use std::sync::Arc;

use orchestratum_core::expression::pattern_states;
use serde_json::{Map, Value};

/// So many units are a step: 0.1 µs, as with expressions.
pub(super) const UNITS_OF_A_STEP: u64 = 10;

/// To read a value, an object as well, a member of one, and a byte.
const READ: u64 = 6;
const READ_OBJECT: u64 = 30;
const READ_MEMBER: u64 = 12;
const BYTES_READ_AT_ONCE: u64 = 32;

/// To see how much there is to read.
pub(super) const BYTES_SCANNED_AT_ONCE: u64 = 10;

/// To look for a field in an object.
const LOOKUP: u64 = 8;

/// To begin to match a text.
const MATCH: u64 = 6;

/// What the states of a regular expression cost for each byte of a text, in tenths: at the worst it goes through all of them.
const STATE_TENTHS: u64 = 8;

/// A division whose decimals fit into 128 bits, and one that needs numbers of any size.
const DIVISION: u64 = 20;
const LARGE_DIVISION: u64 = 1_100;

/// An entry of a list is looked at to compare it with others.
const COMPARED: u64 = 8;

/// Lists up to here are compared entry by entry.
const COMPARED_ONE_BY_ONE: usize = 15;

/// A fault that is told, beside its place.
const FAULT: u64 = 60;
const PATH_BYTES_AT_ONCE: u64 = 8;

/// What it takes, each of it at the most.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    /// To know whether there is a fault.
    pub(super) truth: u64,
    /// To find the first one.
    pub(super) first: u64,
    /// To find all.
    pub(super) all: u64,
}

impl Work {
    /// What is looked at once where only the truth is wanted. Where a fault is looked for below an `anyOf`, each of those around it
    /// has looked at all before it collects every fault of its branches.
    const fn below(branchings: u64) -> Self {
        Self {
            truth: 1,
            first: if branchings == 0 { 1 } else { 2 + branchings },
            all: 2 + branchings,
        }
    }

    const fn faults_below(branchings: u64) -> Self {
        Self {
            truth: 0,
            first: if branchings == 0 { 0 } else { 1 },
            all: 1,
        }
    }
}

impl AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.truth = self.truth.saturating_add(other.truth);
        self.first = self.first.saturating_add(other.first);
        self.all = self.all.saturating_add(other.all);
    }
}

impl Mul<u64> for Work {
    type Output = Self;

    fn mul(self, times: u64) -> Self {
        Self {
            truth: self.truth.saturating_mul(times),
            first: self.first.saturating_mul(times),
            all: self.all.saturating_mul(times),
        }
    }
}

/// How many values a text of JSON has, and what it takes to read it.
pub(super) fn reading(text: &str) -> (u64, u64) {
    let (mut values, mut objects, mut members) = (1_u64, 0_u64, 0_u64);
    let mut bytes = text.bytes();
    let (mut is_in_text, mut before) = (false, b',');
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => is_in_text = !is_in_text,
            b'\\' if is_in_text => drop(bytes.next()),
            b' ' | b'\t' | b'\r' | b'\n' => continue,
            b',' | b'[' if !is_in_text => values += 1,
            b']' | b'}' if !is_in_text && matches!(before, b'[' | b'{') => values -= 1,
            b'{' if !is_in_text => {
                values += 1;
                objects += 1;
            }
            b':' if !is_in_text => members += 1,
            _ => {}
        }
        before = byte;
    }
    let units = values * READ + objects * READ_OBJECT + members * READ_MEMBER + text.len() as u64 / BYTES_READ_AT_ONCE;
    (values, units)
}

/// What looks at one place of an answer.
#[derive(Debug, Default)]
pub(super) struct Weights {
    value: Work,
    faults: Work,
    divisions: Vec<Division>,
    /// For ten bytes of a text.
    text: Work,
    unique: Work,
    member: Work,
    /// For ten bytes of the name of a member.
    name: Work,
    items: Option<Box<Self>>,
    first_items: Vec<Self>,
    names: Option<Box<Self>>,
    members: Option<Box<Self>>,
    named: BTreeMap<Arc<str>, Box<Self>>,
}

#[derive(Debug)]
struct Division {
    work: Work,
    /// From and below which numbers are divided within 128 bits.
    small: (f64, f64),
}

impl Weights {
    /// Those of a schema without circles.
    pub(super) fn of(schema: &Value) -> Self {
        let mut reader = Reader {
            definitions: schema.get("$defs").and_then(Value::as_object),
            names: BTreeMap::new(),
        };
        let mut weights = Self::default();
        reader.schema(schema, 0, &mut weights);
        weights
    }
}

struct Reader<'a> {
    definitions: Option<&'a Map<String, Value>>,
    /// They may be long, and are met again with each reference.
    names: BTreeMap<&'a str, Arc<str>>,
}

impl<'a> Reader<'a> {
    fn schema(&mut self, schema: &'a Value, branchings: u64, into: &mut Weights) {
        into.value += Work::below(branchings);
        into.faults += Work::faults_below(branchings);
        let Some(keywords) = schema.as_object() else { return };
        for (keyword, value) in keywords {
            Self::assertion(keyword, value, branchings, into);
            self.applicator(keyword, value, branchings, into);
        }
        // What no pattern has matched is found by matching all of them again.
        if let (Some(patterns), Some(_)) = (
            named(keywords, "patternProperties"),
            keywords.get("additionalProperties"),
        ) {
            matched(patterns, branchings, into);
        }
    }

    fn assertion(keyword: &str, value: &Value, branchings: u64, into: &mut Weights) {
        let once = Work::below(branchings);
        let (units, faults) = match keyword {
            "type" | "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" | "minItems" | "maxItems"
            | "minProperties" | "maxProperties" => (1, 1),
            "const" | "enum" => (2 + values_of(value), 1),
            "multipleOf" => {
                into.divisions.extend(Division::by(value, once));
                (25, 1)
            }
            "minLength" | "maxLength" => {
                into.text += once * 2;
                (1, 1)
            }
            "pattern" => {
                into.text += once * (STATE_TENTHS * states(value.as_str().unwrap_or_default()));
                (MATCH, 1)
            }
            "uniqueItems" if *value == Value::Bool(true) => {
                into.unique += once;
                (1, 1)
            }
            "required" | "dependentRequired" => (LOOKUP * values_of(value), values_of(value)),
            _ => return,
        };
        into.value += once * units;
        into.faults += Work::faults_below(branchings) * faults;
    }

    fn applicator(&mut self, keyword: &str, value: &'a Value, branchings: u64, into: &mut Weights) {
        let once = Work::below(branchings);
        match keyword {
            "$ref" => {
                let target = value.as_str().and_then(|reference| self.definition(reference));
                if let Some(schema) = target {
                    self.schema(schema, branchings, into);
                }
            }
            "allOf" => self.each(value, branchings, into),
            "anyOf" | "oneOf" => self.each(value, branchings + 1, into),
            "not" => {
                // A fault of it quotes it.
                into.faults += Work::faults_below(branchings) * values_of(value);
                self.schema(value, branchings, into);
            }
            "if" | "then" | "else" => self.schema(value, branchings, into),
            "dependentSchemas" => {
                for schema in value.as_object().into_iter().flat_map(Map::values) {
                    into.value += once * LOOKUP;
                    self.schema(schema, branchings, into);
                }
            }
            "items" | "contains" => self.schema(value, branchings, into.items.get_or_insert_default()),
            "prefixItems" => {
                for (index, schema) in value.as_array().into_iter().flatten().enumerate() {
                    if into.first_items.len() <= index {
                        into.first_items.push(Weights::default());
                    }
                    self.schema(schema, branchings, &mut into.first_items[index]);
                }
            }
            "properties" => {
                for (name, schema) in value.as_object().into_iter().flatten() {
                    into.value += once * LOOKUP;
                    let name = self.names.entry(name).or_insert_with(|| Arc::from(name.as_str()));
                    let weights = into.named.entry(Arc::clone(name)).or_default();
                    self.schema(schema, branchings, weights);
                }
            }
            "additionalProperties" => {
                into.member += once * LOOKUP;
                self.schema(value, branchings, into.members.get_or_insert_default());
            }
            "patternProperties" => {
                let patterns = value.as_object().into_iter().flatten();
                for (_, schema) in patterns {
                    self.schema(schema, branchings, into.members.get_or_insert_default());
                }
                if let Some(patterns) = value.as_object() {
                    matched(patterns, branchings, into);
                }
            }
            "propertyNames" => {
                into.member += once * LOOKUP;
                self.schema(value, branchings, into.names.get_or_insert_default());
            }
            _ => {}
        }
    }

    fn each(&mut self, schemas: &'a Value, branchings: u64, into: &mut Weights) {
        for schema in schemas.as_array().into_iter().flatten() {
            self.schema(schema, branchings, into);
        }
    }

    fn definition(&self, reference: &str) -> Option<&'a Value> {
        let name = reference.strip_prefix("#/$defs/")?;
        self.definitions?.get(&name.replace("~1", "/").replace("~0", "~"))
    }
}

/// Each name of an object is matched with each pattern.
fn matched(patterns: &Map<String, Value>, branchings: u64, into: &mut Weights) {
    let once = Work::below(branchings);
    for pattern in patterns.keys() {
        into.member += once * (LOOKUP + MATCH);
        into.name += once * (STATE_TENTHS * states(pattern));
    }
}

fn named<'a>(keywords: &'a Map<String, Value>, keyword: &str) -> Option<&'a Map<String, Value>> {
    keywords.get(keyword)?.as_object()
}

fn states(pattern: &str) -> u64 {
    pattern_states(pattern).unwrap_or_default() as u64
}

pub(super) fn values_of(value: &Value) -> u64 {
    1 + match value {
        Value::Array(values) => values.iter().map(values_of).sum(),
        Value::Object(fields) => fields.values().map(values_of).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0_u64,
    }
}

impl Division {
    /// `None` for whole numbers: those are divided as such.
    fn by(multiple: &Value, work: Work) -> Option<Self> {
        let multiple = multiple.as_f64().filter(|multiple| multiple.fract() != 0.0)?;
        // The digits of a number and how many of them are behind the point, as they are printed.
        let printed = format!("{multiple:e}");
        let (digits, exponent) = printed.split_once('e')?;
        let digits = i32::try_from(digits.bytes().filter(u8::is_ascii_digit).count()).ok()?;
        let decimals = digits - 1 - exponent.parse::<i32>().ok()?;
        // A number has up to 17 digits. With those of the other decimals behind them there must be no more than 37.
        let small = (10_f64.powi(digits + 17 - decimals - 37), 10_f64.powi(20 - decimals));
        Some(Self { work, small })
    }

    fn work(&self, number: f64) -> Work {
        let is_small = number == 0.0 || (self.small.0..self.small.1).contains(&number.abs());
        self.work * if is_small { DIVISION } else { LARGE_DIVISION }
    }
}

/// A walk of an answer through the weights of a schema.
#[derive(Debug)]
pub(super) struct Walk {
    most: u64,
    pub(super) work: Work,
    /// How many values were looked at until it was over.
    pub(super) values: u64,
}

impl Walk {
    /// One that ends when to know the truth would take more than `most`.
    pub(super) fn through(weights: &Weights, answer: &Value, most: u64) -> Self {
        let mut walk = Self {
            most,
            work: Work::default(),
            values: 0,
        };
        walk.value(weights, answer, 0);
        walk
    }

    pub(super) const fn is_too_long(&self) -> bool {
        self.work.truth > self.most
    }

    /// `path` is how long the pointer to it is.
    fn value(&mut self, weights: &Weights, value: &Value, path: u64) {
        self.values += 1;
        self.work += weights.value;
        self.work += weights.faults * (FAULT + path / PATH_BYTES_AT_ONCE);
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let number = number.as_f64().unwrap_or(f64::MAX);
                for division in &weights.divisions {
                    self.work += division.work(number);
                }
            }
            Value::String(text) => self.work += weights.text * (text.len() as u64 / 10 + 1),
            Value::Array(items) => self.items(weights, items, path),
            Value::Object(members) => self.members(weights, members, path),
        }
    }

    fn items(&mut self, weights: &Weights, items: &[Value], path: u64) {
        if weights.unique != Work::default() {
            self.work += weights.unique * comparing(items);
        }
        let looked_at = match weights.items {
            Some(_) => items,
            None => &items[..items.len().min(weights.first_items.len())],
        };
        for (index, item) in looked_at.iter().enumerate() {
            if self.is_too_long() {
                return;
            }
            let at = weights
                .items
                .as_deref()
                .into_iter()
                .chain(weights.first_items.get(index));
            for weights in at {
                self.value(weights, item, path + 8);
            }
        }
    }

    fn members(&mut self, weights: &Weights, members: &Map<String, Value>, path: u64) {
        self.work += weights.member * members.len() as u64;
        let looks_at_all = weights.members.is_some() || weights.names.is_some() || weights.name != Work::default();
        for (name, member) in members.iter().filter(|_| looks_at_all) {
            if self.is_too_long() {
                return;
            }
            let length = name.len() as u64;
            self.work += weights.name * (length / 10 + 1);
            if let Some(weights) = &weights.names {
                self.work += weights.value;
                self.work += weights.faults * (FAULT + path / PATH_BYTES_AT_ONCE);
                self.work += weights.text * (length / 10 + 1);
            }
            if let Some(weights) = &weights.members {
                self.value(weights, member, path + length);
            }
        }
        for (name, weights) in &weights.named {
            if self.is_too_long() {
                return;
            }
            if let Some(member) = members.get(&**name) {
                self.value(weights, member, path + name.len() as u64);
            }
        }
    }
}

/// What it takes to see that each entry of a list is there once. They are told apart by their hashes. Those of lists are the same where
/// only their brackets differ, and those of whole numbers from 2^53 where the first 53 bits do not: where there are some, each may have
/// to be compared with each.
fn comparing(items: &[Value]) -> u64 {
    let mut size = Size::default();
    for item in items {
        size.add(item);
    }
    let once = size.values * COMPARED + size.bytes / BYTES_READ_AT_ONCE;
    if size.is_alike && items.len() > COMPARED_ONE_BY_ONE {
        once.saturating_add((items.len() as u64).saturating_mul(size.values + size.bytes / 64) / 4)
    } else {
        once
    }
}

#[derive(Debug, Default)]
struct Size {
    values: u64,
    bytes: u64,
    /// Whether there is what may have the hash of another.
    is_alike: bool,
}

impl Size {
    fn add(&mut self, value: &Value) {
        self.values += 1;
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => {
                let is_exact = |number: f64| number.abs() < 9_007_199_254_740_992.0 || number.fract() != 0.0;
                self.is_alike |= !number.is_f64() && !number.as_f64().is_some_and(is_exact);
            }
            Value::String(text) => self.bytes += text.len() as u64,
            Value::Array(items) => {
                self.is_alike = true;
                for item in items {
                    self.add(item);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.bytes += name.len() as u64;
                    self.add(member);
                }
            }
        }
    }
}
