//! How answers are shown.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;
use comfy_table::{Table, presets};
use serde_json::Value;

/// The most characters of a cell: as long as the longest name of a target, so that none is cut.
const CELL_MAX: usize = 100;

/// Characters that move text around without being control characters: line and paragraph separators, and those that
/// turn the direction of writing.
const UNRULY: [char; 11] = [
    '\u{2028}', '\u{2029}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}',
    '\u{2068}', '\u{2069}',
];

/// A JSON document and a line break.
pub(crate) fn json(value: &Value) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

pub(crate) fn line(text: &str) -> anyhow::Result<()> {
    write(text, "\n").map(|_read| ())
}

/// The text byte for byte. On a terminal the prompt that follows gets a line of its own.
pub(crate) fn text(text: &str) -> anyhow::Result<()> {
    if part(text)? {
        end(!text.is_empty() && !text.ends_with('\n'))?;
    }
    Ok(())
}

/// A part of a text that goes on; `false` if nobody reads any more.
pub(crate) fn part(text: &str) -> anyhow::Result<bool> {
    write(text, "")
}

/// Ends a text that was shown part by part.
pub(crate) fn end(within_a_line: bool) -> anyhow::Result<()> {
    if within_a_line && io::stdout().is_terminal() {
        write("", "\n")?;
    }
    Ok(())
}

/// Whether anybody reads: whoever does not any more has seen enough, such as `head`.
fn write(text: &str, end: &str) -> anyhow::Result<bool> {
    let mut output = io::stdout().lock();
    let written = [text, end]
        .into_iter()
        .try_for_each(|part| output.write_all(part.as_bytes()))
        .and_then(|()| output.flush());
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// The items of a list, one row each, or the line `no ITEMS`. `columns` are their fields; `error.kind` is a field of one,
/// under the heading of that.
pub(crate) fn table(list: &Value, items: &str, columns: &[&str]) -> anyhow::Result<()> {
    line(&rows(list, items, columns))?;
    if let Some(cursor) = list["next_cursor"].as_str() {
        line(&format!("\nMore: --cursor {cursor}"))?;
    }
    Ok(())
}

fn rows(list: &Value, items: &str, columns: &[&str]) -> String {
    let rows = list["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rows.is_empty() {
        return format!("no {items}");
    }
    let heading = |column: &&str| column.split('.').next().unwrap_or_default().to_uppercase();
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(columns.iter().map(heading));
    for item in rows {
        let field = |column: &&str| item.pointer(&format!("/{}", column.replace('.', "/")));
        table.add_row(columns.iter().map(|column| cell(field(column).unwrap_or(&Value::Null))));
    }
    table.trim_fmt()
}

fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(","),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    };
    bounded(&one_line(&text), CELL_MAX).into_owned()
}

/// Text of others in one line that does nothing to a terminal: what is not to be shown is written as an escape.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || UNRULY.contains(&character) {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// The first `most` characters; an ellipsis tells that there is more.
pub(crate) fn bounded(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.chars().take(most - 1).chain(['…']).collect()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_list_is_said_to_be_empty() {
        assert_eq!(rows(&json!({"items": []}), "tasks", &["id"]), "no tasks");
    }

    #[test]
    fn a_row_stays_one_line_whatever_its_cells_hold() {
        let list = json!({"items": [
            {"id": "a\nb\u{1b}[31m\u{202e}", "error": {"kind": "Failed", "message": "long"}, "names": ["x", "y"]},
            {"id": "é".repeat(CELL_MAX + 1), "error": null, "names": []},
            {"id": "é".repeat(CELL_MAX)},
        ]});
        let text = rows(&list, "tasks", &["id", "error.kind", "names"]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let (cut, whole) = (format!("{}…", "é".repeat(CELL_MAX - 1)), "é".repeat(CELL_MAX));
        assert_eq!(
            lines,
            [
                vec!["ID", "ERROR", "NAMES"],
                vec![r"a\nb\u{1b}[31m\u{202e}", "Failed", "x,y"],
                vec![cut.as_str()],
                vec![whole.as_str()],
            ]
        );
    }
}
