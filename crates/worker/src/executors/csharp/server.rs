//! One process that compiles: a program in the sandbox like those of tasks, which is asked over a socket. Roslyn reads what
//! nobody has read, and a source can make it run for hours or take all memory there is.

use std::fmt;
use std::io;
use std::time::Duration;

use orchestratum_sandbox::{self as sandbox, Argument, Command, Exit, Limits, Running};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::dotnet::{self, Tools};
use crate::shared::Programs;

/// How long the first compilation may take, which loads the compiler.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// Some ten times what it needs for usual code.
const HEAP_BYTES: u64 = 512 << 20;
const MEMORY_BYTES: u64 = 1 << 30;

/// Code of 1 MiB makes less.
const ANSWER_MAX_BYTES: u64 = 16 << 20;

/// How long it may take to end when it is told to.
const END_PATIENCE: Duration = Duration::from_secs(1);

/// A compilation ends by then, also where the worker is frozen and cannot end it.
const LIVES_ON: Duration = Duration::from_secs(20);

const SIGKILL: i32 = 9;

#[derive(Debug)]
pub(super) struct Server {
    /// Ended when this is dropped.
    running: Running,
    conversation: BufReader<UnixStream>,
    compiled: u32,
}

/// Compiled code, in base64, and the method that it begins with.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Assembly {
    #[serde(rename = "assembly")]
    pub(super) image: String,
    pub(super) symbols: String,
    #[serde(rename = "type")]
    pub(super) class: String,
    pub(super) method: String,
}

impl Assembly {
    pub(super) fn bytes(&self) -> usize {
        self.image.len() + self.symbols.len() + self.class.len() + self.method.len()
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Ready(String),
    Compiled(Assembly),
    Refused(Refused),
    /// It ran out of memory or of stack, and ends.
    Exhausted(String),
}

/// What is wrong with the code: the first errors, and how many there are.
#[derive(Debug, Deserialize)]
pub(super) struct Refused {
    errors: Vec<Fault>,
    count: usize,
}

#[derive(Debug, Deserialize)]
struct Fault {
    line: u32,
    column: u32,
    code: String,
    message: String,
}

impl fmt::Display for Refused {
    /// As the compiler's own command says it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.errors.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            let Fault {
                line,
                column,
                code,
                message,
            } = fault;
            write!(f, "{separator}main.cs({line},{column}): error {code}: {message}")?;
        }
        match self.count.saturating_sub(self.errors.len()) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the compile server could not be started")]
    NotStarted(#[from] sandbox::Error),
    #[error("the compile server ended by itself")]
    Ended(#[from] io::Error),
    #[error("the compile server does not start: {0}")]
    Broken(String),
    #[error("the compile server was not ready within {} s", START_PATIENCE.as_secs())]
    NotReady,
}

impl Server {
    pub(super) async fn start(tools: &Tools, programs: &Programs) -> Result<Self, Error> {
        let path = |path: &std::path::Path| path.to_str().map(str::to_owned).ok_or(sandbox::Error::NotUtf8);
        let memory_bytes = programs
            .sandbox
            .counts_memory_together()
            .is_ok()
            .then_some(MEMORY_BYTES);
        let mut command = Command::new(tools.program())
            .argument(Argument::Text(path(&tools.compile_server())?))
            .argument(Argument::Text(path(tools.compiler())?))
            .argument(Argument::Text(path(&tools.runner())?))
            .environment("DOTNET_GCHeapHardLimit", format!("{HEAP_BYTES:#x}"))
            .limits(Limits {
                memory_bytes,
                ..Limits::default()
            });
        for (name, value) in dotnet::ENVIRONMENT {
            command = command.environment(name, value);
        }
        let (running, conversation) = programs.sandbox.converse(&command).await?;
        let mut server = Self {
            running,
            conversation: BufReader::new(conversation),
            compiled: 0,
        };
        match timeout(START_PATIENCE, server.answer()).await {
            Ok(Ok(Answer::Ready(language))) => {
                tracing::info!(language, "C# is compiled");
                Ok(server)
            }
            Ok(_) => Err(Error::Broken(server.last_words().await)),
            Err(_) => Err(Error::NotReady),
        }
    }

    /// How it ended, and what it said to that.
    async fn last_words(mut self) -> String {
        drop(self.conversation);
        match self.running.stop(END_PATIENCE).await {
            Ok(finished) => {
                let stderr = finished.stderr.text;
                let first = stderr.lines().next().unwrap_or_default();
                format!("{}: {first}", finished.exit)
            }
            Err(error) => error.to_string(),
        }
    }

    /// How one ended that gives no answers: by a hand from outside, such as that of a machine without memory, or by itself.
    pub(super) async fn was_killed(mut self) -> bool {
        drop(self.conversation);
        match self.running.stop(END_PATIENCE).await {
            Ok(finished) => finished.exit == Exit::Signal(SIGKILL) && !finished.out_of_memory,
            // Nor is whoever kept it there any more.
            Err(_) => true,
        }
    }

    /// Dropped half-way, it leaves a server that nobody can ask any more.
    pub(super) async fn compile(&mut self, code: &str) -> Result<Answer, Error> {
        #[derive(Serialize)]
        struct Request<'a> {
            code: &'a str,
        }
        let mut line = serde_json::to_vec(&Request { code }).map_err(io::Error::other)?;
        line.push(b'\n');
        self.conversation.write_all(&line).await?;
        self.compiled += 1;
        self.running.killer().live(LIVES_ON);
        let answer = self.answer().await?;
        self.running.killer().live(Duration::MAX);
        Ok(answer)
    }

    /// How often it was asked.
    pub(super) fn compiled(&self) -> u32 {
        self.compiled
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let mut line = Vec::new();
        (&mut self.conversation)
            .take(ANSWER_MAX_BYTES)
            .read_until(b'\n', &mut line)
            .await?;
        if line.last() != Some(&b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_slice(&line)?)
    }
}
