//! Who may ask.

use serde_json::{Value, json};

/// May do everything.
pub const OWNER_TOKEN: &str = "token-of-alice";
/// Of a user who may read the project and not push to it.
pub const READER_TOKEN: &str = "token-of-bob";
/// Of the owner, with the scope `read_api`.
pub const READ_ONLY_TOKEN: &str = "token-of-alice-to-read";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: u64,
    pub(super) username: &'static str,
    pub(super) name: &'static str,
    pub(super) may_push: bool,
}

const ALICE: User = User {
    id: 1,
    username: "alice",
    name: "Alice",
    may_push: true,
};

const BOB: User = User {
    id: 2,
    username: "bob",
    name: "Bob",
    may_push: false,
};

pub(super) const USERS: [User; 2] = [ALICE, BOB];

/// The user of a token, and whether it is only for reading.
pub(super) fn of_token(token: &str) -> Option<(User, bool)> {
    match token {
        OWNER_TOKEN => Some((ALICE, false)),
        READER_TOKEN => Some((BOB, false)),
        READ_ONLY_TOKEN => Some((ALICE, true)),
        _ => None,
    }
}

impl User {
    pub(super) fn email(self) -> String {
        format!("{}@example.com", self.username)
    }

    pub(super) fn document(self, base: &str) -> Value {
        let Self { id, username, name, .. } = self;
        json!({
            "id": id,
            "username": username,
            "name": name,
            "state": "active",
            "avatar_url": null,
            "web_url": format!("{base}/{username}"),
        })
    }
}
