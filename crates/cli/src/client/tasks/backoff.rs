//! The wait between attempts, as a person writes it.

use serde_json::{Map, Number, Value, json};

/// What [`parse`] takes.
const FORMS: &str = "none, fixed:SECONDS, exponential[:FIRST[:LONGEST]][:no-jitter], or the JSON of the api";

/// The JSON of the api. Which numbers are allowed is for it to say.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    let wrong = || format!("must be {FORMS}");
    if text.starts_with('{') {
        return serde_json::from_str(text).map_err(|_| wrong());
    }
    let mut parts = text.split(':');
    let kind = parts.next().unwrap_or_default();
    let mut rest: Vec<&str> = parts.collect();
    let mut backoff = Map::from_iter([("kind".to_owned(), json!(kind))]);
    let fields: &[&str] = match kind {
        "none" => &[],
        "fixed" if !rest.is_empty() => &["delay_seconds"],
        "exponential" => {
            if rest.last() == Some(&"no-jitter") {
                rest.pop();
                backoff.insert("jitter".to_owned(), json!(false));
            }
            &["delay_seconds", "max_delay_seconds"]
        }
        _ => return Err(wrong()),
    };
    if rest.len() > fields.len() {
        return Err(wrong());
    }
    for (field, number) in fields.iter().zip(rest) {
        let number = number.parse().ok().and_then(Number::from_f64).ok_or_else(wrong)?;
        backoff.insert((*field).to_owned(), Value::Number(number));
    }
    Ok(Value::Object(backoff))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_the_api_wants_it() {
        for (text, expected) in [
            ("none", json!({"kind": "none"})),
            ("fixed:2", json!({"kind": "fixed", "delay_seconds": 2.0})),
            ("exponential", json!({"kind": "exponential"})),
            ("exponential:0.5", json!({"kind": "exponential", "delay_seconds": 0.5})),
            (
                "exponential:0.5:60",
                json!({"kind": "exponential", "delay_seconds": 0.5, "max_delay_seconds": 60.0}),
            ),
            (
                "exponential:0.5:60:no-jitter",
                json!({"kind": "exponential", "delay_seconds": 0.5, "max_delay_seconds": 60.0, "jitter": false}),
            ),
            ("exponential:no-jitter", json!({"kind": "exponential", "jitter": false})),
            (r#"{"kind": "none"}"#, json!({"kind": "none"})),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_none_of_the_forms_is_told_them() {
        for text in [
            "",
            "never",
            "none:1",
            "fixed",
            "fixed:",
            "fixed:1:2",
            "fixed:inf",
            "exponential:1:2:3",
            "{",
        ] {
            assert_eq!(parse(text), Err(format!("must be {FORMS}")), "{text}");
        }
    }
}
