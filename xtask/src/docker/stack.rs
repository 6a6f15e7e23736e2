//! The compose file of the checkout, under a project name of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::engine::Client;
use crate::process;
use crate::workspace::Workspace;

const PROJECT: &str = "orchestratum-check";
/// A cold start of both servers on a slow machine, and the health checks' own intervals on top.
const HEALTHY_WITHIN_SECONDS: &str = "240";

#[derive(Debug)]
pub(super) struct Stack<'a> {
    client: &'a Client,
    root: PathBuf,
}

impl<'a> Stack<'a> {
    pub(super) fn new(client: &'a Client, workspace: &Workspace) -> Self {
        Self {
            client,
            root: workspace.root().to_owned(),
        }
    }

    /// By the engine's own client: it knows the mounts of caches, whatever compose is there.
    pub(super) fn build(&self) -> Result<()> {
        process::run(&mut self.compose(&["config", "--quiet"])?)?;
        for name in ["api", "worker"] {
            println!("==> building the image of the {name}");
            let (file, tag) = (format!("Dockerfile.{name}"), format!("orchestratum-{name}:local"));
            let mut build = self.client.docker(&["build", "--file", &file, "--tag", &tag, "."]);
            process::run(build.current_dir(&self.root))?;
            let user =
                process::read(
                    &mut self
                        .client
                        .docker(&["image", "inspect", "--format", "{{.Config.User}}", &tag]),
                )?;
            if ["", "root", "0"].contains(&user.trim()) {
                bail!("{tag} runs as root");
            }
        }
        Ok(())
    }

    pub(super) fn up(&self) -> Result<RunningStack<'_>> {
        println!("==> starting the compose file");
        let running = RunningStack { stack: self };
        running.scale_workers(1)?;
        Ok(running)
    }

    fn compose(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.client.compose(&["--project-name", PROJECT])?;
        command.args(arguments).current_dir(&self.root);
        Ok(command)
    }
}

/// Taken down, with its volumes, when dropped.
#[derive(Debug)]
pub(super) struct RunningStack<'a> {
    stack: &'a Stack<'a>,
}

impl RunningStack<'_> {
    /// Returns when everything is healthy.
    pub(super) fn scale_workers(&self, workers: usize) -> Result<()> {
        let scale = format!("worker={workers}");
        let wait = ["--wait", "--wait-timeout", HEALTHY_WITHIN_SECONDS];
        let mut up = self
            .stack
            .compose(&["up", "--detach", "--no-build", "--scale", &scale])?;
        if let Err(error) = process::run(up.args(wait)) {
            // The containers' last words are worth more than "unhealthy".
            let _ = process::run(&mut self.stack.compose(&["ps", "--all"])?);
            let _ = process::run(&mut self.stack.compose(&["logs", "--tail", "30"])?);
            return Err(error);
        }
        Ok(())
    }

    /// Whether the engine can keep a limit, by the name that it has in `docker info`: without its controller it says that it
    /// cannot, and starts the container all the same.
    pub(super) fn engine_keeps(&self, limit: &str) -> bool {
        let format = format!("{{{{.{limit}}}}}");
        process::read(&mut self.stack.client.docker(&["info", "--format", &format]))
            .is_ok_and(|answer| answer.trim() == "true")
    }

    /// The key that the first start of the api created and printed once.
    pub(super) fn first_key(&self) -> Result<String> {
        let log = process::read(&mut self.stack.compose(&["logs", "--no-log-prefix", "--no-color", "api"])?)?;
        key_in(&log).with_context(|| format!("the api printed no key:\n{log}"))
    }
}

impl Drop for RunningStack<'_> {
    fn drop(&mut self) {
        println!("==> taking it down");
        let down = self
            .stack
            .compose(&["down", "--volumes", "--timeout", "10"])
            .and_then(|mut down| process::run(&mut down));
        if let Err(error) = down {
            eprintln!("error: {error:#}");
        }
    }
}

fn key_in(log: &str) -> Option<String> {
    let rest = &log[log.find("orch_")?..];
    let end = rest.find(|letter: char| !(letter.is_ascii_alphanumeric() || "_-".contains(letter)));
    Some(rest[..end.unwrap_or(rest.len())].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_container_is_given_a_right_that_an_engine_keeps_back() {
        let compose = include_str!("../../../docker-compose.yml");
        for right in [
            "privileged",
            "cap_add",
            "unconfined",
            "devices:",
            "network_mode:",
            "userns_mode:",
            "pid:",
            "ipc:",
            "docker.sock",
        ] {
            assert!(!compose.contains(right), "{right}");
        }
    }

    /// Where the sandbox has no control groups, nothing else bounds what a task uses up.
    #[test]
    fn the_worker_is_given_bounds_for_what_tasks_use_up() {
        let compose = include_str!("../../../docker-compose.yml");
        let (_, worker) = compose.split_once("\n  worker:\n").expect("there is a worker");
        for bound in [
            "pids_limit: ",
            "mem_limit: ",
            "memswap_limit: ",
            "- /tmp:size=",
            "ORCHESTRATUM__WORKER__WORK_DIR: /tmp\n",
            "ORCHESTRATUM__WORKER__LIMITS__MEMORY_MB: ",
        ] {
            assert!(worker.contains(bound), "{bound}");
        }
    }

    #[test]
    fn the_key_is_found_wherever_it_stands_in_the_log() {
        let log = "starting\n{\"message\":\"first key\",\"key\":\"orch_ab12_Cd-9\"}\nready\n";
        assert_eq!(key_in(log).as_deref(), Some("orch_ab12_Cd-9"));
        assert_eq!(key_in("nothing"), None);
    }
}
