//! Calls on GitLab, with the token of this server.

mod calculate_balance;
mod calculations;
mod consistency;
mod geometries;
mod issues;
mod merge_request;

// `routes!` also needs what the attribute of each handler generates, hence the globs.
pub(crate) use calculate_balance::*;
pub(crate) use calculations::*;
pub(crate) use consistency::*;
pub(crate) use geometries::*;
pub(crate) use issues::*;
pub(crate) use merge_request::*;

use std::time::Duration;

use orchestratum_engine::Engine;

use crate::changes::Begun;
use crate::extract::{Parameters, Wait};
use crate::problem::{Code, Problem, Result};

/// One that must be given.
fn required<T>(parameters: &mut Parameters, name: &str) -> Result<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let found = parameters.take_strict(name)?;
    found.ok_or_else(|| Problem::broken(Code::InvalidQuery, format!("/{name}"), "must be given"))
}

/// How long an answer is held that tells how far a calculation is, unless its caller says it.
const PATIENCE: Duration = Duration::from_secs(10);

fn patience(engine: &Engine, wait: Wait) -> Duration {
    let longest = Duration::from_secs_f64(engine.settings().api.max_wait_seconds);
    wait.patience.unwrap_or_else(|| PATIENCE.min(longest))
}

/// What GitLab answers, or how far a saga is: nobody needs it whose client has gone. `None` then.
async fn for_client<T>(begun: &Begun, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = begun.client_gone() => None,
    }
}
