//! Following what a task writes, while it writes it.

use std::num::NonZeroU32;
use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, TaskStatus};
use orchestratum_store::{LogPosition, LogStream, LogsFrom, NewLogs, StoredLogChunk};

use crate::following::Following;
use crate::follows::{News, is_over};
use crate::keys::Identity;
use crate::{Engine, Error};

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
    following: Following,
    question: LogsFrom,
    stream: Option<LogStream>,
    /// The answer of the look that found that there is such a task.
    first: Option<Arc<NewLogs>>,
    more: bool,
    end: Option<LogsEnd>,
    over: bool,
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
        let following = self.begin_following(caller)?;
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
            following,
            question,
            stream,
            first: Some(Arc::new(first)),
            more: false,
            end: None,
            over: false,
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
        let follows = &self.following.engine().parts.follows;
        self.following.news(follows.ask(self.question, self.more)).await
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
