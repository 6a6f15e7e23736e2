//! Whether an answer meets the JSON Schema that a saga asks for. It is asked where an event is put to its saga, whichever way it came.
//!
//! The rules of definitions see to it that a schema refers to nothing but itself, not in circles, and has few values
//! ([`schema_parts`]); patterns take time linear in the text. So a definition cannot make the server fetch anything, and what an
//! answer costs is known before it is looked at.

use jsonschema::{PatternOptions, ValidationError, Validator};
use orchestratum_core::JsonText;
use orchestratum_core::saga::{Definition, Fault, Faults, State, schema_parts};
use orchestratum_core::task::Violations;
use serde_json::Value;

/// The most values of a schema times bytes of an answer: each value may look at each part of the answer, which is about a
/// fifth of a second then, while the row of the saga is locked. A schema of a hundred values takes an answer of 100 kB.
const WORK_MAX: usize = 10_000_000;

/// Up to so much all faults of an answer are collected. Behind it only the first is looked for: there may be as many as that.
const ALL_FAULTS_WORK_MAX: usize = 500_000;

/// How many faults of an answer are told.
const FAULTS_TOLD: usize = 20;

/// How long the words about one fault may be: they quote the schema.
const FAULT_MAX_CHARACTERS: usize = 300;

/// Holds an answer against a schema. No value of it is told: answers may be secrets.
///
/// # Errors
/// What the answer breaks, each with a pointer below `/data`: it is the `data` of a body.
pub fn check(schema: &JsonText, data: &JsonText) -> Result<(), Violations> {
    let mut violations = Violations::default();
    match faults_of(schema, data) {
        Ok(faults) => {
            for (pointer, message) in faults {
                violations.add(format!("/data{pointer}"), message);
            }
        }
        Err(message) => violations.add(
            "/data",
            format!("the schema of the definition cannot be used: {message}"),
        ),
    }
    violations.into_result()
}

/// What is wrong with the schemas of a definition, beside what core knows, and with the answers that are given for whoever gives
/// none.
pub fn faults(definition: &Definition) -> Faults {
    let mut faults = Faults::default();
    for (name, state) in &definition.states {
        let input = match state {
            State::Active(state) => state.await_input.as_ref(),
            State::Final { .. } => None,
        };
        let Some((input, schema)) = input.and_then(|input| Some((input, input.schema.as_ref()?))) else {
            continue;
        };
        let pointer = format!("/states/{name}/await_input");
        // What core refuses is told by core.
        if schema_parts(schema).is_none() {
            continue;
        }
        let data = input
            .default_after
            .as_ref()
            .map_or_else(JsonText::null, |default| default.data.clone());
        match faults_of(schema, &data) {
            Err(message) => faults.0.push(Fault::new(format!("{pointer}/schema"), message)),
            Ok(broken) if input.default_after.is_some() => {
                let broken = broken.into_iter().map(|(below, message)| {
                    let message = format!("does not meet the schema of the answer: {message}");
                    Fault::new(format!("{pointer}/default_after/data{below}"), message)
                });
                faults.0.extend(broken);
            }
            Ok(_) => {}
        }
    }
    faults
}

/// Pointers into the answer, with what is wrong there; or why the schema is none.
fn faults_of(schema: &JsonText, data: &JsonText) -> Result<Vec<(String, String)>, String> {
    let parts = schema_parts(schema).ok_or("it is too large, or refers to itself")?;
    let work = parts.saturating_mul(data.len());
    if work > WORK_MAX {
        let most = WORK_MAX / parts;
        return Ok(vec![(
            String::new(),
            format!("must not be larger than {most} bytes for a schema of this size"),
        )]);
    }
    let read = |text: &JsonText| text.parse::<Value>().map_err(|error| error.to_string());
    let (schema, data) = (read(schema)?, read(data)?);
    let validator = compiled(&schema)?;
    let told = |fault: &ValidationError<'_>| (fault.instance_path().to_string(), words(fault));
    if work > ALL_FAULTS_WORK_MAX {
        return Ok(validator.validate(&data).err().iter().map(told).collect());
    }
    Ok(validator
        .iter_errors(&data)
        .take(FAULTS_TOLD)
        .map(|fault| told(&fault))
        .collect())
}

fn compiled(schema: &Value) -> Result<Validator, String> {
    let options = jsonschema::draft202012::options().with_pattern_options(PatternOptions::regex());
    options.offline().build(schema).map_err(|fault| words(&fault))
}

fn words(fault: &ValidationError<'_>) -> String {
    fault
        .masked_with("it")
        .to_string()
        .chars()
        .take(FAULT_MAX_CHARACTERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use orchestratum_core::Timestamp;
    use orchestratum_core::saga;
    use orchestratum_core::task::SpecLimits;

    use super::*;

    fn json(text: &str) -> JsonText {
        JsonText::new(text).expect("JSON")
    }

    fn told(schema: &str, data: &str) -> Vec<String> {
        let checked = check(&json(schema), &json(data));
        let broken = checked.err().unwrap_or_default().0;
        broken.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_fault_of_an_answer_is_told_with_its_place_and_without_its_values() {
        let schema = r##"{"type":"object","required":["ok","by"],"additionalProperties":false,
            "properties":{"ok":{"type":"boolean"},"by":{"$ref":"#/$defs/name"},"why":{"items":{"maxLength":3}}},
            "$defs":{"name":{"type":"string","pattern":"^[a-z]+$"}}}"##;
        assert_eq!(
            told(schema, r#"{"ok":true,"by":"ann","why":["abc"]}"#),
            Vec::<String>::new()
        );
        let secret = r#"{"ok":"secret","by":"SECRET","why":["abc","secret"]}"#;
        assert_eq!(
            told(schema, secret),
            [
                "/data/by it does not match \"^[a-z]+$\"",
                "/data/ok it is not of type \"boolean\"",
                "/data/why/1 it is longer than 3 characters",
            ]
        );
        assert_eq!(
            told(schema, "{}"),
            [
                "/data \"ok\" is a required property",
                "/data \"by\" is a required property"
            ]
        );
        assert_eq!(told(schema, "null"), ["/data it is not of type \"object\""]);
        assert_eq!(told("{}", "null"), Vec::<String>::new());
    }

    #[test]
    fn a_large_answer_costs_a_bounded_time_and_its_first_fault_is_told() {
        let large = |length: usize| format!("[{}0]", "1,".repeat(length));
        let schema = r#"{"items":{"type":"string"}}"#;
        assert_eq!(told(schema, &large(10)).len(), 11);
        assert_eq!(told(schema, &large(10_000)).len(), FAULTS_TOLD);
        assert_eq!(told(schema, &large(200_000)).len(), 1);
        let types = vec![r#"{"type":"string"}"#; 400].join(",");
        assert_eq!(
            told(
                &format!(r#"{{"items":{{"not":{{"anyOf":[{types}]}}}}}}"#),
                &large(100_000)
            ),
            ["/data must not be larger than 12437 bytes for a schema of this size"]
        );
    }

    #[test]
    fn a_pattern_takes_time_linear_in_the_text() {
        // Where an engine goes back and tries again, this takes longer than anybody waits.
        let text = format!("\"{}!\"", "a".repeat(100_000));
        assert_eq!(
            told(r#"{"pattern":"^(a+)+$"}"#, &text),
            ["/data it does not match \"^(a+)+$\""]
        );
    }

    #[test]
    fn a_schema_that_core_would_refuse_is_never_used() {
        for schema in [
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##,
            r#"{"$ref":"http://127.0.0.1:1/schema.json"}"#,
            r#"{"$ref":"file:///etc/passwd"}"#,
        ] {
            let told = told(schema, "1");
            assert_eq!(told.len(), 1, "{told:?}");
            assert!(
                told[0].starts_with("/data the schema of the definition cannot be used: "),
                "{told:?}"
            );
        }
    }

    #[test]
    fn an_answer_by_default_meets_the_schema_itself() {
        let checked = |schema: &str| {
            let text = format!(
                "name: a
initial: A
states:
  A:
    await_input:
      event: x
      prompt: Go on?
      schema: {schema}
      default_after:
        seconds: 5
        data: {{ok: [1]}}
    on: {{x: {{target: B}}}}
  B: {{final: true}}
"
            );
            let checked = saga::check_with(&text, &SpecLimits::default(), Timestamp::EPOCH, faults);
            checked.err().unwrap_or_default().to_string()
        };
        assert_eq!(checked("{properties: {ok: {items: {type: integer}}}}"), "");
        assert_eq!(
            checked("{properties: {ok: {items: {type: string}}}}"),
            "line 11, column 21: /states/A/await_input/default_after/data/ok/0 does not meet the schema of the answer: it is not of \
             type \"string\""
        );
        // It is told once, by core.
        assert_eq!(
            checked("{$ref: '#/$defs/a', $defs: {a: {$ref: '#/$defs/a'}}}"),
            "line 8, column 15: /states/A/await_input/schema must not refer to itself, directly or over others"
        );
    }
}
