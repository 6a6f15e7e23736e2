use serde::Deserialize;

use crate::transport::Request;
use crate::{Client, Error};

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: u64,
    pub username: String,
    #[serde(default)]
    pub name: String,
}

impl Client {
    /// Whose token it is.
    pub async fn get_current_user(&self) -> Result<User, Error> {
        self.get(&Request::get(&["user"]), || "get the user of the token".to_owned())
            .await
    }
}
