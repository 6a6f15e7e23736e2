//! The limits that a code task may ask for.

use std::collections::BTreeMap;

use crate::json::JsonText;
use crate::task::rules::{Violations, json_pointer};

/// Each with the most it may be.
const LIMITS: [(&str, i64); 4] = [
    ("memory_mb", 1_048_576),
    ("cpu_seconds", 2_592_000),
    ("disk_mb", 1_048_576),
    ("processes", 100_000),
];

/// The limits of a body, without those that are `null`.
///
/// # Errors
/// All [`Violations`], their pointers below the limits.
pub(super) fn checked_limits(limits: &JsonText) -> Result<JsonText, Violations> {
    let mut violations = Violations::default();
    let Ok(given) = limits.parse::<BTreeMap<String, serde_json::Value>>() else {
        violations.add("", "must be an object");
        return Err(violations);
    };
    let mut checked = BTreeMap::new();
    for (name, value) in given {
        let pointer = json_pointer(&name);
        let Some((_, most)) = LIMITS.iter().find(|(known, _)| *known == name) else {
            let known = LIMITS.map(|(known, _)| known).join(", ");
            violations.add(pointer, format!("is no limit; there are {known}"));
            continue;
        };
        match value.as_i64() {
            Some(number) if (1..=*most).contains(&number) => {
                checked.insert(name, number);
            }
            _ if value.is_null() => {}
            _ => violations.add(
                pointer,
                format!("must be a whole number from 1 to {most}, not {}", shown(&value)),
            ),
        }
    }
    violations.into_result()?;
    Ok(JsonText::of(&checked).expect("names and numbers are JSON"))
}

fn shown(value: &serde_json::Value) -> String {
    if value.is_number() {
        value.to_string()
    } else {
        "something else".to_owned()
    }
}
