use super::checked_text;
use super::rules::Rule;

checked_text!(
    /// The whole hash of a commit.
    CommitId,
    "commit",
    check
);

fn check(text: &str) -> Result<(), Rule> {
    let is_hash = matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_hash {
        Ok(())
    } else {
        Err("must be the whole hash, in lower case")
    }
}
