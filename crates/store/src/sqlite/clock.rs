//! The time of a database that has no clock of its own.

use std::time::Instant;

use orchestratum_core::Timestamp;
use sqlx::SqlitePool;

use super::error::sql;
use crate::{Error, ManualClock};

/// The wall clock of the host as it was once, and the monotonic time since: a host that sleeps, or whose wall clock is
/// set, moves no deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct SteadyClock {
    started_at: Timestamp,
    started: Instant,
}

impl SteadyClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "here the store is the server whose clock everyone samples"
    )]
    pub(super) fn starting_at(started_at: Timestamp) -> Self {
        Self {
            started_at,
            started: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.started_at + self.started.elapsed()
    }
}

/// What tells the time to the owner of a database.
#[derive(Debug, Clone)]
pub(super) enum OwnersClock {
    Steady(SteadyClock),
    Manual(ManualClock),
}

impl OwnersClock {
    pub(super) async fn of(manual: Option<&ManualClock>, pool: &SqlitePool) -> Result<Self, Error> {
        Ok(match manual {
            Some(manual) => Self::Manual(manual.clone()),
            None => Self::Steady(SteadyClock::starting_at(wall_time(pool).await?)),
        })
    }

    pub(super) fn now(&self) -> Timestamp {
        match self {
            Self::Steady(clock) => clock.now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// The wall clock of the host; also shows that the database answers.
pub(super) async fn wall_time(pool: &SqlitePool) -> Result<Timestamp, Error> {
    let micros: i64 = sqlx::query_scalar("SELECT CAST(round(unixepoch('now', 'subsec') * 1000.0) AS INTEGER) * 1000")
        .fetch_one(pool)
        .await
        .map_err(sql)?;
    Ok(Timestamp::from_micros(micros))
}

/// The time of the owner's clock, or the wall clock for someone who only looks.
pub(super) async fn database_time(pool: &SqlitePool, owner: Option<&OwnersClock>) -> Result<Timestamp, Error> {
    let wall = wall_time(pool).await?;
    Ok(owner.map_or(wall, OwnersClock::now))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orchestratum_core::Timestamp;

    use super::{OwnersClock, SteadyClock};
    use crate::{Maintenance, Options, SqliteStore, WorkerStore};

    #[tokio::test]
    async fn a_wall_clock_that_jumps_is_not_followed() {
        let mut store = SqliteStore::connect("sqlite::memory:", &Options::default())
            .await
            .expect("opens");
        // As if the wall clock had jumped by decades since the database was opened.
        store.clock = Some(OwnersClock::Steady(SteadyClock::starting_at(Timestamp::EPOCH)));
        let mut keeper = store.lease_keeper().await.expect("works");
        for time in [store.database_time().await, keeper.database_time().await] {
            let elapsed = time.expect("works").saturating_since(Timestamp::EPOCH);
            assert!(elapsed < Duration::from_secs(3_600), "{elapsed:?}");
        }
    }
}
