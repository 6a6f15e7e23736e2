//! The engine that is used: the machine's, or a private one.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::private;
use crate::guard::Guard;
use crate::process;

/// How to speak to an engine.
#[derive(Clone, Debug)]
pub(super) struct Client {
    program: PathBuf,
    /// A socket of its own, where the engine is private.
    host: Option<String>,
    /// `docker compose`, or a program of its own.
    compose: Vec<PathBuf>,
}

impl Client {
    pub(super) fn private(program: PathBuf, host: String, compose: PathBuf) -> Self {
        Self {
            program,
            host: Some(host),
            compose: vec![compose],
        }
    }

    fn of_this_machine() -> Result<Self> {
        let compose = if process::succeeds(Command::new("docker").args(["compose", "version"])) {
            vec!["docker".into(), "compose".into()]
        } else if process::succeeds(Command::new("docker-compose").arg("version")) {
            vec!["docker-compose".into()]
        } else {
            bail!("an engine answers, but neither `docker compose` nor `docker-compose` is installed");
        };
        Ok(Self {
            program: "docker".into(),
            host: None,
            compose,
        })
    }

    pub(super) fn docker(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        self.point(&mut command);
        command
    }

    pub(super) fn compose(&self, arguments: &[&str]) -> Result<Command> {
        let (program, subcommand) = self.compose.split_first().context("no program for compose")?;
        let mut command = Command::new(program);
        command.args(subcommand).args(arguments);
        self.point(&mut command);
        Ok(command)
    }

    pub(super) fn answers(&self) -> bool {
        process::succeeds(&mut self.docker(&["version"]))
    }

    fn point(&self, command: &mut Command) {
        command.env("DOCKER_BUILDKIT", "1");
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    client: Client,
    guard: Option<Guard>,
}

impl Engine {
    pub(super) fn find_or_start() -> Result<Self> {
        if process::succeeds(Command::new("docker").arg("version")) {
            println!("==> using the container engine of this machine");
            return Ok(Self {
                client: Client::of_this_machine()?,
                guard: None,
            });
        }
        let directory = private::directory();
        private::install(&directory)?;
        let guard = Guard::start(&["docker", "guard", &directory.to_string_lossy()])?;
        let client = private::start(&directory)?;
        Ok(Self {
            client,
            guard: Some(guard),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn is_private(&self) -> bool {
        self.guard.is_some()
    }
}
