use orchestratum_core::gitlab::{BranchName, CommitId, StepId};
use orchestratum_core::task::CreateBranchInput;
use orchestratum_core::{JsonText, SagaId};
use orchestratum_gitlab::{Branch, NewBranch, Problem};
use serde::Serialize;

use super::{Call, Failure};

#[derive(Serialize)]
struct Output<'a> {
    branch: &'a BranchName,
    /// Where it stands.
    commit: &'a CommitId,
    /// It may have been there before: nothing takes it away again.
    existing: bool,
}

/// A branch carries no mark. So one that is there is ours only where its name says so, or where this very attempt has seen that it was
/// not there.
pub(super) async fn run(call: &Call<'_>) -> Result<JsonText, Failure> {
    let input = CreateBranchInput::read(call.input())?;
    let step = call.step(input.step.as_ref())?;
    let is_own_name = is_of_step(&input.branch, &step.id);
    match call.client.get_branch(&input.project, &input.branch).await {
        Ok(there) => return output(&input.branch, &there, !is_own_name),
        Err(error) if matches!(error.problem(), Problem::NotFound(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let new = NewBranch {
        name: input.branch.clone(),
        from: input.from,
        is_own_name,
        begun_before: false,
    };
    let made = call.changing().create_branch(&input.project, &new).await?;
    output(&input.branch, made.as_inner(), !made.is_ours())
}

/// Whether a part of its name is the id of a task or a saga that the step names: nobody else makes a branch of such a name.
fn is_of_step(branch: &BranchName, step: &StepId) -> bool {
    let is_in_step = |part: &str| step.as_str().split(['/', ':']).any(|named| named == part);
    let mut parts = branch.as_str().split('/');
    parts.any(|part| part.parse::<SagaId>().is_ok() && is_in_step(part))
}

fn output(name: &BranchName, branch: &Branch, existing: bool) -> Result<JsonText, Failure> {
    let output = Output {
        branch: name,
        commit: &branch.commit.id,
        existing,
    };
    Ok(JsonText::of(&output)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_is_ours_by_the_whole_id_of_a_task_or_a_saga_alone() {
        const ID: &str = "0198c0de-0000-7000-8000-000000000001";
        let is_of_step = |branch: &str, step: &str| {
            let (branch, step) = (BranchName::new(branch), StepId::new(step));
            is_of_step(&branch.expect("a branch"), &step.expect("a step"))
        };
        assert!(is_of_step(ID, ID));
        assert!(is_of_step(&format!("calculations/{ID}/work"), &format!("{ID}/branch")));
        assert!(is_of_step(&format!("saga/{ID}"), &format!("{ID}:2")));
        assert!(!is_of_step("issue/12", "1"));
        assert!(!is_of_step("issue/1", "1"));
        assert!(!is_of_step("saga-7/work", "saga-7"));
        assert!(!is_of_step(&format!("{ID}2"), ID));
        assert!(!is_of_step(ID, "0198c0de-0000-7000-8000-000000000002"));
    }
}
