//! What an api or a worker would find on this machine.

use orchestratum_api::shortage;
use orchestratum_engine::Settings;
use orchestratum_sandbox::host;
use orchestratum_worker::machine;

use super::report::Report;

pub(super) async fn check(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    let worker = &settings.worker;
    match machine::python(&worker.python).await {
        Ok(path) => report.ok("python", path)?,
        Err(reason) => {
            let reason = reason.lines().last().unwrap_or_default();
            let says = format!(
                "a worker here offers no `python`: worker.python = {:?}: {reason}",
                worker.python
            );
            report.warning("python", says)?;
        }
    }
    if let Some(path) = machine::program(&worker.shell) {
        report.ok("shell", path.display().to_string())?;
    } else {
        let says = format!(
            "a worker here offers no `shell`: there is no worker.shell = {:?}",
            worker.shell
        );
        report.warning("shell", says)?;
    }
    match machine::work_dir(worker.work_dir.as_deref()) {
        Ok(folder) => report.ok("work_dir", folder.display().to_string())?,
        Err(error) => report.wrong("work_dir", format!("tasks cannot get working directories: {error}"))?,
    }
    match host::open_files() {
        None => report.warning("open files", "the kernel does not say how many there may be"),
        Some(limit) => match shortage(settings, limit) {
            None => report.ok("open files", format!("there may be {limit}")),
            Some(shortage) => report.warning("open files", shortage.to_string()),
        },
    }
}
