//! A saga that goes on by another version of its definition: moved and told in its history in one commit.

use orchestratum_core::Timestamp;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::get;
use super::advance::read;
use super::definitions;
use super::write::{Rows, write};
use crate::compiled::Definitions;
use crate::decide::{self, Migrating};
use crate::{Error, MigrateOutcome, MigrateSaga};

pub(super) async fn migrate(
    store: &SqliteStore,
    migration: &MigrateSaga,
    now: Timestamp,
) -> Result<MigrateOutcome, Error> {
    definitions::with_definitions(store, |definitions| perform(store, definitions, migration, now)).await
}

async fn perform(
    store: &SqliteStore,
    definitions: Definitions,
    migration: &MigrateSaga,
    now: Timestamp,
) -> Result<MigrateOutcome, Error> {
    let mut transaction = store.begin().await?;
    let Some((head, instance)) = read(&mut transaction, &[migration.saga]).await?.pop() else {
        return Ok(MigrateOutcome::NotFound);
    };
    let row = sqlx::query(
        "SELECT EXISTS (
             SELECT 1 FROM saga_events INDEXED BY saga_events_waiting WHERE saga_id = ?1 AND seq IS NULL
         ) AS waits",
    )
    .bind(migration.saga.0)
    .fetch_one(&mut *transaction)
    .await
    .map_err(sql)?;
    let versions = [head.definition_version, migration.version];
    let wanted = versions.map(|version| (head.definition.clone(), version));
    let compiled = definitions::compiled(&mut transaction, &definitions, wanted).await?;
    let waits = get(&row, "waits")?;
    let migrated = match decide::migrate((head, instance), waits, migration, &compiled, &store.limits, now)? {
        Migrating::Told(outcome) => return Ok(outcome),
        Migrating::Write(migrated) => migrated,
    };
    sqlx::query("UPDATE sagas SET definition_version = ?2 WHERE id = ?1")
        .bind(migration.saga.0)
        .bind(migration.version)
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
    let folded = std::slice::from_ref(&migrated.folded);
    let consequences = write(&mut transaction, folded, Rows::Changed, store, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(migrated.outcome(consequences))
}
