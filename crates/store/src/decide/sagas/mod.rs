//! Sagas: what a look at one leads to, and its inputs as columns.

mod allowance;
mod children;
mod columns;
mod fold;
mod known;
mod list;
mod look;
mod migrate;
mod start;
mod stopped;
mod taken;
mod tasks;
mod waiting;

pub(crate) use allowance::{READ_MAX_BYTES, fits};
pub(crate) use children::{Beginning, ChildRow, children, definitions_of_children};
pub(crate) use columns::EventColumns;
pub(crate) use fold::{Arrived, EventSource, EventWrite, Folded, SagaHead, TimerWrite};
pub(crate) use known::{KnownEvent, KnownEvents};
pub(crate) use list::{FindsSagas, SagaWay, list_sagas};
pub(crate) use look::{Compiled, Look, Looked, answers, brought_events};
pub(crate) use migrate::{Migrating, migrate};
pub(crate) use start::{
    Bond, Known, SagaName, Starts, keys_of_starts, or_refused_together, saga_name, wanted_versions,
};
pub(crate) use stopped::{InLine, stopped, unbegun_children};
pub(crate) use taken::{Taken, take_back_what_may_not_begin, taken, targets_of_taken};
pub(crate) use tasks::{Cancelled, cancel, cancelled, cancelled_tasks, issued};
pub(crate) use waiting::{ADDRESSEES_MAX, ARRIVED_MAX, ARRIVED_MAX_BYTES, ArrivedRows, WaitingEvent, told_parents};
