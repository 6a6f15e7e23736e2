//! Texts that follow a rule, for which there is one way to make a type, and texts that are too long.

use std::borrow::Cow;

/// The beginning and the end of a text that has more bytes than this, with how much is missing between them, and what else
/// there is to say of that.
pub fn shortened<'a>(text: &'a str, bytes: usize, more: &str) -> Cow<'a, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let half = bytes / 2;
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    let cut = text.len() - head.len() - tail.len();
    Cow::Owned(format!("{head}\n[... {cut} bytes cut{more} ...]\n{tail}"))
}

/// A type for texts for which `$is_valid` holds; others are refused with `$invalid`.
macro_rules! checked_text {
    ($(#[$attribute:meta])* $name:ident, $is_valid:path, $error:ty: $invalid:expr) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// # Errors
            /// If the text does not follow the rule.
            pub fn new(text: impl AsRef<str> + Into<std::sync::Arc<str>>) -> Result<Self, $error> {
                if $is_valid(text.as_ref()) { Ok(Self(text.into())) } else { Err($invalid) }
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }
    };
}

pub(crate) use checked_text;
