use orchestratum_core::JsonText;
use orchestratum_core::gitlab::CommitId;
use orchestratum_core::task::{RevertCommitInput, TakenBack};
use orchestratum_gitlab::{Conflict, Error, Problem, StepSearch};
use serde::Serialize;

use super::drift::Drift;
use super::{Call, Failure};

#[derive(Serialize)]
struct Output {
    reverted: bool,
    /// That which takes it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<CommitId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Upon which commit of others it was made, or because of which it was not.
    drift: Option<Drift>,
}

pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = RevertCommitInput::read(call.input())?;
    if input.existing {
        return kept("the files were there before", None);
    }
    let RevertCommitInput {
        project,
        branch,
        expected_commit,
        since,
        ..
    } = &input;
    let commit = match &input.taken_back {
        TakenBack::Commit(commit) => commit.clone(),
        TakenBack::OfStep(step) => match call.client.search_step(project, branch, step, None).await? {
            Some(StepSearch { made: Some(made), .. }) => made.id,
            Some(_) => return kept("the step has made none", None),
            None if is_branch_gone(call, &input).await? => return kept("the branch is gone", None),
            None => return Err(Failure::Moved),
        },
    };
    // Another task of the same compensation may have done it.
    let changing = call.changing();
    match changing
        .revert_commit(project, branch, &commit, since.as_ref(), true)
        .await
    {
        Ok(made) => {
            let made = made.into_inner();
            let parent = made.parent_ids.first();
            let output = Output {
                reverted: true,
                reason: None,
                drift: parent.and_then(|parent| Drift::between(expected_commit.as_ref(), parent)),
                commit: Some(made.id),
            };
            Ok(JsonText::of(&output)?)
        }
        Err(error) if is_missing(&error) && is_branch_gone(call, &input).await? => kept("the branch is gone", None),
        Err(error) => match error.problem() {
            Problem::NothingToRevert(reason) => kept(reason, None),
            Problem::Conflict(Conflict::Revert(_)) => match moved(call, &input, &commit).await? {
                Some(drift) => kept("others have changed its files since", Some(drift)),
                None => Err(error.into()),
            },
            _ => Err(error.into()),
        },
    }
}

fn kept(reason: &'static str, drift: Option<Drift>) -> Result<JsonText, Failure> {
    let output = Output {
        reverted: false,
        commit: None,
        reason: Some(reason),
        drift,
    };
    Ok(JsonText::of(&output)?)
}

/// Where the branch stands instead of where it was expected. What a step has made is expected where it was made, unless the caller
/// says otherwise; of another commit nobody says that others may have changed its files.
async fn moved(call: &Call<'_>, input: &RevertCommitInput, commit: &CommitId) -> Result<Option<Drift>, Failure> {
    let expected = match (&input.expected_commit, &input.taken_back) {
        (Some(expected), _) => expected,
        (None, TakenBack::OfStep(_)) => commit,
        (None, TakenBack::Commit(_)) => return Ok(None),
    };
    let branch = call.client.get_branch(&input.project, &input.branch).await?;
    Ok(Drift::between(Some(expected), &branch.commit.id))
}

fn is_missing(error: &Error) -> bool {
    matches!(error.problem(), Problem::NotFound(_))
}

/// And not the project with it, or the right to see it.
async fn is_branch_gone(call: &Call<'_>, input: &RevertCommitInput) -> Result<bool, Failure> {
    call.client.get_project(&input.project).await?;
    match call.client.get_branch(&input.project, &input.branch).await {
        Ok(_) => Ok(false),
        Err(error) if is_missing(&error) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
