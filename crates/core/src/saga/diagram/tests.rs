//! Pictures of the shipped saga, held against files, and of names that were chosen to break out of them.

use std::fmt::Write as _;

use super::*;
use crate::saga::read;

const ORDER: &str = include_str!("../../../../../config/sagas/order.yaml");

const WHOLE: &str = include_str!("../tests/whole.yaml");

fn definition(text: &str) -> Definition {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn taken(from: &str, to: &str, event: &str) -> Taken {
    Taken {
        from: from.parse().expect("a name"),
        to: to.parse().expect("a name"),
        event: event.parse().expect("a name"),
    }
}

/// An order that could not be shipped.
fn path() -> Vec<Taken> {
    vec![
        taken("Initial", "AwaitingPayment", "order_created"),
        taken("AwaitingPayment", "AwaitingInventory", "payment_processed"),
        taken("AwaitingInventory", "AwaitingShipment", "inventory_reserved"),
        taken("AwaitingShipment", "Failed", "shipment_failed"),
    ]
}

/// What is drawn is the file. Where it is meant to have changed, the file becomes what is shown.
#[track_caller]
fn is_drawn(drawn: &str, file: &str) {
    assert!(drawn == file, "the picture is not the one in the file, but:\n{drawn}");
}

#[test]
fn an_order_is_drawn_for_mermaid() {
    is_drawn(&mermaid(&definition(ORDER)), include_str!("tests/order.mmd"));
}

#[test]
fn the_way_of_an_order_is_marked_for_mermaid() {
    let (path, state) = (path(), "Failed".parse().expect("a name"));
    let live = Live {
        state: &state,
        path: &path,
    };
    is_drawn(
        &mermaid_live(&definition(ORDER), live),
        include_str!("tests/order-live.mmd"),
    );
}

#[test]
fn an_order_is_drawn_as_svg() {
    is_drawn(&svg(&definition(ORDER)), include_str!("tests/order.svg"));
}

#[test]
fn the_way_of_an_order_is_marked_in_svg() {
    let (path, state) = (path(), "Failed".parse().expect("a name"));
    let live = Live {
        state: &state,
        path: &path,
    };
    is_drawn(
        &svg_live(&definition(ORDER), live),
        include_str!("tests/order-live.svg"),
    );
}

#[test]
fn everything_the_language_has_is_drawn_for_mermaid() {
    is_drawn(&mermaid(&definition(WHOLE)), include_str!("tests/whole.mmd"));
}

#[test]
fn everything_the_language_has_is_drawn_as_svg() {
    is_drawn(&svg(&definition(WHOLE)), include_str!("tests/whole.svg"));
}

#[test]
fn what_a_path_has_and_no_transition_accounts_for_is_drawn_as_well() {
    let definition = definition(ORDER);
    let state = "Failed".parse().expect("a name");
    let path = [
        taken("AwaitingPayment", "Failed", "timeout"),
        taken("Gone", "Failed", "timeout"),
    ];
    let live = Live {
        state: &state,
        path: &path,
    };
    let text = mermaid_live(&definition, live);
    assert!(text.contains("    AwaitingPayment --> Failed : ✔ timeout\n"), "{text}");
    assert!(!text.contains("Gone"), "{text}");
    // A state of another version is nowhere.
    let state = "Gone".parse().expect("a name");
    let gone = Live {
        state: &state,
        path: &[],
    };
    assert_eq!(mermaid_live(&definition, gone), mermaid(&definition));
}

#[test]
fn names_that_mermaid_takes_for_its_own_stand_behind_others() {
    let text = "name: a
initial: end
states:
  end: {on: {x: {target: a.b}}}
  a.b: {on: {x: {target: state_0}}}
  state_0: {final: true}
";
    assert_eq!(
        mermaid(&definition(text)),
        "stateDiagram-v2
    state \"a.b\" as state_0
    state \"end\" as state_1
    state \"state_0\" as state_2
    [*] --> state_1
    state_0 --> state_2 : x
    state_1 --> state_0 : x
    state_2 --> [*]
"
    );
}

#[test]
fn nothing_that_a_user_writes_leaves_its_place() {
    let hostile = r#"<script>alert(1)</script>]]>\"'&amp; %%{init: {}}%% ; --> x : y\n\u202e\u0007end note"#;
    // A prompt has room for its end, a guard for its beginning.
    let prompt = hostile.replace("<script>alert(1)</script>]]>", "</text>");
    let text = format!(
        r#"{{"name": "a", "initial": "A", "states": {{
            "A": {{"on": {{"x": {{"if": "event.name == '{}'", "tasks": [{{"name": "t"}}], "target": "B"}}}},
                  "await_input": {{"event": "x", "prompt": "{prompt}"}}}},
            "B": {{"final": true}}}}}}"#,
        hostile.replace('\'', "")
    );
    let definition = definition(&text);
    let drawing = svg(&definition);
    for part in [
        "<script",
        "]]>",
        "\u{202e}",
        "\u{7}",
        "&amp;amp; %%{init: {}}%% ; --&gt;",
    ] {
        let may = part.starts_with("&amp;amp;");
        assert_eq!(drawing.contains(part), may, "{part}: {drawing}");
    }
    // Between tags there is nothing that begins one, and every tag that begins is one of ours.
    for tag in drawing.split('<').skip(1) {
        let name: String = tag.chars().take_while(char::is_ascii_alphabetic).collect();
        let ours = [
            "svg", "title", "defs", "marker", "path", "rect", "circle", "g", "text", "",
        ];
        assert!(ours.contains(&name.as_str()), "{name}");
        assert_eq!(tag.matches('>').count(), 1, "{tag}");
    }
    let text = mermaid(&definition);
    for line in text.lines().filter(|line| line.contains("script")) {
        let (_, words) = line.split_once(" : ").expect("a label");
        let plain = words.replace(|letter: char| letter.is_ascii_digit(), "");
        assert_eq!(plain.matches(';').count(), plain.matches("#;").count(), "{line}");
        assert!(!words.contains([':', '<', '>', '"', '{', '%', '\n']), "{line}");
    }
}

#[test]
fn large_definitions_are_drawn_soon() {
    let mut long = String::from("name: a\ninitial: S0\nstates:\n");
    for state in 0..499 {
        let back = state / 2;
        writeln!(
            long,
            "  S{state}: {{on: {{go: {{target: S{}}}, end: {{target: S499}}, back: {{target: S{back}}}}}}}",
            state + 1
        )
        .expect("a String takes every text");
    }
    long.push_str("  S499: {final: true}\n");
    let mut wide = String::from("name: a\ninitial: A\nstates:\n  A:\n    on:\n");
    for state in 0..400 {
        writeln!(wide, "      e{state}: {{target: B{state}}}").expect("a String takes every text");
    }
    for state in 0..400 {
        writeln!(
            wide,
            "  B{state}: {{on: {{x: {{target: B{}}}, y: {{target: A}}, z: {{target: C}}}}}}",
            (state * 7) % 400
        )
        .expect("a String takes every text");
    }
    wide.push_str("  C: {final: failed}\n");
    for text in [long, wide] {
        let definition = definition(&text);
        let drawing = svg(&definition);
        assert_eq!(drawing.matches("<g><title>").count(), definition.states.len());
        assert!(drawing.ends_with("</svg>\n"));
        assert!(!drawing.contains("NaN") && !drawing.contains("inf"));
    }
}
