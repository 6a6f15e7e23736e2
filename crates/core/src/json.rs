//! JSON that is carried, not understood.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Objects;

/// The deepest nesting of arrays and objects that is accepted.
pub const JSON_MAX_DEPTH: usize = 64;

/// Why a text was not taken as JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    #[error("is not JSON: {0}")]
    Malformed(String),
    #[error("is nested deeper than {JSON_MAX_DEPTH} levels")]
    TooDeep,
    #[error("contains the character U+0000, which cannot be stored")]
    Nul,
    #[error("contains half of a surrogate pair, which is no character: {0}")]
    LoneSurrogate(String),
    #[error("contains a number that no double can hold: {0}")]
    NumberTooLarge(String),
}

/// A text that is known to be JSON. Inputs and outputs travel as such, byte for byte: they are checked once where they
/// enter and never parsed again on their way to a handler.
#[derive(Clone, PartialEq, Eq)]
pub struct JsonText(Arc<str>);

impl JsonText {
    /// # Errors
    /// [`InvalidJson`] if the text is not JSON, nested too deep, or holds `\u0000`.
    pub fn new(text: impl AsRef<str> + Into<Arc<str>>) -> Result<Self, InvalidJson> {
        serde_json::from_str::<&RawValue>(text.as_ref()).map_err(|error| InvalidJson::Malformed(error.to_string()))?;
        check(text.as_ref())?;
        Ok(Self(text.into()))
    }

    /// For text that this type has been through before, such as a stored column.
    pub fn trusted(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    pub fn null() -> Self {
        Self("null".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Any value as JSON text.
    ///
    /// # Errors
    /// [`InvalidJson`] if the value cannot be written as JSON or breaks a rule of [`JsonText::new`].
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, InvalidJson> {
        let text = serde_json::to_string(value).map_err(|error| InvalidJson::Malformed(error.to_string()))?;
        check(&text)?;
        Ok(Self(text.into()))
    }

    /// # Errors
    /// The error of `serde_json` if the text is not of that shape.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        T::deserialize(Objects(&mut serde_json::Deserializer::from_str(&self.0)))
    }
}

/// One pass over well-formed JSON: how deep it nests, and whether it holds what the grammar allows and few programs can
/// read. Whoever lists tasks reads those of others, too.
fn check(text: &str) -> Result<(), InvalidJson> {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut bytes = text.bytes().enumerate();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => {
                for _ in 1..check_escape(&text[index..])? {
                    bytes.next();
                }
            }
            b'0'..=b'9' if !in_string => {
                for _ in 1..check_number(&text[index..])? {
                    bytes.next();
                }
            }
            b'[' | b'{' if !in_string => {
                depth += 1;
                if depth > JSON_MAX_DEPTH {
                    return Err(InvalidJson::TooDeep);
                }
            }
            b']' | b'}' if !in_string => depth -= 1,
            _ => {}
        }
    }
    Ok(())
}

/// Checks the escape at the beginning of the text, and returns its length.
fn check_escape(text: &str) -> Result<usize, InvalidJson> {
    let unit = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    match unit(0) {
        None => Ok(2),
        Some(0) => Err(InvalidJson::Nul),
        Some(0xD800..=0xDBFF) if matches!(unit(6), Some(0xDC00..=0xDFFF)) => Ok(12),
        Some(0xD800..=0xDFFF) => Err(InvalidJson::LoneSurrogate(text[..6].to_owned())),
        Some(_) => Ok(6),
    }
}

/// Checks the number at the beginning of the text, and returns its length. Its sign does not matter.
fn check_number(text: &str) -> Result<usize, InvalidJson> {
    const SHOWN: usize = 40;
    let in_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    let length = text.bytes().take_while(|byte| in_number(*byte)).count();
    let number = &text[..length];
    // Few are worth a closer look.
    let may_be_large = length > 300 || number.contains(['e', 'E']);
    if may_be_large && !number.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(InvalidJson::NumberTooLarge(number.chars().take(SHOWN).collect()));
    }
    Ok(length)
}

impl fmt::Debug for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for JsonText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for JsonText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JsonText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        check(raw.get()).map_err(serde::de::Error::custom)?;
        Ok(Self(Box::<str>::from(raw).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_stay_as_they_came() {
        let text = r#"{"b": 1.50, "a": [1e2, "\u00e9"]}"#;
        let json: JsonText = serde_json::from_str(text).expect("valid JSON");
        assert_eq!(json.as_str(), text);
        assert_eq!(serde_json::to_string(&json).expect("writes"), text);
    }

    #[test]
    fn depth_is_bounded_and_brackets_in_strings_do_not_count() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(JsonText::new(nested(JSON_MAX_DEPTH)).is_ok());
        assert_eq!(JsonText::new(nested(JSON_MAX_DEPTH + 1)), Err(InvalidJson::TooDeep));
        assert!(JsonText::new(format!("\"{}\\\"[\"", "[".repeat(100))).is_ok());
    }

    #[test]
    fn an_escaped_nul_is_refused_and_an_escaped_backslash_before_u_is_not() {
        assert_eq!(JsonText::new(r#""a\u0000b""#), Err(InvalidJson::Nul));
        assert!(JsonText::new(r#""a\\u0000b""#).is_ok());
    }

    #[test]
    fn what_no_other_program_can_read_is_refused() {
        for half in [
            r#""\ud800""#,
            r#""a\udc00b""#,
            r#"{"\ud800x": 1}"#,
            r#""\ud800\ud800""#,
            r#""\uD83D\n""#,
        ] {
            assert!(
                matches!(JsonText::new(half), Err(InvalidJson::LoneSurrogate(_))),
                "{half}"
            );
        }
        for whole in [r#""\uD83D\ude00""#, r#""\\ud800""#, r#""\ue000 \u00e9""#] {
            assert!(JsonText::new(whole).is_ok(), "{whole}");
        }
        let long = "9".repeat(400);
        for large in ["1e400", "[-1E+309]", &long, &format!("{{\"a\": {long}.0}}")] {
            assert!(
                matches!(JsonText::new(large), Err(InvalidJson::NumberTooLarge(_))),
                "{large}"
            );
        }
        let tiny = format!("0.{}1", "0".repeat(400));
        for fine in ["1e308", "-1.5E-400", "\"1e400\"", &tiny, "12345678901234567890"] {
            assert!(JsonText::new(fine).is_ok(), "{fine}");
        }
    }
}
