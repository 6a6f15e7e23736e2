use orchestratum_core::Timestamp;
use orchestratum_core::saga;
use orchestratum_core::task::SpecLimits;

use super::*;

fn json(text: &str) -> JsonText {
    JsonText::new(text).expect("JSON")
}

fn told(schema: &str, data: &str) -> Vec<String> {
    let checked = Schema::new(&json(schema)).check(&json(data));
    let broken = checked.broken.err().unwrap_or_default().0;
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
fn the_faults_of_a_large_answer_are_looked_for_as_far_as_that_is_quick() {
    let large = |length: usize| format!("[{}0]", "1,".repeat(length));
    let schema = r#"{"items":{"type":"string"}}"#;
    assert_eq!(told(schema, &large(10)).len(), 11);
    assert_eq!(told(schema, &large(2_000)).len(), FAULTS_TOLD);
    assert_eq!(told(schema, &large(100_000)), ["/data/0 it is not of type \"string\""]);
    // Each of these looks at everything below it before it collects the faults there.
    let chained: Vec<String> = (0..40)
        .map(|number| format!(r##""{number}":{{"anyOf":[{{"$ref":"#/$defs/{}"}}]}}"##, number + 1))
        .collect();
    let schema = format!(
        r##"{{"anyOf":[{{"items":{{"$ref":"#/$defs/0"}}}}],"$defs":{{{},"40":{{"type":"string"}}}}}}"##,
        chained.join(",")
    );
    assert_eq!(
        told(&schema, &large(1_000)),
        ["/data does not meet the schema, and is too large for what is wrong to be looked for"]
    );
    assert_eq!(told(&schema, "[1]").len(), 1);
    assert_eq!(
        told(&schema, &format!("[{}\"\"]", "\"\",".repeat(1_000))),
        Vec::<String>::new()
    );
}

/// A thousand rows of a form of ten fields.
fn form() -> (String, String) {
    let fields: Vec<String> = (0..7)
        .map(|number| format!(r#""field{number}":{{"type":"integer","minimum":0}}"#))
        .collect();
    let schema = format!(
        r##"{{"type":"array","uniqueItems":false,"items":{{"type":"object","required":["name","mail","price"],
                "additionalProperties":false,"properties":{{{},"name":{{"type":"string","minLength":1,"maxLength":200,"pattern":"^\\w+$"}},
                "mail":{{"$ref":"#/$defs/mail"}},"price":{{"multipleOf":0.01}}}}}},
                "$defs":{{"mail":{{"type":"string","pattern":"^[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\\.[A-Za-z]{{2,}}$"}}}}}}"##,
        fields.join(",")
    );
    let values: Vec<String> = (0..7)
        .map(|number| format!(r#""field{number}":{}"#, number * 1_000))
        .collect();
    let row = format!(
        r#"{{{},"name":"somebody","mail":"somebody@example.com","price":1299.99}}"#,
        values.join(",")
    );
    (schema, format!("[{}]", vec![row; 1_000].join(",")))
}

#[test]
fn a_form_of_ten_thousand_values_is_taken() {
    let (schema, answer) = form();
    let checked = Schema::new(&json(&schema)).check(&json(&answer));
    assert_eq!(checked.broken, Ok(()));
    assert!(checked.steps < ANSWER_STEPS_MAX * 2 / 3, "{}", checked.steps);
}

fn list(entry: impl Fn(usize) -> String, length: usize) -> String {
    let entries: Vec<String> = (0..length).map(entry).collect();
    format!("[{}]", entries.join(","))
}

/// Lists of lists, all of them empty, of which no two are the same.
fn brackets(number: usize) -> String {
    let mut text = String::from("[]");
    for bit in 0..16 {
        text = if number >> bit & 1 == 1 {
            format!("[{text}]")
        } else {
            format!("[{text},[]]")
        };
    }
    text
}

#[test]
fn an_answer_that_would_take_long_is_refused_before_it_is_checked() {
    let each = |schema: &str| format!(r#"{{"allOf":[{{"items":{schema}}},{{"contains":{{"const":"zz"}}}}]}}"#);
    let unique = r#"{"uniqueItems":true}"#.to_owned();
    let patterns = |pattern: &str| each(&format!(r#"{{"pattern":"{pattern}"}}"#));
    let fields = |length: usize| {
        format!(
            "{{{}}}",
            list(|number| format!("\"{number}\":1"), length).trim_matches(['[', ']'])
        )
    };
    let types = vec![r#"{"type":"string"}"#; 400].join(",");
    let number = |_| "1e300".to_owned();
    for (schema, answer) in [
        (each(r#"{"multipleOf":0.0001}"#), list(number, 150_000)),
        (each(r#"{"multipleOf":0.0001}"#), list(number, 5_000)),
        (
            each(r#"{"multipleOf":1.271211656810394e-10}"#),
            list(|number| format!("495328610840{number}.69"), 5_000),
        ),
        // Their hashes are all the same.
        (unique.clone(), list(brackets, 5_000)),
        (
            unique,
            list(|number| (9_223_372_036_854_775_808 + number as u64).to_string(), 20_000),
        ),
        (patterns("a[ab]{900}[cd]"), list(|_| "\"abbaabab\"".to_owned(), 1_000)),
        (
            patterns("^([a-q][a-t]{13}x|[r-z]{40}){10}$"),
            list(|_| "\"aaaaaaaa\"".to_owned(), 10_000),
        ),
        (
            r#"{"patternProperties":{"a[0-9]{500}[cd]":true},"additionalProperties":false}"#.to_owned(),
            fields(2_000),
        ),
        (
            r#"{"propertyNames":{"pattern":"a[0-9]{500}[cd]"}}"#.to_owned(),
            fields(5_000),
        ),
        (
            format!(r#"{{"items":{{"not":{{"anyOf":[{types}]}}}}}}"#),
            list(|_| "1".to_owned(), 10_000),
        ),
        ("true".to_owned(), list(|_| "{\"a\":1}".to_owned(), 100_000)),
    ] {
        let checked = Schema::new(&json(&schema)).check(&json(&answer));
        assert!(checked.steps <= ANSWER_STEPS_MAX, "{schema}: {}", checked.steps);
        let broken = checked.broken.expect_err("it is refused").0[0].to_string();
        assert!(
            broken.contains("must be smaller: it may take 150000 steps to check against this schema, and "),
            "{schema}: {broken}"
        );
    }
    assert_eq!(
        told("true", &list(|_| "{}".to_owned(), 100_000)),
        [
            "/data must be smaller: it may take 150000 steps to check against this schema, and 41558 of its 100001 values take \
                 them"
        ]
    );
}

#[test]
fn what_is_quick_to_check_is_not_taken_for_what_is_slow() {
    let taken = |schema: &str, answer: &str| assert_eq!(told(schema, answer), Vec::<String>::new());
    taken(
        r#"{"items":{"multipleOf":0.01}}"#,
        &list(|number| format!("{number}.99"), 20_000),
    );
    taken(r#"{"uniqueItems":true}"#, &list(|number| number.to_string(), 50_000));
    taken(
        r#"{"uniqueItems":true}"#,
        &list(|number| format!(r#"{{"id":{number},"text":"x"}}"#), 10_000),
    );
    taken(r#"{"uniqueItems":true}"#, &list(brackets, 200));
    taken(
        r#"{"type":"string","maxLength":1000000}"#,
        &format!("\"{}\"", ",{[".repeat(300_000)),
    );
}

#[test]
fn a_schema_that_takes_much_memory_is_none() {
    let types = vec![r#"{"type":"null"}"#; 900].join(",");
    let long = format!(r#"{{"properties":{{"{}":{{"anyOf":[{types}]}}}}}}"#, "x".repeat(15_000));
    let many = vec!["\"x\""; 4_000].join(",");
    let quoted = format!(r#"{}{{"enum":[{many}]}}{}"#, r#"{"not":"#.repeat(40), "}".repeat(40));
    for schema in [long, quoted] {
        assert_eq!(
            told(&schema, "1"),
            [
                "/data the schema of the definition cannot be used: it takes more than 8388608 bytes of memory: names may be \
                     shorter, and what stands below a not smaller"
            ]
        );
    }
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

#[test]
fn the_schemas_of_a_definition_are_bounded_together() {
    let asking = |states: usize, pattern: &str| {
        let patterns: Vec<String> = (0..19)
            .map(|number| format!("{{pattern: '{pattern}{number}'}}"))
            .collect();
        let state = |number: usize| {
            format!(
                "  A{number}:
    await_input: {{event: x, prompt: '?', schema: {{anyOf: [{}]}}}}
    on: {{x: {{target: A{}}}}}
",
                patterns.join(", "),
                number + 1
            )
        };
        let asking: String = (0..states).map(state).collect();
        let text = format!("name: a\ninitial: A0\nstates:\n{asking}  A{states}: {{final: true}}\n");
        let checked = saga::check(&text, &SpecLimits::default(), Timestamp::EPOCH);
        let checked = checked.unwrap_or_else(|faults| panic!("{faults}"));
        let faults = faults(&checked.definition).0;
        faults.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(asking(10, "^a"), Vec::<String>::new());
    let told = asking(40, "^a");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("/states/A20/await_input/schema")
            && told[0].contains("may take 25165824 bytes of memory together"),
        "{told:?}"
    );
}
