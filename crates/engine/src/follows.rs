//! Callers that follow the logs of a task.
//!
//! Each asks what comes after what it has, and waits for the answer. One statement asks the database for all of them:
//! every 250 ms, and only while someone waits; at once for those that have just come or whose last answer was not all
//! there was, and for the tasks that a signal says are over. Those who follow the same task from the same place are one
//! question.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use orchestratum_core::TaskId;
use orchestratum_store::{LogsFrom, NewLogs};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::places::{Full, Place, Places};

/// The part of all places that one key may have: one in so many.
const SHARE: usize = 4;

/// Where there are so few places that its part would be less, one key may have this many.
const SHARE_MIN: usize = 10;

/// What has come; `None` if the task was deleted.
pub(crate) type News = Option<Arc<NewLogs>>;

#[derive(Debug)]
pub(crate) struct Follows {
    places: Arc<Places>,
    waiting: Mutex<Waiting>,
    /// Somebody began to wait, or must not wait any longer.
    woken: Notify,
    /// The process is stopping: nobody follows any more.
    over: CancellationToken,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    asks: HashMap<u64, Ask>,
}

#[derive(Debug)]
struct Ask {
    question: LogsFrom,
    /// It does not wait for the next look at all of them.
    at_once: bool,
    answer: oneshot::Sender<News>,
}

/// Questions to be put, each once, with those who asked.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    pub(crate) questions: Vec<LogsFrom>,
    asked_by: Vec<Vec<u64>>,
}

impl Follows {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: Places::new(most, (most / SHARE).max(SHARE_MIN).min(most)),
            waiting: Mutex::default(),
            woken: Notify::new(),
            over: CancellationToken::new(),
        }
    }

    /// A place among those who follow, for whoever has this key.
    pub(crate) fn begin(&self, key_id: &str) -> Result<Place, Error> {
        if self.over.is_cancelled() {
            return Err(Error::Stopping);
        }
        self.places.take(key_id, 1).map_err(|full| match full {
            Full::All => Error::TooManyFollowers,
            Full::OfOneKey { most } => Error::TooManyFollowersOfOneKey { most },
        })
    }

    /// Waits until there is something new; `None` when the process stops.
    pub(crate) async fn ask(&self, question: LogsFrom, at_once: bool) -> Option<News> {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            let id = waiting.next;
            waiting.next += 1;
            waiting.asks.insert(
                id,
                Ask {
                    question,
                    at_once,
                    answer,
                },
            );
        }
        self.woken.notify_one();
        tokio::select! {
            answered = answered => answered.ok(),
            () = self.over.cancelled() => None,
        }
    }

    /// From now on nobody follows.
    pub(crate) fn give_up(&self) {
        self.over.cancel();
    }

    /// These tasks are over: whoever follows them is told without delay.
    pub(crate) fn ended(&self, ended: &[TaskId]) {
        let mut waiting = self.waiting.lock();
        if waiting.asks.is_empty() || ended.is_empty() {
            return;
        }
        let ended: HashSet<&TaskId> = ended.iter().collect();
        let mut any = false;
        for ask in waiting.asks.values_mut() {
            if ended.contains(&ask.question.task) {
                ask.at_once = true;
                any = true;
            }
        }
        if any {
            self.woken.notify_one();
        }
    }

    /// Returns when nobody follows any more.
    pub(crate) async fn giving_up(&self) {
        self.over.cancelled().await;
    }

    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// Whether anybody waits; those who have gone are forgotten.
    pub(crate) fn any(&self) -> bool {
        let mut waiting = self.waiting.lock();
        waiting.asks.retain(|_, ask| !ask.answer.is_closed());
        !waiting.asks.is_empty()
    }

    /// What is to be asked: `all`, or what does not wait. From here on it waits like the others.
    pub(crate) fn questions(&self, all: bool) -> Questions {
        let mut waiting = self.waiting.lock();
        let mut places: HashMap<LogsFrom, usize> = HashMap::new();
        let mut questions = Questions::default();
        for (id, ask) in &mut waiting.asks {
            if !std::mem::take(&mut ask.at_once) && !all {
                continue;
            }
            let place = *places.entry(ask.question).or_insert_with(|| {
                questions.questions.push(ask.question);
                questions.asked_by.push(Vec::new());
                questions.questions.len() - 1
            });
            questions.asked_by[place].push(*id);
        }
        questions
    }

    /// Hands out the answers that have something new. Whoever got none goes on waiting.
    pub(crate) fn answer(&self, questions: Questions, answers: Vec<Option<NewLogs>>) {
        let mut waiting = self.waiting.lock();
        let asked = questions.questions.iter().zip(questions.asked_by);
        for ((question, ids), answer) in asked.zip(answers) {
            let is_news = answer
                .as_ref()
                .is_none_or(|logs| !logs.chunks.is_empty() || is_over(question.last_attempt, logs));
            if !is_news {
                continue;
            }
            let answer = answer.map(Arc::new);
            for id in ids {
                if let Some(ask) = waiting.asks.remove(&id) {
                    // Whoever has gone needs none.
                    let _ = ask.answer.send(answer.clone());
                }
            }
        }
    }
}

impl Questions {
    /// In parts of at most so many questions.
    pub(crate) fn split(mut self, most: usize) -> Vec<Self> {
        let mut parts = Vec::new();
        while self.questions.len() > most {
            let rest = Self {
                questions: self.questions.split_off(most),
                asked_by: self.asked_by.split_off(most),
            };
            parts.push(std::mem::replace(&mut self, rest));
        }
        parts.push(self);
        parts.retain(|part| !part.questions.is_empty());
        parts
    }
}

/// Whether nothing more is written: by the attempt that was asked for, or by the task.
pub(crate) fn is_over(last_attempt: Option<u32>, logs: &NewLogs) -> bool {
    match last_attempt {
        Some(_) => logs.outcome.is_some(),
        None => logs.status.is_terminal(),
    }
}

#[cfg(test)]
mod tests {
    use orchestratum_core::task::TaskStatus;
    use orchestratum_store::{LogChunk, LogPosition, LogStream, StoredLogChunk};
    use uuid::Uuid;

    use super::*;

    fn question(sequence: u32) -> LogsFrom {
        LogsFrom {
            task: TaskId(Uuid::nil()),
            from: LogPosition { attempt: 1, sequence },
            last_attempt: None,
        }
    }

    fn logs(text: Option<&str>) -> NewLogs {
        let chunk = |text: &str| StoredLogChunk {
            attempt: 1,
            chunk: LogChunk {
                stream: LogStream::Stdout,
                sequence: 0,
                text: text.to_owned(),
            },
        };
        NewLogs {
            status: TaskStatus::InProgress,
            newest_attempt: 1,
            outcome: None,
            chunks: text.map(chunk).into_iter().collect(),
            more: false,
        }
    }

    #[tokio::test]
    async fn who_follows_from_the_same_place_is_one_question_and_waits_until_there_is_something() {
        let follows = Follows::new(10);
        let asking = async { tokio::join!(follows.ask(question(0), false), follows.ask(question(0), false)) };
        let answering = async {
            follows.woken().await;
            assert!(follows.any());
            assert!(follows.questions(false).questions.is_empty(), "nobody is in a hurry");
            let questions = follows.questions(true);
            assert_eq!(questions.questions, [question(0)]);
            follows.answer(questions, vec![Some(logs(None))]);
            assert!(follows.any(), "that was nothing new");
            follows.ended(&[TaskId(Uuid::nil())]);
            let questions = follows.questions(false);
            assert_eq!(questions.questions, [question(0)], "the task may be over");
            follows.answer(questions, vec![Some(logs(Some("new")))]);
        };
        let ((first, second), ()) = tokio::join!(asking, answering);
        for answer in [first, second] {
            assert_eq!(answer.flatten().expect("an answer").chunks[0].chunk.text, "new");
        }
        assert!(!follows.any());
    }

    #[tokio::test]
    async fn who_has_gone_is_forgotten_and_who_stays_is_let_go_at_the_stop() {
        let follows = Follows::new(1);
        let place = follows.begin("key").expect("there is room");
        assert!(matches!(follows.begin("other"), Err(Error::TooManyFollowers)));
        drop(place);
        let gone = tokio::time::timeout(std::time::Duration::ZERO, follows.ask(question(0), true)).await;
        assert!(gone.is_err() && !follows.any());
        let (answer, ()) = tokio::join!(follows.ask(question(0), false), async { follows.give_up() });
        assert!(answer.is_none());
        assert!(matches!(follows.begin("key"), Err(Error::Stopping)));
    }
}
