//! The history of a saga, in its order.

use orchestratum_core::{JsonText, SagaId};
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, number, signed, timestamp};
use super::read::state;
use crate::{Error, EventKind, HistoryEntry, HistoryPage, PAGE_BYTES, Told};

const TABLE: &str = "saga_events";

const PAGE: &str = "
    SELECT
        e.id, e.seq, e.kind, e.number, e.event_id, e.name, e.data, e.error, e.actor, e.received_at, e.processed_at, e.result,
        e.reason, e.version, e.from_state, e.to_state, e.notes, p.found
    FROM (
        SELECT
            id,
            count(*) OVER () AS found,
            sum(size) OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY seq) AS place
        FROM (
            SELECT
                id,
                seq,
                coalesce(octet_length(data), 0) + coalesce(octet_length(error), 0) + octet_length(notes) AS size
            FROM saga_events INDEXED BY saga_events_history
            WHERE seq IS NOT NULL AND saga_id = ?1 AND seq > ?2
            ORDER BY seq
            LIMIT ?3
        )
    ) p
    CROSS JOIN saga_events e ON e.id = p.id
    WHERE p.bytes <= ?4 OR p.place = 1
    ORDER BY e.seq";

pub(super) async fn history(
    store: &SqliteStore,
    saga: SagaId,
    after: Option<u64>,
    limit: usize,
) -> Result<HistoryPage, Error> {
    let rows = sqlx::query(PAGE)
        .bind(saga.0)
        .bind(signed(after.unwrap_or(0)))
        .bind(signed(limit + 1))
        .bind(signed(PAGE_BYTES))
        .fetch_all(&store.read)
        .await
        .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let items: Vec<HistoryEntry> = rows.iter().take(limit).map(entry).collect::<Result<_, _>>()?;
    let next = items
        .last()
        .map(|entry| entry.seq)
        .filter(|_| found > signed(items.len()));
    Ok(HistoryPage { items, next })
}

fn entry(row: &SqliteRow) -> Result<HistoryEntry, Error> {
    let id: i64 = get(row, "id")?;
    let json = |column| Ok::<_, Error>(get::<Option<String>>(row, column)?.map(JsonText::trusted));
    let kind: i16 = number(row, TABLE, "kind", id)?;
    let kind = EventKind::from_code(kind).ok_or_else(|| damaged(TABLE, "kind", id, format!("{kind} is no kind")))?;
    let of_a_number: Option<i64> = get(row, "number")?;
    let is_refused = get::<i64>(row, "result")? != 0;
    let reason: Option<String> = get(row, "reason")?;
    let refusal = is_refused.then(|| reason.unwrap_or_default());
    let told = Told::read(&get::<String>(row, "notes")?, refusal.as_deref());
    let told = told.map_err(|error| damaged(TABLE, "notes", id, error.to_string()))?;
    Ok(HistoryEntry {
        seq: number(row, TABLE, "seq", id)?,
        kind,
        number: of_a_number.map(|_| number(row, TABLE, "number", id)).transpose()?,
        event_id: get(row, "event_id")?,
        name: get(row, "name")?,
        data: json("data")?,
        error: json("error")?,
        actor: get(row, "actor")?,
        received_at: timestamp(row, "received_at")?,
        processed_at: timestamp(row, "processed_at")?,
        refusal,
        version: number(row, TABLE, "version", id)?,
        from: state(row, TABLE, "from_state", id)?,
        to: state(row, TABLE, "to_state", id)?,
        told,
    })
}
