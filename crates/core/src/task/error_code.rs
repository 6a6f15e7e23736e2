use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

const MAX_LENGTH: usize = 64;

/// A short word for what went wrong, by which a program decides; the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct ErrorCode(Cow<'static, str>);

/// Why a text is none. It does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must match [a-z][a-z0-9_]* and have at most {MAX_LENGTH} characters")]
pub struct InvalidErrorCode;

impl ErrorCode {
    /// # Errors
    /// If the text breaks the rule.
    pub fn new(text: impl Into<Cow<'static, str>>) -> Result<Self, InvalidErrorCode> {
        let text = text.into();
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins_well = text.starts_with(|first: char| first.is_ascii_lowercase());
        if begins_well && text.len() <= MAX_LENGTH && text.bytes().all(is_word) {
            Ok(Self(text))
        } else {
            Err(InvalidErrorCode)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ErrorCode {
    type Error = InvalidErrorCode;

    fn try_from(text: String) -> Result<Self, InvalidErrorCode> {
        Self::new(text)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{ErrorKind, TaskError};

    #[test]
    fn a_code_is_a_short_word() {
        for text in ["a", "gitlab_not_found", "e2", &"a".repeat(64)] {
            assert_eq!(ErrorCode::new(text.to_owned()).expect(text).as_str(), text);
        }
        for text in [
            "",
            "2e",
            "_a",
            "Not_found",
            "not-found",
            "a b",
            "\u{e9}",
            &"a".repeat(65),
        ] {
            assert_eq!(ErrorCode::new(text.to_owned()), Err(InvalidErrorCode), "{text}");
        }
    }

    #[test]
    fn an_error_is_stored_with_its_code_and_one_without_is_read_as_before() {
        let plain = r#"{"kind":"Failed","message":"no"}"#;
        let error: TaskError = serde_json::from_str(plain).expect("it was stored so");
        assert_eq!(error, TaskError::new(ErrorKind::Failed, "no"));
        assert_eq!(serde_json::to_string(&error).expect("JSON"), plain);
        let coded = error.with_code(ErrorCode::new("out_of_stock").ok());
        let stored = serde_json::to_string(&coded).expect("JSON");
        assert_eq!(stored, r#"{"kind":"Failed","message":"no","code":"out_of_stock"}"#);
        assert_eq!(serde_json::from_str::<TaskError>(&stored).expect("it is read"), coded);
    }
}
