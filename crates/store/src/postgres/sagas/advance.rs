//! Looking at sagas: lock, read what has arrived, step, write.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::saga::Instance;
use orchestratum_core::task::SpecLimits;
use orchestratum_core::{SagaId, Timestamp};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::super::database::Database;
use super::super::rows::{Place, int8};
use super::super::tasks::column;
use super::super::transaction::{Abort, Transaction};
use super::definitions;
use super::row::{SagaRow, saga_columns};
use super::stopped::stopped_children;
use super::write::{Rows, Writing};
use crate::compiled::Definitions;
use crate::decide::{
    self, ARRIVED_MAX, ARRIVED_MAX_BYTES, Arrived, ArrivedRows, EventColumns, KnownEvent, KnownEvents, Look,
    READ_MAX_BYTES, SagaHead,
};
use crate::{Advance, AdvanceOutcome, Error};

pub(super) async fn advance(
    database: &Database,
    advances: &[Advance],
    now: Timestamp,
) -> Result<Vec<AdvanceOutcome>, Error> {
    if advances.is_empty() {
        return Ok(Vec::new());
    }
    let look = |compiled| {
        database.transact(Looking {
            advances: advances.to_vec(),
            limits: database.limits,
            compiled,
            now,
        })
    };
    definitions::with_definitions(database, look).await
}

struct Looking {
    advances: Vec<Advance>,
    limits: SpecLimits,
    compiled: Definitions,
    now: Timestamp,
}

impl Transaction for Looking {
    type Output = Vec<AdvanceOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Vec<AdvanceOutcome>, Abort> {
        let ids: BTreeSet<Uuid> = self.advances.iter().map(|advance| advance.saga.0).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let locked = lock(connection, &ids).await?;
        let known = known_events(connection, &self.advances).await?;
        let wanted = locked
            .iter()
            .map(|(head, _)| (head.definition.clone(), head.definition_version));
        let compiled = definitions::compiled(connection, &self.compiled, wanted).await?;
        let stopped = stopped_children(connection, &locked).await?;
        let look = Look::new(&self.advances, locked, &compiled, &self.limits, self.now)?;
        let mut look = look.with_offers(&self.advances).with_stopped(&stopped);
        while let Some(last) = look.reads_on() {
            let rows = arrived(connection, &ids, last).await?;
            look.arrived(rows, tokio::task::yield_now).await;
        }
        let decide::Looked {
            mut folded,
            unlooked,
            again,
            cut,
        } = look.end(known, tokio::task::yield_now).await;
        let writing = Writing {
            limits: &self.limits,
            now: self.now,
        };
        let mut consequences = writing.write(connection, &mut folded, Rows::Changed).await?;
        consequences.unlooked.extend(unlooked);
        consequences.again = again;
        consequences.cut = cut;
        Ok(decide::answers(&self.advances, folded, consequences, self.now))
    }
}

/// Those of them that exist, unless they are too large together.
pub(super) async fn lock(connection: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<(SagaHead, Instance)>, Abort> {
    // What is large is stored beside its row and only read where it is asked for: its length costs nothing.
    let rows: Vec<SagaRow> = sqlx::query_as(concat!(
        "WITH locked AS MATERIALIZED (
            SELECT ",
        saga_columns!(),
        " FROM sagas WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
        ), size AS (
            SELECT count(*) AS sagas, sum(octet_length(instance) + octet_length(input)) AS bytes FROM locked
        )
        SELECT locked.* FROM locked CROSS JOIN size WHERE size.sagas = 1 OR size.bytes <= $2 ORDER BY locked.id"
    ))
    .bind(ids)
    .bind(int8(READ_MAX_BYTES))
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        let (exists,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM sagas WHERE id = ANY($1::uuid[]))")
            .bind(ids)
            .fetch_one(connection)
            .await?;
        if exists {
            return Err(Error::TooMuchAtOnce.into());
        }
    }
    let parts: Result<_, Error> = rows.into_iter().map(SagaRow::into_parts).collect();
    Ok(parts?)
}

#[derive(Debug, FromRow)]
struct ArrivedRow {
    id: i64,
    saga_id: Uuid,
    kind: i16,
    number: Option<i32>,
    timer: Option<i16>,
    entry: Option<i32>,
    event_id: Option<String>,
    name: Option<String>,
    data: Option<String>,
    error: Option<String>,
    may_have_run: Option<bool>,
    /// How many wait, up to one more than are read at a time.
    found: i64,
}

impl ArrivedRow {
    fn into_arrived(self) -> Result<(SagaId, Arrived), Error> {
        let place = Place {
            table: "saga_events",
            row: &self.id,
        };
        let number = |number: i32| place.number("number", number);
        let entry = |entry: i32| place.number("entry", entry);
        let columns = EventColumns {
            kind: self.kind,
            number: self.number.map(number).transpose()?,
            timer: self.timer,
            entry: self.entry.map(entry).transpose()?,
            event_id: self.event_id,
            name: self.name,
            data: self.data,
            error: self.error,
            may_have_run: self.may_have_run,
        };
        let input = columns
            .decode()
            .map_err(|(column, detail)| place.corrupt(column, detail))?;
        Ok((SagaId(self.saga_id), Arrived { id: self.id, input }))
    }
}

/// What waits to be looked at behind this row.
async fn arrived(connection: &mut PgConnection, ids: &[Uuid], last: i64) -> Result<ArrivedRows, Abort> {
    let rows: Vec<ArrivedRow> = sqlx::query_as(
        "SELECT id, saga_id, kind, number, timer, entry, event_id, name, data, error, may_have_run, found
        FROM (
            SELECT waiting.*,
                count(*) OVER () AS found,
                sum(coalesce(octet_length(data), 0) + coalesce(octet_length(error), 0))
                    OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes,
                row_number() OVER (ORDER BY id) AS place
            FROM (
                SELECT * FROM saga_events
                WHERE saga_id = ANY($1::uuid[]) AND seq IS NULL AND id > $3
                ORDER BY id
                LIMIT $2
            ) AS waiting
        ) AS waiting
        WHERE place = 1 OR (place < $2 AND coalesce(bytes, 0) <= $4)
        ORDER BY id",
    )
    .bind(ids)
    .bind(int8(ARRIVED_MAX + 1))
    .bind(last)
    .bind(int8(ARRIVED_MAX_BYTES))
    .fetch_all(connection)
    .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let rows: Result<Vec<_>, Error> = rows.into_iter().map(ArrivedRow::into_arrived).collect();
    let rows = rows?;
    Ok(ArrivedRows {
        has_more: int8(rows.len()) < found,
        rows,
    })
}

/// Each by the index of ids. Of those that are asked for there are few, and statistics may say that few have an id at all: a join that
/// believes them goes through all that ever came. OFFSET keeps it from being one. Public for a look at its plan.
pub const KNOWN_EVENTS: &str = "
    SELECT found.*
    FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::text[])) AS asked (saga_id, event_id)
    CROSS JOIN LATERAL (
        SELECT saga_id, event_id, name, data
        FROM saga_events
        WHERE saga_events.saga_id = asked.saga_id
          AND saga_events.event_id = asked.event_id
          AND (result IS NULL OR result = 0)
        OFFSET 0
    ) AS found";

/// Which events of these ids have been taken before, or wait.
async fn known_events(
    connection: &mut PgConnection,
    advances: &[Advance],
) -> Result<HashMap<SagaId, KnownEvents>, Abort> {
    let events = decide::brought_events(advances);
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(Uuid, String, Option<String>, Option<String>)> = sqlx::query_as(KNOWN_EVENTS)
        .bind(column(&events, |(saga, _)| saga.0))
        .bind(column(&events, |(_, event)| *event))
        .fetch_all(connection)
        .await?;
    let mut known: HashMap<SagaId, KnownEvents> = HashMap::new();
    for (saga, id, name, data) in rows {
        let event = KnownEvent::stored(name, data);
        known.entry(SagaId(saga)).or_default().insert(id, event);
    }
    Ok(known)
}
