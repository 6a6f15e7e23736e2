//! The command line, and the sizes that follow from it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use serde::Serialize;
use url::Url;

use crate::results::System;

#[derive(Debug, Parser)]
#[command(about = "Measures Orchestratum beside its peers and pgbench", version)]
pub(crate) struct Arguments {
    /// The sizes as a part of the full ones; below 1 the figures only show that everything runs.
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    pub(crate) scale: f64,
    /// How often each system is measured; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) repeats: u32,
    /// Only these measures.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Measure>,
    /// Only these systems, to look closer at one; the goals need all of them.
    #[arg(long, value_enum, value_delimiter = ',')]
    systems: Vec<System>,
    /// Where the figures are saved.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the programs are that are measured; beside this one by default.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// Where the peers are installed, once.
    #[arg(long)]
    cache_dir: Option<PathBuf>,
    /// Fail if a goal is missed.
    #[arg(long)]
    pub(crate) strict: bool,
    /// A PostgreSQL on this machine, whose role may create databases.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub(crate) database_url: Url,
    /// A RabbitMQ on this machine.
    #[arg(long, env = "AMQP_URL", hide_env_values = true)]
    pub(crate) amqp_url: Url,
    /// Its management interface, with a user who may create virtual hosts.
    #[arg(long, env = "RABBITMQ_API", hide_env_values = true)]
    pub(crate) rabbitmq_api: Url,
    /// The folder of a `dotnet` with an SDK; without it C# is left out.
    #[arg(long, env = "CSHARP_RUNTIME")]
    pub(crate) csharp_runtime: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    Drain,
    Create,
    Latency,
    Python,
    CodeLatency,
    Csharp,
    Sandbox,
    Neighbour,
    Soak,
    Backlog,
    Chains,
    Keyed,
    Schedules,
    External,
    Groups,
    Sagas,
    Balance,
    Events,
    History,
    Memory,
    Idle,
}

impl Arguments {
    pub(crate) fn measures(&self) -> Vec<Measure> {
        let all = Measure::value_variants();
        let chosen = all
            .iter()
            .filter(|measure| self.only.is_empty() || self.only.contains(measure));
        chosen.copied().collect()
    }

    pub(crate) fn has(&self, system: System) -> bool {
        self.systems.is_empty() || self.systems.contains(&system)
    }

    /// Whether it is going to be measured.
    pub(crate) fn wants(&self, measure: Measure, system: System) -> bool {
        self.has(system) && self.measures().contains(&measure)
    }

    pub(crate) fn sizes(&self) -> Sizes {
        Sizes::of(self.scale)
    }

    pub(crate) fn program_folder(&self) -> Result<PathBuf> {
        let folder = match &self.bin_dir {
            Some(folder) => folder.clone(),
            None => beside_this_program()?,
        };
        folder
            .canonicalize()
            .with_context(|| format!("there is no folder {}", folder.display()))
    }

    /// `target/bench`, where the program was built by cargo.
    pub(crate) fn cache_folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.cache_dir {
            return Ok(folder.clone());
        }
        let programs = beside_this_program()?;
        let target = programs
            .parent()
            .context("the benchmark is not in a folder of a build")?;
        Ok(target.join("bench"))
    }

    pub(crate) fn json_path(&self) -> PathBuf {
        let default = || {
            let folder = self.cache_folder().unwrap_or_else(|_| PathBuf::from("."));
            folder.join("results.json")
        };
        self.json.clone().unwrap_or_else(default)
    }
}

fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot tell where the benchmark is")?;
    let folder = program.parent().context("the benchmark is not in a folder")?;
    Ok(folder.to_path_buf())
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| "it must be a number".to_owned())?;
    if (0.01..=1.0).contains(&scale) {
        Ok(scale)
    } else {
        Err("it must be between 0.01 and 1".to_owned())
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sizes {
    pub(crate) drain_tasks: u32,
    pub(crate) backlog_tasks: u32,
    pub(crate) create_requests: u32,
    pub(crate) create_batches: u32,
    pub(crate) celery_create_calls: u32,
    pub(crate) latency_tasks: u32,
    pub(crate) python_tasks: u32,
    /// Of those that start an interpreter for each.
    pub(crate) python_peer_tasks: u32,
    pub(crate) code_latency_tasks: u32,
    pub(crate) csharp_tasks: u32,
    pub(crate) csharp_cold_runs: u32,
    pub(crate) sandbox_runs: u32,
    pub(crate) sandbox_kills: u32,
    pub(crate) neighbour_tasks: u32,
    pub(crate) soak_tasks: u32,
    pub(crate) chains: u32,
    pub(crate) chain_requests: u32,
    pub(crate) keyed_tasks: u32,
    pub(crate) schedules: u32,
    pub(crate) schedules_due: u32,
    pub(crate) group_members: u32,
    pub(crate) orders: u32,
    pub(crate) balances: u32,
    pub(crate) events: u32,
    pub(crate) event_rounds: u32,
    pub(crate) waiting_sagas: u32,
    pub(crate) history_tasks: u32,
    pub(crate) history_requests: u32,
    /// What the warm-up leaves to be done has gone by then, and PostgreSQL has published its counts.
    pub(crate) settle: Duration,
    pub(crate) idle: Duration,
}

impl Sizes {
    fn of(scale: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a tenth of a count need not be exact"
        )]
        let scaled = |full: u32| (f64::from(full) * scale).round() as u32;
        Self {
            drain_tasks: scaled(20_000),
            backlog_tasks: scaled(200_000),
            create_requests: scaled(40_000),
            create_batches: scaled(100),
            celery_create_calls: scaled(6_400),
            latency_tasks: scaled(3_000),
            python_tasks: scaled(4_000),
            python_peer_tasks: scaled(1_000),
            code_latency_tasks: scaled(400),
            csharp_tasks: scaled(40).max(1),
            csharp_cold_runs: scaled(5).max(1),
            sandbox_runs: scaled(60).max(1),
            sandbox_kills: scaled(5).max(1),
            neighbour_tasks: scaled(300),
            soak_tasks: scaled(10_000),
            chains: scaled(1_000).max(1),
            chain_requests: scaled(100).max(1),
            keyed_tasks: scaled(2_000).max(1),
            schedules: scaled(100_000),
            schedules_due: scaled(10_000),
            // As many as a group may have.
            group_members: scaled(10_000).clamp(1, 10_000),
            orders: scaled(4_000).max(1),
            balances: scaled(100).max(1),
            events: scaled(20_000).max(1),
            event_rounds: scaled(40).max(1),
            waiting_sagas: scaled(100_000),
            history_tasks: scaled(1_000_000),
            history_requests: scaled(2_000),
            settle: Duration::from_secs(12).mul_f64(scale),
            idle: Duration::from_secs(60).mul_f64(scale),
        }
    }
}
