//! Clients and the API processes that serve them: calls, and what each does when the outcome is unknown.

use super::flight::{Flight, Origin, Reply, Statement};
use super::watch::Watch;
use super::{Step, World};
use crate::database::{Created, NewTask};
use crate::invariant::Invariant;
use crate::limits::{EXPIRY_GRACE, PULSE, SECOND, TOP_UP};
use crate::mutant::Mutant;
use crate::swarm::Operation;

/// What the clients remember of their creates, apart from the database.
#[derive(Debug, Default)]
pub(super) struct Creates {
    /// By operation: the ids its request was sent under.
    sent: Vec<(usize, u32)>,
    /// By operation: the rows that came of it.
    rows: Vec<(usize, u32)>,
    acknowledged: Vec<u32>,
    next_id: u32,
}

impl World {
    pub(super) fn call(&mut self, number: usize) {
        let statement = match self.operations[number].clone() {
            Operation::Create(new) => {
                self.send_create(number, new);
                return;
            }
            Operation::Cancel { id } => Statement::Cancel { id },
            Operation::Retry { id, ttl } => Statement::Retry { id, ttl },
            Operation::Patch { id, patch } => Statement::Patch { id, patch },
            Operation::Pause(paused) => Statement::Pause(paused),
        };
        self.send(statement, Origin::Operation(number), self.now);
    }

    fn send_create(&mut self, number: usize, new: NewTask) {
        self.creates.sent.push((number, new.id));
        if self.planted.is(Mutant::PublishBeforeCommit) && new.delay == 0 {
            self.publish(new.id);
        }
        let asks_first = new.key.is_some() && self.planted.is(Mutant::KeyCheckedThenInserted);
        let statement = if asks_first {
            Statement::LookUpKey(new)
        } else {
            Statement::Create(new)
        };
        self.send(statement, Origin::Operation(number), self.now);
    }

    pub(super) fn operation_answered(&mut self, number: usize, flight: &Flight, reply: &Reply) {
        match reply {
            Reply::KeyIsFree(free) => {
                if let (true, Statement::LookUpKey(new)) = (*free, &flight.statement) {
                    let statement = Statement::Create(*new);
                    self.send(statement, Origin::Operation(number), self.now);
                    return;
                }
            }
            Reply::Created(created) => self.create_acknowledged(*created),
            Reply::Changed { publish: Some(id) } => self.publish(*id),
            _ => {}
        }
        self.operations_open -= 1;
    }

    fn create_acknowledged(&mut self, created: Created) {
        let (Created::New(id) | Created::Known(id)) = created else {
            return;
        };
        self.creates.acknowledged.push(id);
        let Some(task) = self.database.find(id) else {
            self.database.violate(Invariant::AcknowledgedCreateExists, || {
                format!("the create of task {id} was acknowledged, and there is no such row")
            });
            return;
        };
        let due = self.database.dispatches[task].is_some_and(|row| row.due_at <= self.now);
        if due && matches!(created, Created::New(_)) && !self.planted.is(Mutant::PublishBeforeCommit) {
            self.publish(id);
        }
    }

    /// The same guarded statement again, as long as an API process is there to do it; then the client, under its key.
    pub(super) fn operation_unknown(&mut self, number: usize, flight: &Flight) {
        let (Statement::Create(mut new) | Statement::LookUpKey(mut new)) = flight.statement else {
            // Cancel, retry and patch are answered with 503; the client looks and decides for itself.
            self.operations_open -= 1;
            return;
        };
        let api_died = self.chance.happens(self.faults.api_dies);
        if new.key.is_none() && api_died {
            self.note(|| format!("the client gives up on its create {}", new.id));
            self.operations_open -= 1;
            return;
        }
        if api_died || self.planted.is(Mutant::BlindRepeatOfCreate) {
            self.creates.next_id += 1;
            new.id = 2_000 + self.creates.next_id;
        }
        self.send_create(number, new);
    }

    /// Each row as it is committed: explained by a request, the only one of it, and the only one of its key.
    pub(super) fn row_created(&mut self, number: usize, new: &NewTask) {
        let id = new.id;
        let others: Vec<u32> = self
            .creates
            .rows
            .iter()
            .filter(|(operation, _)| *operation == number)
            .map(|(_, id)| *id)
            .collect();
        self.creates.rows.push((number, id));
        if !others.is_empty() {
            let invariant = if new.key.is_some() {
                Invariant::OneResourcePerKey
            } else {
                Invariant::UnknownCreateAtMostOnce
            };
            self.database
                .violate(invariant, || format!("one create made task {id} beside {others:?}"));
        }
        let same_key = self.database.keys.iter().filter(|row| Some(row.key) == new.key).count();
        if same_key > 1 {
            self.database.violate(Invariant::OneResourcePerKey, || {
                format!("{same_key} tasks were created under the key {:?}", new.key)
            });
        }
        if !self.creates.sent.contains(&(number, id)) {
            self.database
                .violate(Invariant::NoPhantoms, || format!("nobody asked for task {id}"));
        }
        if let Some(task) = self.database.find(id) {
            self.written(task);
        }
    }

    /// After every write to a task: the bounds that begin with it, and the message that is due with it.
    pub(super) fn written(&mut self, task: usize) -> Option<u32> {
        let row = &self.database.tasks[task];
        let (id, version, expires_at) = (row.id, row.life.version, row.expires_at());
        if row.life.status().is_terminal() {
            return None;
        }
        let dispatch = self.database.dispatches[task];
        if self.calm {
            let watch = Watch::Expired { task, expires_at };
            self.at(
                (expires_at + EXPIRY_GRACE).max(self.now) + 2 * PULSE + SECOND,
                Step::Watch(watch),
            );
            if let Some(row) = dispatch {
                let watch = Watch::Claimed { task, version };
                self.at(row.due_at.max(self.now) + TOP_UP + 2 * SECOND, Step::Watch(watch));
            }
        }
        dispatch.filter(|row| row.due_at <= self.now).map(|_| id)
    }

    pub(super) fn final_check(&mut self) {
        for number in 0..self.creates.acknowledged.len() {
            let id = self.creates.acknowledged[number];
            if self.database.find(id).is_none() {
                self.database.violate(Invariant::AcknowledgedCreateExists, || {
                    format!("the create of task {id} was acknowledged, and its row is gone")
                });
            }
        }
        for task in 0..self.database.tasks.len() {
            let id = self.database.tasks[task].id;
            if !self.creates.rows.iter().any(|(_, row)| *row == id) {
                self.database
                    .violate(Invariant::NoPhantoms, || format!("no create explains task {id}"));
            }
        }
        self.note(|| "over".to_owned());
    }
}
