//! `http`: a request to a server outside, sent by the worker itself.
//!
//! ```text
//!   input ──► Outgoing ──► Client ──► pool ──► Establish ──► Connector: resolve ─► Guard ─► connect to that address
//!                 ▲           │                   └──► TLS
//!                 └─ redirect ┤                         (each hop, and each new connection of the pool)
//!                             └──► body, capped ──► Answer ──► output
//! ```
//!
//! Whoever may create tasks decides where requests go, so the guard stands where connections are opened and nowhere else.
//! Servers decide what they send, so all that connections receive is counted there, too.
//! No value of a request goes into a log or the message of an error.

mod answer;
mod body;
mod client;
mod connect;
mod error;
mod establish;
mod guard;
mod public;
mod received;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{BuiltIn, Ending, HttpInput};
use orchestratum_engine::HttpSettings;
use orchestratum_store::{ClaimedTask, Evidence};
use rustls::RootCertStore;
use tokio::time::timeout;

use self::client::Client;
use self::connect::{Connector, System};
use self::error::Error;
use self::establish::Establish;
use self::guard::Guard;
use self::request::Outgoing;
use super::{Context, Ended, Executor, Phase};
use crate::machine;

const REDIRECTS_MAX: usize = 5;

/// Of a body, decompressed. What a task may output is mostly less.
const BODY_MAX_BYTES: usize = 10 << 20;

/// For the whole exchange, redirects included; so for a connection, too.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Http {
    client: Client,
    patience: Duration,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Http")
    }
}

impl Http {
    pub(crate) fn new(settings: &HttpSettings, output_max_bytes: usize) -> Self {
        let connector = Connector::new(Guard::new(settings), Arc::new(System::new()));
        let roots = machine::root_certificates().unwrap_or_else(|reason| {
            tracing::warn!(reason, "no `http` task can use https");
            RootCertStore::empty()
        });
        Self {
            client: Client::new(
                Establish::new(connector, roots, PATIENCE),
                output_max_bytes.min(BODY_MAX_BYTES),
            ),
            patience: PATIENCE,
        }
    }

    async fn exchange(&self, task: &ClaimedTask, input: &HttpInput) -> Result<JsonText, Error> {
        let exchange = self.client.exchange(Outgoing::of(task, input), input);
        let answer = timeout(self.patience, exchange).await.map_err(|_| Error::TooSlow {
            seconds: self.patience.as_secs_f64(),
        })?;
        answer?.output()
    }
}

#[async_trait]
impl Executor for Http {
    async fn run(&self, task: &ClaimedTask, mut context: Context) -> Ended {
        let input = match HttpInput::read(task.input.as_str()) {
            Ok(input) => input,
            Err(broken) => return Ended::refused(BuiltIn::Http, &broken),
        };
        tokio::select! {
            biased;
            result = self.exchange(task, &input) => ended(result),
            // A server cannot be asked to hurry up. The connection ends with the future.
            () = context.reached(Phase::Terminate) => {
                Ended { interrupted: true, ..Ended::failed("the request was given up", true) }
            }
        }
    }
}

fn ended(result: Result<JsonText, Error>) -> Ended {
    let (ending, output) = match result {
        Ok(output) => (Ending::Success, Some(output)),
        Err(error) => {
            if let Error::Refused(refused) = &error {
                tracing::warn!(
                    host = refused.place,
                    redirected_by = refused.redirected_by,
                    reason = %refused.rule,
                    "an `http` task may not go there"
                );
            }
            (error.ending(), None)
        }
    };
    Ended {
        ending,
        evidence: Evidence {
            output,
            ..Evidence::default()
        },
        interrupted: false,
    }
}

#[cfg(test)]
mod tests;
