use orchestratum_core::gitlab::{CommitId, FilePath};
use serde::Serialize;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::Expected;

/// What a commit does to one file.
///
/// Each says what it begins from, so that GitLab refuses it when that is not so any more. That is also what keeps a request that
/// GitLab still works on, after its answer was given up, from being carried out a second time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The file must not be there.
    Create {
        path: FilePath,
        content: Vec<u8>,
    },
    /// The last commit that changed the file must be this one.
    Update {
        path: FilePath,
        content: Vec<u8>,
        last_commit: CommitId,
    },
    Delete {
        path: FilePath,
        last_commit: CommitId,
    },
    /// With its content.
    Move {
        from: FilePath,
        to: FilePath,
        last_commit: CommitId,
    },
}

/// As GitLab reads it.
#[derive(Debug, Serialize)]
pub(crate) struct Action<'a> {
    #[serde(rename = "action")]
    kind: &'static str,
    file_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_path: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_commit_id: Option<&'a str>,
}

impl Change {
    pub(crate) fn content_bytes(&self) -> usize {
        match self {
            Self::Create { content, .. } | Self::Update { content, .. } => content.len(),
            Self::Delete { .. } | Self::Move { .. } => 0,
        }
    }

    /// What must be so for GitLab to take it.
    pub(crate) fn conditions(&self) -> Vec<(&FilePath, Expected)> {
        let at = |commit: &CommitId| Expected::LastChangedBy(commit.clone());
        match self {
            Self::Create { path, .. } => vec![(path, Expected::Absent)],
            Self::Update { path, last_commit, .. } | Self::Delete { path, last_commit } => {
                vec![(path, at(last_commit))]
            }
            Self::Move { from, to, last_commit } => vec![(from, at(last_commit)), (to, Expected::Absent)],
        }
    }

    pub(crate) fn as_action(&self) -> Action<'_> {
        match self {
            Self::Create { path, content } => Action::of("create", path, None).with(content),
            Self::Update {
                path,
                content,
                last_commit,
            } => Action::of("update", path, Some(last_commit)).with(content),
            Self::Delete { path, last_commit } => Action::of("delete", path, Some(last_commit)),
            Self::Move { from, to, last_commit } => Action {
                previous_path: Some(from.as_str()),
                ..Action::of("move", to, Some(last_commit))
            },
        }
    }
}

impl<'a> Action<'a> {
    fn of(kind: &'static str, path: &'a FilePath, last_commit: Option<&'a CommitId>) -> Self {
        Self {
            kind,
            file_path: path.as_str(),
            previous_path: None,
            content: None,
            encoding: None,
            last_commit_id: last_commit.map(CommitId::as_str),
        }
    }

    /// Any bytes survive base64.
    fn with(self, content: &[u8]) -> Self {
        Self {
            content: Some(STANDARD.encode(content)),
            encoding: Some("base64"),
            ..self
        }
    }
}
