//! The loops that expire and rescue. Two of them run, and between what one reads and what it writes anything can happen.

use super::broker::pulse_at;
use super::{Step, World};
use crate::chance::Chance;
use crate::database::SweepAction;
use crate::limits::{LEASE, MILLISECOND, Micros, PULSE, SECOND};

#[derive(Debug)]
pub(super) struct Sweeper {
    /// Where in the second its pulse falls.
    offset: Micros,
    last: Micros,
    /// What it decided on at its last read, in the reverse order of doing it.
    actions: Vec<SweepAction>,
    /// The time it binds in all of them: the sample of that read.
    read_at: Micros,
    /// While it does not reach the database it cannot tell dead workers from its own trouble.
    no_rescue_before: Micros,
    out_of_touch: bool,
}

impl Sweeper {
    pub(super) fn new(chance: &mut Chance) -> Self {
        Self {
            offset: chance.time_between(0, PULSE),
            last: 0,
            actions: Vec::new(),
            read_at: 0,
            no_rescue_before: 0,
            out_of_touch: false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.actions.is_empty()
    }
}

impl World {
    /// The next pulse of a sweeper that could find something, and whose it is.
    pub(super) fn next_pulse(&mut self) -> (Micros, usize) {
        if self.next_sweep.0 != self.database.writes {
            self.next_sweep = (self.database.writes, self.database.next_sweep());
        }
        let due = self.next_sweep.1;
        let at = |sweeper: &Sweeper| {
            if sweeper.actions.is_empty() {
                pulse_at(sweeper.offset, due.max(sweeper.last + 1).max(self.now))
            } else {
                Micros::MAX
            }
        };
        let (first, second) = (at(&self.sweepers[0]), at(&self.sweepers[1]));
        if first <= second { (first, 0) } else { (second, 1) }
    }

    fn sweeper_reaches_database(&mut self, number: usize) -> bool {
        let reached = !self.database_down && !self.chance.happens(self.faults.statement_lost);
        let now = self.now;
        let sweeper = &mut self.sweepers[number];
        if reached && sweeper.out_of_touch {
            sweeper.no_rescue_before = now + LEASE;
        }
        sweeper.out_of_touch = !reached;
        reached
    }

    pub(super) fn sweep(&mut self, number: usize) {
        let now = self.now;
        self.sweepers[number].last = now;
        if !self.sweeper_reaches_database(number) {
            return;
        }
        let may_declare_dead = now >= self.sweepers[number].no_rescue_before;
        let mut actions = self.database.sweep_read(may_declare_dead, now);
        if actions.is_empty() {
            return;
        }
        self.note(|| format!("sweeper {number} reads: {actions:?}"));
        actions.reverse();
        let sweeper = &mut self.sweepers[number];
        sweeper.actions = actions;
        sweeper.read_at = now;
        self.next_write(number);
    }

    fn next_write(&mut self, number: usize) {
        let delay = if self.chance.happens(self.faults.sweeper_stalls) {
            self.chance.time_between(SECOND, 40 * SECOND)
        } else {
            self.chance.time_between(MILLISECOND, 20 * MILLISECOND)
        };
        self.after(delay, Step::SweepWrite { sweeper: number });
    }

    pub(super) fn sweep_write(&mut self, number: usize) {
        if self.chance.happens(self.faults.sweeper_dies) {
            self.note(|| format!("sweeper {number} dies in the middle of its pass"));
            self.sweepers[number].actions.clear();
            return;
        }
        let read_at = self.sweepers[number].read_at;
        let Some(action) = self.sweepers[number].actions.pop() else {
            return;
        };
        if self.sweeper_reaches_database(number) {
            let written = self.database.sweep_write(action, read_at);
            self.note(|| {
                format!(
                    "sweeper {number}: {action:?}: {}",
                    if written { "done" } else { "lost the race" }
                )
            });
            self.swept(action, written);
        }
        if !self.sweepers[number].actions.is_empty() {
            self.next_write(number);
        }
    }

    fn swept(&mut self, action: SweepAction, written: bool) {
        if !written {
            return;
        }
        match action {
            SweepAction::MarkDead(id) => self.check_fenced(id),
            SweepAction::Lose { task, .. } | SweepAction::Expire { task } | SweepAction::NotOffered { task } => {
                if let Some(id) = self.written(task) {
                    self.publish(id);
                }
            }
        }
    }
}
