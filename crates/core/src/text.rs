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

/// A text as a database keeps it: U+0000, which PostgreSQL refuses, is shown as what it is.
pub fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Lines of which only so many bytes are kept, as a database keeps them.
#[derive(Debug)]
pub struct Lines {
    text: String,
    /// For lines, beside what says that there is no more room; `None` once that was said.
    bytes_left: Option<usize>,
}

/// Said once, in place of what is too much.
const CUT: &str = "… the log is full: the rest was left out\n";

impl Lines {
    /// What says that there is no more room counts as well. Where there is none even for that, nothing is kept.
    pub const fn up_to(bytes: usize) -> Self {
        Self {
            text: String::new(),
            bytes_left: bytes.checked_sub(CUT.len()),
        }
    }

    pub fn add(&mut self, line: &str) {
        let Some(bytes_left) = self.bytes_left else {
            return;
        };
        let line = without_nul(line);
        self.bytes_left = bytes_left.checked_sub(line.len() + 1);
        if self.bytes_left.is_some() {
            self.text.push_str(&line);
            self.text.push('\n');
        } else {
            self.text.push_str(CUT);
        }
    }

    /// Takes at most so many bytes of its beginning, in whole characters: they count as kept.
    pub fn take(&mut self, most: usize) -> String {
        let end = self.text.floor_char_boundary(most);
        let rest = self.text.split_off(end);
        std::mem::replace(&mut self.text, rest)
    }

    /// What was not taken.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_are_full_say_so_once_and_take_no_more() {
        let mut lines = Lines::up_to(CUT.len() + 10);
        for line in ["fir\0t", "a long one", "x"] {
            lines.add(line);
        }
        assert_eq!(lines.take(4), "fir", "in whole characters");
        assert_eq!(lines.as_str(), format!("\u{fffd}t\n{CUT}"));
        assert_eq!(lines.take(1_000), format!("\u{fffd}t\n{CUT}"));
        assert!(lines.is_empty());
    }

    #[test]
    fn lines_never_have_more_bytes_than_they_may_and_say_within_them_that_they_are_full() {
        for most in 0..200 {
            let mut lines = Lines::up_to(most);
            for _ in 0..100 {
                lines.add("a line");
            }
            let text = lines.as_str();
            assert!(text.len() <= most, "{most}: {text}");
            assert_eq!(text.ends_with(CUT), most >= CUT.len(), "{most}: {text}");
        }
    }
}
