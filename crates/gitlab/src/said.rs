//! What GitLab, or a proxy before it, says when it does not do what was asked.

use std::fmt;

use orchestratum_core::gitlab::turns_text_around;
use reqwest::StatusCode;
use serde_json::Value;

/// Enough for a sentence, and little enough for a line of a log.
const MAX_CHARACTERS: usize = 300;

const HIDDEN: &str = "[token]";

/// Longer ones are no words.
const ERROR_CODE_MAX_BYTES: usize = 50;

/// A status and a line of text that can be shown: without control characters, of a bounded length, and without our token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    status: StatusCode,
    text: String,
    error_code: Option<String>,
}

impl Said {
    pub(crate) fn new(status: StatusCode, body: &[u8], token: &str) -> Self {
        let text = String::from_utf8_lossy(body);
        let text = text.trim_start_matches('\u{feff}').trim();
        let document: Option<Value> = serde_json::from_str(text).ok();
        let told = match &document {
            Some(value) => told(value),
            None if text.starts_with('<') => page(text),
            None => text.to_owned(),
        };
        Self {
            status,
            text: printable(&told.replace(token, HIDDEN)),
            error_code: document.as_ref().and_then(error_code),
        }
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// A word for a program, which GitLab gives beside some of what it says.
    pub fn error_code(&self) -> Option<&str> {
        self.error_code.as_deref()
    }

    /// Empty where nothing was said.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.status.as_str();
        // Many texts of GitLab begin with the status.
        if self.text.starts_with(number) {
            f.write_str(&self.text)
        } else if self.text.is_empty() {
            write!(f, "{number} {}", self.status.canonical_reason().unwrap_or_default())
        } else {
            write!(f, "{number} {}", self.text)
        }
    }
}

/// A proxy says it with a page for people.
fn page(text: &str) -> String {
    let title = text
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(title, _)| title.trim());
    match title {
        Some(title) if !title.is_empty() => format!("a page of HTML, \"{title}\""),
        _ => "a page of HTML".to_owned(),
    }
}

/// GitLab has a text, a list of texts, or texts by field under `message`, or a text under `error`.
fn told(value: &Value) -> String {
    let of = |name: &str| value.get(name).map(flat).filter(|text| !text.is_empty());
    let parts: Vec<String> = ["message", "error", "error_description"]
        .into_iter()
        .filter_map(of)
        .collect();
    if parts.is_empty() {
        flat(value)
    } else {
        parts.join(": ")
    }
}

fn error_code(value: &Value) -> Option<String> {
    let code = value.get("error_code")?.as_str()?;
    let is_word = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    (is_word && code.len() <= ERROR_CODE_MAX_BYTES).then(|| code.to_owned())
}

fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(values) => joined(values.iter().map(flat), "; "),
        Value::Object(fields) => joined(
            fields.iter().map(|(name, value)| format!("{name} {}", flat(value))),
            "; ",
        ),
    }
}

fn joined(parts: impl Iterator<Item = String>, between: &str) -> String {
    parts.collect::<Vec<_>>().join(between)
}

/// On one line.
fn printable(text: &str) -> String {
    let cannot_be_shown = |character: char| character.is_control() || turns_text_around(character);
    let plain: String = text
        .chars()
        .map(|character| if cannot_be_shown(character) { ' ' } else { character })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let line = words.join(" ");
    if line.chars().count() <= MAX_CHARACTERS {
        return line;
    }
    let mut short: String = line.chars().take(MAX_CHARACTERS).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).expect("a status");
        Said::new(status, body.as_bytes(), "glpat-31337").to_string()
    }

    #[test]
    fn every_form_of_gitlab_is_read() {
        for (status, body, expected) in [
            (404, r#"{"message":"404 Project Not Found"}"#, "404 Project Not Found"),
            (400, r#"{"error":"branch is missing"}"#, "400 branch is missing"),
            (
                403,
                r#"{"error":"insufficient_scope","error_description":"Needs more.","scope":"api"}"#,
                "403 insufficient_scope: Needs more.",
            ),
            (
                409,
                r#"{"message":["Another open merge request: !5"]}"#,
                "409 Another open merge request: !5",
            ),
            (
                400,
                r#"{"message":{"title":["can't be blank"]}}"#,
                "400 title can't be blank",
            ),
            (429, r#"{"message":{"error":"Too many."}}"#, "429 error Too many."),
            (500, "", "500 Internal Server Error"),
            (503, "Retry later\n", "503 Retry later"),
        ] {
            assert_eq!(said(status, body), expected);
        }
    }

    #[test]
    fn a_page_of_a_proxy_is_called_one() {
        let page = "\u{feff}<html>\n<head><title>502 Bad Gateway</title></head><body>…</body></html>";
        assert_eq!(said(502, page), "502 a page of HTML, \"502 Bad Gateway\"");
        assert_eq!(said(502, "<html>"), "502 a page of HTML");
    }

    #[test]
    fn what_is_shown_is_one_short_printable_line_without_the_token() {
        let body = format!(
            "{{\"message\":\"a\\u001b[31m\\u202eb\\r\\n glpat-31337 {}\"}}",
            "x".repeat(1_000)
        );
        let said = said(400, &body);
        assert!(
            said.starts_with("400 a [31m b [token] xxx") && said.ends_with("x…"),
            "{said}"
        );
        assert!(
            said.chars().count() <= 310 && !said.contains(char::is_control),
            "{said}"
        );
    }

    #[test]
    fn a_word_for_a_program_is_read_beside_the_text() {
        let said = |body: &str| Said::new(StatusCode::BAD_REQUEST, body.as_bytes(), "t0ken");
        let both = said(r#"{"message": "Sorry", "error_code": "empty"}"#);
        assert_eq!((both.text(), both.error_code()), ("Sorry", Some("empty")));
        for none in ["{}", r#"{"error_code": "two words"}"#, r#"{"error_code": 1}"#, "empty"] {
            assert_eq!(said(none).error_code(), None, "{none}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let said = Said::new(StatusCode::BAD_REQUEST, &[0xff, 0xfe, b'a'], "t0ken");
        assert_eq!(said.text(), "\u{fffd}\u{fffd}a");
    }
}
