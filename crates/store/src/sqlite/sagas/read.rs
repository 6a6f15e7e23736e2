//! Reading sagas.

use orchestratum_core::SagaId;
use orchestratum_core::saga::StateName;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, number, signed};
use super::row::{self, TABLE, saga_columns, saga_id, saga_list, status};
use crate::{Error, Saga, Stand};

pub(super) async fn saga(store: &SqliteStore, saga: SagaId) -> Result<Option<Saga>, Error> {
    let row = sqlx::query(concat!("SELECT ", saga_columns!(), " FROM sagas s WHERE s.id = ?1"))
        .bind(saga.0)
        .fetch_optional(&store.read)
        .await
        .map_err(sql)?;
    row.as_ref().map(row::saga).transpose()
}

pub(super) async fn stands(store: &SqliteStore, sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error> {
    let rows = sqlx::query(
        "SELECT id, status, state, version FROM sagas WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
    )
    .bind(saga_list(sagas.iter().copied()))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let saga = saga_id(row, "id")?;
            let stand = Stand {
                status: status(row, saga)?,
                state: state(row, TABLE, "state", saga)?,
                version: number(row, TABLE, "version", saga)?,
            };
            Ok((saga, stand))
        })
        .collect()
}

pub(super) fn state(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
    id: impl std::fmt::Display,
) -> Result<StateName, Error> {
    StateName::new(get::<&str>(row, column)?).map_err(|error| damaged(table, column, id, error))
}

pub(super) async fn unlooked(store: &SqliteStore, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT saga_id
         FROM saga_events INDEXED BY saga_events_waiting
         WHERE seq IS NULL AND saga_id > ?1
         ORDER BY saga_id
         LIMIT ?2",
    )
    .bind(after.map_or(Uuid::nil(), |saga| saga.0))
    .bind(signed(limit))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    Ok(ids.into_iter().map(SagaId).collect())
}
