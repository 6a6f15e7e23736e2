//! The rows of child sagas.

use std::collections::HashSet;

use orchestratum_core::{JsonText, RequestId, SagaId, Timestamp, TraceParent};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{int4, time};
use super::super::tasks::column;
use super::super::transaction::Abort;
use crate::decide::ChildRow;

/// Those that were inserted: where there is one of the definition and the correlation id already, or before it in these rows, it stays
/// the only one.
///
/// Whoever inserts does so in one order, so that two who would insert the same wait for each other and not in a circle.
pub(super) async fn insert_children(
    connection: &mut PgConnection,
    rows: &[ChildRow<'_>],
    now: Timestamp,
) -> Result<HashSet<SagaId>, Abort> {
    if rows.is_empty() {
        return Ok(HashSet::new());
    }
    let instances: Vec<JsonText> = rows.iter().map(|row| row.instance.to_stored()).collect();
    let inserted: Vec<(Uuid,)> = sqlx::query_as(
        "INSERT INTO sagas (
            id, definition, definition_version, correlation_id, input, parent_id, parent_number, depth, trace_parent, request_id,
            created_at, status, state, version, last_seq, instance, updated_at
        )
        SELECT
            id, definition, definition_version, correlation_id, input, parent_id, parent_number, depth, trace_parent, request_id,
            $14, status, state, 0, 0, instance, $14
        FROM UNNEST(
            $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::uuid[], $7::integer[], $8::smallint[], $9::text[],
            $10::text[], $11::smallint[], $12::text[], $13::text[]
        ) WITH ORDINALITY AS child (
            id, definition, definition_version, correlation_id, input, parent_id, parent_number, depth, trace_parent, request_id,
            status, state, instance, place
        )
        ORDER BY correlation_id COLLATE \"C\", definition COLLATE \"C\", place
        ON CONFLICT (correlation_id, definition) DO NOTHING
        RETURNING id",
    )
    .bind(column(rows, |row| row.id().0))
    .bind(column(rows, |row| row.child.definition.as_str()))
    .bind(column(rows, |row| int4(row.definition_version)))
    .bind(column(rows, |row| row.child.correlation_id.as_str()))
    .bind(column(rows, |row| row.child.input.as_str()))
    .bind(column(rows, |row| row.parent.head.id.0))
    .bind(column(rows, |row| int4(row.child.number)))
    .bind(column(rows, |row| i16::from(row.depth)))
    .bind(column(rows, |row| row.parent.head.origin.trace_parent.as_ref().map(TraceParent::as_str)))
    .bind(column(rows, |row| row.parent.head.origin.request_id.as_ref().map(RequestId::as_str)))
    .bind(column(rows, |row| row.instance.status().code()))
    .bind(column(rows, |row| row.instance.state.as_str()))
    .bind(column(&instances, JsonText::as_str))
    .bind(time(now))
    .fetch_all(connection)
    .await?;
    Ok(inserted.into_iter().map(|(id,)| SagaId(id)).collect())
}
