use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::{given, pretty};
use crate::JsonText;
use crate::gitlab::{BranchName, CommitId, CommitMessage, FilePath, ProjectPath, StepId};
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// How many files one commit may change.
const FILES_MAX: usize = 100;

/// What `gitlab.commit` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInput {
    pub project: ProjectPath,
    pub branch: BranchName,
    /// The branch begins at this one, where it is not there yet.
    pub start_branch: Option<BranchName>,
    pub message: CommitMessage,
    pub files: BTreeMap<FilePath, FileText>,
    pub expected_commit: Option<CommitId>,
    pub step: Option<StepId>,
}

/// How a file is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileText {
    Plain(String),
    /// Written over several lines, with a line feed at the end.
    Json(JsonText),
}

impl FileText {
    /// `None` if it is larger than this.
    pub fn bytes(&self, most: usize) -> Option<Vec<u8>> {
        let text = match self {
            Self::Plain(text) => text.clone(),
            Self::Json(json) => pretty::printed(json.as_str(), most)?,
        };
        (text.len() <= most).then(|| text.into_bytes())
    }
}

impl CommitInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &[
            "project",
            "branch",
            "start_branch",
            "message",
            "files",
            "expected_commit",
            "step",
        ];
        let mut fields = Fields::of(input, &[FIELDS]);
        let project = given::required(&mut fields, "project");
        let branch = given::required(&mut fields, "branch");
        let start_branch = given::optional(&mut fields, "start_branch");
        let message = given::required(&mut fields, "message");
        let files = files(&mut fields);
        let expected_commit = given::expected_commit(&mut fields);
        let step = given::optional(&mut fields, "step");
        let (Some(project), Some(branch), Some(message)) = (project, branch, message) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            branch,
            start_branch,
            message,
            files,
            expected_commit,
            step,
        })
    }
}

fn files(fields: &mut Fields<'_>) -> BTreeMap<FilePath, FileText> {
    const FIELD: &str = "files";
    if fields.is_absent(FIELD) {
        fields.lack_field(FIELD);
    }
    let Some(entries) = fields.entries(FIELD, "an object of files by their paths", FILES_MAX) else {
        return BTreeMap::new();
    };
    if entries.is_empty() {
        fields.refuse(FIELD, "must have at least one file");
    }
    let mut files = BTreeMap::new();
    for (name, value) in entries {
        match (FilePath::new(name.as_str()), text(value)) {
            (Ok(path), Some(text)) => {
                files.insert(path, text);
            }
            (Err(invalid), _) => fields.refuse_entry(FIELD, &name, invalid.rule),
            // A field of something else that was not there, rather than a file that is to have it.
            (Ok(_), None) => fields.refuse_entry(FIELD, &name, "must be a text or JSON, not null"),
        }
    }
    files
}

fn text(value: &RawValue) -> Option<FileText> {
    if value.get() == "null" {
        return None;
    }
    let plain = serde_json::from_str(value.get()).map(FileText::Plain);
    Some(plain.unwrap_or_else(|_| FileText::Json(JsonText::trusted(value.get()))))
}
