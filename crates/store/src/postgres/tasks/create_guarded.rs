//! Creating tasks where something may exist already: an idempotency key, an id the caller chose, our own first try.
//!
//! Requests stand or fall alone, so the rows of those that fall are taken out again before the commit.

use std::collections::{HashMap, HashSet};

use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{Time, time, timestamp};
use super::super::transaction::{Abort, Transaction};
use super::create::{Columns, insert_tasks};
use crate::{CreateOutcome, CreateRequest, IdempotencyKey, NewTask};

pub(super) struct CreateGuarded {
    requests: Vec<CreateRequest>,
    now: Timestamp,
}

impl CreateGuarded {
    pub(super) fn new(requests: &[CreateRequest], now: Timestamp) -> Self {
        Self {
            requests: requests.to_vec(),
            now,
        }
    }

    /// The next requests that cannot meet one another: no key and no id twice. The rest see what these left.
    fn next_wave(&self, open: &mut Vec<usize>) -> Vec<usize> {
        let mut keys = HashSet::new();
        let mut ids = HashSet::new();
        let (wave, rest) = open.drain(..).partition(|&index| {
            let request = &self.requests[index];
            // Both are noted even for a request that has to wait, so that those behind it wait too.
            let key_is_new = request.idempotency.as_ref().is_none_or(|key| keys.insert((&key.scope, &key.key)));
            let ids_are_new = request.tasks.iter().fold(true, |new, task| ids.insert(task.spec.id) && new);
            key_is_new && ids_are_new
        });
        *open = rest;
        wave
    }
}

impl Transaction for CreateGuarded {
    type Output = Vec<CreateOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let mut outcomes = vec![CreateOutcome::Created; self.requests.len()];
        let mut open: Vec<usize> = (0..self.requests.len()).collect();
        while !open.is_empty() {
            let wave = self.next_wave(&mut open);
            let losers = self.take_keys(connection, &wave).await?;
            let winners: Vec<usize> = wave.into_iter().filter(|index| !losers.contains_key(index)).collect();
            outcomes_into(&mut outcomes, losers);
            outcomes_into(&mut outcomes, self.insert(connection, &winners).await?);
        }
        Ok(outcomes)
    }
}

fn outcomes_into(outcomes: &mut [CreateOutcome], known: HashMap<usize, CreateOutcome>) {
    for (index, outcome) in known {
        outcomes[index] = outcome;
    }
}

fn ids_of(request: &CreateRequest) -> Vec<Uuid> {
    request.tasks.iter().map(|task| task.spec.id.0).collect()
}

impl CreateGuarded {
    /// Inserts the keys of these requests and answers what became of those that lost theirs.
    async fn take_keys(
        &self,
        connection: &mut PgConnection,
        wave: &[usize],
    ) -> Result<HashMap<usize, CreateOutcome>, Abort> {
        let mut keyed: Vec<(&IdempotencyKey, usize)> = wave
            .iter()
            .filter_map(|&index| self.requests[index].idempotency.as_ref().map(|key| (key, index)))
            .collect();
        // One order for all, so that two batches with the same keys wait for each other and never deadlock.
        keyed.sort_by(|(a, _), (b, _)| (&a.scope, &a.key).cmp(&(&b.scope, &b.key)));
        let mut lost = HashMap::new();
        for (key, index) in keyed {
            let ids = ids_of(&self.requests[index]);
            let inserted = sqlx::query(
                "INSERT INTO idempotency_keys (scope, key, body_hash, resource_ids, created_at)
                VALUES ($1, $2, $3, $4, $5)
                -- Waits for a transaction that holds the same key.
                ON CONFLICT (scope, key) DO NOTHING",
            )
            .bind(&key.scope)
            .bind(&key.key)
            .bind(key.body_hash)
            .bind(&ids)
            .bind(time(self.now))
            .execute(&mut *connection)
            .await?;
            if inserted.rows_affected() == 0 {
                lost.insert(index, winner(connection, key, &ids).await?);
            }
        }
        Ok(lost)
    }

    /// Inserts the tasks of these requests; takes those out again whose request met an id that exists.
    async fn insert(
        &self,
        connection: &mut PgConnection,
        winners: &[usize],
    ) -> Result<HashMap<usize, CreateOutcome>, Abort> {
        let mut tasks: Vec<&NewTask> = winners.iter().flat_map(|&index| &self.requests[index].tasks).collect();
        tasks.sort_by_key(|task| task.spec.id);
        let columns = Columns::of(&tasks, self.now);
        let statement = sqlx::query(concat!(insert_tasks!(), " ON CONFLICT (id) DO NOTHING"));
        let inserted = columns.bind(statement).execute(&mut *connection).await?;
        let met = if inserted.rows_affected() == columns.ids.len() as u64 {
            HashMap::new()
        } else {
            self.conflicts(connection, winners, &columns.ids).await?
        };
        if !met.is_empty() {
            self.take_out(connection, met.keys().copied()).await?;
        }
        sqlx::query(
            "INSERT INTO dispatches (task_id, target, name, priority, due_at, expires_at, state, publish_at)
            SELECT id, target, name, priority, scheduled_at, expires_at, new.state, new.publish_at
            FROM UNNEST($1::uuid[], $2::smallint[], $3::timestamptz[]) AS new (task_id, state, publish_at)
            JOIN tasks ON tasks.id = new.task_id
            -- Only rows of this transaction: what existed before has a dispatch row if it needs one.
            WHERE tasks.xmin = pg_current_xact_id()::xid AND tasks.status = 0
            ON CONFLICT (task_id) DO NOTHING",
        )
        .bind(&columns.ids)
        .bind(&columns.states)
        .bind(&columns.publish_ats)
        .execute(&mut *connection)
        .await?;
        Ok(met)
    }

    /// What the requests are told whose ids exist.
    async fn conflicts(
        &self,
        connection: &mut PgConnection,
        winners: &[usize],
        ids: &[Uuid],
    ) -> Result<HashMap<usize, CreateOutcome>, Abort> {
        let found: Vec<Existing> = sqlx::query_as(
            "SELECT id, name, target, request_hash, created_at
            FROM tasks
            WHERE id = ANY($1) AND xmin <> pg_current_xact_id()::xid",
        )
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?;
        let found: HashMap<Uuid, Existing> = found.into_iter().map(|existing| (existing.0, existing)).collect();
        Ok(winners
            .iter()
            .filter_map(|&index| {
                let outcome = conflict(&self.requests[index], &found)?;
                Some((index, outcome))
            })
            .collect())
    }

    /// Deletes what this transaction inserted for these requests.
    async fn take_out(
        &self,
        connection: &mut PgConnection,
        fallen: impl Iterator<Item = usize>,
    ) -> Result<(), Abort> {
        for request in fallen.map(|index| &self.requests[index]) {
            sqlx::query("DELETE FROM tasks WHERE id = ANY($1) AND xmin = pg_current_xact_id()::xid")
                .bind(ids_of(request))
                .execute(&mut *connection)
                .await?;
            if let Some(key) = &request.idempotency {
                sqlx::query("DELETE FROM idempotency_keys WHERE scope = $1 AND key = $2")
                    .bind(&key.scope)
                    .bind(&key.key)
                    .execute(&mut *connection)
                    .await?;
            }
        }
        Ok(())
    }
}

/// What the holder of a key made.
async fn winner(connection: &mut PgConnection, key: &IdempotencyKey, ids: &[Uuid]) -> Result<CreateOutcome, Abort> {
    let row: Option<(Vec<u8>, Vec<Uuid>)> =
        sqlx::query_as("SELECT body_hash, resource_ids FROM idempotency_keys WHERE scope = $1 AND key = $2")
            .bind(&key.scope)
            .bind(&key.key)
            .fetch_optional(connection)
            .await?;
    // Retention may have deleted it in this very moment.
    let (body_hash, resource_ids) = row.ok_or(Abort::Overtaken)?;
    Ok(if body_hash != key.body_hash {
        CreateOutcome::KeyReused
    } else if resource_ids == ids {
        CreateOutcome::Created
    } else {
        CreateOutcome::Replayed {
            ids: resource_ids.into_iter().map(TaskId).collect(),
        }
    })
}

/// `id`, `name`, `target`, `request_hash`, `created_at` of a task that was there before.
type Existing = (Uuid, String, String, Option<Vec<u8>>, Time);

/// `None` if no task of the request was there before.
fn conflict(request: &CreateRequest, found: &HashMap<Uuid, Existing>) -> Option<CreateOutcome> {
    let met: Vec<(&NewTask, &Existing)> = request
        .tasks
        .iter()
        .filter_map(|task| Some((task, found.get(&task.spec.id.0)?)))
        .collect();
    let (first, _) = met.first()?;
    let another = met.iter().find(|(task, existing)| !same_body(task, existing) && !is_ours(task, existing));
    Some(if let Some((task, _)) = another {
        CreateOutcome::IdTaken { id: task.spec.id }
    } else if met.len() == request.tasks.len() && met.iter().all(|(task, existing)| is_ours(task, existing)) {
        CreateOutcome::Created
    } else {
        CreateOutcome::Exists { id: first.spec.id }
    })
}

fn same_body(task: &NewTask, (_, _, _, request_hash, _): &Existing) -> bool {
    task.request_hash.is_some() && task.request_hash.as_ref().map(<[u8; 32]>::as_slice) == request_hash.as_deref()
}

/// Where the id is ours, the same task again is a first try of ours whose answer was lost.
fn is_ours(task: &NewTask, (_, name, target, request_hash, created_at): &Existing) -> bool {
    task.request_hash.is_none()
        && request_hash.is_none()
        && task.spec.name.as_str() == name
        && task.spec.target.as_str() == target
        && task.spec.created_at == timestamp(*created_at)
}
