//! Retention of sagas that are over, with their histories.

use orchestratum_core::{SagaId, Timestamp};
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::signed;
use super::row::saga_list;
use crate::Error;
use crate::decide::purge_ends_at;

/// What ended before, and is over for good. Histories are bounded together, and one that is longer goes alone.
pub(in super::super) async fn purge_candidates(
    store: &SqliteStore,
    before: Timestamp,
    limit: usize,
) -> Result<Vec<SagaId>, Error> {
    let ids: Vec<Uuid> = sqlx::query_scalar(
        "SELECT id
         FROM (
             SELECT
                 id,
                 sum(last_seq) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS entries,
                 row_number() OVER (ORDER BY id) AS place
             FROM (
                 SELECT id, last_seq FROM sagas WHERE id < ?1 AND finished_at < ?2 ORDER BY id LIMIT ?3
             )
         )
         WHERE entries <= ?3 OR place = 1",
    )
    .bind(purge_ends_at(before))
    .bind(before.as_micros())
    .bind(signed(limit))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    Ok(ids.into_iter().map(SagaId).collect())
}

/// How many went.
pub(in super::super) async fn purge_sagas(connection: &mut SqliteConnection, sagas: &[SagaId]) -> Result<u64, Error> {
    let ids = saga_list(sagas.iter().copied());
    let mut gone = 0;
    for statement in [
        "DELETE FROM saga_events WHERE seq IS NOT NULL AND saga_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM saga_events WHERE seq IS NULL AND saga_id IN (SELECT unhex(value) FROM json_each(?1))",
        "DELETE FROM sagas WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
    ] {
        gone = sqlx::query(statement)
            .bind(&ids)
            .execute(&mut *connection)
            .await
            .map_err(sql)?
            .rows_affected();
    }
    Ok(gone)
}
