//! The thread that renews the lease, and that kills when it could not.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use orchestratum_core::WorkerId;
use orchestratum_engine::error;
use orchestratum_store::{Holding, LeaseKeeper, Renewal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Event, Heartbeat};
use crate::Error;
use crate::shared::{Life, Shared};

/// A worker that dies is missed after L; renewing more often than this would only cost statements.
const LONGEST_INTERVAL: Duration = Duration::from_secs(2);

/// How soon a renewal that failed is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(250);

/// How long one renewal may take when there is nothing left to fence.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the clock of the process takes a new sample.
const RESAMPLE_EVERY: Duration = Duration::from_secs(30);

/// How much of a lease is left when a worker stops: for a clock that is slow, and for the kill.
const RESERVED: f64 = 0.2;

/// With less than this of a lease left just after a renewal, the clock is behind and takes a new sample.
const CLOCK_IS_BEHIND: f64 = 0.9;

pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) lease: Duration,
    pub(crate) lives: watch::Sender<Option<Life>>,
    pub(crate) registrations: mpsc::UnboundedReceiver<WorkerId>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) stop: CancellationToken,
}

/// The lease as the keeper knows it.
struct Lease {
    worker: WorkerId,
    /// When everything is killed unless it is renewed before. It only moves forward: so does the end of the lease.
    fence_at: Instant,
    /// `None` before the first renewal, and after the fence until one shows that the lease is still ours.
    life: Option<Life>,
    /// The last renewal failed: it is said once, not four times a second.
    failing: bool,
}

/// The database's side, opened on the keeper's own runtime and dropped after any trouble.
struct Connection {
    keeper: Option<Box<dyn LeaseKeeper>>,
    resampled: Option<Instant>,
}

/// The running thread; it ends when its stop token is cancelled.
#[derive(Debug)]
pub(crate) struct KeeperThread(JoinHandle<()>);

impl KeeperThread {
    pub(crate) async fn join(self) {
        let _ = tokio::task::spawn_blocking(move || self.0.join()).await;
    }
}

impl Keeper {
    /// Starts the thread.
    pub(crate) fn start(self) -> Result<KeeperThread, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::LeaseThread)?;
        std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(move || runtime.block_on(self.run()))
            .map(KeeperThread)
            .map_err(Error::LeaseThread)
    }

    async fn run(mut self) {
        let mut connection = Connection {
            keeper: None,
            resampled: None,
        };
        loop {
            let registered = tokio::select! {
                () = self.stop.cancelled() => return,
                registered = self.registrations.recv() => registered,
            };
            let Some(worker) = registered else { return };
            let mut lease = Lease {
                worker,
                fence_at: Instant::now(),
                life: None,
                failing: false,
            };
            self.hold(&mut lease, &mut connection).await;
            if self.stop.is_cancelled() {
                return;
            }
        }
    }

    /// Renews until the lease is lost or the worker stops.
    async fn hold(&self, lease: &mut Lease, connection: &mut Connection) {
        let interval = (self.lease / 3).min(LONGEST_INTERVAL);
        let mut next = Instant::now();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = sleep_until(lease.fence_at), if lease.life.is_some() => self.fence(lease),
                () = self.shared.renew_now.notified() => {}
                () = sleep_until(next) => {}
            }
            if self.heartbeat.is_stopped() {
                tracing::error!("the worker's runtime is stuck: its lease is not renewed");
                next = Instant::now() + interval;
                continue;
            }
            let sent = Instant::now();
            let deadline = if lease.life.is_some() {
                lease.fence_at
            } else {
                sent + PATIENCE
            };
            let renewal = tokio::select! {
                () = self.stop.cancelled() => return,
                renewal = timeout_at(deadline, self.renew(lease, connection)) => renewal,
            };
            next = match renewal {
                Ok(Ok(Renewal::Renewed { holdings, left })) => {
                    if left < self.lease.mul_f64(CLOCK_IS_BEHIND) {
                        connection.resampled = None;
                    }
                    self.renewed(lease, sent, left, holdings);
                    sent + interval
                }
                Ok(Ok(Renewal::Lost)) => {
                    tracing::error!(worker.id = %lease.worker, "the lease was lost: everything is killed");
                    metrics::counter!("orchestratum_leases_lost_total").increment(1);
                    self.die(lease);
                    let worker = lease.worker;
                    let _ = self.events.send(Event::Lost { worker });
                    return;
                }
                Ok(Err(error)) => {
                    if !std::mem::replace(&mut lease.failing, true) {
                        tracing::warn!(error = %error::chain(&error), "the lease could not be renewed; it is tried again");
                    }
                    *connection = Connection {
                        keeper: None,
                        resampled: connection.resampled,
                    };
                    Instant::now() + interval.min(RETRY_AFTER)
                }
                Err(_elapsed) => {
                    tracing::warn!("a renewal of the lease was not answered in time");
                    *connection = Connection {
                        keeper: None,
                        resampled: connection.resampled,
                    };
                    Instant::now()
                }
            };
        }
    }

    async fn renew(&self, lease: &Lease, connection: &mut Connection) -> Result<Renewal, orchestratum_store::Error> {
        let engine = &self.shared.engine;
        if connection.keeper.is_none() {
            connection.keeper = Some(engine.store().lease_keeper().await?);
        }
        let Some(keeper) = &mut connection.keeper else {
            unreachable!("it was opened in the line before");
        };
        if connection.resampled.is_none_or(|at| at.elapsed() >= RESAMPLE_EVERY) {
            engine.clock().sample(keeper.database_time()).await?;
            connection.resampled = Some(Instant::now());
        }
        keeper.renew(lease.worker, self.lease, engine.clock().now()).await
    }

    /// The lease is ours for as long as the database said; after a pause of this process that may be over already.
    fn renewed(&self, lease: &mut Lease, sent: Instant, left: Duration, holdings: Vec<Holding>) {
        lease.fence_at = lease
            .fence_at
            .max(sent + left.min(self.lease).saturating_sub(self.lease.mul_f64(RESERVED)));
        if lease.fence_at <= Instant::now() {
            tracing::warn!(worker.id = %lease.worker, "a renewal came too late to begin anything on it");
            return;
        }
        if std::mem::take(&mut lease.failing) {
            tracing::info!(worker.id = %lease.worker, "the lease is renewed again");
        }
        match &lease.life {
            Some(life) => {
                life.lasts_until(lease.fence_at);
                self.shared.held.live(life.left());
            }
            None => self.live(lease),
        }
        let _ = self.events.send(Event::Renewed { sent, holdings });
    }

    /// No renewal was answered for so long that another worker may soon be given the same tasks.
    fn fence(&self, lease: &mut Lease) {
        tracing::error!(worker.id = %lease.worker, "the lease could not be renewed in time: everything is killed");
        metrics::counter!("orchestratum_leases_fenced_total").increment(1);
        self.die(lease);
    }

    fn live(&self, lease: &mut Lease) {
        let life = Life::until(lease.fence_at, lease.worker);
        lease.life = Some(life.clone());
        self.lives.send_replace(Some(life));
    }

    /// First nothing more begins, then nothing goes on.
    fn die(&self, lease: &mut Lease) {
        self.lives.send_replace(None);
        if let Some(life) = lease.life.take() {
            life.over.cancel();
        }
        self.shared.held.abandon_all();
    }
}
