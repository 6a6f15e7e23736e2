use super::given;
use crate::JsonText;
use crate::gitlab::{CommitId, FilePath, ProjectPath, Reference};
use crate::saga::schema_faults;
use crate::task::built_in::fields::Fields;
use crate::task::rules::Violations;

/// What `gitlab.get_file` takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetFileInput {
    pub project: ProjectPath,
    pub path: FilePath,
    pub reference: Reference,
    pub expected_commit: Option<CommitId>,
    pub format: FileFormat,
    /// A JSON Schema that the file must meet. Only of [`FileFormat::Json`].
    pub schema: Option<JsonText>,
    pub on_fault: OnFault,
}

/// What becomes of a file that is not there, or not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFault {
    Fail,
    /// The output says so.
    Tell,
}

/// As what a file is handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    Text,
    Json,
    Base64,
}

impl GetFileInput {
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn read(input: &str) -> Result<Self, Violations> {
        const FIELDS: &[&str] = &[
            "project",
            "path",
            "branch",
            "commit",
            "expected_commit",
            "format",
            "schema",
            "on_fault",
        ];
        let mut fields = Fields::of(input, &[FIELDS]);
        let project = given::required(&mut fields, "project");
        let path = given::required(&mut fields, "path");
        let reference = reference(&mut fields);
        let expected_commit = given::expected_commit(&mut fields);
        if expected_commit.is_some() && matches!(reference, Some(Reference::Commit(_))) {
            fields.refuse("expected_commit", "must be left out where there is a commit");
        }
        let format = format(&mut fields);
        let schema = schema(&mut fields, format);
        let on_fault = on_fault(&mut fields);
        let (Some(project), Some(path), Some(reference)) = (project, path, reference) else {
            return Err(fields.broken());
        };
        fields.finish(Self {
            project,
            path,
            reference,
            expected_commit,
            format,
            schema,
            on_fault,
        })
    }
}

/// A branch or a commit.
fn reference(fields: &mut Fields<'_>) -> Option<Reference> {
    match (fields.is_absent("branch"), fields.is_absent("commit")) {
        (true, true) => {
            fields.lack("must have a branch or a commit");
            None
        }
        (false, true) => given::optional(fields, "branch").map(Reference::Branch),
        (true, false) => given::optional(fields, "commit").map(Reference::Commit),
        (false, false) => {
            fields.refuse("commit", "must be left out where there is a branch");
            None
        }
    }
}

fn format(fields: &mut Fields<'_>) -> FileFormat {
    match fields.text("format").as_deref() {
        None | Some("text") => FileFormat::Text,
        Some("json") => FileFormat::Json,
        Some("base64") => FileFormat::Base64,
        Some(_) => {
            fields.refuse("format", "must be text, json or base64");
            FileFormat::Text
        }
    }
}

fn on_fault(fields: &mut Fields<'_>) -> OnFault {
    match fields.text("on_fault").as_deref() {
        None | Some("fail") => OnFault::Fail,
        Some("tell") => OnFault::Tell,
        Some(_) => {
            fields.refuse("on_fault", "must be fail or tell");
            OnFault::Fail
        }
    }
}

fn schema(fields: &mut Fields<'_>, format: FileFormat) -> Option<JsonText> {
    const FIELD: &str = "schema";
    let schema = fields.raw_object(FIELD)?;
    if format != FileFormat::Json {
        fields.refuse(FIELD, "must be left out unless the format is json");
    }
    for fault in schema_faults(&schema).0 {
        fields.refuse_below(FIELD, &fault.pointer, &fault.message);
    }
    Some(schema)
}
