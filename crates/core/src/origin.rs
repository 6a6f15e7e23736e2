//! Where a task comes from: what its caller calls the trace and the request it belongs to. Carried along as it is, so
//! that logs and traces of the caller, of the API, of the worker and of the task itself can be put together.

use crate::text::checked_text;

/// What a caller said about where its request belongs. Nothing depends on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    pub trace_parent: Option<TraceParent>,
    /// Only one the caller chose: an id of ours is in the log line that has the task's id, too.
    pub request_id: Option<RequestId>,
}

/// The text is not what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {rule}")]
pub struct InvalidOrigin {
    rule: &'static str,
}

checked_text! {
    /// A `traceparent` of W3C Trace Context: version, trace, parent span and flags.
    TraceParent, TraceParent::is_valid, InvalidOrigin: InvalidOrigin { rule: "a traceparent of W3C Trace Context" }
}

checked_text! {
    /// The `X-Request-Id` of a caller.
    RequestId, RequestId::is_valid, InvalidOrigin: InvalidOrigin { rule: "1 to 128 characters of visible ASCII" }
}

impl TraceParent {
    /// Whether it has the four fields of version 00, with a trace and a span that are not all zeros.
    pub fn is_valid(text: &str) -> bool {
        let is_hex = |field: &str, length: usize| {
            field.len() == length && field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let is_set = |field: &str| field.bytes().any(|byte| byte != b'0');
        let mut fields = text.split('-');
        let mut next = || fields.next();
        match (next(), next(), next(), next(), next()) {
            (Some(version), Some(trace), Some(span), Some(flags), None) => {
                let well_formed = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
                well_formed && version != "ff" && is_set(trace) && is_set(span)
            }
            _ => false,
        }
    }
}

impl RequestId {
    const MAX_LENGTH: usize = 128;

    /// Whether it has 1 to 128 characters of visible ASCII.
    pub fn is_valid(text: &str) -> bool {
        (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceParent::new(good).expect("well-formed").as_str(), good);
        for wrong in [
            "",
            "00-0af7-b7ad6b7169203331-01",
            good.to_uppercase().as_str(),
            format!("{good}-x").as_str(),
            good.replace('0', "g").as_str(),
            good.replacen("00", "ff", 1).as_str(),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        ] {
            assert!(TraceParent::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_request_id_is_short_and_visible() {
        assert!(RequestId::new("abc-1").is_ok());
        assert!(RequestId::new("x".repeat(128)).is_ok());
        for wrong in ["", "a b", "a\nb", "é", "x".repeat(129).as_str()] {
            assert!(RequestId::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
