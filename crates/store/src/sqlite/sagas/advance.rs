//! Looking at sagas: read them and what has arrived, step, write.

use std::collections::{BTreeSet, HashMap};

use orchestratum_core::saga::Instance;
use orchestratum_core::{SagaId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, signed};
use super::super::values::{OverValues, over_values};
use super::definitions;
use super::row::{self, saga_columns, saga_id, saga_list};
use super::stopped::stopped_children;
use super::write::{Rows, write};
use crate::compiled::Definitions;
use crate::decide::{
    self, ARRIVED_MAX, ARRIVED_MAX_BYTES, Arrived, ArrivedRows, EventColumns, KnownEvent, KnownEvents, Look, SagaHead,
};
use crate::{Advance, AdvanceOutcome, Error};

pub(super) async fn advance(
    store: &SqliteStore,
    advances: &[Advance],
    now: Timestamp,
) -> Result<Vec<AdvanceOutcome>, Error> {
    if advances.is_empty() {
        return Ok(Vec::new());
    }
    definitions::with_definitions(store, |definitions| look(store, definitions, advances, now)).await
}

async fn look(
    store: &SqliteStore,
    definitions: Definitions,
    advances: &[Advance],
    now: Timestamp,
) -> Result<Vec<AdvanceOutcome>, Error> {
    let ids: BTreeSet<SagaId> = advances.iter().map(|advance| advance.saga).collect();
    let ids: Vec<SagaId> = ids.into_iter().collect();
    let mut transaction = store.begin().await?;
    let locked = read(&mut transaction, &ids).await?;
    let known = known_events(&mut transaction, advances).await?;
    let wanted = locked
        .iter()
        .map(|(head, _)| (head.definition.clone(), head.definition_version));
    let compiled = definitions::compiled(&mut transaction, &definitions, wanted).await?;
    let stopped = stopped_children(&mut transaction, &locked).await?;
    let look = Look::new(advances, locked, &compiled, &store.limits, now)?;
    let mut look = look.with_stopped(&stopped);
    while let Some(last) = look.reads_on() {
        let rows = arrived(&mut transaction, &ids, last).await?;
        look.arrived(rows, tokio::task::yield_now).await;
    }
    let decide::Looked {
        folded,
        unlooked,
        again,
        cut,
    } = look.end(known, tokio::task::yield_now).await;
    let mut consequences = write(&mut transaction, &folded, Rows::Changed, store, now).await?;
    transaction.commit().await.map_err(sql)?;
    consequences.unlooked.extend(unlooked);
    consequences.again = again;
    consequences.cut = cut;
    Ok(decide::answers(advances, folded, consequences, now))
}

/// Those of them that exist, unless they are too large together.
pub(super) async fn read(
    connection: &mut SqliteConnection,
    ids: &[SagaId],
) -> Result<Vec<(SagaHead, Instance)>, Error> {
    static READ: OverValues = over_values!(
        "WITH wanted (id) AS (VALUES ",
        "(?)",
        concat!(
            ")
         SELECT ",
            saga_columns!(),
            "
         FROM wanted w
         CROSS JOIN sagas s ON s.id = w.id"
        )
    );
    if ids.len() > 1 {
        let size = sqlx::query(
            "SELECT count(*) AS sagas, coalesce(sum(octet_length(instance) + octet_length(input)), 0) AS bytes
             FROM sagas
             WHERE id IN (SELECT unhex(value) FROM json_each(?1))",
        )
        .bind(saga_list(ids.iter().copied()))
        .fetch_one(&mut *connection)
        .await
        .map_err(sql)?;
        let number = |column| get::<i64>(&size, column).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        decide::fits(number("sagas")?, number("bytes")?)?;
    }
    let rows = READ
        .fetch(
            connection,
            ids,
            |statement| statement,
            |statement, id| statement.bind(id.0),
        )
        .await?;
    rows.iter().map(row::parts).collect()
}

/// What waits to be looked at behind this row.
async fn arrived(connection: &mut SqliteConnection, ids: &[SagaId], last: i64) -> Result<ArrivedRows, Error> {
    let rows = sqlx::query(
        "SELECT e.id, saga_id, kind, number, timer, entry, event_id, name, data, error, may_have_run, found
         FROM (
             SELECT
                 id,
                 count(*) OVER () AS found,
                 sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS bytes,
                 row_number() OVER (ORDER BY id) AS place
             FROM (
                 SELECT id, coalesce(octet_length(data), 0) + coalesce(octet_length(error), 0) AS size
                 FROM saga_events INDEXED BY saga_events_waiting
                 WHERE seq IS NULL AND saga_id IN (SELECT unhex(value) FROM json_each(?1)) AND id > ?3
                 ORDER BY id
                 LIMIT ?2
             )
         ) w
         CROSS JOIN saga_events e ON e.id = w.id
         WHERE place = 1 OR (place < ?2 AND bytes <= ?4)
         ORDER BY w.id",
    )
    .bind(saga_list(ids.iter().copied()))
    .bind(signed(ARRIVED_MAX + 1))
    .bind(last)
    .bind(signed(ARRIVED_MAX_BYTES))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
    let rows: Vec<_> = rows.iter().map(waiting).collect::<Result<_, _>>()?;
    Ok(ArrivedRows {
        has_more: signed(rows.len()) < found,
        rows,
    })
}

fn waiting(row: &SqliteRow) -> Result<(SagaId, Arrived), Error> {
    const TABLE: &str = "saga_events";
    let id: i64 = get(row, "id")?;
    let columns = EventColumns {
        kind: get(row, "kind")?,
        number: get(row, "number")?,
        timer: get(row, "timer")?,
        entry: get(row, "entry")?,
        event_id: get(row, "event_id")?,
        name: get(row, "name")?,
        data: get(row, "data")?,
        error: get(row, "error")?,
        may_have_run: get(row, "may_have_run")?,
    };
    let input = columns
        .decode()
        .map_err(|(column, detail)| damaged(TABLE, column, id, detail))?;
    Ok((saga_id(row, "saga_id")?, Arrived { id, input }))
}

/// Which events of these ids have been taken before, or wait.
async fn known_events(
    connection: &mut SqliteConnection,
    advances: &[Advance],
) -> Result<HashMap<SagaId, KnownEvents>, Error> {
    static KNOWN: OverValues = over_values!(
        "WITH brought (saga_id, event_id) AS (VALUES ",
        "(?, ?)",
        ")
         SELECT e.saga_id, e.event_id, e.name, e.data
         FROM brought b
         CROSS JOIN saga_events e INDEXED BY saga_events_once ON e.saga_id = b.saga_id AND e.event_id = b.event_id
         WHERE e.event_id IS NOT NULL AND (e.result IS NULL OR e.result = 0)"
    );
    let rows = KNOWN
        .fetch(
            connection,
            &decide::brought_events(advances),
            |statement| statement,
            |statement, (saga, event)| statement.bind(saga.0).bind((*event).to_owned()),
        )
        .await?;
    let mut known: HashMap<SagaId, KnownEvents> = HashMap::new();
    for row in &rows {
        let saga = saga_id(row, "saga_id")?;
        let event = KnownEvent::stored(get(row, "name")?, get(row, "data")?);
        known.entry(saga).or_default().insert(get(row, "event_id")?, event);
    }
    Ok(known)
}
