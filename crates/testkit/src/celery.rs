//! Real workers of Celery applications: of a small one, `celery/fleet.py`, and of the one that calculates, `examples/balance-worker`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::name;
use crate::process::{Process, processes_with_environment};
use crate::wait::eventually_within;

/// An interpreter takes a while on a machine that is busy.
const START: Duration = Duration::from_secs(60);

/// Marks every process of a worker, so that none of them outlives it.
const MARK: &str = "FLEET_MARK";

/// A worker with two processes; all of it is killed when this is dropped.
#[derive(Debug)]
pub struct CeleryWorker {
    process: Process,
    mark: String,
    python: PathBuf,
    broker_url: String,
    folder: TempDir,
}

impl CeleryWorker {
    /// Starts one that consumes the queue `celery` of the broker, and waits until it does.
    pub async fn start(broker_url: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("fleet.py"), include_str!("../celery/fleet.py"))?;
        let sources = folder.path().to_owned();
        Self::of(&sources, broker_url, folder, &[("FLEET_BROKER", broker_url)]).await
    }

    /// Starts the example that calculates, for the projects of a GitLab.
    pub async fn start_calculations(broker_url: &str, gitlab_url: &str, token: &str) -> anyhow::Result<Self> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/balance-worker");
        let environment = [
            ("AMQP_URL", broker_url),
            ("GITLAB_URL", gitlab_url),
            ("GITLAB_TOKEN", token),
        ];
        Self::of(&sources, broker_url, tempfile::tempdir()?, &environment).await
    }

    async fn of(
        sources: &Path,
        broker_url: &str,
        folder: TempDir,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let python = celery_python();
        let work_dir = sources.to_str().context("a folder with a plain name")?;
        let mark = name::unique();
        let marks = [(MARK, mark.as_str()), ("PYTHONDONTWRITEBYTECODE", "1")];
        let environment = environment.iter().chain(&marks);
        let environment: BTreeMap<String, String> = environment
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let arguments = [
            "-m",
            "celery",
            "--workdir",
            work_dir,
            "--app",
            "fleet",
            "worker",
            "--concurrency",
            "2",
            "--hostname",
            "fleet@%h",
            "--loglevel",
            "INFO",
        ];
        let log = folder.path().join("worker.log");
        let mut worker = Self {
            process: Process::start(&python, &arguments, &environment, log)?,
            mark,
            python,
            broker_url: broker_url.to_owned(),
            folder,
        };
        worker.until_ready().await;
        Ok(worker)
    }

    async fn until_ready(&mut self) {
        eventually_within(START, "a Celery worker is ready", || {
            let said = self.process.output();
            let ready = said.contains(" ready.");
            let running = self.process.is_running();
            async move { if ready && running { Ok(()) } else { Err(said) } }
        })
        .await;
    }

    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Ends a task as an operator of the application does.
    pub async fn revoke(&self, id: &str) -> anyhow::Result<()> {
        let revoke = format!("import fleet; fleet.app.control.revoke({id:?}, terminate=True)");
        let status = tokio::process::Command::new(&self.python)
            .args(["-c", &revoke])
            .current_dir(self.folder.path())
            .env("FLEET_BROKER", &self.broker_url)
            .status()
            .await?;
        anyhow::ensure!(status.success(), "the order ended with {status}");
        Ok(())
    }

    /// What it has logged so far.
    pub fn output(&self) -> String {
        self.process.output()
    }
}

/// An interpreter that has Celery.
pub fn celery_python() -> PathBuf {
    let python = std::env::var("CELERY_PYTHON")
        .expect("these tests need an interpreter with Celery: run `cargo xtask test`, which brings one");
    PathBuf::from(python)
}

impl Drop for CeleryWorker {
    fn drop(&mut self) {
        for process in processes_with_environment(&format!("{MARK}={}", self.mark)) {
            if let Ok(process) = i32::try_from(process) {
                // It may be gone by itself.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
    }
}
