//! The calculation "balance" and its parts: every step of GitLab fails and is repeated, the branch moves at each of them.

use serde_json::{Value, json};

use super::*;

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
            .event("checked", &json!({"commit": OURS, "exists": true, "drift": null}))
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
