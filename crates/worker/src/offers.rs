//! What this worker offers: a name, and what runs its tasks.

use std::any::type_name;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskName;
use orchestratum_core::task::{BuiltIn, Ending};
use orchestratum_engine::WorkerSettings;
use orchestratum_store::{ClaimedTask, Evidence};
use tokio::time::timeout;

use crate::Error;
use crate::executors::{Executor, InProcess, Python, Shell, echo};
use crate::handler::Handler;
use crate::shared::Programs;
use crate::workspace::Workspace;

/// How long an interpreter may take to say which it is.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Begins every variable that is a setting, in capitals or not.
const SETTINGS_PREFIX: &str = "ORCHESTRATUM";

/// How a task of a name is run.
#[derive(Debug, Clone)]
pub(crate) enum Offer {
    /// Over in a moment: not worth a task of the runtime, a slot or a timer.
    Inline(fn(&ClaimedTask) -> (Ending, Evidence)),
    InProcess(Arc<dyn Executor>),
    Program(Arc<dyn Executor>),
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
    pub(crate) fn add_handler<H: Handler>(&mut self, name: &str, handler: H) -> Result<(), Error> {
        if TaskName::new(name).is_ok_and(|name| BuiltIn::of(&name).is_some()) {
            return Err(Error::ReservedName {
                name: name.to_owned(),
                handler: type_name::<H>(),
            });
        }
        let executor = Arc::new(InProcess(Arc::new(handler)));
        self.add(name, Offer::InProcess(executor), type_name::<H>())
    }

    /// What every worker brings along, as far as the machine has it.
    pub(crate) async fn add_built_in(
        &mut self,
        settings: &WorkerSettings,
        programs: &Programs,
        workspace: &Arc<Workspace>,
    ) -> Result<(), Error> {
        self.add(BuiltIn::Echo.as_str(), Offer::Inline(echo), "the worker itself")?;
        match python(&settings.python).await {
            Ok(interpreter) => {
                let executor = Arc::new(Python {
                    interpreter,
                    programs: programs.clone(),
                    workspace: Arc::clone(workspace),
                });
                self.add(BuiltIn::Python.as_str(), Offer::Program(executor), "the worker itself")?;
            }
            Err(reason) => {
                tracing::warn!(interpreter = settings.python, reason, "`python` tasks are not offered");
            }
        }
        if let Some(path) = found(&settings.shell) {
            let executor = Arc::new(Shell {
                interpreter: path.display().to_string(),
                programs: programs.clone(),
                workspace: Arc::clone(workspace),
            });
            self.add(BuiltIn::Shell.as_str(), Offer::Program(executor), "the worker itself")?;
        } else {
            tracing::warn!(
                shell = settings.shell,
                "`shell` tasks are not offered: there is no such program"
            );
        }
        Ok(())
    }

    pub(crate) fn into_map(self) -> BTreeMap<TaskName, Offer> {
        self.0.into_iter().map(|(name, (offer, _))| (name, offer)).collect()
    }
}

/// The interpreter's own path: a wrapper, such as those of version managers, needs the worker's environment to work, but
/// not the passwords in it, which every process of this user could read from there.
async fn python(interpreter: &str) -> Result<String, String> {
    let mut command = tokio::process::Command::new(interpreter);
    command
        .args([
            "-I",
            "-c",
            "import sys; assert sys.version_info >= (3, 8), sys.version; print(sys.executable)",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with(SETTINGS_PREFIX) {
            command.env_remove(name);
        }
    }
    let answer = match timeout(PROBE_PATIENCE, command.output()).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(format!("it did not answer within {} s", PROBE_PATIENCE.as_secs())),
    };
    let path = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    if answer.status.success() && Path::new(&path).is_absolute() {
        Ok(path)
    } else {
        Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned())
    }
}

/// A program by its path, or by its name in the worker's search path.
fn found(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
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

    #[tokio::test]
    async fn an_interpreter_that_is_not_there_is_told_with_a_reason() {
        assert!(
            python("/no/such/python3")
                .await
                .is_err_and(|reason| reason.contains("No such file"))
        );
        assert!(python("/bin/false").await.is_err());
        assert_eq!(found("no-such-shell"), None);
        assert!(found("sh").is_some());
    }
}
