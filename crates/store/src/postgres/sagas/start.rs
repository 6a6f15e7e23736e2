//! Starting sagas: each with its first tasks and timers, or not at all.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::Timestamp;
use orchestratum_core::saga::DefinitionName;
use orchestratum_core::task::SpecLimits;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::Database;
use super::super::failure;
use super::super::idempotency;
use super::super::tasks::column;
use super::super::transaction::{Abort, Transaction};
use super::definitions;
use super::row::{SagaRow, saga_columns};
use super::write::{Rows, Writing};
use crate::compiled::Definitions;
use crate::decide::{self, Bond, Known, SagaName, Starts, saga_name};
use crate::{Error, NewSaga, Saga, StartOutcome};

pub(super) async fn start(
    database: &Database,
    sagas: &[NewSaga],
    bond: Bond,
    now: Timestamp,
) -> Result<Vec<StartOutcome>, Error> {
    if sagas.is_empty() {
        return Ok(Vec::new());
    }
    let start = |compiled| {
        database.transact(Start {
            sagas: sagas.to_vec(),
            bond,
            limits: database.limits,
            compiled,
            now,
        })
    };
    let outcomes = definitions::with_definitions(database, start).await;
    decide::or_refused_together(outcomes, sagas.len(), bond)
}

struct Start {
    sagas: Vec<NewSaga>,
    bond: Bond,
    limits: SpecLimits,
    compiled: Definitions,
    now: Timestamp,
}

impl Transaction for Start {
    type Output = Vec<StartOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<StartOutcome>, Abort> {
        let kept = idempotency::kept(connection, &decide::keys_of_starts(&self.sagas)).await?;
        let existing = existing(connection, &self.sagas).await?;
        let names: BTreeSet<&DefinitionName> = self.sagas.iter().map(|saga| &saga.definition).collect();
        let names: Vec<&DefinitionName> = names.into_iter().collect();
        let newest = definitions::newest(connection, &names).await?;
        let versions = decide::wanted_versions(&self.sagas, &newest);
        let wanted = versions.iter().flatten().cloned();
        let compiled = definitions::compiled(connection, &self.compiled, wanted).await?;
        let mut starts = Starts::new(
            (self.sagas.as_slice(), versions),
            Known { kept, existing },
            &compiled,
            self.bond,
            (&self.limits, self.now),
            tokio::task::yield_now,
        )
        .await;
        idempotency::keep(connection, starts.keys(), self.now).await?;
        let writing = Writing {
            limits: &self.limits,
            now: self.now,
        };
        match writing.write(connection, &mut starts.folded, Rows::New).await {
            Ok(consequences) => Ok(starts.outcomes(consequences)),
            // Another process started one of them since it was looked for.
            Err(Abort::Sql(error)) if failure::is_conflict_on(&error, "sagas_correlation") => Err(Abort::Overtaken),
            Err(abort) => Err(abort),
        }
    }
}

/// Those that are there already, unless they are too large together.
async fn existing(connection: &mut PgConnection, sagas: &[NewSaga]) -> Result<HashMap<SagaName, Saga>, Abort> {
    let found: Vec<(Uuid, i32)> = sqlx::query_as(
        "SELECT id, octet_length(instance) + octet_length(input)
        FROM sagas
        WHERE (correlation_id, definition) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
    )
    .bind(column(sagas, |saga| saga.correlation_id.as_str()))
    .bind(column(sagas, |saga| saga.definition.as_str()))
    .fetch_all(&mut *connection)
    .await?;
    if found.is_empty() {
        return Ok(HashMap::new());
    }
    let bytes = found
        .iter()
        .map(|(_, bytes)| usize::try_from(*bytes).unwrap_or(0))
        .sum();
    decide::fits(found.len(), bytes)?;
    let rows: Vec<SagaRow> = sqlx::query_as(concat!(
        "SELECT ",
        saga_columns!(),
        " FROM sagas WHERE id = ANY($1::uuid[])"
    ))
    .bind(column(&found, |(id, _)| *id))
    .fetch_all(connection)
    .await?;
    let sagas = rows.into_iter().map(|row| {
        let saga = row.into_saga()?;
        Ok((saga_name(&saga.definition, &saga.instance.correlation_id), saga))
    });
    Ok(sagas.collect::<Result<_, Error>>()?)
}
