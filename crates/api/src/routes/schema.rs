//! How types of the domain look in the OpenAPI document. The domain itself knows nothing of HTTP.

use serde_json::json;
use utoipa::ToSchema;
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Ref, RefOr};

use crate::extract::Whole;

/// Any JSON value, nested at most 64 levels.
#[derive(Debug)]
pub(crate) struct Anything;

impl utoipa::PartialSchema for Anything {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("Any JSON value, nested at most 64 levels."))
            .examples([json!({"numbers": [1, 2, 3]})])
            .into()
    }
}

impl ToSchema for Anything {}

/// Tasks that come after a task.
#[derive(Debug)]
pub(crate) struct FollowUps;

impl utoipa::PartialSchema for FollowUps {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(Ref::from_schema_name("NewTask"))
            .description(Some(
                "What a create takes, without `id`, nested up to 20 deep and 1,000 in all. Texts in `input`, `description`, \
                 `labels`, `target` and `delay_seconds` may hold expressions over `output`, `error`, `input` and `task` of the \
                 task before: `${ output.total }`. Without a `target` or `labels` a follow-up has those of that task.",
            ))
            .into()
    }
}

impl ToSchema for FollowUps {}

/// Tasks that come after a task which was cancelled, or whose time ended.
#[derive(Debug)]
pub(crate) struct FollowUpsOrFailure;

impl utoipa::PartialSchema for FollowUpsOrFailure {
    fn schema() -> RefOr<Schema> {
        let word = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["on_failure"]))
            .description(Some("The list of `on_failure` again."));
        OneOfBuilder::new().item(FollowUps::schema()).item(word).into()
    }
}

impl ToSchema for FollowUpsOrFailure {}

/// How many tasks of a key may be ready or running at a time.
#[derive(Debug, ToSchema)]
#[schema(as = Concurrency)]
#[expect(dead_code, reason = "describes a struct of the domain")]
pub(crate) struct Concurrency {
    /// A text, which may hold expressions over `input` and `task`: they have their values when the task is created. At most 200
    /// characters then.
    #[schema(example = "customer-${ input.customer_id }")]
    key: String,
    /// The newest task of a key says it for all of them.
    #[schema(minimum = 1, maximum = 10_000, example = 3)]
    limit: i64,
}

/// How often tasks of a key start.
#[derive(Debug, ToSchema)]
#[schema(as = Rate)]
#[expect(dead_code, reason = "describes a struct of the domain")]
pub(crate) struct Rate {
    /// As that of `concurrency`.
    #[schema(example = "api-of-${ input.provider }")]
    key: String,
    /// After a rest, so many start at once. The newest task of a key says it for all of them.
    #[schema(minimum = 1, maximum = 1_000_000, example = 10)]
    limit: i64,
    #[schema(minimum = 0.001, maximum = 2_592_000, example = 1)]
    per_seconds: f64,
}

/// Which tasks are like it.
#[derive(Debug, ToSchema)]
#[schema(as = Unique)]
#[expect(dead_code, reason = "describes a struct of the domain")]
pub(crate) struct Unique {
    /// A list of fields in which they are equal, of `name`, `target`, `input`, `description`, `labels` and `priority`; or a text,
    /// which may hold expressions as that of `concurrency`.
    #[schema(value_type = Anything, example = json!(["name", "target", "input"]))]
    by: orchestratum_core::JsonText,
    /// How long ago the other one may have been created; without it, any time.
    #[schema(minimum = 0.001, maximum = 31_536_000, example = 3600)]
    within_seconds: Option<f64>,
    /// Where the other one may stand; `Pending` and `InProgress` if not given.
    states: Option<Vec<Status>>,
}

/// The task of a schedule.
#[derive(Debug)]
pub(crate) struct ScheduledTask;

impl utoipa::PartialSchema for ScheduledTask {
    fn schema() -> RefOr<Schema> {
        RefOr::Ref(
            Ref::builder()
                .ref_location_from_schema_name("NewTask")
                .description(Some(
                    "What a create takes, without `id` and `scheduled_at`; `delay_seconds` counts from the slot. Texts in \
                     `input`, `description`, `labels`, `target` and `delay_seconds` may hold expressions over `schedule`, \
                     which has `id`, `name` and `slot`: `${ schedule.slot }`.",
                ))
                .build(),
        )
    }
}

impl ToSchema for ScheduledTask {}

/// What happens with a slot while a task of the schedule is pending or running.
#[derive(Debug, ToSchema)]
#[schema(as = Overlap)]
#[expect(
    dead_code,
    non_camel_case_types,
    reason = "describes the words of the domain's own enum"
)]
pub(crate) enum Overlap {
    skip,
    queue,
    replace,
    allow,
}

/// What happens with slots that nobody looked at within a minute.
#[derive(Debug, ToSchema)]
#[schema(as = Misfire)]
#[expect(
    dead_code,
    non_camel_case_types,
    reason = "describes the words of the domain's own enum"
)]
pub(crate) enum Misfire {
    fire_once,
    skip,
    catch_up,
}

/// Why a slot has no task.
#[derive(Debug, ToSchema)]
#[schema(as = SkipReason)]
#[expect(
    dead_code,
    non_camel_case_types,
    reason = "describes the words of the domain's own enum"
)]
pub(crate) enum SkipReason {
    missed,
    overlap,
    queue_full,
    replaced,
    changed,
    unmade,
    met,
    failed,
}

/// The task that comes after a group.
#[derive(Debug)]
pub(crate) struct AfterGroup;

impl utoipa::PartialSchema for AfterGroup {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .description(Some(
                "What a create takes, without `id`. Texts in `input`, `description`, `labels`, `target` and `delay_seconds` may \
                 hold expressions over `outputs`, `results` and `group`: `${ outputs }`.",
            ))
            .examples([json!({"name": "echo", "input": {"outputs": "${ outputs }"}})])
            .into()
    }
}

impl ToSchema for AfterGroup {}

/// What a member that does not succeed means for the others.
#[derive(Debug, ToSchema)]
#[schema(as = GroupPolicy)]
#[expect(
    dead_code,
    non_camel_case_types,
    reason = "describes the words of the domain's own enum"
)]
pub(crate) enum GroupPolicy {
    fail,
    r#continue,
}

/// Where a group stands: `Failing` and `Cancelling` while the members that are left are being cancelled.
#[derive(Debug, ToSchema)]
#[schema(as = GroupStatus)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum GroupStatus {
    Running,
    Failing,
    Cancelling,
    Completed,
    Failed,
    Cancelled,
}

/// Where a saga stands: `AwaitingInput` asks somebody, `NeedsAttention` has something parked, `Compensating` undoes what was done,
/// `CompensationStuck` could not; then it is over.
#[derive(Debug, ToSchema)]
#[schema(as = SagaStatus)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum SagaStatus {
    Running,
    AwaitingInput,
    NeedsAttention,
    Compensating,
    CompensationStuck,
    Completed,
    Failed,
    TimedOut,
    Cancelled,
}

/// `Stuck` waits for a decision; `Failed` was passed over, as the definition says.
#[derive(Debug, ToSchema)]
#[schema(as = CompensationStatus)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum CompensationStatus {
    Pending,
    Running,
    Stuck,
    Failed,
}

/// How the task before a follow-up ended.
#[derive(Debug, ToSchema)]
#[schema(as = Edge)]
#[expect(
    dead_code,
    non_camel_case_types,
    reason = "describes the words of the domain's own enum"
)]
pub(crate) enum Edge {
    on_success,
    on_failure,
    on_cancel,
    on_expire,
}

/// A time in RFC 3339 form, in UTC.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-12-01T00:00:00Z")]
pub(crate) struct Time(#[expect(dead_code, reason = "describes a text")] String);

/// Where a task stands.
#[derive(Debug, ToSchema)]
#[schema(as = TaskStatus)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum Status {
    Pending,
    InProgress,
    Completed,
    Expired,
    Failed,
    Cancelled,
}

/// How an attempt ended.
#[derive(Debug, ToSchema)]
#[schema(as = AttemptOutcome)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum Outcome {
    Success,
    Failed,
    TimedOut,
    Cancelled,
    NotFound,
    Lost,
    OutOfMemory,
    Released,
}

/// What kind of error a task carries.
#[derive(Debug, ToSchema)]
#[schema(as = ErrorKind)]
#[expect(dead_code, reason = "describes the words of the domain's own enum")]
pub(crate) enum ErrorKind {
    Failed,
    TimedOut,
    Expired,
    Cancelled,
    NotFound,
    Lost,
    OutOfMemory,
    OutputNotStorable,
    CompileError,
    UnknownEnvironment,
    NotGranted,
}

/// Why a task, or an attempt of it, did not succeed.
#[derive(Debug, ToSchema)]
#[schema(as = TaskError)]
#[expect(dead_code, reason = "describes a struct of the domain")]
pub(crate) struct Error {
    kind: ErrorKind,
    /// For a person: the traceback, the exit code, the limit that was met.
    #[schema(example = "exit code 1")]
    message: String,
    /// For a program, where whoever failed gave one: left out otherwise.
    #[schema(required = false, pattern = "^[a-z][a-z0-9_]*$", max_length = 64)]
    code: Option<String>,
}

/// The wait between a failed attempt and the next one.
#[derive(Debug, ToSchema, serde::Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(dead_code, reason = "describes an enum of the domain")]
pub(crate) enum Backoff {
    None,
    Fixed {
        #[schema(minimum = 0, maximum = 86_400)]
        delay_seconds: f64,
    },
    /// Doubles up to the cap; with jitter the wait lies between half and the whole of it.
    Exponential {
        #[schema(minimum = 0, maximum = 86_400, default = 1)]
        delay_seconds: f64,
        #[schema(minimum = 0, maximum = 86_400, default = 300)]
        max_delay_seconds: f64,
        #[schema(default = true)]
        jitter: bool,
    },
}

/// What a task may use that is run by a program. A worker that cannot keep one of these, or grants less, fails the task
/// with `NotGranted`.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    /// Mebibytes that all processes of the program have together; where the worker has no control groups, of address
    /// space of each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_048_576)]
    pub(crate) memory_mb: Option<Whole<1, 1_048_576>>,
    /// Seconds of processor time of each process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 2_592_000)]
    pub(crate) cpu_seconds: Option<Whole<1, 2_592_000>>,
    /// Mebibytes that the files of the program may take, where the worker runs programs at the level `full` of isolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 1_048_576)]
    pub(crate) disk_mb: Option<Whole<1, 1_048_576>>,
    /// Processes and threads of the program at a time, where the worker has control groups or runs programs at the level
    /// `full` of isolation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 100_000)]
    pub(crate) processes: Option<Whole<1, 100_000>>,
}
