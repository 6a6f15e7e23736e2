use orchestratum_engine::gitlab::Told;
use orchestratum_testkit::{FaultKind, PROJECT, eventually};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lab::Lab;
use crate::common::Api;
use crate::sagas::on_both;

on_both!("multi_thread", super::Lab;
    a_saga_is_compared_with_its_branch,
    a_saga_without_a_branch_is_told_what_it_lacks,
);

/// A saga that has this in its context, and waits.
async fn saga_with(api: &Api, context: &Value) -> String {
    let mut fields = json!({});
    for name in context.as_object().expect("an object").keys() {
        fields[name] = json!(format!("${{ input.{name} }}"));
    }
    let definition = json!({
        "name": "watcher", "context": fields, "initial": "Initial",
        "states": {
            "Initial": {"on": {"start": {"target": "Waiting"}}},
            "Waiting": {"on": {"done": {"target": "Done"}}},
            "Done": {"final": true},
        },
    });
    let given = api.put("/api/saga-definitions/watcher", &definition).await;
    assert!(given.status.is_success(), "{given:?}");
    let started = api
        .post("/api/sagas", &json!({"definition": "watcher", "input": context}))
        .await;
    assert_eq!(started.status, 201, "{started:?}");
    started.json()["id"].as_str().expect("an id").to_owned()
}

async fn a_saga_is_compared_with_its_branch(lab: &Lab) {
    let expected = lab.commits("issue/1", "a", "1").await;
    let context = json!({"project": PROJECT, "branch": "issue/1", "commit": expected});
    let saga = saga_with(lab, &context).await;
    let path = format!("/api/sagas/{saga}/consistency");
    let same = lab.get(&path).await;
    assert_eq!(same.status, 200, "{same:?}");
    assert_eq!(
        same.json(),
        json!({"saga_id": saga, "project": PROJECT, "branch": "issue/1", "expected_commit": expected, "found_commit": expected,
            "is_consistent": true, "commits": [], "has_more": false})
    );
    let first = lab.commits("issue/1", "b", "1").await;
    let signed = json!({"branch": "issue/1", "commit_message": "Ours\n\nOrchestratum-Step: saga/1\n",
        "actions": [{"action": "create", "file_path": "c", "content": "1"}]});
    let made = lab
        .ask(reqwest::Method::POST, "projects/1/repository/commits", &signed)
        .await;
    let other = lab.get(&path).await.json();
    assert_eq!(
        (&other["is_consistent"], &other["found_commit"]),
        (&json!(false), &made["id"])
    );
    assert_eq!(
        other["commits"],
        json!([{"id": made["id"], "title": "Ours", "step": "saga/1"}, {"id": first, "title": "Add b", "step": null}])
    );
}

async fn a_saga_without_a_branch_is_told_what_it_lacks(lab: &Lab) {
    for (context, lacking) in [
        (
            json!({"project": PROJECT, "branch": "issue/1", "commit": null}),
            "`commit`",
        ),
        (
            json!({"project": PROJECT, "branch": "a/../b", "commit": "a"}),
            "`branch`",
        ),
        (json!({"branch": "a"}), "`project`"),
    ] {
        let saga = saga_with(lab, &context).await;
        let problem = lab
            .get(&format!("/api/sagas/{saga}/consistency"))
            .await
            .problem(409, "saga_without_branch");
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains(lacking)),
            "{problem}"
        );
    }
    assert_eq!(lab.seen().await, 0, "nothing was asked");
    let gone = json!({"project": PROJECT, "branch": "gone", "commit": "0123456789012345678901234567890123456789"});
    let saga = saga_with(lab, &gone).await;
    lab.get(&format!("/api/sagas/{saga}/consistency"))
        .await
        .problem(404, "gitlab_not_found");
    lab.get("/api/sagas/01936e5a-7c00-7000-8000-000000000000/consistency")
        .await
        .problem(404, "saga_not_found");
}

/// A saga that asks somebody, and expects its branch at a commit.
async fn asking(lab: &Lab, branch: &str, commit: &str) -> String {
    asking_in(lab, PROJECT, branch, commit).await
}

async fn asking_in(lab: &Lab, project: &str, branch: &str, commit: &str) -> String {
    let definition = json!({
        "name": "asker", "initial": "Initial",
        "context": {"project": project, "branch": "${ input.branch }", "commit": "${ input.commit }"},
        "states": {
            "Initial": {"on": {"start": {"target": "Asking"}}},
            "Asking": {"await_input": {"event": "answered", "prompt": "Well?"}, "on": {"answered": {"target": "Done"}}},
            "Done": {"final": true},
        },
    });
    let given = lab.put("/api/saga-definitions/asker", &definition).await;
    assert!(given.status.is_success(), "{given:?}");
    let start = json!({"definition": "asker", "input": {"branch": branch, "commit": commit}});
    let started = lab.post("/api/sagas", &start).await;
    assert_eq!(started.json()["status"], "AwaitingInput", "{started:?}");
    started.json()["id"].as_str().expect("an id").to_owned()
}

/// GitLab does not answer for a project, which here is the same one by its number, and more wait that are of no branch at all than
/// are compared.
async fn one_project_hides_no_other(lab: &Lab, expected: &str) {
    let overtaken = asking(lab, "issue/1", expected).await;
    for number in 0..2 {
        asking_in(lab, "1", &format!("issue/{number}"), expected).await;
    }
    for _ in 0..1_001 {
        asking_in(lab, PROJECT, "", "").await;
    }
    let unavailable = FaultKind::answer(503, "text/plain", "away");
    lab.fail("GET", "projects/1/repository/branches", unavailable, 100)
        .await;
    lab.double.control().forget().await.expect("it does");
    let mut told = Told::default();
    lab.engine
        .compare_waiting_sagas(&mut told)
        .await
        .expect_err("one project is away");
    assert_eq!(told.len(), 2, "that and the one whose branch is gone: {told:?}");
    let asked = lab.double.control().seen().await.expect("the double tells");
    let of_the_failed = asked.iter().filter(|seen| seen.path.starts_with("projects/1/"));
    // As often as one request is sent.
    assert_eq!(of_the_failed.count(), 2, "its other sagas are not asked for");
    lab.double.control().heal().await.expect("it does");
    let answer = json!({"data": {}});
    let answered = lab.post(&format!("/api/sagas/{overtaken}/input"), &answer).await;
    assert_eq!(answered.json()["status"], "Completed", "{answered:?}");
}

async fn figure(lab: &Lab, name: &str) -> u64 {
    let figures = lab.get("/metrics").await.text();
    let mut lines = figures.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.map_or(0, |figure| figure.parse().expect("a number"))
}

/// One test, as all of a process have the same figures.
#[tokio::test(flavor = "multi_thread")]
async fn others_on_the_branch_of_a_saga_that_waits_are_told_once_and_counted() {
    const OVERTAKEN: &str = "orchestratum_gitlab_sagas_overtaken";
    const DRIFTS: &str = "orchestratum_gitlab_drifts_total";
    let lab = Lab::with(&[("gitlab.compare_seconds", "1")]).await;
    let expected = lab.commits("issue/1", "a", "1").await;
    let saga = asking(&lab, "issue/1", &expected).await;
    let mut told = Told::default();
    lab.engine.compare_waiting_sagas(&mut told).await.expect("compared");
    assert!(told.is_empty(), "{told:?}");
    let before = figure(&lab, DRIFTS).await;

    lab.commits("issue/1", "b", "1").await;
    for _ in 0..2 {
        lab.engine.compare_waiting_sagas(&mut told).await.expect("compared");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(figure(&lab, DRIFTS).await - before, 1, "told once");
        assert_eq!(figure(&lab, OVERTAKEN).await, 1);
    }
    lab.commits("issue/1", "c", "1").await;
    lab.engine.compare_waiting_sagas(&mut told).await.expect("compared");
    assert_eq!(figure(&lab, DRIFTS).await - before, 2, "somebody was there again");

    let answered = lab
        .post(&format!("/api/sagas/{saga}/input"), &json!({"data": {}}))
        .await;
    assert_eq!(answered.json()["status"], "Completed", "{answered:?}");
    lab.engine.compare_waiting_sagas(&mut told).await.expect("compared");
    assert!(told.is_empty(), "it waits no more: {told:?}");
    assert_eq!(figure(&lab, OVERTAKEN).await, 0);

    let unavailable = FaultKind::answer(503, "text/plain", "away");
    lab.fail("GET", "repository/branches", unavailable, 100).await;
    asking(&lab, "gone", &expected).await;
    let error = lab
        .engine
        .compare_waiting_sagas(&mut told)
        .await
        .expect_err("it is away");
    assert!(error.to_string().contains("away"), "{error}");
    lab.double.control().heal().await.expect("it does");
    // By itself from here on; a branch that is gone is no longer where it was expected either.
    let stop = CancellationToken::new();
    lab.engine.start_background(true, &TaskTracker::new(), &stop);
    eventually("it is told", || async {
        let drifts = figure(&lab, DRIFTS).await - before;
        if drifts >= 3 { Ok(()) } else { Err(drifts) }
    })
    .await;
    stop.cancel();
    one_project_hides_no_other(&lab, &expected).await;
}
