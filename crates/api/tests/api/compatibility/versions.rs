//! What many callers do at once, beside what comes of it in `HeroMessaging`; and how sagas are found.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use futures::future::join_all;
use serde_json::{Value, json};

use super::events::{PARCEL, parcel, raise};
use crate::common::Api;
use crate::sagas::{define, on_both, path, read, start};

on_both!(
    match_30_of_starts_at_once_one_creates_the_saga_and_the_others_are_told_of_it,
    match_30_of_first_events_at_once_one_creates_the_saga,
    fix_30_sagas_of_two_definitions_share_a_correlation_id,
    match_31_a_change_of_another_version_is_refused_naming_both,
    fix_31_events_at_once_need_no_retry_and_repeat_nothing,
    match_40_sagas_of_a_state_are_listed_newest_first_in_pages,
);

fn ids(sagas: impl IntoIterator<Item = Value>) -> BTreeSet<String> {
    let ids = sagas.into_iter().map(|saga| saga["id"].as_str().map(str::to_owned));
    ids.collect::<Option<_>>().expect("each has an id")
}

async fn match_30_of_starts_at_once_one_creates_the_saga_and_the_others_are_told_of_it(api: &Api) {
    define(api, "parcel", PARCEL).await;
    let body = json!({"definition": "parcel", "correlation_id": "p-1"});
    let answers = join_all((0..8).map(|_| api.post("/api/sagas", &body))).await;
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED);
    let existing = answers.iter().filter(|answer| answer.status == StatusCode::OK);
    assert_eq!((created.count(), existing.count()), (1, 7), "{answers:?}");
    assert_eq!(ids(answers.iter().map(crate::common::Answer::json)).len(), 1);
}

async fn match_30_of_first_events_at_once_one_creates_the_saga(api: &Api) {
    define(api, "parcel", PARCEL).await;
    let bodies: Vec<Value> = (0..8)
        .map(|number| json!({"name": "parcel_sent", "correlation_id": "p-1", "id": format!("e-{number}")}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| api.post("/api/events", body))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(won.len(), 1, "{answers:?}");
    for answer in lost {
        // To the saga that is there it is no first event any more, and that does not take it.
        assert_eq!(answer.status, StatusCode::CONFLICT, "{answer:?}");
    }
    let sagas = api.get("/api/sagas").await.json()["items"].clone();
    assert_eq!(sagas, won[0].json()["started"]);
}

async fn fix_30_sagas_of_two_definitions_share_a_correlation_id(api: &Api) {
    define(api, "parcel", PARCEL).await;
    let insured = PARCEL.replace("name: parcel", "name: insurance");
    define(api, "insurance", &insured).await;
    for definition in ["parcel", "insurance"] {
        start(api, json!({"definition": definition, "correlation_id": "p-1"})).await;
    }
    let delivered = json!({"name": "delivered", "correlation_id": "p-1"});
    let reached = api.post("/api/events", &delivered).await.json();
    let taken = reached["taken"].as_array().expect("a list");
    let definitions: BTreeSet<_> = taken.iter().filter_map(|saga| saga["definition"].as_str()).collect();
    assert_eq!(definitions, BTreeSet::from(["insurance", "parcel"]));
    assert!(taken.iter().all(|saga| saga["status"] == "Completed"), "{reached}");
}

async fn match_31_a_change_of_another_version_is_refused_naming_both(api: &Api) {
    let saga = parcel(api).await;
    let scanned = raise(api, &saga, "scanned").await;
    assert_eq!((&saga["version"], &scanned["version"]), (&json!(1), &json!(2)));
    let scanned = read(api, &saga).await;
    let event = json!({"name": "delivered"}).to_string();
    for (header, named) in [
        ("\"1\"", "\"1\""),
        ("\"1\", \"7\"", "\"1\", \"7\""),
        ("W/\"2\"", "none of its versions"),
    ] {
        let refused = api
            .post_with(&format!("{}/events", path(&saga)), &[("if-match", header)], &event)
            .await
            .problem(412, "version_mismatch");
        let detail = refused["detail"].as_str().expect("a detail");
        assert!(
            detail.ends_with(&format!("has the ETag \"2\" now; If-Match names {named}")),
            "{detail}"
        );
    }
    assert_eq!(read(api, &saga).await, scanned);
}

async fn fix_31_events_at_once_need_no_retry_and_repeat_nothing(api: &Api) {
    let saga = parcel(api).await;
    let events = format!("{}/events", path(&saga));
    // Each is sent twice, as whoever has no answer does.
    let bodies: Vec<Value> = (0..16)
        .map(|number| json!({"name": "scanned", "id": format!("e-{}", number % 8)}))
        .collect();
    let answers = join_all(bodies.iter().map(|body| api.post(&events, body))).await;
    assert!(
        answers.iter().all(|answer| answer.status == StatusCode::OK),
        "{answers:?}"
    );
    let after = read(api, &saga).await;
    assert_eq!((&after["version"], &after["context"]["stops"]), (&json!(9), &json!(8)));
    let listed = api.get("/api/tasks?name=announce").await.json();
    let announced = listed["items"].as_array().expect("items").iter();
    let mut of: Vec<_> = announced.map(|task| task["input"].to_string()).collect();
    of.sort_unstable();
    let each: Vec<String> = (0..8).map(|number| format!("\"e-{number}\"")).collect();
    assert_eq!(of, each, "what an event starts is started once");
}

async fn match_40_sagas_of_a_state_are_listed_newest_first_in_pages(api: &Api) {
    define(api, "parcel", PARCEL).await;
    let mut newest_first = Vec::new();
    for number in 0..5 {
        let body = json!({"definition": "parcel", "correlation_id": format!("p-{number}")});
        newest_first.insert(0, start(api, body).await);
    }
    let delivered = raise(api, &newest_first.remove(2), "delivered").await;
    let (mut listed, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api
            .get(&format!("/api/sagas?state=Underway&limit=2{cursor}"))
            .await
            .json();
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.len(), 2);
        listed.extend(items.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, newest_first);
    let others = api.get("/api/sagas?state=Delivered&limit=200").await.json();
    assert_eq!(others["items"], json!([delivered]));
    api.get("/api/sagas?limit=201").await.problem(422, "invalid_query");
}
