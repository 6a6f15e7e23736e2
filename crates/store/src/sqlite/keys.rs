//! API keys.

use async_trait::async_trait;
use orchestratum_core::Timestamp;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::error::sql;
use super::rows::{damaged, get, json, maybe_timestamp, parsed, timestamp};
use crate::{ApiKey, Error, KeyStore};

impl SqliteStore {
    /// Stores a key, always or only as the first of all.
    async fn store_key(&self, key: &ApiKey, only_first: bool) -> Result<bool, Error> {
        let ApiKey {
            id,
            name,
            secret_hash,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = key;
        let stored = sqlx::query(
            "INSERT INTO api_keys (id, name, secret_hash, scopes, created_at, expires_at, revoked_at, last_used_at)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8
             WHERE NOT ?9 OR NOT EXISTS (SELECT 1 FROM api_keys)",
        )
        .bind(id)
        .bind(name)
        .bind(&secret_hash[..])
        .bind(json(scopes))
        .bind(created_at.as_micros())
        .bind(expires_at.map(Timestamp::as_micros))
        .bind(revoked_at.map(Timestamp::as_micros))
        .bind(last_used_at.map(Timestamp::as_micros))
        .bind(only_first)
        .execute(&self.write)
        .await
        .map_err(sql)?;
        Ok(stored.rows_affected() == 1)
    }
}

#[async_trait]
impl KeyStore for SqliteStore {
    async fn insert_key(&self, key: &ApiKey) -> Result<(), Error> {
        self.store_key(key, false).await.map(|_| ())
    }

    async fn insert_first_key(&self, key: &ApiKey) -> Result<bool, Error> {
        self.store_key(key, true).await
    }

    async fn key(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        sqlx::query(
            "SELECT id, name, secret_hash, scopes, created_at, expires_at, revoked_at, last_used_at
             FROM api_keys
             WHERE id = ?1",
        )
        .bind(id)
        .fetch_optional(&self.read)
        .await
        .map_err(sql)?
        .map(|row| key(&row))
        .transpose()
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = sqlx::query(
            "SELECT id, name, secret_hash, scopes, created_at, expires_at, revoked_at, last_used_at
             FROM api_keys
             ORDER BY created_at DESC, id DESC",
        )
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter().map(key).collect()
    }

    async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, Error> {
        // The first revocation is the one that counts.
        let revoked = sqlx::query("UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1")
            .bind(id)
            .bind(now.as_micros())
            .execute(&self.write)
            .await
            .map_err(sql)?;
        Ok(revoked.rows_affected() == 1)
    }

    async fn touch_key(&self, id: &str, now: Timestamp) -> Result<(), Error> {
        sqlx::query("UPDATE api_keys SET last_used_at = ?2 WHERE id = ?1")
            .bind(id)
            .bind(now.as_micros())
            .execute(&self.write)
            .await
            .map_err(sql)?;
        Ok(())
    }
}

fn key(row: &SqliteRow) -> Result<ApiKey, Error> {
    let id: String = get(row, "id")?;
    let secret_hash: &[u8] = get(row, "secret_hash")?;
    Ok(ApiKey {
        name: get(row, "name")?,
        secret_hash: secret_hash
            .try_into()
            .map_err(|_| damaged("api_keys", "secret_hash", &id, "it has another length"))?,
        scopes: parsed(get(row, "scopes")?, "api_keys", "scopes", &id)?,
        created_at: timestamp(row, "created_at")?,
        expires_at: maybe_timestamp(row, "expires_at")?,
        revoked_at: maybe_timestamp(row, "revoked_at")?,
        last_used_at: maybe_timestamp(row, "last_used_at")?,
        id,
    })
}
