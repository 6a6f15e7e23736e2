//! JSON Schemas of answers (draft 2020-12): that they are some, and that none makes an answer expensive to check.
//!
//! Answers are held against them elsewhere. What is refused here is what is no schema, what is misspelt, what comes from
//! elsewhere, and what could make a small schema do much work: references in a circle, and keywords that walk what others have
//! walked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ways::active;
use crate::JsonText;
use crate::expression::check_regex;
use crate::saga::definition::Definition;
use crate::saga::fault::{Fault, Faults, shown};
use crate::task::json_pointer;

/// The largest schema.
pub const SCHEMA_MAX_BYTES: usize = 32 << 10;

/// The most values in a schema, where each reference counts as what it refers to.
pub const SCHEMA_PARTS_MAX: usize = 5_000;

/// The most regular expressions of a schema.
const PATTERNS_MAX: usize = 20;

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

pub(super) fn check(definition: &Definition, errors: &mut Faults) {
    for (name, state) in active(definition) {
        let schema = state.await_input.as_ref().and_then(|input| input.schema.as_ref());
        if let Some(schema) = schema {
            one(&format!("/states/{name}/await_input/schema"), schema, errors);
        }
    }
}

/// What is wrong with a schema that stands elsewhere, with pointers into it.
pub fn schema_faults(schema: &JsonText) -> Faults {
    let mut faults = Faults::default();
    one("", schema, &mut faults);
    faults
}

fn one(pointer: &str, schema: &JsonText, errors: &mut Faults) {
    if schema.len() > SCHEMA_MAX_BYTES {
        let message = format!("must not be larger than {SCHEMA_MAX_BYTES} bytes");
        errors.add(Fault::new(pointer, message));
        return;
    }
    let Ok(value) = schema.parse::<Value>() else {
        errors.add(Fault::new(pointer, "must be an object"));
        return;
    };
    let mut checker = Checker {
        root: &value,
        patterns: 0,
        errors,
    };
    checker.schema(pointer, &value);
    match parts(&value) {
        Err(Circle) => errors.add(Fault::new(pointer, "must not refer to itself, directly or over others")),
        Ok(parts) if parts > SCHEMA_PARTS_MAX => {
            let message =
                format!("must not have more than {SCHEMA_PARTS_MAX} values, each reference as what it refers to");
            errors.add(Fault::new(pointer, message));
        }
        Ok(_) => {}
    }
}

/// How many values a schema has, where each reference counts as what it refers to: with the size of an answer, that bounds how
/// long the answer takes to check. `None` for what is refused in a definition.
pub fn schema_parts(schema: &JsonText) -> Option<usize> {
    let value = schema.parse::<Value>().ok()?;
    parts(&value).ok().filter(|parts| *parts <= SCHEMA_PARTS_MAX)
}

/// A schema refers to itself.
struct Circle;

fn parts(root: &Value) -> Result<usize, Circle> {
    let definitions = root.get("$defs").and_then(Value::as_object);
    let mut known = BTreeMap::new();
    count(root, definitions, &mut known)
}

/// `known` has what was counted of each definition, and `None` for those whose count has begun.
fn count<'a>(
    value: &'a Value,
    definitions: Option<&'a Map<String, Value>>,
    known: &mut BTreeMap<&'a str, Option<usize>>,
) -> Result<usize, Circle> {
    let mut sum: usize = 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(values) => {
            for value in values {
                sum = sum.saturating_add(count(value, definitions, known)?);
            }
        }
        Value::Object(fields) => {
            for value in fields.values() {
                sum = sum.saturating_add(count(value, definitions, known)?);
            }
            if let Some(Value::String(reference)) = fields.get("$ref")
                && let Some((name, schema)) = definition(definitions, reference)
            {
                sum = sum.saturating_add(match known.get(name) {
                    Some(Some(counted)) => *counted,
                    Some(None) => return Err(Circle),
                    None => {
                        known.insert(name, None);
                        let counted = count(schema, definitions, known)?;
                        known.insert(name, Some(counted));
                        counted
                    }
                });
            }
        }
    }
    Ok(sum)
}

/// What a reference refers to.
fn definition<'a>(definitions: Option<&'a Map<String, Value>>, reference: &str) -> Option<(&'a str, &'a Value)> {
    let name = reference
        .strip_prefix("#/$defs/")?
        .replace("~1", "/")
        .replace("~0", "~");
    let (name, schema) = definitions?.get_key_value(&name)?;
    Some((name.as_str(), schema))
}

/// What the value of a keyword is.
#[derive(Clone, Copy)]
enum Kind {
    Schema,
    Schemas,
    NamedSchemas,
    /// Named by regular expressions.
    MatchedSchemas,
    Text,
    Texts,
    NamedTexts,
    Pattern,
    Count,
    Number,
    AboveZero,
    Truth,
    List,
    Values,
    Anything,
    Type,
    Reference,
    Draft,
}

const KEYWORDS: [(&str, Kind); 49] = [
    ("$comment", Kind::Text),
    ("$defs", Kind::NamedSchemas),
    ("$ref", Kind::Reference),
    ("$schema", Kind::Draft),
    ("additionalProperties", Kind::Schema),
    ("allOf", Kind::Schemas),
    ("anyOf", Kind::Schemas),
    ("const", Kind::Anything),
    ("contains", Kind::Schema),
    ("contentEncoding", Kind::Text),
    ("contentMediaType", Kind::Text),
    ("default", Kind::Anything),
    ("dependentRequired", Kind::NamedTexts),
    ("dependentSchemas", Kind::NamedSchemas),
    ("deprecated", Kind::Truth),
    ("description", Kind::Text),
    ("else", Kind::Schema),
    ("enum", Kind::Values),
    ("examples", Kind::List),
    ("exclusiveMaximum", Kind::Number),
    ("exclusiveMinimum", Kind::Number),
    ("format", Kind::Text),
    ("if", Kind::Schema),
    ("items", Kind::Schema),
    ("maxContains", Kind::Count),
    ("maxItems", Kind::Count),
    ("maxLength", Kind::Count),
    ("maxProperties", Kind::Count),
    ("maximum", Kind::Number),
    ("minContains", Kind::Count),
    ("minItems", Kind::Count),
    ("minLength", Kind::Count),
    ("minProperties", Kind::Count),
    ("minimum", Kind::Number),
    ("multipleOf", Kind::AboveZero),
    ("not", Kind::Schema),
    ("oneOf", Kind::Schemas),
    ("pattern", Kind::Pattern),
    ("patternProperties", Kind::MatchedSchemas),
    ("prefixItems", Kind::Schemas),
    ("properties", Kind::NamedSchemas),
    ("propertyNames", Kind::Schema),
    ("readOnly", Kind::Truth),
    ("required", Kind::Texts),
    ("then", Kind::Schema),
    ("title", Kind::Text),
    ("type", Kind::Type),
    ("uniqueItems", Kind::Truth),
    ("writeOnly", Kind::Truth),
];

/// They are keywords, and are not taken.
const NOT_TAKEN: [&str; 10] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "contentSchema",
    "unevaluatedItems",
    "unevaluatedProperties",
];

struct Checker<'a> {
    root: &'a Value,
    patterns: usize,
    errors: &'a mut Faults,
}

impl Checker<'_> {
    fn fault(&mut self, pointer: &str, message: impl Into<String>) {
        self.errors.add(Fault::new(pointer, message));
    }

    fn schema(&mut self, pointer: &str, schema: &Value) {
        match schema {
            Value::Bool(_) => {}
            Value::Object(keywords) => {
                for (keyword, value) in keywords {
                    self.keyword(&format!("{pointer}{}", json_pointer(keyword)), keyword, value);
                }
            }
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                self.fault(pointer, "must be a schema: an object, or true or false");
            }
        }
    }

    fn keyword(&mut self, pointer: &str, keyword: &str, value: &Value) {
        if NOT_TAKEN.contains(&keyword) {
            self.fault(pointer, "is not taken in the schema of an answer");
            return;
        }
        let Some((_, kind)) = KEYWORDS.iter().find(|(known, _)| *known == keyword) else {
            if !keyword.starts_with("x-") && !self.errors.is_full() {
                let fault = Fault::new(pointer, "is no keyword of JSON Schema, and does not begin with x-");
                let known = KEYWORDS.iter().map(|(known, _)| *known);
                self.errors.add(fault.meant(keyword, known));
            }
            return;
        };
        self.value(pointer, *kind, value);
    }

    fn value(&mut self, pointer: &str, kind: Kind, value: &Value) {
        let is_meant = match kind {
            Kind::Schema => {
                self.schema(pointer, value);
                true
            }
            Kind::Schemas => return self.schemas(pointer, value),
            Kind::NamedSchemas | Kind::MatchedSchemas => return self.named_schemas(pointer, kind, value),
            Kind::Pattern => return self.pattern(pointer, value.as_str()),
            Kind::Type => return self.types(pointer, value),
            Kind::Reference => return self.reference(pointer, value),
            Kind::Text => value.is_string(),
            Kind::Texts => are_texts(value),
            Kind::NamedTexts => value.as_object().is_some_and(|named| named.values().all(are_texts)),
            Kind::Count => value.as_f64().is_some_and(|count| count >= 0.0 && count.fract() == 0.0),
            Kind::Number => value.is_number(),
            Kind::AboveZero => value.as_f64().is_some_and(|number| number > 0.0),
            Kind::Truth => value.is_boolean(),
            Kind::List => value.is_array(),
            Kind::Values => value.as_array().is_some_and(|values| !values.is_empty()),
            Kind::Draft => value == DRAFT || value == &format!("{DRAFT}#"),
            Kind::Anything => true,
        };
        if !is_meant {
            self.fault(pointer, format!("must be {}", kind.as_str()));
        }
    }

    fn schemas(&mut self, pointer: &str, value: &Value) {
        match value.as_array() {
            Some(schemas) if !schemas.is_empty() => {
                for (index, schema) in schemas.iter().enumerate() {
                    self.schema(&format!("{pointer}/{index}"), schema);
                }
            }
            Some(_) | None => self.fault(pointer, format!("must be {}", Kind::Schemas.as_str())),
        }
    }

    fn named_schemas(&mut self, pointer: &str, kind: Kind, value: &Value) {
        let Some(named) = value.as_object() else {
            return self.fault(pointer, format!("must be {}", kind.as_str()));
        };
        for (name, schema) in named {
            let pointer = format!("{pointer}{}", json_pointer(name));
            if let Kind::MatchedSchemas = kind {
                self.pattern(&pointer, Some(name));
            }
            self.schema(&pointer, schema);
        }
    }

    fn pattern(&mut self, pointer: &str, pattern: Option<&str>) {
        self.patterns += 1;
        if self.patterns == PATTERNS_MAX + 1 {
            let message = format!("is one too many: a schema has at most {PATTERNS_MAX} regular expressions");
            self.fault(pointer, message);
        }
        let checked = pattern.ok_or("must be a regular expression").and_then(check_regex);
        if let Err(message) = checked
            && self.patterns <= PATTERNS_MAX
        {
            self.fault(pointer, message);
        }
    }

    fn types(&mut self, pointer: &str, value: &Value) {
        let mut name = |pointer: &str, value: &Value| match value.as_str() {
            Some(name) if TYPES.contains(&name) => {}
            name => {
                let message = format!("must be one of {}", TYPES.join(", "));
                let fault = Fault::new(pointer, message);
                self.errors.add(fault.meant(name.unwrap_or_default(), TYPES));
            }
        };
        match value.as_array() {
            None => name(pointer, value),
            Some(names) => {
                for (index, value) in names.iter().enumerate() {
                    name(&format!("{pointer}/{index}"), value);
                }
                if !are_texts(value) || names.is_empty() {
                    self.fault(pointer, "must name one type or more, each once");
                }
            }
        }
    }

    fn reference(&mut self, pointer: &str, value: &Value) {
        let definitions = self.root.get("$defs").and_then(Value::as_object);
        let reference = value.as_str().unwrap_or_default();
        if let Some(name) = reference.strip_prefix("#/$defs/")
            && !name.contains('%')
        {
            if definition(definitions, reference).is_none() && !self.errors.is_full() {
                let fault = Fault::new(pointer, format!("there is no {} in $defs", shown(name)));
                let names = definitions.into_iter().flat_map(Map::keys).map(String::as_str);
                self.errors.add(fault.meant(name, names));
            }
        } else {
            let message = "must be #/$defs/ and the name of a schema there: nothing is taken from elsewhere";
            self.fault(pointer, message);
        }
    }
}

/// Whether it is a list of texts, each once.
fn are_texts(value: &Value) -> bool {
    let Some(values) = value.as_array() else { return false };
    let mut texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.len() == values.len()
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Schema => "a schema",
            Self::Schemas => "a list of one schema or more",
            Self::NamedSchemas => "an object of schemas",
            Self::MatchedSchemas => "an object of schemas, named by regular expressions",
            Self::Text => "a text",
            Self::Texts => "a list of texts, each once",
            Self::NamedTexts => "an object of lists of texts",
            Self::Pattern => "a regular expression",
            Self::Count => "a whole number from 0",
            Self::Number => "a number",
            Self::AboveZero => "a number above 0",
            Self::Truth => "true or false",
            Self::List => "a list",
            Self::Values => "a list of one value or more",
            Self::Anything => "a value",
            Self::Type => "the name of a type",
            Self::Reference => "a reference",
            Self::Draft => "https://json-schema.org/draft/2020-12/schema, or left out",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::validate::testing::errors;

    fn told(schema: &str) -> Vec<String> {
        let faults = errors(&format!(
            "states:
  A: {{await_input: {{event: x, prompt: Go on?, schema: {schema}}}, on: {{x: {{target: B}}}}}}
  B: {{final: true}}
"
        ));
        let pointer = "/states/A/await_input/schema";
        faults.iter().map(|fault| fault.replace(pointer, "")).collect()
    }

    #[test]
    fn what_people_ask_for_is_a_schema() {
        for schema in [
            "{}",
            "{type: object, required: [ok], properties: {ok: {type: boolean}}, additionalProperties: false}",
            "{type: [string, 'null'], minLength: 1, maxLength: 2.0, pattern: '^[a-z]+$', format: date, x-order: 1}",
            "{$schema: 'https://json-schema.org/draft/2020-12/schema', $ref: '#/$defs/a~1b', $defs: {a/b: {enum: [1, two, null]}}}",
            "{oneOf: [{const: 1}, true], not: {type: string}, if: {}, then: {}, else: false, multipleOf: 0.1}",
            "{type: array, items: {$ref: '#/$defs/a'}, $defs: {a: {$ref: '#/$defs/b'}, b: {properties: {type: {type: string}}}}}",
        ] {
            assert_eq!(told(schema), Vec::<String>::new(), "{schema}");
        }
    }

    #[test]
    fn every_fault_of_a_schema_is_told_with_its_place() {
        assert_eq!(
            told(
                "{type: objekt, requierd: [ok], required: [a, a], properties: {ok: {type: bool}, a: 5}, minLength: -1, enum: [],
                  anyOf: [], pattern: '(?=a)', $id: a, unevaluatedProperties: false, uniqueItems: 1, type2: x,
                  patternProperties: {'(': {}}, items: {$ref: 'https://example.com/a'}, not: {$ref: '#/$defs/adress'},
                  $defs: {address: {minimum: low, type: [string, string]}}, $schema: 'http://json-schema.org/draft-07/schema#'}"
            ),
            [
                "/$defs/address/minimum must be a number",
                "/$defs/address/type must name one type or more, each once",
                "/$id is not taken in the schema of an answer",
                "/$schema must be https://json-schema.org/draft/2020-12/schema, or left out",
                "/anyOf must be a list of one schema or more",
                "/enum must be a list of one value or more",
                "/items/$ref must be #/$defs/ and the name of a schema there: nothing is taken from elsewhere",
                "/minLength must be a whole number from 0",
                "/not/$ref there is no adress in $defs; did you mean address?",
                "/pattern it is no regular expression of RE2's kind",
                "/patternProperties/( it is no regular expression of RE2's kind",
                "/properties/a must be a schema: an object, or true or false",
                "/properties/ok/type must be one of array, boolean, integer, null, number, object, string",
                "/requierd is no keyword of JSON Schema, and does not begin with x-; did you mean required?",
                "/required must be a list of texts, each once",
                "/type must be one of array, boolean, integer, null, number, object, string; did you mean object?",
                "/type2 is no keyword of JSON Schema, and does not begin with x-; did you mean type?",
                "/unevaluatedProperties is not taken in the schema of an answer",
                "/uniqueItems must be true or false",
            ]
        );
    }

    #[test]
    fn what_would_make_an_answer_expensive_is_refused() {
        assert_eq!(
            told("{$ref: '#/$defs/a', $defs: {a: {items: {$ref: '#/$defs/b'}}, b: {not: {$ref: '#/$defs/a'}}}}"),
            [" must not refer to itself, directly or over others"]
        );
        // Each refers to the next one twice.
        let doubled: Vec<String> = (0..40)
            .map(|number| {
                format!(
                    "a{number}: {{allOf: [{{$ref: '#/$defs/a{next}'}}, {{$ref: '#/$defs/a{next}'}}]}}",
                    next = number + 1
                )
            })
            .collect();
        assert_eq!(
            told(&format!(
                "{{$ref: '#/$defs/a0', $defs: {{{}, a40: true}}}}",
                doubled.join(", ")
            )),
            [" must not have more than 5000 values, each reference as what it refers to"]
        );
        let large = format!("{{description: {}}}", "a".repeat(SCHEMA_MAX_BYTES));
        assert_eq!(told(&large), [" must not be larger than 32768 bytes"]);
        let patterns: Vec<String> = (0..30).map(|number| format!("{{pattern: '^{number}$'}}")).collect();
        assert_eq!(
            told(&format!("{{anyOf: [{}]}}", patterns.join(", "))),
            ["/anyOf/20/pattern is one too many: a schema has at most 20 regular expressions"]
        );
        let json = |text: &str| JsonText::new(text).expect("JSON");
        assert_eq!(
            schema_parts(&json(r##"{"$ref":"#/$defs/a","$defs":{"a":{"type":"null"}}}"##)),
            Some(7)
        );
        assert_eq!(
            schema_parts(&json(r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##)),
            None
        );
    }
}
