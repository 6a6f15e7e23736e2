//! JSON that others wrote, read into a type of ours, with what is wrong with it as JSON calls it.

use std::fmt;

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::task::{Violation, json_pointer};
use crate::{Objects, shortened};

/// The most of a message: what was found may be as large as the whole text.
const MESSAGE_MAX_BYTES: usize = 1_000;

/// The most of a name in a pointer, for the same reason.
const NAME_MAX_BYTES: usize = 200;

/// Why a text was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not JSON, and where.
    NotJson(String),
    /// It is JSON of another shape.
    Misshapen(Violation),
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(why) => write!(f, "is not JSON: {why}"),
            Self::Misshapen(violation) => violation.fmt(f),
        }
    }
}

impl Unread {
    /// The same without the values that were found, only what kind they are of: for those who may not read them.
    #[must_use]
    pub fn without_values(self) -> Self {
        match self {
            Self::NotJson(why) => Self::NotJson(why),
            Self::Misshapen(Violation { pointer, message }) => Self::Misshapen(Violation {
                pointer,
                message: without_value(&message),
            }),
        }
    }
}

/// Reads all of a text, structs from objects only. The fast path knows no places; only what is refused is read a second time to find
/// where.
///
/// # Errors
/// [`Unread`], with the first of what is wrong.
pub fn read_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unread> {
    let read = || {
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        let value = T::deserialize(Objects(&mut deserializer))?;
        deserializer.end()?;
        Ok(value)
    };
    read().or_else(|error: serde_json::Error| {
        // What is passed over is not checked for UTF-8 by the parser.
        if str::from_utf8(bytes).is_err() || serde_json::from_slice::<IgnoredAny>(bytes).is_err() {
            return Err(Unread::NotJson(error.to_string()));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(bytes);
        match serde_path_to_error::deserialize::<_, T>(Objects(&mut deserializer)) {
            Ok(value) => Ok(value),
            Err(error) => Err(Unread::Misshapen(violation(&error))),
        }
    })
}

fn violation(error: &serde_path_to_error::Error<serde_json::Error>) -> Violation {
    use serde_path_to_error::Segment;

    let text = error.inner().to_string();
    // The position is in bytes of the text; the pointer says it better.
    let message = text.rfind(" at line ").map_or(text.as_str(), |end| &text[..end]);
    let message = in_words(message.trim());
    let mut pointer = String::new();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&json_pointer(&index.to_string())),
            Segment::Map { key } => pointer.push_str(&step(key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    for prefix in ["missing field `", "unknown field `", "duplicate field `"] {
        if let Some((name, _)) = message.strip_prefix(prefix).and_then(|rest| rest.split_once('`')) {
            let last = step(name);
            if !pointer.ends_with(&last) {
                pointer.push_str(&last);
            }
        }
    }
    Violation {
        pointer,
        message: shortened(&message, MESSAGE_MAX_BYTES, "").into_owned(),
    }
}

/// A step of a pointer. One to a name that is too long leads nowhere, and shows how it begins.
fn step(name: &str) -> String {
    let short = &name[..name.floor_char_boundary(NAME_MAX_BYTES)];
    let cut = if short.len() < name.len() { "…" } else { "" };
    json_pointer(&format!("{short}{cut}"))
}

/// What the deserializer expected, as JSON calls it.
fn in_words(message: &str) -> String {
    // What was found may hold these words as well.
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let kind = expected.split(' ').next().unwrap_or_default();
    let expected = match kind {
        "a" if expected == "a map" => "an object",
        "f32" | "f64" => "a number",
        "i8" | "i16" | "i32" | "i64" | "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number",
        "struct" | "internally" | "map" => "an object",
        "sequence" => "an array",
        "bool" | "boolean" => "true or false",
        _ => expected,
    };
    format!("{found}, expected {expected}")
}

/// Such messages are `invalid type: string "a parcel", expected an object`.
fn without_value(message: &str) -> String {
    for found in ["invalid type: ", "invalid value: ", "unknown variant "] {
        if let Some(rest) = message.strip_prefix(found)
            && let Some((value, expected)) = rest.rsplit_once(", expected ")
        {
            let kind = value.split(['"', '`']).next().unwrap_or_default();
            return format!("{}, expected {expected}", format!("{found}{kind}").trim_end());
        }
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::JsonText;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Parcel {
        weight: f64,
        #[serde(default)]
        kind: Option<Kind>,
        #[serde(default)]
        content: Option<JsonText>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        Letter,
    }

    fn told(text: &str) -> (String, String) {
        let unread = read_json::<Parcel>(text.as_bytes()).expect_err("it is none");
        (unread.to_string(), unread.without_values().to_string())
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_what_was_found() {
        for (text, whole, without) in [
            ("a parcel", "is not JSON: expected value at line 1 column 1", None),
            (
                r#"{"weight": 1} 2"#,
                "is not JSON: trailing characters at line 1 column 15",
                None,
            ),
            (
                r#""{\"weight\": 1}""#,
                r#"invalid type: string "{\"weight\": 1}", expected an object"#,
                Some("invalid type: string, expected an object"),
            ),
            (
                r#"", expected a `gift`""#,
                r#"invalid type: string ", expected a `gift`", expected an object"#,
                Some("invalid type: string, expected an object"),
            ),
            (r"[1]", "invalid type: sequence, expected an object", None),
            (
                r#"{"weight": "heavy"}"#,
                r#"/weight invalid type: string "heavy", expected a number"#,
                Some("/weight invalid type: string, expected a number"),
            ),
            (
                r#"{"weight": true}"#,
                "/weight invalid type: boolean `true`, expected a number",
                Some("/weight invalid type: boolean, expected a number"),
            ),
            (
                r#"{"weight": 1, "kind": "secret"}"#,
                "/kind unknown variant `secret`, expected `letter`",
                Some("/kind unknown variant, expected `letter`"),
            ),
            ("{}", "/weight missing field `weight`", None),
        ] {
            assert_eq!(
                told(text),
                (whole.to_owned(), without.unwrap_or(whole).to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_told_is_short_however_large_the_text_is() {
        let large = serde_json::to_string(&"a".repeat(1 << 20)).expect("JSON");
        let (whole, without) = told(&large);
        assert!(whole.len() < 2 * MESSAGE_MAX_BYTES, "{}", whole.len());
        assert!(whole.ends_with(", expected an object"), "{whole}");
        assert_eq!(without, "invalid type: string, expected an object");
        let (whole, _) = told(&format!(r#"{{"weight": 1, "k{}": 2}}"#, "ü".repeat(1 << 20)));
        let begin = format!("/k{}… unknown field `kü", "ü".repeat(99));
        assert!(
            whole.starts_with(&begin) && whole.len() < 2 * MESSAGE_MAX_BYTES,
            "{whole}"
        );
    }

    #[test]
    fn what_is_right_is_read() {
        let parcel: Parcel = read_json(br#" {"weight": 2, "content": [1]} "#).expect("it is one");
        let content = JsonText::new("[1]").expect("JSON");
        assert_eq!(
            (parcel.weight.to_string().as_str(), parcel.content),
            ("2", Some(content))
        );
    }
}
