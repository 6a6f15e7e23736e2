use orchestratum_core::JsonText;
use orchestratum_core::gitlab::{CommitId, Reference};
use orchestratum_core::task::FileExistsInput;
use orchestratum_gitlab::FileLook;
use serde::Serialize;

use super::drift::Drift;
use super::{Call, Failure};

#[derive(Serialize)]
struct Output {
    exists: bool,
    /// Where the branch stood.
    commit: CommitId,
    drift: Option<Drift>,
    #[serde(flatten)]
    file: Option<File>,
}

#[derive(Serialize)]
struct File {
    last_commit: CommitId,
    size: u64,
    sha256: String,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let FileExistsInput {
        project,
        path,
        branch,
        expected_commit,
    } = FileExistsInput::read(call.input())?;
    let look = call
        .client
        .get_file_state(&project, &path, &Reference::Branch(branch))
        .await?;
    let commit = look.commit().clone();
    let file = match look {
        FileLook::There(state) => Some(File {
            last_commit: state.last_commit,
            size: state.size,
            sha256: state.content_sha256,
        }),
        FileLook::Absent { .. } => None,
    };
    let output = Output {
        exists: file.is_some(),
        drift: Drift::between(expected_commit.as_ref(), &commit),
        commit,
        file,
    };
    Ok(JsonText::of(&output)?)
}
