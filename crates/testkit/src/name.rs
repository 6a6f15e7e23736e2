//! Names of a test's own on servers that may be somebody's.
//!
//! They tell when they were made: what a test process left that was killed is found by its name.

use std::time::Duration;

use uuid::Uuid;

pub(crate) const PREFIX: &str = "orchestratum_test_";
const TIME_DIGITS: usize = 12;
const RANDOM_DIGITS: usize = 8;

/// A name that no other test has.
pub(crate) fn unique() -> String {
    // The first 48 bits are the milliseconds since 1970, the last ones are random.
    let id = new_id().simple().to_string();
    format!("{PREFIX}{}_{}", &id[..TIME_DIGITS], &id[id.len() - RANDOM_DIGITS..])
}

/// How long ago a name was made, if it is one of ours and not just like one.
pub(crate) fn age(name: &str) -> Option<Duration> {
    let (time, random) = name.strip_prefix(PREFIX)?.split_once('_')?;
    let is_hexadecimal =
        |text: &str, length| text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hexadecimal(time, TIME_DIGITS) || !is_hexadecimal(random, RANDOM_DIGITS) {
        return None;
    }
    let made_at = u64::from_str_radix(time, 16).ok()?;
    let (high, _) = new_id().as_u64_pair();
    Some(Duration::from_millis((high >> 16).saturating_sub(made_at)))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a name that no other test has, with its age; no test depends on it"
)]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_age_and_others_have_none() {
        assert!(age(&unique()).is_some_and(|age| age < Duration::from_secs(60)));
        assert!(age("orchestratum_test_0000000003e8_0000abcd").is_some_and(|age| age > Duration::from_secs(3_600)));
        for other in [
            "orchestratum",
            "orchestratum_test_of_a_user",
            "orchestratum_test_0000000003e8_0000abcd2",
            "orchestratum_test_00000000+3e8_0000abcd",
        ] {
            assert_eq!(age(other), None, "{other}");
        }
    }
}
