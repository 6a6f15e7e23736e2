//! The history of a saga, in its order.

use orchestratum_core::saga::StateName;
use orchestratum_core::{JsonText, SagaId};
use sqlx::FromRow;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int8, timestamp};
use crate::{Error, EventKind, HistoryEntry, HistoryPage, PAGE_BYTES, Told};

#[derive(Debug, FromRow)]
struct EntryRow {
    id: i64,
    seq: i64,
    kind: i16,
    number: Option<i32>,
    event_id: Option<String>,
    name: Option<String>,
    data: Option<String>,
    error: Option<String>,
    actor: Option<String>,
    received_at: Time,
    processed_at: Time,
    result: i16,
    reason: Option<String>,
    version: i64,
    from_state: String,
    to_state: String,
    notes: String,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

impl EntryRow {
    fn into_entry(self) -> Result<HistoryEntry, Error> {
        let place = Place {
            table: "saga_events",
            row: &self.id,
        };
        let number = |number: i32| place.number("number", number);
        let refusal = (self.result != 0).then(|| self.reason.unwrap_or_default());
        let told = place.take("notes", Told::read(&self.notes, refusal.as_deref()))?;
        Ok(HistoryEntry {
            seq: place.number("seq", self.seq)?,
            kind: place.present("kind", EventKind::from_code(self.kind))?,
            number: self.number.map(number).transpose()?,
            event_id: self.event_id,
            name: self.name,
            data: self.data.map(JsonText::trusted),
            error: self.error.map(JsonText::trusted),
            actor: self.actor,
            received_at: timestamp(self.received_at),
            processed_at: timestamp(self.processed_at),
            refusal,
            version: place.number("version", self.version)?,
            from: place.take("from_state", StateName::new(self.from_state))?,
            to: place.take("to_state", StateName::new(self.to_state))?,
            told,
        })
    }
}

pub(super) async fn history(
    database: &Database,
    saga: SagaId,
    after: Option<u64>,
    limit: usize,
) -> Result<HistoryPage, Error> {
    let after = after.map_or(0, |after| i64::try_from(after).unwrap_or(i64::MAX));
    let rows: Vec<EntryRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(PAGE)
                .bind(saga.0)
                .bind(after)
                .bind(int8(limit + 1))
                .bind(int8(PAGE_BYTES))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let items: Vec<HistoryEntry> = rows
        .into_iter()
        .take(limit)
        .map(EntryRow::into_entry)
        .collect::<Result<_, _>>()?;
    let next = items.last().map(|entry| entry.seq);
    Ok(HistoryPage {
        next: next.filter(|_| found > int8(items.len())),
        items,
    })
}

const PAGE: &str = "
    SELECT id, seq, kind, number, event_id, name, data, error, actor, received_at, processed_at, result, reason, version,
        from_state, to_state, notes, found
    FROM (
        SELECT page.*,
            count(*) OVER () AS found,
            sum(COALESCE(octet_length(data), 0) + COALESCE(octet_length(error), 0) + octet_length(notes))
                OVER (ORDER BY seq ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY seq) AS place
        FROM (
            SELECT * FROM saga_events WHERE saga_id = $1 AND seq > $2 ORDER BY seq LIMIT $3
        ) AS page
    ) AS page
    WHERE bytes <= $4 OR place = 1
    ORDER BY seq";
