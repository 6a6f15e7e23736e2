//! The history of sagas: what came of what had arrived, and of what callers brought.

use orchestratum_core::{SagaId, Timestamp};
use sqlx::SqliteConnection;

use super::super::rows::signed;
use super::super::values::{OverValues, over_values};
use crate::Error;
use crate::decide::{EventColumns, EventSource, EventWrite, Folded};

pub(super) async fn write_events(
    connection: &mut SqliteConnection,
    folded: &[Folded],
    now: Timestamp,
) -> Result<(), Error> {
    let (mut arrived, mut brought) = (Vec::new(), Vec::new());
    for saga in folded {
        for write in &saga.events {
            match &write.source {
                EventSource::Arrived(id) => arrived.push((*id, write)),
                EventSource::Brought { columns, actor } => brought.push(Brought {
                    saga: saga.head.id,
                    columns,
                    actor: actor.as_ref(),
                    write,
                }),
            }
        }
    }
    update(connection, &arrived, now).await?;
    insert(connection, &brought, now).await
}

const fn result(write: &EventWrite) -> i16 {
    if write.refusal.is_some() { 1 } else { 0 }
}

/// The rows that waited.
async fn update(
    connection: &mut SqliteConnection,
    arrived: &[(i64, &EventWrite)],
    now: Timestamp,
) -> Result<(), Error> {
    static UPDATE: OverValues = over_values!(
        "WITH looked_at (id, seq, result, version, from_state, to_state, reason, notes, processed_at) AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         UPDATE saga_events
         SET seq = l.seq,
             result = l.result,
             version = l.version,
             from_state = l.from_state,
             to_state = l.to_state,
             reason = l.reason,
             notes = l.notes,
             processed_at = l.processed_at
         FROM looked_at l
         WHERE saga_events.id = l.id"
    );
    UPDATE
        .execute(connection, arrived, |statement, (id, write)| {
            statement
                .bind(*id)
                .bind(signed(write.seq))
                .bind(result(write))
                .bind(signed(write.version))
                .bind(write.from.as_str().to_owned())
                .bind(write.to.as_str().to_owned())
                .bind(write.refusal.clone())
                .bind(write.notes.clone())
                .bind(now.as_micros())
        })
        .await
}

/// What a caller brought, with its saga.
struct Brought<'a> {
    saga: SagaId,
    columns: &'a EventColumns,
    actor: Option<&'a String>,
    write: &'a EventWrite,
}

async fn insert(connection: &mut SqliteConnection, brought: &[Brought<'_>], now: Timestamp) -> Result<(), Error> {
    static INSERT: OverValues = over_values!(
        "WITH new AS (VALUES ",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ")
         INSERT INTO saga_events (
             saga_id, kind, number, event_id, name, data, actor, seq, result, version, from_state, to_state, reason, notes,
             received_at, processed_at
         )
         SELECT * FROM new WHERE column1 IS NOT NULL"
    );
    INSERT
        .execute(connection, brought, |statement, brought| {
            let (columns, write) = (brought.columns, brought.write);
            statement
                .bind(brought.saga.0)
                .bind(columns.kind)
                .bind(columns.number)
                .bind(columns.event_id.clone())
                .bind(columns.name.clone())
                .bind(columns.data.clone())
                .bind(brought.actor.cloned())
                .bind(signed(write.seq))
                .bind(result(write))
                .bind(signed(write.version))
                .bind(write.from.as_str().to_owned())
                .bind(write.to.as_str().to_owned())
                .bind(write.refusal.clone())
                .bind(write.notes.clone())
                .bind(now.as_micros())
                .bind(now.as_micros())
        })
        .await
}
