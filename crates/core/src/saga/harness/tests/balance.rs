//! The calculation "balance": every step of GitLab fails and is repeated, the branch moves at each of them.

use serde_json::{Value, json};

use super::*;
use crate::saga::SagaStatus;
use crate::saga::simulate::{Running, SimulatedSaga, SimulationError, Simulator};

const BALANCE: &str = include_str!("../../../../../../config/sagas/calculate-balance.yaml");

/// Where the branch stood at first, after a commit of ours, and after one of somebody else.
pub(super) const BEGUN: &str = "0000000000000000000000000000000000000000";
pub(super) const OURS: &str = "1111111111111111111111111111111111111111";
pub(super) const THEIRS: &str = "2222222222222222222222222222222222222222";
/// After the commit of what was entered.
pub(super) const ENTERED: &str = "3333333333333333333333333333333333333333";

pub(super) fn harness(text: &str) -> Harness {
    Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"))
}

pub(super) fn explored(harness: &Harness) -> Report {
    harness.explore().unwrap_or_else(|violation| panic!("{violation}"))
}

pub(super) fn drift() -> Value {
    json!({"expected": OURS, "found": THEIRS})
}

pub(super) fn balance(on_drift: &str) -> Value {
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
    let unreadable = json!({"commit": OURS, "output_commit": OURS, "drift": null, "reason": "no JSON"});
    let harness = harness(BALANCE)
        .input(&balance("stop"))
        .event("branch_found", &json!({"commit": OURS, "existing": false}))
        .event(
            "checked",
            &json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null}),
        )
        .event("checked", &json!({"commit": OURS, "exists": false, "drift": null}))
        .event(
            "balance_read",
            &json!({"commit": OURS, "content": condenser(), "drift": null}),
        )
        .event("committed", &json!({"commit": OURS, "existing": false, "drift": null}))
        .event(
            "branch_read",
            &json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null}),
        )
        .event("taken_back", &json!({"reverted": true, "commit": OURS, "drift": null}))
        .event("taken_back", &json!({"reverted": false, "reason": "r", "drift": null}))
        .event(
            "taken_back",
            &json!({"reverted": false, "reason": "r", "drift": drift()}),
        )
        .event(
            "balance_checked",
            &json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null}),
        )
        .event("input_entered", &json!({"heat_kw": 1}))
        .event("calculated", &calculated)
        .event("calculated", &unreadable)
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
            .event(
                "checked",
                &json!({"commit": THEIRS, "exists": true, "last_commit": THEIRS, "drift": drift()}),
            )
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

/// What is given to the one thing that runs.
fn given(saga: &SimulatedSaga<'_>, name: &str) -> Value {
    let running: Vec<&Running> = saga.running().collect();
    assert_eq!((running.len(), running[0].name.as_str()), (1, name));
    let input = running[0].input.as_ref().expect("an input");
    serde_json::from_str(input.as_str()).expect("JSON")
}

/// What is to be committed before the calculation.
fn files(saga: &SimulatedSaga<'_>) -> Value {
    given(saga, "gitlab.commit")["files"].clone()
}

/// Others came before what was entered was committed.
fn overtaken() -> Value {
    json!({"commit": THEIRS, "existing": true, "drift": drift()})
}

/// What was entered is committed.
pub(super) fn committed(commit: &str) -> Value {
    json!({"commit": commit, "existing": false, "drift": null})
}

fn calculated() -> Value {
    json!({"commit": OURS, "output_commit": OURS, "drift": null, "output": {"heat_kw": 1}})
}

fn looked(last_commit: &str) -> Value {
    json!({"commit": THEIRS, "exists": true, "last_commit": last_commit, "drift": null})
}

#[test]
fn what_was_entered_is_kept_where_others_have_changed_something_else() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    let first = given(&saga, "gitlab.commit")["step"].clone();
    saga.succeed("gitlab.commit", &overtaken())?;
    saga.succeed("gitlab.file_exists", &looked(OURS))?;
    assert_eq!(files(&saga), json!({"condenser_input.json": {"heat_kw": 1}}));
    assert_ne!(given(&saga, "gitlab.commit")["step"], first, "it is another commit");
    // It is committed now: what others do to it then is not written over.
    let committed = json!({"commit": THEIRS, "existing": false, "drift": drift()});
    saga.succeed("gitlab.commit", &committed)?;
    saga.succeed("gitlab.file_exists", &looked(THEIRS))?;
    assert_eq!(
        given(&saga, "calculation")["commit"],
        THEIRS,
        "nothing is committed before"
    );
    Ok(())
}

#[test]
fn what_was_entered_does_not_replace_what_others_have_written() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("gitlab.commit", &overtaken())?;
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
    saga.succeed("gitlab.commit", &overtaken())?;
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
    saga.succeed("gitlab.commit", &committed(OURS))?;
    saga.succeed("calculation", &calculated())?;
    let absent = json!({"commit": OURS, "exists": false, "drift": null});
    let content = json!({"commit": OURS, "content": condenser(), "drift": null});
    saga.succeed("gitlab.file_exists", &absent)?;
    assert_eq!(saga.state(), "Hydrating");
    saga.succeed("gitlab.get_file", &content)?;
    saga.succeed("gitlab.commit", &committed(OURS))?;
    saga.answer(&json!({"inlet_c": 40}))?;
    saga.succeed("gitlab.commit", &overtaken())?;
    // Others have deleted the input of the condenser, which is asked for again.
    saga.succeed("gitlab.file_exists", &absent)?;
    saga.succeed("gitlab.get_file", &content)?;
    saga.succeed("gitlab.commit", &committed(OURS))?;
    assert_eq!(saga.context("step"), "AWAIT_USER_CONDENSER_INPUT");
    assert_eq!(
        saga.context("overtaken"),
        json!(null),
        "what was entered for it is calculated"
    );
    saga.answer(&json!({"heat_kw": 2}))?;
    saga.succeed("gitlab.commit", &committed(OURS))?;
    saga.succeed("calculation", &calculated())?;
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

/// A balance that asks whether there shall be a merge request.
fn deciding<'a>(sagas: &'a Simulator, on_drift: &str) -> Result<SimulatedSaga<'a>, SimulationError> {
    let mut input = balance(on_drift);
    input["dependencies"] = json!(["condenser"]);
    let mut saga = sagas.start(&input)?;
    saga.succeed("gitlab.create_branch", &json!({"commit": OURS, "existing": false}))?;
    saga.succeed("gitlab.file_exists", &looked(OURS))?;
    saga.succeed("calculation", &calculated())?;
    saga.succeed("calculation", &calculated())?;
    assert_eq!(saga.state(), "AwaitingMergeRequest");
    Ok(saga)
}

/// Somebody has taken days to decide.
#[test]
fn a_branch_that_moved_while_somebody_thought_is_not_merged_nor_called_calculated() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let moved = json!({"commit": THEIRS, "exists": true, "last_commit": OURS, "drift": drift()});
    let still = json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null});
    for (create, goes_on) in [(true, "CreatingMergeRequest"), (false, "Completed")] {
        for (on_drift, state) in [("rebase_inputs", "Checking"), ("stop", "Stopped")] {
            let mut saga = deciding(&sagas, on_drift)?;
            saga.answer(&json!({"create": create}))?;
            assert_eq!(given(&saga, "gitlab.file_exists")["expected_commit"], OURS);
            saga.succeed("gitlab.file_exists", &moved)?;
            assert_eq!(saga.state(), state, "{create}");
            let told = json!([{"step": "AWAIT_USER_MERGE_REQUEST", "expected": OURS, "found": THEIRS}]);
            assert_eq!(saga.context("drifts"), told);

            let mut saga = deciding(&sagas, on_drift)?;
            saga.answer(&json!({"create": create}))?;
            saga.succeed("gitlab.file_exists", &still)?;
            assert_eq!(saga.state(), goes_on, "{on_drift}");
        }
    }
    Ok(())
}

#[test]
fn a_merge_request_that_cannot_be_made_is_asked_for_again_with_the_reason() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = deciding(&sagas, "stop")?;
    let still = json!({"commit": OURS, "exists": true, "last_commit": OURS, "drift": null});
    saga.answer(&json!({"create": true}))?;
    saga.succeed("gitlab.file_exists", &still)?;
    saga.fail("gitlab.create_merge_request", "the target is gone")?;
    assert_eq!(
        (saga.state(), saga.status()),
        ("AwaitingMergeRequest", SagaStatus::AwaitingInput)
    );
    assert_eq!(saga.context("reason"), "the target is gone");
    assert_eq!(saga.context("step"), "AWAIT_USER_MERGE_REQUEST");
    saga.answer(&json!({"create": false}))?;
    saga.succeed("gitlab.file_exists", &still)?;
    assert_eq!(saga.status(), SagaStatus::Completed);
    Ok(())
}

/// A balance whose condenser could not be calculated, of what was entered.
fn failed(sagas: &Simulator) -> Result<SimulatedSaga<'_>, SimulationError> {
    let mut saga = asking(sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("gitlab.commit", &committed(ENTERED))?;
    saga.fail("calculation", "no such steam")?;
    assert_eq!(given(&saga, "gitlab.file_exists")["expected_commit"], ENTERED);
    Ok(saga)
}

#[test]
fn what_could_not_be_calculated_is_taken_back_and_asked_for_again() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = failed(&sagas)?;
    let still = json!({"commit": ENTERED, "exists": true, "last_commit": ENTERED, "drift": null});
    saga.succeed("gitlab.file_exists", &still)?;
    let revert = given(&saga, "gitlab.revert_commit");
    assert_eq!(
        (&revert["commit"], &revert["expected_commit"]),
        (&json!(ENTERED), &json!(ENTERED))
    );
    saga.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": true, "commit": OURS, "drift": null}),
    )?;
    assert_eq!((saga.state(), saga.context("commit")), ("AwaitingInput", json!(OURS)));
    assert_eq!((saga.context("upon"), saga.context("drifts")), (json!(OURS), json!([])));
    assert_eq!(saga.context("reason"), "no such steam");
    Ok(())
}

#[test]
fn others_are_seen_also_where_a_calculation_has_failed() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let moved = json!({"expected": ENTERED, "found": THEIRS});
    let told = json!([{"step": "CONDENSER_CALCULATION", "expected": ENTERED, "found": THEIRS}]);
    // They have corrected the input: it is theirs that is calculated.
    let mut saga = failed(&sagas)?;
    let corrected = json!({"commit": THEIRS, "exists": true, "last_commit": THEIRS, "drift": moved});
    saga.succeed("gitlab.file_exists", &corrected)?;
    assert_eq!((saga.state(), saga.context("drifts")), ("Checking", told.clone()));
    saga.succeed("gitlab.file_exists", &looked(THEIRS))?;
    assert_eq!(given(&saga, "calculation")["commit"], THEIRS);

    // Or something else: what was entered is taken back, and nobody has completed what stands there then.
    let mut saga = failed(&sagas)?;
    let other = json!({"commit": THEIRS, "exists": true, "last_commit": ENTERED, "drift": moved});
    saga.succeed("gitlab.file_exists", &other)?;
    saga.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": true, "commit": OURS, "drift": moved}),
    )?;
    assert_eq!((saga.state(), saga.context("drifts")), ("Checking", told));
    saga.succeed("gitlab.file_exists", &looked(OURS))?;
    assert_eq!(saga.state(), "AwaitingInput");
    assert_eq!(saga.context("reason"), "no such steam");

    // Or it in the very moment in which it is taken back.
    let mut saga = failed(&sagas)?;
    let still = json!({"commit": ENTERED, "exists": true, "last_commit": ENTERED, "drift": null});
    saga.succeed("gitlab.file_exists", &still)?;
    saga.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": false, "reason": "r", "drift": moved}),
    )?;
    assert_eq!(saga.state(), "ReadingBranch");
    saga.succeed("gitlab.file_exists", &corrected)?;
    assert_eq!(saga.state(), "Checking");
    Ok(())
}

/// The context of a saga is bounded: what stands in a file is not kept beside it.
#[test]
fn what_is_calculated_is_kept_once() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    assert_eq!(saga.context("hydrated"), Value::Null);
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("gitlab.commit", &committed(OURS))?;
    saga.succeed("calculation", &calculated())?;
    assert_eq!(
        saga.context("calculated"),
        json!([{"name": "condenser", "commit": OURS}])
    );
    assert_eq!(saga.context("output"), Value::Null);
    Ok(())
}

/// Whoever calculated has committed something that nobody can read.
#[test]
fn an_output_that_cannot_be_read_is_a_calculation_that_has_failed() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let unreadable = json!({"commit": THEIRS, "output_commit": THEIRS, "drift": null, "reason": "no JSON"});
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("gitlab.commit", &committed(ENTERED))?;
    saga.succeed("calculation", &unreadable)?;
    assert_eq!(given(&saga, "gitlab.file_exists")["expected_commit"], THEIRS);
    let still = json!({"commit": THEIRS, "exists": true, "last_commit": ENTERED, "drift": null});
    saga.succeed("gitlab.file_exists", &still)?;
    assert_eq!(given(&saga, "gitlab.revert_commit")["commit"], ENTERED);
    saga.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": true, "commit": OURS, "drift": null}),
    )?;
    assert_eq!(
        (saga.state(), saga.context("reason")),
        ("AwaitingInput", json!("no JSON"))
    );
    // What it committed is taken back with the rest.
    saga.cancel()?;
    assert_eq!(given(&saga, "gitlab.revert_commit")["commit"], THEIRS);

    let mut input = balance("stop");
    input["dependencies"] = json!([]);
    let mut saga = sagas.start(&input)?;
    saga.succeed("gitlab.create_branch", &json!({"commit": OURS, "existing": false}))?;
    saga.succeed("calculation", &unreadable)?;
    assert_eq!(
        (saga.state(), saga.context("reason")),
        ("AwaitingRepair", json!("no JSON"))
    );
    Ok(())
}

/// Others came before it was calculated, and it is taken back all the same where it cannot be.
#[test]
fn what_was_entered_is_known_again_after_a_drift() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    for (last_commit, state) in [(ENTERED, "TakingBack"), (THEIRS, "AwaitingInput")] {
        let mut saga = asking(&sagas)?;
        saga.answer(&json!({"heat_kw": 1}))?;
        saga.succeed("gitlab.commit", &committed(ENTERED))?;
        let moved = json!({"commit": THEIRS, "output_commit": null, "drift": drift(), "reason": null});
        saga.succeed("calculation", &moved)?;
        saga.succeed("gitlab.file_exists", &looked(last_commit))?;
        saga.fail("calculation", "no such steam")?;
        saga.succeed("gitlab.file_exists", &looked(last_commit))?;
        assert_eq!(saga.state(), state);
    }
    Ok(())
}

/// What was there from the beginning could not be calculated, and something was pushed beside it.
#[test]
fn what_is_there_and_cannot_be_calculated_is_asked_for_and_not_calculated_again() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let begun = || -> Result<SimulatedSaga<'_>, SimulationError> {
        let mut saga = sagas.start(&balance("rebase_inputs"))?;
        saga.succeed("gitlab.create_branch", &json!({"commit": BEGUN, "existing": true}))?;
        saga.succeed("gitlab.file_exists", &looked(BEGUN))?;
        saga.fail("calculation", "no such steam")?;
        Ok(saga)
    };
    let moved = json!({"commit": THEIRS, "exists": true, "last_commit": BEGUN, "drift": drift()});
    let mut saga = begun()?;
    saga.succeed("gitlab.file_exists", &moved)?;
    assert_eq!(saga.state(), "Checking", "others may have changed what comes before it");
    saga.succeed("gitlab.file_exists", &looked(BEGUN))?;
    assert_eq!(
        (saga.state(), saga.context("reason"), saga.context("drifts")),
        (
            "AwaitingInput",
            json!("no such steam"),
            json!([{"step": "CONDENSER_CALCULATION", "expected": OURS, "found": THEIRS}])
        )
    );
    // Or they have corrected it.
    let mut saga = begun()?;
    let corrected = json!({"commit": THEIRS, "exists": true, "last_commit": THEIRS, "drift": drift()});
    saga.succeed("gitlab.file_exists", &corrected)?;
    saga.succeed("gitlab.file_exists", &looked(THEIRS))?;
    assert_eq!((saga.state(), saga.context("reason")), ("Calculating", Value::Null));
    Ok(())
}

/// The branch is in the hands of others then: what was entered stays there.
#[test]
fn nothing_is_taken_back_where_others_were_and_the_whole_is_to_stop() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = sagas.start(&balance("stop"))?;
    saga.succeed("gitlab.create_branch", &json!({"commit": BEGUN, "existing": true}))?;
    let absent = json!({"commit": BEGUN, "exists": false, "drift": null});
    saga.succeed("gitlab.file_exists", &absent)?;
    let content = json!({"commit": BEGUN, "content": condenser(), "drift": null});
    saga.succeed("gitlab.get_file", &content)?;
    saga.succeed("gitlab.commit", &committed(OURS))?;
    saga.answer(&json!({"heat_kw": 1}))?;
    saga.succeed("gitlab.commit", &committed(ENTERED))?;
    saga.fail("calculation", "no such steam")?;
    let moved = json!({"commit": THEIRS, "exists": true, "last_commit": ENTERED, "drift": drift()});
    saga.succeed("gitlab.file_exists", &moved)?;
    assert_eq!((saga.state(), saga.status()), ("Stopped", SagaStatus::Failed));
    Ok(())
}

/// It may be made, and nobody has been told of it.
#[test]
fn what_is_cancelled_while_it_is_committed_is_taken_back_by_its_step() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(BALANCE)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = asking(&sagas)?;
    saga.answer(&json!({"heat_kw": 1}))?;
    let step = given(&saga, "gitlab.commit")["step"].clone();
    saga.cancel()?;
    saga.stop("gitlab.commit")?;
    assert_eq!(given(&saga, "gitlab.revert_commit")["step"], step);
    Ok(())
}
