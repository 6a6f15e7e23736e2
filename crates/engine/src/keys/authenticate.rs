//! Who is calling.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hmac::Mac;
use orchestratum_core::Timestamp;
use orchestratum_store::ApiKey;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::text::mac;
use super::{KeyText, Scope};
use crate::clock::monotonic_now;
use crate::{AuthSettings, Engine, Error, error};

/// How long a key's row is believed: a revoked key works no longer than this in other processes.
const BELIEVED_FOR: Duration = Duration::from_secs(5);

/// The most keys that are remembered.
const REMEMBERED: usize = 10_000;

/// How many keys are read from the database at a time.
const READERS: usize = 2;

/// How long a request waits for a place among the readers.
const READING_PATIENCE: Duration = Duration::from_secs(5);

/// How often the last use of a key is written down.
const TOUCHED_EVERY: Duration = Duration::from_secs(3_600);

/// The shortest bootstrap key.
pub(crate) const BOOTSTRAP_KEY_MIN_LENGTH: usize = 16;

/// What the bootstrap key is called, which is in no row. The ids of others have another length.
const BOOTSTRAP: &str = "bootstrap";

/// An authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The public id of the key, or `bootstrap`.
    pub key_id: String,
    scopes: Vec<Scope>,
}

impl Identity {
    fn of(key: ApiKey) -> Self {
        let scopes = key.scopes.iter().filter_map(|scope| scope.parse().ok()).collect();
        Self { key_id: key.id, scopes }
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// Wrong, unknown, expired or revoked: a caller is not told which.
    #[error("the API key is not valid")]
    Refused,
    #[error("the API key cannot be checked")]
    Unavailable(#[source] Error),
}

/// The rows of keys that were used in the last seconds.
#[derive(Debug)]
pub(crate) struct KeyCache {
    bootstrap: SecretString,
    pepper: SecretString,
    rows: Mutex<Rows>,
    /// Places for reading keys: whoever makes keys up must not get all connections to the database.
    reading: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct Rows {
    by_id: HashMap<String, (ApiKey, Instant)>,
    /// How many keys this process has revoked: a row that was read before the newest of them is not believed.
    revocations: u64,
}

impl KeyCache {
    pub(crate) fn new(settings: &AuthSettings) -> Self {
        Self {
            bootstrap: settings.bootstrap_key.clone(),
            pepper: settings.pepper.clone(),
            rows: Mutex::default(),
            reading: Arc::new(Semaphore::new(READERS)),
        }
    }

    pub(super) fn forget(&self, id: &str) {
        let mut rows = self.rows.lock();
        rows.by_id.remove(id);
        rows.revocations += 1;
    }

    fn revocations(&self) -> u64 {
        self.rows.lock().revocations
    }

    /// Compared as hashes, in a time that does not depend on where they differ.
    fn is_bootstrap(&self, text: &str) -> bool {
        let known = self.bootstrap.expose_secret();
        known.len() >= BOOTSTRAP_KEY_MIN_LENGTH
            && mac(&self.pepper, text)
                .verify(&mac(&self.pepper, known).finalize().into_bytes())
                .is_ok()
    }

    fn believed(&self, id: &str) -> Option<ApiKey> {
        let rows = self.rows.lock();
        let (key, read_at) = rows.by_id.get(id)?;
        (monotonic_now().saturating_duration_since(*read_at) < BELIEVED_FOR).then(|| key.clone())
    }

    /// Whether the use is to be noted, which only the first of many requests is told.
    fn used(&self, id: &str, now: Timestamp) -> bool {
        let mut rows = self.rows.lock();
        let Some((key, _)) = rows.by_id.get_mut(id) else {
            // It was revoked, or pushed out: the next request reads it again.
            return false;
        };
        let noted = |used_at| now.saturating_since(used_at) < TOUCHED_EVERY;
        if key.last_used_at.is_some_and(noted) {
            return false;
        }
        key.last_used_at = Some(now);
        true
    }

    fn believe(&self, key: ApiKey, revocations_before_reading: u64) {
        let mut rows = self.rows.lock();
        if rows.revocations != revocations_before_reading {
            return;
        }
        if rows.by_id.len() >= REMEMBERED {
            rows.by_id.clear();
        }
        rows.by_id.insert(key.id.clone(), (key, monotonic_now()));
    }
}

impl Engine {
    /// # Errors
    /// [`AuthenticationError::Refused`] unless the text is a key that is valid now.
    pub async fn authenticate(&self, text: &str) -> Result<Identity, AuthenticationError> {
        let cache = &self.parts.keys;
        if cache.is_bootstrap(text) {
            return Ok(Identity {
                key_id: BOOTSTRAP.to_owned(),
                scopes: vec![Scope::Admin],
            });
        }
        let text = KeyText::parse(text).ok_or(AuthenticationError::Refused)?;
        let key = self.key(text.id()).await?;
        let now = self.parts.clock.now();
        if !text.matches(&cache.pepper, &key.secret_hash) || !is_valid(&key, now) {
            return Err(AuthenticationError::Refused);
        }
        self.note_use(&key.id, now);
        Ok(Identity::of(key))
    }

    /// Whether a caller who was authenticated before would be the same again: for what outlives the request.
    ///
    /// # Errors
    /// Where the key cannot be checked.
    pub(crate) async fn is_still(&self, caller: &Identity) -> Result<bool, Error> {
        if caller.key_id == BOOTSTRAP {
            return Ok(true);
        }
        match self.key(&caller.key_id).await {
            Ok(key) => Ok(is_valid(&key, self.parts.clock.now()) && Identity::of(key) == *caller),
            Err(AuthenticationError::Refused) => Ok(false),
            Err(AuthenticationError::Unavailable(error)) => Err(error),
        }
    }

    async fn key(&self, id: &str) -> Result<ApiKey, AuthenticationError> {
        match self.parts.keys.believed(id) {
            Some(key) => Ok(key),
            None => self.read_key(id).await,
        }
    }

    async fn read_key(&self, id: &str) -> Result<ApiKey, AuthenticationError> {
        let overloaded = |_| AuthenticationError::Unavailable(Error::Overloaded);
        let place = timeout(READING_PATIENCE, Arc::clone(&self.parts.keys.reading).acquire_owned())
            .await
            .map_err(overloaded)?
            .expect("the semaphore is never closed");
        let (engine, id) = (self.clone(), id.to_owned());
        // A task of its own: a caller that goes away in the middle would cost the pool a connection.
        let reading = tokio::spawn(async move {
            let _place = place;
            // Others may have read it while this one waited: many callers may use one key.
            match engine.parts.keys.believed(&id) {
                Some(key) => Ok(key),
                None => engine.stored_key(&id).await,
            }
        });
        reading
            .await
            .unwrap_or(Err(AuthenticationError::Unavailable(Error::Panicked)))
    }

    async fn stored_key(&self, id: &str) -> Result<ApiKey, AuthenticationError> {
        let unavailable = |error: orchestratum_store::Error| AuthenticationError::Unavailable(error.into());
        let revocations = self.parts.keys.revocations();
        let key = self
            .parts
            .store
            .key(id)
            .await
            .map_err(unavailable)?
            .ok_or(AuthenticationError::Refused)?;
        self.parts.keys.believe(key.clone(), revocations);
        Ok(key)
    }

    /// Only of a key whose secret was right: its id alone is no secret. Whoever tried a wrong one before may have had the
    /// row read, so that says nothing about whether the use was noted.
    fn note_use(&self, id: &str, now: Timestamp) {
        if !self.parts.keys.used(id, now) {
            return;
        }
        let (engine, id) = (self.clone(), id.to_owned());
        // A task of its own, as reading is; and nobody need wait for it.
        tokio::spawn(async move {
            if let Err(error) = engine.parts.store.touch_key(&id, now).await {
                tracing::debug!(error = %error::chain(&error), "the last use of a key was not written down");
            }
        });
    }
}

fn is_valid(key: &ApiKey, now: Timestamp) -> bool {
    key.revoked_at.is_none() && key.expires_at.is_none_or(|expires_at| expires_at > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_read_before_a_revocation_is_not_believed_after_it() {
        let cache = KeyCache::new(&AuthSettings {
            bootstrap_key: SecretString::from(""),
            create_first_key: false,
            pepper: SecretString::from(""),
        });
        let key = ApiKey {
            id: "public".to_owned(),
            name: "ci".to_owned(),
            secret_hash: [0; 32],
            scopes: Vec::new(),
            created_at: Timestamp::EPOCH,
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        let before = cache.revocations();
        cache.forget("public");
        cache.believe(key.clone(), before);
        assert_eq!(cache.believed("public"), None);
        cache.believe(key.clone(), cache.revocations());
        assert_eq!(cache.believed("public"), Some(key));
    }
}
