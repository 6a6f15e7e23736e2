//! Guards and values that are no expressions, or ask for what is not there, with the place inside the text.

use super::variables::{CONTEXT_VARIABLES, Variables};
use super::ways::{active, starts, ways};
use crate::JsonText;
use crate::expression::{Expression, Template, Variable};
use crate::saga::definition::{Action, Definition, Fields, Reach};
use crate::saga::fault::{Fault, Faults};

pub(super) fn check(definition: &Definition, variables: &Variables<'_>, errors: &mut Faults) {
    fields("/context", &definition.context, &CONTEXT_VARIABLES, errors);
    for (name, state) in active(definition) {
        if let Some(input) = &state.await_input {
            let pointer = format!("/states/{name}/await_input/prompt");
            template(&pointer, &as_json(&input.prompt), &variables.prompt, errors);
        }
    }
    let variables = &variables.all;
    for way in ways(definition) {
        if let Some(guard) = &way.candidate.guard {
            self::guard(&format!("{}/if", way.pointer), guard, variables, errors);
        }
        fields(&format!("{}/set", way.pointer), &way.candidate.set, variables, errors);
    }
    for start in starts(definition) {
        match start.action {
            Action::Task(task) => match &task.reach {
                Reach::Once { .. } => {}
                Reach::ForEach { items, .. } => list(&format!("{}/for_each", start.pointer), items, variables, errors),
            },
            Action::Saga(child) => {
                if let Some(correlation_id) = &child.correlation_id {
                    let pointer = format!("{}/correlation_id", start.pointer);
                    template(&pointer, &as_json(correlation_id), variables, errors);
                }
                if let Some(input) = &child.input {
                    template(&format!("{}/input", start.pointer), input, variables, errors);
                }
            }
        }
    }
}

fn guard(pointer: &str, source: &str, variables: &[Variable<'_>], errors: &mut Faults) {
    if source.trim_start().starts_with("${") {
        errors.add(Fault::new(
            pointer,
            "is an expression as it is: write it without ${ and }",
        ));
        return;
    }
    if let Err(invalid) = Expression::compile(source, variables) {
        errors.add(Fault::new(pointer, invalid.to_string()));
    }
}

/// What `for_each` goes through must be computed: a list that is known is as well written as so many tasks.
fn list(pointer: &str, items: &str, variables: &[Variable<'_>], errors: &mut Faults) {
    match template(pointer, &as_json(items), variables, errors) {
        Some(template) if template.is_constant() => {
            errors.add(Fault::new(pointer, "must be an expression, such as ${ context.items }"));
        }
        Some(_) | None => {}
    }
}

fn fields(pointer: &str, fields: &Fields, variables: &[Variable<'_>], errors: &mut Faults) {
    for (name, value) in fields {
        template(&format!("{pointer}/{name}"), value, variables, errors);
    }
}

fn template(pointer: &str, json: &JsonText, variables: &[Variable<'_>], errors: &mut Faults) -> Option<Template> {
    match Template::parse(json, variables) {
        Ok(template) => Some(template),
        Err(invalid) => {
            for fault in invalid {
                let pointer = format!("{pointer}{}", fault.pointer);
                errors.add(Fault::new(pointer, fault.fault.to_string()));
            }
            None
        }
    }
}

fn as_json(text: &str) -> JsonText {
    JsonText::trusted(serde_json::to_string(text).expect("a text is always JSON"))
}

#[cfg(test)]
mod tests {
    use crate::saga::validate::testing::errors;

    #[test]
    fn what_nothing_puts_into_the_context_is_told_with_what_was_meant() {
        assert_eq!(
            errors(
                "context: {order_id: '${ input.id }'}
states:
  A:
    on:
      x:
        if: 'context.oder_id != null && input.anything && event.data.anything'
        set: {paid: '${ context.paid }', more: '${ contxt.paid }'}
        compensation: [{name: undo, input: '${ context.pid }'}]
        tasks: [{name: a, input: {b: '${ context.nothing }'}, for_each: '${ context.list }', join: {raises: x}}]
        target: B
  B: {on: {x: {target: C}}}
  C: {final: true}
"
            ),
            [
                "/states/A/on/x/0/if at character 1: context has no field oder_id; it has more, order_id, paid; did you mean \
                 order_id?",
                "/states/A/on/x/0/set/more at character 4: there is no variable contxt; there are context, input, event, saga",
                "/states/A/on/x/0/tasks/0/for_each at character 4: context has no field list; it has more, order_id, paid",
                "/states/A/on/x/0/compensation/0/input at character 4: context has no field pid; it has more, order_id, paid; \
                 did you mean paid?",
                "/states/A/on/x/0/tasks/0/input/b at character 4: context has no field nothing; it has more, order_id, paid",
            ]
        );
        assert_eq!(
            errors("states:\n  A: {on: {x: {if: context.a, target: B}}}\n  B: {final: true}\n"),
            ["/states/A/on/x/0/if at character 1: context has no field a; it has none"]
        );
    }

    #[test]
    fn a_prompt_may_ask_for_what_there_is_while_a_saga_waits() {
        assert_eq!(
            errors(
                "context: {who: Ann}
states:
  A:
    await_input: {event: x, prompt: '${ context.woh }, ${ saga.id } ${ input.sum } ${ event.data }?'}
    on: {x: {target: B}}
  B: {final: true}
"
            ),
            [
                "/states/A/await_input/prompt at character 4: context has no field woh; it has who; did you mean who?",
                "/states/A/await_input/prompt at character 50: there is no variable event; there are context, input, saga",
            ]
        );
    }

    #[test]
    fn every_text_that_is_no_expression_is_told_with_the_place_in_it() {
        let told = errors(
            "context: {a: '${ context.b }', c: {d: ['${ input.x }', 'is ${ 1 + }']}}
states:
  A:
    on:
      x:
        - {if: 'event.dta', target: B}
        - {if: '${ event.data }', target: B}
        - {set: {a: '${ saga.name }'}, target: B}
    on_entry:
      - {name: a, for_each: all, join: {raises: x}}
      - {saga: b, correlation_id: '${ sag.id }', input: {c: '${ evnt }'}}
  B: {final: true}
",
        );
        assert_eq!(told.len(), 8, "{told:#?}");
        assert_eq!(
            told[0],
            "/context/a at character 4: there is no variable context; there are input, saga"
        );
        assert!(told[1].starts_with("/context/c/d/1 at character "), "{told:#?}");
        assert!(told[2].starts_with("/states/A/on/x/0/if "), "{told:#?}");
        assert_eq!(
            told[3],
            "/states/A/on/x/1/if is an expression as it is: write it without ${ and }"
        );
        assert!(told[4].starts_with("/states/A/on/x/2/set/a "), "{told:#?}");
        assert_eq!(
            told[5],
            "/states/A/on_entry/0/for_each must be an expression, such as ${ context.items }"
        );
        assert!(told[6].starts_with("/states/A/on_entry/1/correlation_id "), "{told:#?}");
        assert!(told[7].starts_with("/states/A/on_entry/1/input/c "), "{told:#?}");
    }
}
