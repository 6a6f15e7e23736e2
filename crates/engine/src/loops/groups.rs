//! The ends of members are counted; groups that are to stop have their members cancelled; what comes after a group is created with
//! its end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestratum_broker::Hint;
use orchestratum_core::GroupId;
use orchestratum_core::task::{GroupStatus, TaskEvent};
use orchestratum_store::{Change, MembersToCancel, Settled};

use super::{PASS, Pass};
use crate::announce::hint;
use crate::{Engine, Error, error, identity};

/// How many groups are settled in one pass, each in a transaction of its own.
const GROUPS: usize = 100;

/// How long ends of members gather before the process that wrote them counts them: a large group that drains is not settled with
/// each batch.
const GATHERING: Duration = Duration::from_millis(50);

pub(super) async fn tick(engine: &Engine) -> Result<Pass, Error> {
    let groups = engine.parts.store.unsettled_groups(GROUPS).await?;
    let (mut settled, mut passed_over) = (0, false);
    for group in &groups {
        // One that fails does not keep the others from their end.
        match settle(engine, *group).await {
            Ok(true) => settled += 1,
            Ok(false) => passed_over = true,
            Err(error) => {
                tracing::warn!(group.id = %group, error = %error::chain(&error), "a group could not be settled");
            }
        }
    }
    if passed_over {
        // Whoever is at it may have looked before the last ends were written: they must not wait for the next pulse.
        engine.settle_groups_soon();
    }
    let cancelled = cancel_members(engine).await?;
    Ok(Pass {
        done: settled + cancelled.done,
        // What nobody could settle is left for the next pulse.
        more: (groups.len() >= GROUPS && settled > 0) || cancelled.more,
    })
}

/// `false` if somebody else does so.
async fn settle(engine: &Engine, group: GroupId) -> Result<bool, Error> {
    let now = engine.parts.clock.now();
    let Some(settled) = engine.parts.store.settle_group(group, identity::seed(), now).await? else {
        return Ok(false);
    };
    let Settled {
        before,
        after,
        task,
        ready,
        missing,
    } = settled;
    if before != after {
        tracing::info!(group.id = %group, from = %before, to = %after, "group changed");
    }
    if after.is_over() && !before.is_over() {
        metrics::counter!("orchestratum_groups_ended_total", "status" => after.as_str()).increment(1);
    }
    if let Some(reason) = missing {
        tracing::warn!(group.id = %group, reason = %reason, "what comes after a group could not be made");
        metrics::counter!("orchestratum_follow_ups_missing_total").increment(1);
    }
    if let Some(task) = task {
        tracing::info!(
            task.id = %task.task, task.name = %task.name, task.target = %task.target, group.id = %group, "task created"
        );
        metrics::counter!("orchestratum_follow_ups_total").increment(1);
        let wait = task.due_at.saturating_since(now);
        if wait.is_zero() {
            // One that has to ask is among the ready, if it got what it needs.
            let this = (!task.asks).then_some(Hint {
                task: task.task,
                target: task.target,
                name: task.name,
            });
            let ready = ready.into_iter().map(hint);
            engine.became_ready(this.into_iter().chain(ready).collect());
        } else if wait < super::LOOK_EVERY {
            engine.release_soon(wait);
        }
    }
    Ok(true)
}

/// The most parts of a pass in which nothing is to be cancelled: their members are over, or wait for their end.
const PARTS_MAX: usize = 20;

/// Some parts of a round over all of them, to the first in which members are cancelled: many in many short transactions.
async fn cancel_members(engine: &Engine) -> Result<Pass, Error> {
    for _ in 0..PARTS_MAX {
        let pass = cancel_part(engine).await?;
        if pass.done > 0 || !pass.more {
            return Ok(pass);
        }
    }
    Ok(Pass { done: 0, more: true })
}

async fn cancel_part(engine: &Engine) -> Result<Pass, Error> {
    let walked = &engine.parts.members_walked;
    let after = *walked.lock();
    let MembersToCancel { members, next } = engine.parts.store.members_to_cancel(after, PASS).await?;
    let changes = members.into_iter().map(|(task, status)| {
        let reason = match status {
            GroupStatus::Failing => "another member of its group did not succeed",
            _ => "its group was cancelled",
        };
        let reason = Some(reason.to_owned());
        Change::new(task, TaskEvent::CancelRequested { reason })
    });
    let cancelled = engine.sweep(changes.collect()).await?;
    *walked.lock() = next;
    Ok(Pass {
        more: next.is_some(),
        ..cancelled
    })
}

impl Engine {
    /// Settles the groups whose members have just ended. Whoever ended them does this, also where no loops run; what is lost with
    /// the process the loops find.
    pub(crate) fn settle_groups_soon(&self) {
        // One is enough: it settles all there are by then.
        if self.parts.settling_planned.swap(true, Ordering::AcqRel) {
            return;
        }
        let engine = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(GATHERING).await;
            engine.parts.settling_planned.store(false, Ordering::Release);
            if let Err(error) = tick(&engine).await {
                tracing::debug!(error = %error::chain(&error), "left to the loop for groups");
            }
        });
    }
}
