//! What comes after a success, such that it can be listed: a report with a list that breaks a rule would be refused, and with it
//! the success.

use orchestratum_core::task::{FollowUps, SpecLimits, Violations, stand_in};
use orchestratum_core::{JsonText, Timestamp};

use crate::entry::Entry;

/// Something that was to come, and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl Missing {
    /// Of something of which it is not known what it was.
    pub(crate) fn unnamed(reason: String) -> Self {
        Self {
            name: String::new(),
            reason,
        }
    }
}

/// The entries as a list that keeps all rules, what is missing among them; and that again, to be told.
///
/// One that breaks a rule by itself is missing. Where they break a bound of the whole together, it is the last that are.
pub(crate) fn listed(entries: Vec<Entry>, mut missing: Vec<Missing>) -> (Vec<JsonText>, Vec<Missing>) {
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        match entry.json() {
            Ok(json) => named.push((entry.name(), json)),
            Err(reason) => missing.push(Missing {
                name: entry.name().to_owned(),
                reason,
            }),
        }
    }
    let whole = with(&named, &missing);
    // As it nearly always is.
    if check(&whole).is_ok() {
        return (whole, missing);
    }
    named.retain(|(name, json)| match check(std::slice::from_ref(json)) {
        Ok(()) => true,
        Err(broken) => {
            missing.push(Missing {
                name: (*name).to_owned(),
                reason: in_words(&broken),
            });
            false
        }
    });
    let whole = with(&named, &missing);
    match check(&whole) {
        Ok(()) => (whole, missing),
        Err(broken) => first_of(&named, missing, &broken),
    }
}

/// As many as there is room for beside what tells of the others.
fn first_of(
    named: &[(&str, JsonText)],
    mut missing: Vec<Missing>,
    broken: &Violations,
) -> (Vec<JsonText>, Vec<Missing>) {
    let reason = |left_out: usize| Missing::unnamed(format!("the last {left_out} of them: {}", in_words(broken)));
    let first = |count: usize| {
        let mut missing = missing.clone();
        missing.push(reason(named.len() - count));
        with(&named[..count], &missing)
    };
    // More than fit begin here.
    let (mut fits, mut breaks) = (0, named.len());
    while breaks - fits > 1 {
        let middle = usize::midpoint(fits, breaks);
        if check(&first(middle)).is_ok() {
            fits = middle;
        } else {
            breaks = middle;
        }
    }
    let list = first(fits);
    missing.push(reason(named.len() - fits));
    if check(&list).is_ok() {
        return (list, missing);
    }
    // Even what tells of them is too much.
    let together = Missing::unnamed(format!(
        "all {} of them: {}",
        missing.len() - 1 + named.len(),
        in_words(broken)
    ));
    (with(&[], std::slice::from_ref(&together)), vec![together])
}

fn with(named: &[(&str, JsonText)], missing: &[Missing]) -> Vec<JsonText> {
    let entries = named.iter().map(|(_, json)| json.clone());
    let stand_ins = missing.iter().map(|missing| stand_in(&missing.name, &missing.reason));
    entries.chain(stand_ins).collect()
}

fn check(list: &[JsonText]) -> Result<(), Violations> {
    let limits = SpecLimits {
        max_timeout: SpecLimits::default().max_ttl,
        ..SpecLimits::default()
    };
    FollowUps::on_success(list.to_vec()).check("", &limits, Timestamp::EPOCH)
}

fn in_words(broken: &Violations) -> String {
    let rules: Vec<String> = broken.0.iter().take(3).map(ToString::to_string).collect();
    rules.join("; ")
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::chain::Next;
    use crate::{Chain, Command, CommandId, Definition};

    #[derive(Serialize, Deserialize)]
    struct Note {
        text: String,
    }

    impl Definition for Note {
        type Output = ();
        const NAME: &'static str = "note";
    }

    impl Chain for Note {}

    fn listed_of(notes: impl IntoIterator<Item = (String, &'static str)>) -> (Vec<JsonText>, Vec<Missing>) {
        let mut next = Next::after_success(CommandId::from(uuid::Uuid::nil()));
        for (text, target) in notes {
            next.push(Note { text }.to(target));
        }
        let (entries, missing) = next.into_parts();
        let (list, missing) = listed(entries, missing);
        assert!(check(&list).is_ok(), "whatever it is made of");
        (list, missing)
    }

    #[test]
    fn a_list_within_all_bounds_stays_as_it_is() {
        let (list, missing) = listed_of((0..1_000).map(|number| (number.to_string(), "here")));
        assert_eq!((list.len(), missing.len()), (1_000, 0));
    }

    #[test]
    fn what_is_beyond_a_bound_of_the_whole_is_missing_and_counted() {
        for (count, bytes, fit) in [(1_001, 1, 998), (1_500, 1, 998), (3, 500_000, 2), (1, 2_000_000, 0)] {
            let (list, missing) = listed_of((0..count).map(|_| ("x".repeat(bytes), "here")));
            let stand_ins = missing.len();
            assert_eq!(list.len() - stand_ins, fit, "{count} of {bytes}: {missing:?}");
        }
    }

    #[test]
    fn as_much_may_be_wrong_as_there_is_and_what_is_right_stays() {
        let (list, missing) = listed_of((0..900).map(|number| {
            let target = if number % 2 == 0 { "here" } else { "no target" };
            (number.to_string(), target)
        }));
        assert_eq!((list.len(), missing.len()), (900, 450));
        assert!(
            missing
                .iter()
                .all(|missing| missing.name == "note" && missing.reason.contains("target"))
        );
    }
}
