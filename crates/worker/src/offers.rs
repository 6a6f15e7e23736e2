//! What this worker offers: a name, and what runs its tasks.

use std::any::type_name;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use orchestratum_core::TaskName;
use orchestratum_core::task::{BuiltIn, Ending, GitlabTask};
use orchestratum_engine::{GitlabSettings, HttpSettings, Settings, WorkerSettings};
use orchestratum_sandbox::Sandbox;
use orchestratum_store::{ClaimedTask, Evidence};

use crate::Error;
use crate::dotnet::{self, Tools};
use crate::environments::{self, Environments};
use crate::executors::{Amqp, CSharp, Celery, Configured, Executor, Gitlab, Http, InProcess, Python, Shell, echo};
use crate::handler::Handler;
use crate::machine;
use crate::outside::Outside;
use crate::shared::Programs;

/// How a task of a name is run.
#[derive(Debug, Clone)]
pub(crate) enum Offer {
    /// Over in a moment: not worth a task of the runtime, a slot or a timer.
    Inline(fn(&ClaimedTask) -> (Ending, Evidence)),
    InProcess(Arc<dyn Executor>),
    Program(Arc<dyn Executor>),
}

/// What the machine has for programs, or why it has not.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) python: Result<machine::Interpreter, String>,
    pub(crate) csharp: Result<Tools, String>,
    pub(crate) shell: Result<PathBuf, String>,
}

impl Found {
    pub(crate) async fn on_this_machine(settings: &WorkerSettings) -> Self {
        let (python, csharp) = tokio::join!(machine::python(&settings.python), dotnet::find(settings));
        let shell = machine::program(&settings.shell).ok_or_else(|| "there is no such program".to_owned());
        Self { python, csharp, shell }
    }

    /// What the programs read beside the system.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let python = self.python.iter().flat_map(|interpreter| interpreter.folders.clone());
        let csharp = self.csharp.iter().flat_map(Tools::folders);
        python.chain(csharp).chain(self.shell.iter().cloned()).collect()
    }

    /// Without an interpreter there are none.
    pub(crate) async fn environments(&self, settings: &WorkerSettings, sandbox: &Sandbox) -> Environments {
        match &self.python {
            Ok(interpreter) => environments::find(settings, interpreter, sandbox).await,
            Err(_) => Environments::default(),
        }
    }
}

/// Offers by name, each with the type that makes it, for the message when two are the same.
#[derive(Debug, Default)]
pub(crate) struct Offers(BTreeMap<TaskName, (Offer, &'static str)>);

impl Offers {
    pub(crate) fn add(&mut self, name: &str, offer: Offer, made_by: &'static str) -> Result<(), Error> {
        let name = TaskName::new(name).map_err(|_| Error::InvalidName {
            name: name.to_owned(),
            handler: made_by,
        })?;
        if let Some((_, first)) = self.0.get(&name) {
            return Err(Error::DuplicateName {
                name: name.to_string(),
                first,
                second: made_by,
            });
        }
        self.0.insert(name, (offer, made_by));
        Ok(())
    }

    /// A built-in name is refused also where this machine cannot offer it: its tasks mean the same everywhere.
    pub(crate) fn add_handler<H: Handler>(
        &mut self,
        name: &str,
        handler: H,
        log_max_bytes: usize,
    ) -> Result<(), Error> {
        if TaskName::new(name).is_ok_and(|name| BuiltIn::is_reserved(&name)) {
            return Err(Error::ReservedName {
                name: name.to_owned(),
                handler: type_name::<H>(),
            });
        }
        let executor = Arc::new(InProcess {
            handler: Arc::new(handler),
            log_max_bytes,
        });
        self.add(name, Offer::InProcess(executor), type_name::<H>())
    }

    pub(crate) fn add_echo(&mut self) -> Result<(), Error> {
        self.add(BuiltIn::Echo.as_str(), Offer::Inline(echo), "the worker itself")
    }

    /// Requests to servers outside, unless the settings forbid them.
    pub(crate) fn add_http(&mut self, settings: &HttpSettings, output_max_bytes: usize) -> Result<(), Error> {
        if !settings.enabled {
            tracing::info!("`http` tasks are not offered: `worker.http.enabled` is false");
            return Ok(());
        }
        let executor = Arc::new(Http::new(settings, output_max_bytes));
        self.add(BuiltIn::Http.as_str(), Offer::InProcess(executor), "the worker itself")
    }

    /// Messages to other people's programs, where the settings name their broker.
    pub(crate) fn add_messaging(&mut self, outside: &Outside, settings: &Settings) -> Result<(), Error> {
        if let Some(messenger) = &outside.amqp {
            let executor = Arc::new(Amqp::new(Arc::clone(messenger), settings));
            self.add(BuiltIn::Amqp.as_str(), Offer::InProcess(executor), "the worker itself")?;
        }
        if let Some(fleet) = &outside.celery {
            let executor = Arc::new(Celery::new(Arc::clone(fleet), settings));
            self.add(
                BuiltIn::Celery.as_str(),
                Offer::InProcess(executor),
                "the worker itself",
            )?;
        }
        Ok(())
    }

    /// What is done in GitLab, where the settings name one.
    pub(crate) fn add_gitlab(&mut self, settings: &GitlabSettings) -> Result<(), Error> {
        let Some(client) = settings.client().map_err(Error::Gitlab)? else {
            return Ok(());
        };
        for task in GitlabTask::ALL {
            let executor = Arc::new(Gitlab::new(task, client.clone()));
            self.add(task.as_str(), Offer::InProcess(executor), "the worker itself")?;
        }
        Ok(())
    }

    /// What every worker brings along that runs programs, as far as the machine has it and it works behind the walls.
    pub(crate) async fn add_programs(
        &mut self,
        settings: &WorkerSettings,
        found: Found,
        environments: Environments,
        programs: &Programs,
    ) -> Result<(), Error> {
        let Found { python, csharp, shell } = found;
        match csharp {
            Ok(tools) => {
                tracing::info!(dotnet = tools.describe(), "`csharp` tasks are offered");
                let executor = Arc::new(CSharp::new(tools, programs.clone(), settings.processes()));
                self.add(BuiltIn::CSharp.as_str(), Offer::Program(executor), "the worker itself")?;
            }
            Err(reason) => tracing::warn!(reason, "`csharp` tasks are not offered"),
        }
        let python = async { Python::that_works(python?.path, environments, programs).await };
        let shell = async { Shell::that_works(&shell?, programs.clone()).await };
        let (python, shell) = tokio::join!(python, shell);
        match python {
            Ok(python) => {
                let executor = Arc::new(python);
                self.add(BuiltIn::Python.as_str(), Offer::Program(executor), "the worker itself")?;
            }
            Err(reason) => {
                tracing::warn!(interpreter = settings.python, reason, "`python` tasks are not offered");
            }
        }
        match shell {
            Ok(shell) => {
                let executor = Arc::new(shell);
                self.add(BuiltIn::Shell.as_str(), Offer::Program(executor), "the worker itself")?;
            }
            Err(reason) => tracing::warn!(shell = settings.shell, reason, "`shell` tasks are not offered"),
        }
        self.add_commands(settings, programs).await
    }

    /// The programs of the settings, as far as they are there.
    async fn add_commands(&mut self, settings: &WorkerSettings, programs: &Programs) -> Result<(), Error> {
        for (name, command) in &settings.commands {
            match Configured::that_works(command, programs).await {
                Ok(command) => {
                    tracing::info!(task.name = %name, program = command.program(), "the tasks of a command are offered");
                    if let Some(reason) = command.warning() {
                        tracing::warn!(task.name = %name, reason, "the tasks of a command are likely to fail");
                    }
                    let offer = Offer::Program(Arc::new(command));
                    self.add(name.as_str(), offer, "`worker.commands` of the settings")?;
                }
                Err(reason) => tracing::warn!(task.name = %name, reason, "the tasks of a command are not offered"),
            }
        }
        Ok(())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &TaskName> {
        self.0.keys()
    }

    pub(crate) fn into_map(self) -> BTreeMap<TaskName, Offer> {
        self.0.into_iter().map(|(name, (offer, _))| (name, offer)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_handlers_of_one_name_are_refused_and_both_are_named() {
        let mut offers = Offers::default();
        offers
            .add("mail", Offer::Inline(echo), "first::Mail")
            .expect("it is the only one");
        let error = offers
            .add("mail", Offer::Inline(echo), "second::Mail")
            .expect_err("there is one");
        assert_eq!(
            error.to_string(),
            "two handlers are called `mail`: first::Mail and second::Mail"
        );
    }
}
