//! Names that a message broker knows: of queues, exchanges and what is like them.

use super::fields::Fields;

/// A short string of AMQP.
const NAME_MAX_BYTES: usize = 255;

pub(super) fn required(fields: &mut Fields<'_>, field: &'static str) -> String {
    let name = fields.required_text_if_present(field);
    checked(fields, field, name, 1).unwrap_or_default()
}

/// One that may be left out, of so many bytes at least.
pub(super) fn optional(fields: &mut Fields<'_>, field: &'static str, at_least: usize) -> Option<String> {
    let name = fields.text(field);
    checked(fields, field, name, at_least)
}

fn checked(fields: &mut Fields<'_>, field: &'static str, name: Option<String>, at_least: usize) -> Option<String> {
    let name = name?;
    let fits = (at_least..=NAME_MAX_BYTES).contains(&name.len()) && !name.contains(char::is_control);
    if !fits {
        let size = match at_least {
            0 => format!("at most {NAME_MAX_BYTES}"),
            _ => format!("{at_least} to {NAME_MAX_BYTES}"),
        };
        fields.refuse(field, &format!("must have {size} bytes, and no control character"));
    }
    fits.then_some(name)
}
