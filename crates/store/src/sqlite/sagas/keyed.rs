//! What an idempotency key stands for.

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::idempotency;
use crate::{Error, IdempotencyKey, KeyedSaga};

pub(super) async fn saga(store: &SqliteStore, key: &IdempotencyKey) -> Result<Option<KeyedSaga>, Error> {
    let mut connection = store.read.acquire().await.map_err(sql)?;
    let kept = idempotency::kept(&mut connection, &[key]).await?;
    Ok(kept.into_values().next().map(|kept| kept.saga(key)))
}
