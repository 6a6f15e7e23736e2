//! How answers are shown.

use comfy_table::{Table, presets};
use serde_json::Value;

pub(super) fn json(value: &Value) {
    // Pretty-printing a value that was parsed cannot fail.
    println!("{}", serde_json::to_string_pretty(value).unwrap_or_default());
}

/// The items of a list, one row each; `columns` are their fields.
pub(super) fn table(list: &Value, columns: &[&str]) {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.iter().map(|column| column.to_uppercase()));
    for item in list["items"].as_array().into_iter().flatten() {
        table.add_row(columns.iter().map(|column| cell(&item[*column])));
    }
    println!("{table}");
    if let Some(cursor) = list["next_cursor"].as_str() {
        println!("\nMore: --cursor {cursor}");
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}
