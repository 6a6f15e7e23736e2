//! Following what a task writes, while it writes it.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_store::{LogPosition, LogStream, LogsFrom, NewLogs, StoredLogChunk};
use tokio::time::{Instant, timeout, timeout_at};

use crate::follows::{News, is_over};
use crate::keys::Identity;
use crate::places::Place;
use crate::{Engine, Error, error};

/// How often is asked whether a caller may still follow who is told nothing.
const CALLER_CHECKED_EVERY: Duration = Duration::from_secs(5);

/// What is followed.
#[derive(Debug, Clone, Copy)]
pub struct FollowLogs {
    pub task: TaskId,
    /// Of this attempt alone, which is followed to its end; else of all there will be, to the end of the task.
    pub attempt: Option<NonZeroU32>,
    pub stream: Option<LogStream>,
    /// What comes before was read already.
    pub from: LogPosition,
}

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// In their order; never none.
    Wrote(Vec<StoredLogChunk>),
    /// Nothing more will come.
    Over(LogsEnd),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsEnd {
    /// `None` if the task was deleted.
    pub status: Option<TaskStatus>,
    /// The attempt that was followed, or the last one, if there was one.
    pub attempt: Option<u32>,
    /// How that attempt ended.
    pub outcome: Option<AttemptOutcome>,
}

/// Somebody who follows, until this is dropped.
#[derive(Debug)]
pub struct LogFollower {
    engine: Engine,
    caller: Arc<Identity>,
    question: LogsFrom,
    stream: Option<LogStream>,
    /// The answer of the look that found that there is such a task.
    first: Option<Arc<NewLogs>>,
    more: bool,
    end: Option<LogsEnd>,
    over: bool,
    until: Instant,
    _place: Place,
}

impl Engine {
    /// Begins to follow what a task writes, for the time that the settings allow, or for as long as the caller's key is
    /// valid.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], [`Error::AttemptNotFound`], [`Error::TooManyFollowers`],
    /// [`Error::TooManyFollowersOfOneKey`], [`Error::Stopping`].
    pub async fn follow_logs(&self, caller: Arc<Identity>, follow: FollowLogs) -> Result<LogFollower, Error> {
        let FollowLogs {
            task,
            attempt,
            stream,
            from,
        } = follow;
        let place = self.parts.follows.begin(&caller.key_id)?;
        let attempt = attempt.map(NonZeroU32::get);
        let first_of_attempt = LogPosition {
            attempt: attempt.unwrap_or(0),
            sequence: 0,
        };
        let question = LogsFrom {
            task,
            from: from.max(first_of_attempt),
            last_attempt: attempt,
        };
        let answers = self.parts.store.new_logs(&[question]).await?;
        let first = answers.into_iter().next().flatten().ok_or(Error::TaskNotFound(task))?;
        let newest = first.newest_attempt;
        if let Some(attempt) = attempt.filter(|attempt| *attempt > newest) {
            return Err(Error::AttemptNotFound { task, attempt, newest });
        }
        Ok(LogFollower {
            engine: self.clone(),
            caller,
            question,
            stream,
            first: Some(Arc::new(first)),
            more: false,
            end: None,
            over: false,
            until: Instant::now() + Duration::from_secs_f64(self.parts.settings.api.max_follow_seconds),
            _place: place,
        })
    }
}

impl LogFollower {
    /// Waits for what comes next; `None` after the end, and before it when the process stops, the time has passed, or the
    /// caller's key is no longer what it was.
    pub async fn next(&mut self) -> Option<Followed> {
        while !self.over {
            if let Some(end) = self.end.take() {
                self.over = true;
                return Some(Followed::Over(end));
            }
            let Some(news) = self.news().await else {
                self.over = true;
                break;
            };
            let wrote = self.take(news.as_deref());
            if !wrote.is_empty() {
                return Some(Followed::Wrote(wrote));
            }
        }
        None
    }

    async fn news(&mut self) -> Option<News> {
        if let Some(first) = self.first.take() {
            return Some(Some(first));
        }
        timeout_at(self.until, self.news_for_the_caller()).await.ok().flatten()
    }

    /// The key was checked when the following began: it may have been revoked since, or have expired.
    async fn news_for_the_caller(&self) -> Option<News> {
        let asking = self.engine.parts.follows.ask(self.question, self.more);
        tokio::pin!(asking);
        let news = loop {
            if let Ok(news) = timeout(CALLER_CHECKED_EVERY, &mut asking).await {
                break news?;
            }
            // Nothing is told meanwhile: it may be known later again whether it may be.
            if !self.may_follow().await.unwrap_or(true) {
                return None;
            }
        };
        // Where it is not known, the caller comes again.
        self.may_follow().await.unwrap_or(false).then_some(news)
    }

    /// `None` where that cannot be said now.
    async fn may_follow(&self) -> Option<bool> {
        match self.engine.is_still(&self.caller).await {
            Ok(valid) => Some(valid),
            Err(error) => {
                tracing::debug!(error = %error::chain(&error), "the key of a follower cannot be checked");
                None
            }
        }
    }

    fn take(&mut self, news: Option<&NewLogs>) -> Vec<StoredLogChunk> {
        let last_attempt = self.question.last_attempt;
        let Some(news) = news else {
            self.end = Some(LogsEnd {
                status: None,
                attempt: None,
                outcome: None,
            });
            return Vec::new();
        };
        if let Some(last) = news.chunks.last() {
            self.question.from = LogPosition {
                attempt: last.attempt,
                sequence: last.chunk.sequence + 1,
            };
        }
        self.more = news.more;
        if !news.more && is_over(last_attempt, news) {
            let attempt = last_attempt.unwrap_or(news.newest_attempt);
            self.end = Some(LogsEnd {
                status: Some(news.status),
                attempt: (attempt > 0).then_some(attempt),
                outcome: news.outcome,
            });
        }
        let wanted = |stored: &&StoredLogChunk| self.stream.is_none_or(|stream| stored.chunk.stream == stream);
        news.chunks.iter().filter(wanted).cloned().collect()
    }
}
