use super::checked_text;
use super::rules::Rule;

/// The key of the trailer of commits, and the word of the mark in descriptions, by which what a step has made is found again.
pub const STEP_TRAILER: &str = "Orchestratum-Step";

checked_text!(
    /// One step of one saga, or one run of one task: the same for every attempt at it, and for nothing else.
    StepId,
    "step",
    check
);

fn check(text: &str) -> Result<(), Rule> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if (1..=200).contains(&text.len()) && text.bytes().all(is_plain) && !text.contains("--") {
        Ok(())
    } else {
        // Two dashes could end the comment that a mark is in.
        Err("must have 1 to 200 letters, digits, or `_`, `-`, `.`, `:`, `/`, and no `--`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_cannot_leave_its_trailer() {
        for text in ["", "a\nb", "a b", "a-->b", &"a".repeat(201)] {
            assert!(StepId::new(text).is_err(), "{text}");
        }
    }
}
