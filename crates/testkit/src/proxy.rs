//! A TCP proxy that fails on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Pass,
    /// Existing connections are reset, new ones are closed at once.
    Cut,
    /// Bytes are swallowed in both directions; nobody is told.
    Blackhole,
}

/// Stands between a client and a server on the loopback interface.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    mode: watch::Sender<Mode>,
    swallow_next_answer: Arc<AtomicBool>,
    swallowed_answers: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    pub async fn start(server: String) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")?;
        let address = listener.local_addr()?;
        let (mode, current) = watch::channel(Mode::Pass);
        let swallow_next_answer = Arc::new(AtomicBool::new(false));
        let swallowed_answers = Arc::new(AtomicUsize::new(0));
        let link = Link {
            server,
            mode: current,
            swallow_next_answer: Arc::clone(&swallow_next_answer),
            swallowed_answers: Arc::clone(&swallowed_answers),
        };
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(link.clone().serve(client));
            }
        });
        Ok(Self {
            address,
            mode,
            swallow_next_answer,
            swallowed_answers,
            accepting,
        })
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
        self.swallow_next_answer.store(true, Ordering::SeqCst);
    }

    pub fn swallowed_answers(&self) -> usize {
        self.swallowed_answers.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[derive(Debug, Clone)]
struct Link {
    server: String,
    mode: watch::Receiver<Mode>,
    swallow_next_answer: Arc<AtomicBool>,
    swallowed_answers: Arc<AtomicUsize>,
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
        let forward = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
                if *mode.borrow() == Mode::Pass && to_server.write_all(&buffer[..length]).await.is_err() {
                    break;
                }
            }
        };
        let backward = async {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                if self.swallow_next_answer.swap(false, Ordering::SeqCst) {
                    self.swallowed_answers.fetch_add(1, Ordering::SeqCst);
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
