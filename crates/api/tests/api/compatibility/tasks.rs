//! What commands of the library of the same name do.

use serde_json::{Value, json};

use crate::common::Api;

#[tokio::test]
async fn fix_02_a_negative_retry_count_is_refused_with_what_is_allowed() {
    let api = Api::start().await;
    for retries in [-1, 1_001] {
        let refused = api
            .post("/api/tasks", &json!({"name": "echo", "max_retries": retries}))
            .await;
        let problem = refused.problem(422, "invalid_body");
        assert_eq!(problem["errors"][0]["pointer"], "/max_retries");
        let message = problem["errors"][0]["message"].as_str().expect("a text");
        assert!(message.contains("from 0 to 1000"), "{message}");
    }
}

#[tokio::test]
async fn match_25_the_newest_fifty_are_listed_and_all_are_counted_by_how_they_stand() {
    let api = Api::start().await;
    let mut ids = Vec::new();
    for number in 0..55 {
        // None of them is due, so that only this test says how they stand.
        let task = json!({"name": "echo", "input": number, "delay_seconds": 3_600});
        ids.push(api.create(task).await);
    }
    for id in &ids[..3] {
        let cancelled = api.post(&format!("/api/tasks/{id}/cancel"), &json!({})).await;
        assert!(cancelled.status.is_success(), "{cancelled:?}");
    }
    for query in ["", "?limit=50"] {
        let page = api.get(&format!("/api/tasks{query}")).await.json();
        let inputs: Vec<&Value> = page["items"]
            .as_array()
            .expect("tasks")
            .iter()
            .map(|task| &task["input"])
            .collect();
        let newest: Vec<Value> = (5..55).rev().map(Value::from).collect();
        assert!(inputs.iter().copied().eq(&newest), "{inputs:?}");
    }
    let stats = api.get("/api/tasks/stats").await.json();
    assert_eq!(
        stats["by_status"],
        json!({"Pending": 52, "InProgress": 0, "Completed": 0, "Failed": 0, "Expired": 0, "Cancelled": 3})
    );
}
