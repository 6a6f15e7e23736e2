//! Lists of sagas, newest first.

use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::{SagaId, Timestamp};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, signed};
use super::row::{self, saga_columns};
use crate::{Error, PAGE_BYTES, Saga, SagaFilter, SagaPage};

pub(super) async fn sagas(
    store: &SqliteStore,
    filter: &SagaFilter,
    before: Option<SagaId>,
    limit: usize,
) -> Result<SagaPage, Error> {
    let rows = sqlx::query(concat!(
        "SELECT ",
        saga_columns!(),
        // Ids and sizes first, which are told without reading the texts.
        ", p.found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY id DESC) AS place
             FROM (
                 SELECT id, octet_length(instance) + octet_length(input) AS size
                 FROM sagas
                 WHERE id < ?1
                   AND (?2 IS NULL OR definition = ?2)
                   AND (?3 IS NULL OR state = ?3)
                   AND (?4 IS NULL OR status = ?4)
                   AND (?5 IS NULL OR correlation_id = ?5)
                   AND (?6 IS NULL OR (status < 5 AND updated_at < ?6 AND (status <> 1 OR ?4 IS NOT NULL)))
                 ORDER BY id DESC
                 LIMIT ?7
             )
         ) p
         CROSS JOIN sagas s ON s.id = p.id
         WHERE p.bytes <= ?8 OR p.place = 1
         ORDER BY s.id DESC"
    ))
    .bind(before.map_or(Uuid::max(), |id| id.0))
    .bind(filter.definition.as_ref().map(DefinitionName::as_str))
    .bind(filter.state.as_ref().map(StateName::as_str))
    .bind(filter.status.map(SagaStatus::code))
    .bind(filter.correlation_id.as_deref())
    .bind(filter.unchanged_since.map(Timestamp::as_micros))
    // One more than asked for tells whether there is another page.
    .bind(signed(limit + 1))
    .bind(signed(PAGE_BYTES))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items: Vec<Saga> = rows.iter().take(limit).map(row::saga).collect::<Result<_, _>>()?;
    let next = items.last().map(|saga| saga.id).filter(|_| found > signed(items.len()));
    Ok(SagaPage { items, next })
}
