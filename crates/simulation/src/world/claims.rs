//! Claims, and the messages that cause most of them: taken, named in a claim, and let go of when it has committed.

use super::flight::{Origin, Statement};
use super::{Step, World};
use crate::invariant::Invariant;
use crate::limits::{Micros, TOP_UP};
use crate::mutant::Mutant;

/// A message whose claim is on its way.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unacked {
    pub(super) id: u32,
    /// Of its task, when the claim was sent; `None` where there was none yet.
    version: Option<u32>,
}

impl World {
    pub(super) fn top_up(&mut self, slot: usize, incarnation: u32) {
        if self.is_stale(slot, incarnation)
            || self.waits(
                slot,
                Step::TopUp {
                    worker: slot,
                    incarnation,
                },
            )
        {
            return;
        }
        self.after(
            TOP_UP,
            Step::TopUp {
                worker: slot,
                incarnation,
            },
        );
        // With no row there is nothing it could claim; the statement would be a step without a story.
        if self.database.dispatches.iter().any(Option::is_some) {
            self.claim(slot, true);
        }
    }

    /// Asks for the tasks of its messages, and then, if it fills up, for whatever else it has room for.
    pub(super) fn claim(&mut self, slot: usize, fill_up: bool) {
        let worker = &mut self.workers[slot];
        worker.asks |= fill_up;
        let room = worker.room();
        if !worker.takes_work() || worker.claiming || room == 0 {
            return;
        }
        worker.claiming = true;
        let fill_up = std::mem::take(&mut worker.asks);
        let count = room.min(worker.inbox.len());
        let named: Vec<u32> = worker.inbox.drain(..count).collect();
        let version = |id| Some(self.database.tasks[self.database.find(id)?].life.version);
        worker.unacked = named
            .iter()
            .map(|id| Unacked {
                id: *id,
                version: version(*id),
            })
            .collect();
        let statement = Statement::Claim {
            id: worker.id,
            offers_rare: worker.offers_rare,
            named,
            free: room,
            fill_up,
        };
        let (incarnation, clock) = (worker.incarnation, worker.clock(self.now));
        if self.planted.is(Mutant::AckBeforeClaim) {
            self.acknowledge(slot, self.now, clock);
        }
        self.send(statement, Origin::Worker { slot, incarnation }, clock);
    }

    /// The messages of a claim have done their work: whichever named a row that could be taken, it was. (Not while the
    /// target was paused, and not by a worker that was dead: those use messages up, and the feeder sends them again.)
    pub(super) fn acknowledge(&mut self, slot: usize, sent_at: Micros, bound_now: Micros) {
        let worker = &mut self.workers[slot];
        let messages = std::mem::take(&mut worker.unacked);
        let (id, offers_rare) = (worker.id, worker.offers_rare);
        if self.open_since > sent_at {
            return;
        }
        let dropped = messages
            .iter()
            .filter_map(|message| Some((message.id, message.version?)))
            .find(|(task, version)| self.database.still_waits(*task, *version, id, offers_rare, bound_now));
        if let Some((task, _)) = dropped {
            self.database.violate(Invariant::RowKeepsItsMessage, || {
                format!("worker {slot} lets go of the message of task {task}, which nobody has claimed")
            });
        }
    }

    pub(super) fn give_messages_back(&mut self, slot: usize) {
        let worker = &mut self.workers[slot];
        let mut messages = std::mem::take(&mut worker.inbox);
        messages.extend(std::mem::take(&mut worker.unacked).iter().map(|message| message.id));
        for id in messages {
            self.redeliver(id);
        }
    }
}
