//! Celery, as its users run it: its defaults, two processes, RabbitMQ, with and without its PostgreSQL results.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sqlx::postgres::PgConnection;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::ChildStdout;
use uuid::Uuid;

use super::packages::{self, python_with};
use super::together::run_together;
use super::{Stretch, wait_for};
use crate::bench::Bench;
use crate::machine::Program;
use crate::results::System;
use crate::servers::{Database, VirtualHost};

const REQUIREMENTS: &str = include_str!("../../celery/requirements.txt");
const FILES: &[(&str, &str)] = &[
    ("bench_tasks.py", include_str!("../../celery/bench_tasks.py")),
    ("bench_client.py", include_str!("../../celery/bench_client.py")),
];
const CLIENT_LIMIT: Duration = Duration::from_secs(300);

/// A virtual environment with Celery, and the scripts beside it.
#[derive(Debug)]
pub(crate) struct Environment {
    python: PathBuf,
    scripts: PathBuf,
    versions: Versions,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Versions {
    pub(crate) python: String,
    pub(crate) celery: String,
}

impl Environment {
    /// Installs what is not there yet, in the versions that are written down.
    pub(crate) async fn install(cache: &Path) -> Result<Self> {
        let python = python_with("Celery", REQUIREMENTS, &cache.join("venv")).await?;
        let scripts = cache.join("celery");
        packages::write_files(&scripts, FILES)?;
        let versions = versions(&python)?;
        Ok(Self {
            python,
            scripts,
            versions,
        })
    }

    pub(crate) fn versions(&self) -> &Versions {
        &self.versions
    }
}

fn versions(python: &Path) -> Result<Versions> {
    let mut ask = Command::new(python);
    ask.args([
        "-c",
        "import celery, platform; print(platform.python_version(), celery.__version__)",
    ]);
    let text = packages::printed(ask)?;
    let (python, celery) = text.split_once(' ').context("cannot tell the versions of the peer")?;
    Ok(Versions {
        python: python.to_owned(),
        celery: celery.to_owned(),
    })
}

/// One installation of Celery, with queues and tables of its own.
#[derive(Debug)]
pub(crate) struct Fleet<'a> {
    environment: &'a Environment,
    host: VirtualHost,
    results: Option<Database>,
    folder: PathBuf,
    /// Where the children of the newest worker write down what they did.
    clocks: PathBuf,
    worker: Option<Program>,
}

impl<'a> Fleet<'a> {
    pub(crate) async fn start(bench: &'a Bench, system: System) -> Result<Self> {
        let folder = bench.new_folder()?;
        let results = match system {
            System::CeleryResults => Some(bench.postgres.create_database().await?),
            _ => None,
        };
        Ok(Self {
            environment: &bench.celery,
            host: bench.rabbitmq.create_host().await?,
            results,
            clocks: folder.clone(),
            folder,
            worker: None,
        })
    }

    /// Returns as soon as the process runs.
    pub(crate) fn start_worker(&mut self) -> Result<()> {
        self.clocks = tempfile::Builder::new()
            .disable_cleanup(true)
            .tempdir_in(&self.folder)
            .context("cannot create a folder")?
            .keep();
        let mut command = self.command();
        command.args(["-m", "celery", "--app", "bench_tasks", "worker", "--concurrency", "2"]);
        self.worker = Some(Program::start("celery", command, &self.folder)?);
        Ok(())
    }

    pub(crate) async fn stop_worker(&mut self) -> Result<()> {
        match self.worker.take() {
            Some(worker) => worker.stop(Duration::from_secs(60)).await,
            None => Ok(()),
        }
    }

    pub(crate) fn check(&mut self) -> Result<()> {
        self.worker.as_mut().map_or(Ok(()), Program::check)
    }

    pub(crate) fn processes(&self) -> Vec<u32> {
        self.worker.iter().map(Program::process_id).collect()
    }

    /// Puts tasks into the queue, as fast as one client can.
    pub(crate) async fn fill(&self, count: u32, task: &str, input: &str) -> Result<()> {
        let mut command = self.client();
        command.args(["fill", &count.to_string(), task, input]);
        let (program, _, mut output) = Program::start_talking("fill", command, &self.folder)?;
        program.finish(CLIENT_LIMIT).await?;
        let mut text = String::new();
        output.read_to_string(&mut text).await?;
        if self.worker.is_none() {
            let waiting: u32 = text.trim().parse().context("the client told no number")?;
            ensure!(waiting == count, "{count} messages were sent, {waiting} are waiting");
        }
        Ok(())
    }

    /// What the clients of Celery create in a second, with confirms, so many in flight.
    pub(crate) async fn create(&self, calls: u32, processes: u32, threads: u32) -> Result<f64> {
        let share = calls / (processes * threads) * threads;
        let commands = (0..processes).map(|_| {
            let mut command = self.client();
            command.args(["create", &share.to_string(), &threads.to_string()]);
            command
        });
        let together = run_together("create", commands.collect(), share * processes, &self.folder, &[]).await?;
        Ok(together.stretch.tasks_per_second())
    }

    /// A client that sends at a steady rate and tells each id and the time it was sent at.
    pub(crate) fn paced(&self, count: u32, per_second: u32) -> Result<(Program, Lines<BufReader<ChildStdout>>)> {
        let mut command = self.client();
        command.args(["paced", &count.to_string(), &per_second.to_string()]);
        let (program, _, output) = Program::start_talking("paced", command, &self.folder)?;
        Ok((program, BufReader::new(output).lines()))
    }

    /// Waits until the tasks have run, and their results are stored where there are any.
    pub(crate) async fn drained(&mut self, tasks: u32, limit: Duration) -> Result<Stretch> {
        let mut rows = self.rows().await?;
        let clocks = self.clocks.clone();
        let mut done = Stretch {
            tasks,
            first_started_micros: 0,
            last_finished_micros: 0,
        };
        wait_for(
            "Celery to run all tasks",
            limit,
            Duration::from_millis(100),
            async || {
                self.check()?;
                let counts = counts(&clocks)?;
                done.first_started_micros = counts.first_micros;
                done.last_finished_micros = counts.last_micros;
                Ok(counts.tasks >= tasks)
            },
        )
        .await?;
        if let Some(connection) = &mut rows {
            let expected = i64::from(tasks);
            wait_for(
                "Celery to store all results",
                limit,
                Duration::from_millis(250),
                async || {
                    let (count, last) = stored(connection).await?;
                    done.last_finished_micros = last;
                    Ok(count >= expected)
                },
            )
            .await?;
        }
        Ok(done)
    }

    /// A connection that sees the results, where there are any.
    pub(crate) async fn rows(&self) -> Result<Option<PgConnection>> {
        match &self.results {
            Some(database) => Ok(Some(database.connect().await?)),
            None => Ok(None),
        }
    }

    /// Removes the results of a warm-up.
    pub(crate) async fn clear(&self) -> Result<()> {
        if let Some(mut connection) = self.rows().await? {
            sqlx::query("TRUNCATE celery_taskmeta").execute(&mut connection).await?;
        }
        Ok(())
    }

    /// When the timed tasks started, in microseconds since 1970.
    pub(crate) fn times(&self) -> Result<Vec<(Uuid, i64)>> {
        const RECORD_BYTES: usize = 24;
        let mut times = Vec::new();
        for content in contents(&self.clocks, "times")? {
            for record in content.chunks_exact(RECORD_BYTES) {
                let (id, micros) = record.split_at(16);
                times.push((Uuid::from_slice(id)?, micros_of(micros)?));
            }
        }
        Ok(times)
    }

    pub(crate) async fn remove(mut self) -> Result<()> {
        self.check()?;
        self.worker = None;
        self.host.remove().await?;
        match self.results {
            Some(database) => database.remove().await,
            None => Ok(()),
        }
    }

    fn client(&self) -> Command {
        let mut command = self.command();
        command.arg("bench_client.py");
        command
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.environment.python);
        let backend = self.results.as_ref().map(|database| {
            let url = database.url.as_str();
            let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
            format!("db+postgresql+psycopg2://{rest}")
        });
        command
            .current_dir(&self.environment.scripts)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("BENCH_BROKER", self.host.url.as_str())
            .env("BENCH_BACKEND", backend.unwrap_or_default())
            .env("BENCH_CLOCKS", &self.clocks);
        command
    }
}

async fn stored(connection: &mut PgConnection) -> Result<(i64, i64)> {
    // `date_done` has no zone; Celery writes UTC.
    let (count, last): (i64, Option<i64>) = sqlx::query_as(
        "SELECT count(*), (extract(epoch FROM max(date_done)) * 1000000)::bigint
        FROM celery_taskmeta
        WHERE status = 'SUCCESS'",
    )
    .fetch_one(connection)
    .await?;
    Ok((count, last.unwrap_or(0)))
}

/// What the children of a worker have counted together.
struct Counts {
    tasks: u32,
    first_micros: i64,
    last_micros: i64,
}

fn counts(folder: &Path) -> Result<Counts> {
    const WORD_BYTES: usize = 8;
    let mut counts = Counts {
        tasks: 0,
        first_micros: i64::MAX,
        last_micros: 0,
    };
    for content in contents(folder, "count")? {
        let words: Vec<i64> = content.chunks_exact(WORD_BYTES).map(micros_of).collect::<Result<_>>()?;
        let [first, newest, count] = words[..] else { continue };
        if count > 0 {
            counts.tasks += u32::try_from(count).context("a count of tasks")?;
            counts.first_micros = counts.first_micros.min(first);
            counts.last_micros = counts.last_micros.max(newest);
        }
    }
    Ok(counts)
}

fn micros_of(bytes: &[u8]) -> Result<i64> {
    Ok(i64::from_le_bytes(bytes.try_into().context("a time has eight bytes")?))
}

fn contents(folder: &Path, ending: &str) -> Result<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context("cannot list the times of Celery")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == ending) {
            found.push(fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
        }
    }
    Ok(found)
}
