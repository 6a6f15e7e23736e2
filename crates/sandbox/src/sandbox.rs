//! Where programs are run: the best walls that this machine allows, or those that were asked for.

use std::collections::BTreeMap;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::net::UnixStream;

use crate::cells::{Cells, Pool};
use crate::groups::{Group, Groups, Together};
use crate::protocol::{EachProcess, Launch, MARKER, MESSAGE_MAX_BYTES, Opening, Runner, SingleRun, frame};
use crate::streams::{Given, Streams};
use crate::walls::{root, shown};
use crate::workspace::Workspace;
use crate::{Command, Confinement, Error, Isolation, Limits, Running, Shim, host, single, streams};

/// How many cells of other kinds wait for programs, unless it is said.
const BESIDE_USUALLY: usize = 16;

/// Where a program's folder is within a cell.
const CELL_FOLDER: &str = "/run/task";

/// How programs are kept apart, and where they are when they are not.
#[derive(Debug)]
pub struct Sandbox {
    shim: Shim,
    /// Of programs without the network.
    confinement: Confinement,
    workspace: Arc<Workspace>,
    /// `Err` with the reason where there are none.
    groups: Result<Arc<Groups>, String>,
    pool: Pool,
    /// What the sandboxes that come from this one keep ready together.
    beside: Pool,
    /// Without the network, and with it.
    cells: [Cells; 2],
}

impl Sandbox {
    /// Programs at this level, which is tried out.
    pub async fn open(
        shim: Shim,
        isolation: Isolation,
        readable: Vec<PathBuf>,
        work_folder: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let workspace = Arc::new(Workspace::create(work_folder.as_deref())?);
        let pools = [Pool::unbounded(), Pool::holding(BESIDE_USUALLY)];
        let sandbox = Self::of(shim, isolation, readable, workspace, Groups::find(), pools)?;
        sandbox.try_out().await?;
        Ok(sandbox)
    }

    /// The same for programs that may read more of the machine: files and folders by their absolute paths. What they keep
    /// ready is in the pool. Not tried out yet.
    ///
    /// # Errors
    /// [`Error::NotShown`] for what is where programs have something of their own.
    pub fn showing(&self, more: &[PathBuf], pool: &Pool) -> Result<Self, Error> {
        Self::of(
            self.shim.clone(),
            self.confinement.isolation,
            [self.confinement.readable.as_slice(), more].concat(),
            Arc::clone(&self.workspace),
            self.groups.clone(),
            [pool.clone(), self.beside.clone()],
        )
    }

    /// So many cells of the sandboxes that come from this one wait for programs at most, all kinds together.
    #[must_use]
    pub fn waiting_beside(mut self, most: usize) -> Self {
        self.beside = Pool::holding(most);
        self
    }

    /// What the sandboxes that come from this one keep ready, for [`Self::showing`].
    pub fn beside(&self) -> &Pool {
        &self.beside
    }

    fn of(
        shim: Shim,
        isolation: Isolation,
        mut readable: Vec<PathBuf>,
        workspace: Arc<Workspace>,
        groups: Result<Arc<Groups>, String>,
        [pool, beside]: [Pool; 2],
    ) -> Result<Self, Error> {
        if isolation == Isolation::Full {
            for path in &readable {
                if let Some(own) = shown::stands_in_the_way(path) {
                    let path = path.clone();
                    return Err(Error::NotShown { path, own });
                }
            }
        }
        // A folder before those in it, which are shown with it.
        readable.sort();
        readable.dedup();
        let confinement = Confinement {
            isolation,
            readable,
            network: false,
            memory_is_counted: groups.is_ok(),
        };
        let cells = [false, true].map(|network| {
            let opening = Opening::of(confinement.with_network(network), None);
            Cells::new(shim.clone(), opening, groups.clone().ok(), pool.clone())
        });
        Ok(Self {
            shim,
            confinement,
            workspace,
            groups,
            pool,
            beside,
            cells,
        })
    }

    /// Whether programs may read what is there, as a part of the system or because they were given it.
    pub fn reads(&self, path: &Path, network: bool) -> bool {
        let readable = root::readable(network, &self.confinement.readable);
        readable.iter().any(|readable| path.starts_with(readable))
    }

    /// Whether programs start here with what they may read.
    ///
    /// # Errors
    /// Why they do not.
    pub async fn try_out(&self) -> Result<(), Error> {
        let mut running = self.spawn(&Command::new("/bin/true")).await?;
        let finished = running.wait().await?;
        if finished.exit.is_success() {
            Ok(())
        } else {
            Err(Error::NoWalls(format!("/bin/true ended with {}", finished.exit)))
        }
    }

    pub fn isolation(&self) -> Isolation {
        self.confinement.isolation
    }

    /// Whether [`Limits::memory_bytes`] is of all processes of a program together.
    ///
    /// # Errors
    /// Why it is of each of them.
    pub fn counts_memory_together(&self) -> Result<(), &str> {
        self.groups.as_ref().map(drop).map_err(String::as_str)
    }

    /// Whether [`Limits::processes`] can be kept.
    pub fn counts_processes(&self) -> bool {
        self.confinement.isolation == Isolation::Full || self.groups.is_ok()
    }

    fn each_process(&self, limits: &Limits) -> EachProcess {
        let mut each = EachProcess::in_a_cell(limits, self.groups.is_ok());
        if self.confinement.isolation < Isolation::Full {
            each.processes = None;
            // They are on the disk of the machine.
            each.file_size_bytes = limits.file_size_bytes;
        }
        if self.confinement.isolation == Isolation::Off {
            // Nothing bounds what one of them holds there.
            each.open_files = limits.open_files;
        }
        each
    }

    /// Removes what workers left that were killed, where programs have folders on the disk.
    pub fn remove_what_the_dead_left(&self) {
        self.workspace.remove_those_of_the_dead();
    }

    /// Starts the program.
    pub async fn spawn(&self, command: &Command) -> Result<Running, Error> {
        let streams = streams::make(command)?;
        self.spawn_with(command, streams).await
    }

    /// Starts the program with a socket as its standard input, and returns the other end: for one that is told later what
    /// to do.
    pub async fn converse(&self, command: &Command) -> Result<(Running, UnixStream), Error> {
        let (ours, theirs) = StdUnixStream::pair().map_err(Error::Shim)?;
        ours.set_nonblocking(true).map_err(Error::Shim)?;
        let ours = UnixStream::from_std(ours).map_err(Error::Shim)?;
        let streams = streams::make_around(theirs.into(), command)?;
        Ok((self.spawn_with(command, streams).await?, ours))
    }

    async fn spawn_with(&self, command: &Command, streams: (Given, Streams)) -> Result<Running, Error> {
        match self.confinement.isolation {
            Isolation::Full => {
                let message = bounded(frame(&self.launch(command, PathBuf::from(CELL_FOLDER), None)))?;
                self.cells[usize::from(command.network)]
                    .spawn(message, &command.limits, streams)
                    .await
            }
            Isolation::Landlock | Isolation::Off => {
                let folder = self.workspace.prepare()?;
                let mark = folder.name();
                let mut group = self.group()?;
                if let Some(group) = &mut group {
                    group.begin(Together::of(&command.limits))?;
                }
                let run = SingleRun {
                    launch: self.launch(command, folder.path().to_owned(), Some(&mark)),
                    confinement: self.confinement.with_network(command.network),
                };
                bounded(frame(&run.launch))?;
                single::spawn(&self.shim, &run, mark, folder, group, streams).await
            }
        }
    }

    fn group(&self) -> Result<Option<Group>, Error> {
        self.groups
            .as_ref()
            .ok()
            .map(Groups::make)
            .transpose()
            .map_err(Error::Shim)
    }

    fn launch(&self, command: &Command, folder: PathBuf, mark: Option<&str>) -> Launch {
        let mut environment = command.environment.clone();
        environment.extend(mark.map(|mark| (MARKER.to_owned(), mark.to_owned())));
        Launch {
            program: command.program.clone(),
            arguments: command.arguments.clone(),
            environment,
            folder,
            files: command.files.clone(),
            limits: self.each_process(&command.limits),
            open_files: host::open_files_at_start(),
        }
    }

    /// Programs that a runner starts, which is there before them; only at [`Isolation::Full`].
    pub fn warm(&self, runner: Runner, network: bool) -> Option<Warm> {
        (self.confinement.isolation == Isolation::Full).then(|| {
            let opening = Opening::of(self.confinement.with_network(network), Some(runner));
            Warm {
                cells: Cells::new(self.shim.clone(), opening, self.groups.clone().ok(), self.pool.clone()),
                memory_together: self.groups.is_ok(),
            }
        })
    }
}

/// What a runner gets for each program, as JSON.
#[derive(Debug, Serialize)]
struct WarmLaunch<'a, T> {
    environment: BTreeMap<&'a str, &'a str>,
    limits: EachProcess,
    request: &'a T,
}

/// Cells with a runner in them.
#[derive(Debug)]
pub struct Warm {
    cells: Cells,
    memory_together: bool,
}

impl Warm {
    /// Has the runner start a program: it gets a [`WarmLaunch`], and the open files of the program with it. Of the command
    /// all counts but the program with its arguments and files, for which the request stands.
    pub async fn spawn<T: Serialize + Sync>(&self, request: &T, command: &Command) -> Result<Running, Error> {
        let streams = streams::make(command)?;
        let folder = |name: &str| format!("{CELL_FOLDER}/{name}");
        let (home, temporary) = (folder("home"), folder("tmp"));
        let own = [("HOME", home.as_str()), ("TMPDIR", temporary.as_str())];
        let given = command
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let message = bounded(frame(&WarmLaunch {
            environment: given.chain(own).collect(),
            limits: EachProcess::in_a_cell(&command.limits, self.memory_together),
            request,
        }))?;
        self.cells.spawn(message, &command.limits, streams).await
    }
}

fn bounded(message: Result<Vec<u8>, serde_json::Error>) -> Result<Vec<u8>, Error> {
    let message = message.map_err(|_| Error::NotUtf8)?;
    if message.len() > MESSAGE_MAX_BYTES {
        return Err(Error::TooLarge {
            bytes: message.len(),
            most: MESSAGE_MAX_BYTES,
        });
    }
    Ok(message)
}
