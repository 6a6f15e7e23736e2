//! Tasks that are sent at a steady rate, whatever becomes of those before them, and when each can be seen as done.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures::future::try_join_all;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::observer::{Seen, Sent, observe};
use crate::load::Server;
use crate::machine::wall_clock_micros;
use crate::systems::orchestratum::Deployment;

/// A request that hangs delays only every eighth of the others, and those count their delay.
const LANES: u32 = 8;
/// Connections are open by then.
const LEAD: Duration = Duration::from_millis(100);
/// How much longer than planned a run may take.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// Tasks and their rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<'a> {
    pub(super) per_second: u32,
    /// One for each task.
    pub(super) requests: &'a [Bytes],
}

pub(super) struct Posted {
    pub(super) sent: Sent,
    /// How long the answer took, in milliseconds.
    pub(super) answered: f64,
}

impl Pace<'_> {
    /// How long it all may take.
    fn limit(self) -> Duration {
        let tasks = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        Duration::from_secs(u64::from(tasks / self.per_second)) + GRACE
    }

    /// Sends them, while nobody looks at the database.
    pub(super) async fn post(self, server: &Server) -> Result<Vec<Posted>> {
        let start = Instant::now() + LEAD;
        let lanes = (0..LANES).map(|lane| async move {
            let mut posted = Vec::new();
            self.post_share(server, lane, start, |one| posted.push(one)).await?;
            Ok::<_, anyhow::Error>(posted)
        });
        Ok(try_join_all(lanes).await?.into_iter().flatten().collect())
    }

    /// Sends them and looks until all are done: how long each took from the call until another connection could see its
    /// end, in milliseconds.
    pub(super) async fn post_and_observe(self, deployment: &Deployment) -> Result<Vec<f64>> {
        let server = deployment.server()?;
        let mut records = deployment.records().await?;
        let (sender, receiver) = unbounded_channel();
        let posting = self.post_watched(&server, sender);
        let watching = observe(receiver, async |ids| records.visible(ids).await);
        let both = async { futures::try_join!(posting, watching) };
        let ((), seen) = timeout(self.limit(), both).await.context("the tasks took too long")??;
        Ok(recorded(&seen))
    }

    /// Tells of each task as soon as its id is known. The observer ends when the sender is gone.
    async fn post_watched(self, server: &Server, sender: UnboundedSender<Sent>) -> Result<()> {
        let start = Instant::now() + LEAD;
        let lanes = (0..LANES).map(|lane| {
            let sender = sender.clone();
            self.post_share(server, lane, start, move |posted| {
                // Nobody receives it only after the observer has failed, which ends this, too.
                let _ = sender.send(posted.sent);
            })
        });
        try_join_all(lanes).await?;
        Ok(())
    }

    /// Every `LANES`th of the tasks.
    async fn post_share(self, server: &Server, lane: u32, start: Instant, mut tell: impl FnMut(Posted)) -> Result<()> {
        #[derive(Deserialize)]
        struct Created {
            id: Uuid,
        }
        let mut connection = server.lane().await?;
        let share = (0_u32..).zip(self.requests).skip(lane as usize).step_by(LANES as usize);
        for (index, request) in share {
            let intended = start + Duration::from_secs(1) * index / self.per_second;
            let late = Instant::now().saturating_duration_since(intended);
            sleep_until(intended).await;
            // One that is late because the request before it took too long has been waiting since it was due.
            let micros = wall_clock_micros() - i64::try_from(late.as_micros()).unwrap_or(i64::MAX);
            let answer = connection.send(Method::POST, "/api/tasks", request.clone()).await?;
            let answered = milliseconds(wall_clock_micros() - micros);
            let created: Created = serde_json::from_slice(&answer.expect(StatusCode::CREATED)?)?;
            let sent = Sent { id: created.id, micros };
            tell(Posted { sent, answered });
        }
        Ok(())
    }
}

pub(super) fn recorded(seen: &[Seen]) -> Vec<f64> {
    let waits = seen.iter().map(|seen| milliseconds(seen.micros - seen.sent.micros));
    waits.collect()
}

pub(super) fn milliseconds(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}
