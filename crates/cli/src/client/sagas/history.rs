//! `orchestratum sagas history`: what has reached a saga, and what it did then, a line for each.

use serde_json::{Value, json};

use crate::client::http::Http;
use crate::client::page::{self, Page};
use crate::output;

const COLUMNS: [&str; 7] = ["seq", "what", "name", "outcome", "from", "to", "then"];

pub(super) async fn run(http: &Http, saga: &str, page: Page) -> anyhow::Result<()> {
    let read = page::read(http, &["sagas", saga, "history"], [], page).await?;
    if http.json { output::json(&read) } else { show(&read) }
}

fn show(page: &Value) -> anyhow::Result<()> {
    let entries = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Value> = entries.iter().map(row).collect();
    let table = json!({"items": rows, "next_cursor": page["next_cursor"]});
    output::table(&table, "entries", &COLUMNS)
}

fn row(entry: &Value) -> Value {
    json!({
        "seq": entry["seq"],
        "what": what(entry),
        "name": name(entry),
        "outcome": entry["outcome"],
        "from": entry["from"],
        "to": entry["to"],
        "then": then(entry).join("; "),
    })
}

fn items<'a>(entry: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    entry[field].as_array().into_iter().flatten()
}

/// What the saga did then of which its log tells under this name.
fn noted<'a>(entry: &'a Value, event: &str) -> impl Iterator<Item = &'a Value> {
    items(entry, "log").filter(move |note| note["event"] == event)
}

/// Of a timer, which one it was.
fn what(entry: &Value) -> String {
    let timer = noted(entry, "saga.timeout").find_map(|note| note["timer"].as_str());
    let what = match timer {
        Some("Saga") => "timeout",
        Some("After") => "after",
        Some("DefaultAnswer") => "default answer",
        Some("Reminder") => "reminder",
        Some(other) => other,
        None => entry["kind"].as_str().unwrap_or_default(),
    };
    what.replace('_', " ")
}

/// Of a task, with the event that its end has raised.
fn name(entry: &Value) -> String {
    let name = entry["name"].as_str().unwrap_or_default();
    let raised = ["processed", "rejected", "deferred", "ignored"]
        .into_iter()
        .find_map(|became| {
            let event = format!("saga.event_{became}");
            noted(entry, &event).find_map(|note| note["name"].as_str())
        });
    match raised.filter(|raised| *raised != name && entry["refusal"].is_null()) {
        Some(raised) if name.is_empty() => raised.to_owned(),
        Some(raised) => format!("{name} > {raised}"),
        None => name.to_owned(),
    }
}

/// Why it was not done, or failed, first; then what the saga did.
fn then(entry: &Value) -> Vec<String> {
    let mut told = Vec::new();
    match (entry["refusal"].as_str(), entry["error"]["message"].as_str()) {
        (Some(reason), _) | (None, Some(reason)) => {
            told.push(reason.trim_end().lines().next_back().unwrap_or_default().to_owned());
        }
        (None, None) => {}
    }
    if let ("cancel", Some(reason)) = (
        entry["kind"].as_str().unwrap_or_default(),
        entry["data"]["reason"].as_str(),
    ) {
        told.push(format!("because: {reason}"));
    }
    if entry["refusal"].is_null() {
        for note in noted(entry, "saga.event_rejected").chain(noted(entry, "saga.parked")) {
            let became = if note["event"] == "saga.parked" {
                "parked"
            } else {
                "refused"
            };
            told.push(format!("{became}: {}", note["reason"].as_str().unwrap_or_default()));
        }
    }
    for task in items(entry, "tasks") {
        let name = task["name"].as_str().unwrap_or_default();
        told.push(if task["compensation"] == true {
            format!("undo with {name}")
        } else {
            name.to_owned()
        });
    }
    for child in items(entry, "sagas") {
        told.push(format!("saga {}", child["definition"].as_str().unwrap_or_default()));
    }
    if items(entry, "cancelled").next().is_some() {
        let numbers: Vec<String> = items(entry, "cancelled").map(Value::to_string).collect();
        told.push(format!("cancel {}", numbers.join(", ")));
    }
    for note in noted(entry, "saga.compensation").filter(|note| note["change"] == "failed") {
        told.push(format!("compensation {} has failed", note["number"]));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_tells_its_task_its_event_and_what_is_undone() {
        let entry = json!({
            "seq": 4, "kind": "task_ended", "name": "create_shipment", "outcome": "failed",
            "from": "AwaitingShipment", "to": "AwaitingShipment", "refusal": null, "error": {"kind": "Failed", "message": "no lorry"},
            "log": [{"event": "saga.event_processed", "id": "x", "name": "shipment_failed"}],
            "tasks": [{"number": 5, "name": "release_inventory", "compensation": true}], "sagas": [], "cancelled": [3],
        });
        assert_eq!(
            row(&entry),
            json!({
                "seq": 4, "what": "task ended", "name": "create_shipment > shipment_failed", "outcome": "failed",
                "from": "AwaitingShipment", "to": "AwaitingShipment", "then": "no lorry; undo with release_inventory; cancel 3",
            })
        );
    }

    #[test]
    fn a_cancel_says_why() {
        let entry =
            json!({"kind": "cancel", "data": {"reason": "no longer needed"}, "refusal": null, "cancelled": [2]});
        assert_eq!(then(&entry), ["because: no longer needed", "cancel 2"]);
    }

    #[test]
    fn a_timer_says_which_it_was_and_what_was_refused_says_why() {
        let timer = json!({"kind": "timer", "log": [{"event": "saga.timeout", "timer": "DefaultAnswer"},
            {"event": "saga.event_processed", "name": "approved"}]});
        assert_eq!(
            (what(&timer).as_str(), name(&timer).as_str()),
            ("default answer", "approved")
        );
        let refused = json!({"kind": "event", "name": "paid", "refusal": "it takes approved",
            "log": [{"event": "saga.event_rejected", "reason": "it takes approved"}]});
        assert_eq!(
            (name(&refused).as_str(), then(&refused)),
            ("paid", vec!["it takes approved".to_owned()])
        );
        let parked = json!({"kind": "event", "name": "paid", "refusal": null, "log": [{"event": "saga.parked", "reason": "no such key"}]});
        assert_eq!(then(&parked), ["parked: no such key"]);
    }
}
