//! The calls on GitLab that go on at a time.

use std::ops::Deref;
use std::time::Duration;

use orchestratum_gitlab::Client;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::{Engine, Error};

/// A GitLab that does not answer holds each for as long as a call may take: more of them would only wait longer.
const CALLS_MAX: usize = 64;

/// How long GitLab is asked for what is to be known before something is stored: its caller learns of no saga until then.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);

/// The client of the settings, with the places of its calls.
#[derive(Debug)]
pub(crate) struct Calls {
    client: Client,
    places: Semaphore,
}

/// A client that may be asked as long as this is there.
#[derive(Debug)]
pub(super) struct Call<'a> {
    client: &'a Client,
    _place: SemaphorePermit<'a>,
}

impl Calls {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            places: Semaphore::new(CALLS_MAX),
        }
    }

    fn call(&self) -> Result<Call<'_>, Error> {
        let place = self.places.try_acquire().map_err(|_| Error::Overloaded)?;
        Ok(Call {
            client: &self.client,
            _place: place,
        })
    }
}

impl Call<'_> {
    /// One that gives up after [`LOOK_PATIENCE`], for as long as this is there.
    pub(super) fn for_a_look(&self) -> Client {
        self.client.within(LOOK_PATIENCE)
    }
}

impl Deref for Call<'_> {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.client
    }
}

impl Engine {
    /// # Errors
    /// [`Error::GitlabNotConfigured`]; [`Error::Overloaded`] while too many calls go on.
    pub(super) fn gitlab(&self) -> Result<Call<'_>, Error> {
        self.gitlab_calls()?.call()
    }

    /// # Errors
    /// [`Error::GitlabNotConfigured`].
    pub(super) fn check_gitlab(&self) -> Result<(), Error> {
        self.gitlab_calls().map(|_| ())
    }

    fn gitlab_calls(&self) -> Result<&Calls, Error> {
        self.parts.gitlab.as_ref().ok_or(Error::GitlabNotConfigured)
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_gitlab::Settings;
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn there_are_no_more_calls_at_a_time_than_there_are_places() {
        let settings = Settings::new("http://localhost", SecretString::from("token"));
        let calls = Calls::new(Client::new(settings, || 0.5).expect("a client"));
        let mut held: Vec<Call<'_>> = (0..CALLS_MAX).map(|_| calls.call().expect("a place")).collect();
        assert!(matches!(calls.call(), Err(Error::Overloaded)));
        held.pop();
        calls.call().expect("a place is free again");
    }
}
