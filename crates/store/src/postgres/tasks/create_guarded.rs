//! Creating tasks where something may exist already: an idempotency key, an id the caller chose, our own first try.
//!
//! What exists is read, `decide` answers, and the rest is inserted plainly. Whoever else inserted the same key or id
//! meanwhile makes the insert wait and then fail: the transaction begins again, and now reads what that one left.

use std::collections::HashMap;

use orchestratum_core::{TaskId, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::idempotency::{self, hash, overtaken_on};
use super::super::transaction::{Abort, Transaction};
use super::{create, gates, unique};
use crate::decide::{self, Acceptance, DispatchRow, GateChanges};
use crate::{CreateOutcome, CreateRequest, NewTask};

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
}

impl Transaction for CreateGuarded {
    type Output = Vec<CreateOutcome>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let keys = idempotency::kept(connection, &decide::keys(&self.requests)).await?;
        let existing = existing_tasks(connection, &self.requests).await?;
        let Acceptance { mut outcomes, accepted } = decide::create(&self.requests, keys, existing);
        let mut tasks: Vec<&NewTask> = accepted.iter().flat_map(|request| &request.tasks).collect();
        let met = unique::meet(connection, &tasks, self.now).await?;
        idempotency::keep(connection, decide::keys_of(&accepted, &met), self.now).await?;
        tasks.retain(|task| !met.contains_key(&task.spec.id));
        let mut gates = GateChanges::default();
        gates.created(tasks.iter().copied(), self.now);
        insert_tasks(connection, &mut tasks, self.now).await?;
        let publish_at = DispatchRow::publish_at(self.now, true, self.now);
        let ready = gates::settle(connection, &gates, publish_at, self.now).await?;
        decide::admitted(&self.requests, &mut outcomes, &met, ready);
        Ok(outcomes)
    }
}

async fn existing_tasks(
    connection: &mut PgConnection,
    requests: &[CreateRequest],
) -> Result<HashMap<TaskId, Option<[u8; 32]>>, Abort> {
    let ids: Vec<Uuid> = requests
        .iter()
        .flat_map(|request| &request.tasks)
        .map(|task| task.spec.id.0)
        .collect();
    let rows: Vec<(Uuid, Option<Vec<u8>>)> = sqlx::query_as("SELECT id, request_hash FROM tasks WHERE id = ANY($1)")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|(id, request_hash)| {
            let request_hash = request_hash
                .map(|bytes| hash("tasks", "request_hash", &id, bytes))
                .transpose()?;
            Ok((TaskId(id), request_hash))
        })
        .collect()
}

async fn insert_tasks(connection: &mut PgConnection, tasks: &mut [&NewTask], now: Timestamp) -> Result<(), Abort> {
    tasks.sort_unstable_by_key(|task| task.spec.id);
    create::insert_tasks(connection, tasks, now)
        .await
        .map_err(|error| overtaken_on(error, "tasks_pkey"))
}
