use super::checked_text;
use super::rules::Rule;

const MAX_BYTES: usize = 255;

checked_text!(
    /// The name of a user, as after an `@`.
    Username,
    "user name",
    check
);

fn check(text: &str) -> Result<(), Rule> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(())
    } else {
        Err("must have 1 to 255 letters, digits, or `_`, `-`, `.`")
    }
}
