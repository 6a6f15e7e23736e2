//! What somebody else answered, as a part of an output.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use orchestratum_core::{InvalidJson, JsonText};
use serde::Serialize;

#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Body<'a> {
    Json(JsonText),
    Text(&'a str),
    Elsewhere(()),
}

/// The output with the body as JSON if it says that it is, else as text, and where it can be neither, in base64.
pub(super) fn with_body<'a>(
    body: &'a [u8],
    content_type: Option<&str>,
    output: impl Fn(Body<'a>, Option<String>) -> Result<JsonText, InvalidJson>,
) -> Result<JsonText, InvalidJson> {
    if let Ok(text) = std::str::from_utf8(body) {
        // What cannot be stored in an output, such as deep nesting, may be stored as a text.
        if let Some(json) = json(text, content_type)
            && let Ok(output) = output(Body::Json(json), None)
        {
            return Ok(output);
        }
        if let Ok(output) = output(Body::Text(text), None) {
            return Ok(output);
        }
    }
    output(Body::Elsewhere(()), Some(STANDARD.encode(body)))
}

fn json(text: &str, content_type: Option<&str>) -> Option<JsonText> {
    if !is_json(content_type?) {
        return None;
    }
    JsonText::new(text.strip_prefix('\u{feff}').unwrap_or(text)).ok()
}

/// `application/json`, and what ends with `+json` (RFC 6839).
fn is_json(content_type: &str) -> bool {
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.contains('/') && essence.ends_with("+json"))
}
