//! What an idempotency key stands for.

use uuid::Uuid;

use super::super::database::Database;
use super::super::idempotency::hash;
use crate::decide::KeptKey;
use crate::{Error, IdempotencyKey, KeyedSaga};

pub(super) async fn saga(database: &Database, key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error> {
    let row: Option<(Vec<u8>, Vec<Uuid>)> = database
        .optional(|| {
            sqlx::query_as("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = $1 AND key = $2")
                .bind(&key.scope)
                .bind(&key.key)
        })
        .await?;
    let Some((body_hash, ids)) = row else { return Ok(None) };
    let body_hash = hash("idempotency_keys", "body_hash", &key.key, body_hash)?;
    Ok(Some(KeptKey { body_hash, ids }.saga(key)))
}
