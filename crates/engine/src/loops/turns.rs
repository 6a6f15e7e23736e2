//! Slots that wait for a task take their turn when it is over.
//!
//! Whoever saw them wait asks for its end, together with all who wait for tasks: nothing is added to what ends one. What is lost
//! with the process is found by asking, which takes longer.

use std::collections::HashSet;
use std::mem;
use std::time::Duration;

use orchestratum_core::{ScheduleId, TaskId};
use parking_lot::Mutex;

use super::schedules;
use crate::{Engine, Error, error};

/// Of so many schedules the ends are asked for: each task that somebody waits for is one of a statement every quarter of a second.
const AWAITED_MAX: usize = 1_000;

/// How long ends gather before their schedules are looked at together.
const GATHERING: Duration = Duration::from_millis(20);

#[derive(Debug, Default)]
pub(crate) struct Turns {
    awaited: Mutex<HashSet<ScheduleId>>,
    /// Their tasks are over.
    come: Mutex<Vec<ScheduleId>>,
}

impl Engine {
    /// Looks at a schedule once all of these tasks are over.
    pub(super) fn look_when_over(&self, schedule: ScheduleId, tasks: Vec<TaskId>) {
        {
            let mut awaited = self.parts.turns.awaited.lock();
            if awaited.len() >= AWAITED_MAX || !awaited.insert(schedule) {
                return;
            }
        }
        let engine = self.clone();
        tokio::spawn(async move {
            let parts = &engine.parts;
            for task in tasks {
                parts.waiters.wait_for(task).until_ended().await;
            }
            parts.turns.awaited.lock().remove(&schedule);
            if !parts.waiters.gave_up() {
                engine.turn_has_come(schedule);
            }
        });
    }

    fn turn_has_come(&self, schedule: ScheduleId) {
        let is_first = {
            let mut come = self.parts.turns.come.lock();
            come.push(schedule);
            come.len() == 1
        };
        // One is enough: it looks at all there are by then.
        if !is_first {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHERING).await;
            let come = mem::take(&mut *engine.parts.turns.come.lock());
            if let Err(error) = look(&engine, &come).await {
                tracing::debug!(error = %error::chain(&error), "left to the loop for schedules");
            }
        });
    }
}

async fn look(engine: &Engine, schedules: &[ScheduleId]) -> Result<(), Error> {
    let now = engine.parts.clock.now();
    engine.parts.store.wake_schedules(schedules, now).await?;
    schedules::tick(engine, now).await?;
    Ok(())
}
