use super::checked_text;

const MAX_CHARACTERS: usize = 255;

checked_text!(
    /// Of a merge request: one line.
    Title,
    "title",
    check
);

fn check(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("must not be empty");
    }
    if text.chars().count() > MAX_CHARACTERS {
        return Err("must have at most 255 characters");
    }
    if text.contains(char::is_control) {
        return Err("must be one line without control characters");
    }
    Ok(())
}
