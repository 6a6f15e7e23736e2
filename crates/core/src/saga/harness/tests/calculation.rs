//! One calculation: what whoever calculates may answer, and what becomes of its commits.

use serde_json::{Value, json};

use super::balance::{BEGUN, OURS, THEIRS, committed, drift, explored, harness};
use super::*;
use crate::saga::SagaStatus;
use crate::saga::simulate::{Running, SimulatedSaga, SimulationError, Simulator};

const CALCULATION: &str = include_str!("../../../../../../config/sagas/calculation.yaml");

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
            &json!({"commit": THEIRS, "drift": null, "content": {"heat_kw": 1}, "fault": null}),
        )
        .event(
            "taken_in",
            &json!({"commit": THEIRS, "drift": null, "content": null, "fault": "no JSON"}),
        );
    let report = explored(&harness);
    assert!(report.is_complete, "{report:#?}");
    let ends = [SagaEnd::Completed, SagaEnd::Failed, SagaEnd::Cancelled];
    assert_eq!(report.ends, BTreeSet::from(ends));
    assert_eq!(report.undone, set(&["gitlab.revert_commit"]));
    let nothing = BTreeSet::new();
    assert_eq!((report.unvisited, report.never_started), (nothing.clone(), nothing));
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
                &json!({"commit": answered, "drift": null, "content": {"heat_kw": 1}, "fault": null}),
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
    let no_commit = "balance.condenser has answered neither with the commit of its output (commitHash) nor with another one where \
                     the branch is (movedTo), with all its digits";
    let no_text = "balance.condenser tells of an error without a text";
    let answers = [
        (json!({"movedTo": "main"}), no_commit),
        (json!({"movedTo": null, "commitHash": null}), no_commit),
        (json!({"movedTo": [THEIRS]}), no_commit),
        (json!({"commitHash": "A".repeat(40)}), no_commit),
        (json!({"commitHash": &OURS[..7]}), no_commit),
        (json!({}), no_commit),
        (json!({"movedTo": BEGUN}), no_commit),
        (json!({"movedTo": THEIRS, "commitHash": OURS}), no_commit),
        (json!({"error": "no figures"}), "no figures"),
        (json!({"error": 5}), no_text),
        (json!({"error": ""}), no_text),
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

/// The one task that runs, by its input.
fn given(saga: &SimulatedSaga<'_>, name: &str) -> Value {
    let running: Vec<&Running> = saga.running().collect();
    assert_eq!((running.len(), running[0].name.as_str()), (1, name));
    serde_json::from_str(running[0].input.as_ref().expect("an input").as_str()).expect("JSON")
}

fn reverted() -> Value {
    json!({"reverted": true, "commit": BEGUN, "drift": null})
}

#[test]
fn an_output_that_cannot_be_read_fails_or_is_told_to_the_whole() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let unreadable = |drift: Value| json!({"commit": THEIRS, "drift": drift, "content": null, "fault": "no JSON"});
    let answer = json!({"commitHash": THEIRS, "output_file": "b.json"});
    let mut hearing = calculation("celery", &json!({}));
    hearing["on_fault"] = json!("tell");
    for (moved, reason) in [(Value::Null, json!("no JSON")), (drift(), Value::Null)] {
        let mut part = sagas.start(&hearing)?;
        part.succeed("celery", &answer)?;
        assert_eq!(given(&part, "gitlab.get_file")["on_fault"], "tell");
        part.succeed("gitlab.get_file", &unreadable(moved.clone()))?;
        assert_eq!(
            (part.status(), part.context("reason"), part.context("drift")),
            (SagaStatus::Completed, reason, moved)
        );
    }
    // A whole of an earlier release does not look for a reason.
    let mut part = sagas.start(&calculation("celery", &json!({})))?;
    part.succeed("celery", &answer)?;
    assert_eq!(given(&part, "gitlab.get_file")["on_fault"], "fail");

    let mut alone = sagas.start(&self::alone())?;
    alone.succeed("gitlab.commit", &committed(OURS))?;
    alone.succeed("amqp", &json!({"body": answer}))?;
    alone.succeed("gitlab.get_file", &unreadable(Value::Null))?;
    assert_eq!(given(&alone, "gitlab.revert_commit")["commit"], THEIRS);
    alone.succeed("gitlab.revert_commit", &reverted())?;
    let input = given(&alone, "gitlab.revert_commit")["step"].clone();
    assert!(input.as_str().is_some_and(|step| step.ends_with("/input")), "{input}");
    alone.succeed("gitlab.revert_commit", &reverted())?;
    assert_eq!(
        (alone.status(), alone.context("reason")),
        (SagaStatus::Failed, json!("no JSON"))
    );
    // What others have made of it meanwhile is theirs.
    let mut alone = sagas.start(&self::alone())?;
    alone.succeed("gitlab.commit", &committed(OURS))?;
    alone.succeed("amqp", &json!({"body": answer}))?;
    alone.succeed("gitlab.get_file", &unreadable(drift()))?;
    assert_eq!(
        (alone.status(), alone.context("drift")),
        (SagaStatus::Completed, drift())
    );
    Ok(())
}

/// Its commit is made, and nobody has been told of it.
#[test]
fn what_is_cancelled_while_its_input_is_committed_is_taken_back_by_its_step() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = sagas.start(&alone())?;
    let step = given(&saga, "gitlab.commit")["step"].clone();
    saga.cancel()?;
    saga.stop("gitlab.commit")?;
    assert_eq!(given(&saga, "gitlab.revert_commit")["step"], step);
    saga.succeed("gitlab.revert_commit", &reverted())?;
    assert_eq!(saga.status(), SagaStatus::Cancelled);
    Ok(())
}

/// A serializer of types writes what is not there.
#[test]
fn a_field_that_is_null_is_no_answer() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let mut saga = sagas.start(&calculation("celery", &json!({})))?;
    let answer = json!({"commitHash": "a1".repeat(32), "movedTo": null, "error": null});
    saga.succeed("celery", &answer)?;
    assert_eq!(given(&saga, "gitlab.get_file")["expected_commit"], "a1".repeat(32));
    Ok(())
}

/// The branch stands where it stood in the message.
#[test]
fn a_commit_that_is_not_on_the_branch_is_no_output() -> Result<(), SimulationError> {
    let sagas = Simulator::new(definition(CALCULATION)).unwrap_or_else(|faults| panic!("{faults}"));
    let answer = json!({"commitHash": THEIRS, "output_file": "b.json"});
    let told = |asked: &str| {
        let branch = format!("the branch still stands at {asked}, of which it was asked");
        json!(format!(
            "balance.condenser has answered with the commit {THEIRS}, and {branch}"
        ))
    };
    let unmoved = |found: &str| json!({"commit": found, "drift": {"expected": THEIRS, "found": found}, "content": {}, "fault": null});
    let mut hearing = calculation("celery", &json!({}));
    hearing["on_fault"] = json!("tell");
    let mut part = sagas.start(&hearing)?;
    part.succeed("celery", &answer)?;
    part.succeed("gitlab.get_file", &unmoved(BEGUN))?;
    assert_eq!(
        (
            part.status(),
            part.context("reason"),
            part.context("drift"),
            part.context("commit")
        ),
        (SagaStatus::Completed, told(BEGUN), Value::Null, json!(BEGUN))
    );
    assert_eq!(part.context("output_commit"), Value::Null);
    // A whole of an earlier release does not look for a reason: it begins anew, or stops.
    let mut part = sagas.start(&calculation("celery", &json!({})))?;
    part.succeed("celery", &answer)?;
    part.succeed("gitlab.get_file", &unmoved(BEGUN))?;
    assert_eq!(
        (part.status(), part.context("reason"), part.context("drift")),
        (
            SagaStatus::Completed,
            Value::Null,
            json!({"expected": THEIRS, "found": BEGUN})
        )
    );

    let mut alone = sagas.start(&self::alone())?;
    alone.succeed("gitlab.commit", &committed(OURS))?;
    alone.succeed("amqp", &json!({"body": answer}))?;
    alone.succeed("gitlab.get_file", &unmoved(OURS))?;
    assert_eq!(given(&alone, "gitlab.revert_commit")["since"], OURS);
    alone.succeed(
        "gitlab.revert_commit",
        &json!({"reverted": false, "reason": "r", "drift": null}),
    )?;
    alone.succeed("gitlab.revert_commit", &reverted())?;
    assert_eq!(
        (alone.status(), alone.context("reason")),
        (SagaStatus::Failed, told(OURS))
    );
    Ok(())
}
