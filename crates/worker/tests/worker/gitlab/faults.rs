//! Files that are not there, or not what they should be.

use serde_json::{Value, json};

use super::{Lab, code};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_file_can_be_told_instead_of_failing() {
    let lab = Lab::start().await;
    let before = lab.head().await;
    let commit = lab.commit(json!({"a.json": {"a": 1}, "t.txt": "é\n"})).await["commit"].clone();
    let read = async |path: &str, format: &str| {
        let input = json!({
            "path": path, "branch": "main", "format": format, "on_fault": "tell", "expected_commit": before,
        });
        lab.done("get_file", input).await
    };
    let json = read("a.json", "json").await;
    assert_eq!((&json["content"], &json["fault"]), (&json!({"a": 1}), &Value::Null));
    let no_json = read("t.txt", "json").await;
    assert_eq!((&no_json["content"], &no_json["commit"]), (&Value::Null, &commit));
    let fault = no_json["fault"].as_str().unwrap_or_default();
    assert!(fault.starts_with("the file t.txt cannot be read as JSON"), "{no_json}");
    let missing = read("no-such", "json").await;
    assert_eq!(
        (&missing["fault"], &missing["commit"], &missing["drift"]["found"]),
        (&json!("there is no file no-such"), &commit, &commit)
    );
    let nowhere = json!({"path": "t.txt", "branch": "no-such", "on_fault": "tell"});
    assert_eq!(code(&lab.task("get_file", &nowhere).await), "gitlab_not_found");
    lab.worker.stopped().await;
}
