//! Who makes something: the marks by which it is found again.

use crate::names::checked_text;

/// The key of the trailer of commits, and the word of the mark in descriptions.
pub(crate) const TRAILER: &str = "Orchestratum-Step";

checked_text!(
    /// One step of one saga, or one run of one task: the same for every attempt at it, and for nothing else.
    StepId,
    "step",
    check
);

fn check(text: &str) -> Result<(), &'static str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.:/".contains(&byte);
    if (1..=200).contains(&text.len()) && text.bytes().all(is_plain) && !text.contains("--") {
        Ok(())
    } else {
        // Two dashes could end the comment that a mark is in.
        Err("must have 1 to 200 letters, digits, or `_`, `-`, `.`, `:`, `/`, and no `--`")
    }
}

/// An attempt at a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub id: StepId,
    /// An attempt whose end is not known may have made it: it is looked for before anything is sent.
    pub begun_before: bool,
}

impl Step {
    /// The first attempt.
    pub fn first(id: StepId) -> Self {
        Self {
            id,
            begun_before: false,
        }
    }

    /// One after an attempt whose end is not known.
    pub fn again(id: StepId) -> Self {
        Self { id, begun_before: true }
    }
}

impl StepId {
    /// The message with the trailer in a paragraph of its own.
    pub(crate) fn sign(&self, message: &str) -> String {
        format!("{}\n\n{TRAILER}: {self}\n", message.trim_end())
    }

    /// Whether it has made a commit with this message. Only the last paragraph has trailers: what a message quotes is no mark.
    pub(crate) fn has_signed(&self, message: &str) -> bool {
        let message = message.trim_end();
        let last = message.rsplit_once("\n\n").map_or(message, |(_, last)| last);
        let is_ours = |line: &str| {
            line.split_once(':')
                .is_some_and(|(key, value)| key == TRAILER && value.trim() == self.as_str())
        };
        last.lines().any(is_ours)
    }

    /// The description with a mark that is not shown.
    pub(crate) fn mark(&self, description: &str) -> String {
        let mark = format!("<!-- {TRAILER}: {self} -->");
        let description = description.trim_end();
        if description.is_empty() {
            mark
        } else {
            format!("{description}\n\n{mark}")
        }
    }

    pub(crate) fn has_marked(&self, description: &str) -> bool {
        description.contains(&format!("<!-- {TRAILER}: {self} -->"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> StepId {
        StepId::new(text).expect("a step")
    }

    #[test]
    fn a_signed_message_is_known_by_its_own_step_alone() {
        let message = step("saga:1").sign("Add a file\n\nbecause\n");
        assert_eq!(message, "Add a file\n\nbecause\n\nOrchestratum-Step: saga:1\n");
        assert!(step("saga:1").has_signed(&message));
        assert!(!step("saga:11").has_signed(&message));
        assert!(!step("saga").has_signed(&message));
    }

    #[test]
    fn a_trailer_that_a_message_quotes_is_none() {
        assert!(!step("1").has_signed("Tell of a commit\n\nOrchestratum-Step: 1\n\nwas there"));
        assert!(!step("1").has_signed("Orchestratum-Step: 1\n\nabout"));
    }

    #[test]
    fn a_mark_in_a_description_is_known_by_its_own_step_alone() {
        let marked = step("saga:1").mark("Please merge");
        assert!(step("saga:1").has_marked(&marked) && !step("saga").has_marked(&marked));
        assert_eq!(step("1").mark(" "), "<!-- Orchestratum-Step: 1 -->");
    }

    #[test]
    fn an_id_cannot_leave_its_trailer() {
        for text in ["", "a\nb", "a b", "a-->b", &"a".repeat(201)] {
            assert!(StepId::new(text).is_err(), "{text}");
        }
    }
}
