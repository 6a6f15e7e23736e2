//! What was started, on disk: whoever finds the folder can end everything in it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::address::Addresses;
use crate::identity::Identity;
use crate::process;
use crate::stopwatch::wait_until;

/// An immediate stop of either server takes well under a second.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// How a server is told to stop; the data goes too, so a slow clean stop would be for nothing.
#[derive(Clone, Copy, Debug)]
pub(super) enum StopBy {
    /// PostgreSQL's immediate shutdown: the postmaster ends its children and removes its shared memory.
    Quit,
    /// For RabbitMQ, whose start script and virtual machine form one process group.
    KillGroup,
}

#[derive(Debug)]
pub(super) struct Record {
    directory: PathBuf,
}

impl Record {
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Refuses a folder that exists: in a place where everybody may write it could be somebody else's.
    pub(super) fn create(directory: &Path) -> Result<Self> {
        fs::create_dir(directory)?;
        // The servers run under accounts of their own and must get through.
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
        Ok(Self::in_directory(directory))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn started(&self, server: &Child, stop_by: StopBy) -> Result<()> {
        let word = match stop_by {
            StopBy::Quit => "quit",
            StopBy::KillGroup => "kill-group",
        };
        self.append("started", &format!("{word} {}", Identity::of(server.id())?))
    }

    /// The port mapper that every Erlang node brings up beside itself, in a session of its own.
    pub(super) fn started_port_mapper(&self, port: u16) -> Result<()> {
        self.append("started", &format!("port-mapper {port}"))
    }

    pub(super) fn keep_addresses(&self, addresses: &Addresses) -> Result<()> {
        for (name, value) in addresses.pairs() {
            self.append("addresses", &format!("{name}={value}"))?;
        }
        Ok(())
    }

    pub(super) fn addresses(&self) -> Result<Option<Addresses>> {
        let text = self.read("addresses")?;
        Ok(Addresses::from_pairs(|name| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        }))
    }

    pub(super) fn anything_runs(&self) -> Result<bool> {
        Ok(self.entries()?.iter().any(|entry| match entry {
            Entry::Server { identity, .. } => identity.is_alive(),
            Entry::PortMapper { .. } => false,
        }))
    }

    /// Ends what the record names and removes the folder. Nothing there is fine. In the order of starting: the port mapper
    /// of a node only goes when its node has.
    pub(super) fn stop_everything(&self) -> Result<()> {
        for entry in self.entries()? {
            match entry {
                Entry::Server { stop_by, identity } => stop_server(stop_by, identity)?,
                Entry::PortMapper { port } => stop_port_mapper(port)?,
            }
        }
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.directory.display()))
            }
            _ => Ok(()),
        }
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        self.read("started")?.lines().map(Entry::parse).collect()
    }

    fn read(&self, name: &str) -> Result<String> {
        match fs::read_to_string(self.directory.join(name)) {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error).with_context(|| format!("cannot read {name} of {}", self.directory.display())),
        }
    }

    fn append(&self, name: &str, line: &str) -> Result<()> {
        let path = self.directory.join(name);
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))
    }
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Server { stop_by: StopBy, identity: Identity },
    PortMapper { port: u16 },
}

impl Entry {
    fn parse(line: &str) -> Result<Self> {
        Ok(match line.split_once(' ') {
            Some(("quit", identity)) => Self::Server {
                stop_by: StopBy::Quit,
                identity: identity.parse()?,
            },
            Some(("kill-group", identity)) => Self::Server {
                stop_by: StopBy::KillGroup,
                identity: identity.parse()?,
            },
            Some(("port-mapper", port)) => Self::PortMapper { port: port.parse()? },
            _ => bail!("the record of what was started has a line that means nothing: {line}"),
        })
    }
}

fn stop_server(stop_by: StopBy, server: Identity) -> Result<()> {
    if !server.is_alive() {
        return Ok(());
    }
    let pid = server.pid();
    let (signal, target) = match stop_by {
        StopBy::Quit => ("QUIT", pid.to_string()),
        StopBy::KillGroup => ("KILL", format!("-{pid}")),
    };
    process::signal(signal, &target)?;
    wait_until(&format!("the end of process {pid}"), STOP_LIMIT, || {
        Ok(!server.is_alive())
    })
}

/// It refuses as long as a node is registered, which a killed one is until its connection is noticed.
fn stop_port_mapper(port: u16) -> Result<()> {
    wait_until("the end of the Erlang port mapper", STOP_LIMIT, || {
        let answers = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        if answers {
            process::succeeds(
                Command::new("epmd")
                    .env("ERL_EPMD_ADDRESS", "127.0.0.1")
                    .env("ERL_EPMD_PORT", port.to_string())
                    .arg("-kill"),
            );
        }
        Ok(!answers)
    })
}
