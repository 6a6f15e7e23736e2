//! Rows that wait until their sagas look at them.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{Input, Purpose};

use super::super::saga_tasks::SagaTaskEnd;
use super::{Arrived, EventColumns, Folded};
use crate::EventKind;

/// How many rows are looked at in one transaction; what is left is looked at in the next.
pub(crate) const ARRIVED_MAX: usize = 1_000;

/// How large what is read of them at a time may be; the first is read however large it is.
pub(crate) const ARRIVED_MAX_BYTES: usize = 8 << 20;

/// What waits, as it is read: in the order of the rows.
#[derive(Debug)]
pub(crate) struct ArrivedRows {
    pub(crate) rows: Vec<(SagaId, Arrived)>,
    /// Whether more may wait behind them.
    pub(crate) has_more: bool,
}

/// Of each definition there is one at most, and there are not so many definitions that one caller uses one id in.
pub(crate) const ADDRESSEES_MAX: usize = 1_000;

/// What reaches a saga without a caller.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WaitingEvent {
    pub(crate) saga: SagaId,
    pub(crate) columns: EventColumns,
}

impl WaitingEvent {
    /// What a child is told that is to end.
    pub(crate) fn cancel(child: SagaId) -> Self {
        Self {
            saga: child,
            columns: EventColumns::encode(&Input::CancelRequested),
        }
    }
}

impl From<&SagaTaskEnd> for WaitingEvent {
    fn from(end: &SagaTaskEnd) -> Self {
        let kind = match end.place.purpose {
            Purpose::Forward => EventKind::TaskEnded,
            Purpose::Compensation => EventKind::CompensationEnded,
        };
        Self {
            saga: end.place.saga,
            columns: EventColumns::end(kind, end.place.number, &end.outcome),
        }
    }
}

/// What the parents of sagas that have ended are told.
pub(crate) fn told_parents(folded: &[Folded]) -> Vec<WaitingEvent> {
    let told = folded.iter().filter_map(|saga| {
        let (parent, number, outcome) = saga.parent_told.as_ref()?;
        Some(WaitingEvent {
            saga: *parent,
            columns: EventColumns::end(EventKind::TaskEnded, *number, outcome),
        })
    });
    told.collect()
}
