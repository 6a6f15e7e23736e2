use super::checked_text;
use super::step_id::STEP_TRAILER;

const MAX_BYTES: usize = 64 * 1024;

checked_text!(
    /// Of a commit, without the trailer that says which step made it.
    CommitMessage,
    "commit message",
    check
);

fn check(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() {
        return Err("must not be empty");
    }
    if text.len() > MAX_BYTES {
        return Err("must have at most 64 KiB");
    }
    if text.contains(|character: char| character.is_control() && !matches!(character, '\n' | '\t')) {
        return Err("must not have control characters other than line feeds and tabs");
    }
    // Who writes one makes a commit look like another step's.
    let is_trailer = |line: &str| {
        line.get(..STEP_TRAILER.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(STEP_TRAILER))
    };
    if text.lines().any(|line| is_trailer(line.trim_start())) {
        return Err("must not have a line that begins with `Orchestratum-Step`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_cannot_claim_to_be_of_a_step() {
        for text in [
            "a\n\nOrchestratum-Step: 1",
            "orchestratum-step:1",
            "a\n  ORCHESTRATUM-STEP : 1",
        ] {
            assert!(CommitMessage::new(text).is_err(), "{text}");
        }
        assert!(CommitMessage::new("Compute the condenser\n\n\tby Orchestratum-Step").is_ok());
    }
}
