//! What programs write, and how far they say they are, on its way to the database while they run.
//!
//! ```text
//!   a program ends soon     nothing happens here: its report brings all it wrote
//!   it goes on              every 250 ms one statement for all that have something new
//!   it ends                 its report brings the rest, and what was sent and not confirmed
//! ```
//!
//! Chunks of an attempt are numbered as they are taken, and a number always stands for the same text: sent twice it is
//! stored once. The next ones are taken when those before are confirmed, so a database that is away costs no memory. Of the
//! progress of an attempt only the last counts, and it goes out once a second at most.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::task::Progress;
use orchestratum_engine::{Engine, error};
use orchestratum_sandbox::{Finished, Written};
use orchestratum_store::{LogAppend, LogChunk, LogStream, log_pieces};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::held::Key;
use crate::shared::Shared;
use crate::telling::Told;

/// How often it is looked what is new.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A program that ends sooner costs no statement more than its report.
const SHORT: Duration = Duration::from_millis(500);

/// How often the progress of a program goes out at most: nobody looks at it more often, and each is a write of the task.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How much is taken of each stream at a time.
const TAKEN_AT_ONCE: usize = 64 << 10;

/// What one statement brings at most: this, and the last program's share.
const STATEMENT_BYTES: usize = 1 << 20;

const STREAMS: [LogStream; 2] = [LogStream::Stdout, LogStream::Stderr];

/// The programs that run in this worker.
#[derive(Debug, Default)]
pub(crate) struct LiveLogs {
    programs: Mutex<HashMap<Key, Arc<Program>>>,
    begun: Notify,
}

#[derive(Debug)]
struct Program {
    since: Instant,
    source: Source,
    sending: Mutex<Sending>,
}

/// Where it comes from.
#[derive(Debug)]
enum Source {
    Program(Written),
    Handler(Arc<Told>),
}

#[derive(Debug, Default)]
struct Sending {
    /// The number of the next chunk.
    next: u32,
    /// Taken, and not known to be stored.
    unconfirmed: Vec<LogChunk>,
    /// When progress went out last.
    progress_sent_at: Option<Instant>,
    /// The progress that is known to be stored.
    progress_stored: Option<Progress>,
    /// Nothing more is sent ahead of the report.
    over: bool,
}

/// A program whose output is sent while it runs: until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    logs: Arc<LiveLogs>,
    key: Key,
    program: Arc<Program>,
}

/// Sends what is new until `stop`. Sleeps while no program runs.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let tick = async {
            shared.live_logs.any().await;
            sleep(LOOK_EVERY).await;
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tick => shared.live_logs.send(&shared.engine).await,
        }
    }
}

impl LiveLogs {
    pub(crate) fn watch(self: &Arc<Self>, key: Key, written: Written) -> Watched {
        self.watch_source(key, Source::Program(written))
    }

    pub(crate) fn watch_handler(self: &Arc<Self>, key: Key, told: Arc<Told>) -> Watched {
        self.watch_source(key, Source::Handler(told))
    }

    fn watch_source(self: &Arc<Self>, key: Key, source: Source) -> Watched {
        let program = Arc::new(Program {
            since: Instant::now(),
            source,
            sending: Mutex::default(),
        });
        self.programs.lock().insert(key, Arc::clone(&program));
        self.begun.notify_one();
        Watched {
            logs: Arc::clone(self),
            key,
            program,
        }
    }

    async fn any(&self) {
        while self.programs.lock().is_empty() {
            // One that begins in between has left its notice.
            self.begun.notified().await;
        }
    }

    async fn send(&self, engine: &Engine) {
        let programs: Vec<(Key, Arc<Program>)> = {
            let programs = self.programs.lock();
            let long = programs.iter().filter(|(_, program)| program.since.elapsed() >= SHORT);
            long.map(|(key, program)| (*key, Arc::clone(program))).collect()
        };
        let mut batch = Batch::default();
        for (key, program) in programs {
            batch.add(key, program);
            if batch.bytes >= STATEMENT_BYTES {
                std::mem::take(&mut batch).send(engine).await;
            }
        }
        batch.send(engine).await;
    }
}

impl Program {
    /// What is to be sent, if there is anything: the chunks of the last time again, until they are confirmed.
    fn to_send(&self, (task, attempt): Key) -> Option<LogAppend> {
        let mut sending = self.sending.lock();
        if sending.over {
            return None;
        }
        if sending.unconfirmed.is_empty() {
            let texts = match &self.source {
                Source::Program(written) => written.take(TAKEN_AT_ONCE),
                Source::Handler(told) => [Some(told.take(TAKEN_AT_ONCE)), None],
            };
            for (stream, text) in STREAMS.into_iter().zip(texts) {
                sending.number(stream, text.as_deref().unwrap_or_default());
            }
        }
        let append = LogAppend {
            task,
            attempt,
            chunks: sending.unconfirmed.clone(),
            progress: sending.progress(self.progress()),
        };
        (append.progress.is_some() || !append.chunks.is_empty()).then_some(append)
    }

    /// What it told last.
    fn progress(&self) -> Option<Progress> {
        match &self.source {
            Source::Program(written) => written.progress().and_then(|share| Progress::new(share).ok()),
            Source::Handler(told) => told.progress(),
        }
    }

    fn confirmed(&self, append: &LogAppend) {
        let mut sending = self.sending.lock();
        sending.unconfirmed.clear();
        sending.progress_stored = append.progress.or(sending.progress_stored);
    }

    fn leave_to_the_report(&self) {
        self.sending.lock().over = true;
    }
}

impl Sending {
    /// What goes out now of what was told: it is new, and its time has come.
    fn progress(&mut self, told: Option<Progress>) -> Option<Progress> {
        let new = told.filter(|told| self.progress_stored != Some(*told))?;
        if self.progress_sent_at.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return None;
        }
        self.progress_sent_at = Some(Instant::now());
        Some(new)
    }

    fn number(&mut self, stream: LogStream, text: &str) {
        for piece in log_pieces(text) {
            self.unconfirmed.push(LogChunk {
                stream,
                sequence: self.next,
                text: piece.to_owned(),
            });
            self.next += 1;
        }
    }
}

impl Watched {
    /// What the program told last of how far it is.
    pub(crate) fn progress(&self) -> Option<Progress> {
        self.program.progress()
    }

    /// What the report has to bring, now that the program has ended.
    pub(crate) fn rest(self, finished: &Finished) -> Vec<LogChunk> {
        let mut sending = self.program.sending.lock();
        sending.over = true;
        for (stream, captured) in STREAMS.into_iter().zip([&finished.stdout, &finished.stderr]) {
            let rest = captured.text.get(captured.taken_bytes..);
            sending.number(stream, rest.expect("what was taken is the beginning of the text"));
        }
        std::mem::take(&mut sending.unconfirmed)
    }

    /// The same of a handler.
    pub(crate) fn rest_of_handler(self, told: &Told) -> Vec<LogChunk> {
        let mut sending = self.program.sending.lock();
        sending.over = true;
        sending.number(LogStream::Stdout, &told.take(usize::MAX));
        std::mem::take(&mut sending.unconfirmed)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.logs.programs.lock().remove(&self.key);
    }
}

/// What one statement stores.
#[derive(Debug, Default)]
struct Batch {
    appends: Vec<LogAppend>,
    programs: Vec<Arc<Program>>,
    bytes: usize,
}

impl Batch {
    fn add(&mut self, key: Key, program: Arc<Program>) {
        let Some(append) = program.to_send(key) else {
            return;
        };
        self.bytes += append.chunks.iter().map(|chunk| chunk.text.len()).sum::<usize>();
        self.appends.push(append);
        self.programs.push(program);
    }

    async fn send(self, engine: &Engine) {
        if self.appends.is_empty() {
            return;
        }
        let programs = || self.appends.iter().zip(&self.programs);
        match engine.append_logs(&self.appends).await {
            Ok(running) => {
                let running: HashSet<Key> = running.into_iter().collect();
                for (append, program) in programs() {
                    if running.contains(&(append.task, append.attempt)) {
                        program.confirmed(append);
                    } else {
                        // Somebody has ended the attempt: nothing of this worker is stored any more.
                        program.leave_to_the_report();
                    }
                }
            }
            Err(error) if error.is_transient() => {
                tracing::debug!(error = %error::chain(&error), "logs of running tasks are sent again");
            }
            Err(error) => {
                tracing::error!(error = %error::chain(&error), "logs of running tasks cannot be stored ahead of their reports");
                for (_, program) in programs() {
                    program.leave_to_the_report();
                }
            }
        }
    }
}
