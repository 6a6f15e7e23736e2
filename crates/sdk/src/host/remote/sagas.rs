//! Sagas of a server.

use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::saga::{DefinitionName, Fault, Faults, Fields};
use orchestratum_core::task::{Violation, Violations};
use orchestratum_core::{JsonText, SagaId};
use serde::{Deserialize, Serialize};

use super::client::{Broken, Client, Failed, PATIENCE, Refusal, read};
use crate::Error;
use crate::host::SagaHost;
use crate::saga::{Defined, HistoryEntry, Migrated, Published, Saga, SagaAt};
use crate::sagas::{Change, CheckedEvent, CheckedFilter, CheckedMigration, Page, Start};

/// How many are read at once.
const PAGE: &str = "100";

#[async_trait]
impl SagaHost for Client {
    async fn define(&self, name: &DefinitionName, source: String) -> Result<Defined, Error> {
        let answer = self.put(&["saga-definitions", name.as_str()], source).await;
        let answer = answer.map_err(|failed| match failed {
            Failed::Refused(refusal) if refusal.code == "invalid_definition" => {
                Error::InvalidDefinition(faults(refusal.rules))
            }
            failed => failed.into(),
        });
        let given: Given = read(&answer?)?;
        Ok(Defined {
            version: given.version,
            warnings: faults(given.warnings),
        })
    }

    async fn start_saga(&self, start: Start) -> Result<Saga, Error> {
        let answer = self.post(&["sagas"], &start, PATIENCE).await;
        let answer = answer.map_err(|failed| match failed {
            Failed::Refused(refusal) if refusal.code == "definition_not_found" => {
                Error::NoDefinition(start.definition.to_string())
            }
            failed => told(failed),
        });
        Ok(read(&answer?)?)
    }

    async fn publish(
        &self,
        correlation_id: &str,
        definition: Option<DefinitionName>,
        event: CheckedEvent,
    ) -> Result<Published, Error> {
        let body = Publish {
            correlation_id,
            definition: definition.as_ref(),
            event: &event,
        };
        let answer = self.post(&["events"], &body, PATIENCE).await;
        let answer = answer.map_err(|failed| match failed {
            Failed::Refused(refusal) if refusal.code == "definition_not_found" => {
                Error::NoDefinition(definition.as_ref().map(ToString::to_string).unwrap_or_default())
            }
            Failed::Refused(refusal) if refusal.code == "no_saga_for_event" => Error::NoSagaForEvent {
                event: event.name.to_string(),
                correlation_id: correlation_id.to_owned(),
            },
            failed => told(failed),
        });
        Ok(read(&answer?)?)
    }

    async fn change(&self, at: SagaAt, change: Change) -> Result<Saga, Error> {
        let answer = post_change(self, at, &change).await;
        let answer = answer.map_err(|failed| about(failed, at.id));
        Ok(read(&answer?)?)
    }

    async fn migrate_saga(&self, at: SagaAt, migration: CheckedMigration) -> Result<Migrated, Error> {
        let path = ["sagas", &at.id.to_string(), "migrate"];
        let answer = self.post_at(&path, &migration, at.version).await;
        Ok(read(&answer.map_err(|failed| about(failed, at.id))?)?)
    }

    async fn saga(&self, id: SagaId) -> Result<Saga, Error> {
        let answer = self.get(&["sagas", &id.to_string()], &[]).await;
        Ok(read(&answer.map_err(|failed| about(failed, id))?)?)
    }

    async fn wait_for_saga(&self, id: SagaId, patience: Duration) -> Result<Saga, Error> {
        let rests = |saga: &Saga| saga.status.rests();
        let waited = self.get_when(&["sagas", &id.to_string()], patience, rests).await;
        waited.map_err(|failed| about(failed, id))
    }

    async fn sagas(&self, filter: CheckedFilter, cursor: Option<String>) -> Result<Page<Saga>, Error> {
        let conditions = [
            ("definition", filter.definition.map(|name| name.to_string())),
            ("state", filter.state.map(|name| name.to_string())),
            ("status", filter.status.map(|status| status.to_string())),
            ("correlation_id", filter.correlation_id),
            ("parent_id", filter.parent.map(|id| id.to_string())),
            (
                "stale_for_seconds",
                filter.stale_for.map(|duration| duration.as_secs_f64().to_string()),
            ),
            ("cursor", cursor),
        ];
        let answer = self.get(&["sagas"], &page(conditions)).await;
        Ok(read(&answer.map_err(told)?)?)
    }

    async fn saga_history(&self, id: SagaId, cursor: Option<String>) -> Result<Page<HistoryEntry>, Error> {
        let path = ["sagas", &id.to_string(), "history"];
        let answer = self.get(&path, &page([("cursor", cursor)])).await;
        Ok(read(&answer.map_err(|failed| about(failed, id))?)?)
    }
}

async fn post_change(client: &Client, at: SagaAt, change: &Change) -> Result<String, Failed> {
    let id = at.id.to_string();
    let number = |number: &u32| number.to_string();
    let path = match change {
        Change::Raise(_) => vec!["events".to_owned()],
        Change::Answer(_) => vec!["input".to_owned()],
        Change::Cancel { .. } => vec!["cancel".to_owned()],
        Change::Retry { .. } => vec!["retry".to_owned()],
        Change::RetryCompensation { number: of } => vec!["compensations".to_owned(), number(of), "retry".to_owned()],
        Change::SkipCompensation { number: of } => vec!["compensations".to_owned(), number(of), "skip".to_owned()],
        Change::RetryParked { parked } => vec!["events".to_owned(), parked.clone(), "retry".to_owned()],
        Change::DiscardParked { parked } => vec!["events".to_owned(), parked.clone(), "discard".to_owned()],
    };
    let path: Vec<&str> = ["sagas", &id]
        .into_iter()
        .chain(path.iter().map(String::as_str))
        .collect();
    let body = match change {
        Change::Raise(event) => Body::Event(event),
        Change::Answer(data) => Body::Answer { data },
        Change::Cancel { reason } => Body::Cancel { reason },
        Change::Retry { context } => Body::Retry { context },
        Change::RetryCompensation { .. }
        | Change::SkipCompensation { .. }
        | Change::RetryParked { .. }
        | Change::DiscardParked { .. } => Body::Nothing {},
    };
    client.post_at(&path, &body, at.version).await
}

/// What is posted to one saga.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Event(&'a CheckedEvent),
    Answer { data: &'a JsonText },
    Cancel { reason: &'a str },
    Retry { context: &'a Fields },
    Nothing {},
}

#[derive(Debug, Serialize)]
struct Publish<'a> {
    correlation_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    definition: Option<&'a DefinitionName>,
    #[serde(flatten)]
    event: &'a CheckedEvent,
}

/// What became of a definition.
#[derive(Debug, Deserialize)]
struct Given {
    version: u32,
    warnings: Vec<Broken>,
}

/// A query for a page: the conditions that there are.
fn page<const N: usize>(conditions: [(&'static str, Option<String>); N]) -> Vec<(&'static str, String)> {
    let conditions = conditions.into_iter().filter_map(|(name, value)| Some((name, value?)));
    conditions.chain([("limit", PAGE.to_owned())]).collect()
}

fn faults(broken: Vec<Broken>) -> Faults {
    let fault = |broken: Broken| Fault {
        suggestion: broken.suggestion,
        ..Fault::new(broken.pointer, broken.message)
    };
    Faults(broken.into_iter().map(fault).collect())
}

fn about(failed: Failed, saga: SagaId) -> Error {
    match &failed {
        Failed::Refused(refusal) if refusal.code == "saga_not_found" => Error::NoSaga(saga),
        Failed::Refused(refusal) if refusal.code == "version_mismatch" => Error::SagaChanged(saga),
        _ => told(failed),
    }
}

fn told(failed: Failed) -> Error {
    let Failed::Refused(refusal) = failed else {
        return failed.into();
    };
    match refusal.code.as_str() {
        "event_not_taken" | "event_id_reused" | "illegal_saga_status" | "nothing_parked" | "saga_cannot_start" => {
            Error::SagaRefused {
                reason: refusal.detail,
                takes: refusal.takes,
            }
        }
        _ if refusal.is_of_the_body() => Error::SagaInput(violations(refusal)),
        _ => Failed::Refused(refusal).into(),
    }
}

fn violations(refusal: Refusal) -> Violations {
    // The whole has no pointer.
    if refusal.rules.is_empty() {
        return Violations(vec![Violation {
            pointer: String::new(),
            message: refusal.detail,
        }]);
    }
    let violation = |broken: Broken| Violation {
        pointer: broken.pointer,
        message: broken.message,
    };
    Violations(refusal.rules.into_iter().map(violation).collect())
}
