use orchestratum_core::JsonText;
use orchestratum_core::task::DeleteBranchInput;
use orchestratum_gitlab::{BranchDeletion, Conflict, Problem};
use serde::Serialize;

use super::{Call, Failure};

#[derive(Serialize)]
struct Output {
    deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = DeleteBranchInput::read(call.input())?;
    if input.existing {
        return kept("it was there before");
    }
    let deleted = call
        .changing()
        .delete_branch(&input.project, &input.branch, Some(&input.only_at))
        .await;
    match deleted {
        Ok(BranchDeletion::Deleted) => Ok(JsonText::of(&Output {
            deleted: true,
            reason: None,
        })?),
        Ok(BranchDeletion::AlreadyGone) => kept("it is gone already"),
        Err(error) => match error.problem() {
            Problem::Conflict(conflict @ Conflict::Branch { .. }) => {
                kept(&format!("somebody has worked on it: {conflict}"))
            }
            _ => Err(error.into()),
        },
    }
}

fn kept(reason: &str) -> Result<JsonText, Failure> {
    let output = Output {
        deleted: false,
        reason: Some(reason.to_owned()),
    };
    Ok(JsonText::of(&output)?)
}
