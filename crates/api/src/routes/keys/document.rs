//! An API key as it is shown: never its secret.

use orchestratum_core::Timestamp;
use orchestratum_store::ApiKey;
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::schema;

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyDocument {
    /// The public part: it names the key in logs.
    #[schema(example = "x7Gb20QmZt1c")]
    id: String,
    name: String,
    #[schema(example = json!(["tasks:read", "tasks:write"]))]
    scopes: Vec<String>,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
    #[schema(value_type = Option<schema::Time>)]
    expires_at: Option<Timestamp>,
    #[schema(value_type = Option<schema::Time>)]
    revoked_at: Option<Timestamp>,
    /// To within an hour.
    #[schema(value_type = Option<schema::Time>)]
    last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyDocument {
    fn from(key: ApiKey) -> Self {
        let ApiKey {
            id,
            name,
            secret_hash: _,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        } = key;
        Self {
            id,
            name,
            scopes,
            created_at,
            expires_at,
            revoked_at,
            last_used_at,
        }
    }
}
