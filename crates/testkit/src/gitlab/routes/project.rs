use serde_json::{Value, json};

use crate::gitlab::{DEFAULT_BRANCH, PROJECT};

pub(super) fn document(base: &str) -> Value {
    json!({
        "id": 1,
        "name": "proj",
        "path": "proj",
        "path_with_namespace": PROJECT,
        "default_branch": DEFAULT_BRANCH,
        "visibility": "private",
        "web_url": format!("{base}/{PROJECT}"),
        "http_url_to_repo": format!("{base}/{PROJECT}.git"),
    })
}
