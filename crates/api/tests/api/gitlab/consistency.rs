use orchestratum_testkit::PROJECT;
use serde_json::{Value, json};

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
