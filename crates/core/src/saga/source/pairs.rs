//! Characters that JSON writes as two halves: `\ud83d\ude00`. YAML writes them as one, and knows no halves.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::value::RawValue;

use crate::saga::fault::Place;

/// A text that YAML can read, and where its columns are others than those of the text it was made of.
#[derive(Debug)]
pub(super) struct Joined<'a> {
    pub(super) text: Cow<'a, str>,
    /// Where an escape of 12 characters became one of 10, in the order of the text.
    shorter: Vec<Place>,
}

/// By how much each is shorter.
const SAVED: usize = 2;

impl<'a> Joined<'a> {
    /// Only JSON has such escapes; in YAML the same letters may stand for themselves.
    pub(super) fn of(text: &'a str) -> Self {
        let is_json = || serde_json::from_str::<&RawValue>(text).is_ok();
        if (text.contains("\\ud") || text.contains("\\uD")) && is_json() {
            joined(text)
        } else {
            Self {
                text: Cow::Borrowed(text),
                shorter: Vec::new(),
            }
        }
    }

    /// The place in the text as it came.
    pub(super) fn original(&self, place: Place) -> Place {
        let of_the_line = self.shorter.partition_point(|shorter| shorter.line < place.line);
        let before = self.shorter.partition_point(|shorter| *shorter < place);
        Place {
            column: place.column + SAVED * (before - of_the_line),
            ..place
        }
    }
}

fn joined(text: &str) -> Joined<'_> {
    let mut made = String::with_capacity(text.len());
    let mut shorter = Vec::new();
    let mut place = Place::START;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let taken = if let Some(code) = pair(rest) {
            shorter.push(place);
            write!(made, "\\U{code:08x}").expect("a String takes every character");
            place.column += 12 - SAVED;
            rest = &rest[12..];
            continue;
        } else if next == '\\' {
            // With what it escapes, which may be another backslash.
            rest.chars().take(2).map(char::len_utf8).sum()
        } else {
            next.len_utf8()
        };
        made.push_str(&rest[..taken]);
        if next == '\n' {
            place.line += 1;
            place.column = 1;
        } else {
            place.column += rest[..taken].chars().count();
        }
        rest = &rest[taken..];
    }
    Joined {
        text: Cow::Owned(made),
        shorter,
    }
}

/// The number of the character whose two halves are at the beginning of the text.
fn pair(text: &str) -> Option<u32> {
    let half = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let halves = [half(0)?, half(6)?];
    let character = char::decode_utf16(halves).next()?.ok()?;
    (u32::from(character) > 0xFFFF).then_some(u32::from(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_become_one_escape_and_places_stay_those_of_the_text() {
        let text = "{\"a\": \"\\ud83d\\ude00\\\\ud83d\\\\ude00\",\n\"b\": \"\\uD83D\\uDE00\", \"c\": 1}";
        let joined = Joined::of(text);
        assert_eq!(
            joined.text,
            "{\"a\": \"\\U0001f600\\\\ud83d\\\\ude00\",\n\"b\": \"\\U0001f600\", \"c\": 1}"
        );
        let of_c = Place { line: 2, column: 20 };
        assert_eq!(joined.original(of_c), Place { line: 2, column: 22 });
        assert_eq!(joined.original(Place { line: 2, column: 1 }).column, 1);
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        for text in ["a: '\\ud83d\\ude00'", "{\"a\": \"\\u00e9\"}", "{\"a\": \"\\ud83d\"}"] {
            assert_eq!(Joined::of(text).text, text);
        }
    }
}
