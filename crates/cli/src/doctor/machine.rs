//! What an api or a worker would find on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orchestratum_api::shortage;
use orchestratum_engine::error::chain;
use orchestratum_engine::{Settings, WorkerSettings};
use orchestratum_sandbox::{Sandbox, Shim, host};
use orchestratum_worker::isolation::OfferedCommand;
use orchestratum_worker::machine::Interpreter;
use orchestratum_worker::{dotnet, environments, isolation, machine};

use super::report::Report;

pub(super) async fn check(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let worker = &settings.worker;
    let python = python(worker, report).await?;
    let mut readable: Vec<PathBuf> = python.iter().flat_map(|python| python.folders.clone()).collect();
    match dotnet::find(worker).await {
        Ok(tools) => {
            report.ok("csharp", tools.describe())?;
            readable.extend(tools.folders());
        }
        Err(reason) => {
            let says = format!("a worker here offers no `csharp`: {reason}");
            // The one that the settings name is not there; without a name there need be none.
            if worker.csharp.is_some() {
                report.wrong("csharp", says)?;
            } else {
                report.warning("csharp", says)?;
            }
        }
    }
    let shell = machine::program(&worker.shell);
    if let Some(path) = &shell {
        report.ok("shell", path.display().to_string())?;
        readable.push(path.clone());
    } else {
        let says = format!(
            "a worker here offers no `shell`: there is no worker.shell = {:?}",
            worker.shell
        );
        report.wrong("shell", says)?;
    }
    match machine::work_dir(worker.work_dir.as_deref()) {
        Ok(folder) => {
            report.ok("work_dir", folder.display().to_string())?;
            let sandbox = isolation(settings, &readable, python.as_ref(), shell.as_deref(), report).await?;
            environments(worker, python.as_ref(), sandbox.as_deref(), report).await?;
            commands(settings, sandbox, report).await?;
        }
        Err(error) => {
            report.wrong("work_dir", format!("tasks cannot get working directories: {error}"))?;
            report.not_looked_at(&["isolation"], "work_dir")?;
            environments(worker, python.as_ref(), None, report).await?;
            commands(settings, None, report).await?;
        }
    }
    match host::open_files() {
        None => report.warning("open files", "the kernel does not say how many there may be"),
        Some(limit) => match shortage(settings, limit) {
            None => report.ok("open files", format!("there may be {limit}")),
            Some(shortage) => report.warning("open files", shortage.to_string()),
        },
    }
}

async fn python(worker: &WorkerSettings, report: &mut Report) -> anyhow::Result<Option<Interpreter>> {
    match machine::python(&worker.python).await {
        Ok(interpreter) => {
            report.ok("python", &interpreter.path)?;
            Ok(Some(interpreter))
        }
        Err(reason) => {
            let reason = reason.lines().last().unwrap_or_default();
            let says = format!(
                "a worker here offers no `python`: worker.python = {:?}: {reason}",
                worker.python
            );
            // As with C#: on a machine that runs no worker there need be none.
            if worker.names_python() {
                report.wrong("python", says)?;
            } else {
                report.warning("python", says)?;
            }
            Ok(None)
        }
    }
}

/// One part for each, as there may be none.
async fn environments(
    worker: &WorkerSettings,
    python: Option<&Interpreter>,
    sandbox: Option<&Sandbox>,
    report: &mut Report,
) -> anyhow::Result<()> {
    const NAME: &str = "environment";
    if worker.environments.is_empty() {
        return Ok(());
    }
    let (Some(python), Some(sandbox)) = (python, sandbox) else {
        let what = if python.is_none() { "python" } else { "isolation" };
        return report.not_looked_at(&[NAME], what);
    };
    for (name, found) in environments::find(worker, python, sandbox).await.told() {
        match found {
            Ok(interpreter) => report.ok(NAME, format!("`{name}`: {interpreter}"))?,
            Err(reason) => report.wrong(NAME, format!("a worker here does not have `{name}`: {reason}"))?,
        }
    }
    Ok(())
}

/// One part for each, as there may be none.
async fn commands(settings: &Settings, sandbox: Option<Arc<Sandbox>>, report: &mut Report) -> anyhow::Result<()> {
    const NAME: &str = "command";
    if settings.worker.commands.is_empty() {
        return Ok(());
    }
    let Some(sandbox) = sandbox else {
        return report.not_looked_at(&[NAME], "isolation");
    };
    for (name, found) in isolation::commands(settings, sandbox).await {
        match found {
            Ok(OfferedCommand { program, warning: None }) => report.ok(NAME, format!("`{name}` is {program}"))?,
            Ok(OfferedCommand {
                program,
                warning: Some(warning),
            }) => {
                report.warning(NAME, format!("`{name}` is {program}, and {warning}"))?;
            }
            Err(reason) => report.wrong(NAME, format!("a worker here offers no `{name}`: {reason}"))?,
        }
    }
    Ok(())
}

async fn isolation(
    settings: &Settings,
    readable: &[PathBuf],
    python: Option<&Interpreter>,
    shell: Option<&Path>,
    report: &mut Report,
) -> anyhow::Result<Option<Arc<Sandbox>>> {
    let found = match isolation::find(&settings.worker, &Shim::this_program(), readable).await {
        Ok(found) => found,
        Err(error) => {
            report.wrong("isolation", chain(&error))?;
            return Ok(None);
        }
    };
    let refused: Vec<String> = found
        .refused
        .iter()
        .map(|(level, reason)| format!("`{}` cannot be had here: {reason}", level.as_str()))
        .collect();
    let refused = refused.join("; ");
    let warning = found.warning().map(str::to_owned);
    let Some(sandbox) = found.sandbox.map(Arc::new) else {
        let says = format!(
            "a worker here runs no programs, so it offers no `python`, `csharp`, `shell` and no command: {refused}"
        );
        report.warning("isolation", says)?;
        return Ok(None);
    };
    let level = sandbox.isolation().as_str();
    let python = python.map(|python| python.path.clone());
    let failing = isolation::failing(settings, Arc::clone(&sandbox), python, shell).await;
    let failing = failing.into_iter().map(|(name, reason)| {
        let name = name.as_str();
        format!("a worker here offers no `{name}`, which does not run at this level: {reason}")
    });
    let troubles = Some(refused).filter(|refused| !refused.is_empty());
    let troubles: Vec<String> = troubles.into_iter().chain(warning).chain(failing).collect();
    if troubles.is_empty() {
        report.ok("isolation", level)?;
    } else {
        report.warning("isolation", format!("{level}: {}", troubles.join("; ")))?;
    }
    Ok(Some(sandbox))
}
