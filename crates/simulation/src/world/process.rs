//! The processes that run attempts: they end by themselves, are told to end, are killed, and are reported when dead.

use orchestratum_core::task::Ending;

use super::flight::{Origin, Reply, Statement};
use super::{Step, World};
use crate::chance::Chance;
use crate::coverage::Marker;
use crate::database::Claimed;
use crate::invariant::Invariant;
use crate::limits::{KILL_GRACE, KILL_GRACE_AT_DEADLINE, MILLISECOND, Micros, SECOND};
use crate::mutant::Mutant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Cancel,
    Timeout,
    Deadline,
    Drain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    /// TERM was sent.
    Stopping(Stop),
    /// The report is on its way, or waits to be repeated.
    Reporting,
}

/// What decides how attempts end where that must not depend on time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fates {
    pub(super) seed: u64,
    /// In a thousand, also after everything else is mended.
    pub(super) handler_fails: u16,
}

/// One attempt in the hands of a worker.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own about a process of the operating system"
)]
pub(super) struct Process {
    pub(super) number: u32,
    pub(super) task: usize,
    pub(super) attempt: u32,
    pub(super) phase: Phase,
    /// Whether the operating system still runs it. Work that was never started is never alive.
    pub(super) alive: bool,
    /// When the worker learned of it: a renewal that was sent before cannot know it.
    pub(super) known_at: Micros,
    /// In the database's time, and when the worker learned it.
    pub(super) deadline: Micros,
    deadline_known_at: Micros,
    times_out_at: Micros,
    limit_at: Micros,
    /// When it ends if nobody stops it, and how.
    ends_at: Micros,
    ended_by_itself: bool,
    ending: Ending,
    /// Ignores TERM.
    deaf: bool,
    /// Its worker was stopped, or its deadline was moved, while it ran: then the tight promises do not cover it.
    pub(super) tainted: bool,
    chance: f64,
}

impl World {
    /// An attempt that was claimed and is started.
    pub(super) fn start(&mut self, slot: usize, claimed: Claimed) {
        if self.workers[slot].clock(self.now) >= claimed.expires_at {
            // Too late to begin: the sweeper may already have given the next run away.
            let ending = Ending::Expired { message: String::new() };
            self.report_unstarted(slot, claimed.task, claimed.attempt, ending);
            return;
        }
        self.check_alone(slot, claimed);
        let number = self.next_process;
        self.next_process += 1;
        let long = self.chance.happens(self.faults.handler_long);
        let runs_for = if long {
            self.chance.time_between(5 * SECOND, 60 * SECOND)
        } else {
            self.chance.time_between(10 * MILLISECOND, 3 * SECOND)
        };
        let ending = self.ending_of(claimed.task);
        let times_out_at = if self.chance.happens(200) && self.faults.handler_long > 0 && self.fates.is_none() {
            self.now + self.chance.time_between(SECOND, 20 * SECOND)
        } else {
            Micros::MAX
        };
        let process = Process {
            number,
            task: claimed.task,
            attempt: claimed.attempt,
            phase: Phase::Running,
            alive: true,
            known_at: self.now,
            deadline: claimed.expires_at,
            deadline_known_at: self.now,
            times_out_at,
            limit_at: Micros::MAX,
            ends_at: self.now + runs_for,
            ended_by_itself: false,
            ending,
            deaf: self.chance.happens(self.faults.handler_deaf),
            tainted: false,
            chance: self.chance.fraction(),
        };
        self.note(|| format!("worker {slot} starts task {} attempt {}", claimed.task, claimed.attempt));
        self.workers[slot].processes.push(process);
        self.after(
            runs_for,
            Step::ProcessEnds {
                worker: slot,
                process: number,
            },
        );
        self.arm_limit(slot, number);
    }

    /// What the database says this worker holds and this worker has never started: handed back, like any report.
    pub(super) fn hand_back(&mut self, slot: usize, task: usize, attempt: u32) {
        self.database.sometimes(Marker::UnknownClaimHandedBack);
        self.note(|| format!("worker {slot} hands back task {task} attempt {attempt}"));
        let message = String::new();
        let ending = if self.planted.is(Mutant::HandBackUsesRetry) {
            Ending::Failed {
                message,
                retryable: true,
                code: None,
            }
        } else {
            Ending::Released { message }
        };
        self.report_unstarted(slot, task, attempt, ending);
    }

    fn report_unstarted(&mut self, slot: usize, task: usize, attempt: u32, ending: Ending) {
        let number = self.next_process;
        self.next_process += 1;
        self.workers[slot].processes.push(Process {
            number,
            task,
            attempt,
            phase: Phase::Reporting,
            alive: false,
            known_at: self.now,
            deadline: Micros::MAX,
            deadline_known_at: self.now,
            times_out_at: Micros::MAX,
            limit_at: Micros::MAX,
            ends_at: Micros::MAX,
            ended_by_itself: false,
            ending,
            deaf: false,
            tainted: true,
            chance: 0.0,
        });
        self.send_report(slot, number);
    }

    fn ending_of(&mut self, task: usize) -> Ending {
        let Some(Fates { seed, handler_fails }) = self.fates else {
            return draw_ending(&mut self.chance, self.faults.handler_fails);
        };
        let row = &self.database.tasks[task];
        let which = u64::from(row.id) << 32 | u64::from(row.life.retries_left);
        draw_ending(&mut Chance::new(seed ^ which.rotate_left(17)), handler_fails)
    }

    pub(super) fn process(&mut self, slot: usize, number: u32) -> Option<&mut Process> {
        self.workers[slot]
            .processes
            .iter_mut()
            .find(|process| process.number == number)
    }

    /// The worker waits for the earlier of both limits, the time-to-live by its own idea of the database's time.
    fn arm_limit(&mut self, slot: usize, number: u32) {
        let worker = &self.workers[slot];
        let Some(process) = worker.processes.iter().find(|process| process.number == number) else {
            return;
        };
        let limit_at = worker.when_clock_shows(process.deadline).min(process.times_out_at);
        if let Some(process) = self.process(slot, number) {
            process.limit_at = limit_at;
        }
        if limit_at < Micros::MAX / 2 {
            self.at(
                limit_at,
                Step::Limit {
                    worker: slot,
                    process: number,
                },
            );
        }
    }

    pub(super) fn limit(&mut self, slot: usize, number: u32) {
        if self.workers[slot].stopped {
            self.workers[slot].deferred.push(Step::Limit {
                worker: slot,
                process: number,
            });
            return;
        }
        let (now, clock) = (self.now, self.workers[slot].clock(self.now));
        let Some(process) = self.process(slot, number) else {
            return;
        };
        if process.phase != Phase::Running || now < process.limit_at {
            return;
        }
        if clock >= process.deadline {
            self.stop_process(slot, number, Stop::Deadline);
        } else if now >= process.times_out_at {
            self.stop_process(slot, number, Stop::Timeout);
        } else {
            self.arm_limit(slot, number);
        }
    }

    /// TERM now, KILL after the grace.
    pub(super) fn stop_process(&mut self, slot: usize, number: u32, stop: Stop) {
        let grace = match stop {
            Stop::Deadline => KILL_GRACE_AT_DEADLINE,
            Stop::Cancel | Stop::Timeout | Stop::Drain => KILL_GRACE,
        };
        let obeys_after = self.chance.time_between(10 * MILLISECOND, 800 * MILLISECOND);
        let Some(deadline) = self.process(slot, number).map(|process| process.deadline) else {
            return;
        };
        // A grace that began for another reason ends with the time-to-live all the same.
        let kill_at = self.workers[slot].when_clock_shows(deadline) + KILL_GRACE_AT_DEADLINE;
        let grace = grace.min((kill_at - self.now).max(0));
        let Some(process) = self.process(slot, number) else {
            return;
        };
        if process.phase != Phase::Running {
            return;
        }
        process.phase = Phase::Stopping(stop);
        let (task, deaf, alive) = (process.task, process.deaf, process.alive);
        self.note(|| format!("worker {slot} stops task {task}: {stop:?}"));
        if !alive {
            return;
        }
        if deaf {
            self.after(
                grace,
                Step::Kill {
                    worker: slot,
                    process: number,
                },
            );
        } else {
            self.after(
                obeys_after,
                Step::ProcessEnds {
                    worker: slot,
                    process: number,
                },
            );
        }
        if self.planted.is(Mutant::RetryReleasedBeforeKill) {
            self.reap(slot, number);
        }
    }

    pub(super) fn kill(&mut self, slot: usize, number: u32) {
        if self.workers[slot].stopped {
            self.workers[slot].deferred.push(Step::Kill {
                worker: slot,
                process: number,
            });
            return;
        }
        if self.process(slot, number).is_some_and(|process| process.alive) {
            self.database.sometimes(Marker::KilledByForce);
            self.process_ends(slot, number);
        }
    }

    /// The operating system has ended it; a stopped worker learns of that later.
    pub(super) fn process_ends(&mut self, slot: usize, number: u32) {
        let now = self.now;
        let Some(process) = self.process(slot, number) else {
            return;
        };
        if !process.alive {
            return;
        }
        process.alive = false;
        process.ended_by_itself = now == process.ends_at;
        let late = now - process.deadline.max(process.deadline_known_at);
        let (task, attempt, tainted) = (process.task, process.attempt, process.tainted);
        if late > KILL_GRACE + 2 * SECOND && !tainted {
            self.database.violate(Invariant::DeadlineHolds, || {
                format!("attempt {attempt} of task {task} ran {late} µs longer than its time-to-live")
            });
        }
        self.note(|| format!("worker {slot}: the process of task {task} attempt {attempt} is dead"));
        if self.planted.is(Mutant::RetryReleasedBeforeKill) {
            let reported = |process: &Process| process.number == number && process.phase == Phase::Reporting;
            self.workers[slot].processes.retain(|process| !reported(process));
        }
        self.reap(slot, number);
    }

    /// The worker sees that the process is dead, and reports.
    pub(super) fn reap(&mut self, slot: usize, number: u32) {
        if self.workers[slot].stopped {
            self.workers[slot].deferred.push(Step::Reap {
                worker: slot,
                process: number,
            });
            return;
        }
        let Some(process) = self.process(slot, number) else {
            return;
        };
        let message = String::new();
        let marker = match process.phase {
            Phase::Running => None,
            // What succeeded before the kill counts.
            Phase::Stopping(Stop::Cancel) if process.ending == Ending::Success && process.ended_by_itself => {
                Some(Marker::SuccessBeforeCancelKill)
            }
            Phase::Stopping(stop) => {
                process.ending = match stop {
                    Stop::Cancel => Ending::Cancelled { message },
                    Stop::Timeout => Ending::TimedOut { message },
                    Stop::Deadline => Ending::Expired { message },
                    Stop::Drain => Ending::Released { message },
                };
                (stop == Stop::Drain).then_some(Marker::ReleasedOnDrain)
            }
            Phase::Reporting => return,
        };
        process.phase = Phase::Reporting;
        if let Some(marker) = marker {
            self.database.sometimes(marker);
        }
        self.send_report(slot, number);
    }

    /// The same report until its outcome is known.
    pub(super) fn send_report(&mut self, slot: usize, number: u32) {
        if self.workers[slot].stopped {
            self.workers[slot].deferred.push(Step::ReportAgain {
                worker: slot,
                process: number,
            });
            return;
        }
        let (id, now) = (self.workers[slot].id, self.workers[slot].clock(self.now));
        let Some(process) = self.process(slot, number) else {
            return;
        };
        let statement = Statement::Report {
            id,
            task: process.task,
            attempt: process.attempt,
            ending: process.ending.clone(),
            chance: process.chance,
        };
        self.send(statement, Origin::Process { slot, process: number }, now);
    }

    pub(super) fn report_answered(&mut self, slot: usize, number: u32, reply: &Reply) {
        let Reply::Reported { publish } = reply else { return };
        if let Some(id) = publish {
            self.publish(*id);
        }
        // Still alive only where a mutant reports before the kill.
        self.workers[slot]
            .processes
            .retain(|process| process.number != number || process.alive);
        self.has_room(slot);
    }

    /// A renewal brought a sample of the database's time, and perhaps another deadline: the alarm was set by the old ones.
    pub(super) fn learn_deadline(&mut self, slot: usize, number: u32, deadline: Micros) {
        let now = self.now;
        let rings_at = self.workers[slot].when_clock_shows(deadline);
        let Some(process) = self.process(slot, number) else {
            return;
        };
        let moved = process.deadline != deadline;
        if moved {
            process.deadline = deadline;
            process.deadline_known_at = now;
        }
        if moved || rings_at + 50 * MILLISECOND < process.limit_at {
            self.arm_limit(slot, number);
        }
    }

    /// The deadline of a running task was moved by a client: its worker learns it at its next renewal, and until then
    /// nothing is promised.
    pub(super) fn deadline_moved(&mut self, task: usize) {
        for worker in &mut self.workers {
            for process in worker.processes.iter_mut().filter(|process| process.task == task) {
                process.tainted = true;
            }
        }
    }

    /// No two attempts of one task run at the same time, as long as no worker was stopped. What the sweeper expired
    /// may live until the grace is over; a manual retry can overlap with that.
    fn check_alone(&mut self, slot: usize, claimed: Claimed) {
        let now = self.now;
        let other = self.workers.iter().enumerate().find_map(|(other, worker)| {
            worker
                .processes
                .iter()
                .find(|process| {
                    process.task == claimed.task
                        && process.alive
                        && !process.tainted
                        && !(process.deadline..process.deadline + KILL_GRACE + 2 * SECOND).contains(&now)
                })
                .map(|process| (other, process.attempt))
        });
        if let Some((other, attempt)) = other {
            self.database.violate(Invariant::AttemptsDoNotOverlap, || {
                format!(
                    "worker {slot} starts attempt {} of task {} while attempt {attempt} still runs on worker {other}",
                    claimed.attempt, claimed.task
                )
            });
        }
    }

    /// The database takes the lease away: what the worker ran must be dead by now.
    pub(super) fn check_fenced(&mut self, id: orchestratum_core::WorkerId) {
        let alive = self.workers.iter().find(|worker| worker.id == id).and_then(|worker| {
            worker
                .processes
                .iter()
                .find(|process| process.alive && !process.tainted)
                .map(|process| (worker.slot, process.task, process.attempt))
        });
        if let Some((slot, task, attempt)) = alive {
            self.database.violate(Invariant::AttemptsDoNotOverlap, || {
                format!("worker {slot} is declared dead while it runs attempt {attempt} of task {task}")
            });
        }
    }
}

fn draw_ending(chance: &mut Chance, fails: u16) -> Ending {
    let message = String::new();
    if !chance.happens(fails) {
        return Ending::Success;
    }
    match chance.below(8) {
        0 => Ending::OutOfMemory { message },
        1 => Ending::NotFound { message },
        2 => Ending::OutputNotStorable { message },
        3 => Ending::Cancelled { message },
        4 => Ending::Failed {
            message,
            retryable: false,
            code: None,
        },
        _ => Ending::Failed {
            message,
            retryable: true,
            code: None,
        },
    }
}
