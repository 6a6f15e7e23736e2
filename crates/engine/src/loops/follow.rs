//! Those who follow logs learn of what is new, and of the end.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::{Engine, error};

/// How often the database is asked for all of them.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// The most questions of one statement.
const ASKED_AT_ONCE: usize = 1_000;

pub(super) async fn run(engine: Engine, stop: CancellationToken) {
    let follows = &engine.parts.follows;
    let mut next = Instant::now();
    loop {
        let all = if follows.any() {
            tokio::select! {
                () = sleep_until(next) => true,
                () = follows.woken() => false,
                () = stop.cancelled() => return,
            }
        } else {
            tokio::select! {
                () = follows.woken() => false,
                () = stop.cancelled() => return,
            }
        };
        if all {
            next = Instant::now() + ASK_EVERY;
        }
        look(&engine, all).await;
    }
}

async fn look(engine: &Engine, all: bool) {
    let follows = &engine.parts.follows;
    for questions in follows.questions(all).split(ASKED_AT_ONCE) {
        match engine.parts.store.new_logs(&questions.questions).await {
            Ok(answers) => follows.answer(questions, answers),
            Err(error) => tracing::debug!(error = %error::chain(&error), "those who follow logs wait on"),
        }
    }
}
