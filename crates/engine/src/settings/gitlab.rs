//! Which GitLab the tasks `gitlab.…` work in.

use std::time::Duration;

use orchestratum_gitlab::{Client, SettingsError};
use secrecy::SecretString;
use serde::Deserialize;

use crate::identity;

const TRIES_MAX: u32 = 100;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitlabSettings {
    /// Empty: there is none.
    pub url: String,
    pub token: SecretString,
    pub connect_timeout_seconds: f64,
    pub request_timeout_seconds: f64,
    pub call_timeout_seconds: f64,
    pub tries: u32,
    /// How often the sagas that wait are compared with GitLab; 0: never.
    pub compare_seconds: u32,
}

impl GitlabSettings {
    pub fn is_configured(&self) -> bool {
        !self.url.is_empty()
    }

    /// `None` where no GitLab is named.
    ///
    /// # Errors
    /// When the URL or the token is none.
    pub fn client(&self) -> Result<Option<Client>, SettingsError> {
        if !self.is_configured() {
            return Ok(None);
        }
        let settings = orchestratum_gitlab::Settings {
            connect_patience: Duration::from_secs_f64(self.connect_timeout_seconds),
            request_patience: Duration::from_secs_f64(self.request_timeout_seconds),
            call_patience: Duration::from_secs_f64(self.call_timeout_seconds),
            tries: self.tries,
            ..orchestratum_gitlab::Settings::new(self.url.as_str(), self.token.clone())
        };
        Client::new(settings, identity::chance).map(Some)
    }

    pub(super) fn seconds(&self) -> [(&'static str, f64); 3] {
        [
            ("gitlab.connect_timeout_seconds", self.connect_timeout_seconds),
            ("gitlab.request_timeout_seconds", self.request_timeout_seconds),
            ("gitlab.call_timeout_seconds", self.call_timeout_seconds),
        ]
    }

    /// The setting that is broken, and its rule. The lengths of time must be sound.
    pub(super) fn broken(&self) -> Option<(&'static str, String)> {
        if !(1..=TRIES_MAX).contains(&self.tries) {
            return Some(("gitlab.tries", format!("must lie between 1 and {TRIES_MAX}")));
        }
        let error = self.client().err()?;
        let key = match error {
            SettingsError::Token => "gitlab.token",
            SettingsError::Url | SettingsError::UrlParts | SettingsError::Client(_) => "gitlab.url",
        };
        Some((key, format!("cannot be used: {error}")))
    }
}
