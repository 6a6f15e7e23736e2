//! Idempotency keys: what the keys of callers stand for.

use std::collections::HashMap;

use orchestratum_core::Timestamp;
use sqlx::PgConnection;
use uuid::Uuid;

use super::failure;
use super::rows::{Place, time};
use super::transaction::Abort;
use crate::decide::KeptKey;
use crate::{Error, IdempotencyKey};

/// Those of `keys` that were used before, by scope and key.
pub(super) async fn kept(
    connection: &mut PgConnection,
    keys: &[&IdempotencyKey],
) -> Result<HashMap<(String, String), KeptKey>, Abort> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<(String, String, Vec<u8>, Vec<Uuid>)> = sqlx::query_as(
        "SELECT scope, key, body_hash, resource_ids
        FROM idempotency_keys
        WHERE (scope, key) IN (SELECT * FROM UNNEST($1::text[], $2::text[]))",
    )
    .bind(keys.iter().map(|key| key.scope.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(scope, key, body_hash, ids)| {
            let row = format!("{scope}/{key}");
            let body_hash = hash("idempotency_keys", "body_hash", &row, body_hash)?;
            Ok(((scope, key), KeptKey { body_hash, ids }))
        })
        .collect()
}

/// Lets each key stand for the resources beside it. A key that somebody else has used since it was asked for lets the
/// transaction begin again.
pub(super) async fn keep(
    connection: &mut PgConnection,
    mut keys: Vec<(&IdempotencyKey, Vec<Uuid>)>,
    now: Timestamp,
) -> Result<(), Abort> {
    if keys.is_empty() {
        return Ok(());
    }
    // One order for all, so that two batches with the same keys wait for each other and never deadlock.
    keys.sort_by(|(a, _), (b, _)| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
        SELECT scope, key, body_hash, resource_ids::uuid[], $5
        FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::text[]) AS new (scope, key, body_hash, resource_ids)",
    )
    .bind(keys.iter().map(|(key, _)| key.scope.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(key, _)| key.key.as_str()).collect::<Vec<_>>())
    .bind(keys.iter().map(|(key, _)| &key.body_hash[..]).collect::<Vec<_>>())
    .bind(keys.iter().map(|(_, ids)| array_text(ids)).collect::<Vec<_>>())
    .bind(time(now))
    .execute(connection)
    .await
    .map_err(|error| overtaken_on(error, "idempotency_keys_pkey"))?;
    Ok(())
}

/// An array as PostgreSQL writes it: a parameter cannot hold lists of several lengths.
fn array_text(ids: &[Uuid]) -> String {
    let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
    format!("{{{}}}", ids.join(","))
}

/// The SHA-256 of a request.
pub(super) fn hash(
    table: &'static str,
    column: &'static str,
    row: &(impl std::fmt::Display + Sync),
    bytes: Vec<u8>,
) -> Result<[u8; 32], Error> {
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| Place { table, row }.corrupt(column, format!("it has {length} bytes, not 32")))
}

/// Somebody else's row of the same key lets the transaction begin again, and read that.
pub(super) fn overtaken_on(error: sqlx::Error, constraint: &str) -> Abort {
    if failure::is_conflict_on(&error, constraint) {
        Abort::Overtaken
    } else {
        Abort::Sql(error)
    }
}
