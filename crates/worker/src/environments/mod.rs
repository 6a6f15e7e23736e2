//! Environments: packages that `python` tasks may ask for by name. `doctor` asks the same questions as a start.
//!
//! Each is an interpreter, that of a virtual environment, and a sandbox that shows it: the tasks of another environment do
//! not see its files, where they are kept from files at all.

mod install;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use orchestratum_core::EnvironmentName;
use orchestratum_engine::error::chain;
use orchestratum_engine::{EnvironmentSettings, WorkerSettings};
use orchestratum_sandbox::{Command, Pool, Sandbox};
use tokio::time::timeout;

use crate::cache::Cache;
use crate::interpreter::{self, Interpreter};

/// How long a start waits for an environment, which may have to be made of many wheels; for all of them at the same time.
const PATIENCE: Duration = Duration::from_secs(300);

/// Those of the settings, each ready or with the reason why it is not.
#[derive(Debug, Default)]
pub struct Environments(BTreeMap<EnvironmentName, Result<Environment, String>>);

/// What runs the tasks of an environment.
#[derive(Debug)]
pub struct Environment {
    pub(crate) interpreter: Interpreter,
    /// Shows the interpreter with its packages.
    pub(crate) sandbox: Arc<Sandbox>,
}

/// Makes those that are to be made, and tries each out. Over within [`PATIENCE`].
pub async fn find(settings: &WorkerSettings, interpreter: &Interpreter, sandbox: &Sandbox) -> Environments {
    let making = Making {
        settings,
        interpreter,
        sandbox,
    };
    let all = settings.environments.iter().map(|(name, source)| {
        let found = timeout(PATIENCE, making.find(source));
        let late = |_| Err(format!("it was not ready within {} s", PATIENCE.as_secs()));
        async move { (name.clone(), found.await.unwrap_or_else(late)) }
    });
    Environments(join_all(all).await.into_iter().collect())
}

impl Environments {
    /// Those that are ready, with their interpreters, and the reasons of the others.
    pub fn told(&self) -> impl Iterator<Item = (&EnvironmentName, Result<&str, &str>)> {
        self.0.iter().map(|(name, found)| {
            let told = found.as_ref().map(|environment| environment.interpreter.path.as_str());
            (name, told.map_err(String::as_str))
        })
    }

    pub(crate) fn log(&self) {
        for (name, found) in &self.0 {
            match found {
                Ok(environment) => tracing::info!(
                    environment = %name,
                    interpreter = environment.interpreter.path,
                    version = environment.interpreter.version,
                    "`python` tasks may ask for this environment"
                ),
                Err(reason) => tracing::error!(environment = %name, reason, "this environment is not offered"),
            }
        }
    }

    pub(crate) fn ready(&self) -> Vec<EnvironmentName> {
        let ready = self.0.iter().filter(|(_, found)| found.is_ok());
        ready.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn into_map(self) -> BTreeMap<EnvironmentName, Result<Environment, String>> {
        self.0
    }
}

/// What all of them are made with.
struct Making<'a> {
    settings: &'a WorkerSettings,
    interpreter: &'a Interpreter,
    sandbox: &'a Sandbox,
}

impl Making<'_> {
    async fn find(&self, source: &EnvironmentSettings) -> Result<Environment, String> {
        let folder = match source {
            EnvironmentSettings::VirtualEnvironment(folder) => folder.clone(),
            EnvironmentSettings::Wheels { folder, requirements } => {
                let setting = "worker.environments_cache";
                let cache = Cache::open(self.settings.environments_cache.as_deref(), setting)?;
                install::once(&cache, self.interpreter, folder, requirements).await?
            }
        };
        let program = folder.join("bin/python");
        let program = program.to_str().ok_or("its path is not UTF-8")?;
        let found = interpreter::python_in(&folder, self.sandbox).await;
        let interpreter = found.map_err(|reason| format!("{program}: {reason}"))?;
        let showing = |pool: &Pool| {
            self.sandbox
                .showing(&interpreter.folders, pool)
                .map_err(|error| chain(&error))
        };
        // Nothing stays of the try.
        try_out(&interpreter, &showing(&Pool::holding(0))?).await?;
        let sandbox = Arc::new(showing(self.sandbox.beside())?);
        Ok(Environment { interpreter, sandbox })
    }
}

/// Whether programs can see it and run it.
async fn try_out(interpreter: &Interpreter, sandbox: &Sandbox) -> Result<(), String> {
    let command = Command::new(&interpreter.path).arguments(["-I", "-B", "-c", "pass"]);
    let tried = async { sandbox.spawn(&command).await?.wait().await };
    let reason = match tried.await {
        Ok(finished) if finished.exit.is_success() => return Ok(()),
        Ok(finished) => {
            let said = finished.stderr.text.lines().last().unwrap_or_default();
            format!("{}: {said}", finished.exit)
        }
        Err(error) => chain(&error),
    };
    Err(format!("its interpreter does not run in the sandbox: {reason}"))
}
