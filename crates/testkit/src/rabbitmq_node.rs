//! A RabbitMQ of a test's own, which can be killed: what it keeps then is what it has on its disk.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use lapin::{Connection, ConnectionProperties};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User, geteuid};
use tempfile::TempDir;

use crate::name;
use crate::process::{Process, processes_with_environment};
use crate::wait::eventually_within;

/// It starts a virtual machine, on a machine that is busy.
const START: Duration = Duration::from_secs(90);

/// A connection that begins while the node does may be left without an answer.
const CONNECTING: Duration = Duration::from_secs(5);

/// Marks every process of a node, also the port mapper that Erlang brings up beside it.
const MARK: &str = "RABBITMQ_NODE_MARK";

/// Below the range of outgoing connections, so that its port is still free when it is started again, and below that of the servers
/// of all tests.
const PORTS: std::ops::Range<u16> = 21_000..24_900;

/// The start script itself; the one on Debian's search path insists on an account of its own.
const DEBIAN: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// All of it is killed when this is dropped.
#[derive(Debug)]
pub struct RabbitmqNode {
    program: PathBuf,
    ports: Ports,
    mark: String,
    process: Option<Process>,
    folder: TempDir,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    amqp: u16,
    distribution: u16,
    mapper: u16,
}

impl RabbitmqNode {
    /// `None` where RabbitMQ is not installed, as the tests were given one elsewhere.
    pub async fn start() -> anyhow::Result<Option<Self>> {
        let Some(program) = installed() else {
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        // The account of the server must get through.
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let mut node = Self {
            program,
            ports: Ports::find()?,
            mark: name::unique(),
            process: None,
            folder,
        };
        node.configure()?;
        node.start_again().await?;
        Ok(Some(node))
    }

    pub fn url(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.ports.amqp)
    }

    /// SIGKILL to all of it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.kill_processes();
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// After [`kill`](Self::kill): with the same data, at the same address. Waits until it takes connections.
    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(&self.program);
        if let Some(account) = account()? {
            command.uid(account.uid.as_raw()).gid(account.gid.as_raw());
        }
        command.current_dir(self.home());
        let log = self.folder.path().join("output");
        self.process = Some(Process::spawn(&mut command, &[], &self.environment(), log)?);
        // Another test of the same process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = self.url();
        eventually_within(START, "a RabbitMQ of a test's own takes connections", || {
            let said = self.process.as_ref().map(Process::output);
            let connecting = Connection::connect(&url, ConnectionProperties::default());
            async move {
                match tokio::time::timeout(CONNECTING, connecting).await {
                    Ok(Ok(_closed_by_its_end)) => Ok(()),
                    Ok(Err(error)) => Err(format!("{error}: {}", said.unwrap_or_default())),
                    Err(elapsed) => Err(format!("{elapsed}: {}", said.unwrap_or_default())),
                }
            }
        })
        .await;
        Ok(())
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    fn configure(&self) -> anyhow::Result<()> {
        let home = self.home();
        std::fs::create_dir(&home)?;
        if let Some(account) = account()? {
            chown(&home, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
        }
        let configuration = format!(
            "listeners.tcp.1 = 127.0.0.1:{}\n\
             log.console = false\n\
             log.file.level = warning\n\
             vm_memory_high_watermark.absolute = 1GB\n\
             disk_free_limit.absolute = 200MB\n\
             cluster_formation.peer_discovery_backend = classic_config\n",
            self.ports.amqp
        );
        std::fs::write(home.join("plugins"), "[].\n")?;
        std::fs::write(home.join("rabbitmq.conf"), configuration)?;
        Ok(())
    }

    /// Every path and port of its own: nothing that the machine's installation has configured is read.
    fn environment(&self) -> BTreeMap<String, String> {
        let home = self.home();
        let path = |name: &str| home.join(name).display().to_string();
        let Ports {
            amqp,
            distribution,
            mapper,
        } = self.ports;
        let settings = [
            ("HOME", home.display().to_string()),
            (MARK, self.mark.clone()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            ("ERL_EPMD_PORT", mapper.to_string()),
            ("RABBITMQ_NODENAME", format!("own{amqp}@localhost")),
            ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
            ("RABBITMQ_NODE_PORT", amqp.to_string()),
            ("RABBITMQ_DIST_PORT", distribution.to_string()),
            ("RABBITMQ_MNESIA_BASE", path("data")),
            ("RABBITMQ_LOG_BASE", path("log")),
            ("RABBITMQ_CONFIG_FILE", path("rabbitmq")),
            ("RABBITMQ_ADVANCED_CONFIG_FILE", path("none")),
            ("RABBITMQ_CONF_ENV_FILE", "/dev/null".to_owned()),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
            ("RABBITMQ_GENERATED_CONFIG_DIR", path("generated")),
            ("RABBITMQ_PID_FILE", path("pid")),
            // No busy waiting: on two cores it takes the time of the tests.
            (
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}".to_owned(),
            ),
            ("RABBITMQ_CTL_ERL_ARGS", "-proto_dist inet_tcp".to_owned()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).into()
    }

    fn kill_processes(&self) {
        for process in processes_with_environment(&format!("{MARK}={}", self.mark)) {
            if let Ok(process) = i32::try_from(process) {
                // It may be gone with another one.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
    }
}

impl Drop for RabbitmqNode {
    fn drop(&mut self) {
        self.kill_processes();
    }
}

impl Ports {
    fn find() -> anyhow::Result<Self> {
        let blocks: Vec<u16> = PORTS.step_by(3).collect();
        // Tests that start at the same moment begin at different places.
        let start = usize::try_from(std::process::id())? % blocks.len();
        let mut blocks = blocks[start..].iter().chain(&blocks[..start]);
        let first = blocks
            .find(|first| (**first..**first + 3).all(is_free))
            .context("no three free ports in a row on 127.0.0.1")?;
        Ok(Self {
            amqp: *first,
            distribution: first + 1,
            mapper: first + 2,
        })
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn installed() -> Option<PathBuf> {
    let debian = Path::new(DEBIAN);
    if debian.exists() {
        return Some(debian.to_owned());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut programs = std::env::split_paths(&path).map(|folder| folder.join("rabbitmq-server"));
    programs.find(|program| program.exists())
}

/// Whose rights it has where we are root, who must not run it.
fn account() -> anyhow::Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let account =
        User::from_name("rabbitmq")?.context("root must not run RabbitMQ, and there is no account `rabbitmq`")?;
    Ok(Some(account))
}
