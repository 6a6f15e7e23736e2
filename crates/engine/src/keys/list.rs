//! Showing keys, without their secrets.

use orchestratum_store::ApiKey;

use crate::{Engine, Error};

impl Engine {
    pub async fn list_keys(&self) -> Result<Vec<ApiKey>, Error> {
        Ok(self.parts.store.keys().await?)
    }
}
