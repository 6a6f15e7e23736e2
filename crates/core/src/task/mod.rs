//! The task: what was asked for ([`TaskSpec`]), what happens to it ([`TaskEvent`]), and the one function that decides
//! what that does ([`transition`]).

mod built_in;
mod conditions;
mod error_code;
mod event;
mod follow_up;
mod group;
mod life;
mod limits;
#[cfg(feature = "mutants")]
pub mod mutant;
mod patch;
mod progress;
mod retry;
mod rules;
mod spec;
mod status;
mod transition;

pub use built_in::{
    AmqpBody, AmqpInput, AmqpReply, BuiltIn, CSharpInput, CeleryInput, CloseMergeRequestInput, CommitInput,
    CreateBranchInput, CreateMergeRequestInput, DeleteBranchInput, ExpectedStatuses, FileExistsInput, FileFormat,
    FileText, GetFileInput, GitlabTask, HttpBody, HttpInput, HttpMethod, InvalidUrl, Invocation, ListIssuesInput,
    OnFault, PythonInput, RevertCommitInput, ShellInput, TakenBack, check_url,
};
pub use conditions::{
    Bucket, CONCURRENCY_MAX, Concurrency, ConcurrencyDraft, Conditions, ConditionsDraft, KEY_MAX_CHARACTERS, RATE_MAX,
    Rate, RateDraft, TargetRate, Unique, UniqueDraft,
};
pub use error_code::{ErrorCode, InvalidErrorCode};
pub use event::{Ending, LifePatch, Report, TaskEvent};
pub use follow_up::{
    Due, Edge, FOLLOW_UPS_BYTES_MAX, FOLLOW_UPS_DEPTH_MAX, FOLLOW_UPS_MAX, FollowUpList, FollowUpPlace, FollowUps,
    FollowUpsOrFailure, ParentEnd, Unmade, stand_in,
};
pub(crate) use follow_up::{Entry, Rendered, check_entry, in_a_line};
pub use group::{
    GroupDraft, GroupEnd, GroupEnds, GroupLife, GroupPlace, GroupPolicy, GroupSpec, GroupStatus, MEMBERS_MAX,
    MemberEnd, Members,
};
pub use life::{TaskLife, TaskState};
pub use patch::{CheckedPatch, TaskPatch};
pub use progress::{InvalidProgress, Progress};
pub use retry::{Backoff, RetryPolicy};
pub use rules::{LABELS_MAX_COUNT, PRIORITY_MAX, RETRIES_MAX, Violation, Violations, json_pointer};
pub use spec::{Labels, SagaPlace, ScheduledBy, SpecLimits, TaskDraft, TaskSpec};
pub(crate) use status::coded;
pub use status::{AttemptOutcome, ErrorKind, TaskError, TaskStatus, UnknownWord};
pub use transition::{EndedAttempt, HANDED_BACK_FREELY, NOT_FOUND_MIN_WAIT, Refusal, Transition, transition};
