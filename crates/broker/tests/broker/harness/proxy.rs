//! A TCP proxy in front of RabbitMQ that fails on purpose.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

pub(crate) struct Proxy {
    pub(crate) port: u16,
    silent: watch::Sender<bool>,
    cuts: broadcast::Sender<()>,
    said: broadcast::Sender<Arc<[u8]>>,
    _end: DropGuard,
}

/// One connection's share of the proxy's controls.
struct Pipe {
    silent: watch::Receiver<bool>,
    cuts: broadcast::Receiver<()>,
    said: broadcast::Receiver<Arc<[u8]>>,
}

impl Proxy {
    pub(crate) async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (silent, cuts, said) = (
            watch::Sender::new(false),
            broadcast::Sender::new(8),
            broadcast::Sender::new(8),
        );
        let end = CancellationToken::new();
        let controls = (silent.clone(), cuts.clone(), said.clone());
        let ended = end.clone();
        tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((client, _)) = accepted else { return };
                        let pipe = Pipe {
                            silent: controls.0.subscribe(),
                            cuts: controls.1.subscribe(),
                            said: controls.2.subscribe(),
                        };
                        let server = server.clone();
                        connections.spawn(async move {
                            if let Ok(server) = TcpStream::connect(server).await {
                                pipe.run(client, server).await;
                            }
                        });
                    }
                    () = ended.cancelled() => return,
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self {
            port,
            silent,
            cuts,
            said,
            _end: end.drop_guard(),
        }
    }

    /// Passes nothing on any more, on connections open and new, and tells nobody: a network that drops packets.
    pub(crate) fn fall_silent(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        // Fails only when there is none.
        let _ = self.cuts.send(());
    }

    /// Tells every client what RabbitMQ tells those that publish while it is short of memory (method 60 of class 10).
    pub(crate) fn say_blocked(&self) {
        let reason = b"low on memory";
        let mut method = vec![0, 10, 0, 60, u8::try_from(reason.len()).expect("short")];
        method.extend_from_slice(reason);
        self.say(&method);
    }

    pub(crate) fn say_unblocked(&self) {
        self.say(&[0, 10, 0, 61]);
    }

    /// A method frame on channel 0. The connections must be idle, so that it does not land within another frame.
    fn say(&self, method: &[u8]) {
        let mut frame = vec![1, 0, 0];
        frame.extend_from_slice(&u32::try_from(method.len()).expect("short").to_be_bytes());
        frame.extend_from_slice(method);
        frame.push(0xCE);
        self.said.send(frame.into()).expect("somebody is connected");
    }
}

impl Pipe {
    async fn run(mut self, mut client: TcpStream, mut server: TcpStream) {
        let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            let silent = *self.silent.borrow_and_update();
            tokio::select! {
                _ = self.silent.changed() => {}
                _ = self.cuts.recv() => return,
                Ok(frame) = self.said.recv() => {
                    let _ = client.write_all(&frame).await;
                }
                read = client.read(&mut up), if !silent => match read {
                    Ok(count) if count > 0 && server.write_all(&up[..count]).await.is_ok() => {}
                    _ => return,
                },
                read = server.read(&mut down), if !silent => match read {
                    Ok(count) if count > 0 && client.write_all(&down[..count]).await.is_ok() => {}
                    _ => return,
                },
            }
        }
    }
}
