//! Sagas that start others.

use serde_json::{Value, json};

use super::{define, on_both, path, read, settled, start};
use crate::common::Api;

on_both!(live_children_are_shown_with_their_parent);

const PARENT: &str = "
name: parent
initial: Initial
states:
  Initial: {on: {start: {target: Waiting}}}
  Waiting:
    on_entry:
      - {saga: child, correlation_id: 'c-1', raises: {success: done, failure: failed}}
      - {name: echo, target: nobody, raises: {success: other, failure: failed}}
      - {saga: child, correlation_id: 'c-2', raises: {success: other, failure: failed}}
    on: {done: {}, other: {target: Done}, failed: {target: Failed}}
  Done: {final: true}
  Failed: {final: failed}
";

const CHILD: &str = "
name: child
initial: Initial
states:
  Initial: {on: {start: {target: Asking}}}
  Asking:
    await_input: {event: answered, prompt: Well?}
    on: {answered: {target: Done}}
  Done: {final: true}
";

async fn live_children_are_shown_with_their_parent(api: &Api) {
    define(api, "child", CHILD).await;
    define(api, "parent", PARENT).await;
    let parent = start(api, json!({"definition": "parent", "correlation_id": "p-1"})).await;
    let listed = api.get("/api/sagas?definition=child").await.json();
    let found = |correlation_id: &str| {
        let mut items = listed["items"].as_array().expect("items").iter();
        let found = items.find(|saga| saga["correlation_id"] == correlation_id);
        found.expect("a child").clone()
    };
    let [first, second] = ["c-1", "c-2"].map(found);
    for child in [&first, &second] {
        assert_eq!(settled(api, child).await["status"], "AwaitingInput");
    }
    let told = |number: u32, child: &Value| {
        json!({
            "number": number, "id": child["id"], "definition": "child", "correlation_id": child["correlation_id"],
            "status": "AwaitingInput", "state": "Asking",
        })
    };
    let shown = read(api, &parent).await;
    assert_eq!(shown["sagas"], json!([told(1, &first), told(3, &second)]));
    assert_eq!(shown["tasks"].as_array().map(Vec::len), Some(1), "{shown}");
    let listed = api.get("/api/sagas?definition=parent").await.json();
    assert_eq!(listed["items"][0]["sagas"], shown["sagas"]);

    let answered = api
        .post(&format!("{}/input", path(&first)), &json!({"data": null}))
        .await
        .json();
    assert_eq!(
        (&answered["status"], &answered["sagas"]),
        (&json!("Completed"), &json!([]))
    );
    assert_eq!(read(api, &parent).await["sagas"], json!([told(3, &second)]));
}
