//! Revoking a key: this process refuses it at once, the others within the life of their caches.

use crate::{Engine, Error};

impl Engine {
    /// # Errors
    /// [`Error::KeyNotFound`].
    pub async fn revoke_key(&self, id: &str) -> Result<(), Error> {
        let found = self.parts.store.revoke_key(id, self.parts.clock.now()).await?;
        self.parts.keys.forget(id);
        if found {
            Ok(())
        } else {
            Err(Error::KeyNotFound(id.to_owned()))
        }
    }
}
