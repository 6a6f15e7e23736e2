//! What the builder was told, as a server can take it: what it would refuse with every claim is refused at the start.

use std::ops::RangeInclusive;
use std::time::Duration;

use orchestratum_core::task::BuiltIn;
use orchestratum_core::{Target, TaskName};
use orchestratum_engine::external::{CLAIM_MAX, LEASE_MAX_SECONDS, LEASE_MIN_SECONDS, TARGETS_MAX};

use crate::Error;
use crate::builder::Options;
use crate::registry::Registry;

/// Those of `config/default.toml`, for what the builder was not told.
const CONCURRENCY: usize = 256;
const MAX_CLAIM: usize = 100;
const GRACE: Duration = Duration::from_secs(5);
const DRAIN: Duration = Duration::from_secs(20);

/// How long an attempt stays ours of which nothing is heard.
const LEASE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Wishes {
    pub(super) targets: Vec<String>,
    pub(super) names: Vec<&'static str>,
    pub(super) concurrency: usize,
    pub(super) max_claim: usize,
    pub(super) lease: Duration,
    pub(super) grace: Duration,
    pub(super) drain: Duration,
}

impl Wishes {
    /// # Errors
    /// [`Error::Option`] of one that no server takes, or that says something about an engine; [`Error::Worker`] of a command that
    /// has the name of a built-in task, as where the engine is embedded.
    pub(super) fn of(options: &Options, registry: &Registry) -> Result<Self, Error> {
        let of_an_engine = [
            ("schema", options.schema.is_some()),
            ("broker", options.broker.is_some()),
            ("poll_interval", options.poll_interval.is_some()),
        ];
        for (option, is_told) in of_an_engine {
            if is_told {
                return Err(refused(
                    option,
                    "is for an engine in this process; that of a server has settings of its own",
                ));
            }
        }
        let targets = &options.targets;
        if !(1..=TARGETS_MAX).contains(&targets.len()) {
            let reason = format!("takes 1 to {TARGETS_MAX} targets, not {}", targets.len());
            return Err(refused("targets", reason));
        }
        for target in targets {
            Target::new(target.as_str()).map_err(|error| refused("targets", format!("`{target}` {error}")))?;
        }
        for (command, handler) in registry.handlers() {
            let name = TaskName::new(command).map_err(|error| Error::Refused(format!("`{command}` {error}")))?;
            if BuiltIn::is_reserved(&name) {
                return Err(Error::Worker(orchestratum_worker::Error::ReservedName {
                    name: command.to_owned(),
                    handler,
                }));
            }
        }
        let lease = options.lease.unwrap_or(LEASE);
        if !(LEASE_MIN_SECONDS..=LEASE_MAX_SECONDS).contains(&lease.as_secs_f64()) {
            let seconds = lease.as_secs_f64();
            let reason = format!("takes {LEASE_MIN_SECONDS} to {LEASE_MAX_SECONDS} seconds, not {seconds}");
            return Err(refused("lease", reason));
        }
        Ok(Self {
            targets: targets.clone(),
            names: registry.names().collect(),
            concurrency: within("concurrency", options.concurrency, CONCURRENCY, 1..=usize::MAX >> 4)?,
            max_claim: within("max_claim", options.max_claim, MAX_CLAIM, 1..=CLAIM_MAX)?,
            lease,
            grace: options.grace.unwrap_or(GRACE),
            drain: options.drain.unwrap_or(DRAIN),
        })
    }
}

fn within(
    option: &'static str,
    told: Option<usize>,
    default: usize,
    allowed: RangeInclusive<usize>,
) -> Result<usize, Error> {
    let number = told.unwrap_or(default);
    if allowed.contains(&number) {
        return Ok(number);
    }
    let reason = format!("takes {} to {}, not {number}", allowed.start(), allowed.end());
    Err(refused(option, reason))
}

fn refused(option: &'static str, reason: impl Into<String>) -> Error {
    Error::Option {
        option,
        reason: reason.into(),
    }
}
