//! One hash for every way to write the same request.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// SHA-256 of the call and its body with sorted keys and without spaces. Numbers count as they are written: to read
/// them would make two different ones equal beyond the precision of a float.
///
/// # Errors
/// If the body is not JSON.
pub(crate) fn hash(call: &str, body: &[u8]) -> Result<[u8; 32], serde_json::Error> {
    let mut canonical = Vec::with_capacity(call.len() + body.len() + 1);
    canonical.extend_from_slice(call.as_bytes());
    canonical.push(b'\n');
    write(serde_json::from_slice(body)?, &mut canonical)?;
    Ok(Sha256::digest(&canonical).into())
}

/// Recursion is bounded: what may nest in a body is checked for depth when the body is read.
fn write(value: &RawValue, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
            out.push(b'{');
            for (name, value) in fields {
                serde_json::to_writer(&mut *out, &name)?;
                out.push(b':');
                write(value, out)?;
                out.push(b',');
            }
            out.push(b'}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push(b'[');
            for item in items {
                write(item, out)?;
                out.push(b',');
            }
            out.push(b']');
        }
        // The same text may be escaped in more than one way.
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(string) => serde_json::to_writer(out, &string)?,
            // A lone surrogate is JSON, but no text.
            Err(_) => out.extend_from_slice(text.as_bytes()),
        },
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        hash("call", left.as_bytes()).expect("JSON") == hash("call", right.as_bytes()).expect("JSON")
    }

    #[test]
    fn the_order_of_keys_spaces_and_escapes_do_not_matter() {
        assert!(same(
            r#"{"a": 1, "b": {"c": [1, 2], "d": "\u0041"}}"#,
            r#"{"b":{"d":"A","c":[1,2]},"a":1}"#
        ));
    }

    #[test]
    fn what_matters_does() {
        assert!(!same("[1,2]", "[2,1]"));
        assert!(!same("[12]", "[1,2]"));
        assert!(!same(r#"{"a":1}"#, r#"{"a":"1"}"#));
        assert!(!same("123456789012345678901", "123456789012345678902"));
        assert_ne!(hash("a", b"1").expect("JSON"), hash("b", b"1").expect("JSON"));
    }
}
