//! `orchestratum tasks tree`

use std::fmt::Write;

use serde_json::Value;

use super::super::http::Http;
use crate::output;

pub(super) async fn run(http: &Http, id: &str) -> anyhow::Result<()> {
    let tree = http.get(&["tasks", id, "tree"]).json().await?;
    if http.json {
        return output::json(&tree);
    }
    let mut drawn = String::new();
    draw(&tree, "", "", &mut drawn);
    output::line(drawn.trim_end())?;
    if tree["truncated"].as_bool() == Some(true) {
        output::line("\nNot everything is shown: tasks list --parent-id lists what followed a task page by page.")?;
    }
    Ok(())
}

/// A task in a line, and below it what followed it.
fn draw(task: &Value, lead: &str, below: &str, drawn: &mut String) {
    let word = |field: &str| output::one_line(task[field].as_str().unwrap_or_default());
    let edge = task["edge"]
        .as_str()
        .map_or_else(String::new, |edge| format!("{edge}: "));
    let error = task["error"]["kind"]
        .as_str()
        .map_or_else(String::new, |kind| format!(" ({kind})"));
    let run = match task["parent_run"].as_u64() {
        Some(run) if run > 1 => format!(" after run {run}"),
        _ => String::new(),
    };
    let (name, status, id) = (word("name"), word("status"), word("id"));
    writeln!(drawn, "{lead}{edge}{name} {status}{error}{run}  {id}").expect("a String takes every character");
    let entries = |field: &str| task[field].as_array().map(Vec::as_slice).unwrap_or_default();
    let missing = entries("missing_follow_ups");
    let follow_ups = entries("follow_ups");
    let mut left = follow_ups.len() + missing.len();
    let mut branch = || {
        left -= 1;
        if left > 0 {
            ("├─ ", "│  ")
        } else {
            ("└─ ", "   ")
        }
    };
    for follow_up in follow_ups {
        let (begin, rest) = branch();
        draw(follow_up, &format!("{below}{begin}"), &format!("{below}{rest}"), drawn);
    }
    for missing in missing {
        let (begin, _) = branch();
        let word = |field: &str| output::one_line(missing[field].as_str().unwrap_or_default());
        let (edge, name) = (word("edge"), word("name"));
        let why = match missing["cause"].as_str() {
            Some("Deleted") => "was deleted".to_owned(),
            Some("Met") => format!("was not made: {}", word("reason")),
            _ => format!("could not be made: {}", word("reason")),
        };
        writeln!(drawn, "{below}{begin}{edge}: {name} {why}").expect("a String takes every character");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tree_is_drawn_with_what_is_missing_from_it() {
        let leaf = |name: &str, edge: &str| json!({"id": "3", "name": name, "status": "Pending", "edge": edge, "parent_run": 2});
        let tree = json!({
            "id": "1", "name": "pay", "status": "Completed", "error": null,
            "follow_ups": [
                {
                    "id": "2", "name": "ship", "status": "Failed", "error": {"kind": "TimedOut"}, "edge": "on_success",
                    "parent_run": 1, "follow_ups": [leaf("tell", "on_failure")],
                },
                leaf("mail", "on_success"),
            ],
            "missing_follow_ups": [
                {"edge": "on_success", "name": "log", "cause": "Failed", "reason": "/input there is no field \"a\nb\""},
                {"edge": "on_success", "name": "old", "cause": "Deleted", "reason": null},
            ],
        });
        let mut drawn = String::new();
        draw(&tree, "", "", &mut drawn);
        assert_eq!(
            drawn,
            "pay Completed  1\n\
             ├─ on_success: ship Failed (TimedOut)  2\n\
             │  └─ on_failure: tell Pending after run 2  3\n\
             ├─ on_success: mail Pending after run 2  3\n\
             ├─ on_success: log could not be made: /input there is no field \"a\\nb\"\n\
             └─ on_success: old was deleted\n"
        );
    }
}
