//! Compiling the code of tasks: what was compiled before is there, and one server compiles the rest, one after the other.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_engine::error::chain;
use parking_lot::Mutex;
use tokio::time::timeout;

use super::cache::{Cache, Key};
use super::server::{Answer, Assembly, Error, Server};
use crate::dotnet::Tools;
use crate::shared::Programs;

/// Usual code takes some hundredths of a second.
const DEADLINE: Duration = Duration::from_secs(10);

/// After so many compilations the server is replaced: whatever it gathers over time goes with it.
const COMPILES_MOST: u32 = 500;

#[derive(Debug)]
pub(super) struct Compiler {
    tools: Arc<Tools>,
    programs: Programs,
    cache: Mutex<Cache>,
    /// Whoever holds the lock compiles.
    server: tokio::sync::Mutex<Option<Server>>,
}

/// Why there is no assembly.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The code is none that the compiler takes, now or later.
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
            server: tokio::sync::Mutex::default(),
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

    pub(super) async fn compile(self: &Arc<Self>, code: &str) -> Result<Arc<Assembly>, Refusal> {
        let key = Key::of(code);
        if let Some(found) = self.cache.lock().get(&key) {
            return Ok(found);
        }
        let (this, code) = (Arc::clone(self), code.to_owned());
        // A compilation that nobody waits for any more still ends: then the server can be asked again.
        let compiling = tokio::spawn(async move { this.compile_next(key, &code).await });
        compiling
            .await
            .unwrap_or_else(|error| Err(Refusal::Trouble(format!("the compilation broke: {error}"))))
    }

    async fn compile_next(self: &Arc<Self>, key: Key, code: &str) -> Result<Arc<Assembly>, Refusal> {
        let mut place = self.server.lock().await;
        // Whoever was first may have wanted the same.
        if let Some(found) = self.cache.lock().get(&key) {
            return Ok(found);
        }
        let outcome = self.ask(&mut place, code).await;
        if place.as_ref().is_none_or(|server| server.compiled() >= COMPILES_MOST) {
            *place = None;
            self.warm_up();
        }
        let assembly = Arc::new(outcome?);
        self.cache.lock().keep(key, Arc::clone(&assembly));
        Ok(assembly)
    }

    /// Leaves a server behind if it can be asked again.
    async fn ask(&self, place: &mut Option<Server>, code: &str) -> Result<Assembly, Refusal> {
        loop {
            // One that waited may have been killed in the meantime; one that is new was killed by this code.
            let waited = place.is_some();
            let mut server = match place.take() {
                Some(server) => server,
                None => Server::start(&self.tools, &self.programs)
                    .await
                    .map_err(|error| Refusal::Trouble(chain(&error)))?,
            };
            match timeout(DEADLINE, server.compile(code)).await {
                Ok(Ok(Answer::Compiled(assembly))) => {
                    *place = Some(server);
                    return Ok(assembly);
                }
                Ok(Ok(Answer::Refused(refused))) => {
                    *place = Some(server);
                    return Err(Refusal::Code(refused.to_string()));
                }
                Ok(Ok(Answer::Exhausted(why))) => {
                    return Err(Refusal::Code(format!("the code is too much for the compiler: {why}")));
                }
                Err(_) => {
                    let seconds = DEADLINE.as_secs();
                    return Err(Refusal::Code(format!(
                        "the compiler took longer than {seconds} s over the code"
                    )));
                }
                Ok(Err(_)) if waited => {}
                Ok(Err(Error::Ended(_)) | Ok(Answer::Ready(_))) => {
                    return Err(Refusal::Code("the compiler ended over the code".to_owned()));
                }
                Ok(Err(error)) => return Err(Refusal::Trouble(chain(&error))),
            }
        }
    }
}
