//! A double in a test: in a thread, or as a process.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::control::GitlabControl;
use super::server::serve_gitlab;
use crate::process::{Process, binary};
use crate::wait::eventually_within;

const START: Duration = Duration::from_secs(20);

/// In a thread with a runtime of its own: what it does takes no time from the test. Ends with its value.
#[derive(Debug)]
pub struct GitlabDouble {
    control: GitlabControl,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _folder: TempDir,
}

impl GitlabDouble {
    pub fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").context("a port for the double")?;
        listener.set_nonblocking(true)?;
        let control = GitlabControl::new(format!("http://{}", listener.local_addr()?))?;
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    served = serve_gitlab(listener, &path) => served.expect("the double serves"),
                    _ = ended => {}
                }
            });
        });
        Ok(Self {
            control,
            end: Some(end),
            thread: Some(thread),
            _folder: folder,
        })
    }

    pub fn url(&self) -> &str {
        self.control.url()
    }

    pub fn control(&self) -> &GitlabControl {
        &self.control
    }
}

impl Drop for GitlabDouble {
    fn drop(&mut self) {
        // It may have ended by a panic, which its thread has told.
        let _ = self.end.take().map(|end| end.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The binary `gitlab-double`, on a folder and a port that outlive it: killed and started again it goes on.
#[derive(Debug)]
pub struct GitlabProcess {
    process: Process,
    control: GitlabControl,
    address: SocketAddr,
    starts: u32,
    folder: TempDir,
}

impl GitlabProcess {
    pub async fn start() -> anyhow::Result<Self> {
        // Free when it was asked for; nothing else on this machine takes it so soon.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::tempdir()?;
        let mut double = Self {
            process: spawn(address, folder.path(), 0)?,
            control: GitlabControl::new(format!("http://{address}"))?,
            address,
            starts: 0,
            folder,
        };
        double.until_ready().await;
        Ok(double)
    }

    pub fn control(&self) -> &GitlabControl {
        &self.control
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()
    }

    pub async fn start_again(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        self.process = spawn(self.address, self.folder.path(), self.starts)?;
        self.until_ready().await;
        Ok(())
    }

    async fn until_ready(&mut self) {
        let control = self.control.clone();
        eventually_within(START, "the double of GitLab answers", || {
            let control = control.clone();
            async move { control.seen().await }
        })
        .await;
    }
}

fn spawn(address: SocketAddr, folder: &Path, start: u32) -> anyhow::Result<Process> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    let data = data.to_str().context("a folder with a plain name")?;
    let log = folder.join(format!("double-{start}.log"));
    let arguments = [&address.to_string(), data];
    Process::start(&binary("gitlab-double")?, &arguments, &BTreeMap::new(), log)
}
