//! What a request asks for, by its query or by its body: GitLab takes parameters from both.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::refusal::Refusal;

#[derive(Debug, Default)]
pub(super) struct Parameters(Map<String, Value>);

impl Parameters {
    pub(super) fn read(query: &str, headers: &HeaderMap, body: &[u8]) -> Result<Self, Refusal> {
        let mut all = Map::new();
        add_pairs(&mut all, query.as_bytes());
        let is_json = headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
        if is_json && !body.is_empty() {
            match serde_json::from_slice(body) {
                Ok(Value::Object(fields)) => all.extend(fields),
                _ => {
                    return Err(Refusal::error(
                        StatusCode::BAD_REQUEST,
                        "The provided content is not valid JSON",
                    ));
                }
            }
        } else {
            add_pairs(&mut all, body);
        }
        Ok(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text, or a number as one.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    pub(super) fn required(&self, name: &str) -> Result<String, Refusal> {
        let text = self.text(name).ok_or_else(|| Refusal::missing(name))?;
        if text.is_empty() {
            return Err(Refusal::error(StatusCode::BAD_REQUEST, &format!("{name} is empty")));
        }
        Ok(text)
    }

    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| Refusal::error(StatusCode::BAD_REQUEST, &format!("{name} is invalid"))),
        }
    }

    /// A list, or texts between commas.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match self.get(name) {
            None => Vec::new(),
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(value) => text(value)
                .split(',')
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect(),
        }
    }
}

/// `name[]` is a list.
fn add_pairs(all: &mut Map<String, Value>, pairs: &[u8]) {
    for (name, value) in form_urlencoded::parse(pairs) {
        let value = Value::String(value.into_owned());
        match name.strip_suffix("[]") {
            None => {
                all.insert(name.into_owned(), value);
            }
            Some(name) => {
                if let Value::Array(values) = all.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    values.push(value);
                }
            }
        }
    }
}
