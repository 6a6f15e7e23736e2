//! Events: for one saga, and for whichever has the correlation id.

use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::{Value, json};

use super::{assert_unchanged, define, history, on_both, path, read, start};
use crate::common::Api;

on_both!(
    an_event_is_taken_once_and_only_where_the_state_takes_it,
    many_events_at_once_are_all_taken_and_none_twice,
    an_event_finds_its_saga_or_starts_one,
    an_event_starts_all_that_begin_on_it_or_none,
    start_is_published_for_one_definition,
    an_id_that_comes_again_with_another_event_is_refused,
    a_repeated_event_is_known_when_its_saga_is_over,
    ids_of_the_server_are_apart_from_those_of_callers,
    events_that_begin_at_once_are_taken_as_if_one_after_the_other,
    without_an_input_it_has_no_fields,
    all_that_is_missing_of_an_input_is_told_with_its_place,
    what_is_wrong_with_a_body_is_told,
    what_is_wrong_with_a_query_or_a_path_is_told,
);

const COUNTER: &str = "
name: counter
context: {count: 0, last: null}
initial: Initial
states:
  Initial:
    on:
      start: {target: Counting}
      counting_ordered: {target: Counting}
  Counting:
    on:
      counted: {set: {count: '${ context.count + 1 }', last: '${ event.data }'}, target: Counting}
      stopped: {target: Stopped}
  Stopped: {final: true}
";

async fn counter(api: &Api) -> Value {
    define(api, "counter", COUNTER).await;
    start(api, json!({"definition": "counter", "correlation_id": "c-1"})).await
}

async fn an_event_is_taken_once_and_only_where_the_state_takes_it(api: &Api) {
    let saga = counter(api).await;
    let events = format!("{}/events", path(&saga));
    let counted = json!({"name": "counted", "data": {"by": "Ada"}, "id": "e-1"});
    let taken = api.post(&events, &counted).await;
    assert_eq!((taken.status, taken.header("idempotent-replay")), (StatusCode::OK, ""));
    assert_eq!(taken.json()["context"], json!({"count": 1, "last": {"by": "Ada"}}));
    let again = api.post(&events, &counted).await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::OK, "true")
    );
    assert_eq!(again.json(), taken.json());
    let without_id = json!({"name": "counted"});
    assert_eq!(
        api.post(&events, &without_id).await.json()["context"],
        json!({"count": 2, "last": null})
    );

    let refused = api
        .post(&events, &json!({"name": "cuonted"}))
        .await
        .problem(409, "event_not_taken");
    assert_eq!(refused["takes"], json!(["counted", "stopped"]));
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("Counting") && detail.contains("counted, stopped"),
        "{detail}"
    );
    let body = json!({"name": "counted"}).to_string();
    api.post_with(&events, &[("if-match", taken.header("etag"))], &body)
        .await
        .problem(412, "version_mismatch");
    let now = api.get(&path(&saga)).await;
    let tags = format!("{}, {}", taken.header("etag"), now.header("etag"));
    let guarded = api.post_with(&events, &[("if-match", tags.as_str())], &body).await;
    assert_eq!(guarded.json()["context"]["count"], 3, "{guarded:?}");
    let stopped = api.post(&events, &json!({"name": "stopped"})).await.json();
    assert_eq!(stopped["status"], "Completed");
    api.post(&events, &without_id).await.problem(409, "illegal_saga_status");
    let repeated = api.post(&events, &counted).await;
    assert_eq!(
        (repeated.status, repeated.header("idempotent-replay")),
        (StatusCode::OK, "true"),
        "also when it is over"
    );
    let refusals = history(api, &saga)
        .await
        .iter()
        .filter(|entry| !entry["refusal"].is_null())
        .count();
    assert_eq!(refusals, 2, "what no state took is in the history");
}

async fn many_events_at_once_are_all_taken_and_none_twice(api: &Api) {
    let saga = counter(api).await;
    let events = format!("{}/events", path(&saga));
    let bodies: Vec<Value> = (0..16)
        .map(|number| json!({"name": "counted", "id": format!("e-{}", number % 8)}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| api.post(&events, body))).await;
    assert!(
        answers.iter().all(|answer| answer.status == StatusCode::OK),
        "{answers:?}"
    );
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replay") == "true")
        .count();
    assert_eq!(replayed, 8);
    assert_eq!(read(api, &saga).await["context"]["count"], 8);
}

async fn an_event_finds_its_saga_or_starts_one(api: &Api) {
    define(api, "counter", COUNTER).await;
    let nobody = json!({"name": "counted", "correlation_id": "c-9", "data": 1, "id": "e-0"});
    api.post("/api/events", &nobody).await.problem(404, "no_saga_for_event");
    assert_eq!(
        api.get("/api/sagas").await.json()["items"],
        json!([]),
        "it leaves no row"
    );
    let ordered = json!({"name": "counting_ordered", "correlation_id": "c-9", "data": {"to": 3}, "id": "e-1"});
    let started = api.post("/api/events", &ordered).await;
    assert_eq!(started.status, StatusCode::OK);
    let started = started.json();
    assert_eq!(started["taken"], json!([]));
    let saga = &started["started"][0];
    assert_eq!(
        (
            &saga["definition"],
            &saga["correlation_id"],
            &saga["state"],
            &saga["input"]
        ),
        (&json!("counter"), &json!("c-9"), &json!("Counting"), &json!({"to": 3}))
    );
    let again = api.post("/api/events", &ordered).await.json();
    let reached: Vec<_> = ["taken", "started"]
        .iter()
        .flat_map(|list| again[list].as_array().expect("a list"))
        .collect();
    assert_eq!(reached, [saga], "the same event again starts and changes nothing");
    let counted = api.post("/api/events", &nobody).await.json();
    assert_eq!(
        (&counted["taken"][0]["context"]["count"], &counted["started"]),
        (&json!(1), &json!([]))
    );
    let other = json!({"name": "other", "correlation_id": "c-9"});
    let refused = api.post("/api/events", &other).await.problem(409, "event_not_taken");
    assert!(
        refused["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("counted, stopped")),
        "{refused}"
    );
    api.post("/api/events", &json!({"name": "stopped", "correlation_id": "c-9"}))
        .await;
    let late = json!({"name": "counting_ordered", "correlation_id": "c-9", "id": "e-2"});
    api.post("/api/events", &late).await.problem(409, "event_not_taken");
}

const AUDIT: &str = "
name: audit
initial: Initial
states:
  Initial: {on: {start: {target: Open}, order_created: {target: Open}}}
  Open: {on: {closed: {target: Completed}}}
  Completed: {final: true}
";

/// It needs more than [`AUDIT`], behind which it is in the alphabet.
const BILLING: &str = "
name: billing
context: {order: '${ input.order.id }'}
initial: Initial
states:
  Initial: {on: {start: {target: Open}, order_created: {target: Open}}}
  Open: {on: {closed: {if: has(event.data.paid), target: Completed}}}
  Completed: {final: true}
";

fn definitions(sagas: &Value) -> Vec<&str> {
    let sagas = sagas.as_array().expect("a list").iter();
    let mut names: Vec<&str> = sagas.filter_map(|saga| saga["definition"].as_str()).collect();
    names.sort_unstable();
    names
}

async fn an_event_starts_all_that_begin_on_it_or_none(api: &Api) {
    define(api, "audit", AUDIT).await;
    define(api, "billing", BILLING).await;
    let created = |data: Value| json!({"name": "order_created", "correlation_id": "o-1", "id": "e-1", "data": data});
    let refused = api
        .post("/api/events", &created(json!({"order": {}})))
        .await
        .problem(422, "saga_cannot_start");
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(
        detail.starts_with("a saga billing cannot start so: order has no value"),
        "{detail}"
    );
    assert_eq!(
        api.get("/api/sagas").await.json()["items"],
        json!([]),
        "nothing was stored"
    );

    let good = created(json!({"order": {"id": 7}}));
    let published = api.post("/api/events", &good).await.json();
    assert_eq!(definitions(&published["started"]), ["audit", "billing"], "{published}");
    let again = api.post("/api/events", &good).await.json();
    assert_eq!(definitions(&again["taken"]), ["audit", "billing"], "{again}");
    assert_eq!(again["started"], json!([]));
}

async fn start_is_published_for_one_definition(api: &Api) {
    define(api, "audit", AUDIT).await;
    define(api, "billing", BILLING).await;
    let publish = async |name: &str, definition: Option<&str>| {
        let data = json!({"order": {"id": 7}});
        let mut body = json!({"name": name, "correlation_id": "o-1", "data": data});
        if let Some(definition) = definition {
            body["definition"] = json!(definition);
        }
        api.post("/api/events", &body).await
    };
    let refused = publish("start", None).await.problem(422, "invalid_body");
    assert_eq!(refused["errors"][0]["pointer"], "/definition", "{refused}");
    assert_eq!(api.get("/api/sagas").await.json()["items"], json!([]));
    publish("start", Some("audits"))
        .await
        .problem(404, "definition_not_found");
    publish("closed", Some("audit")).await.problem(404, "no_saga_for_event");
    for definition in ["audit", "billing"] {
        let published = publish("start", Some(definition)).await.json();
        assert_eq!(definitions(&published["started"]), [definition], "{published}");
    }
    let unpaid = publish("closed", Some("billing")).await.problem(409, "event_not_taken");
    assert_eq!(unpaid["takes"], json!(["closed"]), "if its guard holds");
    let closed = publish("closed", Some("audit")).await.json();
    assert_eq!(definitions(&closed["taken"]), ["audit"], "{closed}");
    let refused = publish("start", None).await.problem(409, "event_not_taken");
    assert_eq!(refused["takes"], json!(["closed"]), "those of the one that is not over");
}

async fn a_repeated_event_is_known_when_its_saga_is_over(api: &Api) {
    define(api, "counter", COUNTER).await;
    let event = |name: &str, id: &str| json!({"name": name, "correlation_id": "c-9", "id": id});
    let events = [
        event("counting_ordered", "e-1"),
        event("counted", "e-2"),
        event("stopped", "e-3"),
    ];
    for event in &events {
        assert_eq!(api.post("/api/events", event).await.status, StatusCode::OK);
    }
    let over = api.get("/api/sagas").await.json()["items"][0].clone();
    assert_eq!(over["status"], "Completed");
    for event in &events {
        let again = api.post("/api/events", event).await;
        assert_eq!(again.status, StatusCode::OK, "{again:?}");
        assert_eq!(again.json(), json!({"taken": [over], "started": []}));
    }
    let other = json!({"name": "counted", "correlation_id": "c-9", "id": "e-3"});
    api.post("/api/events", &other).await.problem(409, "event_id_reused");
    for late in [
        event("counted", "e-4"),
        json!({"name": "counted", "correlation_id": "c-9"}),
    ] {
        api.post("/api/events", &late).await.problem(409, "event_not_taken");
    }
}

async fn ids_of_the_server_are_apart_from_those_of_callers(api: &Api) {
    let saga = counter(api).await;
    let events = format!("{}/events", path(&saga));
    let counted = json!({"name": "counted", "id": "start"});
    for replay in ["", "true"] {
        let taken = api.post(&events, &counted).await;
        assert_eq!(
            (taken.status, taken.header("idempotent-replay")),
            (StatusCode::OK, replay)
        );
    }
    let own = history(api, &saga).await[0]["event_id"].clone();
    let refused = api.post(&events, &json!({"name": "counted", "id": own})).await;
    assert_eq!(refused.problem(422, "invalid_body")["errors"][0]["pointer"], "/id");
    let begun = json!({"name": "counting_ordered", "correlation_id": "c-2", "id": "start"});
    for list in ["started", "taken"] {
        let published = api.post("/api/events", &begun).await.json();
        assert_eq!(definitions(&published[list]), ["counter"], "{published}");
    }
}

/// Once it has begun, `second` is what it asks for, and needs data.
const ASKING: &str = "
name: asking
initial: Initial
states:
  Initial: {on: {first: {target: Open}, second: {target: Open}}}
  Open:
    await_input: {event: second, prompt: Go on?, schema: {type: object}}
    on: {second: {target: Completed}}
  Completed: {final: true}
";

/// Behind [`ASKING`] in the alphabet.
const TAKING: &str = "
name: taking
initial: Initial
states:
  Initial: {on: {first: {target: Open}, second: {target: Open}}}
  Open: {on: {first: {target: Completed}, second: {target: Completed}}}
  Completed: {final: true}
";

async fn events_that_begin_at_once_are_taken_as_if_one_after_the_other(api: &Api) {
    define(api, "asking", ASKING).await;
    define(api, "taking", TAKING).await;
    for round in 0..20 {
        let event = |name: &str| json!({"name": name, "correlation_id": format!("r-{round}")});
        let (first, second) = (event("first"), event("second"));
        let answers = tokio::join!(api.post("/api/events", &first), api.post("/api/events", &second));
        let published = [answers.0, answers.1].map(|answer| {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let published = answer.json();
            (
                definitions(&published["started"]).len(),
                definitions(&published["taken"]).len(),
            )
        });
        assert!(
            matches!(published, [(2, 0), (0, 1)] | [(0, 1), (2, 0)]),
            "one starts both, and one of them takes the other: {published:?}"
        );
    }
}

async fn without_an_input_it_has_no_fields(api: &Api) {
    let lenient = AUDIT.replace(
        "initial:",
        "context: {note: \"${ has(input.note) ? input.note : 'none' }\"}\ninitial:",
    );
    define(api, "audit", &lenient).await;
    let saga = start(api, json!({"definition": "audit"})).await;
    assert_eq!((&saga["input"], &saga["context"]["note"]), (&json!({}), &json!("none")));
    let ordered = json!({"name": "order_created", "correlation_id": "o-1"});
    let published = api.post("/api/events", &ordered).await.json();
    assert_eq!(published["started"][0]["context"]["note"], "none", "{published}");

    define(api, "billing", BILLING).await;
    let refused = api.post("/api/sagas", &json!({"definition": "billing"})).await;
    let detail = refused.problem(422, "saga_cannot_start")["detail"].clone();
    let detail = detail.as_str().expect("a detail");
    assert!(
        detail.starts_with("a saga billing cannot start so: order has no value"),
        "{detail}"
    );
}

async fn all_that_is_missing_of_an_input_is_told_with_its_place(api: &Api) {
    let context = "context: {order: '${ input.order.id }', sum: '${ input.a + input.b }', who: '${input.who}', of: x}";
    let billing = BILLING.replace("context: {order: '${ input.order.id }'}", context);
    define(api, "billing", &billing).await;
    let told = |problem: &Value| -> Vec<(String, String)> {
        let errors = problem["errors"].as_array().expect("errors").iter();
        let text = |fault: &Value, field: &str| fault[field].as_str().expect("a text").to_owned();
        errors
            .map(|fault| (text(fault, "pointer"), text(fault, "message")))
            .collect()
    };
    let expected = |below: &str| {
        [
            ("/order/id", "order has no value: there is no field \"order\""),
            ("", "sum has no value: there is no field \"a\""),
            ("/who", "who has no value: there is no field \"who\""),
        ]
        .map(|(pointer, message)| (format!("{below}{pointer}"), message.to_owned()))
    };
    let refused = api.post("/api/sagas", &json!({"definition": "billing"})).await;
    let refused = refused.problem(422, "saga_cannot_start");
    assert_eq!(told(&refused), expected("/input"), "{refused}");
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(
        detail.contains("order has") && detail.contains("sum has") && detail.contains("who has"),
        "{detail}"
    );
    let ordered = json!({"name": "order_created", "correlation_id": "o-1"});
    let refused = api
        .post("/api/events", &ordered)
        .await
        .problem(422, "saga_cannot_start");
    assert_eq!(told(&refused), expected("/data"), "{refused}");
}

async fn an_id_that_comes_again_with_another_event_is_refused(api: &Api) {
    let saga = counter(api).await;
    let events = format!("{}/events", path(&saga));
    let counted = |data: Value| json!({"name": "counted", "id": "e-1", "data": data});
    assert_eq!(api.post(&events, &counted(json!(1))).await.status, StatusCode::OK);
    let refused = api
        .post(&events, &counted(json!(2)))
        .await
        .problem(409, "event_id_reused");
    assert!(
        refused["detail"].as_str().is_some_and(|detail| detail.contains("e-1")),
        "{refused}"
    );
    let stopped = json!({"name": "stopped", "id": "e-1", "data": 1, "correlation_id": saga["correlation_id"]});
    api.post("/api/events", &stopped).await.problem(409, "event_id_reused");
    let again = api.post(&events, &counted(json!(1))).await;
    assert_eq!(
        (again.status, again.header("idempotent-replay")),
        (StatusCode::OK, "true")
    );
    let own = api
        .post(&events, &json!({"name": "counted", "id": "task/1"}))
        .await
        .problem(422, "invalid_body");
    assert_eq!(own["errors"][0]["pointer"], "/id");
}

async fn what_is_wrong_with_a_body_is_told(api: &Api) {
    let saga = counter(api).await;
    let long = "x".repeat(201);
    let large = "x".repeat(1 << 20);
    for (call, body, pointer) in [
        ("/api/sagas", json!({"definition": "a b"}), "/definition"),
        (
            "/api/sagas",
            json!({"definition": "counter", "correlation_id": ""}),
            "/correlation_id",
        ),
        (
            "/api/sagas",
            json!({"definition": "counter", "correlation_id": long}),
            "/correlation_id",
        ),
        (
            "/api/sagas",
            json!({"definition": "counter", "correlation_id": "a\0"}),
            "/correlation_id",
        ),
        (
            "/api/sagas",
            json!({"definition": "counter", "correlation_id": ".."}),
            "/correlation_id",
        ),
        ("/api/sagas", json!({"definition": "."}), "/definition"),
        ("/api/sagas", json!({"definition": "counter", "inptu": {}}), "/inptu"),
        ("/api/sagas", json!({"definition": "counter", "input": large}), "/input"),
        ("/api/sagas", json!({}), "/definition"),
        ("/api/events", json!({"name": "counted"}), "/correlation_id"),
        ("/api/events", json!({"name": "", "correlation_id": "c-1"}), "/name"),
        (
            "/api/events",
            json!({"name": "counted", "correlation_id": "c-1", "id": long}),
            "/id",
        ),
        (
            "/api/events",
            json!({"name": "counted", "correlation_id": "c-1", "data": large}),
            "/data",
        ),
        ("events", json!({"name": "counted", "id": "\0"}), "/id"),
        ("events", json!({"name": "counted", "id": 5}), "/id"),
        ("events", json!({"name": "counted", "id": ".."}), "/id"),
        (
            "/api/events",
            json!({"name": "counted", "correlation_id": "..", "id": "e"}),
            "/correlation_id",
        ),
        ("events", json!({"data": {}}), "/name"),
        ("input", json!({"answer": {}}), "/answer"),
        ("retry", json!({"context": []}), "/context"),
        ("cancel", json!({"reason": "x".repeat(2_001)}), "/reason"),
    ] {
        let call = if call.starts_with('/') {
            call.to_owned()
        } else {
            format!("{}/{call}", path(&saga))
        };
        let refused = api.post(&call, &body).await.problem(422, "invalid_body");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{call}: {refused}");
    }
    api.post("/api/sagas", &json!({"definition": "other"}))
        .await
        .problem(404, "definition_not_found");
    let body = json!({"definition": "counter", "definition_version": 2});
    api.post("/api/sagas", &body).await.problem(404, "definition_not_found");
    assert_unchanged(api, &saga, "nothing of all this has changed it").await;
}

async fn what_is_wrong_with_a_query_or_a_path_is_told(api: &Api) {
    for (query, pointer) in [
        ("status=Waiting", "/status"),
        ("definition=a%20b", "/definition"),
        ("state=", "/state"),
        ("correlation_id=a%00", "/correlation_id"),
        ("parent_id=p-1", "/parent_id"),
        ("stale_for_seconds=-1", "/stale_for_seconds"),
        ("stale_for_seconds=soon", "/stale_for_seconds"),
        ("limit=0", "/limit"),
        ("cursor=1", "/cursor"),
        ("name=counter", "/name"),
    ] {
        let refused = api
            .get(&format!("/api/sagas?{query}"))
            .await
            .problem(422, "invalid_query");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{query}: {refused}");
    }
    let nowhere = "/api/sagas/01936e5a-7c00-7000-8000-000000000000";
    api.get(nowhere).await.problem(404, "saga_not_found");
    api.get(&format!("{nowhere}/history"))
        .await
        .problem(404, "saga_not_found");
    for call in [
        "events",
        "input",
        "cancel",
        "retry",
        "compensations/1/retry",
        "compensations/1/skip",
        "events/1/retry",
        "events/1/discard",
    ] {
        let body = if call == "events" {
            json!({"name": "counted"})
        } else {
            json!({})
        };
        api.post(&format!("{nowhere}/{call}"), &body)
            .await
            .problem(404, "saga_not_found");
    }
    api.get("/api/sagas/1").await.problem(422, "invalid_path");
    let path = format!("{nowhere}/compensations/first/retry");
    api.post_empty(&path).await.problem(422, "invalid_path");
}
