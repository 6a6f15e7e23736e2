//! Those who wait for a task learn of its end by a signal, or by asking.

use std::collections::BTreeSet;
use std::future::pending;
use std::pin::Pin;

use orchestratum_broker::Signal;
use orchestratum_core::SagaId;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::sleep_unless_stopped;
use crate::waiters::ASK_EVERY;
use crate::{Engine, error};

/// The most tasks of one question.
const ASKED_AT_ONCE: usize = 10_000;

pub(super) async fn listen(engine: Engine, stop: CancellationToken) {
    let mut signals = engine.parts.broker.signals();
    let changes = &engine.parts.live_changes;
    // The database is asked beside the listening, one question at a time: signals wait for none of them.
    let mut changed: BTreeSet<SagaId> = BTreeSet::new();
    let mut asking: Option<Pin<Box<dyn Future<Output = ()> + Send + '_>>> = None;
    loop {
        if asking.is_none() && !changed.is_empty() {
            let sagas: Vec<SagaId> = std::mem::take(&mut changed).into_iter().collect();
            let engine = &engine;
            asking = Some(Box::pin(async move { engine.ask_for_sagas(&sagas).await }));
        }
        let answered = async {
            match &mut asking {
                Some(asking) => asking.await,
                None => pending().await,
            }
        };
        let signal = tokio::select! {
            signal = signals.recv() => signal,
            () = answered => {
                asking = None;
                continue;
            }
            () = stop.cancelled() => return,
        };
        match signal {
            Ok(Signal::Finished { tasks }) => {
                engine.ended(&tasks);
                changes.notice(&tasks, &[]);
            }
            Ok(Signal::Sagas { sagas }) => {
                changes.notice(&[], &sagas);
                let waited_for = engine.parts.saga_waiters.waited_for();
                changed.extend(sagas.into_iter().filter(|saga| waited_for.contains(saga)));
            }
            Ok(Signal::Changed { tasks } | Signal::Moved { tasks }) => changes.notice(&tasks, &[]),
            Ok(Signal::Watched) => changes.watched(),
            Ok(Signal::Ready { .. }) => {}
            // Missed signals are made up for by asking; those who follow changes are told.
            Err(RecvError::Lagged(_)) => changes.lost(),
            Err(RecvError::Closed) => return,
        }
    }
}

impl Engine {
    /// Wakes those who wait for one of these sagas, if it rests now.
    async fn ask_for_sagas(&self, sagas: &[SagaId]) {
        if sagas.is_empty() {
            return;
        }
        match self.parts.store.saga_stands(sagas).await {
            Ok(stands) => {
                let gone = sagas
                    .iter()
                    .filter(|id| !stands.iter().any(|(found, _)| found == *id))
                    .copied();
                let resting = stands
                    .iter()
                    .filter(|(_, stand)| stand.status.rests())
                    .map(|(id, _)| *id);
                self.parts.saga_waiters.ended(&resting.chain(gone).collect::<Vec<_>>());
            }
            Err(error) => tracing::debug!(error = %error::chain(&error), "callers who wait for sagas wait on"),
        }
    }
}

pub(super) async fn ask(engine: Engine, stop: CancellationToken) {
    while sleep_unless_stopped(ASK_EVERY, &stop).await {
        let mut sagas = engine.parts.saga_waiters.waited_for();
        sagas.truncate(ASKED_AT_ONCE);
        engine.ask_for_sagas(&sagas).await;
        let mut waited_for = engine.parts.waiters.waited_for();
        if waited_for.is_empty() {
            continue;
        }
        waited_for.truncate(ASKED_AT_ONCE);
        match engine.parts.store.statuses(&waited_for).await {
            Ok(statuses) => {
                let gone = waited_for
                    .iter()
                    .filter(|id| !statuses.iter().any(|(found, _)| found == *id))
                    .copied();
                let ended = statuses
                    .iter()
                    .filter(|(_, status)| status.is_terminal())
                    .map(|(id, _)| *id);
                engine.parts.waiters.ended(&ended.chain(gone).collect::<Vec<_>>());
            }
            Err(error) => tracing::debug!(error = %error::chain(&error), "waiting callers wait on"),
        }
    }
}
