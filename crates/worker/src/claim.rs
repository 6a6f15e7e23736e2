//! The loop of a lane: it claims when there is room and a reason.
//!
//! Reasons are hints, word that the targets have ready tasks, a last claim that was full, and not having asked for a
//! while. The last one alone would do: with the broker gone for good everything still runs.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use orchestratum_core::task::Ending;
use orchestratum_engine::error;
use orchestratum_engine::tasks::GoesOn;
use orchestratum_store::{ClaimRequest, ClaimedTask, Evidence, FollowedBy, KnownTask, SagaOffer, Takes};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::attempt;
use crate::executors::Executor;
use crate::held::{Attended, Key};
use crate::lane::{HeldHint, Lane};
use crate::offers::Offer;
use crate::report::{places, report};
use crate::shared::{Life, Shared};

/// How long a hint may wait in this worker before it is given back for another one.
const HOLD: Duration = Duration::from_secs(1);

/// How often a lane with room asks while another one is crowded, and so no hints come.
const ASK_WITHOUT_HINTS: Duration = Duration::from_millis(100);

/// How soon a claim that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How soon a lane looks again whether reports have gone out.
const REPORTS_PAUSE: Duration = Duration::from_millis(20);

/// Of so many hints the tasks are claimed alone. With more of them there is a backlog, and a claim should bring all it can.
const FEW_HINTS: usize = 8;

/// How many claims of a lane may be under way: while one is with the database, the tasks of the other are started.
const CLAIMS_UNDER_WAY: usize = 2;

pub(crate) struct ClaimLoop {
    claimer: Claimer,
    life: watch::Receiver<Option<Life>>,
    /// A claim took all it could: there may be more.
    more: bool,
    /// When that was learnt last. A claim that began before it knows nothing newer.
    more_since: Option<Instant>,
    /// When what is ready was asked for last, whether hints named it or not.
    asked_at: Option<Instant>,
    not_before: Instant,
}

/// What came of a claim.
#[derive(Debug, Clone, Copy)]
struct Claim {
    begun_at: Instant,
    /// How much room was kept for it.
    room: usize,
    result: ClaimResult,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClaimResult {
    /// As many tasks as there was room for.
    Full,
    /// All that were ready.
    Short,
    /// What the hints named; what else is ready was not asked for.
    Named,
    Failed,
}

impl ClaimLoop {
    pub(crate) fn new(shared: &Arc<Shared>, lane: &Arc<Lane>, stop: &CancellationToken) -> Self {
        Self {
            claimer: Claimer {
                shared: Arc::clone(shared),
                lane: Arc::clone(lane),
                stop: stop.clone(),
            },
            life: shared.life.clone(),
            more: false,
            more_since: None,
            asked_at: None,
            not_before: Instant::now(),
        }
    }

    pub(crate) async fn run(mut self) {
        let claimer = self.claimer.clone();
        let mut under_way = FuturesUnordered::new();
        let mut promised = 0;
        while !claimer.stop.is_cancelled() {
            let life = self.life.borrow_and_update().clone();
            let room = claimer.room(promised);
            let may_claim = life.is_some() && room > 0 && under_way.len() < CLAIMS_UNDER_WAY;
            match life {
                Some(life) if may_claim && self.has_reason() => {
                    promised += room;
                    let hints = claimer.lane.take(room);
                    let fill_up = self.fills_up(hints.len());
                    under_way.push(claimer.claim(life, room, hints, fill_up));
                }
                life => {
                    if !may_claim {
                        claimer.give_back(life.is_none());
                    }
                    let until = self.look_again(may_claim);
                    tokio::select! {
                        () = claimer.stop.cancelled() => {}
                        Some(claim) = under_way.next() => {
                            promised -= claim.room;
                            self.learn(claim);
                        }
                        () = claimer.lane.wake.notified() => {}
                        _ = self.life.changed() => {}
                        () = sleep_until(until) => {}
                    }
                }
            }
        }
        // What they bring is handed back.
        while under_way.next().await.is_some() {}
    }

    fn learn(&mut self, claim: Claim) {
        match claim.result {
            ClaimResult::Full => {
                self.more = true;
                self.more_since = Some(Instant::now());
            }
            ClaimResult::Short => self.more &= self.more_since.is_some_and(|since| claim.begun_at < since),
            ClaimResult::Named => {}
            ClaimResult::Failed => self.not_before = Instant::now() + RETRY_AFTER,
        }
    }

    fn has_reason(&self) -> bool {
        let now = Instant::now();
        now >= self.not_before && (self.has_news() || now >= self.next_ask())
    }

    /// Whether a claim is for more than what its hints name.
    fn fills_up(&mut self, hints: usize) -> bool {
        let now = Instant::now();
        // Taken back before the claim: what becomes ready while it is under way is a reason for the next one.
        let ready = self.claimer.lane.ready.swap(false, Ordering::AcqRel);
        let fills_up = self.more || ready || hints > FEW_HINTS || now >= self.next_ask();
        if fills_up {
            self.asked_at = Some(now);
        }
        fills_up
    }

    fn has_news(&self) -> bool {
        let lane = &self.claimer.lane;
        self.more || lane.ready.load(Ordering::Acquire) || lane.oldest_hint().is_some()
    }

    fn next_ask(&self) -> Instant {
        let shared = &self.claimer.shared;
        let interval = if shared.lanes.any_crowded() {
            ASK_WITHOUT_HINTS
        } else {
            Duration::from_secs_f64(shared.engine.settings().worker.poll_interval_seconds)
        };
        self.asked_at.map_or(self.not_before, |at| at + interval)
    }

    fn look_again(&self, may_claim: bool) -> Instant {
        if may_claim && self.has_news() {
            // Only a claim that failed a moment ago keeps it from asking.
            return self.not_before;
        }
        if may_claim {
            return self.next_ask().max(self.not_before);
        }
        let now = Instant::now();
        let pause = if self.claimer.shared.reports.free() == 0 {
            REPORTS_PAUSE
        } else {
            ASK_WITHOUT_HINTS
        };
        // Overdue hints were given back a moment ago, so this lies ahead.
        let release = self.claimer.lane.oldest_hint().map(|since| since + HOLD);
        release.map_or(now + pause, |release| release.min(now + pause))
    }
}

/// An attempt that is over before it has become a task of the runtime.
struct Inline {
    key: Key,
    followed_by: FollowedBy,
    known: Option<KnownTask>,
    ending: Ending,
    evidence: Evidence,
    span: Span,
}

impl Inline {
    fn of(task: &ClaimedTask, run: impl FnOnce() -> (Ending, Evidence)) -> Self {
        let span = attempt::span(task);
        let (ending, evidence) = span.in_scope(run);
        Self {
            key: (task.id, task.attempt),
            followed_by: task.followed_by,
            known: task.known.clone(),
            ending,
            evidence,
            span,
        }
    }
}

/// Claims for a lane, and starts what it got.
#[derive(Debug, Clone)]
pub(crate) struct Claimer {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    stop: CancellationToken,
}

impl Claimer {
    pub(crate) fn lane(&self) -> &Lane {
        &self.lane
    }

    fn room(&self, promised: usize) -> usize {
        let most = self.shared.engine.settings().worker.max_claim;
        let ahead = self.lane.turns.ahead();
        let free = self.lane.slots.free_beside(ahead).min(self.shared.reports.free());
        let room = free.saturating_sub(promised).min(most);
        if room < self.lane.turns.worth_a_claim().min(most) {
            return 0;
        }
        room
    }

    /// Gives hints that waited too long, or all of them, back for other workers.
    fn give_back(&self, all: bool) {
        let overdue = self.lane.oldest_hint().is_some_and(|since| since.elapsed() >= HOLD);
        if all || overdue {
            self.lane.set_crowded(&self.shared.lanes, true);
            drop(self.lane.take(usize::MAX));
        }
    }

    async fn claim(&self, life: Life, room: usize, hints: VecDeque<HeldHint>, fill_up: bool) -> Claim {
        let request = ClaimRequest {
            worker: life.worker,
            named: hints.iter().map(|hint| hint.delivery.hint.task).collect(),
            targets: self.shared.engine.settings().worker.targets.clone(),
            names: self.lane.names.to_vec(),
            limit: room,
            fill_up,
        };
        let begun_at = Instant::now();
        let under_way = self.shared.held.begin_claim();
        let result = match self.shared.engine.claim(&request).await {
            Ok(tasks) => {
                for hint in hints {
                    hint.delivery.acknowledge();
                }
                let full = tasks.len() >= room;
                if !full {
                    self.lane.set_crowded(&self.shared.lanes, false);
                }
                if life.is_over() {
                    // They may be someone else's by now. If they are still ours, the next renewal lists them.
                    tracing::warn!(tasks = tasks.len(), "a claim came back after its lease was over");
                } else if self.stop.is_cancelled() {
                    self.hand_back(&life, &tasks);
                } else {
                    self.start(&life, tasks);
                }
                match (fill_up, full) {
                    (false, _) => ClaimResult::Named,
                    (true, true) => ClaimResult::Full,
                    (true, false) => ClaimResult::Short,
                }
            }
            Err(error) => {
                tracing::warn!(error = %error::chain(&error), "a claim failed");
                // Whether it was made is unknown: the answer to a renewal says.
                self.shared.renew_now.notify_one();
                ClaimResult::Failed
            }
        };
        drop(under_way);
        Claim { begun_at, room, result }
    }

    fn start(&self, life: &Life, tasks: Vec<ClaimedTask>) {
        let mut ended = Vec::new();
        for task in tasks {
            match self.lane.offers.get(&task.name) {
                Some(Offer::Inline(run)) => {
                    ended.push(Inline::of(&task, || run(&task)));
                }
                Some(Offer::InProcess(executor) | Offer::Program(executor)) => self.attend(life, task, executor),
                None => {
                    let message = format!("this worker offers nothing called `{}`", task.name);
                    let ending = Ending::NotFound { message };
                    ended.push(Inline::of(&task, || (ending, Evidence::default())));
                }
            }
        }
        self.report_all(life, ended);
    }

    fn attend(&self, life: &Life, task: ClaimedTask, executor: &Arc<dyn Executor>) {
        let attended = Arc::new(Attended::new(task.expires_at, life.clone()));
        self.shared
            .held
            .put((task.id, task.attempt), Some(Arc::clone(&attended)));
        self.shared.tracker.spawn(attempt::run(
            Arc::clone(&self.shared),
            life.clone(),
            Arc::new(task),
            Arc::clone(executor),
            attended,
            self.lane.slots.take(),
            self.clone(),
        ));
    }

    /// What this lane would go on with after a success, where anything follows it.
    pub(crate) fn goes_on(
        &self,
        life: &Life,
        followed_by: FollowedBy,
        known: Option<KnownTask>,
        ending: &Ending,
    ) -> Option<GoesOn> {
        if *ending != Ending::Success || self.stop.is_cancelled() {
            return None;
        }
        let takes = move || Takes {
            worker: life.worker,
            targets: Arc::clone(&self.shared.targets),
            names: Arc::clone(&self.lane.names),
            known,
        };
        match followed_by {
            FollowedBy::Nothing => None,
            FollowedBy::FollowUps => Some(GoesOn::FollowUps(takes())),
            FollowedBy::Saga { priority } => {
                let takes = takes();
                Some(GoesOn::Saga(SagaOffer { takes, priority }))
            }
        }
    }

    /// Starts what came of reports.
    pub(crate) fn go_on(&self, life: &Life, tasks: Vec<ClaimedTask>) {
        if tasks.is_empty() {
            return;
        }
        if life.is_over() {
            // They are rescued with the rest of that life.
            tracing::warn!(tasks = tasks.len(), "what follows came after its lease was over");
            for task in &tasks {
                self.shared.held.remove((task.id, task.attempt));
            }
        } else if self.stop.is_cancelled() {
            self.hand_back(life, &tasks);
        } else {
            self.start(life, tasks);
        }
    }

    fn hand_back(&self, life: &Life, tasks: &[ClaimedTask]) {
        let released = tasks.iter().map(|task| {
            let message = "the worker stopped before it was started".to_owned();
            Inline::of(task, || (Ending::Released { message }, Evidence::default()))
        });
        self.report_all(life, released.collect());
    }

    /// In one task of the runtime: the engine puts them into one batch anyway.
    fn report_all(&self, life: &Life, ended: Vec<Inline>) {
        if ended.is_empty() {
            return;
        }
        self.shared.held.put_all(ended.iter().map(|ended| ended.key));
        let slots: Vec<_> = ended
            .iter()
            .map(|ended| self.shared.reports.take_many(places(&ended.evidence)))
            .collect();
        let (claimer, life) = (self.clone(), life.clone());
        self.shared.tracker.spawn(async move {
            let reports = ended.into_iter().zip(slots).map(|(ended, slot)| {
                let (claimer, life) = (&claimer, &life);
                let reporting = async move {
                    let goes_on = claimer.goes_on(life, ended.followed_by, ended.known, &ended.ending);
                    let next = report(&claimer.shared, life, ended.key, ended.ending, ended.evidence, goes_on).await;
                    drop(slot);
                    claimer.go_on(life, next.into_iter().collect());
                };
                reporting.instrument(ended.span)
            });
            join_all(reports).await;
        });
    }
}
