//! Schedules whose time has come: what is written of them, and the tasks they make.

use std::collections::HashMap;

use orchestratum_core::schedule::{InvalidCron, MakeTask, ScheduleSpec, Skip, SkipReason, Standing, look};
use orchestratum_core::task::{Edge, FollowUpPlace, SpecLimits, TaskState};
use orchestratum_core::{Origin, ScheduleId, TaskId, Timestamp};

use super::{DispatchState, GateChanges, follow_up_id};
use crate::{Announce, Fired, FiredTask, NewTask, Ready};

/// The most tasks of one transaction: as many as a request of a caller makes.
const TASKS_MAX: usize = 1_000;

/// What the tasks of one transaction may cost together, in steps of expressions and bytes: about half a second. Slots that come
/// after become tasks in another one, so that no lock is held for as long as others can make it take.
const COST_MAX: u64 = 4_000_000;

/// The most tasks of a schedule that one look cancels.
pub(crate) const LIVE_MAX: usize = 100;

/// How large the tasks of the schedules may be together that one pass reads: as they were written, not as they are made.
const READ_BYTES_MAX: usize = 4 << 20;

/// Which schedules a pass looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// Those that have waited longest, at most so many.
    Due(usize),
    One(ScheduleId),
}

/// The schedules that a pass has locked.
#[derive(Debug)]
pub(crate) struct Locked {
    /// Those to be read.
    pub(crate) read: Vec<ScheduleId>,
    /// Others are due.
    pub(crate) more: bool,
}

impl Locked {
    /// The first of them, as far as they are not too large together; they come with the sizes of their tasks.
    pub(crate) fn of(found: &[(ScheduleId, usize)], which: Which) -> Self {
        let mut bytes = 0;
        let fitting = found.iter().take_while(|(_, size)| {
            let is_first = bytes == 0;
            bytes += size;
            is_first || bytes <= READ_BYTES_MAX
        });
        let read: Vec<ScheduleId> = fitting.map(|(id, _)| *id).collect();
        let is_full = matches!(which, Which::Due(limit) if found.len() >= limit);
        Self {
            more: is_full || read.len() < found.len(),
            read,
        }
    }
}

/// A schedule that is due.
#[derive(Debug)]
pub(crate) struct DueSchedule {
    pub(crate) id: ScheduleId,
    /// An expression that was taken once may be none for this version.
    pub(crate) spec: Result<ScheduleSpec, InvalidCron>,
    pub(crate) standing: Standing,
}

/// What is to be written of a schedule.
#[derive(Debug)]
pub(crate) struct ScheduleWrite {
    pub(crate) id: ScheduleId,
    pub(crate) standing: Standing,
}

#[derive(Debug, Default)]
pub(crate) struct FireDecision {
    pub(crate) schedules: Vec<ScheduleWrite>,
    /// By id.
    pub(crate) tasks: Vec<NewTask>,
    pub(crate) fired: Fired,
}

impl FireDecision {
    /// Without the tasks that meet one like them, each with the one it meets.
    pub(crate) fn meet(&mut self, met: &HashMap<TaskId, TaskId>) {
        if met.is_empty() {
            return;
        }
        self.tasks.retain(|task| !met.contains_key(&task.spec.id));
        let (left, made): (Vec<_>, Vec<_>) = std::mem::take(&mut self.fired.tasks)
            .into_iter()
            .partition(|task| met.contains_key(&task.task));
        self.fired.tasks = made;
        for task in left {
            let skip = Skip {
                slot: task.slot,
                reason: SkipReason::Met,
                detail: met.get(&task.task).map(|other| format!("task {other} is like it")),
            };
            let write = self.schedules.iter_mut().find(|write| write.id == task.schedule);
            if let Some(write) = write {
                write.standing.last_skip = Some(skip.clone());
            }
            self.fired.skipped.push((task.schedule, skip));
        }
    }

    /// What those with conditions ask for.
    pub(crate) fn gates(&self, now: Timestamp) -> GateChanges {
        let mut gates = GateChanges::default();
        gates.created(&self.tasks, now);
        gates
    }

    /// With those that are ready: `admitted` are the ones that got what they asked for.
    pub(crate) fn into_fired(self, admitted: Vec<Ready>, now: Timestamp) -> Fired {
        let is_ready = |task: &&NewTask| {
            let conditions = task.spec.conditions.as_deref();
            DispatchState::of(conditions, task.life.scheduled_at, now) == DispatchState::Ready
        };
        let ready = self.tasks.iter().filter(is_ready).map(|task| Ready {
            task: task.spec.id,
            target: task.spec.target.clone(),
            name: task.spec.name.clone(),
        });
        Fired {
            ready: ready.chain(admitted).collect(),
            ..self.fired
        }
    }
}

/// `live` has tasks of these schedules that are not over; `more` says whether others are due.
pub(crate) fn fire(
    due: Vec<DueSchedule>,
    live: &HashMap<ScheduleId, Vec<TaskId>>,
    limits: &SpecLimits,
    more: bool,
    seed: u128,
    now: Timestamp,
) -> FireDecision {
    let mut firing = Firing {
        limits,
        seed,
        now,
        cost: 0,
        decision: FireDecision::default(),
    };
    firing.decision.fired.more = more;
    for schedule in due {
        if firing.is_full() {
            firing.decision.fired.more = true;
            break;
        }
        firing.decision.fired.looked += 1;
        let live = live.get(&schedule.id).map_or(&[][..], Vec::as_slice);
        firing.look(schedule, live);
    }
    let mut decision = firing.decision;
    decision.tasks.sort_unstable_by_key(|task| task.spec.id);
    decision
}

struct Firing<'a> {
    limits: &'a SpecLimits,
    seed: u128,
    now: Timestamp,
    cost: u64,
    decision: FireDecision,
}

impl Firing<'_> {
    fn is_full(&self) -> bool {
        self.decision.tasks.len() >= TASKS_MAX || self.cost > COST_MAX
    }

    fn look(&mut self, schedule: DueSchedule, live: &[TaskId]) {
        let DueSchedule { id, spec, standing } = schedule;
        let spec = match spec {
            Ok(spec) => spec,
            Err(broken) => {
                self.park(id, standing, &broken);
                return;
            }
        };
        let mut look = look(&spec, &standing, !live.is_empty(), self.now);
        let fired = &mut self.decision.fired;
        fired.skipped.extend(look.skipped.iter().map(|skip| (id, skip.clone())));
        if look.cancel_live {
            fired.cancel.extend_from_slice(live);
        }
        let before = self.decision.tasks.len();
        let mut made = 0;
        for slot in &look.fire {
            if made > 0 && self.is_full() {
                break;
            }
            if let Err(skip) = self.make(id, &spec, *slot, made) {
                look.standing.last_skip = Some(skip.clone());
                self.decision.fired.skipped.push((id, skip));
            }
            made += 1;
        }
        if made < look.fire.len() {
            self.decision.fired.more = true;
            look.leave_after(made, self.now);
        } else if !look.standing.waiting.is_empty() {
            let new = self.decision.tasks[before..].iter().map(|task| task.spec.id);
            self.decision
                .fired
                .waiting
                .push((id, live.iter().copied().chain(new).collect()));
        }
        let standing = look.standing;
        self.decision.schedules.push(ScheduleWrite { id, standing });
    }

    fn make(&mut self, schedule: ScheduleId, spec: &ScheduleSpec, slot: Timestamp, index: usize) -> Result<(), Skip> {
        let place = FollowUpPlace {
            run: 0,
            edge: Edge::Success,
            index: u16::try_from(index).unwrap_or(u16::MAX),
        };
        let make = MakeTask {
            schedule,
            spec,
            slot: Some(slot),
            id: follow_up_id(self.seed, TaskId(schedule.0), place, self.now),
            limits: self.limits,
            now: self.now,
        };
        let made = make.make();
        self.cost += made.cost;
        let (task, life) = *made.made.map_err(|detail| Skip {
            slot,
            reason: SkipReason::Unmade,
            detail: Some(detail),
        })?;
        self.decision.fired.tasks.push(FiredTask {
            schedule,
            slot,
            task: task.id,
            name: task.name.clone(),
            target: task.target.clone(),
            due_at: match life.state {
                TaskState::Pending { due_at } => due_at,
                _ => life.scheduled_at,
            },
        });
        self.decision.tasks.push(NewTask {
            spec: task,
            life,
            // The loop, right after the commit.
            announce: Announce::ByCaller,
            request_hash: None,
            origin: Origin::default(),
        });
        Ok(())
    }

    /// Nothing comes of it until a caller changes it; the others must not wait for that.
    fn park(&mut self, id: ScheduleId, standing: Standing, broken: &InvalidCron) {
        let skip = Skip {
            slot: standing.next_slot.unwrap_or(self.now),
            reason: SkipReason::Unmade,
            detail: Some(format!("its cron expression {broken}")),
        };
        self.decision.fired.skipped.push((id, skip.clone()));
        self.decision.schedules.push(ScheduleWrite {
            id,
            standing: Standing {
                next_slot: None,
                wake_at: None,
                last_skip: Some(skip),
                ..standing
            },
        });
    }
}

/// Slots that wait, as they are stored.
pub(crate) fn waiting_text(standing: &Standing) -> Option<String> {
    let micros: Vec<i64> = standing.waiting.iter().map(|slot| slot.as_micros()).collect();
    (!micros.is_empty()).then(|| serde_json::to_string(&micros).expect("numbers are always JSON"))
}

pub(crate) fn waiting_of(stored: Option<&str>) -> Result<Vec<Timestamp>, serde_json::Error> {
    let Some(stored) = stored else { return Ok(Vec::new()) };
    let micros: Vec<i64> = serde_json::from_str(stored)?;
    Ok(micros.into_iter().map(Timestamp::from_micros).collect())
}
