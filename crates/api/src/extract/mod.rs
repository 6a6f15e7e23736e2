//! Reading requests. Every extractor refuses with a problem document that names the place and the rule.

mod body;
pub(crate) mod bounded;
mod headers;
mod last_event_id;
mod parameters;
mod path;
mod source;
mod whole;

pub(crate) use body::{Json, OptionalJson};
pub(crate) use headers::{
    IDEMPOTENT_REPLAY, IdempotencyKey, IfMatch, Origin, REQUEST_ID, TRACEPARENT, UNIQUE_CONFLICT, Wait,
};
pub(crate) use last_event_id::{LastChangeId, LastEventId, event_id};
pub(crate) use parameters::Parameters;
pub(crate) use path::{
    AttemptPath, CompensationPath, DefinitionPath, DefinitionVersionPath, GroupPath, KeyPath, ParkedPath, SagaPath,
    SchedulePath, TargetPath, TaskPath,
};
pub(crate) use source::Source;
pub(crate) use whole::{Priority, Retries, Whole};
