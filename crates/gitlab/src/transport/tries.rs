//! How often something is sent, and the pauses in between.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Client, Problem};

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Pauses that double, each shortened by up to a half at random, and never shorter than GitLab asks for.
#[derive(Debug)]
pub(super) struct Tries {
    left: u32,
    pause: Duration,
    deadline: Instant,
    chance: fn() -> f64,
}

impl Tries {
    pub(super) fn new(client: &Client, deadline: Instant) -> Self {
        Self {
            left: client.limits.tries.saturating_sub(1),
            pause: FIRST_PAUSE,
            deadline,
            chance: client.chance,
        }
    }

    /// Waits until the next one, unless there is none.
    pub(super) async fn after(&mut self, problem: Problem) -> Result<(), Problem> {
        if !problem.is_transient() || self.left == 0 {
            return Err(problem);
        }
        let pause = self.next_pause(&problem);
        // What would begin when the time is up helps nobody.
        if Instant::now() + pause >= self.deadline {
            return Err(problem);
        }
        self.left -= 1;
        tracing::debug!(%problem, pause_ms = pause.as_secs_f64() * 1_000.0, "asking GitLab again after a pause");
        sleep(pause).await;
        Ok(())
    }

    fn next_pause(&mut self, problem: &Problem) -> Duration {
        let pause = self.pause.mul_f64(1.0 - (self.chance)() / 2.0);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        problem.retry_after().map_or(pause, |asked| pause.max(asked))
    }
}
