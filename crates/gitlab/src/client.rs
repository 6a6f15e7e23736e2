use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::{Settings, SettingsError};

const TOKEN_MAX_BYTES: usize = 1_024;

/// A client of one GitLab with one token. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    /// Ends in `/api/v4`.
    pub(crate) base: Url,
    pub(crate) token: SecretString,
    /// Never shown.
    pub(crate) authorization: HeaderValue,
    pub(crate) limits: Limits,
    /// An even draw from `[0, 1)`.
    pub(crate) chance: fn() -> f64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) request_patience: Duration,
    pub(crate) call_patience: Duration,
    pub(crate) tries: u32,
    pub(crate) answer_max_bytes: usize,
    pub(crate) commit_max_bytes: usize,
    pub(crate) pages_max: usize,
    pub(crate) list_max_bytes: usize,
}

impl Client {
    /// `chance` is an even draw from `[0, 1)`, by which pauses differ: many clients that lost the same GitLab do not come back in
    /// step.
    ///
    /// # Errors
    /// When the URL or the token is none.
    pub fn new(settings: Settings, chance: fn() -> f64) -> Result<Self, SettingsError> {
        let Settings {
            url,
            token,
            connect_patience,
            request_patience,
            call_patience,
            tries,
            answer_max_bytes,
            commit_max_bytes,
            pages_max,
            list_max_bytes,
        } = settings;
        // Somebody else may have chosen one for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .connect_timeout(connect_patience)
            // A redirect could take the token to another host, and a proxy of the environment sees what goes to a plain address.
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("orchestratum/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(SettingsError::Client)?;
        Ok(Self {
            http,
            base: base(&url)?,
            authorization: authorization(&token)?,
            token,
            limits: Limits {
                request_patience,
                call_patience,
                tries,
                answer_max_bytes,
                commit_max_bytes,
                pages_max,
                list_max_bytes,
            },
            chance,
        })
    }

    /// The same, whose calls give up sooner, if they did not anyway.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        let mut hurried = self.clone();
        hurried.limits.call_patience = patience.min(self.limits.call_patience);
        hurried
    }

    /// When a call that begins now gives up.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.limits.call_patience
    }
}

fn base(text: &str) -> Result<Url, SettingsError> {
    let mut url: Url = text.parse().map_err(|_| SettingsError::Url)?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(SettingsError::Url);
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(SettingsError::UrlParts);
    }
    match url.path_segments_mut() {
        Ok(mut segments) => segments.pop_if_empty().extend(["api", "v4"]),
        Err(()) => return Err(SettingsError::Url),
    };
    Ok(url)
}

/// As OAuth has it: GitLab takes access tokens of all kinds so.
fn authorization(token: &SecretString) -> Result<HeaderValue, SettingsError> {
    let token = token.expose_secret();
    if !(1..=TOKEN_MAX_BYTES).contains(&token.len()) || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SettingsError::Token);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| SettingsError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(url: &str, token: &str) -> Result<Client, SettingsError> {
        Client::new(Settings::new(url, token.to_owned()), || 0.5)
    }

    #[test]
    fn an_installation_may_lie_below_a_path() {
        for (url, expected) in [
            ("https://gitlab.example.com", "https://gitlab.example.com/api/v4"),
            ("https://gitlab.example.com/", "https://gitlab.example.com/api/v4"),
            ("http://127.0.0.1:8080/git/", "http://127.0.0.1:8080/git/api/v4"),
        ] {
            assert_eq!(client(url, "t").expect(url).base.as_str(), expected);
        }
    }

    #[test]
    fn what_is_no_url_or_token_makes_no_client() {
        for url in [
            "",
            "gitlab.example.com",
            "ftp://a",
            "http://",
            "file:///a",
            "https://u:31337@a",
            "https://a?b",
            "https://a#b",
        ] {
            let error = client(url, "31337").expect_err(url);
            assert!(!format!("{error} {error:?}").contains("31337"), "{error:?}");
        }
        for token in ["", "a b", "a\nb", "é", &"a".repeat(1_025)] {
            assert!(
                matches!(client("https://a", token), Err(SettingsError::Token)),
                "{token}"
            );
        }
    }

    #[test]
    fn a_client_in_a_hurry_gives_up_sooner_and_never_later() {
        let client = client("https://gitlab.example.com", "t").expect("a client");
        let patience = |hurried: &Client| hurried.limits.call_patience.as_secs();
        assert_eq!(patience(&client), 120);
        assert_eq!(patience(&client.within(Duration::from_secs(10))), 10);
        assert_eq!(patience(&client.within(Duration::from_secs(600))), 120);
    }

    #[test]
    fn a_client_does_not_show_its_token() {
        let client = client("https://gitlab.example.com", "glpat-31337").expect("a client");
        assert!(!format!("{client:?}").contains("31337"), "{client:?}");
    }
}
