//! Events that cost much: all of them are taken, and others get their turn meanwhile.

use std::time::Duration;

use axum::http::StatusCode;
use futures::future::{Either, join_all, select};
use serde_json::json;
use tokio::time::Instant;

use super::{define, on_both, path, read, start};
use crate::common::Api;

on_both!(
    costly_events_are_all_taken_and_others_are_served_meanwhile,
    large_sagas_take_what_comes_to_all_of_them_at_once,
    sagas_that_cost_too_much_together_begin_on_no_event_and_one_by_one
);

const SCALES: &str = "
name: scales
context: {weighed: 0}
initial: Weighing
states:
  Weighing:
    on:
      start: {}
      weigh:
        - if: 'event.data.all(a, event.data.all(b, a + b < 1000))'
          set: {weighed: '${ context.weighed + 1 }'}
      stop: {target: Stopped}
  Stopped: {final: true}
";

async fn costly_events_are_all_taken_and_others_are_served_meanwhile(api: &Api) {
    const SAGAS: usize = 50;
    define(api, "scales", SCALES).await;
    let mut sagas = Vec::new();
    for number in 0..SAGAS {
        sagas.push(
            start(
                api,
                json!({"definition": "scales", "correlation_id": format!("s-{number}")}),
            )
            .await,
        );
    }
    let numbers: Vec<usize> = (0..120).collect();
    let weigh = json!({"name": "weigh", "data": numbers});
    let events: Vec<String> = sagas.iter().map(|saga| format!("{}/events", path(saga))).collect();
    let mut all = Box::pin(join_all(events.iter().map(|events| api.post(events, &weigh))));
    let mut asked = 0;
    let answers = loop {
        let begun = Instant::now();
        // Here all others get their turn: tests have one thread.
        tokio::task::yield_now().await;
        let health = Box::pin(api.get("/health/live"));
        match select(all, health).await {
            Either::Left((answers, _)) => break answers,
            Either::Right((health, rest)) => {
                assert_eq!(health.status, StatusCode::OK);
                assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
                all = rest;
                asked += 1;
            }
        }
    };
    assert!(asked > 0);
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    for saga in &sagas {
        assert_eq!(read(api, saga).await["context"], json!({"weighed": 1}));
    }
}

async fn sagas_that_cost_too_much_together_begin_on_no_event_and_one_by_one(api: &Api) {
    const DEFINITIONS: usize = 5;
    let scales = |name: &str| {
        format!(
            "
name: {name}
initial: Initial
states:
  Initial: {{on: {{delivered: [{{if: 'event.data.all(a, event.data.all(b, a + b < 1000))', target: Weighed}}]}}}}
  Weighed: {{on: {{stop: {{target: Stopped}}}}}}
  Stopped: {{final: true}}
"
        )
    };
    for number in 0..DEFINITIONS {
        let name = format!("scales-{number}");
        define(api, &name, &scales(&name)).await;
    }
    let numbers: Vec<usize> = (0..240).collect();
    let mut event = json!({"name": "delivered", "correlation_id": "p-1", "data": numbers});
    let refused = api.post("/api/events", &event).await;
    let detail = refused.problem(422, "saga_cannot_start")["detail"].clone();
    let told = "the 5 sagas that begin on this event cost too much together";
    assert!(detail.as_str().is_some_and(|detail| detail.contains(told)), "{detail}");
    let there = api.get("/api/sagas?correlation_id=p-1").await;
    assert_eq!(there.json()["items"], json!([]));
    // One by one they do, and all at once with less to do.
    event["definition"] = json!("scales-3");
    let one = api.post("/api/events", &event).await;
    assert_eq!(one.status, StatusCode::OK, "{one:?}");
    assert_eq!(one.json()["started"][0]["definition"], "scales-3");
    let light = json!({"name": "delivered", "correlation_id": "p-2", "data": [1, 2]});
    let all = api.post("/api/events", &light).await;
    assert_eq!(
        all.json()["started"].as_array().map(Vec::len),
        Some(DEFINITIONS),
        "{all:?}"
    );
}

const KEEPER: &str = "
name: keeper
context: {kept: '${ input.kept }'}
initial: Initial
states:
  Initial: {on: {start: {target: Waiting}}}
  Waiting: {on: {stop: {target: Stopped}}}
  Stopped: {final: true}
";

async fn large_sagas_take_what_comes_to_all_of_them_at_once(api: &Api) {
    const SAGAS: usize = 30;
    define(api, "keeper", KEEPER).await;
    let kept = "x".repeat(700_000);
    let starts = (0..SAGAS).map(|number| {
        let saga = json!({"definition": "keeper", "correlation_id": format!("k-{number}"), "input": {"kept": kept}});
        async move { start(api, saga).await }
    });
    let sagas = join_all(starts).await;
    let events: Vec<String> = sagas.iter().map(|saga| format!("{}/events", path(saga))).collect();
    let stop = json!({"name": "stop"});
    for answer in join_all(events.iter().map(|events| api.post(events, &stop))).await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    for saga in &sagas {
        assert_eq!(read(api, saga).await["status"], "Completed");
    }
}
