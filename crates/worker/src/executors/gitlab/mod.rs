//! `gitlab.…`: reads and changes in GitLab, one file a task.
//!
//! ```text
//!   input ──checked again──► task ──► Client ──► GitLab
//!                              │        └── looks for what a lost answer may have made
//!   output ◄── what is there ◄─┘            made by the same step before: found, and not made again
//! ```
//!
//! What is made carries the id of its step: the task's own, or one that the caller gives, so that another task of the same step finds
//! it, too. Whoever thinks that a branch stands at a commit is told where it stands; what comes of that is for them to say.

mod call;
mod close_merge_request;
mod commit;
mod create_branch;
mod create_merge_request;
mod delete_branch;
mod drift;
mod failure;
mod file_exists;
mod get_file;
mod list_issues;
mod revert_commit;

use std::fmt;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, GitlabTask};
use orchestratum_gitlab::Client;
use orchestratum_store::{ClaimedTask, Evidence};

use self::call::Call;
use self::failure::Failure;
use super::{Context, Ended, Executor, Phase};

pub(crate) struct Gitlab {
    task: GitlabTask,
    client: Client,
}

impl fmt::Debug for Gitlab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gitlab")
            .field("task", &self.task)
            .finish_non_exhaustive()
    }
}

impl Gitlab {
    pub(crate) fn new(task: GitlabTask, client: Client) -> Self {
        Self { task, client }
    }

    async fn perform(&self, call: &Call<'_>) -> Result<JsonText, Failure> {
        match self.task {
            GitlabTask::CloseMergeRequest => close_merge_request::run(call).await,
            GitlabTask::Commit => commit::run(call).await,
            GitlabTask::CreateBranch => create_branch::run(call).await,
            GitlabTask::CreateMergeRequest => create_merge_request::run(call).await,
            GitlabTask::DeleteBranch => delete_branch::run(call).await,
            GitlabTask::FileExists => file_exists::run(call).await,
            GitlabTask::GetFile => get_file::run(call).await,
            GitlabTask::ListIssues => list_issues::run(call).await,
            GitlabTask::RevertCommit => revert_commit::run(call).await,
        }
    }

    fn ended(&self, result: Result<JsonText, Failure>) -> Ended {
        match result {
            Ok(output) => Ended {
                ending: Ending::Success,
                evidence: Evidence {
                    output: Some(output),
                    ..Evidence::default()
                },
                interrupted: false,
            },
            Err(failure) => failure.ended(BuiltIn::Gitlab(self.task)),
        }
    }
}

#[async_trait]
impl Executor for Gitlab {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let call = Call::new(&self.client, task);
        let to_be_stopped = async {
            context.reached(Phase::Terminate).await;
            if call.is_changing() {
                context.reached(Phase::Kill).await;
            }
        };
        tokio::select! {
            biased;
            result = self.perform(&call) => self.ended(result),
            () = to_be_stopped => Ended::stopped("GitLab had not answered, and may have done it"),
        }
    }
}
