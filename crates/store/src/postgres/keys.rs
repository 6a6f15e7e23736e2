//! API keys.

use async_trait::async_trait;
use orchestratum_core::Timestamp;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{FromRow, PgConnection, Postgres};

use super::PostgresStore;
use super::database::AfterUnknown;
use super::rows::{Place, Time, time, timestamp};
use super::transaction::{Abort, Transaction};
use crate::{ApiKey, Error, KeyStore};

const INSERT: &str = "
    INSERT INTO api_keys (id, name, secret_hash, scopes, created_at, expires_at, revoked_at, last_used_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

fn insert(key: &ApiKey) -> Query<'_, Postgres, PgArguments> {
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
    sqlx::query(INSERT)
        .bind(id)
        .bind(name)
        .bind(secret_hash)
        .bind(scopes)
        .bind(time(*created_at))
        .bind(expires_at.map(time))
        .bind(revoked_at.map(time))
        .bind(last_used_at.map(time))
}

#[async_trait]
impl KeyStore for PostgresStore {
    async fn insert_key(&self, key: &ApiKey) -> Result<(), Error> {
        self.database.transact(Insert { key: key.clone() }).await
    }

    async fn insert_first_key(&self, key: &ApiKey) -> Result<bool, Error> {
        self.database.transact(InsertFirst { key: key.clone() }).await
    }

    async fn key(&self, id: &str) -> Result<Option<ApiKey>, Error> {
        let row: Option<KeyRow> = self
            .database
            .optional(|| sqlx::query_as("SELECT * FROM api_keys WHERE id = $1").bind(id))
            .await?;
        row.map(KeyRow::into_key).transpose()
    }

    async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows: Vec<KeyRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as("SELECT * FROM api_keys ORDER BY created_at DESC, id DESC")
            })
            .await?;
        rows.into_iter().map(KeyRow::into_key).collect()
    }

    async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, Error> {
        let revoked = self
            .database
            .execute(|| {
                sqlx::query("UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1")
                    .bind(id)
                    .bind(time(now))
            })
            .await?;
        Ok(revoked > 0)
    }

    async fn touch_key(&self, id: &str, now: Timestamp) -> Result<(), Error> {
        self.database
            .execute(|| {
                sqlx::query("UPDATE api_keys SET last_used_at = GREATEST(last_used_at, $2) WHERE id = $1")
                    .bind(id)
                    .bind(time(now))
            })
            .await?;
        Ok(())
    }
}

struct Insert {
    key: ApiKey,
}

impl Transaction for Insert {
    type Output = ();

    async fn perform(&self, connection: &mut PgConnection) -> Result<(), Abort> {
        insert(&self.key).execute(connection).await?;
        Ok(())
    }
}

struct InsertFirst {
    key: ApiKey,
}

impl Transaction for InsertFirst {
    type Output = bool;

    async fn perform(&self, connection: &mut PgConnection) -> Result<bool, Abort> {
        // Two processes that start together: the second waits here, and then sees the key of the first.
        sqlx::query("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE")
            .execute(&mut *connection)
            .await?;
        let (exists,): (bool,) = sqlx::query_as("SELECT EXISTS (SELECT FROM api_keys)")
            .fetch_one(&mut *connection)
            .await?;
        if !exists {
            insert(&self.key).execute(connection).await?;
        }
        Ok(!exists)
    }
}

#[derive(FromRow)]
struct KeyRow {
    id: String,
    name: String,
    secret_hash: Vec<u8>,
    scopes: Vec<String>,
    created_at: Time,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
    last_used_at: Option<Time>,
}

impl KeyRow {
    fn into_key(self) -> Result<ApiKey, Error> {
        let Self {
            id,
            name,
            secret_hash,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = self;
        let place = Place {
            table: "api_keys",
            row: &id,
        };
        let secret_hash = secret_hash
            .try_into()
            .map_err(|_| place.corrupt("secret_hash", "it does not have 32 bytes"))?;
        Ok(ApiKey {
            secret_hash,
            id,
            name,
            scopes,
            created_at: timestamp(created_at),
            expires_at: expires_at.map(timestamp),
            revoked_at: revoked_at.map(timestamp),
            last_used_at: last_used_at.map(timestamp),
        })
    }
}
