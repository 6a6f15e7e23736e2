//! Sagas of the engine in this process: its use cases, as the routes of a server call them.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::saga::{DefinitionName, EventName, Rejection};
use orchestratum_core::task::{Violation, Violations};
use orchestratum_core::{Origin, SagaId};
use orchestratum_engine::given::violations;
use orchestratum_engine::sagas::{
    self, CancelledSaga, MigrateSaga, MigratedSaga, PublishEvent, RaiseEvent, Raised, SagaDetails, StartSaga,
    StartedSaga,
};
use orchestratum_engine::{Engine, Error as EngineError};
use orchestratum_store as store;

use super::Commands;
use crate::host::SagaHost;
use crate::saga::{
    AwaitedInput, Compensation, Deferred, Defined, DueTimer, HistoryEntry, IssuedTask, LiveChild, LiveTask, Migrated,
    Note, Parked, Published, Saga, SagaAt, StartedChild,
};
use crate::sagas::{Change, CheckedEvent, CheckedFilter, CheckedMigration, Page, Start};
use crate::{Error, Fault};

/// How many are read at once.
const PAGE: usize = 100;

#[async_trait]
impl SagaHost for Commands {
    async fn define(&self, name: &DefinitionName, source: String) -> Result<Defined, Error> {
        let defined = self.engine.put_definition(name, source, None).await.map_err(told)?;
        Ok(Defined {
            version: defined.version,
            warnings: defined.warnings,
        })
    }

    async fn start_saga(&self, start: Start) -> Result<Saga, Error> {
        let request = StartSaga {
            definition: start.definition,
            version: None,
            correlation_id: Some(start.correlation_id),
            input: self.engine.checked_json("/input", Some(start.input)).map_err(told)?,
            origin: Origin::default(),
            actor: None,
            idempotency: None,
        };
        let started = self.engine.start_saga(request).await.map(StartedSaga::into_saga);
        shown(&self.engine, started).await
    }

    async fn publish(
        &self,
        correlation_id: &str,
        definition: Option<DefinitionName>,
        event: CheckedEvent,
    ) -> Result<Published, Error> {
        let event = PublishEvent {
            name: event.name,
            correlation_id: correlation_id.to_owned(),
            definition,
            data: self.engine.checked_json("/data", Some(event.data)).map_err(told)?,
            id: event.id,
            origin: Origin::default(),
            actor: None,
        };
        let published = self.engine.publish(event).await.map_err(told)?;
        Ok(Published {
            taken: all_shown(&self.engine, published.taken).await?,
            started: all_shown(&self.engine, published.started).await?,
        })
    }

    async fn change(&self, at: SagaAt, change: Change) -> Result<Saga, Error> {
        let changed = changed(&self.engine, at, change).await;
        shown(&self.engine, changed).await
    }

    async fn migrate_saga(&self, at: SagaAt, migration: CheckedMigration) -> Result<Migrated, Error> {
        let request = MigrateSaga {
            saga: at.id,
            version: migration.version,
            states: migration.states,
            dry_run: migration.dry_run,
            expected_version: at.version,
            actor: None,
        };
        let MigratedSaga { saga, losses } = self.engine.migrate_saga(request).await.map_err(told)?;
        Ok(Migrated {
            saga: shown(&self.engine, Ok(saga)).await?,
            losses,
        })
    }

    async fn saga(&self, id: SagaId) -> Result<Saga, Error> {
        in_full(&self.engine, self.engine.saga(id).await).await
    }

    async fn wait_for_saga(&self, id: SagaId, patience: Duration) -> Result<Saga, Error> {
        in_full(&self.engine, self.engine.wait_for_saga(id, patience).await).await
    }

    async fn sagas(&self, filter: CheckedFilter, cursor: Option<String>) -> Result<Page<Saga>, Error> {
        let before = cursor.map(|cursor| position(&cursor)).transpose()?.map(SagaId);
        let stale_for = filter.stale_for;
        let filter = store::SagaFilter {
            definition: filter.definition,
            state: filter.state,
            status: filter.status,
            correlation_id: filter.correlation_id,
            parent: filter.parent,
            unchanged_since: None,
        };
        let page = match stale_for {
            Some(stale_for) => self.engine.stale_sagas(filter, stale_for, before, PAGE).await,
            None => self.engine.sagas(&filter, before, PAGE).await,
        };
        let page = page.map_err(told)?;
        Ok(Page {
            items: all_shown(&self.engine, page.items).await?,
            next: page.next.map(|saga| saga.to_string()),
        })
    }

    async fn saga_history(&self, id: SagaId, cursor: Option<String>) -> Result<Page<HistoryEntry>, Error> {
        let after = cursor.map(|cursor| position(&cursor)).transpose()?;
        let page = self.engine.saga_history(id, after, PAGE).await.map_err(told)?;
        Ok(Page {
            items: page.items.into_iter().map(entry).collect::<Result<_, _>>()?,
            next: page.next.map(|seq| seq.to_string()),
        })
    }
}

async fn changed(engine: &Engine, at: SagaAt, change: Change) -> Result<store::Saga, EngineError> {
    let SagaAt { id, version } = at;
    let raised = match change {
        Change::Raise(event) => {
            let event = RaiseEvent {
                saga: id,
                name: event.name,
                data: engine.checked_json("/data", Some(event.data))?,
                id: event.id,
                expected_version: version,
                actor: None,
            };
            engine.raise(event).await
        }
        Change::Answer(answer) => {
            let answer = engine.checked_json("/data", Some(answer))?;
            engine.answer(id, answer, version, None).await
        }
        Change::Cancel { reason } => {
            let cancelled = engine.cancel_saga(id, Some(reason), version, None).await;
            return cancelled.map(CancelledSaga::into_saga);
        }
        Change::Retry { context } => engine.retry_saga(id, context, version, None).await,
        Change::RetryCompensation { number } => engine.retry_compensation(id, number, version, None).await,
        Change::SkipCompensation { number } => engine.skip_compensation(id, number, version, None).await,
        Change::RetryParked { parked } => engine.retry_parked(id, &parked, version, None).await,
        Change::DiscardParked { parked } => engine.discard_parked(id, &parked, version, None).await,
    };
    raised.map(Raised::into_saga)
}

async fn shown(engine: &Engine, saga: Result<store::Saga, EngineError>) -> Result<Saga, Error> {
    let mut sagas = all_shown(engine, vec![saga.map_err(told)?]).await?;
    Ok(sagas.pop().expect("one for each"))
}

/// With what is due.
async fn in_full(engine: &Engine, saga: Result<store::Saga, EngineError>) -> Result<Saga, Error> {
    let details = engine.saga_in_full(saga.map_err(told)?).await;
    details.map(Saga::from).map_err(told)
}

async fn all_shown(engine: &Engine, sagas: Vec<store::Saga>) -> Result<Vec<Saga>, Error> {
    let details = engine.saga_details(sagas).await.map_err(told)?;
    Ok(details.into_iter().map(Saga::from).collect())
}

/// Where a page begins, as the page before has said.
fn position<T: FromStr>(cursor: &str) -> Result<T, Error> {
    cursor.parse().map_err(|_| Error::Unreadable {
        what: "list".to_owned(),
        reason: format!("`{cursor}` is no place in it"),
    })
}

fn told(error: EngineError) -> Error {
    let takes = error.takes().unwrap_or_default();
    let takes: Vec<String> = takes.into_iter().map(EventName::to_string).collect();
    let reason = error.to_string();
    match error {
        EngineError::Invalid(violations) => Error::SagaInput(violations),
        EngineError::InvalidDefinition(faults) => Error::InvalidDefinition(faults),
        EngineError::DefinitionNotFound { name, .. } => Error::NoDefinition(name.to_string()),
        EngineError::SagaNotFound(saga) => Error::NoSaga(saga),
        EngineError::SagaVersionMismatch { saga, .. } => Error::SagaChanged(saga),
        EngineError::EventForNobody { event, correlation_id } => Error::NoSagaForEvent {
            event: event.to_string(),
            correlation_id,
        },
        EngineError::SagaRejected {
            rejection: Rejection::InvalidContext(message),
            ..
        } => Error::SagaInput(Violations(vec![Violation {
            pointer: "/context".to_owned(),
            message,
        }])),
        EngineError::SagaUnmovable { faults, .. } => match violations(&faults) {
            Some(violations) => Error::SagaInput(violations),
            None => Error::SagaRefused { reason, takes },
        },
        EngineError::SagaCannotStart { .. }
        | EngineError::SagaRejected { .. }
        | EngineError::SagaAwaitsNothing { .. }
        | EngineError::SagaQuestionIsOver { .. }
        | EngineError::NothingParked { .. }
        | EngineError::EventIdReused { .. }
        | EngineError::EventNotTaken { .. } => Error::SagaRefused { reason, takes },
        error => Error::Engine(error),
    }
}

impl From<SagaDetails> for Saga {
    fn from(details: SagaDetails) -> Self {
        let SagaDetails {
            saga,
            awaiting,
            tasks,
            children,
            timers,
        } = details;
        let instance = saga.instance;
        let compensations = instance.to_undo().into_iter().map(|compensation| Compensation {
            number: compensation.undo.number,
            name: compensation.undo.task.name.clone(),
            status: compensation.status,
            error: compensation.error.map(Fault::from),
        });
        let parked = instance.parked.iter().map(|parked| Parked {
            id: parked.id(),
            number: parked.number,
            event: parked.event().map(EventName::to_string),
            reason: parked.reason.clone(),
        });
        let deferred = instance.deferred.iter().map(|event| Deferred {
            id: event.id.clone(),
            event: event.name.to_string(),
        });
        Self {
            id: saga.id,
            definition: saga.definition.to_string(),
            definition_version: saga.definition_version,
            parent_id: saga.parent,
            status: instance.status(),
            state: instance.state.to_string(),
            awaiting: awaiting.map(|awaited| AwaitedInput {
                event: awaited.event.to_string(),
                prompt: awaited.prompt,
                schema: awaited.schema,
            }),
            tasks: tasks.into_iter().map(LiveTask::from).collect(),
            sagas: children.into_iter().map(LiveChild::from).collect(),
            compensations: compensations.collect(),
            parked: parked.collect(),
            deferred: deferred.collect(),
            timers: timers.map(|timers| timers.into_iter().map(DueTimer::from).collect()),
            version: instance.version,
            created_at: saga.created_at,
            updated_at: saga.updated_at,
            finished_at: saga.finished_at,
            correlation_id: instance.correlation_id,
            input: instance.input,
            context: instance.context,
        }
    }
}

impl From<sagas::DueTimer> for DueTimer {
    fn from(sagas::DueTimer { kind, due_at, does }: sagas::DueTimer) -> Self {
        Self {
            timer: kind,
            due_at,
            target: does.target().map(ToString::to_string),
            compensate: does.compensates(),
            guard: does.guard().map(str::to_owned),
            event: does.event().map(ToString::to_string),
            data: does.data().cloned(),
        }
    }
}

impl From<store::LiveSagaTask> for LiveTask {
    fn from(task: store::LiveSagaTask) -> Self {
        Self {
            number: task.number,
            id: task.task,
            name: task.name.to_string(),
            target: task.target.to_string(),
            status: task.status,
            compensation: task.undoes,
        }
    }
}

impl From<store::LiveChild> for LiveChild {
    fn from(child: store::LiveChild) -> Self {
        let store::LiveChild { number, overview, .. } = child;
        Self {
            number,
            id: overview.saga,
            definition: overview.definition.to_string(),
            correlation_id: overview.correlation_id,
            status: overview.status,
            state: overview.state.to_string(),
        }
    }
}

impl From<store::HistoryNote> for Note {
    fn from(note: store::HistoryNote) -> Self {
        Self {
            event: note.event,
            from: note.from.map(|state| state.to_string()),
            to: note.to.map(|state| state.to_string()),
            on: note.on.map(|event| event.to_string()),
            name: note.name,
            id: note.id,
            number: note.number,
            change: note.change,
            timer: note.timer,
            reason: note.reason,
        }
    }
}

impl From<store::IssuedTask> for IssuedTask {
    fn from(task: store::IssuedTask) -> Self {
        Self {
            number: task.number,
            name: task.name,
            task_id: task.task_id,
            compensation: task.compensation,
        }
    }
}

impl From<store::StartedChild> for StartedChild {
    fn from(child: store::StartedChild) -> Self {
        Self {
            number: child.number,
            definition: child.definition.to_string(),
            correlation_id: child.correlation_id,
        }
    }
}

fn entry(entry: store::HistoryEntry) -> Result<HistoryEntry, Error> {
    let unreadable = |error: serde_json::Error| Error::Unreadable {
        what: format!("entry {} of the history", entry.seq),
        reason: error.to_string(),
    };
    let outcome = entry.outcome().to_owned();
    let told = entry.told;
    let error = entry.error.map(|error| error.parse()).transpose().map_err(unreadable)?;
    Ok(HistoryEntry {
        seq: entry.seq,
        kind: entry.kind.as_str().to_owned(),
        name: entry.name,
        outcome,
        event_id: entry.event_id,
        number: entry.number,
        data: entry.data,
        error,
        from: entry.from.to_string(),
        to: entry.to.to_string(),
        version: entry.version,
        log: told.notes.into_iter().map(Note::from).collect(),
        refusal: entry.refusal,
        tasks: told.tasks.into_iter().map(IssuedTask::from).collect(),
        sagas: told.sagas.into_iter().map(StartedChild::from).collect(),
        cancelled: told.cancelled,
        actor: entry.actor,
        received_at: entry.received_at,
        processed_at: entry.processed_at,
    })
}
