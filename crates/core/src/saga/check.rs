//! From a text to a definition that can be run, or to everything that is wrong with it.

use std::collections::BTreeSet;

use super::definition::Definition;
use super::fault::{Fault, Faults};
use super::names::DefinitionName;
use super::source::{Bounds, Node, understand};
use super::validate::{Gaps, check_with_others, children, validate, validate_with_gaps};
use crate::task::SpecLimits;
use crate::time::Timestamp;

/// A definition that meets every rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    pub definition: Definition,
    /// What is allowed and may not be meant.
    pub warnings: Faults,
    /// The other definitions that it starts. Whether they are there is not asked here.
    pub children: Vec<MayBeMissing>,
}

/// A definition that another one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MayBeMissing {
    pub definition: DefinitionName,
    /// What is told where there is none of this name, with the first place that starts it.
    pub warning: Fault,
}

/// Reads YAML or JSON and holds it against every rule.
///
/// # Errors
/// Every fault with its place, in the order of the text. Where some of the text cannot be read, what depends on that (which states
/// can be reached, which fields of the context there are, and the like) is asked once it can be.
pub fn check(text: &str, limits: &SpecLimits, now: Timestamp) -> Result<Checked, Faults> {
    check_with(text, limits, now, |_| Faults::default())
}

/// The same, with more rules, whose faults have pointers into the canonical form. They are asked of what can be read, so each must
/// hold whatever is missing elsewhere.
///
/// # Errors
/// As [`check`].
pub fn check_with(
    text: &str,
    limits: &SpecLimits,
    now: Timestamp,
    more: impl FnOnce(&Definition) -> Faults,
) -> Result<Checked, Faults> {
    let reading = understand(text, Bounds::SOURCE)?;
    let mut faults = reading.faults;
    let Some(definition) = reading.definition else {
        return Err(faults);
    };
    let located = |faults: Faults| located(faults, &reading.root, &reading.left_out);
    if !faults.is_empty() {
        let mut errors = validate_with_gaps(&definition, &Gaps::of(&faults), limits, now);
        add_untold(&mut errors, more(&definition));
        faults.extend(located(errors));
        return Err(in_order(faults));
    }
    let mut findings = validate(&definition, limits, now);
    add_untold(&mut findings.errors, more(&definition));
    if !findings.errors.is_empty() {
        return Err(in_order(located(findings.errors)));
    }
    let warnings = in_order(located(findings.warnings));
    let (names, told): (Vec<DefinitionName>, Vec<Fault>) = children(&definition).into_iter().unzip();
    let told = located(Faults(told)).0.into_iter();
    let children = names.into_iter().zip(told);
    let children = children.map(|(definition, warning)| MayBeMissing { definition, warning });
    Ok(Checked {
        children: children.collect(),
        definition,
        warnings,
    })
}

/// What is doubtful in a definition together with others: those that it [starts](super::started_definitions), and those that they
/// start. `text` is that of the definition.
pub fn check_together(text: &str, definition: &Definition, others: &[&Definition]) -> Faults {
    let found: Vec<Fault> = check_with_others(definition, others).into_iter().collect();
    if found.is_empty() {
        return Faults::default();
    }
    match understand(text, Bounds::SOURCE) {
        Ok(reading) => located(Faults(found), &reading.root, &reading.left_out),
        Err(_) => Faults(found),
    }
}

/// All of these but what is told already of a part of the same.
fn add_untold(errors: &mut Faults, more: Faults) {
    let is_told = |fault: &Fault| {
        let mut parts = errors
            .0
            .iter()
            .filter_map(|told| told.pointer.strip_prefix(&fault.pointer));
        parts.any(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let untold: Vec<Fault> = more.0.into_iter().filter(|fault| !is_told(fault)).collect();
    errors.extend(Faults(untold));
}

/// The same faults with the places of what they are about.
fn located(faults: Faults, root: &Node, left_out: &BTreeSet<String>) -> Faults {
    let located = faults.0.into_iter().map(|fault| {
        let (pointer, place) = root.locate(&fault.pointer, left_out);
        Fault { pointer, ..fault }.at(place)
    });
    Faults(located.collect())
}

fn in_order(mut faults: Faults) -> Faults {
    faults.0.sort_by_key(|fault| fault.place);
    faults
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::saga::CompiledDefinition;
    use crate::saga::source::SOURCE_MAX_BYTES;

    const SOON: Duration = Duration::from_secs(5);

    fn checked(text: &str) -> Result<Checked, Vec<String>> {
        check(text, &SpecLimits::default(), Timestamp::EPOCH).map_err(|faults| told(&faults))
    }

    fn told(faults: &Faults) -> Vec<String> {
        faults.0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_shipped_and_the_whole_definition_meet_every_rule() {
        let order =
            checked(include_str!("../../../../config/sagas/order.yaml")).unwrap_or_else(|told| panic!("{told:#?}"));
        assert_eq!(order.definition.name.as_str(), "order");
        assert_eq!(order.definition.states.len(), 6);
        assert_eq!(
            order.warnings,
            Faults::default(),
            "whatever is in flight is undone, too"
        );
        let whole = checked(include_str!("tests/whole.yaml")).unwrap_or_else(|told| panic!("{told:#?}"));
        assert_eq!(whole.definition.name.as_str(), "whole");
    }

    /// Definitions as they are; parts of one with what is around them.
    #[test]
    fn what_the_manual_shows_to_copy_meets_every_rule() {
        let manual = include_str!("../../../../docs/sagas.md");
        let blocks = manual.split("```yaml\n").skip(1);
        let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
        assert!(blocks.len() >= 6, "{}", blocks.len());
        for block in blocks {
            let text = if block.starts_with("name: ") {
                block.to_owned()
            } else {
                whole(block)
            };
            let shown = checked(&text).unwrap_or_else(|told| panic!("{text}{told:#?}"));
            assert_eq!(shown.warnings, Faults::default(), "{text}");
        }
    }

    /// Of states, the first of which is entered at the start.
    fn whole(states: &str) -> String {
        let (first, _) = states.split_once(':').expect("the name of a state");
        let mut text = format!(
            "name: part
context: {{order_id: '${{ input.order_id }}', items: '${{ input.items }}', total: '${{ input.total }}'}}
initial: Initial
states:
  Initial: {{on: {{start: {{target: {first}}}}}}}
"
        );
        text.extend(states.lines().map(|line| format!("  {line}\n")));
        for (end, kind) in [("Done", "true"), ("Failed", "failed")] {
            if states.contains(&format!("target: {end}")) {
                text.extend([format!("  {end}: {{final: {kind}}}\n")]);
            }
        }
        text
    }

    #[test]
    fn faults_of_form_and_of_meaning_are_told_together_in_the_order_of_the_text() {
        let text = "\
name: a b
initial: A
states:
  A:
    on:
      go: {traget: B}
      stop:
        - {if: 'contxt.x', target: C}
  B: {final: maybe}
unhandeld: reject
";
        assert_eq!(
            checked(text).expect_err("refused"),
            [
                "line 1, column 7: /name must match [A-Za-z0-9._-]{1,100} and not be . or .., not \"a b\"",
                "line 6, column 12: /states/A/on/go/traget is no field of a transition, which has if, set, compensation, tasks, \
                 compensate, target; did you mean target?",
                "line 8, column 16: /states/A/on/stop/0/if at character 1: there is no variable contxt; there are context, \
                 input, event, saga",
                "line 8, column 36: /states/A/on/stop/0/target there is no state C; there are A, B",
                "line 9, column 14: /states/B/final must be true or failed, not \"maybe\"",
                "line 10, column 1: /unhandeld is no field of a definition, which has name, context, initial, timeout, \
                 unhandled, on_compensation_failure, states; did you mean unhandled?",
            ]
        );
    }

    #[test]
    fn other_definitions_are_told_with_the_first_place_that_starts_them() {
        let text = "\
name: a
initial: A
states:
  A:
    on:
      start:
        tasks:
          - {saga: b, raises: {failure: x}}
          - {saga: a, raises: {failure: x}}
        target: B
  B:
    on_entry:
      - {saga: c, raises: {failure: x}}
      - {saga: b, raises: {failure: x}}
    on: {x: {target: C}}
  C: {final: true}
";
        let children = checked(text).unwrap_or_else(|told| panic!("{told:#?}")).children;
        let told: Vec<String> = children.iter().map(|child| child.warning.to_string()).collect();
        assert_eq!(
            told,
            [
                "line 8, column 20: /states/A/on/start/tasks/0/saga there is no definition b yet: without it this \
                 child fails",
                "line 13, column 16: /states/B/on_entry/0/saga there is no definition c yet: without it this child \
                 fails",
            ]
        );
        assert_eq!(children[1].definition.as_str(), "c");
    }

    #[test]
    fn faults_of_every_kind_are_told_at_once_and_none_that_follows_from_another() {
        let text = "\
name: a
initial: A
states:
  A:
    on:
      go: {traget: B}
      paid: 5
    always:
      - 7
      - {if: 'contxt.x', target: B}
    after:
      - {seconds: soon, target: Nowhere}
  B:
    await_input: {event: answered, prompt: '${ input. }', schema: {type: 5}}
    on:
      x:
        tasks: [{name: pay, raises: {success: paid, failure: sent}}]
        target: C
  D: {onn: {sent: {target: E}}}
  F: {on: {y: {set: {a: 1}}}}
  E: &end {final: true}
  E: {final: failed}
";
        assert_eq!(
            checked(text).expect_err("refused"),
            [
                "line 6, column 12: /states/A/on/go/traget is no field of a transition, which has if, set, compensation, tasks, \
                 compensate, target; did you mean target?",
                "line 7, column 13: /states/A/on/paid must be an object, not a number",
                "line 9, column 9: /states/A/always/0 must be an object, not a number",
                "line 10, column 14: /states/A/always/1/if at character 1: there is no variable contxt; there are context, \
                 input, event, saga",
                "line 12, column 19: /states/A/after/0/seconds must be a number of seconds, not a text",
                "line 12, column 33: /states/A/after/0/target there is no state Nowhere; there are A, B, D, E, F",
                "line 14, column 26: /states/B/await_input/event is answered, which the state does not take",
                "line 14, column 44: /states/B/await_input/prompt at character 11: expected identifier after '.'",
                "line 14, column 74: /states/B/await_input/schema/type must be one of array, boolean, integer, null, number, \
                 object, string",
                "line 18, column 17: /states/B/on/x/target there is no state C; there are A, B, D, E, F",
                "line 19, column 7: /states/D/onn is no field of a state, which has on, after, always, await_input, on_entry, \
                 on_exit, final, reason; did you mean on?",
                "line 20, column 6: /states/F cannot be left: no event, no delay and no always leads to another state. If it is \
                 an end, say final: true or final: failed",
                "line 21, column 11: /states/E has an anchor, which is not taken",
                "line 22, column 3: /states/E the field E is there twice",
            ]
        );
    }

    #[test]
    fn all_that_is_wrong_with_one_entry_is_told_at_once() {
        let text = "\
name: a
initial: A
timeout: {after_seconds: soon, target: Gone}
states:
  A:
    on:
      go:
        - tasks:
            - {nmae: pay, priority: high, max_retries: 1.5, input: '${ evnt }', nonsense: 1}
            - {name: pay, join: {raises: paid}, input: '${ evnt }', raises: {success: 5, failure: lost}}
            - {name: pay, for_each: '${ contxt.x }', input: '${ itm }', raises: {success: done, failure: lost}}
            - {saga: 5, input: '${ evnt }', raises: {failure: lost}}
            - {name: echo, limits: {memory_mb: many}, labels: {a: 1, b: 2}, compensation: [{nam: undo, priority: 1.5}]}
          target: B
  B:
    await_input: {prompt: '${ contxt }', reminders: [{seconds: soon, event: never}]}
    on: {x: {target: C}}
  C: {final: true}
";
        let faults = check(text, &SpecLimits::default(), Timestamp::EPOCH).expect_err("refused");
        let line = |fault: &Fault| fault.place.map_or(0, |place| place.line);
        let mut told: Vec<(usize, String)> = faults
            .0
            .iter()
            .map(|fault| (line(fault), fault.pointer.clone()))
            .collect();
        let task = |number: usize, field: &str| format!("/states/A/on/go/0/tasks/{number}{field}");
        let mut expected = vec![
            (3, "/timeout/after_seconds".to_owned()),
            (3, "/timeout/target".to_owned()),
        ];
        for (number, fields) in [
            "/name /nmae /priority /max_retries /input /nonsense",
            " /join /input /raises/success",
            "/join /for_each /input /raises/success",
            "/saga /input",
            "/limits/memory_mb /labels/a /labels/b /compensation/0/name /compensation/0/nam /compensation/0/priority",
        ]
        .iter()
        .enumerate()
        {
            let fields = fields.split_whitespace().map(|field| (9 + number, task(number, field)));
            expected.extend(fields);
        }
        // Nothing takes what they raise.
        expected.extend([1, 2, 3].map(|number| (9 + number, task(number, ""))));
        for field in ["/event", "/prompt", "/reminders/0/seconds", "/reminders/0/event"] {
            expected.push((16, format!("/states/B/await_input{field}")));
        }
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "{faults}");
    }

    #[test]
    fn what_the_parts_say_wrongly_keeps_no_fault_of_the_whole_back() {
        let text = "\
name: a
initial: A
states:
  A:
    on:
      go: {if: 'context.', tasks: [{name: pay, raises: {success: paid, failure: go}}], target: B}
  B: {final: true}
  C: {on: {x: {target: B}}}
  D: {}
";
        assert_eq!(
            checked(text).expect_err("refused"),
            [
                "line 6, column 16: /states/A/on/go/if at character 9: expected identifier after '.'",
                "line 6, column 36: /states/A/on/go/tasks/0 raises paid, which no state takes",
                "line 6, column 36: /states/A/on/go/tasks/0 would be cancelled at once, since the saga ends here: wait for it in a \
                 state of its own",
                "line 8, column 6: /states/C can never be reached",
                "line 9, column 6: /states/D can never be reached",
                "line 9, column 6: /states/D cannot be left: no event, no delay and no always leads to another state. If it is an \
                 end, say final: true or final: failed",
            ]
        );
    }

    /// As JSON a text may be larger and deeper than it was: where it is taken, it can be run.
    fn can_be_run(text: &str) {
        let definition = checked(text).unwrap_or_else(|told| panic!("{told:#?}")).definition;
        let canonical = definition.canonical();
        let again: Definition = serde_json::from_str(&canonical).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, definition);
        assert_eq!(again.canonical(), canonical);
        if let Err(faults) = CompiledDefinition::new(again) {
            panic!("{faults}");
        }
    }

    /// States that each lead to many others.
    fn woven(states: usize, ways: usize) -> String {
        let way = |state: usize, way: usize| format!("e{way}: {{target: S{}}}", (state + way * way + 1) % states);
        let all = (0..states).map(|state| {
            let ways: Vec<String> = (0..ways).map(|number| way(state, number)).collect();
            format!(" S{state}: {{on: {{{}, z: {{target: Z}}}}}}\n", ways.join(", "))
        });
        format!(
            "name: a\ninitial: S0\nstates:\n{} Z: {{final: true}}\n",
            all.collect::<String>()
        )
    }

    #[test]
    fn the_largest_weave_of_states_is_checked_soon_and_can_be_run() {
        let text = woven(499, 19);
        assert!(text.len() < SOURCE_MAX_BYTES, "{}", text.len());
        let (done, is_done) = mpsc::channel();
        let checking = thread::spawn(move || {
            can_be_run(&text);
            done.send(())
        });
        // A search from every state takes many times as long, whatever it is built with.
        assert_eq!(is_done.recv_timeout(SOON), Ok(()));
        assert!(checking.join().is_ok());
    }

    #[test]
    fn what_becomes_too_large_as_json_is_refused() {
        let names = "a,".repeat((SOURCE_MAX_BYTES - 200) / 2);
        let text = format!(
            "name: a\ninitial: A\ncontext: {{big: [{names}]}}\nstates:\n A: {{on: {{x: {{target: B}}}}}}\n B: {{final: true}}\n"
        );
        assert!(text.len() < SOURCE_MAX_BYTES, "{}", text.len());
        can_be_run(&text.replace("a,", "1,"));
        let blanks = names.replace("a,", "{a},");
        let text = text.replace(&names, &blanks[..names.len() / 4 * 4]);
        let told = checked(&text).expect_err("refused");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("must not take more than 524288 bytes as JSON, with the quotes and lists"),
            "{told:?}"
        );
        let deep = |levels: usize| {
            let input = format!("{}1{}", "{a: ".repeat(levels), "}".repeat(levels));
            format!(
                "name: a\ninitial: A\nstates:\n A: {{on: {{x: {{tasks: [{{name: a, input: {input}, raises: {{failure: x}}}}], \
                 target: B}}}}}}\n B: {{on: {{x: {{target: C}}}}}}\n C: {{final: true}}\n"
            )
        };
        can_be_run(&deep(25));
        assert!(checked(&deep(26)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Whatever is taken, near the bounds as well, can be run.
        #[test]
        fn every_definition_that_is_taken_can_be_read_again(
            levels in 18..28_usize,
            kilobytes in prop_oneof![Just(0_usize), 0..260_usize],
            fill in prop::sample::select(vec!["a", "~", "1e300", "{a}", "[]", "{a: }", "'\"'", "\u{85}", "é", "\"\\u0001\""]),
            is_list in any::<bool>(),
            place in 0..4_usize,
        ) {
            let large = vec![fill; (kilobytes << 10) / (fill.len() + 1)].join(",");
            let nested = format!("{}[{large}]{}", "{a: ".repeat(levels), "}".repeat(levels));
            let task = format!("{{name: a, input: {nested}, raises: {{failure: x}}}}");
            let way = match place {
                0 => format!("{{tasks: [{task}], target: B}}"),
                1 => format!("{{set: {{v: {nested}}}, target: B}}"),
                2 => format!("{{compensation: [{{name: u, input: {nested}}}], target: B}}"),
                _ => format!("{{tasks: [{{name: a, compensation: [{{name: u, input: {nested}}}]}}], target: B}}"),
            };
            let way = if is_list { format!("[{way}]") } else { way };
            let text = format!(
                "name: a\ninitial: A\nstates:\n A: {{on: {{x: {way}}}}}\n B: {{on: {{x: {{target: C}}}}}}\n C: {{final: true}}\n"
            );
            if checked(&text).is_ok() {
                can_be_run(&text);
            }
        }
    }

    #[test]
    fn texts_made_to_take_long_are_answered_soon() {
        let many = |begin: &str, part: &dyn Fn(usize) -> String, end: &str| {
            let mut text = begin.to_owned();
            let mut number = 0;
            while text.len() < SOURCE_MAX_BYTES - 100 {
                text.push_str(&part(number));
                number += 1;
            }
            text + end
        };
        let states = (0..400).map(|number| format!("  S{number}: {{final: true}}\n"));
        let states: String = states.collect();
        let begin = format!("name: a\ninitial: A\nstates:\n{states}  A:\n    always:\n");
        for text in [
            many(
                &begin,
                &|number| format!("    - {{if: 'true', target: S{}}}\n", number % 400),
                "",
            ),
            many(
                &begin,
                &|number| format!("    - {{if: 'true', target: T{number}}}\n"),
                "",
            ),
            many(&begin, &|_| "    - {tasks: [{saga: a}], target: A}\n".to_owned(), ""),
            many("[", &|_| "a,".to_owned(), "]"),
            many("{", &|number| format!("a{number}: b,"), "}"),
            many("", &|_| "- ".to_owned(), ""),
            many("", &|_| "{a: ".to_owned(), ""),
            many("\"", &|_| "\\ud83d\\ude00".to_owned(), "\""),
            many("[", &|_| "\"\\ud83d\\ude00\",".to_owned(), "1]"),
        ] {
            // The first is allowed. None may take so long that the run of the tests is seen to stand still.
            let faults = checked(&text).err().unwrap_or_default();
            assert!(faults.len() <= 100);
        }
    }
}
