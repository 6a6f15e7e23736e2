//! How much memory it takes to have a schema ready.

use serde_json::Value;

/// A value of the schema, with its share of what points to it (seen: 100 to 520 bytes).
const VALUE_BYTES: usize = 500;

/// How often the place of each value is kept as a text (seen: up to three times).
const PATHS: usize = 3;

/// A value that a `not` keeps to quote it.
const QUOTED_BYTES: usize = 100;

/// A regular expression: what is compiled of it (seen: 17 kB), and what it keeps to match.
pub(super) const PATTERN_BYTES: usize = 96 << 10;

/// The weights of a value, where each reference counts as what it refers to.
const WEIGHTS_BYTES: usize = 600;

/// At the most, in bytes, where the schema has so many values with each reference as what it refers to.
pub(super) fn memory(schema: &Value, parts: usize) -> usize {
    let mut sum = parts * WEIGHTS_BYTES;
    add(schema, 0, &mut sum);
    sum
}

/// How many values there are.
fn add(value: &Value, path: usize, sum: &mut usize) -> usize {
    *sum += VALUE_BYTES + PATHS * path;
    let mut values = 1;
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => *sum += text.len(),
        Value::Array(items) => {
            for item in items {
                values += add(item, path + 5, sum);
            }
        }
        Value::Object(fields) => {
            for (keyword, value) in fields {
                let below = add(value, path + keyword.len() + 1, sum);
                *sum += match keyword.as_str() {
                    "not" => below * QUOTED_BYTES,
                    "pattern" => PATTERN_BYTES,
                    "patternProperties" => value.as_object().map_or(0, |patterns| patterns.len() * PATTERN_BYTES),
                    _ => 0,
                };
                values += below;
            }
        }
    }
    values
}
