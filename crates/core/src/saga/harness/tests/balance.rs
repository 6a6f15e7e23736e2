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
/// After the commit of what was entered.
const ENTERED: &str = "3333333333333333333333333333333333333333";

fn harness(text: &str) -> Harness {
    Harness::new(definition(text)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn explored(harness: &Harness) -> Report {
    harness.explore().unwrap_or_else(|violation| panic!("{violation}"))
}

fn drift() -> Value {
    json!({"expected": OURS, "found": THEIRS})
}

pub(super) fn calculation(delivery: &str, files: &Value) -> Value {
    json!({
        "project": "a/b", "repo_url": "https://gitlab/a/b.git", "branch": "issue/1", "name": "balance.condenser",
        "delivery": delivery, "files": files, "message": "m", "input_files": ["a.json"], "output_file": "b.json",
        "commit": BEGUN,
    })
}

fn alone() -> Value {
    let mut alone = calculation("amqp", &json!({"a.json": 1}));
    alone["alone"] = json!(true);
    alone
}

#[test]
fn everything_can_happen_to_one_calculation() {
    let harness = harness(CALCULATION)
        .input(&calculation("celery", &json!({"a.json": 1})))
        .input(&calculation("amqp", &json!({})))
        .input(&alone())
        .event("committed", &json!({"commit": OURS, "existing": false, "drift": null}))
        .event(
            "committed",
            &json!({"commit": THEIRS, "existing": true, "drift": drift()}),
        )
        .event("calculated", &json!({"commitHash": THEIRS, "output_file": "b.json"}))
        .event("calculated", &json!({"movedTo": THEIRS}))
        .event("calculated", &json!({"movedTo": "main"}))
        .event("calculated", &json!(null))
        .event("answered", &json!({"body": "what"}))
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
            &json!({"commit": OURS, "exists": true, "drift": null}),
        )
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
fn committed(commit: &str) -> Value {
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

/// A worker that has nothing to change answers with the commit that it was given.
#[test]
fn an_output_that_is_as_it_was_has_no_commit_that_could_be_taken_back() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    for delivery in ["celery", "amqp"] {
        for (answered, output_commit) in [(BEGUN, Value::Null), (OURS, json!(OURS))] {
            let mut saga = sagas.start(&calculation(delivery, &json!({})))?;
            let answer = json!({"commitHash": answered, "output_file": "b.json"});
            let answer = if delivery == "amqp" {
                json!({"body": answer})
            } else {
                answer
            };
            saga.succeed(delivery, &answer)?;
            saga.succeed(
                "gitlab.get_file",
                &json!({"commit": answered, "drift": null, "content": {"heat_kw": 1}}),
            )?;
            assert_eq!(
                (saga.status(), saga.context("output_commit")),
                (SagaStatus::Completed, output_commit)
            );
        }
    }
    Ok(())
}

/// Others were there before anything was calculated: a part of a whole leaves that to the whole.
#[test]
fn a_calculation_that_calculated_nothing_fails_where_nobody_goes_on_with_it() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut part = sagas.start(&calculation("celery", &json!({})))?;
    part.succeed("celery", &json!({"movedTo": THEIRS}))?;
    assert_eq!(
        (part.status(), part.context("commit")),
        (SagaStatus::Completed, json!(THEIRS))
    );
    let moved = json!({"expected": BEGUN, "found": THEIRS});
    assert_eq!(part.context("drift"), moved);

    let mut alone = sagas.start(&alone())?;
    alone.succeed("gitlab.commit", &committed(OURS))?;
    alone.succeed("amqp", &json!({"body": {"movedTo": THEIRS}}))?;
    alone.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": true, "commit": THEIRS, "drift": null}),
    )?;
    assert_eq!(alone.status(), SagaStatus::Failed);
    let reason = alone.context("reason");
    assert!(
        reason.as_str().is_some_and(|reason| reason.contains(THEIRS)),
        "{reason}"
    );
    Ok(())
}

/// What is no commit would be asked of GitLab by every step that follows, which nobody could mend.
#[test]
fn an_answer_that_breaks_the_contract_is_a_calculation_that_has_failed() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let no_commit = "balance.condenser has answered with neither the commit of its output (commitHash) nor that of the branch \
                     (movedTo), as 40 digits each";
    let answers = [
        (json!({"movedTo": "main"}), no_commit),
        (json!({"movedTo": null, "commitHash": OURS}), no_commit),
        (json!({"movedTo": [THEIRS]}), no_commit),
        (json!({"commitHash": "A".repeat(40)}), no_commit),
        (json!({"commitHash": &OURS[..7]}), no_commit),
        (json!({}), no_commit),
        (json!({"error": "no figures"}), "no figures"),
        (
            json!({"error": 5}),
            "balance.condenser tells of an error that is no text",
        ),
        (
            json!("done"),
            "balance.condenser has answered with something that is no object",
        ),
        (
            json!(null),
            "balance.condenser has answered with something that is no object",
        ),
    ];
    for (answer, reason) in answers {
        for (delivery, output) in [("celery", answer.clone()), ("amqp", json!({"body": answer.clone()}))] {
            let mut saga = sagas.start(&calculation(delivery, &json!({})))?;
            saga.succeed(delivery, &output)?;
            assert_eq!(
                (saga.status(), saga.context("reason")),
                (SagaStatus::Failed, json!(reason)),
                "{delivery}: {answer}"
            );
        }
    }
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
