//! Data for the events of a definition, guessed from what its expressions ask for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::parts::active;
use crate::JsonText;
use crate::saga::definition::{Action, Candidate, Definition, Fields, Reach, State};
use crate::saga::names::EventName;

/// The most that are tried of one event.
const VARIANTS_MAX: usize = 8;

/// With what sagas start, and what events have as their data.
#[derive(Debug)]
pub(super) struct Samples {
    guessed: Vec<JsonText>,
    inputs: Vec<JsonText>,
    guessed_events: BTreeMap<EventName, Vec<JsonText>>,
    events: BTreeMap<EventName, Vec<JsonText>>,
}

impl Samples {
    pub(super) fn guessed(definition: &Definition) -> Self {
        let asked = Asked::of(definition);
        let initial = match definition.states.get(&definition.initial) {
            Some(State::Active(state)) => state.on.keys().cloned().collect(),
            Some(State::Final { .. }) | None => Vec::new(),
        };
        // What starts a saga is its input as well.
        let mut input = asked.input.clone();
        for event in initial {
            if let Some(paths) = asked.events.get(&event) {
                for (path, values) in paths {
                    input.entry(path.clone()).or_default().extend(values.iter().cloned());
                }
            }
        }
        let events = asked.events.iter().map(|(name, paths)| (name.clone(), variants(paths)));
        Self {
            guessed: variants(&input),
            inputs: Vec::new(),
            guessed_events: events.collect(),
            events: BTreeMap::new(),
        }
    }

    pub(super) fn add_input(&mut self, input: JsonText) {
        self.inputs.push(input);
    }

    pub(super) fn add_event(&mut self, name: EventName, data: JsonText) {
        self.events.entry(name).or_default().push(data);
    }

    pub(super) fn inputs(&self) -> &[JsonText] {
        if self.inputs.is_empty() {
            &self.guessed
        } else {
            &self.inputs
        }
    }

    pub(super) fn of_event(&self, name: &EventName) -> impl Iterator<Item = JsonText> {
        let given = self.events.get(name).or_else(|| self.guessed_events.get(name));
        let given = given.cloned().unwrap_or_else(|| vec![JsonText::trusted("{}")]);
        given.into_iter()
    }
}

/// Ways into a value, and what may be found there.
type Paths = BTreeMap<Vec<String>, Vec<Value>>;

/// An event, or the input, and the way into its data.
type Origin = (Option<EventName>, Vec<String>);

#[derive(Debug, Default)]
struct Asked {
    input: Paths,
    events: BTreeMap<EventName, Paths>,
    /// What fields of the context are made of, where that is nothing but a value of an event or of the input.
    made_of: BTreeMap<String, Vec<Origin>>,
}

impl Asked {
    fn of(definition: &Definition) -> Self {
        let mut asked = Self::default();
        asked.names(None, &definition.context);
        let candidates = candidates(definition);
        for (event, candidate) in &candidates {
            asked.names(event.as_ref(), &candidate.set);
        }
        asked.fields(None, &definition.context);
        for (event, candidate) in &candidates {
            let event = event.as_ref();
            if let Some(guard) = &candidate.guard {
                asked.expression(event, guard, true);
            }
            asked.fields(event, &candidate.set);
            for body in &candidate.compensation {
                asked.text(event, body.json().as_str());
            }
            for action in candidate.course.tasks() {
                asked.action(event, action);
            }
        }
        for state in active(definition) {
            for action in state.on_entry.iter().chain(&state.on_exit) {
                asked.action(None, action);
            }
        }
        asked
    }

    fn names(&mut self, event: Option<&EventName>, fields: &Fields) {
        for (name, json) in fields {
            let text: Option<String> = json.parse().ok();
            let source = text.as_deref().and_then(whole_expression);
            let path = source.and_then(|source| match words(source).as_slice() {
                [word] => place(word, event),
                _ => None,
            });
            if let Some(path) = path {
                self.made_of.entry(name.to_string()).or_default().push(path);
            }
        }
    }

    fn fields(&mut self, event: Option<&EventName>, fields: &Fields) {
        for json in fields.values() {
            self.text(event, json.as_str());
        }
    }

    fn action(&mut self, event: Option<&EventName>, action: &Action) {
        let json = serde_json::to_string(action).unwrap_or_default();
        self.text(event, &json);
        if let Action::Task(task) = action
            && let Reach::ForEach { items, .. } = &task.reach
            && let Some(source) = whole_expression(items)
        {
            for word in words(source) {
                self.add(event, &word.path, &lists());
            }
        }
    }

    /// All expressions in a JSON text.
    fn text(&mut self, event: Option<&EventName>, json: &str) {
        for part in json.split("${").skip(1) {
            let source = part.split('}').next().unwrap_or_default();
            self.expression(event, &source.replace("\\\"", "\""), false);
        }
    }

    fn expression(&mut self, event: Option<&EventName>, source: &str, is_guard: bool) {
        for word in words(source) {
            let values = word.values(source, is_guard);
            self.add(event, &word.path, &values);
        }
    }

    fn add(&mut self, event: Option<&EventName>, path: &[String], values: &[Value]) {
        let places = match path.split_first() {
            Some((root, [field, rest @ ..])) if root == "context" => {
                let made_of = self.made_of.get(field).cloned().unwrap_or_default();
                let longer = made_of.into_iter().map(|(event, mut path)| {
                    path.extend(rest.iter().cloned());
                    (event, path)
                });
                longer.collect()
            }
            _ => {
                let word = Word {
                    path: path.to_vec(),
                    begin: 0,
                    end: 0,
                };
                place(&word, event).into_iter().collect::<Vec<_>>()
            }
        };
        for (event, path) in places {
            let paths = match event {
                Some(event) => self.events.entry(event).or_default(),
                None => &mut self.input,
            };
            let known = paths.entry(path).or_default();
            for value in values {
                if !known.contains(value) {
                    known.push(value.clone());
                }
            }
        }
    }
}

/// Where a value comes from: the data of an event, or the input.
fn place(word: &Word, event: Option<&EventName>) -> Option<Origin> {
    match word.path.split_first()? {
        (root, rest) if root == "input" && !rest.is_empty() => Some((None, rest.to_vec())),
        (root, [data, rest @ ..]) if root == "event" && data == "data" && !rest.is_empty() => {
            Some((Some(event?.clone()), rest.to_vec()))
        }
        _ => None,
    }
}

/// Every transition, with the event it is on.
fn candidates(definition: &Definition) -> Vec<(Option<EventName>, &Candidate)> {
    let mut all = Vec::new();
    for state in active(definition) {
        for (event, candidates) in &state.on {
            all.extend(
                candidates
                    .as_slice()
                    .iter()
                    .map(|candidate| (Some(event.clone()), candidate)),
            );
        }
        all.extend(state.after.iter().map(|delayed| (None, &delayed.candidate)));
        all.extend(state.always.iter().map(|candidate| (None, candidate)));
    }
    all
}

fn whole_expression(text: &str) -> Option<&str> {
    text.trim().strip_prefix("${")?.strip_suffix('}')
}

/// A name with the fields behind it.
#[derive(Debug)]
struct Word {
    path: Vec<String>,
    begin: usize,
    end: usize,
}

/// All names in an expression. What stands in texts is none.
fn words(source: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut quote = None;
    let mut begin = None;
    for (at, letter) in source.char_indices().chain([(source.len(), ' ')]) {
        if quote.is_some() {
            if quote == Some(letter) {
                quote = None;
            }
            continue;
        }
        let is_part = letter.is_ascii_alphanumeric() || letter == '_' || letter == '.';
        match (begin, is_part) {
            (None, true) => begin = Some(at),
            (Some(first), false) => {
                let path = source[first..at].split('.').map(str::to_owned);
                words.push(Word {
                    path: path.collect(),
                    begin: first,
                    end: at,
                });
                begin = None;
            }
            (None, false) | (Some(_), true) => {}
        }
        if letter == '\'' || letter == '"' {
            quote = Some(letter);
        }
    }
    // A call behind a value is none of its fields.
    for word in &mut words {
        if source[word.end..].starts_with('(') && word.path.len() > 1 {
            let call = word.path.pop().unwrap_or_default();
            word.end -= call.len() + 1;
        }
    }
    words
}

impl Word {
    /// What it may be, by what stands around it.
    fn values(&self, source: &str, is_guard: bool) -> Vec<Value> {
        let (before, after) = (source[..self.begin].trim_end(), source[self.end..].trim_start());
        if before.ends_with("size(") {
            return lists();
        }
        for call in [".size(", ".map(", ".filter(", ".all(", ".exists(", ".exists_one("] {
            if after.starts_with(call) {
                return lists();
            }
        }
        for operator in ["==", "!="] {
            if let Some(literal) = after.strip_prefix(operator).and_then(|rest| literal(rest.trim_start())) {
                return match literal {
                    Value::Bool(_) => vec![json!(true), json!(false)],
                    Value::Number(number) => vec![json!(number), json!(-1)],
                    other @ (Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                        vec![other, json!("sample")]
                    }
                };
            }
        }
        if let Some(rest) = after.strip_prefix(['<', '>']) {
            let number = literal(rest.trim_start_matches('=').trim_start());
            let number = number.and_then(|number| number.as_i64()).unwrap_or_default();
            return vec![json!(number), json!(number + 1), json!(number - 1)];
        }
        let is_between = |text: &str, operators: &[&str], at_end: bool| {
            let is_there = |operator: &&str| {
                if at_end {
                    text.ends_with(*operator)
                } else {
                    text.starts_with(*operator)
                }
            };
            operators.iter().any(is_there)
        };
        if is_between(after, &["+", "-", "*", "/", "%"], false) || is_between(before, &["-", "*", "/", "%"], true) {
            return vec![json!(1)];
        }
        let is_truth = before.ends_with('!')
            || (is_guard || !after.is_empty() || !before.is_empty())
                && (after.is_empty() || is_between(after, &["&&", "||", ")", "?"], false))
                && (before.is_empty() || is_between(before, &["&&", "||", "("], true))
                && (is_guard || after.starts_with('?'));
        if is_truth {
            return vec![json!(true), json!(false)];
        }
        Vec::new()
    }
}

fn lists() -> Vec<Value> {
    vec![json!(["sample", "other"]), json!([]), json!(["a", "b", "c", "d", "e"])]
}

/// A constant at the beginning of a text.
fn literal(text: &str) -> Option<Value> {
    let quote = text.chars().next().filter(|letter| *letter == '\'' || *letter == '"');
    if let Some(quote) = quote {
        return text[1..].split(quote).next().map(|text| json!(text));
    }
    let word: String = text
        .chars()
        .take_while(|letter| letter.is_ascii_alphanumeric() || "-.".contains(*letter))
        .collect();
    serde_json::from_str(&word).ok()
}

/// Objects with a value at each path: the first of each, then every other in its turn.
fn variants(paths: &Paths) -> Vec<JsonText> {
    let values = |values: &[Value]| {
        if values.is_empty() {
            vec![json!("sample")]
        } else {
            values.to_vec()
        }
    };
    let mut all: Vec<Vec<(&Vec<String>, Value)>> = vec![Vec::new()];
    let first = paths.iter().map(|(path, known)| (path, values(known).remove(0)));
    all[0].extend(first);
    for (index, (path, known)) in paths.iter().enumerate() {
        for value in values(known).into_iter().skip(1) {
            let mut other = all[0].clone();
            other[index] = (path, value);
            all.push(other);
        }
    }
    all.truncate(VARIANTS_MAX);
    let objects = all.into_iter().map(|mut parts| {
        // What lies deeper comes later, and into what is there.
        parts.sort_by_key(|(path, _)| path.len());
        let mut object = Value::Object(Map::new());
        for (path, value) in parts {
            put(&mut object, path, value);
        }
        object
    });
    objects.filter_map(|object| JsonText::of(&object).ok()).collect()
}

fn put(object: &mut Value, path: &[String], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        *object = value;
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    if let Some(fields) = object.as_object_mut() {
        put(fields.entry(first.clone()).or_insert(Value::Null), rest, value);
    }
}
