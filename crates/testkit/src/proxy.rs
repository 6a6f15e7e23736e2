//! A TCP proxy that fails on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::servers::{authority, with_authority};

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Existing connections are reset, new ones are closed at once.
    Cut,
    /// Bytes are swallowed in both directions; nobody is told.
    Blackhole,
}

/// What is lost of a COMMIT. The one who sent it cannot tell one from the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LostCommit {
    /// It never arrives: the transaction is rolled back with its connection.
    Request = 1,
    /// It is done, and the answer does not arrive.
    Answer = 2,
}

/// How PostgreSQL's protocol ends the text of a simple COMMIT.
const COMMIT: &[u8] = b"COMMIT\0";

/// Stands between a client and a server on the loopback interface.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    faults: Arc<Faults>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    pub async fn start(server: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")?;
        let address = listener.local_addr()?;
        let (mode, current) = watch::channel(Mode::Pass);
        let faults = Arc::new(Faults::default());
        let link = Link {
            server,
            mode: current,
            faults: Arc::clone(&faults),
        };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(link.clone().serve(client));
            }
        });
        Ok(Self {
            address,
            mode,
            faults,
            accepting,
        })
    }

    /// A proxy in front of the server of a URL, and the URL by which it is reached.
    pub async fn before(url: &str) -> anyhow::Result<(Self, String)> {
        let proxy = Self::start(authority(url)?).await?;
        let url = with_authority(url, &proxy.address().to_string())?;
        Ok((proxy, url))
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server is gone: connections are reset and refused.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// The network is gone: nothing arrives, nobody is told.
    pub fn blackhole(&self) {
        self.mode.send_replace(Mode::Blackhole);
    }

    pub fn heal(&self) {
        self.mode.send_replace(Mode::Pass);
    }

    /// The next answer of the server does not arrive: its connection is closed in its place. What was asked for has
    /// happened, and the one who asked cannot know.
    pub fn swallow_next_answer(&self) {
        self.faults.swallow_next_answer.store(true, Ordering::SeqCst);
    }

    pub fn swallowed_answers(&self) -> usize {
        self.faults.swallowed_answers.load(Ordering::SeqCst)
    }

    /// The next COMMIT of a PostgreSQL client costs its connection.
    pub fn lose_next_commit(&self, lost: LostCommit) {
        self.faults.lose_next_commit.store(lost as u8, Ordering::SeqCst);
    }

    /// Whether [that](Self::lose_next_commit) has happened.
    pub fn has_lost_the_commit(&self) -> bool {
        self.faults.lose_next_commit.load(Ordering::SeqCst) == 0
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What is still to go wrong once, and what has.
#[derive(Debug, Default)]
struct Faults {
    swallow_next_answer: AtomicBool,
    swallowed_answers: AtomicUsize,
    /// A [`LostCommit`], or 0.
    lose_next_commit: AtomicU8,
}

#[derive(Debug, Clone)]
struct Link {
    server: String,
    mode: watch::Receiver<Mode>,
    faults: Arc<Faults>,
}

impl Link {
    async fn serve(mut self, client: TcpStream) {
        if *self.mode.borrow_and_update() == Mode::Cut {
            return;
        }
        let Ok(server) = TcpStream::connect(&self.server).await else {
            return;
        };
        // Small messages must not wait for one another: a proxy should add no delay of its own.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut mode = self.mode.clone();
        let loses_its_next_answer = AtomicBool::new(false);
        let forward = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                if buffer[..length].ends_with(COMMIT) {
                    match self.faults.lose_next_commit.swap(0, Ordering::SeqCst) {
                        lost if lost == LostCommit::Request as u8 => break,
                        lost if lost == LostCommit::Answer as u8 => loses_its_next_answer.store(true, Ordering::SeqCst),
                        _ => {}
                    }
                }
                if *mode.borrow() == Mode::Pass && to_server.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        };
        let backward = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                let swallow_next_answer = &self.faults.swallow_next_answer;
                if loses_its_next_answer.load(Ordering::SeqCst) || swallow_next_answer.swap(false, Ordering::SeqCst) {
                    self.faults.swallowed_answers.fetch_add(1, Ordering::SeqCst);
                    break;
                }
                if *self.mode.borrow() == Mode::Pass && to_client.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        };
        let mut cut = mode.clone();
        tokio::select! {
            () = forward => {}
            () = backward => {}
            _ = cut.wait_for(|mode| *mode == Mode::Cut) => {}
        }
        // A link that lost bytes must not live on as if nothing had been: whoever heals the network resets it.
        mode.mark_unchanged();
    }
}
