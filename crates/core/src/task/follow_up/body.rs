//! One entry of a list of follow-ups, read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde_json::Value;

use super::{Edge, FOLLOW_UPS_MAX, FollowUps};
use crate::expression::{Size, Template, Variable};
use crate::suggestion::closest;
use crate::task::conditions::{ConcurrencyDraft, ConditionsDraft, RateDraft, UniqueDraft};
use crate::task::limits::checked_limits;
use crate::task::retry::Backoff;
use crate::task::rules::{Violation, Violations, json_pointer};
use crate::task::spec::{Labels, TaskDraft};
use crate::time::Timestamp;
use crate::{JsonText, Unread, read_json};

/// What a create takes, but for the `id`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input: Option<JsonText>,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    priority: Option<i64>,
    #[serde(default)]
    ttl_seconds: Option<f64>,
    #[serde(default)]
    timeout_seconds: Option<f64>,
    #[serde(default)]
    max_retries: Option<i64>,
    #[serde(default)]
    max_losses: Option<i64>,
    #[serde(default)]
    backoff: Option<Backoff>,
    #[serde(default)]
    scheduled_at: Option<Timestamp>,
    /// A number, or a text that becomes one.
    #[serde(default)]
    delay_seconds: Option<JsonText>,
    #[serde(default)]
    labels: Option<Labels>,
    #[serde(default)]
    limits: Option<JsonText>,
    #[serde(default)]
    concurrency: Option<ConcurrencyDraft>,
    #[serde(default)]
    rate: Option<RateDraft>,
    #[serde(default)]
    unique: Option<UniqueDraft>,
    #[serde(default)]
    on_success: FollowUpList,
    #[serde(default)]
    on_failure: FollowUpList,
    #[serde(default)]
    on_cancel: FollowUpsOrFailure,
    #[serde(default)]
    on_expire: FollowUpsOrFailure,
}

/// A list of follow-ups as it comes in a body. It stops growing one entry after the most that is allowed: that is enough to know
/// that there are too many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowUpList(pub Vec<JsonText>);

impl<'de> Deserialize<'de> for FollowUpList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = FollowUpList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(FollowUpList::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while list.len() <= FOLLOW_UPS_MAX {
                    match entries.next_element()? {
                        Some(entry) => list.push(entry),
                        None => return Ok(FollowUpList(list)),
                    }
                }
                while entries.next_element::<IgnoredAny>()?.is_some() {}
                Ok(FollowUpList(list))
            }
        }
        deserializer.deserialize_any(Bounded)
    }
}

/// The follow-ups of an end that is neither success nor failure, as they come in a body: a list, or the word `on_failure` for the
/// same list as after a failure. Written again, a chain of such would be three times as large with each task in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowUpsOrFailure {
    List(FollowUpList),
    AsOnFailure,
}

impl Default for FollowUpsOrFailure {
    fn default() -> Self {
        Self::List(FollowUpList::default())
    }
}

impl<'de> Deserialize<'de> for FollowUpsOrFailure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListOrWord;
        impl<'de> Visitor<'de> for ListOrWord {
            type Value = FollowUpsOrFailure;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array or the word on_failure")
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(FollowUpsOrFailure::default())
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Self::Value, E> {
                if word == Edge::Failure.as_str() {
                    Ok(FollowUpsOrFailure::AsOnFailure)
                } else {
                    Err(E::invalid_value(Unexpected::Str(word), &self))
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
                FollowUpList::deserialize(SeqAccessDeserializer::new(entries)).map(FollowUpsOrFailure::List)
            }
        }
        deserializer.deserialize_any(ListOrWord)
    }
}

impl FollowUps {
    /// Those that a body lists.
    pub fn written(
        success: FollowUpList,
        failure: FollowUpList,
        cancel: FollowUpsOrFailure,
        expire: FollowUpsOrFailure,
    ) -> Self {
        let or_failure = |other: FollowUpsOrFailure| match other {
            FollowUpsOrFailure::List(list) => list.0,
            FollowUpsOrFailure::AsOnFailure => failure.0.clone(),
        };
        let (cancel, expire) = (or_failure(cancel), or_failure(expire));
        Self::new([success.0, failure.0, cancel, expire])
    }
}

/// A task as it was written to be created later: what is constant as a draft, what holds expressions as templates.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Without what the templates stand for, and without follow-ups of its own.
    pub(crate) draft: TaskDraft,
    pub(crate) input: Option<Template>,
    pub(crate) description: Option<Template>,
    pub(crate) target: Option<Template>,
    pub(crate) delay_seconds: Option<Template>,
    pub(crate) labels: BTreeMap<String, Template>,
    /// Whether it has labels of its own, and be it none.
    pub(crate) has_labels: bool,
    pub(crate) follow_ups: FollowUps,
    /// What its keys hold.
    pub(super) keys: Size,
}

impl Entry {
    /// # Errors
    /// All [`Violations`] that can be seen before the constant parts are checked as a draft.
    pub(crate) fn read(json: &JsonText, variables: &[Variable<'_>]) -> Result<Self, Violations> {
        let (entry, broken) = Self::read_what_holds(json, variables)?;
        broken.into_result().map(|()| entry)
    }

    /// The entry as far as it can be read, and what is broken in it: those fields are missing.
    ///
    /// # Errors
    /// Why it is no entry at all.
    pub(super) fn read_what_holds(
        json: &JsonText,
        variables: &[Variable<'_>],
    ) -> Result<(Self, Violations), Violations> {
        let (body, violations) = read(json)?;
        let mut reader = Reader { variables, violations };
        let (mut draft, has_labels) = (TaskDraft::default(), body.labels.is_some());
        let input = body
            .input
            .and_then(|input| reader.json("/input", input, &mut draft.input));
        let description = reader.text("/description", body.description, &mut draft.description);
        let target = reader.text("/target", body.target, &mut draft.target);
        let delay_seconds = reader.number("/delay_seconds", body.delay_seconds, &mut draft.delay_seconds);
        let labels = reader.labels(body.labels.unwrap_or_default(), &mut draft.labels);
        draft.limits = body.limits.and_then(|limits| match checked_limits(&limits) {
            Ok(limits) => Some(limits),
            Err(broken) => {
                reader.violations.extend_below("/limits", broken);
                None
            }
        });
        let conditions = ConditionsDraft {
            concurrency: body.concurrency,
            rate: body.rate,
            unique: body.unique,
        };
        let keys = conditions.check_form(&mut reader.violations);
        let entry = Self {
            draft: TaskDraft {
                name: body.name,
                priority: body.priority,
                ttl_seconds: body.ttl_seconds,
                timeout_seconds: body.timeout_seconds,
                max_retries: body.max_retries,
                max_losses: body.max_losses,
                backoff: body.backoff,
                scheduled_at: body.scheduled_at,
                conditions,
                ..draft
            },
            input,
            description,
            target,
            delay_seconds,
            labels,
            has_labels,
            follow_ups: FollowUps::written(body.on_success, body.on_failure, body.on_cancel, body.on_expire),
            keys,
        };
        Ok((entry, reader.violations))
    }

    /// Whether all that its own keys can ask for is known before the parent has ended.
    pub(super) fn is_known(&self) -> bool {
        self.input.is_none() && self.description.is_none() && self.has_labels && self.labels.is_empty()
    }

    /// What it holds itself.
    pub(crate) fn size(&self) -> Size {
        let templates = [&self.input, &self.description, &self.target, &self.delay_seconds];
        let templates = templates.into_iter().flatten().chain(self.labels.values());
        templates.map(Template::size).sum::<Size>() + self.keys
    }
}

/// How many faults of one field are looked for: each has the field read once more.
const FIELD_FAULTS_MAX_COUNT: usize = 20;

/// A task that nobody named is looked at by this name.
const UNNAMED: &str = "unnamed";

/// The body without the fields that cannot be read, and what is broken in these.
///
/// # Errors
/// Why it is no body at all.
fn read(json: &JsonText) -> Result<(Body, Violations), Violations> {
    let first = match read_body(json) {
        Ok(body) => return Ok((body, Violations::default())),
        Err(first) => first,
    };
    let Ok(mut fields) = json.parse::<BTreeMap<String, JsonText>>() else {
        return Err(Violations(vec![first]));
    };
    let is_named = fields.contains_key("name");
    let mut broken = Violations::default();
    fields.retain(|name, value| {
        let found = broken_in(name, value);
        let is_whole = found.is_empty();
        broken.extend_below("", Violations(found));
        is_whole
    });
    // Another field may have been meant to be the name.
    let mut told = broken.0.iter().map(|told| told.pointer.trim_start_matches('/'));
    if !is_named && !told.any(|told| closest(told, ["name"]).is_some()) {
        broken.add("/name", "missing field `name`");
    }
    if broken.0.is_empty() {
        // A field that is there twice.
        return Err(Violations(vec![first]));
    }
    fields
        .entry("name".to_owned())
        .or_insert_with(|| JsonText::trusted(format!("\"{UNNAMED}\"")));
    match read_body(&object(&fields)) {
        Ok(body) => Ok((body, broken)),
        Err(_) => Err(broken),
    }
}

/// What cannot be read of one field. Each is taken out, and the rest is read again.
fn broken_in(name: &str, value: &JsonText) -> Vec<Violation> {
    let mut value = value.clone();
    let mut broken: Vec<Violation> = Vec::new();
    while broken.len() < FIELD_FAULTS_MAX_COUNT {
        let unnamed = JsonText::trusted(format!("\"{UNNAMED}\""));
        let alone = BTreeMap::from([("name".to_owned(), unnamed), (name.to_owned(), value.clone())]);
        let Err(violation) = read_body(&object(&alone)) else {
            break;
        };
        // That it is missing now follows from another fault.
        if broken.iter().any(|told| told.pointer == violation.pointer) {
            break;
        }
        let below = violation.pointer.strip_prefix(&json_pointer(name));
        let rest = below.and_then(|below| without(&value, below));
        broken.push(violation);
        let Some(rest) = rest else { break };
        value = rest;
    }
    broken
}

/// The value without the field of an object in it. `None` where there is none to be left out.
fn without(json: &JsonText, pointer: &str) -> Option<JsonText> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    let mut value: Value = json.parse().ok()?;
    value.pointer_mut(parent)?.as_object_mut()?.remove(&name)?;
    Some(JsonText::trusted(value.to_string()))
}

fn object(fields: &BTreeMap<String, JsonText>) -> JsonText {
    JsonText::trusted(serde_json::to_string(fields).expect("fields of JSON are always JSON"))
}

/// A body, or the first of what cannot be read.
fn read_body(json: &JsonText) -> Result<Body, Violation> {
    read_json(json.as_str().as_bytes()).map_err(|unread| match unread {
        Unread::Misshapen(violation) => violation,
        Unread::NotJson(message) => Violation {
            pointer: String::new(),
            message,
        },
    })
}

/// Sorts the fields into what is constant and what is not.
struct Reader<'a> {
    /// What expressions may ask for.
    variables: &'a [Variable<'a>],
    violations: Violations,
}

impl Reader<'_> {
    fn template(&mut self, pointer: &str, json: &JsonText) -> Option<Template> {
        match Template::parse(json, self.variables) {
            Ok(template) => Some(template),
            Err(faults) => {
                for fault in faults {
                    self.violations
                        .add(format!("{pointer}{}", fault.pointer), fault.fault.to_string());
                }
                None
            }
        }
    }

    /// The template, unless the value is constant.
    fn json(&mut self, pointer: &str, json: JsonText, constant: &mut Option<JsonText>) -> Option<Template> {
        let template = self.template(pointer, &json)?;
        if !template.is_constant() {
            return Some(template);
        }
        *constant = Some(value_of(&template, json));
        None
    }

    fn text(&mut self, pointer: &str, text: Option<String>, constant: &mut Option<String>) -> Option<Template> {
        let text = text?;
        if !text.contains("${") {
            *constant = Some(text);
            return None;
        }
        let json = JsonText::trusted(serde_json::to_string(&text).expect("a text is always JSON"));
        let template = self.template(pointer, &json)?;
        if !template.is_constant() {
            return Some(template);
        }
        *constant = value_of(&template, json).parse().ok();
        None
    }

    fn number(&mut self, pointer: &str, json: Option<JsonText>, constant: &mut Option<f64>) -> Option<Template> {
        let json = json?;
        if let Ok(number) = json.parse() {
            *constant = Some(number);
            return None;
        }
        let template = if json.as_str().starts_with('"') {
            self.template(pointer, &json)?
        } else {
            self.violations
                .add(pointer, "must be a number, or a text that is an expression");
            return None;
        };
        if template.is_constant() {
            self.violations
                .add(pointer, "must be a number, or a text that is an expression");
            return None;
        }
        Some(template)
    }

    fn labels(&mut self, labels: Labels, constant: &mut Labels) -> BTreeMap<String, Template> {
        let mut templates = BTreeMap::new();
        for (key, value) in labels {
            let pointer = format!("/labels{}", json_pointer(&key));
            let mut text = None;
            if let Some(template) = self.text(&pointer, Some(value), &mut text) {
                templates.insert(key, template);
            } else if let Some(text) = text {
                constant.insert(key, text);
            }
        }
        templates
    }
}

/// What a constant template stands for: `$${` is written otherwise than it is meant.
fn value_of(template: &Template, json: JsonText) -> JsonText {
    template.constant().cloned().unwrap_or(json)
}
