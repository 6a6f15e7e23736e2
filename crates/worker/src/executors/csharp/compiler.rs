//! Compiling the code of tasks: what became of a source before is known, and one server compiles the rest, one after the other.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::error::chain;
use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::{Instant, timeout};

use super::cache::{Cache, Key, Verdict};
use super::server::{Answer, Assembly, Error, Server};
use crate::dotnet::Tools;
use crate::shared::Programs;

/// For a server that was there before. Usual code takes some hundredths of a second, and what takes longer than this has a
/// server of its own, so that nothing but the code decides.
const PATIENCE: Duration = Duration::from_secs(4);

/// For a server that was started for the code.
const DEADLINE: Duration = Duration::from_secs(10);

/// After so many compilations the server is replaced: whatever it gathers over time goes with it.
const COMPILES_MOST: u32 = 500;

#[derive(Debug)]
pub(super) struct Compiler {
    tools: Arc<Tools>,
    programs: Programs,
    cache: Mutex<Cache>,
    /// Whoever holds the lock compiles.
    server: Arc<tokio::sync::Mutex<Option<Server>>>,
}

type Outcome = Result<Arc<Assembly>, Refusal>;

/// Why there is no assembly.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The code is none that the compiler takes.
    Code(String),
    /// Of the machine: it may be over the next time.
    Trouble(String),
}

impl Compiler {
    pub(super) fn new(tools: Arc<Tools>, programs: Programs) -> Arc<Self> {
        Arc::new(Self {
            tools,
            programs,
            cache: Mutex::default(),
            server: Arc::default(),
        })
    }

    /// Has a server ready, now or soon.
    pub(super) fn warm_up(self: &Arc<Self>) {
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut place = this.server.lock().await;
            if place.is_none() {
                match Server::start(&this.tools, &this.programs).await {
                    Ok(server) => *place = Some(server),
                    Err(error) => tracing::warn!(error = chain(&error), "C# cannot be compiled at the moment"),
                }
            }
        });
    }

    pub(super) async fn compile(self: &Arc<Self>, code: &str) -> Outcome {
        let key = Key::of(code);
        if let Some(verdict) = self.known(&key) {
            return told(verdict);
        }
        // Whoever is stopped while it waits leaves the queue, and nothing is compiled for it.
        let place = Arc::clone(&self.server).lock_owned().await;
        // Whoever was first may have wanted the same.
        if let Some(verdict) = self.known(&key) {
            return told(verdict);
        }
        let (asker, answer) = oneshot::channel();
        let (this, code) = (Arc::clone(self), code.to_owned());
        // What has begun when nobody waits for it any more still ends: then the server can be asked again.
        tokio::spawn(async move {
            let outcome = this.compile_now(place, key, &code, &asker).await;
            // Kept for whoever asks next.
            let _ = asker.send(outcome);
        });
        answer
            .await
            .unwrap_or_else(|_| Err(Refusal::Trouble("the compilation broke".to_owned())))
    }

    fn known(&self, key: &Key) -> Option<Verdict> {
        self.cache.lock().get(key, Instant::now())
    }

    async fn compile_now(
        self: &Arc<Self>,
        mut place: OwnedMutexGuard<Option<Server>>,
        key: Key,
        code: &str,
        asker: &oneshot::Sender<Outcome>,
    ) -> Outcome {
        let verdict = self.ask(&mut place, code, asker).await;
        if place.as_ref().is_none_or(|server| server.compiled() >= COMPILES_MOST) {
            *place = None;
            self.warm_up();
        }
        let verdict = verdict.map_err(Refusal::Trouble)?;
        self.cache.lock().keep(key, verdict.clone(), Instant::now());
        told(verdict)
    }

    /// Leaves a server behind if it can be asked again. `Err` says what is wrong with the machine.
    async fn ask(
        &self,
        place: &mut Option<Server>,
        code: &str,
        asker: &oneshot::Sender<Outcome>,
    ) -> Result<Verdict, String> {
        loop {
            // One that waited may have been killed in the meantime, or be slow by now; what a new one does is the code's.
            let waited = place.is_some();
            let (mut server, patience) = if let Some(server) = place.take() {
                (server, PATIENCE)
            } else {
                let started = Server::start(&self.tools, &self.programs).await;
                (started.map_err(|error| chain(&error))?, DEADLINE)
            };
            match timeout(patience, server.compile(code)).await {
                Ok(Ok(Answer::Compiled(assembly))) => {
                    *place = Some(server);
                    return Ok(Verdict::Compiled(Arc::new(assembly)));
                }
                Ok(Ok(Answer::Refused(refused))) => {
                    *place = Some(server);
                    return Ok(Verdict::Refused(refused.to_string().into()));
                }
                Ok(Ok(Answer::Exhausted(why))) => {
                    return Ok(too_much(format!("the code is too much for the compiler: {why}")));
                }
                _ if waited && asker.is_closed() => return Err("nobody waits for the code any more".to_owned()),
                Err(_) | Ok(Err(_)) if waited => {}
                Err(_) => {
                    let seconds = DEADLINE.as_secs();
                    return Ok(too_much(format!(
                        "the compiler took longer than {seconds} s over the code"
                    )));
                }
                Ok(Err(Error::Ended(_)) | Ok(Answer::Ready(_))) => {
                    if server.was_killed().await {
                        return Err("the compile server was killed, as by a machine that has no memory left".to_owned());
                    }
                    return Ok(too_much("the compiler ended over the code".to_owned()));
                }
                Ok(Err(error)) => return Err(chain(&error)),
            }
        }
    }
}

fn too_much(message: String) -> Verdict {
    Verdict::TooMuch(message.into())
}

fn told(verdict: Verdict) -> Outcome {
    match verdict {
        Verdict::Compiled(assembly) => Ok(assembly),
        Verdict::Refused(message) | Verdict::TooMuch(message) => Err(Refusal::Code(message.to_string())),
    }
}
