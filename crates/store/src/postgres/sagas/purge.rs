//! Retention of sagas that are over, with their histories.

use orchestratum_core::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{int8, time};
use super::super::transaction::Abort;
use crate::decide::purge_ends_at;

/// Those that ended before: how many went. Histories are bounded together, and one that is longer goes alone.
pub(in super::super) async fn purge_sagas(
    connection: &mut PgConnection,
    before: Timestamp,
    limit: usize,
) -> Result<u64, Abort> {
    let ids: Vec<(Uuid,)> = sqlx::query_as(
        "SELECT id
        FROM sagas
        WHERE id IN (
            SELECT id
            FROM (
                SELECT id,
                    sum(last_seq) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS entries,
                    row_number() OVER (ORDER BY id) AS place
                FROM (
                    SELECT id, last_seq FROM sagas WHERE id < $2 AND finished_at < $1 ORDER BY id LIMIT $3
                ) AS ended
            ) AS ended
            WHERE entries <= $3 OR place = 1
        )
        ORDER BY id
        FOR UPDATE SKIP LOCKED",
    )
    .bind(time(before))
    .bind(purge_ends_at(before))
    .bind(int8(limit))
    .fetch_all(&mut *connection)
    .await?;
    let ids: Vec<Uuid> = ids.into_iter().map(|(id,)| id).collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let gone = sqlx::query(
        // One index has what was looked at, another one what waits.
        "WITH history AS (DELETE FROM saga_events WHERE saga_id = ANY($1) AND seq IS NOT NULL),
        waiting AS (DELETE FROM saga_events WHERE saga_id = ANY($1) AND seq IS NULL)
        DELETE FROM sagas WHERE id = ANY($1)",
    )
    .bind(&ids)
    .execute(connection)
    .await?;
    Ok(gone.rows_affected())
}
