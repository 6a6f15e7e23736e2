//! Making keys.

use orchestratum_core::Timestamp;
use orchestratum_core::task::Violations;
use orchestratum_store::ApiKey;

use super::{KeyText, Scope};
use crate::{Engine, Error};

const NAME_MAX_LENGTH: usize = 100;

#[derive(Debug, Clone)]
pub struct CreateKey {
    /// For people.
    pub name: String,
    pub scopes: Vec<Scope>,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug)]
pub struct CreatedKey {
    pub key: ApiKey,
    /// Shown once: it cannot be had again.
    pub text: KeyText,
}

impl Engine {
    /// # Errors
    /// [`Error::Invalid`].
    pub async fn create_key(&self, request: CreateKey) -> Result<CreatedKey, Error> {
        let created = self.new_key(request)?;
        self.parts.store.insert_key(&created.key).await?;
        Ok(created)
    }

    /// A key with all rights, if there is no key at all yet.
    pub async fn create_first_key(&self) -> Result<Option<CreatedKey>, Error> {
        let request = CreateKey {
            name: "first key".to_owned(),
            scopes: vec![Scope::Admin],
            expires_at: None,
        };
        let created = self.new_key(request)?;
        Ok(self
            .parts
            .store
            .insert_first_key(&created.key)
            .await?
            .then_some(created))
    }

    fn new_key(&self, request: CreateKey) -> Result<CreatedKey, Error> {
        let now = self.parts.clock.now();
        let mut violations = Violations::default();
        if request.name.is_empty() || request.name.len() > NAME_MAX_LENGTH || request.name.contains('\0') {
            violations.add(
                "/name",
                format!("must have 1 to {NAME_MAX_LENGTH} bytes, none of them U+0000"),
            );
        }
        if request.scopes.is_empty() {
            violations.add("/scopes", "must name at least one scope");
        }
        if request.expires_at.is_some_and(|expires_at| expires_at <= now) {
            violations.add("/expires_at", format!("must be later than {now}"));
        }
        violations.into_result().map_err(Error::Invalid)?;
        let text = KeyText::random();
        let key = ApiKey {
            id: text.id().to_owned(),
            name: request.name,
            secret_hash: text.hash(&self.parts.settings.auth.pepper),
            scopes: request.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            created_at: now,
            expires_at: request.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        Ok(CreatedKey { key, text })
    }
}
