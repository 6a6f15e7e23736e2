//! Expressions from their sources to their values.

use super::compile::{Expression, SOURCE_MAX_BYTES, Variable};
use super::{EvaluationError, Scope};
use crate::JsonText;

const VARIABLES: [Variable<'static>; 4] = [
    Variable::any("output"),
    Variable::any("input"),
    Variable::any("at"),
    Variable::with_fields("task", &["id", "name"]),
];

fn refused(source: &str) -> String {
    match Expression::compile(source, &VARIABLES) {
        Ok(_) => format!("{source} is taken"),
        Err(error) => error.to_string(),
    }
}

fn value(source: &str) -> Result<String, String> {
    let json = |text: &str| JsonText::new(text).expect("JSON");
    let scope = Scope::new([
        (
            "output",
            json(
                r#"{"total": 41, "rate": 1.5, "items": [{"n": "b", "p": 2}, {"n": "a", "p": 3}], "text": "é\n", "none": null}"#,
            ),
        ),
        ("input", json("12345678901234567890123")),
        ("task", json(r#"{"id": "1", "name": "pay"}"#)),
        ("at", json(r#""2026-01-01T00:00:00Z""#)),
    ]);
    let expression = Expression::compile(source, &VARIABLES).map_err(|error| error.to_string())?;
    let value = expression.evaluate(&scope, 1_000).map_err(|error| error.to_string())?;
    Ok(value.as_str().to_owned())
}

#[test]
fn values_of_every_kind_come_and_go() {
    for (source, expected) in [
        ("output.total + 1", "42"),
        ("output.total * 2 - output.items.size()", "80"),
        ("output.rate * 2.0", "3.0"),
        ("output.text + task.name", r#""é\npay""#),
        ("output.items.map(item, item.p * 2)", "[4,6]"),
        ("output.items.filter(item, item.p > 2)[0].n", r#""a""#),
        ("output.items.exists(item, item.n == 'a')", "true"),
        ("output.items.all(item, item.p > 2)", "false"),
        ("output.items.exists_one(item, item.p > 2)", "true"),
        (
            "output.items.map(item, output.items.filter(other, other.p > item.p).size())",
            "[1,0]",
        ),
        ("{'b': 1, 'a': [true, null]}", r#"{"a":[true,null],"b":1}"#),
        ("has(output.total) ? 'yes' : 'no'", r#""yes""#),
        ("output['total'] in [41, 42]", "true"),
        ("task.name.startsWith('p') && !task.name.matches('^[0-9]+$')", "true"),
        (
            "timestamp('2026-01-01T00:00:00Z') + duration('1h')",
            r#""2026-01-01T01:00:00Z""#,
        ),
        ("duration('1500ms')", "1.5"),
        ("type(output.total) == int && int('7') == 7", "true"),
        ("string(output.total) + '!'", r#""41!""#),
        ("output.items[-1 + 2].p % 2", "1"),
        ("(task.name + 'É1').upperAscii() + 'PÉ'.lowerAscii()", r#""PAYÉ1pÉ""#),
    ] {
        assert_eq!(value(source).as_deref(), Ok(expected), "{source}");
    }
}

#[test]
fn a_variable_alone_is_handed_on_byte_for_byte() {
    assert_eq!(value("input").as_deref(), Ok("12345678901234567890123"));
    assert_eq!(value("  task ").as_deref(), Ok(r#"{"id": "1", "name": "pay"}"#));
}

#[test]
fn what_fails_is_told_without_the_values() {
    for (source, expected) in [
        ("output.missing", "there is no field \"missing\""),
        ("output.total + output.text", "+ does not take int and string"),
        ("output.total < output.text", "< does not take int and string"),
        ("output.rate >= output.text", ">= does not take double and string"),
        ("output.text && output.text", "&& does not take string and string"),
        ("!output.text", "! needs bool, not string"),
        ("-output.text", "- does not take string"),
        ("output.items['a']", "[] does not take list and string"),
        ("output.text in output.total", "in does not take string and int"),
        ("output.rate + output.text", "+ does not take double and string"),
        ("output.none.id", "null has no fields"),
        ("timestamp(at) < output.total", "< does not take timestamp and int"),
        ("output.total ? 1 : 2", "it needs bool, not int"),
        ("output.items[7]", "an index is beyond the end of its list"),
        ("output.total / (output.total - 41)", "it divides by zero"),
        ("output.total * 9223372036854775807", "a number is too large"),
        ("int(output.text)", "int() cannot take what it was given"),
        (
            "output.items[output.rate]",
            "an index is a whole number or a name, not double",
        ),
        (
            "output.total.map(x, x)",
            "it needs a list or a map to go through, not int",
        ),
        (
            "output.rate / 0.0",
            "a number that is infinite or none has no place in JSON",
        ),
        (
            "output.text.startsWith(output.total)",
            "startsWith() does not take string and int",
        ),
        ("output.none.upperAscii()", "upperAscii() does not take null"),
    ] {
        assert_eq!(
            value(source).as_ref().map_err(String::as_str),
            Err(expected),
            "{source}"
        );
    }
}

#[test]
fn a_fault_is_told_with_its_place() {
    for (source, expected) in [
        ("1 + ", "at character 5: "),
        ("output.total +* 2", "at character 15: "),
        ("é", "at character 1: "),
        (
            "'é' + outptu",
            "at character 7: there is no variable outptu; there are output, input, at, task",
        ),
        (
            "output.x(1) + nothing",
            "at character 8: there is no function x on a value; there are all, contains, endsWith, exists, exists_one, filter, \
             getDate, getDayOfMonth, getDayOfWeek, getDayOfYear, getFullYear, getHours, getMilliseconds, getMinutes, getMonth, \
             getSeconds, lowerAscii, map, matches, size, startsWith, upperAscii",
        ),
        (
            "size(1, input) + sizes(input)",
            "at character 18: there is no function sizes; there are bool, bytes, double, duration, dyn, has, int, matches, size, \
             string, timestamp, type, uint; did you mean size?",
        ),
        (
            "1 + task.nme",
            "at character 5: task has no field nme; it has id, name; did you mean name?",
        ),
        ("output.a + 1 + 'b'", "at character 10: + does not take int and string"),
        ("1 && output.a", "at character 3: && does not take int and any value"),
        ("output.a in 5", "at character 10: in does not take any value and int"),
        ("'a' ? 1 : 2", "at character 5: ? needs bool, not string"),
        ("!1", "at character 1: ! needs bool, not int"),
        ("output.a[0.5]", "at character 9: [] does not take any value and double"),
        ("output.a[?0]", "at character "),
        ("a.b.C{x: 1}", "at character "),
        ("1 / 0", "at character 1: it divides by zero"),
        ("-'a'", "at character 1: - does not take string"),
        ("[1, 2]['a']", "at character 1: [] does not take list and string"),
        ("null < 1.5", "at character 6: < does not take null and double"),
        (
            "'a'.startsWith(1)",
            "at character 1: startsWith() does not take string and int",
        ),
        (
            "startsWith(output.a, 'b')",
            "at character 1: startsWith is called in another way",
        ),
        (
            "output.a.matches(output.b)",
            "at character 10: matches takes a regular expression that is written down as a text",
        ),
        (
            "output.a.matches('(')",
            "at character 10: it is no regular expression of RE2's kind",
        ),
        (
            "output.a.matches('(\\\\w{100}){100}')",
            "at character 10: the regular expression is too large",
        ),
        ("", "at character 1: "),
    ] {
        let told = refused(source);
        assert!(told.starts_with(expected), "{source}: {told}");
    }
}

#[test]
fn names_that_a_loop_gives_are_known_in_it_alone() {
    assert_eq!(value("[1].map(x, x)").as_deref(), Ok("[1]"));
    assert!(refused("[1].map(x, x) == x").contains("no variable x"));
    assert!(refused("@result").starts_with("at character 1"));
}

#[test]
fn size_depth_and_loops_are_bounded() {
    let terms = |count: usize| vec!["output"; count].join(" || ");
    assert!(Expression::compile(&terms(200), &VARIABLES).is_ok());
    assert!(refused(&terms(300)).contains("more than 500 parts"));
    let nested = |depth: usize| format!("{}output{}", "[".repeat(depth), "]".repeat(depth));
    assert!(Expression::compile(&nested(25), &VARIABLES).is_ok());
    for depth in [40, 1_000] {
        assert!(refused(&nested(depth)).starts_with("at character"), "{depth}");
    }
    let sum = |count: usize| vec!["output"; count].join(" + ");
    assert!(Expression::compile(&sum(30), &VARIABLES).is_ok());
    assert!(refused(&sum(100)).contains("deeper than 32 levels"));
    let long = format!("'{}'", "x".repeat(SOURCE_MAX_BYTES));
    assert!(refused(&long).contains("longer than 4096 bytes"));
    assert!(refused("output.all(a, a.all(b, b.all(c, c)))").contains("deeper than 2 in each other"));
    assert!(Expression::compile("output.filter(a, a).map(b, b).all(c, c)", &VARIABLES).is_ok());
}

#[test]
fn hostile_sources_are_refused_and_not_waited_for() {
    for source in [
        "(".repeat(4_000),
        "[".repeat(4_000),
        "!".repeat(4_000),
        "-".repeat(4_000),
        "a.".repeat(2_000),
        "{1:".repeat(1_300),
        "output[".repeat(500),
        "'".repeat(4_001),
        "1+".repeat(2_000),
        "output?1:".repeat(400),
    ] {
        assert!(Expression::compile(&source, &VARIABLES).is_err(), "{}", &source[..10]);
    }
}

#[test]
fn evaluation_ends_whatever_the_values_are() {
    let many: Vec<String> = (0..100_000).map(|index| index.to_string()).collect();
    let scope = || {
        Scope::new([
            ("output", JsonText::new(format!("[{}]", many.join(","))).expect("JSON")),
            ("input", JsonText::of(&"x".repeat(1 << 20)).expect("JSON")),
            ("task", JsonText::null()),
        ])
    };
    for source in [
        "output.map(a, output.map(b, a + b))",
        "output.all(a, output == output)",
        "output.exists(a, output + [a] == [1])",
        "output.exists(a, input + 1 == 2)",
        "output.exists(a, input == 'b' || input < 'b')",
        "output.map(a, input)",
        "output.map(a, [input, input])",
        "output.map(a, {'a': output})",
        "output.exists(a, input.contains('xxxxy'))",
        "output.exists(a, input.matches('x{1,50}y'))",
        "output.exists(a, a in output)",
        "output.exists(a, size(input) == 1)",
    ] {
        let expression = Expression::compile(source, &VARIABLES).expect("it meets the rules");
        let error = expression.evaluate(&scope(), 1 << 20).expect_err(source);
        assert_eq!(error, EvaluationError::TooManySteps, "{source}");
    }
    let doubled = vec!["(input + input)"; 15].join(" + ");
    let expression = Expression::compile(&doubled, &VARIABLES).expect("it meets the rules");
    let error = expression.evaluate(&scope(), 1 << 20).expect_err("30 MiB");
    assert!(matches!(
        error,
        EvaluationError::TooLarge { .. } | EvaluationError::TooManySteps
    ));
    let few: Vec<String> = (0..10_000).map(|index| index.to_string()).collect();
    let scope = Scope::new([("output", JsonText::new(format!("[{}]", few.join(","))).expect("JSON"))]);
    let once = Expression::compile("output.filter(a, a % 1000 == 0).size()", &VARIABLES).expect("fine");
    assert_eq!(
        once.evaluate(&scope, 100).map(|value| value.to_string()),
        Ok("10".to_owned())
    );
    assert!(
        (100_000..500_000).contains(&scope.steps_taken()),
        "{}",
        scope.steps_taken()
    );
}

#[test]
fn what_cannot_be_read_any_more_is_not_taken_for_absent() {
    let values = vec!["1"; 2_000].join(",");
    let scope = Scope::with_steps([("output", JsonText::new(format!("[{values}]")).expect("JSON"))], 1_000);
    for source in ["output == 1 || true", "size(output) == 2000", "1 == 1"] {
        let expression = Expression::compile(source, &VARIABLES).expect("it meets the rules");
        assert_eq!(
            expression.evaluate(&scope, 100),
            Err(EvaluationError::TooManySteps),
            "{source}"
        );
    }
}
