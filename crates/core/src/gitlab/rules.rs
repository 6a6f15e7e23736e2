//! What holds for everything that stands in a path of a URL.

pub(super) type Rule = &'static str;

/// Segments between slashes, none of which leads elsewhere, and no character that means something in a URL or cannot be seen.
pub(super) fn check_path(text: &str, max_bytes: usize) -> Result<(), Rule> {
    if text.is_empty() {
        return Err("must not be empty");
    }
    if text.len() > max_bytes {
        return Err("is too long");
    }
    if text.contains('\0') {
        return Err("must not have a NUL");
    }
    if text.contains(char::is_control) {
        return Err("must not have a control character");
    }
    if text.contains(turns_text_around) {
        return Err("must not have a character that changes how text is shown");
    }
    if text.contains('\\') {
        return Err("must not have a backslash");
    }
    if text.contains(['?', '#']) {
        return Err("must not have a `?` or a `#`");
    }
    if is_percent_encoded(text) {
        return Err("must be given as it is, without percent-encoding");
    }
    if text.starts_with('/') {
        return Err("must not begin with a slash");
    }
    text.split('/').try_for_each(check_segment)
}

fn check_segment(segment: &str) -> Result<(), Rule> {
    match segment {
        "" => Err("must not have an empty segment"),
        "." | ".." => Err("must not have a segment `.` or `..`"),
        _ => Ok(()),
    }
}

/// Something further on might decode it once more than we encoded it.
fn is_percent_encoded(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes
        .windows(3)
        .any(|three| three[0] == b'%' && three[1].is_ascii_hexdigit() && three[2].is_ascii_hexdigit())
}

/// Line separators, marks of direction, and the mark of a byte order.
pub fn turns_text_around(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}
