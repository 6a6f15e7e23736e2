//! Starting sagas: each with its first tasks and timers, or not at all.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::saga::DefinitionName;
use orchestratum_core::{SagaId, Timestamp};
use sqlx::SqliteConnection;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency;
use super::super::values::{OverValues, over_values};
use super::advance::read;
use super::definitions;
use super::row::saga_id;
use super::write::{Rows, write};
use crate::compiled::Definitions;
use crate::decide::{self, Bond, Known, SagaName, Starts, saga_name};
use crate::{Error, NewSaga, Saga, StartOutcome};

pub(super) async fn start(
    store: &SqliteStore,
    sagas: &[NewSaga],
    bond: Bond,
    now: Timestamp,
) -> Result<Vec<StartOutcome>, Error> {
    if sagas.is_empty() {
        return Ok(Vec::new());
    }
    let begin = |definitions| begin(store, definitions, sagas, bond, now);
    let outcomes = definitions::with_definitions(store, begin).await;
    decide::or_refused_together(outcomes, sagas.len(), bond)
}

async fn begin(
    store: &SqliteStore,
    definitions: Definitions,
    sagas: &[NewSaga],
    bond: Bond,
    now: Timestamp,
) -> Result<Vec<StartOutcome>, Error> {
    let mut transaction = store.begin().await?;
    let kept = idempotency::kept(&mut transaction, &decide::keys_of_starts(sagas)).await?;
    let existing = existing(&mut transaction, sagas).await?;
    let names: BTreeSet<&DefinitionName> = sagas.iter().map(|saga| &saga.definition).collect();
    let names: Vec<&DefinitionName> = names.into_iter().collect();
    let newest = definitions::newest(&mut transaction, &names).await?;
    let versions = decide::wanted_versions(sagas, &newest);
    let wanted = versions.iter().flatten().cloned();
    let compiled = definitions::compiled(&mut transaction, &definitions, wanted).await?;
    let starts = Starts::new(
        (sagas, versions),
        Known { kept, existing },
        &compiled,
        bond,
        (&store.limits, now),
        tokio::task::yield_now,
    )
    .await;
    idempotency::keep(&mut transaction, starts.keys(), now).await?;
    let consequences = write(&mut transaction, &starts.folded, Rows::New, store, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(starts.outcomes(consequences))
}

/// Those that are there already, unless they are too large together.
async fn existing(connection: &mut SqliteConnection, sagas: &[NewSaga]) -> Result<HashMap<SagaName, Saga>, Error> {
    static EXISTING: OverValues = over_values!(
        "WITH wanted (correlation_id, definition) AS (VALUES ",
        "(?, ?)",
        ")
         SELECT s.id
         FROM wanted w
         CROSS JOIN sagas s ON s.correlation_id = w.correlation_id AND s.definition = w.definition"
    );
    let rows = EXISTING
        .fetch(
            connection,
            sagas,
            |statement| statement,
            |statement, saga| {
                statement
                    .bind(saga.correlation_id.clone())
                    .bind(saga.definition.as_str().to_owned())
            },
        )
        .await?;
    let found: BTreeSet<SagaId> = rows.iter().map(|row| saga_id(row, "id")).collect::<Result<_, _>>()?;
    let found: Vec<SagaId> = found.into_iter().collect();
    let sagas = read(connection, &found).await?.into_iter().map(|(head, instance)| {
        let saga = head.saga(instance);
        (saga_name(&saga.definition, &saga.instance.correlation_id), saga)
    });
    Ok(sagas.collect())
}
