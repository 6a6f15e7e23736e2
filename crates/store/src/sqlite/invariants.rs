//! The rules of the data that an operator can check.

use orchestratum_core::Timestamp;
use sqlx::SqlitePool;

use super::error::sql;
use super::rows::signed;
use crate::{BrokenInvariant, Error};

/// A rule, and the SELECT of the rows (as text) that break it; `?1` is now, `?2` the limit.
struct Rule {
    rule: &'static str,
    broken_by: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        rule: "each pending task has a dispatch row",
        broken_by: "SELECT lower(hex(id)) FROM tasks
            WHERE status = 0 AND NOT EXISTS (SELECT 1 FROM dispatches WHERE task_id = tasks.id)
            LIMIT ?2",
    },
    Rule {
        rule: "each dispatch row belongs to a pending task",
        broken_by: "SELECT lower(hex(task_id)) FROM dispatches
            WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE id = dispatches.task_id AND status = 0)
            LIMIT ?2",
    },
    Rule {
        rule: "a dispatch row says the same as its task",
        broken_by: "SELECT lower(hex(d.task_id)) FROM dispatches d JOIN tasks t ON t.id = d.task_id
            WHERE (d.target, d.name, d.priority, d.expires_at) IS NOT (t.target, t.name, t.priority, t.expires_at)
            LIMIT ?2",
    },
    Rule {
        rule: "a group counts the members that are not over, but for those whose ends wait to be counted",
        broken_by: "SELECT lower(hex(g.id)) FROM task_groups g
            WHERE g.remaining - coalesce((SELECT sum(e.ended) FROM group_ends e WHERE e.group_id = g.id), 0)
                <> (
                    SELECT count(*) FROM tasks t INDEXED BY tasks_group
                    WHERE t.group_id IS NOT NULL AND t.group_id = g.id AND t.status < 2
                )
            LIMIT ?2",
    },
    Rule {
        rule: "a group ends within a minute after its last member",
        broken_by: "SELECT lower(hex(g.id)) FROM task_groups g
            WHERE g.status < 3
              AND NOT EXISTS (
                  SELECT 1 FROM tasks t INDEXED BY tasks_group
                  WHERE t.group_id IS NOT NULL AND t.group_id = g.id
                    AND (t.status < 2 OR t.finished_at > ?1 - 60000000)
              )
              AND EXISTS (
                  SELECT 1 FROM tasks t INDEXED BY tasks_group WHERE t.group_id IS NOT NULL AND t.group_id = g.id
              )
            LIMIT ?2",
    },
    Rule {
        rule: "what comes after a group is a task only where the group is over",
        broken_by: "SELECT lower(hex(id)) FROM task_groups
            WHERE status < 3 AND (follow_up_id IS NOT NULL OR missing_reason IS NOT NULL)
            LIMIT ?2",
    },
    Rule {
        rule: "a task has a finish if and only if it is over",
        broken_by: "SELECT lower(hex(id)) FROM tasks WHERE (status >= 2) <> (finished_at IS NOT NULL) LIMIT ?2",
    },
    Rule {
        rule: "a task has an error if and only if it ended without success or is to be cancelled",
        broken_by: "SELECT lower(hex(id)) FROM tasks WHERE (status >= 3 OR cancel_requested) <> (error IS NOT NULL) LIMIT ?2",
    },
    Rule {
        rule: "only a completed task has an output",
        broken_by: "SELECT lower(hex(id)) FROM tasks WHERE output IS NOT NULL AND status <> 2 LIMIT ?2",
    },
    Rule {
        rule: "no budget is larger than its policy",
        broken_by: "SELECT lower(hex(id)) FROM tasks
            WHERE retries_left NOT BETWEEN 0 AND max_retries OR losses_left NOT BETWEEN 0 AND max_losses
            LIMIT ?2",
    },
    Rule {
        rule: "the ended attempts of a task are numbered without a gap, and an open one is the newest",
        broken_by: "SELECT lower(hex(t.id)) FROM tasks t
            LEFT JOIN (
                SELECT task_id, count(*) AS ended, max(attempt) AS newest FROM attempts GROUP BY task_id
            ) AS recorded ON recorded.task_id = t.id
            WHERE coalesce(recorded.ended, 0) <> coalesce(recorded.newest, 0)
               OR coalesce(recorded.newest, 0) <> t.attempt - (t.status = 1)
            LIMIT ?2",
    },
    // The times are those of several processes, whose clocks may differ: by less than a second, or they are not believed.
    Rule {
        rule: "the attempts of a task do not overlap",
        broken_by: "SELECT lower(hex(task_id)) || '/' || attempt FROM (
                SELECT task_id, attempt, started_at, ended_at,
                    lag(ended_at) OVER (PARTITION BY task_id ORDER BY attempt) AS before
                FROM attempts
            )
            WHERE started_at < before - 1000000 OR ended_at < started_at - 1000000
            LIMIT ?2",
    },
    Rule {
        rule: "attempts and logs belong to a task",
        broken_by: "SELECT lower(hex(task_id)) || '/' || attempt FROM attempts
            WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE id = task_id)
            UNION ALL
            SELECT lower(hex(task_id)) || '/' || attempt FROM task_logs
            WHERE NOT EXISTS (SELECT 1 FROM tasks WHERE id = task_id)
            LIMIT ?2",
    },
    Rule {
        rule: "a schedule is looked at when its next slot comes, or before",
        broken_by: "SELECT lower(hex(id)) FROM schedules
            WHERE next_slot IS NOT NULL AND (wake_at IS NULL OR wake_at > next_slot)
            LIMIT ?2",
    },
    Rule {
        // Later on, follow-ups go with their age, as all tasks do.
        rule: "each follow-up of a run that ended within the hour is a task or is recorded as missing",
        broken_by: "SELECT lower(hex(ended.id)) || '/' || ended.run FROM (
                SELECT id, run, follow_ups,
                    CASE status WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 5 THEN 2 ELSE 3 END AS edge,
                    CASE status
                        WHEN 2 THEN 'on_success' WHEN 3 THEN 'on_failure' WHEN 5 THEN 'on_cancel' ELSE 'on_expire'
                    END AS list
                FROM tasks
                WHERE follow_ups IS NOT NULL AND status >= 2 AND finished_at > ?1 - 3600000000
            ) AS ended
            WHERE coalesce(json_array_length(ended.follow_ups, '$.' || ended.list), 0)
                > (
                    SELECT count(*) FROM tasks AS child
                    WHERE child.parent_id = ended.id AND child.parent_run = ended.run AND child.edge = ended.edge
                ) + (
                    SELECT count(*) FROM missing_follow_ups AS missing
                    WHERE missing.parent_id = ended.id AND missing.parent_run = ended.run AND missing.edge = ended.edge
                )
            LIMIT ?2",
    },
    Rule {
        rule: "a follow-up follows a run that ended in its way",
        broken_by: "SELECT lower(hex(child.id)) FROM tasks AS child JOIN tasks AS parent ON parent.id = child.parent_id
            WHERE child.parent_id IS NOT NULL
              AND (
                child.parent_run > parent.run
                OR child.parent_run = parent.run
                    AND child.edge IS NOT CASE parent.status WHEN 2 THEN 0 WHEN 3 THEN 1 WHEN 5 THEN 2 WHEN 4 THEN 3 END
              )
            LIMIT ?2",
    },
    Rule {
        rule: "a follow-up is a task or is missing, and not both",
        broken_by: "SELECT lower(hex(child.id)) FROM missing_follow_ups AS missing
            JOIN tasks AS child
              ON (child.parent_id, child.parent_run, child.edge, child.ordinal)
                = (missing.parent_id, missing.parent_run, missing.edge, missing.ordinal)
            LIMIT ?2",
    },
    Rule {
        rule: "a task waits for a place if and only if it is blocked",
        broken_by: "SELECT lower(hex(task_id)) FROM dispatches
            WHERE state = 2 AND NOT EXISTS (SELECT 1 FROM places p WHERE p.task_id = dispatches.task_id AND NOT p.held)
            UNION ALL
            SELECT lower(hex(task_id)) FROM places
            WHERE NOT held AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.task_id = places.task_id AND d.state = 2)
            LIMIT ?2",
    },
    Rule {
        rule: "a task has a place if and only if it has a concurrency key and is ready, about to start, or running",
        broken_by: "SELECT lower(hex(task_id)) FROM places
            WHERE held
              AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.id = places.task_id AND t.status = 1)
              AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.task_id = places.task_id AND d.state IN (0, 4))
            UNION ALL
            SELECT lower(hex(id)) FROM tasks
            WHERE conditions IS NOT NULL AND status < 2 AND conditions ->> 'concurrency' IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM places p WHERE p.task_id = tasks.id AND p.held)
              AND NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.task_id = tasks.id AND d.state IN (2, 3))
            LIMIT ?2",
    },
    Rule {
        rule: "the counts of a concurrency key are those of its tasks",
        broken_by: "SELECT coalesce(k.key, c.key)
            FROM concurrency_keys k
            FULL JOIN (
                SELECT key, sum(held) AS held, sum(NOT held) AS waiting FROM places GROUP BY key
            ) c ON c.key = k.key
            WHERE (k.held, k.waiting) IS NOT (c.held, c.waiting)
            LIMIT ?2",
    },
    Rule {
        rule: "no place is free while a task waits for it",
        broken_by: "SELECT key FROM concurrency_keys WHERE waiting > 0 AND held < key_limit LIMIT ?2",
    },
    Rule {
        rule: "a task waits for a start if and only if it is about to start, and is counted by its rate key",
        broken_by: "SELECT lower(hex(task_id)) FROM dispatches
            WHERE state = 4 AND NOT EXISTS (SELECT 1 FROM rate_waits w WHERE w.task_id = dispatches.task_id)
            UNION ALL
            SELECT lower(hex(task_id)) FROM rate_waits
            WHERE NOT EXISTS (SELECT 1 FROM dispatches d WHERE d.task_id = rate_waits.task_id AND d.state = 4)
            UNION ALL
            SELECT coalesce(k.key, c.key)
            FROM (SELECT key, waiting FROM rate_keys WHERE waiting > 0) k
            FULL JOIN (SELECT key, count(*) AS waiting FROM rate_waits GROUP BY key) c ON c.key = k.key
            WHERE k.waiting IS NOT c.waiting
            LIMIT ?2",
    },
    Rule {
        rule: "a running task is held by a live worker, or is rescued within a minute",
        broken_by: "SELECT lower(hex(t.id)) FROM tasks t
            LEFT JOIN workers w ON w.id = t.worker_id
            WHERE t.status = 1
              AND (w.id IS NULL OR w.lease_expires_at < ?1 - 60000000)
            LIMIT ?2",
    },
    Rule {
        rule: "a task that an external worker runs has a lease, and goes back within a minute after its end",
        broken_by: "SELECT lower(hex(t.id)) FROM tasks t
            JOIN workers w ON w.id = t.worker_id AND w.key_id IS NOT NULL
            LEFT JOIN external_claims c ON c.task_id = t.id AND c.attempt = t.attempt
            WHERE t.status = 1
              AND (c.task_id IS NULL OR c.lease_expires_at < ?1 - 60000000)
            LIMIT ?2",
    },
    Rule {
        rule: "a task that is not over is ended within a minute after its deadline",
        broken_by: "SELECT lower(hex(id)) FROM tasks
            WHERE status = 1 AND expires_at < ?1 - 60000000
            UNION ALL
            SELECT lower(hex(task_id)) FROM dispatches
            WHERE expires_at < ?1 - 60000000
            LIMIT ?2",
    },
    Rule {
        rule: "a saga looks within a minute at what has reached it",
        broken_by: "SELECT lower(hex(saga_id)) || '/' || id FROM saga_events INDEXED BY saga_events_waiting
            WHERE seq IS NULL AND received_at < ?1 - 60000000
            LIMIT ?2",
    },
    Rule {
        rule: "the history of a saga has no gap, and its version is the number of entries that were taken",
        broken_by: "SELECT lower(hex(s.id)) FROM sagas s
            LEFT JOIN (
                SELECT saga_id, count(*) AS entries, max(seq) AS newest, sum(result = 0) AS taken, sum(result = 1) AS refused
                FROM saga_events
                WHERE seq IS NOT NULL
                GROUP BY saga_id
            ) AS h ON h.saga_id = s.id
            WHERE (s.last_seq, s.last_seq, s.version) IS NOT (
                    coalesce(h.entries, 0), coalesce(h.newest, 0), coalesce(h.taken, 0)
                )
               OR s.refusals > coalesce(h.refused, 0)
            LIMIT ?2",
    },
    Rule {
        rule: "whatever belongs to a saga belongs to one that is there",
        broken_by: "SELECT lower(hex(saga_id)) FROM saga_events WHERE NOT EXISTS (SELECT 1 FROM sagas s WHERE s.id = saga_id)
            UNION ALL
            SELECT lower(hex(saga_id)) FROM saga_timers WHERE NOT EXISTS (SELECT 1 FROM sagas s WHERE s.id = saga_id)
            LIMIT ?2",
    },
    Rule {
        rule: "a saga that is over has no live task, no live child and no timer",
        broken_by: "SELECT lower(hex(t.saga_id)) FROM tasks t INDEXED BY tasks_saga
            JOIN sagas s ON s.id = t.saga_id
            WHERE t.saga_id IS NOT NULL AND t.status < 2 AND s.status >= 5
            UNION ALL
            SELECT lower(hex(c.parent_id)) FROM sagas c INDEXED BY sagas_parent
            JOIN sagas s ON s.id = c.parent_id
            WHERE c.parent_id IS NOT NULL AND c.status < 5 AND s.status >= 5
            UNION ALL
            SELECT lower(hex(s.id)) FROM saga_timers JOIN sagas s ON s.id = saga_timers.saga_id WHERE s.status >= 5
            LIMIT ?2",
    },
    Rule {
        // What waits for events or for people may wait for ever.
        rule: "each task or child that a saga waits for is live, or its end has reached the saga",
        broken_by: "SELECT lower(hex(s.id)) || '/' || l.number FROM sagas s
            CROSS JOIN (
                SELECT w.id, CAST(live.key AS INTEGER) AS number FROM sagas w, json_each(w.instance, '$.live') AS live
                WHERE w.status < 5
            ) AS l ON l.id = s.id
            WHERE NOT EXISTS (
                    SELECT 1 FROM tasks t INDEXED BY tasks_saga
                    WHERE t.saga_id IS NOT NULL AND t.saga_id = s.id AND t.saga_number = l.number AND t.status < 2
                )
              AND NOT EXISTS (
                    SELECT 1 FROM sagas c INDEXED BY sagas_parent
                    WHERE c.parent_id IS NOT NULL AND c.parent_id = s.id AND c.parent_number = l.number AND c.status < 5
                )
              AND NOT EXISTS (
                    SELECT 1 FROM saga_events e INDEXED BY saga_events_waiting
                    WHERE e.seq IS NULL AND e.saga_id = s.id AND e.kind = 2 AND e.number = l.number
                )
            LIMIT ?2",
    },
    Rule {
        rule: "the compensation that a saga runs is live, or its end has reached the saga",
        broken_by: "SELECT lower(hex(s.id)) FROM sagas s
            WHERE s.status = 3
              AND json_type(s.instance, '$.phase.Undoing') IS NOT NULL
              AND NOT EXISTS (
                    SELECT 1 FROM tasks t INDEXED BY tasks_saga
                    WHERE t.saga_id IS NOT NULL AND t.saga_id = s.id AND t.saga_undoes AND t.status < 2
                )
              AND NOT EXISTS (
                    SELECT 1 FROM saga_events e INDEXED BY saga_events_waiting
                    WHERE e.seq IS NULL AND e.saga_id = s.id AND e.kind = 3
                )
            LIMIT ?2",
    },
];

pub(super) async fn broken(pool: &SqlitePool, now: Timestamp, limit: usize) -> Result<Vec<BrokenInvariant>, Error> {
    let mut broken = Vec::new();
    // One snapshot for all rules: what is committed together is seen together.
    let mut snapshot = pool.begin().await.map_err(sql)?;
    for Rule { rule, broken_by } in RULES {
        let rows: Vec<String> = sqlx::query_scalar(*broken_by)
            .bind(now.as_micros())
            .bind(signed(limit.saturating_sub(broken.len())))
            .fetch_all(&mut *snapshot)
            .await
            .map_err(sql)?;
        broken.extend(rows.into_iter().map(|row| BrokenInvariant { rule, row }));
    }
    Ok(broken)
}
