use super::{InvalidName, Username};

/// What stands for the user of the token where a name of a user can be. No name begins so.
const TOKEN_USER: &str = "@me";

/// Whose issues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Assignee {
    /// Or nobody.
    #[default]
    Anybody,
    /// Whose token it is.
    TokenUser,
    User(Username),
}

impl Assignee {
    /// `@me` is the user of the token.
    ///
    /// # Errors
    /// Which rule of a user's name the text breaks.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
        let text = text.into();
        if text == TOKEN_USER {
            return Ok(Self::TokenUser);
        }
        Username::new(text).map(Self::User)
    }
}
