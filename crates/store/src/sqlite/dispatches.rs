//! What the loops look for.

use std::cmp::Reverse;
use std::time::Duration;

use async_trait::async_trait;
use orchestratum_core::{Target, TaskId, TaskName, Timestamp};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::SqliteStore;
use super::error::sql;
use super::rows::{get, maybe_timestamp, number, parsed, running_attempt, signed, task_id, word};
use super::tasks::release;
use crate::dispatches::{LookedAt, built_in_names};
use crate::{DispatchStore, EXTERNAL_SILENCE, Error, Orphan, PUBLISH_LEASE, Pulse, Ready, Unoffered, UnofferedSearch};

#[async_trait]
impl DispatchStore for SqliteStore {
    async fn pulse(&self, now: Timestamp, running_grace: Duration) -> Result<Pulse, Error> {
        let row = sqlx::query(
            "WITH served (target) AS MATERIALIZED (
                 SELECT DISTINCT t.value FROM workers w, json_each(w.targets) t WHERE w.state = 0
             )
             SELECT
                 (
                     SELECT min(at)
                     FROM (
                         SELECT min(due_at) AS at FROM dispatches WHERE state = 1
                         UNION ALL
                         SELECT min(due_at) FROM dispatches WHERE state = 3
                         UNION ALL
                         SELECT min(opens_at) FROM rate_keys WHERE waiting > 0
                         UNION ALL
                         SELECT ?1 WHERE EXISTS (SELECT 1 FROM concurrency_keys WHERE waiting > 0 AND held < key_limit)
                     )
                 ) AS next_due_at,
                 (SELECT min(expires_at) FROM dispatches) AS next_deadline,
                 (SELECT min(wake_at) FROM schedules WHERE wake_at IS NOT NULL) AS next_schedule_at,
                 EXISTS (SELECT 1 FROM tasks WHERE status = 1 AND expires_at < ?2) AS overdue_running,
                 EXISTS (SELECT 1 FROM workers WHERE state = 0 AND lease_expires_at <= ?1) AS silent_workers,
                 EXISTS (
                     SELECT 1
                     FROM tasks t
                     WHERE t.status = 1
                       AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = t.worker_id AND w.state = 0)
                 ) AS orphans,
                 (SELECT count(*) FROM target_rates) AS rates,
                 EXISTS (SELECT 1 FROM external_claims WHERE lease_expires_at <= ?1) AS ended_leases,
                 (SELECT json_group_array(target) FROM served) AS served_targets,
                 (
                     SELECT json_group_array(target)
                     FROM served s
                     WHERE EXISTS (SELECT 1 FROM dispatches d WHERE d.target = s.target AND d.state = 0)
                 ) AS ready_targets,
                 EXISTS (SELECT 1 FROM group_ends)
                     OR EXISTS (SELECT 1 FROM task_groups WHERE status IN (1, 2)) AS \"groups\",
                 (SELECT min(due_at) FROM saga_timers) AS next_saga_timer_at,
                 EXISTS (SELECT 1 FROM saga_events INDEXED BY saga_events_waiting WHERE seq IS NULL) AS unlooked_sagas",
        )
        .bind(now.as_micros())
        .bind((now - running_grace).as_micros())
        .fetch_one(&self.read)
        .await
        .map_err(sql)?;
        Ok(Pulse {
            next_due_at: maybe_timestamp(&row, "next_due_at")?,
            next_deadline: maybe_timestamp(&row, "next_deadline")?,
            next_schedule_at: maybe_timestamp(&row, "next_schedule_at")?,
            overdue_running: get(&row, "overdue_running")?,
            silent_workers: get(&row, "silent_workers")?,
            orphans: get(&row, "orphans")?,
            rates: number(&row, "target_rates", "rates", "(all)")?,
            ended_leases: get(&row, "ended_leases")?,
            served_targets: parsed(get(&row, "served_targets")?, "workers", "targets", "(live)")?,
            ready_targets: parsed(get(&row, "ready_targets")?, "workers", "targets", "(live)")?,
            groups: get(&row, "groups")?,
            next_saga_timer_at: maybe_timestamp(&row, "next_saga_timer_at")?,
            unlooked_sagas: get(&row, "unlooked_sagas")?,
        })
    }

    async fn release_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Ready>, Error> {
        let rows = sqlx::query(
            "UPDATE dispatches
             SET state = 0,
                 publish_at = ?1
             WHERE task_id IN (
                 SELECT task_id
                 FROM dispatches
                 WHERE state = 1
                   AND due_at <= ?1
                 ORDER BY due_at, task_id
                 LIMIT ?2
             )
             RETURNING task_id, target, name, 0 AS priority, due_at",
        )
        .bind(now.as_micros())
        .bind(signed(limit))
        .fetch_all(&self.write)
        .await
        .map_err(sql)?;
        let mut released = in_order(&rows)?;
        released.extend(release(self, now, limit).await?);
        Ok(released)
    }

    async fn feed(
        &self,
        target: &Target,
        window: usize,
        missing: usize,
        force: bool,
        now: Timestamp,
    ) -> Result<Vec<Ready>, Error> {
        let rows = sqlx::query(
            "WITH offered AS MATERIALIZED (
                 SELECT DISTINCT n.value AS name
                 FROM workers w, json_each(w.names) n
                 WHERE w.state = 0
                   -- External workers get no messages.
                   AND w.key_id IS NULL
                   AND ?1 IN (SELECT value FROM json_each(w.targets))
             ),
             window AS MATERIALIZED (
                 SELECT task_id, publish_at, row_number() OVER () AS place
                 FROM (
                     SELECT d.task_id, d.publish_at
                     FROM offered o
                     CROSS JOIN dispatches d ON d.task_id IN (
                         SELECT r.task_id
                         FROM dispatches r INDEXED BY dispatches_ready
                         WHERE r.target = ?1
                           AND r.name = o.name
                           AND r.state = 0
                         ORDER BY r.priority DESC, r.due_at, r.task_id
                         -- Of many names the first of each: claims find the others by themselves.
                         LIMIT max(?2 / (SELECT count(*) FROM offered), 64)
                     )
                     ORDER BY d.priority DESC, d.due_at, d.task_id
                     LIMIT ?2
                 )
             ),
             chosen AS MATERIALIZED (
                 SELECT task_id
                 FROM window
                 WHERE (?4 OR publish_at <= ?5)
                 ORDER BY place
                 LIMIT ?3
             )
             UPDATE dispatches
             SET publish_at = ?6
             WHERE task_id IN (SELECT task_id FROM chosen)
             RETURNING task_id, target, name, priority, due_at",
        )
        .bind(target.as_str())
        .bind(signed(window))
        .bind(signed(missing))
        .bind(force)
        .bind(now.as_micros())
        .bind((now + PUBLISH_LEASE).as_micros())
        .fetch_all(&self.write)
        .await
        .map_err(sql)?;
        in_order(&rows)
    }

    async fn expired_pending(&self, now: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT task_id
             FROM dispatches
             WHERE expires_at <= ?1
             ORDER BY expires_at, task_id
             LIMIT ?2",
        )
        .bind(now.as_micros())
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        Ok(ids.into_iter().map(TaskId).collect())
    }

    async fn overdue_running(&self, deadline: Timestamp, limit: usize) -> Result<Vec<TaskId>, Error> {
        let ids: Vec<Uuid> = sqlx::query_scalar(
            "SELECT id
             FROM tasks
             WHERE status = 1
               AND expires_at < ?1
             ORDER BY expires_at, id
             LIMIT ?2",
        )
        .bind(deadline.as_micros())
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        Ok(ids.into_iter().map(TaskId).collect())
    }

    async fn orphans(&self, limit: usize) -> Result<Vec<Orphan>, Error> {
        let rows = sqlx::query(
            "SELECT t.id, t.worker_id, t.attempt
             FROM tasks t
             WHERE t.status = 1
               AND NOT EXISTS (SELECT 1 FROM workers w WHERE w.id = t.worker_id AND w.state = 0)
             ORDER BY t.id
             LIMIT ?1",
        )
        .bind(signed(limit))
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        rows.iter()
            .map(|row| {
                let (task, worker, attempt) = running_attempt(row)?;
                Ok(Orphan { task, worker, attempt })
            })
            .collect()
    }

    async fn unoffered(&self, search: &UnofferedSearch) -> Result<Unoffered, Error> {
        // A worker that was there until `since` or later could have offered the name since.
        let rows = sqlx::query(
            "WITH RECURSIVE
             serving AS MATERIALIZED (
                 SELECT EXISTS (
                     SELECT 1 FROM json_each(w.names) offered WHERE offered.value IN (SELECT value FROM json_each(?7))
                 ) AS has_built_ins
                 FROM workers w, json_each(w.targets) served
                 WHERE w.state = 0
                   -- Nobody is told when a program over HTTP ends.
                   AND w.lease_expires_at > iif(w.key_id IS NULL, ?4, ?8)
                   AND w.registered_at <= ?3
                   AND served.value = ?1
             ),
             -- From one name to the next by the index: the backlog between them is not looked at.
             waiting (name, place) AS (
                 SELECT (SELECT min(name) FROM dispatches WHERE target = ?1 AND state = 0 AND name > ?2), 1
                 WHERE EXISTS (SELECT 1 FROM serving)
                 UNION ALL
                 SELECT
                     (SELECT min(d.name) FROM dispatches d WHERE d.target = ?1 AND d.state = 0 AND d.name > w.name),
                     w.place + 1
                 FROM waiting w
                 WHERE w.name IS NOT NULL
                   AND w.place < ?5
             ),
             found AS (
                 SELECT d.task_id, w.name, w.place
                 FROM waiting w
                 CROSS JOIN dispatches d INDEXED BY dispatches_ready
                 WHERE d.target = ?1
                   AND d.name = w.name
                   AND d.state = 0
                   AND d.due_at <= ?3
                   AND d.expires_at > ?4
                   AND w.name NOT IN (
                       SELECT offered.value
                       FROM workers w, json_each(w.targets) served, json_each(w.names) offered
                       WHERE w.lease_expires_at > ?3
                         AND served.value = ?1
                   )
                   AND (
                       w.name NOT IN (SELECT value FROM json_each(?7))
                       OR EXISTS (SELECT 1 FROM serving WHERE has_built_ins)
                   )
                 LIMIT ?6
             )
             SELECT task_id, name, place FROM found
             UNION ALL
             SELECT NULL, name, place
             FROM (SELECT name, place FROM waiting WHERE name IS NOT NULL ORDER BY place DESC LIMIT 1)",
        )
        .bind(search.target.as_str())
        // Every name is greater than none.
        .bind(search.after.as_ref().map_or("", TaskName::as_str))
        .bind(search.since.as_micros())
        .bind(search.now.as_micros())
        .bind(signed(search.names))
        .bind(signed(search.tasks))
        .bind(serde_json::to_string(&built_in_names()).expect("texts are always JSON"))
        .bind((search.now + EXTERNAL_SILENCE).as_micros())
        .fetch_all(&self.read)
        .await
        .map_err(sql)?;
        let looked_at: Result<Vec<LookedAt>, Error> = rows.iter().map(looked_at).collect();
        Ok(Unoffered::of(looked_at?, search))
    }
}

fn looked_at(row: &SqliteRow) -> Result<LookedAt, Error> {
    let task: Option<Uuid> = get(row, "task_id")?;
    Ok(LookedAt {
        task: task.map(TaskId),
        name: word(row, "dispatches", "name", "(waiting)")?,
        place: number(row, "dispatches", "place", "(waiting)")?,
    })
}

/// `RETURNING` has no order of its own.
fn in_order(rows: &[SqliteRow]) -> Result<Vec<Ready>, Error> {
    let mut ready = rows
        .iter()
        .map(|row| {
            let task = task_id(row, "task_id")?;
            let priority: i64 = get(row, "priority")?;
            let place = (Reverse(priority), get::<i64>(row, "due_at")?);
            let ready = Ready {
                task,
                target: word(row, "dispatches", "target", task)?,
                name: word(row, "dispatches", "name", task)?,
            };
            Ok((place, ready))
        })
        .collect::<Result<Vec<_>, Error>>()?;
    ready.sort_by_key(|(place, ready)| (*place, ready.task));
    Ok(ready.into_iter().map(|(_, ready)| ready).collect())
}
