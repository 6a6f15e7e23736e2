//! What both databases decide alike, as pure functions over rows that were read under a lock.
//!
//! A backend reads rows, asks here, and writes the answer; so the two cannot drift apart in what a change means, only
//! in how they store it.

mod apply;
mod create;
mod follow;
mod gates;
mod group;
mod life;
mod list;
mod purge;
mod saga_tasks;
mod sagas;
mod schedule_change;
mod schedules;
mod success;
mod unique;

pub(crate) use apply::{
    AttemptWrite, Decision, DispatchRow, Edits, LogWrite, Stored, TaskWrite, apply, are_of_running_tasks,
    doubtful_reports,
};
pub(crate) use create::{Acceptance, KeptKey, Repeat, create, keys, keys_of};
pub use follow::follow_up_id;
pub(crate) use follow::{Source, bringing_follow_ups, claimed_at_once, known_at_once};
pub(crate) use gates::{Asking, DispatchState, GIVEN_MAX, GateChanges, PlaceCounts, StartCounts};
pub use group::id_after_group;
pub(crate) use group::{
    JoinedMembers, LockedGroup, Settling, cancel_group, counted, create_group, joined, member_page,
};
pub(crate) use life::LifeColumns;
pub(crate) use list::{IdRange, Way, attempt_page, narrows, page};
pub(crate) use purge::purge_ends_at;
pub(crate) use saga_tasks::{SagaTaskEnd, doubted, doubtful_outcomes, purpose, without_doubt};
#[cfg(feature = "simulation")]
pub(crate) use sagas::Taken;
pub(crate) use sagas::{
    ADDRESSEES_MAX, ARRIVED_MAX, ARRIVED_MAX_BYTES, Arrived, ArrivedRows, Beginning, Bond, Cancelled, ChildRow,
    Compiled, EventColumns, EventSource, EventWrite, FindsSagas, Folded, InLine, Known, KnownEvent, KnownEvents, Look,
    Looked, Migrating, READ_MAX_BYTES, SagaHead, SagaName, SagaWay, Starts, TimerWrite, WaitingEvent, answers,
    brought_events, cancel, cancelled, cancelled_tasks, children, definitions_of_children, fits, issued,
    keys_of_starts, list_sagas, migrate, or_refused_together, saga_name, stopped, take_back_what_may_not_begin, taken,
    targets_of_taken, told_parents, unbegun_children, wanted_versions,
};
pub(crate) use schedule_change::{ScheduleChange, change_schedule, create_schedule};
pub(crate) use schedules::{DueSchedule, LIVE_MAX, Locked, ScheduleWrite, Which, fire, waiting_of, waiting_text};
pub(crate) use success::{CompletedRow, ShortWay, Success, successes};
pub(crate) use unique::{Holder, admitted, likenesses, meet};
