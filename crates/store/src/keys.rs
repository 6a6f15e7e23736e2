//! API keys: only a hash of the secret is kept.

use async_trait::async_trait;
use orchestratum_core::Timestamp;

use crate::Error;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// The public part: it names the key in logs and in the audit.
    pub id: String,
    pub name: String,
    pub secret_hash: [u8; 32],
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

#[async_trait]
pub trait KeyStore: Send + Sync {
    async fn insert_key(&self, key: &ApiKey) -> Result<(), Error>;

    /// Stores the key only if there is none at all; of two processes that start together one wins.
    async fn insert_first_key(&self, key: &ApiKey) -> Result<bool, Error>;

    async fn key(&self, id: &str) -> Result<Option<ApiKey>, Error>;

    /// Newest first, revoked ones included.
    async fn keys(&self) -> Result<Vec<ApiKey>, Error>;

    /// `false` if there is no such key. Revoking twice is fine.
    async fn revoke_key(&self, id: &str, now: Timestamp) -> Result<bool, Error>;

    async fn touch_key(&self, id: &str, now: Timestamp) -> Result<(), Error>;
}
