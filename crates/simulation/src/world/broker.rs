//! The broker, which may lose, double, delay and reorder what it is given, and the feeder that makes up for it.

use super::{Step, World};
use crate::chance::Chance;
use crate::coverage::Marker;
use crate::invariant::Invariant;
use crate::limits::{MILLISECOND, Micros, PULSE, SECOND, WINDOW};

#[derive(Debug, Default)]
pub(super) struct Broker {
    pub(super) queue: Vec<u32>,
    pub(super) down: bool,
}

#[derive(Debug)]
pub(super) struct Feeder {
    /// Where in the second its pulse falls.
    offset: Micros,
    last: Micros,
    seen_empty: u8,
    /// Only a mutant has one.
    cursor: u32,
}

impl Feeder {
    pub(super) fn new(chance: &mut Chance) -> Self {
        Self {
            offset: chance.time_between(0, PULSE),
            last: 0,
            seen_empty: 0,
            cursor: 0,
        }
    }
}

/// The first pulse at or after `time`.
pub(super) fn pulse_at(offset: Micros, time: Micros) -> Micros {
    if time > Micros::MAX / 2 {
        return Micros::MAX;
    }
    let since = (time - offset).rem_euclid(PULSE);
    if since == 0 { time } else { time + PULSE - since }
}

impl World {
    /// What the process that committed does: once, without a word about it in the database.
    pub(super) fn publish(&mut self, id: u32) {
        if self.chance.happens(self.faults.not_published) {
            self.note(|| format!("the process dies before it publishes task {id}"));
            return;
        }
        if self.broker.down || self.chance.happens(self.faults.message_dropped) {
            self.note(|| format!("the message of task {id} is lost"));
            return;
        }
        let copies = 1 + u8::from(self.chance.happens(self.faults.message_doubled));
        for _ in 0..copies {
            let slow = self.chance.happens(self.faults.message_slow);
            let delay = if slow {
                self.chance.time_between(SECOND, 20 * SECOND)
            } else {
                self.chance.time_between(0, 5 * MILLISECOND)
            };
            self.after(delay, Step::Enqueue { id });
        }
    }

    pub(super) fn enqueue(&mut self, id: u32) {
        if !self.broker.down {
            self.broker.queue.push(id);
            self.hand_out();
        }
    }

    /// A message that was not acknowledged goes back.
    pub(super) fn redeliver(&mut self, id: u32) {
        self.database.sometimes(Marker::MessageRedelivered);
        self.enqueue(id);
    }

    /// Messages go to consumers with room, in an order that nobody promised.
    pub(super) fn hand_out(&mut self) {
        while !self.broker.queue.is_empty() && !self.broker.down {
            let consumers = self.workers.iter().filter(|worker| worker.consumes()).count();
            if consumers == 0 {
                return;
            }
            let chosen = self.chance.index(consumers);
            let Some(slot) = self
                .workers
                .iter()
                .filter(|worker| worker.consumes())
                .nth(chosen)
                .map(|worker| worker.slot)
            else {
                return;
            };
            let position = self.chance.index(self.broker.queue.len());
            let id = self.broker.queue.swap_remove(position);
            let incarnation = self.workers[slot].incarnation;
            let delay = self.chance.time_between(MILLISECOND, 30 * MILLISECOND);
            // It counts against the worker's room from now on.
            self.workers[slot].inbox.push(id);
            self.after(
                delay,
                Step::Deliver {
                    worker: slot,
                    incarnation,
                    id,
                },
            );
        }
    }

    pub(super) fn deliver(&mut self, slot: usize, incarnation: u32, id: u32) {
        let worker = &mut self.workers[slot];
        if !worker.running || worker.incarnation != incarnation {
            return;
        }
        if worker.stopped {
            worker.deferred.push(Step::Deliver {
                worker: slot,
                incarnation,
                id,
            });
            return;
        }
        if self.database.find(id).is_none() {
            self.database.violate(Invariant::MessageNamesCommittedRow, || {
                format!("the message of task {id} arrives before its commit")
            });
        }
        if self.workers[slot].consumes() || self.workers[slot].takes_work() {
            self.claim(slot, false);
        }
    }

    /// When the feeder could have something to do; a pulse before that is a no-op.
    pub(super) fn next_feed(&self) -> Micros {
        if self.broker.down || self.database_down || self.database.paused {
            return Micros::MAX;
        }
        let empty = self.broker.queue.is_empty();
        let first = self
            .database
            .dispatches
            .iter()
            .flatten()
            .map(|row| {
                if empty {
                    row.due_at
                } else {
                    row.due_at.max(row.publish_at)
                }
            })
            .min();
        first.map_or(Micros::MAX, |first| {
            pulse_at(self.feeder.offset, first.max(self.feeder.last + 1).max(self.now))
        })
    }

    pub(super) fn feed(&mut self) {
        self.feeder.last = self.now;
        let depth = self.broker.queue.len();
        self.feeder.seen_empty = if depth == 0 { self.feeder.seen_empty + 1 } else { 0 };
        let twice = self.feeder.seen_empty >= 2;
        if twice {
            self.feeder.seen_empty = 0;
        }
        let mut cursor = self.feeder.cursor;
        let fed = self.database.feed(depth, twice, &mut cursor, self.now);
        self.feeder.cursor = cursor;
        self.check_fed(depth + fed.len());
        for id in fed {
            self.database.sometimes(Marker::FeederPublishedAgain);
            self.note(|| format!("the feeder publishes task {id}"));
            if let Some(task) = self.database.find(id) {
                self.written(task);
            }
            self.publish(id);
        }
    }

    /// I18: what is due and among the first has its message, or the window is full. By the rows and not by a cursor.
    fn check_fed(&mut self, sent: usize) {
        let due: Vec<usize> = (0..self.database.tasks.len())
            .filter(|task| self.database.dispatches[*task].is_some_and(|row| row.due_at <= self.now))
            .collect();
        let forgotten = due
            .iter()
            .find(|task| self.database.dispatches[**task].is_some_and(|row| row.publish_at <= self.now));
        if let Some(task) = forgotten
            && due.len() <= WINDOW
            && sent < WINDOW
        {
            self.database.violate(Invariant::DueRowIsPublished, || {
                format!("task {task} is due, the window has room, and the feeder passes it over")
            });
        }
    }
}
