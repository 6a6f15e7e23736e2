//! What must hold of the data, as read-only questions an operator can ask at any time.
//!
//! All are asked of one snapshot: what is committed together is seen together.

use std::time::Duration;

use orchestratum_core::Timestamp;
use sqlx::{ConnectOptions, Connection};

use super::database::Database;
use super::failure;
use super::rows::{int8, time};
use crate::{BrokenInvariant, Error};

/// A rule, and the SELECT of the rows (as text) that break it; `$1` is now, `$2` the
/// limit.
struct Rule {
    rule: &'static str,
    broken_by: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        rule: "each pending task has a dispatch row",
        broken_by: "SELECT id::text FROM tasks
            WHERE status = 0 AND NOT EXISTS (SELECT FROM dispatches WHERE task_id = tasks.id)
            LIMIT $2",
    },
    Rule {
        rule: "each dispatch row belongs to a pending task",
        broken_by: "SELECT task_id::text FROM dispatches
            WHERE NOT EXISTS (SELECT FROM tasks WHERE id = dispatches.task_id AND status = 0)
            LIMIT $2",
    },
    Rule {
        rule: "a dispatch row says the same as its task",
        broken_by: "SELECT task_id::text FROM dispatches JOIN tasks ON tasks.id = dispatches.task_id
            WHERE (dispatches.target, dispatches.name, dispatches.priority, dispatches.expires_at)
                IS DISTINCT FROM (tasks.target, tasks.name, tasks.priority, tasks.expires_at)
            LIMIT $2",
    },
    Rule {
        rule: "a group counts the members that are not over, but for those whose ends wait to be counted",
        broken_by: "SELECT task_groups.id::text FROM task_groups
            CROSS JOIN LATERAL (
                SELECT COALESCE(sum(ended), 0) AS ended FROM group_ends WHERE group_id = task_groups.id
            ) AS waiting
            CROSS JOIN LATERAL (
                SELECT count(*) AS open FROM tasks WHERE group_id = task_groups.id AND status < 2
            ) AS members
            WHERE task_groups.remaining - waiting.ended <> members.open
            LIMIT $2",
    },
    Rule {
        rule: "a group ends within a minute after its last member",
        broken_by: "SELECT id::text FROM task_groups
            WHERE status < 3
              AND NOT EXISTS (
                  SELECT FROM tasks
                  WHERE group_id = task_groups.id AND (status < 2 OR finished_at > $1 - INTERVAL '1 minute')
              )
              AND EXISTS (SELECT FROM tasks WHERE group_id = task_groups.id)
            LIMIT $2",
    },
    Rule {
        rule: "what comes after a group is a task only where the group is over",
        broken_by: "SELECT id::text FROM task_groups
            WHERE status < 3 AND num_nonnulls(follow_up_id, missing_name, missing_reason) > 0
            LIMIT $2",
    },
    Rule {
        rule: "a task has a finish if and only if it is over",
        broken_by: "SELECT id::text FROM tasks WHERE (status >= 2) <> (finished_at IS NOT NULL) LIMIT $2",
    },
    Rule {
        rule: "a task has an error if and only if it ended without success or is to be cancelled",
        broken_by: "SELECT id::text FROM tasks WHERE (status >= 3 OR cancel_requested) <> (error IS NOT NULL) LIMIT $2",
    },
    Rule {
        rule: "only a completed task has an output",
        broken_by: "SELECT id::text FROM tasks WHERE output IS NOT NULL AND status <> 2 LIMIT $2",
    },
    Rule {
        rule: "no budget is larger than its policy",
        broken_by: "SELECT id::text FROM tasks
            WHERE retries_left NOT BETWEEN 0 AND max_retries OR losses_left NOT BETWEEN 0 AND max_losses
            LIMIT $2",
    },
    Rule {
        rule: "the ended attempts of a task are numbered without a gap, and an open one is the newest",
        broken_by: "SELECT tasks.id::text FROM tasks
            CROSS JOIN LATERAL (
                SELECT count(*) AS ended, COALESCE(max(attempt), 0) AS newest
                FROM attempts WHERE task_id = tasks.id
            ) AS recorded
            WHERE recorded.ended <> recorded.newest
               OR recorded.newest <> tasks.attempt - (tasks.status = 1)::integer
            LIMIT $2",
    },
    // The times are those of several processes, whose clocks may differ: by less than a second, or they are not believed.
    Rule {
        rule: "the attempts of a task do not overlap",
        broken_by: "SELECT task_id || '/' || attempt FROM (
                SELECT task_id, attempt, started_at, ended_at,
                    lag(ended_at) OVER (PARTITION BY task_id ORDER BY attempt) AS before
                FROM attempts
            ) AS sequence
            WHERE started_at < before - INTERVAL '1 second' OR ended_at < started_at - INTERVAL '1 second'
            LIMIT $2",
    },
    Rule {
        rule: "attempts and logs belong to a task",
        broken_by: "SELECT task_id || '/' || attempt FROM attempts
            WHERE NOT EXISTS (SELECT FROM tasks WHERE id = task_id)
            UNION ALL
            SELECT task_id || '/' || attempt FROM task_logs
            WHERE NOT EXISTS (SELECT FROM tasks WHERE id = task_id)
            LIMIT $2",
    },
    Rule {
        rule: "a schedule is looked at when its next slot comes, or before",
        broken_by: "SELECT id::text FROM schedules
            WHERE next_slot IS NOT NULL AND (wake_at IS NULL OR wake_at > next_slot)
            LIMIT $2",
    },
    Rule {
        // Later on, follow-ups go with their age, as all tasks do.
        rule: "each follow-up of a run that ended within the hour is a task or is recorded as missing",
        broken_by: "SELECT ended.id || '/' || ended.run FROM (
                SELECT id, run, follow_ups,
                    CASE status WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 5 THEN 2 ELSE 3 END AS edge,
                    CASE status
                        WHEN 2 THEN 'on_success' WHEN 3 THEN 'on_failure' WHEN 5 THEN 'on_cancel' ELSE 'on_expire'
                    END AS list
                FROM tasks
                WHERE follow_ups IS NOT NULL AND status >= 2 AND finished_at > $1 - INTERVAL '1 hour'
            ) AS ended
            WHERE jsonb_array_length(COALESCE(ended.follow_ups::jsonb -> ended.list, '[]'))
                > (
                    SELECT count(*) FROM tasks AS child
                    WHERE child.parent_id = ended.id AND child.parent_run = ended.run AND child.edge = ended.edge
                ) + (
                    SELECT count(*) FROM missing_follow_ups AS missing
                    WHERE missing.parent_id = ended.id AND missing.parent_run = ended.run AND missing.edge = ended.edge
                )
            LIMIT $2",
    },
    Rule {
        rule: "a follow-up follows a run that ended in its way",
        broken_by: "SELECT child.id::text FROM tasks AS child JOIN tasks AS parent ON parent.id = child.parent_id
            WHERE child.parent_id IS NOT NULL
              AND (
                child.parent_run > parent.run
                OR child.parent_run = parent.run
                    AND child.edge IS DISTINCT FROM CASE parent.status WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 5 THEN 2 WHEN 4 THEN 3 END
              )
            LIMIT $2",
    },
    Rule {
        rule: "a follow-up is a task or is missing, and not both",
        broken_by: "SELECT child.id::text FROM missing_follow_ups AS missing
            JOIN tasks AS child
              ON (child.parent_id, child.parent_run, child.edge, child.ordinal)
                = (missing.parent_id, missing.parent_run, missing.edge, missing.ordinal)
            LIMIT $2",
    },
    Rule {
        rule: "a task waits for a place if and only if it is blocked",
        broken_by: "SELECT task_id::text FROM dispatches
            WHERE state = 2
              AND NOT EXISTS (SELECT FROM places WHERE places.task_id = dispatches.task_id AND NOT places.held)
            UNION ALL
            SELECT task_id::text FROM places
            WHERE NOT held
              AND NOT EXISTS (SELECT FROM dispatches WHERE dispatches.task_id = places.task_id AND dispatches.state = 2)
            LIMIT $2",
    },
    Rule {
        rule: "a task has a place if and only if it has a concurrency key and is ready, about to start, or running",
        broken_by: "SELECT task_id::text FROM places
            WHERE held
              AND NOT EXISTS (SELECT FROM tasks WHERE tasks.id = places.task_id AND tasks.status = 1)
              AND NOT EXISTS (
                SELECT FROM dispatches WHERE dispatches.task_id = places.task_id AND dispatches.state IN (0, 4)
              )
            UNION ALL
            SELECT id::text FROM tasks
            WHERE conditions IS NOT NULL AND status < 2 AND conditions::jsonb ? 'concurrency'
              AND NOT EXISTS (SELECT FROM places WHERE places.task_id = tasks.id AND places.held)
              AND NOT EXISTS (SELECT FROM dispatches WHERE dispatches.task_id = tasks.id AND dispatches.state IN (2, 3))
            LIMIT $2",
    },
    Rule {
        rule: "the counts of a concurrency key are those of its tasks",
        broken_by: "SELECT COALESCE(known.key, counted.key)
            FROM concurrency_keys AS known
            FULL JOIN (
                SELECT key, count(*) FILTER (WHERE held) AS held, count(*) FILTER (WHERE NOT held) AS waiting
                FROM places
                GROUP BY key
            ) AS counted ON counted.key = known.key
            WHERE (known.held, known.waiting) IS DISTINCT FROM (counted.held, counted.waiting)
            LIMIT $2",
    },
    Rule {
        rule: "no place is free while a task waits for it",
        broken_by: "SELECT key FROM concurrency_keys WHERE waiting > 0 AND held < key_limit LIMIT $2",
    },
    Rule {
        rule: "a task waits for a start if and only if it is about to start, and is counted by its rate key",
        broken_by: "SELECT task_id::text FROM dispatches
            WHERE state = 4 AND NOT EXISTS (SELECT FROM rate_waits WHERE rate_waits.task_id = dispatches.task_id)
            UNION ALL
            SELECT task_id::text FROM rate_waits
            WHERE NOT EXISTS (
                SELECT FROM dispatches WHERE dispatches.task_id = rate_waits.task_id AND dispatches.state = 4
            )
            UNION ALL
            SELECT COALESCE(known.key, counted.key)
            FROM (SELECT key, waiting FROM rate_keys WHERE waiting > 0) AS known
            FULL JOIN (SELECT key, count(*) AS waiting FROM rate_waits GROUP BY key) AS counted ON counted.key = known.key
            WHERE known.waiting IS DISTINCT FROM counted.waiting
            LIMIT $2",
    },
    Rule {
        rule: "a running task is held by a live worker, or is rescued within a minute",
        broken_by: "SELECT tasks.id::text FROM tasks
            LEFT JOIN workers ON workers.id = tasks.worker_id
            WHERE tasks.status = 1
              AND (workers.id IS NULL OR workers.lease_expires_at < $1 - INTERVAL '1 minute')
            LIMIT $2",
    },
    Rule {
        rule: "a task that an external worker runs has a lease, and goes back within a minute after its end",
        broken_by: "SELECT tasks.id::text FROM tasks
            JOIN workers ON workers.id = tasks.worker_id AND workers.key_id IS NOT NULL
            LEFT JOIN external_claims AS held ON held.task_id = tasks.id AND held.attempt = tasks.attempt
            WHERE tasks.status = 1
              AND (held.task_id IS NULL OR held.lease_expires_at < $1 - INTERVAL '1 minute')
            LIMIT $2",
    },
    Rule {
        rule: "a task that is not over is ended within a minute after its deadline",
        broken_by: "SELECT id::text FROM tasks
            WHERE status = 1 AND expires_at < $1 - INTERVAL '1 minute'
            UNION ALL
            SELECT task_id::text FROM dispatches
            WHERE expires_at < $1 - INTERVAL '1 minute'
            LIMIT $2",
    },
    Rule {
        rule: "a saga looks within a minute at what has reached it",
        broken_by: "SELECT saga_id || '/' || id FROM saga_events
            WHERE seq IS NULL AND received_at < $1 - INTERVAL '1 minute'
            LIMIT $2",
    },
    Rule {
        rule: "the history of a saga has no gap, and its version is the number of entries that were taken",
        broken_by: "SELECT sagas.id::text FROM sagas
            LEFT JOIN (
                SELECT saga_id, count(*) AS entries, max(seq) AS newest,
                    count(*) FILTER (WHERE result = 0) AS taken, count(*) FILTER (WHERE result = 1) AS refused
                FROM saga_events
                WHERE seq IS NOT NULL
                GROUP BY saga_id
            ) AS history ON history.saga_id = sagas.id
            WHERE (sagas.last_seq, sagas.last_seq, sagas.version) IS DISTINCT FROM (
                    COALESCE(history.entries, 0), COALESCE(history.newest, 0), COALESCE(history.taken, 0)
                )
               OR sagas.refusals > COALESCE(history.refused, 0)
            LIMIT $2",
    },
    Rule {
        rule: "whatever belongs to a saga belongs to one that is there",
        broken_by: "SELECT saga_id::text FROM saga_events WHERE NOT EXISTS (SELECT FROM sagas WHERE sagas.id = saga_id)
            UNION ALL
            SELECT saga_id::text FROM saga_timers WHERE NOT EXISTS (SELECT FROM sagas WHERE sagas.id = saga_id)
            LIMIT $2",
    },
    Rule {
        rule: "a saga that is over has no live task, no live child and no timer",
        broken_by: "SELECT sagas.id::text FROM sagas JOIN tasks ON tasks.saga_id = sagas.id
            WHERE tasks.status < 2 AND sagas.status >= 5
            UNION ALL
            SELECT sagas.id::text FROM sagas JOIN sagas AS child ON child.parent_id = sagas.id
            WHERE child.status < 5 AND sagas.status >= 5
            UNION ALL
            SELECT sagas.id::text FROM sagas JOIN saga_timers ON saga_timers.saga_id = sagas.id
            WHERE sagas.status >= 5
            LIMIT $2",
    },
    Rule {
        // What waits for events or for people may wait for ever.
        rule: "each task or child that a saga waits for is live, or its end has reached the saga",
        broken_by: "SELECT sagas.id || '/' || live.number FROM sagas
            CROSS JOIN LATERAL json_object_keys(instance::json -> 'live') AS live(number)
            WHERE sagas.status < 5
              AND NOT EXISTS (
                SELECT FROM tasks
                WHERE tasks.saga_id = sagas.id AND tasks.saga_number = live.number::integer AND tasks.status < 2
              )
              AND NOT EXISTS (
                SELECT FROM sagas AS child
                WHERE child.parent_id = sagas.id AND child.parent_number = live.number::integer AND child.status < 5
              )
              AND NOT EXISTS (
                SELECT FROM saga_events
                WHERE saga_id = sagas.id AND seq IS NULL AND kind = 2 AND saga_events.number = live.number::integer
              )
            LIMIT $2",
    },
    Rule {
        rule: "the compensation that a saga runs is live, or its end has reached the saga",
        broken_by: "SELECT id::text FROM sagas
            WHERE status = 3
              AND instance::json #> '{phase,Undoing}' IS NOT NULL
              AND NOT EXISTS (SELECT FROM tasks WHERE saga_id = sagas.id AND saga_undoes AND tasks.status < 2)
              AND NOT EXISTS (SELECT FROM saga_events WHERE saga_id = sagas.id AND seq IS NULL AND kind = 3)
            LIMIT $2",
    },
];

/// A large database takes its time to look through; an operator is waiting, and can stop it.
const TIMEOUT: Duration = Duration::from_secs(600);

pub(super) async fn broken(database: &Database, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error> {
    let server = database.server.with_patience(TIMEOUT);
    let broken = server.in_time(ask(database, now, limit)).await;
    broken.map_err(|error| failure::error(server.unreached(error)))
}

async fn ask(database: &Database, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, sqlx::Error> {
    // Of its own, for its own limits; what it leaves open ends with it.
    let mut connection = database
        .connect
        .clone()
        .options([("statement_timeout", TIMEOUT.as_millis())])
        .connect()
        .await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        .execute(&mut connection)
        .await?;
    let mut broken = Vec::new();
    for Rule { rule, broken_by } in RULES {
        let rows: Vec<(String,)> = sqlx::query_as(*broken_by)
            .bind(time(now))
            .bind(int8(limit - broken.len()))
            .fetch_all(&mut connection)
            .await?;
        broken.extend(rows.into_iter().map(|(row,)| BrokenInvariant { rule, row }));
        if broken.len() == limit {
            break;
        }
    }
    connection.close().await?;
    Ok(broken)
}
