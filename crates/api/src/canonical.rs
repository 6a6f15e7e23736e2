//! One hash for every way to write the same request.
//!
//! The body is read once, from its first byte to its last, and without recursion: what it costs grows with its length,
//! however deep it nests. Values and lists are written down as they come. An object, whose order must not matter, is
//! written down field by field and then replaced by a hash over its fields in the order of their names, so that no byte
//! is looked at again for each level around it.

use sha2::{Digest, Sha256};

/// SHA-256 of the call and its body with sorted names and without spaces.
///
/// Numbers count as they are written: to read them would make two different ones equal beyond the precision of a float.
/// A name that comes twice counts twice, and in the order given: which of the two is meant is for the reader of an input
/// to say, so they are different requests.
///
/// The body has been read as JSON before. Of anything else this would be a hash that says nothing.
pub(crate) fn hash(call: &str, body: &[u8]) -> [u8; 32] {
    let mut writer = Writer {
        out: Vec::with_capacity(body.len()),
        open: Vec::new(),
        fields: Vec::new(),
        string_start: 0,
    };
    writer.write(body);
    let mut hasher = Sha256::new();
    hasher.update(call);
    hasher.update(b"\n");
    hasher.update(&writer.out);
    hasher.finalize().into()
}

struct Writer {
    out: Vec<u8>,
    /// The lists and objects that are being written, from the outside in.
    open: Vec<Open>,
    /// The fields of the open objects, those of the innermost last.
    fields: Vec<Field>,
    /// Where the last string begins. Before a colon it is a name.
    string_start: usize,
}

#[derive(Clone, Copy)]
enum Open {
    List,
    Object {
        start: usize,
        /// How many fields the objects around it have so far.
        fields_around: usize,
    },
}

/// Where a field lies in what is written.
struct Field {
    start: usize,
    name_end: usize,
    end: usize,
}

impl Field {
    fn name<'a>(&self, out: &'a [u8]) -> &'a [u8] {
        &out[self.start..self.name_end]
    }
}

impl Writer {
    fn write(&mut self, mut rest: &[u8]) {
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match (byte, self.open.last().copied()) {
                // Spaces mean nothing, and fields are parted when they are put in order.
                (b' ' | b'\t' | b'\n' | b'\r', _) | (b',', Some(Open::Object { .. })) => {}
                (b'"', _) => rest = self.string(rest),
                (b'{', _) => {
                    self.open.push(Open::Object {
                        start: self.out.len(),
                        fields_around: self.fields.len(),
                    });
                    self.out.push(b'{');
                }
                (b':', Some(Open::Object { fields_around, .. })) => self.begin_field(fields_around),
                (b'}', Some(Open::Object { start, fields_around })) => {
                    self.open.pop();
                    self.end_object(start, fields_around);
                }
                (b'[', _) => {
                    self.open.push(Open::List);
                    self.out.push(b'[');
                }
                (b']', Some(Open::List)) => {
                    self.open.pop();
                    self.out.push(b']');
                }
                (other, _) => self.out.push(other),
            }
        }
    }

    /// At the colon: the name was just written.
    fn begin_field(&mut self, fields_around: usize) {
        // In JSON nothing was taken away since the name was written.
        let start = self.string_start.min(self.out.len());
        self.end_field(fields_around, start);
        self.fields.push(Field {
            start,
            name_end: self.out.len(),
            end: self.out.len(),
        });
        self.out.push(b':');
    }

    fn end_field(&mut self, fields_around: usize, end: usize) {
        if let Some(field) = self.fields[fields_around..].last_mut() {
            field.end = end;
        }
    }

    fn end_object(&mut self, start: usize, fields_around: usize) {
        self.end_field(fields_around, self.out.len());
        let out = &self.out;
        let fields = &mut self.fields[fields_around..];
        if fields.len() > 1 {
            // Stable: those of one name stay in the order given.
            fields.sort_by(|left, right| left.name(out).cmp(right.name(out)));
            let mut hasher = Sha256::new();
            for field in fields {
                hasher.update(&out[field.start..field.end]);
                hasher.update(b",");
            }
            self.out.truncate(start);
            self.out.push(b'#');
            self.out.extend_from_slice(&hasher.finalize());
        } else {
            self.out.push(b'}');
        }
        self.fields.truncate(fields_around);
    }

    /// Writes a string in its one form, and returns what comes after it. The same text may be escaped in several ways.
    fn string<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        self.string_start = self.out.len();
        self.out.push(b'"');
        loop {
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
            let plain = rest.iter().position(is_special).unwrap_or(rest.len());
            self.out.extend_from_slice(&rest[..plain]);
            match &rest[plain..] {
                [b'\\', b'u', after @ ..] => rest = self.code_unit(after),
                [b'\\', escaped, after @ ..] => {
                    self.escaped(*escaped);
                    rest = after;
                }
                [b'"', after @ ..] => {
                    self.out.push(b'"');
                    return after;
                }
                _ => return &[],
            }
        }
    }

    fn escaped(&mut self, escaped: u8) {
        match escaped {
            b'b' => self.out.push(8),
            b'f' => self.out.push(12),
            b'n' => self.out.push(b'\n'),
            b'r' => self.out.push(b'\r'),
            b't' => self.out.push(b'\t'),
            b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', escaped]),
            other => self.out.push(other),
        }
    }

    /// After `\u`: a character, or the first half of one.
    fn code_unit<'a>(&mut self, text: &'a [u8]) -> &'a [u8] {
        let Some((first, after)) = code_unit(text) else {
            return &[];
        };
        if let 0xD800..=0xDBFF = first
            && let [b'\\', b'u', second @ ..] = after
            && let Some((second @ 0xDC00..=0xDFFF, after)) = code_unit(second)
        {
            self.code_point(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00));
            return after;
        }
        self.code_point(first);
        after
    }

    fn code_point(&mut self, code: u32) {
        match char::from_u32(code) {
            Some('"') => self.out.extend_from_slice(br#"\""#),
            Some('\\') => self.out.extend_from_slice(br"\\"),
            Some(character) => {
                let mut utf8 = [0; 4];
                self.out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
            }
            // A half without the other one is JSON, but no text. Written as UTF-8 would, if it could, it is like no text.
            None => {
                let byte = |bits: u32| bits.to_le_bytes()[0];
                let bytes = [0xE0 | (code >> 12), 0x80 | ((code >> 6) & 0x3F), 0x80 | (code & 0x3F)];
                self.out.extend(bytes.map(byte));
            }
        }
    }
}

/// Four hexadecimal digits.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = text.split_at_checked(4)?;
    let digits = str::from_utf8(digits).ok()?;
    Some((u32::from_str_radix(digits, 16).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        for text in [left, right] {
            serde_json::from_str::<serde::de::IgnoredAny>(text).expect("JSON");
        }
        hash("call", left.as_bytes()) == hash("call", right.as_bytes())
    }

    #[test]
    fn the_order_of_names_spaces_and_escapes_do_not_matter() {
        assert!(same(
            r#"{"a": 1, "b": {"c": [1, 2], "d": "\u0041"}}"#,
            r#"{"b":{"d":"A","c":[1,2]},"a":1}"#
        ));
        assert!(same(
            r#"{"\u0061b": 1, "a": {"y": {}, "x": []}}"#,
            "{\"a\":{\"x\":[],\n\"y\":{}},\"ab\":1}"
        ));
        assert!(same(
            r#""\"\\\/\b\f\n\r\t \ud83d\ude00""#,
            r#""\u0022\u005c/\u0008\u000C\u000a\u000D\u0009 😀""#
        ));
        assert!(same(r#"{"\ud800A": 1, "b": 2}"#, r#"{"b": 2, "\uD800\u0041": 1}"#));
    }

    #[test]
    fn what_matters_does() {
        for (left, right) in [
            ("[1,2]", "[2,1]"),
            ("[12]", "[1,2]"),
            ("[[1],2]", "[[1,2]]"),
            ("[]", "{}"),
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            (r#"{"a":{"b":1,"c":2}}"#, r#"{"a":{"b":1},"c":2}"#),
            (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":1}"#),
            ("123456789012345678901", "123456789012345678902"),
            (r#"["a","b"]"#, r#"["a\",\"b"]"#),
            (r#""\\n""#, r#""\n""#),
            (r#""\ud800""#, r#""\ud801""#),
            (r#""\ud800""#, r#""\\ud800""#),
            (r#""\ude00\ud83d""#, r#""\ud83d\ude00""#),
        ] {
            assert!(!same(left, right), "{left} {right}");
        }
        assert_ne!(hash("a", b"1"), hash("b", b"1"));
    }

    #[test]
    fn a_name_that_comes_twice_counts_twice_and_in_its_order() {
        assert!(!same(r#"{"a":1,"a":2}"#, r#"{"a":2}"#));
        assert!(!same(r#"{"a":1,"a":2}"#, r#"{"a":2,"a":1}"#));
        assert!(same(r#"{"b":0,"a":1,"a":2}"#, r#"{"a":1,"a":2,"b":0}"#));
    }

    #[test]
    fn a_body_is_read_once_however_deep_it_nests() {
        const DEPTH: usize = 1 << 20;
        for (begin, end) in [("[", "]"), (r#"{"a":"#, "}"), (r#"{"b":1,"a":"#, "}")] {
            let body = format!("{}0{}", begin.repeat(DEPTH), end.repeat(DEPTH));
            assert_ne!(hash("call", body.as_bytes()), hash("call", b"0"));
        }
    }

    #[test]
    fn what_is_no_json_does_no_harm() {
        for body in [
            "{",
            "}",
            "]",
            ":",
            "{:",
            "{:1:2}",
            r#"{{"a":1,"b":2}:1:2}"#,
            r#"{"a":1]:"#,
            "\"\\",
            "\"\\u12",
            "\"\\ud800\\u",
        ] {
            hash("call", body.as_bytes());
        }
    }
}
