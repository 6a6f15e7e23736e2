//! Definitions over HTTP: versions, and every fault with its place.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::{ORDER, YAML, define, on_both, start};
use crate::common::Api;

on_both!(
    a_definition_has_versions_that_never_change,
    a_definition_is_drawn,
    every_fault_is_told_with_its_place,
    faults_of_form_of_expressions_of_names_and_of_schemas_are_told_together,
    definitions_that_start_each_other_are_warned_of,
    what_is_no_definition_at_all_is_refused,
    a_child_that_has_no_definition_yet_is_told_with_its_place,
);

const DOOR: &str = "name: door\ninitial: A\nstates:\n  A: {on: {start: {target: B}}}\n  B: {final: true}\n";

async fn a_definition_has_versions_that_never_change(api: &Api) {
    let first = define(api, "door", DOOR).await;
    assert_eq!(first, json!({"name": "door", "version": 1, "warnings": []}));
    let as_json = json!({"states": {"B": {"final": true}, "A": {"on": {"start": {"target": "B"}}}}, "initial": "A", "name": "door"});
    let same = api.put("/api/saga-definitions/door", &as_json).await;
    assert_eq!(
        (same.status, &same.json()["version"]),
        (StatusCode::OK, &json!(1)),
        "the same content in another language"
    );
    let second = define(api, "door", &DOOR.replace('B', "C")).await;
    assert_eq!(second["version"], 2);
    define(api, "order", ORDER).await;

    let heads = api.get("/api/saga-definitions").await.json();
    let names: Vec<_> = heads["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|head| (head["name"].clone(), head["version"].clone()))
        .collect();
    assert_eq!(names, [(json!("door"), json!(2)), (json!("order"), json!(1))]);
    let page = api.get("/api/saga-definitions?limit=1").await.json();
    let next = api
        .get(&format!(
            "/api/saga-definitions?limit=1&cursor={}",
            page["next_cursor"].as_str().expect("more")
        ))
        .await
        .json();
    assert_eq!(
        (&next["items"][0]["name"], &next["next_cursor"]),
        (&json!("order"), &Value::Null)
    );
    let versions = api.get("/api/saga-definitions/door/versions").await.json();
    assert_eq!(
        (&versions["items"][0]["version"], &versions["items"][1]["version"]),
        (&json!(2), &json!(1))
    );
    let newest = api.get("/api/saga-definitions/door").await.json();
    assert_eq!(
        (&newest["version"], &newest["definition"]["states"]["C"]),
        (&json!(2), &json!({"final": true}))
    );
    let oldest = api.get("/api/saga-definitions/door/versions/1").await.json();
    assert_eq!(
        (&oldest["source"], &oldest["definition"]["initial"]),
        (&json!(DOOR), &json!("A"))
    );
    let saga = start(api, json!({"definition": "door", "definition_version": 1})).await;
    assert_eq!((&saga["definition_version"], &saga["state"]), (&json!(1), &json!("B")));

    for path in [
        "/api/saga-definitions/other",
        "/api/saga-definitions/other/versions",
        "/api/saga-definitions/other/diagram",
        "/api/saga-definitions/door/versions/3",
    ] {
        api.get(path).await.problem(404, "definition_not_found");
    }
    for path in ["/api/saga-definitions/a%20b", "/api/saga-definitions/door/versions/x"] {
        api.get(path).await.problem(422, "invalid_path");
    }
}

async fn a_definition_is_drawn(api: &Api) {
    define(api, "door", DOOR).await;
    define(api, "door", &DOOR.replace('B', "C")).await;
    let drawn = api.get("/api/saga-definitions/door/diagram").await;
    assert_eq!(drawn.header("content-type"), "text/vnd.mermaid; charset=utf-8");
    assert!(
        drawn.text().starts_with("stateDiagram-v2") && drawn.text().contains('C'),
        "{drawn:?}"
    );
    let drawn = api.get("/api/saga-definitions/door/diagram?format=svg&version=1").await;
    assert!(
        drawn.text().starts_with("<svg") && drawn.header("content-security-policy").contains("sandbox"),
        "{drawn:?}"
    );
    let refused = api.get("/api/saga-definitions/door/diagram?format=png").await;
    assert_eq!(refused.problem(422, "invalid_query")["errors"][0]["pointer"], "/format");
}

/// One in each state.
const FAULTY: &str = "\
name: door
initial: A
states:
  A: {on: {start: {traget: B}}}
  B: {on: {opened: {if: 'event.', target: Done}}}
  C: {on: {closed: {target: Nowhere}}}
  D:
    await_input: {event: said, prompt: Well?, schema: {pattern: '('}}
    on: {said: {target: Done}}
  E: {on: {broken: {set: {times: 1}}}}
  Done: {final: true}
";

async fn faults_of_form_of_expressions_of_names_and_of_schemas_are_told_together(api: &Api) {
    let refused = api
        .put_text("/api/saga-definitions/door", &YAML, FAULTY)
        .await
        .problem(422, "invalid_definition");
    let faults = refused["errors"].as_array().expect("errors").iter();
    let places: Vec<_> = faults
        .map(|fault| (fault["line"].as_u64(), fault["pointer"].as_str().expect("a pointer")))
        .collect();
    assert_eq!(
        places,
        [
            (Some(4), "/states/A/on/start/traget"),
            (Some(5), "/states/B/on/opened/if"),
            (Some(6), "/states/C/on/closed/target"),
            (Some(8), "/states/D/await_input/schema/pattern"),
            (Some(10), "/states/E"),
        ],
        "{refused}"
    );
}

async fn every_fault_is_told_with_its_place(api: &Api) {
    let source = "name: door\ninitial: A\nstates:\n  A:\n    on:\n      start: {traget: B}\n      opened: {if: 'evnt.data.ok', target: C}\n  B: {final: true}\n";
    let refused = api
        .put_text("/api/saga-definitions/door", &YAML, source)
        .await
        .problem(422, "invalid_definition");
    let faults = refused["errors"].as_array().expect("errors");
    assert!(faults.len() >= 3, "{refused}");
    let fault = |pointer: &str| {
        let found = faults.iter().find(|fault| fault["pointer"] == pointer);
        found.unwrap_or_else(|| panic!("{pointer}: {refused}")).clone()
    };
    let misspelt = fault("/states/A/on/start/traget");
    assert_eq!(
        (&misspelt["line"], &misspelt["column"], &misspelt["suggestion"]),
        (&json!(6), &json!(15), &json!("target")),
        "{misspelt}"
    );
    assert_eq!(fault("/states/A/on/opened/if")["line"], 7);
    assert_eq!(fault("/states/A/on/opened/target")["line"], 7);
    let detail = refused["detail"].as_str().expect("a detail");
    assert!(
        detail.starts_with("line ") && detail.contains("more, see errors"),
        "{detail}"
    );
    let other = api
        .put_text("/api/saga-definitions/window", &YAML, DOOR)
        .await
        .problem(422, "invalid_definition");
    assert_eq!(other["errors"][0]["pointer"], "/name", "{other}");
    assert_eq!(
        api.get("/api/saga-definitions").await.json()["items"],
        json!([]),
        "nothing was stored"
    );

    let doubtful = "name: door\ninitial: A\nstates:\n  A:\n    on:\n      start:\n        tasks: [{name: echo}]\n        target: B\n  B: {on: {opened: {target: C}}}\n  C: {final: true}\n";
    let warned = define(api, "door", doubtful).await;
    let warning = &warned["warnings"][0];
    assert!(warning["message"].is_string() && warning["line"] == 7, "{warned}");
}

async fn a_child_that_has_no_definition_yet_is_told_with_its_place(api: &Api) {
    let source = "\
name: house
initial: A
states:
  A: {on: {start: {target: B}}}
  B:
    on_entry:
      - {saga: house, raises: {success: opened, failure: stuck}}
      - {saga: door, raises: {success: opened, failure: stuck}}
    on: {opened: {}, stuck: {target: C}}
  C: {final: true}
";
    let warned = define(api, "house", source).await;
    let told = json!({
        "pointer": "/states/B/on_entry/1/saga", "line": 8, "column": 16,
        "message": "there is no definition door yet: without it this child fails",
    });
    let mut warning = warned["warnings"][0].clone();
    warning
        .as_object_mut()
        .expect("a fault")
        .retain(|_, value| !value.is_null());
    assert_eq!((&warning, &warned["warnings"][1]), (&told, &Value::Null), "{warned}");
    define(api, "door", DOOR).await;
    let again = api.put_text("/api/saga-definitions/house", &YAML, source).await.json();
    assert_eq!((&again["version"], &again["warnings"]), (&json!(1), &json!([])));
}

async fn definitions_that_start_each_other_are_warned_of(api: &Api) {
    let starting = |name: &str, children: &str| {
        format!(
            "name: {name}\ninitial: A\nstates:\n  A:\n    on:\n      start:\n        tasks: [{children}]\n        target: B\n  \
             B: {on}\n  C: {{final: true}}\n",
            on = "{on: {x: {target: C}}}"
        )
    };
    let order = "{saga: order, raises: {failure: x}}";
    let payment = "{saga: payment, raises: {failure: x}}";
    define(api, "payment", &DOOR.replace("door", "payment")).await;
    let first = define(api, "order", &starting("order", &format!("{payment}, {payment}"))).await;
    assert_eq!(first["warnings"], json!([]), "no payment starts an order");
    let second = define(api, "payment", &starting("payment", order)).await;
    let warning = &second["warnings"][0];
    let message = warning["message"].as_str().unwrap_or_default();
    assert!(
        message.contains("payment starts itself over others, of which order starts more than one on one way"),
        "{second}"
    );
    assert_eq!(
        (&warning["line"], &second["warnings"][1]),
        (&json!(7), &Value::Null),
        "{second}"
    );
    let fewer = define(api, "order", &starting("order", payment)).await;
    assert_eq!(fewer["warnings"], json!([]));
}

async fn what_is_no_definition_at_all_is_refused(api: &Api) {
    let path = "/api/saga-definitions/door";
    for content_type in ["text/plain", "application/xml", ""] {
        let refused = api.put_text(path, &[("content-type", content_type)], DOOR).await;
        refused.problem(415, "unsupported_media_type");
    }
    for content_type in ["application/x-yaml", "text/yaml; charset=utf-8", "Application/YAML"] {
        let taken = api.put_text(path, &[("content-type", content_type)], DOOR).await;
        assert!(taken.status.is_success(), "{content_type}: {taken:?}");
    }
    let aliases = "name: door\ninitial: A\nstates:\n  A: &a {on: {start: {target: B}}}\n  B: *a\n";
    let nested = format!("name: {}1{}", "[".repeat(200), "]".repeat(200));
    for source in ["", "[]", "name: [", "{\"name\":", aliases, nested.as_str()] {
        let refused = api
            .put_text(path, &YAML, source)
            .await
            .problem(422, "invalid_definition");
        assert!(refused["errors"][0]["line"].is_number(), "{source}: {refused}");
    }
    let limit = 256 << 10;
    let large = format!("{DOOR}# {}", "x".repeat(limit));
    api.put_text(path, &YAML, &large).await.problem(413, "body_too_large");
    let largest = format!("{DOOR}# {}", "x".repeat(limit - DOOR.len() - 2));
    assert_eq!(largest.len(), limit);
    assert_eq!(api.put_text(path, &YAML, &largest).await.status, StatusCode::OK);
}
