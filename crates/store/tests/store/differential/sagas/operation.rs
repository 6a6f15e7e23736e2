//! One step of a script with sagas, and how a store performs it.

use std::time::Duration;

use orchestratum_core::{SagaId, TaskId, Timestamp};
use orchestratum_store::{
    Addressee, Advance, AdvanceOutcome, Advanced, Change, ChangeOutcome, ClaimRequest, Consequences, FiredTimers,
    HistoryEntry, NewSaga, Pulse, Saga, SagaFilter, Stand, StartOutcome, Store, TaskFilter,
};

use super::super::answer::{self, Whole, sorted};
use super::super::operation::{PLENTY, RUNNING_GRACE, whole};

#[derive(Debug, Clone)]
pub(super) enum Operation {
    Advance(Duration),
    Start(Vec<NewSaga>),
    Look(Vec<Advance>),
    Claim(ClaimRequest),
    Apply(Vec<Change>),
    FireTimers,
    PurgeFinished(Timestamp),
    List(SagaFilter),
    Everything,
}

#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Nothing,
    Started(Vec<StartOutcome>),
    Looked(Vec<AdvanceOutcome>),
    /// `id`, `attempt`, `run` of what was claimed.
    Claimed(Vec<(TaskId, u32, u32)>),
    Applied(Vec<ChangeOutcome>),
    Fired(FiredTimers),
    Listed(Vec<SagaId>),
    Everything(Box<Everything>),
}

/// All that can be seen of sagas and their tasks.
#[derive(Debug, PartialEq)]
pub(super) struct Everything {
    pub(super) sagas: Vec<Saga>,
    pub(super) stands: Vec<(SagaId, Stand)>,
    pub(super) histories: Vec<Vec<HistoryEntry>>,
    pub(super) unlooked: Vec<SagaId>,
    pub(super) addressees: Vec<Addressee>,
    pub(super) tasks: Vec<Whole>,
    pub(super) pulse: Pulse,
}

/// Of the few correlation ids that there are.
pub(super) fn correlation_id(number: u64) -> String {
    format!("trip {number}")
}

impl Operation {
    pub(super) async fn perform(&self, store: &dyn Store, now: Timestamp) -> Result<Answer, orchestratum_store::Error> {
        Ok(match self {
            Self::Advance(_) => Answer::Nothing,
            Self::Start(sagas) => {
                let mut outcomes = store.start_sagas(sagas, now).await?;
                for outcome in &mut outcomes {
                    if let StartOutcome::Started(advanced) = outcome {
                        in_order(&mut advanced.consequences);
                    }
                }
                Answer::Started(outcomes)
            }
            Self::Look(advances) => {
                let mut outcomes = store.advance_sagas(advances, now).await?;
                for outcome in &mut outcomes {
                    if let Some(advanced) = advanced(outcome) {
                        in_order(&mut advanced.consequences);
                    }
                }
                Answer::Looked(outcomes)
            }
            Self::Claim(request) => {
                let claimed = store.claim(request, now).await?;
                Answer::Claimed(sorted(claimed.iter().map(answer::claim)))
            }
            Self::Apply(changes) => Answer::Applied(store.apply(changes, now).await?),
            Self::FireTimers => Answer::Fired(store.fire_saga_timers(PLENTY, now).await?),
            Self::PurgeFinished(before) => {
                store.purge_finished(*before, PLENTY).await?;
                Answer::Nothing
            }
            Self::List(filter) => {
                let page = store.sagas(filter, None, PLENTY).await?;
                Answer::Listed(page.items.into_iter().map(|saga| saga.id).collect())
            }
            Self::Everything => Answer::Everything(Box::new(everything(store, now).await?)),
        })
    }
}

async fn everything(store: &dyn Store, now: Timestamp) -> Result<Everything, orchestratum_store::Error> {
    let sagas = store.sagas(&SagaFilter::default(), None, PLENTY).await?.items;
    let ids: Vec<SagaId> = sagas.iter().map(|saga| saga.id).collect();
    let mut histories = Vec::new();
    for id in &ids {
        histories.push(store.saga_history(*id, None, PLENTY).await?.items);
    }
    let mut stands = store.saga_stands(&ids).await?;
    stands.sort_unstable_by_key(|(saga, _)| *saga);
    let tasks = store.list(&TaskFilter::default(), None, PLENTY).await?.items;
    let tasks: Vec<TaskId> = tasks.into_iter().map(|task| task.spec.id).collect();
    Ok(Everything {
        sagas,
        stands,
        histories,
        unlooked: store.unlooked_sagas(None, PLENTY).await?,
        addressees: store.addressees(&correlation_id(0)).await?,
        tasks: whole(store, &tasks).await?,
        pulse: store.pulse(now, RUNNING_GRACE).await?,
    })
}

fn advanced(outcome: &mut AdvanceOutcome) -> Option<&mut Advanced> {
    match outcome {
        AdvanceOutcome::Done(advanced)
        | AdvanceOutcome::Repeated(advanced)
        | AdvanceOutcome::Rejected { advanced, .. }
        | AdvanceOutcome::NotThere { advanced }
        | AdvanceOutcome::EventIdReused { advanced, .. }
        | AdvanceOutcome::Left { advanced } => Some(advanced),
        AdvanceOutcome::NotFound => None,
    }
}

/// The databases tell them in no order.
fn in_order(consequences: &mut Consequences) {
    consequences.ready.sort_unstable_by_key(|ready| ready.task);
    consequences.cancelled.sort_unstable_by_key(|changed| changed.task);
    consequences.unlooked.sort_unstable();
    consequences.unlooked.dedup();
}
