//! Idempotency keys: what the keys of callers stand for.

use std::collections::HashMap;

use orchestratum_core::Timestamp;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::error::sql;
use super::rows::{damaged, get, json, parsed};
use crate::decide::KeptKey;
use crate::{Error, IdempotencyKey};

/// Those of `keys` that were used before, by scope and key.
pub(super) async fn kept(
    connection: &mut SqliteConnection,
    keys: &[&IdempotencyKey],
) -> Result<HashMap<(String, String), KeptKey>, Error> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted: Vec<(&str, &str)> = keys.iter().map(|key| (key.scope.as_str(), key.key.as_str())).collect();
    let rows = sqlx::query(
        "SELECT k.scope, k.key, k.body_hash, k.resource_ids
         FROM json_each(?1) w
         JOIN idempotency_keys k ON k.scope = w.value ->> 0 AND k.key = w.value ->> 1",
    )
    .bind(json(&wanted))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let key: String = get(row, "key")?;
            let kept = KeptKey {
                body_hash: hash(get(row, "body_hash")?, "idempotency_keys", "body_hash", &key)?,
                ids: parsed(get(row, "resource_ids")?, "idempotency_keys", "resource_ids", &key)?,
            };
            Ok(((get(row, "scope")?, key), kept))
        })
        .collect()
}

/// Lets each key stand for the resources beside it.
pub(super) async fn keep(
    connection: &mut SqliteConnection,
    keys: Vec<(&IdempotencyKey, Vec<Uuid>)>,
    now: Timestamp,
) -> Result<(), Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let rows: Vec<(&str, &str, String, String)> = keys
        .iter()
        .map(|(key, ids)| (key.scope.as_str(), key.key.as_str(), hex(&key.body_hash), json(ids)))
        .collect();
    sqlx::query(
        "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
         SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, ?2
         FROM json_each(?1)",
    )
    .bind(json(&rows))
    .bind(now.as_micros())
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

/// The SHA-256 of a request.
pub(super) fn hash(bytes: &[u8], table: &'static str, column: &'static str, row: &str) -> Result<[u8; 32], Error> {
    bytes
        .try_into()
        .map_err(|_| damaged(table, column, row, format!("{} bytes are no SHA-256", bytes.len())))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a String takes every character");
            text
        })
}
