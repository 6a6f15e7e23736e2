//! What breaks, and the moment when everything is mended.

use super::process::Stop;
use super::watch::Watch;
use super::{Step, World};
use crate::coverage::Marker;
use crate::limits::{LEASE, MILLISECOND, PULSE, SECOND};
use crate::swarm::{Faults, Strike};

impl World {
    pub(super) fn strike(&mut self, number: usize) {
        if self.healed {
            return;
        }
        let strike = self.strikes[number];
        self.note(|| format!("NEMESIS {strike:?}"));
        match strike {
            Strike::Crash { worker } => {
                if self.workers[worker].running {
                    self.crash(worker);
                    let delay = self.chance.time_between(SECOND, 20 * SECOND);
                    self.after(delay, Step::Restart { worker });
                }
            }
            Strike::Stop { worker, lasts } => self.stop(worker, lasts),
            Strike::CutOff { worker, lasts } => {
                self.workers[worker].cut_off = true;
                self.after(lasts, Step::Reconnect { worker });
            }
            Strike::Drain { worker } => self.drain(worker),
            Strike::Purge => {
                self.database.sometimes(Marker::BrokerPurged);
                self.broker.queue.clear();
            }
            Strike::BrokerDown { lasts } => {
                self.broker.down = true;
                self.broker.queue.clear();
                self.after(lasts, Step::BrokerUp);
            }
            Strike::DatabaseDown { lasts } => {
                self.database_down = true;
                self.after(lasts, Step::DatabaseUp);
            }
        }
    }

    /// SIGKILL: the children die with it, its messages go back, its lease runs out.
    fn crash(&mut self, slot: usize) {
        let worker = &mut self.workers[slot];
        worker.running = false;
        worker.stopped = false;
        worker.deferred.clear();
        worker.processes.clear();
        let id = worker.id;
        self.give_messages_back(slot);
        if self.calm {
            self.after(LEASE + 2 * PULSE + SECOND, Step::Watch(Watch::Rescued { worker: id }));
        }
    }

    fn stop(&mut self, slot: usize, lasts: i64) {
        let worker = &mut self.workers[slot];
        if !worker.running || worker.stopped {
            return;
        }
        worker.stopped = true;
        for process in &mut worker.processes {
            process.tainted = true;
        }
        let incarnation = worker.incarnation;
        self.after(
            lasts,
            Step::Continue {
                worker: slot,
                incarnation,
            },
        );
    }

    /// SIGCONT: everything that waited happens now, in no particular order.
    pub(super) fn go_on(&mut self, slot: usize, incarnation: u32) {
        let worker = &mut self.workers[slot];
        if !worker.stopped || worker.incarnation != incarnation {
            return;
        }
        worker.stopped = false;
        worker.idle_since = self.now;
        self.note(|| format!("worker {slot} goes on"));
        for step in std::mem::take(&mut self.workers[slot].deferred) {
            let delay = self.chance.time_between(0, 50 * MILLISECOND);
            self.after(delay, step);
        }
    }

    fn drain(&mut self, slot: usize) {
        let worker = &mut self.workers[slot];
        if !worker.running || worker.stopped {
            return;
        }
        worker.draining = true;
        let processes: Vec<u32> = worker.processes.iter().map(|process| process.number).collect();
        self.give_messages_back(slot);
        for number in processes {
            self.stop_process(slot, number, Stop::Drain);
        }
        self.has_room(slot);
    }

    /// A drained worker is gone, and another takes its place.
    pub(super) fn exit(&mut self, slot: usize) {
        self.crash(slot);
        self.after(SECOND, Step::Restart { worker: slot });
    }

    pub(super) fn restart(&mut self, slot: usize) {
        if !self.workers[slot].running {
            self.note(|| format!("worker {slot} starts"));
            self.database.sometimes(Marker::WorkerRestarted);
            self.boot(slot);
        }
    }

    /// No more faults: from here on everything must come to an end.
    pub(super) fn heal(&mut self) {
        self.note(|| "everything is mended".to_owned());
        self.healed = true;
        self.faults = Faults {
            clocks_drift: self.faults.clocks_drift,
            ..Faults::default()
        };
        self.broker.down = false;
        self.database_down = false;
        self.database.paused = false;
        self.open_since = self.now;
        for slot in 0..self.workers.len() {
            self.workers[slot].cut_off = false;
            if self.workers[slot].running {
                let incarnation = self.workers[slot].incarnation;
                self.go_on(slot, incarnation);
            } else {
                self.restart(slot);
            }
        }
    }
}
