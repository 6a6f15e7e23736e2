//! The headers that a task may set.

use std::collections::BTreeMap;

use crate::task::built_in::fields::{Fields, Names};

const COUNT_MAX: usize = 100;
const NAME_MAX_BYTES: usize = 100;
const VALUE_MAX_BYTES: usize = 8 * 1024;
/// Few servers take more of all headers together.
const ALL_MAX_BYTES: usize = 32 * 1024;

/// They frame the message, belong to the connection, or say what the worker can decode: it sets them itself.
const RESERVED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// By their names in lower case.
pub(super) fn read(fields: &mut Fields<'_>, field: &'static str) -> BTreeMap<String, String> {
    let names = Names {
        count_max: COUNT_MAX,
        is_allowed: is_name,
        rule: name_rule,
    };
    let mut headers = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in fields.texts_by_name(field, &names) {
        bytes += name.len() + value.len();
        if !is_value(&value) {
            fields.refuse_entry(field, &name, &value_rule());
        } else if headers.insert(name.to_ascii_lowercase(), value).is_some() {
            fields.refuse_entry(field, &name, "is given twice: upper and lower case are the same");
        }
    }
    if bytes > ALL_MAX_BYTES {
        fields.refuse(field, &format!("must have at most {ALL_MAX_BYTES} bytes together"));
    }
    headers
}

/// A token of RFC 9110, 5.6.2.
fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let well_formed = !name.is_empty() && name.len() <= NAME_MAX_BYTES && name.bytes().all(is_token);
    well_formed && !RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

fn name_rule() -> String {
    format!(
        "is not allowed: a name is a token of at most {NAME_MAX_BYTES} bytes, and none that the worker sets itself ({})",
        RESERVED.join(", ")
    )
}

/// No line break, which would begin another header, and nothing that servers read in different ways.
fn is_value(value: &str) -> bool {
    value.len() <= VALUE_MAX_BYTES && value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

fn value_rule() -> String {
    format!("must be printable ASCII of at most {VALUE_MAX_BYTES} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::HttpInput;

    #[test]
    fn names_that_frame_a_message_are_refused_in_any_case() {
        for allowed in [
            "Authorization",
            "x-api-key",
            "Cookie",
            "content-type",
            "user-agent",
            "a",
        ] {
            assert!(is_name(allowed), "{allowed}");
        }
        let long = "a".repeat(101);
        for refused in [
            "Host",
            "CONTENT-LENGTH",
            "Transfer-Encoding",
            "connection",
            "TE",
            "",
            "a b",
            "a:",
            "é",
            "a\r",
            &long,
        ] {
            assert!(!is_name(refused), "{refused}");
        }
    }

    #[test]
    fn a_value_is_printable_and_short() {
        for allowed in ["", "Bearer a.b-c", "a\tb", &"a".repeat(8_192)] {
            assert!(is_value(allowed));
        }
        for refused in ["a\r\nb: c", "a\nb", "a\0", "é", "\u{7f}", &"a".repeat(8_193)] {
            assert!(!is_value(refused), "{refused:?}");
        }
    }

    #[test]
    fn a_header_is_given_once_and_all_of_them_have_a_size() {
        let told = |headers: &str| {
            let input = format!(r#"{{"url": "http://a.example", "headers": {headers}}}"#);
            HttpInput::read(&input).expect_err("too much").0[0].to_string()
        };
        assert_eq!(
            told(r#"{"Accept": "a", "accept": "b"}"#),
            "/headers/accept is given twice: upper and lower case are the same"
        );
        assert_eq!(
            told(r#"{"Accept": "a", "Accept": "a"}"#),
            "/headers/Accept is given twice"
        );
        let large: Vec<String> = (0..5)
            .map(|index| format!(r#""a{index}": "{}""#, "a".repeat(8_000)))
            .collect();
        assert_eq!(
            told(&format!("{{{}}}", large.join(","))),
            "/headers must have at most 32768 bytes together"
        );
        let many: Vec<String> = (0..=100).map(|index| format!(r#""a{index}": """#)).collect();
        assert_eq!(
            told(&format!("{{{}}}", many.join(","))),
            "/headers must have at most 100 entries, not 101"
        );
    }
}
