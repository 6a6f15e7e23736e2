//! What people do with a saga: answer what it asks for, and decide about what could not be done.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{assert_unchanged, define, history, logged, on_both, path, read, start};
use crate::common::Api;

on_both!(
    a_person_answers_what_a_saga_asks_for,
    an_answer_is_held_against_the_schema_whichever_way_it_comes,
    what_one_saga_cannot_take_is_taken_by_the_others,
    each_answer_to_a_question_that_stays_open_is_taken,
    what_could_not_be_done_waits_for_a_decision,
    a_saga_that_needs_attention_is_taken_again_with_another_context,
    a_saga_goes_on_by_another_version_of_its_definition,
    what_leads_nowhere_in_another_version_is_told,
);

const APPROVAL: &str = "
name: approval
context: {order: '${ input.order }'}
initial: Initial
states:
  Initial: {on: {start: {target: AwaitingApproval}}}
  AwaitingApproval:
    await_input:
      event: approved
      prompt: Approve the shipment?
      schema:
        type: object
        required: [ok]
        properties: {ok: {type: boolean}, reasons: {items: {type: string}}}
    on:
      approved:
        - {if: event.data.ok, target: Completed}
        - {target: Failed}
  Completed: {final: true}
  Failed: {final: failed}
";

async fn a_person_answers_what_a_saga_asks_for(api: &Api) {
    define(api, "approval", APPROVAL).await;
    let body = json!({"definition": "approval", "correlation_id": "a-1", "input": {"order": 7}});
    let started = api.post("/api/sagas?wait_seconds=20", &body).await;
    assert_eq!(started.status, StatusCode::CREATED);
    let saga = started.json();
    assert_eq!(
        (&saga["status"], &saga["context"]),
        (&json!("AwaitingInput"), &json!({"order": 7}))
    );
    let asked = &saga["awaiting"];
    assert_eq!(
        (&asked["event"], &asked["prompt"]),
        (&json!("approved"), &json!("Approve the shipment?"))
    );
    assert_eq!(asked["schema"]["required"], json!(["ok"]));
    let listed = api.get("/api/sagas?status=AwaitingInput").await.json();
    assert_eq!(listed["items"], json!([saga]));
    for (query, found) in [
        ("stale_for_seconds=0", json!([])),
        ("stale_for_seconds=0&status=AwaitingInput", json!([saga])),
        ("stale_for_seconds=3600&status=AwaitingInput", json!([])),
    ] {
        let listed = api.get(&format!("/api/sagas?{query}")).await.json();
        assert_eq!(listed["items"], found, "{query}");
    }

    let input = format!("{}/input", path(&saga));
    let wrong = json!({"data": {"ok": "yes", "reasons": ["late", 7]}});
    let refused = api.post(&input, &wrong).await.problem(422, "invalid_body");
    let pointers: Vec<_> = refused["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| error["pointer"].clone())
        .collect();
    assert_eq!(pointers, ["/data/ok", "/data/reasons/1"], "{refused}");
    let missing = api.post(&input, &json!({})).await.problem(422, "invalid_body");
    assert_eq!(missing["errors"][0]["pointer"], "/data");
    assert_unchanged(api, &saga, "nothing has happened").await;

    let answer = json!({"data": {"ok": true}}).to_string();
    api.post_with(&input, &[("if-match", "\"99\"")], &answer)
        .await
        .problem(412, "version_mismatch");
    api.post_with(&input, &[("if-match", "W/\"1\"")], &answer)
        .await
        .problem(412, "version_mismatch");
    let tag = started.header("etag");
    let answered = api.post_with(&input, &[("if-match", tag)], &answer).await;
    assert_eq!(
        (answered.status, &answered.json()["status"]),
        (StatusCode::OK, &json!("Completed"))
    );
    assert_ne!(answered.header("etag"), tag);
    let late = api
        .post_with(&input, &[], &answer)
        .await
        .problem(409, "illegal_saga_status");
    assert!(
        late["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("Completed")),
        "{late}"
    );
}

async fn an_answer_is_held_against_the_schema_whichever_way_it_comes(api: &Api) {
    define(api, "approval", APPROVAL).await;
    let body = json!({"definition": "approval", "correlation_id": "a-1", "input": {"order": 7}});
    let saga = start(api, body).await;
    let mut answers = Vec::new();
    for (call, mut body) in [
        (format!("{}/input", path(&saga)), json!({})),
        (format!("{}/events", path(&saga)), json!({"name": "approved"})),
        (
            "/api/events".to_owned(),
            json!({"name": "approved", "correlation_id": "a-1"}),
        ),
    ] {
        body["data"] = json!({"ok": "yes", "reasons": ["late", 7]});
        let refused = api.post(&call, &body).await.problem(422, "invalid_body");
        assert_eq!(refused["errors"][1]["pointer"], "/data/reasons/1", "{call}: {refused}");
        answers.push(refused["errors"].clone());
    }
    assert!(answers.iter().all(|errors| *errors == answers[0]), "{answers:?}");
    assert_unchanged(api, &saga, "nothing has happened").await;
    let right = json!({"name": "approved", "correlation_id": "a-1", "data": {"ok": true}});
    let taken = api.post("/api/events", &right).await.json();
    assert_eq!(taken["taken"][0]["status"], "Completed");
}

const BALLOT: &str = "
name: ballot
context: {votes: 0}
initial: Initial
states:
  Initial: {on: {start: {target: Voting}}}
  Voting:
    await_input: {event: voted, prompt: Your vote?}
    on:
      voted:
        - {if: context.votes >= 2, target: Completed}
        - {set: {votes: '${ context.votes + 1 }'}}
  Completed: {final: true}
";

async fn what_one_saga_cannot_take_is_taken_by_the_others(api: &Api) {
    define(api, "approval", APPROVAL).await;
    let waiting = "name: waiting\ninitial: Initial\nstates:\n  Initial: {on: {start: {}, approved: {target: Over}}}\n  Over: {final: true}\n";
    define(api, "waiting", waiting).await;
    let of = |definition: &str| json!({"definition": definition, "correlation_id": "both", "input": {"order": 7}});
    let approval = start(api, of("approval")).await;
    let waiting = start(api, of("waiting")).await;
    let wrong = json!({"name": "approved", "correlation_id": "both", "data": {"ok": "yes"}});
    let published = api.post("/api/events", &wrong).await;
    assert_eq!(published.status, StatusCode::OK, "{published:?}");
    let published = published.json();
    let taken = published["taken"].as_array().expect("a list");
    assert_eq!(taken.len(), 1, "{published}");
    assert_eq!(
        (&taken[0]["id"], &taken[0]["status"]),
        (&waiting["id"], &json!("Completed"))
    );
    assert_unchanged(api, &approval, "nothing has happened").await;
    // Nobody else is left to take it.
    let refused = api.post("/api/events", &wrong).await.problem(422, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/data/ok", "{refused}");
}

async fn each_answer_to_a_question_that_stays_open_is_taken(api: &Api) {
    define(api, "ballot", BALLOT).await;
    let saga = start(api, json!({"definition": "ballot"})).await;
    let input = format!("{}/input", path(&saga));
    let vote = json!({"data": {}});
    for votes in [1, 2] {
        let answered = api.post(&input, &vote).await.json();
        assert_eq!(
            (&answered["status"], &answered["context"]["votes"]),
            (&json!("AwaitingInput"), &json!(votes))
        );
    }
    assert_eq!(api.post(&input, &vote).await.json()["status"], "Completed");
}

const LIMITED: &str = "
name: limited
context: {limit: 1}
initial: Initial
states:
  Initial: {on: {start: {target: Open}}}
  Open:
    on:
      checked:
        - {if: event.data.amount / context.limit > 2, target: Completed}
        - {target: Open}
      closed: {target: Completed}
  Completed: {final: true}
";

/// One event cannot be decided: the division fails.
async fn parked(api: &Api) -> Value {
    define(api, "limited", LIMITED).await;
    let saga = start(api, json!({"definition": "limited"})).await;
    let event = json!({"name": "checked", "data": {"amount": "many"}, "id": "e-1"});
    let parked = api.post(&format!("{}/events", path(&saga)), &event).await;
    assert_eq!(parked.status, StatusCode::OK, "{parked:?}");
    let saga = parked.json();
    assert_eq!(
        (&saga["status"], &saga["state"]),
        (&json!("NeedsAttention"), &json!("Open"))
    );
    let one = &saga["parked"][0];
    assert_eq!((&one["id"], &one["event"]), (&json!("e-1"), &json!("checked")));
    assert!(
        one["reason"].as_str().is_some_and(|reason| reason.contains("guard")),
        "{one}"
    );
    saga
}

async fn what_could_not_be_done_waits_for_a_decision(api: &Api) {
    let saga = parked(api).await;
    let of = |what: &str| format!("{}/events/{what}", path(&saga));
    let unknown = api.post_empty(&of("e-2/retry")).await;
    unknown.problem(404, "nothing_parked");
    let retried = api.post_empty(&of("e-1/retry")).await;
    assert_eq!(
        (retried.status, &retried.json()["status"]),
        (StatusCode::OK, &json!("NeedsAttention")),
        "it fails again"
    );
    let number = &saga["parked"][0]["number"];
    let discarded = api.post_empty(&of(&format!("{number}/discard"))).await.json();
    assert_eq!(
        (&discarded["status"], &discarded["parked"]),
        (&json!("Running"), &json!([]))
    );
    api.post_empty(&of("e-1/discard")).await.problem(404, "nothing_parked");
    api.post_empty(&format!("{}/retry", path(&saga)))
        .await
        .problem(409, "illegal_saga_status");
    let history = history(api, &saga).await;
    let logged = logged(&history);
    for event in ["saga.parked", "saga.parked_discarded"] {
        assert!(logged.contains(&event), "{logged:?}");
    }
}

async fn a_saga_that_needs_attention_is_taken_again_with_another_context(api: &Api) {
    define(
        api,
        "divided",
        "
name: divided
context: {divisor: 0}
initial: Initial
states:
  Initial: {on: {start: {target: Open}}}
  Open:
    on:
      checked: {set: {share: '${ event.data.amount / context.divisor }'}, target: Completed}
  Completed: {final: true}
",
    )
    .await;
    let saga = start(api, json!({"definition": "divided"})).await;
    let event = json!({"name": "checked", "data": {"amount": 42}, "id": "e-1"});
    let failed = api.post(&format!("{}/events", path(&saga)), &event).await.json();
    assert_eq!(failed["status"], "NeedsAttention");
    assert_eq!(
        failed["context"],
        json!({"divisor": 0}),
        "nothing of the transition is left"
    );
    let retry = format!("{}/retry", path(&saga));
    let wrong = api
        .post(&retry, &json!({"context": {"a b": 1}}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(wrong["errors"][0]["pointer"], "/context/a b");
    let unknown = api
        .post(&retry, &json!({"context": {"divisr": 1, "divisor": 1}}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(unknown["errors"][0]["pointer"], "/context/divisr", "{unknown}");
    let late = api.post_with(&retry, &[("if-match", "\"1\"")], "{}").await;
    late.problem(412, "version_mismatch");
    let done = api.post(&retry, &json!({"context": {"divisor": 2}})).await.json();
    assert_eq!(
        (&done["status"], &done["context"]),
        (&json!("Completed"), &json!({"divisor": 2, "share": 21}))
    );
}

/// A saga, of whose definition there is another version, and the call that moves it there.
async fn of_two_versions(api: &Api) -> (Value, String) {
    define(api, "approval", APPROVAL).await;
    let saga = start(api, json!({"definition": "approval", "input": {"order": 7}})).await;
    let renamed = APPROVAL
        .replace("AwaitingApproval", "Asking")
        .replace("Approve the", "Really approve the");
    assert_eq!(define(api, "approval", &renamed).await["version"], 2);
    let migrate = format!("{}/migrate", path(&saga));
    (saga, migrate)
}

async fn what_leads_nowhere_in_another_version_is_told(api: &Api) {
    let (saga, migrate) = of_two_versions(api).await;
    let unnamed = api.post_empty(&migrate).await.problem(422, "invalid_body");
    assert_eq!(unnamed["errors"][0]["pointer"], "/states/AwaitingApproval");
    for (body, pointer) in [
        (json!({"version": 9}), "/version"),
        (
            json!({"states": {"AwaitingApproval": "Askin"}}),
            "/states/AwaitingApproval",
        ),
        (
            json!({"states": {"AwaitingApproval": "no name"}}),
            "/states/AwaitingApproval",
        ),
        (
            json!({"states": {"AwaitingApproval": "Asking", "None": "Asking"}}),
            "/states/None",
        ),
        (json!({"state": "Asking"}), "/state"),
    ] {
        let told = api.post(&migrate, &body).await.problem(422, "invalid_body");
        assert_eq!(
            told["errors"][0]["pointer"].as_str().unwrap_or_default(),
            pointer,
            "{told}"
        );
    }
    assert_unchanged(api, &saga, "it stays as it is").await;
    let unknown = "/api/sagas/00000000-0000-7000-8000-000000000000/migrate";
    api.post_empty(unknown).await.problem(404, "saga_not_found");
}

async fn a_saga_goes_on_by_another_version_of_its_definition(api: &Api) {
    let (saga, migrate) = of_two_versions(api).await;
    let body = json!({"version": 2, "states": {"AwaitingApproval": "Asking"}, "dry_run": true});
    let tried = api.post(&migrate, &body).await.json();
    assert_eq!(
        (&tried["saga"]["state"], &tried["saga"]["definition_version"]),
        (&json!("Asking"), &json!(2))
    );
    assert_eq!(tried["losses"], json!([]));
    assert_unchanged(api, &saga, "nothing was done").await;

    let body = json!({"states": {"AwaitingApproval": "Asking"}}).to_string();
    let late = api.post_with(&migrate, &[("if-match", "\"99\"")], &body).await;
    late.problem(412, "version_mismatch");
    let etag = format!("\"{}\"", saga["version"]);
    let migrated = api.post_with(&migrate, &[("if-match", &etag)], &body).await;
    assert_eq!(migrated.status, StatusCode::OK, "{migrated:?}");
    let mut after = read(api, &saga).await;
    after["timers"] = Value::Null;
    assert_eq!(migrated.json(), json!({"saga": after, "losses": []}));
    assert_eq!(migrated.header("etag"), format!("\"{}\"", after["version"]));
    assert_eq!(after["awaiting"]["prompt"], "Really approve the shipment?");
    let told = history(api, &saga).await.pop().expect("an entry");
    assert_eq!(
        (&told["kind"], &told["from"], &told["to"]),
        (&json!("migrated"), &json!("AwaitingApproval"), &json!("Asking"))
    );
    assert_eq!(
        (&told["data"]["from_version"], &told["data"]["to_version"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(
        api.post_empty(&migrate).await.json()["saga"],
        after,
        "it is there already"
    );

    let answered = api
        .post(&format!("{}/input", path(&saga)), &json!({"data": {"ok": true}}))
        .await;
    assert_eq!(answered.json()["status"], "Completed");
    api.post(&migrate, &json!({"version": 1}))
        .await
        .problem(409, "illegal_saga_status");
}
