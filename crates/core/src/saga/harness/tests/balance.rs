//! The calculation "balance" and its parts: every step of GitLab fails and is repeated, the branch moves at each of them.

use serde_json::{Value, json};

use super::*;
use crate::saga::SagaStatus;
use crate::saga::simulate::{Running, SimulatedSaga, SimulationError, Simulator};

const CALCULATION: &str = include_str!("../../../../../../config/sagas/calculation.yaml");
const BALANCE: &str = include_str!("../../../../../../config/sagas/calculate-balance.yaml");

/// Where the branch stood at first, after a commit of ours, and after one of somebody else.
const BEGUN: &str = "0000000000000000000000000000000000000000";
const OURS: &str = "1111111111111111111111111111111111111111";
const THEIRS: &str = "2222222222222222222222222222222222222222";

fn harness(text: &str) -> Harness {
    Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn explored(harness: &Harness) -> Report {
    harness.explore().unwrap_or_else(|violation| panic!("{violation}"))
}

fn drift() -> Value {
    json!({"expected": OURS, "found": THEIRS})
}

fn calculation(delivery: &str, files: &Value) -> Value {
    json!({
        "project": "a/b", "repo_url": "https://gitlab/a/b.git", "branch": "issue/1", "name": "balance.condenser",
        "delivery": delivery, "files": files, "message": "m", "input_files": ["a.json"], "output_file": "b.json",
        "commit": BEGUN,
    })
}

#[test]
fn everything_can_happen_to_one_calculation() {
    let harness = harness(CALCULATION)
        .input(&calculation("celery", &json!({"a.json": 1})))
        .input(&calculation("amqp", &json!({})))
        .event("committed", &json!({"commit": OURS, "existing": false, "drift": null}))
        .event(
            "committed",
            &json!({"commit": THEIRS, "existing": true, "drift": drift()}),
        )
        .event("calculated", &json!({"commitHash": THEIRS, "output_file": "b.json"}))
        .event("calculated", &json!({"movedTo": THEIRS}))
        .event(
            "answered",
            &json!({"body": {"commitHash": THEIRS, "output_file": "b.json"}}),
        )
        .event("answered", &json!({"body": {"movedTo": THEIRS}}))
        .event("answered", &json!({"body": {"error": "no figures"}}))
        .event(
            "taken_in",
            &json!({"commit": THEIRS, "drift": null, "content": {"heat_kw": 1}}),
        );
    let report = explored(&harness);
    assert!(report.is_complete, "{report:#?}");
    let ends = [SagaEnd::Completed, SagaEnd::Failed, SagaEnd::Cancelled];
    assert_eq!(report.ends, BTreeSet::from(ends));
    assert_eq!(report.undone, set(&["gitlab.revert_commit"]));
    let nothing = BTreeSet::new();
    assert_eq!((report.unvisited, report.never_started), (nothing.clone(), nothing));
}

fn balance(on_drift: &str) -> Value {
    json!({
        "project": "a/b", "repo_url": "https://gitlab/a/b.git", "issue_iid": 1, "branch": "issue/1",
        "target_branch": "main", "dependencies": ["condenser", "heater"], "delivery": "celery", "on_drift": on_drift,
    })
}

fn condenser() -> Value {
    json!({
        "turbine": {"exhaust": {"flow_kg_s": 1, "enthalpy_kj_kg": 2}}, "cooling_water": {"inlet_c": 1, "outlet_c": 2},
        "condensate": {"enthalpy_kj_kg": 3}, "heater": {"inlet_c": 1},
    })
}

/// The branch stays where it is: every state is reached, and nothing is wanting.
#[test]
fn the_balance_goes_through_all_its_steps() {
    let calculated = json!({"commit": OURS, "input_commit": OURS, "output_commit": OURS, "drift": null, "output": {}});
    let harness = harness(BALANCE)
        .input(&balance("stop"))
        .event("branch_found", &json!({"commit": OURS, "existing": false}))
        .event("checked", &json!({"commit": OURS, "exists": true, "drift": null}))
        .event("checked", &json!({"commit": OURS, "exists": false, "drift": null}))
        .event(
            "balance_read",
            &json!({"commit": OURS, "content": condenser(), "drift": null}),
        )
        .event("committed", &json!({"commit": OURS, "existing": false, "drift": null}))
        .event("branch_read", &json!({"commit": OURS}))
        .event("input_entered", &json!({"heat_kw": 1}))
        .event("calculated", &calculated)
        .event("repaired", &json!({}))
        .event("merge_request_decided", &json!({"create": true}))
        .event("merge_request_decided", &json!({"create": false}))
        .event("merge_request_made", &json!({"iid": 1, "web_url": "https://gitlab/1"}))
        .worlds(20_000);
    let report = explored(&harness);
    let ends = [SagaEnd::Completed, SagaEnd::Cancelled];
    assert_eq!(report.ends, BTreeSet::from(ends), "{report:#?}");
    assert_eq!(report.unvisited, set(&["Drifted", "Stopped"]), "{report:#?}");
    assert_eq!(report.never_started, BTreeSet::new(), "{report:#?}");
    assert_eq!(report.undone, set(&["gitlab.delete_branch", "gitlab.revert_commit"]));
    let unheard = |reason: &String| !reason.contains("raises nothing then");
    let wanting: Vec<&String> = report.parked.iter().filter(|reason| unheard(reason)).collect();
    assert!(wanting.is_empty(), "{wanting:#?}");
}

/// Others work on the branch at every moment.
#[test]
fn a_branch_that_moves_stops_the_balance_or_has_it_begin_anew() {
    for (on_drift, may_stop) in [("stop", true), ("rebase_inputs", false)] {
        let harness = harness(BALANCE)
            .input(&balance(on_drift))
            .event("branch_found", &json!({"commit": OURS, "existing": true}))
            .event(
                "checked",
                &json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null}),
            )
            .event("checked", &json!({"commit": THEIRS, "exists": true, "drift": drift()}))
            .event(
                "calculated",
                &json!({"commit": THEIRS, "input_commit": null, "output_commit": null, "drift": drift()}),
            )
            .worlds(3_000);
        let report = explored(&harness);
        assert!(!report.unvisited.contains("Drifted"), "{report:#?}");
        assert_eq!(!report.unvisited.contains("Stopped"), may_stop, "{report:#?}");
        assert_eq!(report.ends.contains(&SagaEnd::Failed), may_stop, "{report:#?}");
    }
}

/// Where others were on the branch between the look and the commit, ours was made nevertheless.
#[test]
fn a_commit_that_was_made_upon_a_drift_is_undone() {
    let harness = harness(BALANCE)
        .input(&balance("rebase_inputs"))
        .event("branch_found", &json!({"commit": OURS, "existing": true}))
        .event("checked", &json!({"commit": OURS, "exists": false, "drift": null}))
        .event(
            "balance_read",
            &json!({"commit": OURS, "content": condenser(), "drift": null}),
        )
        .event(
            "committed",
            &json!({"commit": THEIRS, "existing": false, "drift": drift()}),
        )
        .worlds(3_000);
    let report = explored(&harness);
    assert!(!report.unvisited.contains("Drifted"), "{report:#?}");
    assert!(report.undone.contains("gitlab.revert_commit"), "{report:#?}");
}

/// A balance whose input was prepared, and that asks for it: it stands at `OURS`.
fn asking(sagas: &Simulator) -> Result<SimulatedSaga<'_>, SimulationError> {
    let mut saga = sagas.start(&balance("rebase_inputs"))?;
    saga.succeed("gitlab.create_branch", &json!({"commit": BEGUN, "existing": false}))?;
    saga.succeed(
        "gitlab.file_exists",
        &json!({"commit": BEGUN, "exists": false, "drift": null}),
    )?;
    saga.succeed(
        "gitlab.get_file",
        &json!({"commit": BEGUN, "content": condenser(), "drift": null}),
    )?;
    saga.succeed(
        "gitlab.commit",
        &json!({"commit": OURS, "existing": false, "drift": null}),
    )?;
    assert_eq!(
        (saga.state(), saga.status()),
        ("AwaitingInput", SagaStatus::AwaitingInput)
    );
    Ok(saga)
}

/// What is to be committed by the calculation that runs.
fn files(saga: &SimulatedSaga<'_>) -> Value {
    let running: Vec<&Running> = saga.running().collect();
    assert_eq!((running.len(), running[0].name.as_str()), (1, "calculation"));
    let input = running[0].input.as_ref().expect("an input");
    let input: Value = serde_json::from_str(input.as_str()).expect("JSON");
    input["files"].clone()
}

/// Others came before what was entered was committed.
fn overtaken() -> Value {
    json!({"commit": THEIRS, "input_commit": null, "output_commit": null, "drift": drift()})
}

fn looked(last_commit: &str) -> Value {
    json!({"commit": THEIRS, "exists": true, "last_commit": last_commit, "drift": null})
}

#[test]
fn what_was_entered_is_kept_where_others_have_changed_something_else() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("calculation", &overtaken())?;
    saga.succeed("gitlab.file_exists", &looked(OURS))?;
    assert_eq!(files(&saga), json!({"condenser_input.json": {"heat_kw": 1}}));
    // It is committed now: what others do to it then is not written over.
    let committed = json!({"commit": THEIRS, "input_commit": OURS, "output_commit": null, "drift": drift()});
    saga.succeed("calculation", &committed)?;
    saga.succeed("gitlab.file_exists", &looked(THEIRS))?;
    assert_eq!(files(&saga), json!({}));
    Ok(())
}

#[test]
fn what_was_entered_does_not_replace_what_others_have_written() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("calculation", &overtaken())?;
    saga.succeed("gitlab.file_exists", &looked(THEIRS))?;
    assert_eq!(
        (saga.state(), saga.status()),
        ("AwaitingInput", SagaStatus::AwaitingInput)
    );
    let told = saga.context("overtaken");
    assert!(told.as_str().is_some_and(|told| told.contains(THEIRS)), "{told}");
    // Whoever answers now has been told of them.
    saga.answer(&json!({"heat_kw": 2}))?;
    assert_eq!(files(&saga), json!({"condenser_input.json": {"heat_kw": 2}}));

    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("calculation", &overtaken())?;
    saga.succeed(
        "gitlab.file_exists",
        &json!({"commit": THEIRS, "exists": false, "drift": null}),
    )?;
    assert_eq!(saga.state(), "HydratingCondenser", "it is deleted");
    saga.succeed(
        "gitlab.get_file",
        &json!({"commit": THEIRS, "content": condenser(), "drift": null}),
    )?;
    saga.succeed(
        "gitlab.commit",
        &json!({"commit": OURS, "existing": false, "drift": null}),
    )?;
    assert_eq!(saga.state(), "AwaitingInput");
    let told = saga.context("overtaken");
    assert!(told.as_str().is_some_and(|told| told.contains("deleted")), "{told}");
    Ok(())
}

/// Of several dependencies each has what was entered for it.
#[test]
fn what_was_entered_for_one_is_kept_while_another_is_asked_for() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    let calculated = json!({"commit": OURS, "input_commit": OURS, "output_commit": OURS, "drift": null, "output": {}});
    saga.succeed("calculation", &calculated)?;
    let absent = json!({"commit": OURS, "exists": false, "drift": null});
    let content = json!({"commit": OURS, "content": condenser(), "drift": null});
    let committed = json!({"commit": OURS, "existing": false, "drift": null});
    saga.succeed("gitlab.file_exists", &absent)?;
    assert_eq!(saga.state(), "Hydrating");
    saga.succeed("gitlab.get_file", &content)?;
    saga.succeed("gitlab.commit", &committed)?;
    saga.answer(&json!({"inlet_c": 40}))?;
    saga.succeed("calculation", &overtaken())?;
    // Others have deleted the input of the condenser, which is asked for again.
    saga.succeed("gitlab.file_exists", &absent)?;
    saga.succeed("gitlab.get_file", &content)?;
    saga.succeed("gitlab.commit", &committed)?;
    assert_eq!(saga.context("step"), "AWAIT_USER_CONDENSER_INPUT");
    assert_eq!(
        saga.context("overtaken"),
        json!(null),
        "what was entered for it is calculated"
    );
    saga.answer(&json!({"heat_kw": 2}))?;
    saga.succeed("calculation", &calculated)?;
    saga.succeed("gitlab.file_exists", &looked(OURS))?;
    assert_eq!(files(&saga), json!({"heater_input.json": {"inlet_c": 40}}));
    Ok(())
}

#[test]
fn what_was_prepared_while_others_came_is_asked_for_and_not_calculated() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    for (last_commit, state) in [(OURS, "AwaitingInput"), (THEIRS, "Calculating")] {
        let mut saga = sagas.start(&balance("rebase_inputs"))?;
        saga.succeed("gitlab.create_branch", &json!({"commit": BEGUN, "existing": false}))?;
        saga.succeed(
            "gitlab.file_exists",
            &json!({"commit": BEGUN, "exists": false, "drift": null}),
        )?;
        saga.succeed(
            "gitlab.get_file",
            &json!({"commit": BEGUN, "content": condenser(), "drift": null}),
        )?;
        let drift = json!({"expected": BEGUN, "found": THEIRS});
        saga.succeed(
            "gitlab.commit",
            &json!({"commit": OURS, "existing": false, "drift": drift}),
        )?;
        saga.succeed("gitlab.file_exists", &looked(last_commit))?;
        assert_eq!(saga.state(), state, "what others have completed needs nobody");
    }
    Ok(())
}
