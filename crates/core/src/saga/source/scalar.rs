//! What a text without quotes stands for.

use serde_json::Number;

use super::tree::Value;
use crate::saga::fault::shown;

/// By the core schema of YAML 1.2, with the numbers that JSON has: `yes`, `no`, `on` and `off` are texts.
///
/// # Errors
/// For what looks like a number and could be taken for another one, such as `012`, or is none that can be kept.
pub(super) fn resolved(text: &str) -> Result<Value, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Truth(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Truth(false)),
        _ => {}
    }
    if !is_like_a_number(text) {
        return Ok(Value::Text(text.to_owned()));
    }
    let number = serde_json::from_str::<Number>(text);
    let number = number.map_err(|_| format!("{} must be written as JSON writes numbers, or in quotes", shown(text)))?;
    let is_whole = !text.contains(['.', 'e', 'E']);
    if is_whole && !number.is_i64() && !number.is_u64() {
        return Err(format!(
            "{} is too large for a whole number: put it in quotes",
            shown(text)
        ));
    }
    Ok(Value::Number(number.to_string()))
}

fn is_like_a_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let word = unsigned.to_ascii_lowercase();
    let is_all = |digits: &str, base: u32| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base));
    word == ".inf"
        || word == ".nan"
        || word.strip_prefix("0x").is_some_and(|digits| is_all(digits, 16))
        || word.strip_prefix("0o").is_some_and(|digits| is_all(digits, 8))
        || unsigned.starts_with(|first: char| first.is_ascii_digit() || first == '.') && unsigned.parse::<f64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_texts_are_what_json_has() {
        for (text, expected) in [
            ("~", Value::Null),
            ("True", Value::Truth(true)),
            ("-12", Value::Number("-12".to_owned())),
            ("1.50", Value::Number("1.5".to_owned())),
            ("2e3", Value::Number("2000.0".to_owned())),
            ("yes", Value::Text("yes".to_owned())),
            ("on", Value::Text("on".to_owned())),
            ("2026-12-01", Value::Text("2026-12-01".to_owned())),
            ("1.2.3", Value::Text("1.2.3".to_owned())),
            ("${ context.total }", Value::Text("${ context.total }".to_owned())),
        ] {
            assert_eq!(resolved(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_could_be_others_are_refused() {
        for text in [
            "012",
            "+1",
            ".5",
            "1.",
            "0x1F",
            "0o17",
            ".inf",
            "-.NaN",
            "1e999",
            "123456789012345678901",
        ] {
            assert!(resolved(text).is_err(), "{text}");
        }
    }
}
