use orchestratum_core::gitlab::CommitId;
use serde::Serialize;

/// A branch is not where the caller thinks: somebody else was there.
#[derive(Debug, Serialize)]
pub(super) struct Drift {
    expected: CommitId,
    found: CommitId,
}

impl Drift {
    pub(super) fn between(expected: Option<&CommitId>, found: &CommitId) -> Option<Self> {
        let expected = expected.filter(|expected| *expected != found)?;
        Some(Self {
            expected: expected.clone(),
            found: found.clone(),
        })
    }
}
