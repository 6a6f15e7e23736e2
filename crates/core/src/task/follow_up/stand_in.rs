//! What stands in a list for a follow-up that cannot be listed.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::JsonText;
use crate::expression::NAME_SHOWN;
use crate::identity::TaskName;

/// What is called so where the name is not known, or is none.
const NAMELESS: &str = "missing";

/// An entry in the place of one that cannot be written, for whoever reports an end that must stand: an expression without a
/// value, so that it is recorded as missing with the reason, by the same transaction as others that have none.
pub fn stand_in(name: &str, reason: &str) -> JsonText {
    // It is told as the name of a field that is not there: more of it would not be shown.
    let reason: String = reason.chars().take(NAME_SHOWN).map(plain).collect();
    let name = TaskName::new(name).map_or_else(|_| NAMELESS.to_owned(), |name| name.to_string());
    // As its input, which is not looked at before there is a value: some names want one of a certain form. Of something small:
    // what a map is made of is copied.
    let entry = json!({"name": name, "input": format!("{BEGIN}{reason}{END}")});
    JsonText::trusted(entry.to_string())
}

const BEGIN: &str = "${ {'of': task.id}['";
const END: &str = "'] }";

/// The reason, of an entry that is such.
pub(super) fn reason(entry: &JsonText) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct StandIn<'a> {
        #[serde(rename = "name")]
        _name: IgnoredAny,
        #[serde(borrow)]
        input: Cow<'a, str>,
    }
    let StandIn { input, .. } = serde_json::from_str(entry.as_str()).ok()?;
    let reason = input.strip_prefix(BEGIN)?.strip_suffix(END)?;
    // Whoever wrote one that only begins and ends so has an expression of their own.
    reason
        .chars()
        .all(|letter| letter == plain(letter))
        .then(|| reason.to_owned())
}

/// As it can stand in a text of an expression.
fn plain(letter: char) -> char {
    match letter {
        '\'' | '"' | '`' => '’',
        '\\' => '/',
        letter if letter.is_control() => ' ',
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::{FollowUps, SpecLimits};
    use crate::time::Timestamp;

    #[test]
    fn it_is_an_entry_that_a_task_may_list_whatever_the_name_and_the_reason_say() {
        let reason = "it said: 'a' \"b\" \\ ${ x } } \n\0 é".repeat(100);
        for name in ["send_email", "python", "http", "", "no name"] {
            let list = FollowUps::on_success(vec![stand_in(name, &reason)]);
            let checked = list.check("", &SpecLimits::default(), Timestamp::EPOCH);
            assert!(checked.is_ok(), "{name}: {checked:?}");
        }
    }

    #[test]
    fn its_reason_is_read_again_and_that_of_nothing_else() {
        assert_eq!(super::reason(&stand_in("mail", "a 'b'")).as_deref(), Some("a ’b’"));
        for other in [
            r#"{"name": "mail"}"#,
            r#"{"name": "mail", "input": 5}"#,
            r#"{"name": "mail", "input": "${ {'of': task.id}[output.to] }"}"#,
            r#"{"name": "mail", "input": "${ {'of': task.id}['a'] + ['b'] }"}"#,
            r#"{"name": "mail", "target": "here", "input": "${ {'of': task.id}['a'] }"}"#,
        ] {
            assert_eq!(super::reason(&JsonText::trusted(other)), None, "{other}");
        }
    }
}
