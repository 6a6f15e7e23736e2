//! Who makes something: the marks by which it is found again.

use orchestratum_core::gitlab::{STEP_TRAILER, StepId};

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

/// The message with the trailer of a step in a paragraph of its own.
pub(crate) fn sign(step: &StepId, message: &str) -> String {
    format!("{}\n\n{STEP_TRAILER}: {step}\n", message.trim_end())
}

/// Whether the step has made a commit with this message. Only the last paragraph has trailers: what a message quotes is no mark.
pub(crate) fn has_signed(step: &StepId, message: &str) -> bool {
    signatures(message).any(|signature| signature == step.as_str())
}

/// Which step has made a commit with this message.
pub(crate) fn signed(message: &str) -> Option<StepId> {
    signatures(message).find_map(|signature| StepId::new(signature).ok())
}

fn signatures(message: &str) -> impl Iterator<Item = &str> {
    let message = message.trim_end();
    let last = message.rsplit_once("\n\n").map_or(message, |(_, last)| last);
    let trailers = last.lines().filter_map(|line| line.split_once(':'));
    trailers
        .filter(|(key, _)| *key == STEP_TRAILER)
        .map(|(_, value)| value.trim())
}

/// The description with a mark that is not shown.
pub(crate) fn mark(step: &StepId, description: &str) -> String {
    let mark = format!("<!-- {STEP_TRAILER}: {step} -->");
    let description = description.trim_end();
    if description.is_empty() {
        mark
    } else {
        format!("{description}\n\n{mark}")
    }
}

pub(crate) fn has_marked(step: &StepId, description: &str) -> bool {
    description.contains(&format!("<!-- {STEP_TRAILER}: {step} -->"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(text: &str) -> StepId {
        StepId::new(text).expect("a step")
    }

    #[test]
    fn a_signed_message_is_known_by_its_own_step_alone() {
        let message = sign(&step("saga:1"), "Add a file\n\nbecause\n");
        assert_eq!(message, "Add a file\n\nbecause\n\nOrchestratum-Step: saga:1\n");
        assert!(has_signed(&step("saga:1"), &message));
        assert!(!has_signed(&step("saga:11"), &message));
        assert!(!has_signed(&step("saga"), &message));
        assert_eq!(signed(&message), Some(step("saga:1")));
        assert_eq!(signed("Add a file\n\nbecause"), None);
    }

    #[test]
    fn a_trailer_that_a_message_quotes_is_none() {
        assert!(!has_signed(
            &step("1"),
            "Tell of a commit\n\nOrchestratum-Step: 1\n\nwas there"
        ));
        assert!(!has_signed(&step("1"), "Orchestratum-Step: 1\n\nabout"));
    }

    #[test]
    fn a_mark_in_a_description_is_known_by_its_own_step_alone() {
        let marked = mark(&step("saga:1"), "Please merge");
        assert!(has_marked(&step("saga:1"), &marked) && !has_marked(&step("saga"), &marked));
        assert_eq!(mark(&step("1"), " "), "<!-- Orchestratum-Step: 1 -->");
    }
}
