//! Acting on renewals, within the worker's runtime.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_broker::Signal;
use orchestratum_core::WorkerId;
use orchestratum_core::task::Ending;
use orchestratum_engine::{error, identity};
use orchestratum_store::{Evidence, Holding, Registration};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::reconcile::{Here, Suspects};
use super::{Event, Heartbeat};
use crate::report::report;
use crate::shared::Shared;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

pub(crate) struct Steward {
    pub(crate) shared: Arc<Shared>,
    /// What is registered, under a new id each time.
    pub(crate) registration: Registration,
    pub(crate) registrations: mpsc::UnboundedSender<WorkerId>,
    pub(crate) events: mpsc::UnboundedReceiver<Event>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) stop: CancellationToken,
}

impl Steward {
    pub(crate) async fn run(mut self) {
        let mut suspects = Suspects::default();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut signals = self.shared.engine.broker().signals();
        self.register().await;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = ticks.tick() => self.heartbeat.beat(),
                event = self.events.recv() => match event {
                    Some(Event::Renewed { sent, holdings }) => self.act(&mut suspects, &holdings, sent),
                    Some(Event::Lost { worker }) => {
                        suspects = Suspects::default();
                        *self.shared.registered.lock() = None;
                        tracing::warn!(worker.id = %worker, "the worker registers under a new id");
                        self.register().await;
                    }
                    None => return,
                },
                signal = signals.recv() => match signal {
                    Ok(Signal::Changed { tasks }) => self.changed(&tasks),
                    Ok(Signal::Ready { targets }) => self.ready(&targets),
                    Ok(Signal::Finished { .. } | Signal::Sagas { .. } | Signal::Moved { .. } | Signal::Watched) => {}
                    Err(RecvError::Lagged(_)) => self.missed_signals(),
                    // The broker is closed, and the worker with it.
                    Err(RecvError::Closed) => tokio::time::sleep(FIRST_PAUSE).await,
                },
            }
        }
    }

    /// Somebody wants something of a task that runs here: the answer to a renewal says what.
    fn changed(&self, tasks: &[orchestratum_core::TaskId]) {
        if self.shared.held.holds_any(tasks) {
            self.shared.renew_now.notify_one();
        }
    }

    fn ready(&self, targets: &[orchestratum_core::Target]) {
        if targets.iter().any(|target| self.registration.targets.contains(target)) {
            self.shared.lanes.ready();
        }
    }

    fn missed_signals(&self) {
        self.shared.renew_now.notify_one();
        self.shared.lanes.ready();
    }

    /// Repeats until the database takes it.
    async fn register(&mut self) {
        let mut pause = FIRST_PAUSE;
        loop {
            self.registration.id = self.shared.engine.clock().new_worker_id();
            let registered = tokio::select! {
                () = self.stop.cancelled() => return,
                registered = self.shared.engine.register_worker(&self.registration) => registered,
            };
            match registered {
                Ok(()) => {
                    let worker: WorkerId = self.registration.id;
                    tracing::info!(worker.id = %worker, worker.name = self.registration.name, "the worker is registered");
                    *self.shared.registered.lock() = Some(worker);
                    let _ = self.registrations.send(worker);
                    return;
                }
                Err(error) => {
                    tracing::warn!(error = %error::chain(&error), "the worker cannot be registered; it tries again");
                }
            }
            self.heartbeat.beat();
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause.mul_f64(0.5 + identity::chance() / 2.0)) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn act(&self, suspects: &mut Suspects, holdings: &[Holding], sent: Instant) {
        let held = &self.shared.held;
        // The claims first: what one of them brings between the two lines is then known.
        let (next_claim, oldest_claim) = held.claim_numbers();
        let here = Here {
            held: held.snapshot(),
            next_claim,
            oldest_claim,
        };
        let plan = suspects.compare(holdings, sent, &here);
        for (key, wanted) in plan.running {
            held.order(key, |orders| {
                orders.cancel |= wanted.cancel;
                orders.expires_at = wanted.expires_at;
            });
        }
        for key in plan.abandon {
            held.abandon(key);
        }
        if plan.hand_back.is_empty() {
            return;
        }
        let Some(life) = self.shared.life.borrow().clone() else {
            return;
        };
        tracing::warn!(
            tasks = plan.hand_back.len(),
            "tasks that were claimed and never arrived are handed back"
        );
        held.put_all(plan.hand_back.iter().copied());
        for key in plan.hand_back {
            let (shared, life) = (Arc::clone(&self.shared), life.clone());
            self.shared.tracker.spawn(async move {
                let message = "the answer to the claim was lost".to_owned();
                report(
                    &shared,
                    &life,
                    key,
                    Ending::Released { message },
                    Evidence::default(),
                    None,
                )
                .await;
            });
        }
    }
}
