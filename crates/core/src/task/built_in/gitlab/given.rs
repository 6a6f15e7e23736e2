//! What the inputs of several tasks have alike.

use std::str::FromStr;

use crate::gitlab::{CommitId, InvalidName, Reference};
use crate::task::built_in::fields::Fields;

pub(super) fn required<T: FromStr<Err = InvalidName>>(fields: &mut Fields<'_>, field: &'static str) -> Option<T> {
    let text = fields.required_text_if_present(field)?;
    checked(fields, field, T::from_str(&text))
}

/// One that may be left out.
pub(super) fn optional<T: FromStr<Err = InvalidName>>(fields: &mut Fields<'_>, field: &'static str) -> Option<T> {
    let text = fields.text(field)?;
    checked(fields, field, T::from_str(&text))
}

/// The name of a branch, or the id of a commit.
pub(super) fn reference(fields: &mut Fields<'_>, field: &'static str) -> Option<Reference> {
    let text = fields.required_text_if_present(field)?;
    checked(fields, field, Reference::new(text))
}

/// Notes the rule that a name breaks, without the name.
pub(super) fn checked<T>(fields: &mut Fields<'_>, field: &'static str, name: Result<T, InvalidName>) -> Option<T> {
    if let Err(invalid) = &name {
        fields.refuse(field, invalid.rule);
    }
    name.ok()
}

/// Where the caller thinks that the branch stands.
pub(super) fn expected_commit(fields: &mut Fields<'_>) -> Option<CommitId> {
    optional(fields, "expected_commit")
}

/// The number of an issue or a merge request in its project.
pub(super) fn number(fields: &mut Fields<'_>, field: &'static str) -> Option<u64> {
    let value = fields.value(field)?;
    let number = serde_json::from_str::<u64>(value.get())
        .ok()
        .filter(|number| *number > 0);
    if number.is_none() {
        fields.refuse(field, "must be a whole number above 0");
    }
    number
}

pub(super) fn required_number(fields: &mut Fields<'_>, field: &'static str) -> Option<u64> {
    if fields.is_absent(field) {
        fields.lack_field(field);
        return None;
    }
    number(fields, field)
}
