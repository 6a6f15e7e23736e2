//! The harness over every definition there is, and what it finds in those that are wrong.

mod balance;
mod calculation;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::oracle::Oracle;
use super::*;
use crate::JsonText;
use crate::saga::compiled::CompiledDefinition;
use crate::saga::definition::Definition;
use crate::saga::instance::{Event, Outcome, SagaEnd};
use crate::saga::read;
use crate::saga::simulate::World;
use crate::saga::step::{Effect, Input, Purpose, Step};
use crate::task::{ErrorKind, SpecLimits, TaskError};

const ORDER: &str = include_str!("../../../../../config/sagas/order.yaml");

const WHOLE: &str = include_str!("../tests/whole.yaml");

fn definition(text: &str) -> Definition {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn explored(text: &str) -> Report {
    let harness = Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"));
    harness.explore().unwrap_or_else(|violation| panic!("{violation}"))
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn everything_can_happen_to_an_order_and_it_is_undone_as_it_says() {
    let report = explored(ORDER);
    assert!(report.is_complete && report.worlds > 50, "{report:#?}");
    let ends = [
        SagaEnd::Completed,
        SagaEnd::Failed,
        SagaEnd::TimedOut,
        SagaEnd::Cancelled,
    ];
    assert_eq!(report.ends, BTreeSet::from(ends));
    assert_eq!(
        report.failed,
        set(&["process_payment", "reserve_inventory", "create_shipment"])
    );
    assert_eq!(
        report.undone,
        set(&["refund_payment", "release_inventory", "cancel_shipment"])
    );
    assert_eq!(report.not_undone, report.undone);
    let nothing = BTreeSet::new();
    assert_eq!(
        (report.unvisited, report.never_started, report.parked),
        (nothing.clone(), nothing.clone(), nothing)
    );
}

#[test]
fn everything_can_happen_to_a_saga_with_everything_the_language_has() {
    let harness = Harness::new(definition(WHOLE)).unwrap_or_else(|faults| panic!("{faults}"));
    // Two tasks that are joined go through every pair of ends; more would only take longer.
    let harness = harness
        .input(&json!({"items": []}))
        .input(&json!({"items": ["a", "b"]}));
    let harness = harness.event("reminded", &json!({"event": "approved", "prompt": "Go on?"}));
    let report = harness.worlds(2_000).explore();
    let report = report.unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(report.unvisited, BTreeSet::new(), "{report:#?}");
    assert_eq!(report.ends.len(), 4);
    for undo in ["discard", "undo_child", "tell", "sorry"] {
        assert!(report.undone.contains(undo), "{undo}: {report:#?}");
        assert!(report.not_undone.contains(undo), "{undo}: {report:#?}");
    }
}

/// Whatever is shipped, or shown as an example, holds the rules.
#[test]
fn everything_can_happen_to_every_shipped_saga() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (folder, least) in [("config/sagas", 3), ("examples/http-worker", 1)] {
        let files = fs::read_dir(root.join(folder)).expect("the folder of the sagas");
        let paths = files.map(|file| file.expect("a file").path());
        let paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|kind| kind == "yaml"))
            .collect();
        assert!(paths.len() >= least, "{folder} has {} sagas", paths.len());
        for path in paths {
            holds_the_rules(&path);
        }
    }
}

fn holds_the_rules(path: &Path) {
    let text = fs::read_to_string(path).expect("a text");
    let shown = path.display();
    let harness = Harness::new(definition(&text)).unwrap_or_else(|faults| panic!("{shown}: {faults}"));
    let harness = match path.file_stem().and_then(|name| name.to_str()) {
        Some("calculate-balance") => harness.input(&balance::balance("stop")),
        Some("calculation") => harness.input(&calculation::calculation("celery", &json!({}))),
        // It is guessed.
        _ => harness,
    };
    let report = harness.worlds(1_500).explore();
    let report = report.unwrap_or_else(|violation| panic!("{shown}: {violation}"));
    assert!(!report.ends.is_empty(), "{shown} never ends: {report:#?}");
}

#[test]
fn compensations_that_fail_are_passed_over_where_the_definition_says_so() {
    let report = explored(&format!("{ORDER}\non_compensation_failure: continue\n"));
    assert!(report.is_complete);
    assert_eq!(report.not_undone, report.undone);
}

#[test]
fn data_are_given_where_they_cannot_be_guessed() {
    let text = "name: a
initial: A
context: {kind: '${ input.kind }'}
states:
  A: {on: {start: {target: B}}}
  B: {on: {x: [{if: 'event.data.codes.exists(code, code.startsWith(context.kind))', target: C}]}, after: [{seconds: 5, target: D}]}
  C: {final: true}
  D: {final: failed}
";
    let guessed = Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"));
    let report = guessed.explore().unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(report.unvisited, set(&["C"]));
    let given = Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"));
    let given = given.input(&json!({"kind": "E"})).event("x", &json!({"codes": ["E1"]}));
    let report = given.explore().unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(report.unvisited, BTreeSet::new());
}

/// A task whose failure nobody hears, and which is issued once more in whatever state the saga is by then.
const ISSUED_AGAIN: &str = "name: a
initial: A
states:
  A: {on: {start: {tasks: [{name: a, raises: {success: x}, compensation: [{name: undo}]}], target: B}}}
  B: {on: {x: {target: C}, y: {compensate: true, target: C}}}
  C: {on: {x: {}, y: {compensate: true, target: D}}}
  D: {final: failed}
";

#[test]
fn a_task_that_is_issued_once_more_is_undone_in_every_world() {
    let report = explored(ISSUED_AGAIN);
    assert!(report.is_complete, "{report:#?}");
    assert_eq!(report.undone, set(&["undo"]));
    let text = format!("{ISSUED_AGAIN}on_compensation_failure: continue\n");
    assert!(explored(&text).is_complete);
}

/// An order that cannot be shipped, and whose last step somebody has changed: what the harness says of it.
fn tampered(change: impl FnOnce(&mut World, &mut Step)) -> Result<(), String> {
    let order = CompiledDefinition::new(definition(ORDER)).unwrap_or_else(|faults| panic!("{faults}"));
    let input = JsonText::trusted(r#"{"order_id":1,"customer_id":2,"items":[],"total":3}"#);
    let (mut world, mut oracle) = (World::new(&order, input.clone()), Oracle::default());
    let succeeded = |number: u32, output: &str| Input::TaskEnded {
        number,
        outcome: Outcome::Succeeded {
            output: JsonText::trusted(output),
        },
    };
    let started = Event {
        id: "1".to_owned(),
        name: "start".parse().expect("a name"),
        data: input,
    };
    let inputs = [
        Input::Started(started),
        succeeded(1, r#"{"transaction_id":"T"}"#),
        succeeded(3, r#"{"reservation_id":"R"}"#),
        Input::TaskEnded {
            number: 5,
            outcome: Outcome::Unsuccessful {
                error: TaskError::new(ErrorKind::Failed, "no"),
                may_have_run: false,
            },
        },
    ];
    let last = inputs.len() - 1;
    let mut change = Some(change);
    for (index, input) in inputs.into_iter().enumerate() {
        let before = world.clone();
        let mut step = world
            .put(&order, input.clone(), &SpecLimits::default())
            .unwrap_or_else(|rejection| panic!("{rejection}"));
        if index == last
            && let Some(change) = change.take()
        {
            change(&mut world, &mut step);
        }
        oracle.observe(order.definition(), &before, &input, &world, &step)?;
    }
    Ok(())
}

#[test]
fn every_rule_that_is_broken_is_told() {
    assert_eq!(tampered(|_, _| {}), Ok(()));
    let told = |result: Result<(), String>| result.expect_err("a broken rule");
    // Something that was registered is lost, or another in its place.
    let lost = told(tampered(|world, _| {
        world.instance.stack.remove(0);
    }));
    assert!(lost.starts_with("what is registered is [(4, "), "{lost}");
    let swapped = told(tampered(|world, _| world.instance.stack.swap(0, 1)));
    assert!(swapped.starts_with("what is registered is [(4, "), "{swapped}");
    // Something is registered that nobody asked for.
    let more = told(tampered(|world, _| {
        let mut undo = world.instance.stack[0].clone();
        undo.number = 9;
        world.instance.stack.push(undo);
    }));
    assert_eq!(
        more,
        r#"what is registered, ["refund_payment"], is not what the definition says"#
    );
    // The oldest is undone first.
    let oldest = told(tampered(|world, step| {
        let oldest = world.instance.stack[0].clone();
        for effect in &mut step.effects {
            if let Effect::IssueTask { number, task, .. } = effect {
                *number = oldest.number;
                **task = oldest.task.clone();
            }
        }
    }));
    assert_eq!(
        oldest,
        "refund_payment is undone, and the newest is Some((4, \"release_inventory\"))"
    );
    // Two are undone at once.
    let both = told(tampered(|_, step| step.effects.push(step.effects[0].clone())));
    assert_eq!(both, "release_inventory begins while compensation 4 runs");
    // A step goes on that nobody waits for.
    let forward = told(tampered(|world, _| {
        for running in world.running.values_mut() {
            running.kind = crate::saga::RunningKind::Task;
        }
    }));
    assert_eq!(forward, "the saga waits for [], and [4] run");
    // It forgets to undo.
    let idle = told(tampered(|world, step| {
        step.effects.retain(|effect| {
            !matches!(
                effect,
                Effect::IssueTask {
                    purpose: Purpose::Compensation,
                    ..
                }
            )
        });
        world.running.clear();
    }));
    assert!(
        idle.starts_with("0 tasks run, 0 of them not cancelled, and 0 compensations"),
        "{idle}"
    );
}
