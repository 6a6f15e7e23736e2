use std::time::Duration;

use secrecy::SecretString;

/// How GitLab is reached, and how long and how much.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Such as `https://gitlab.example.com`; a path is kept, for an installation below one.
    pub url: String,
    /// A personal, project or group access token, or one of OAuth.
    pub token: SecretString,
    /// For a connection.
    pub connect_patience: Duration,
    /// For one request and its answer.
    pub request_patience: Duration,
    /// For all requests of one call, with the pauses between them.
    pub call_patience: Duration,
    /// How often a request is sent, at most.
    pub tries: u32,
    /// How large one answer may be.
    pub answer_max_bytes: usize,
    /// How much one commit may bring.
    pub commit_max_bytes: usize,
    /// How many pages of a list are read, of 100 entries each.
    pub pages_max: usize,
    /// How large all pages of a list may be: the one with which it is more is the last.
    pub list_max_bytes: usize,
}

impl Settings {
    pub fn new(url: impl Into<String>, token: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            token: token.into(),
            connect_patience: Duration::from_secs(5),
            request_patience: Duration::from_secs(30),
            call_patience: Duration::from_secs(120),
            tries: 6,
            answer_max_bytes: 16 << 20,
            commit_max_bytes: 8 << 20,
            pages_max: 10,
            list_max_bytes: 16 << 20,
        }
    }
}

/// Why no client can be made of settings. Neither the URL nor the token is repeated: a password may stand in either.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("the URL of GitLab must begin with http:// or https:// and have a host")]
    Url,
    #[error("the URL of GitLab must not have a user, a password, a query or a fragment")]
    UrlParts,
    #[error("the token of GitLab must have 1 to 1,024 visible ASCII characters")]
    Token,
    #[error("the client of GitLab cannot be made")]
    Client(#[source] reqwest::Error),
}
