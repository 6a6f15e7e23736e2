//! Claiming. Deleting the dispatch row is the claim.

use orchestratum_core::{JsonText, Origin, Target, TaskId, TaskName, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::queues::{lock_buckets, rated_with_ready_tasks, spend};
use super::super::rows::{Place, Time, int8, time, timestamp};
use super::super::transaction::{Abort, Transaction};
use crate::{ClaimRequest, ClaimedTask, Error, FollowedBy};

pub(super) async fn claim(
    database: &Database,
    request: &ClaimRequest,
    now: Timestamp,
) -> Result<Vec<ClaimedTask>, Error> {
    if request.limit == 0 || request.targets.is_empty() || request.names.is_empty() {
        return Ok(Vec::new());
    }
    let rated = rated(database, request, now).await?;
    if rated.is_empty() {
        return plain(database, request, now).await;
    }
    // First: they take only what their rate allows, and would otherwise wait behind any backlog of the others.
    let open = open(database, &rated, now).await?;
    let mut claimed = if open.is_empty() {
        Vec::new()
    } else {
        let request = ClaimRequest {
            targets: open,
            ..request.clone()
        };
        database.transact(ClaimRated { request, now }).await?
    };
    let rest = ClaimRequest {
        limit: request.limit - claimed.len(),
        ..request.clone()
    };
    if rest.limit > 0 {
        match plain(database, &rest, now).await {
            Ok(others) => claimed.extend(others),
            Err(error) if claimed.is_empty() => return Err(error),
            // What was claimed is the worker's, whatever became of the others: it would wait there until the worker lists what it
            // holds.
            Err(_) => {}
        }
    }
    Ok(claimed)
}

async fn plain(database: &Database, request: &ClaimRequest, now: Timestamp) -> Result<Vec<ClaimedTask>, Error> {
    let named: Vec<Uuid> = request.named.iter().map(|id| id.0).collect();
    let targets: Vec<&str> = request.targets.iter().map(Target::as_str).collect();
    let names: Vec<&str> = request.names.iter().map(TaskName::as_str).collect();
    let statement = if request.fill_up {
        CLAIM_AND_FILL_UP
    } else {
        CLAIM_NAMED
    };
    let rows: Vec<ClaimedRow> = database
        // A claim whose answer was lost is listed by the next renewal of the lease, and handed back.
        .all(AfterUnknown::Report, || {
            sqlx::query_as(statement)
                .bind(request.worker.0)
                .bind(time(now))
                .bind(&targets)
                .bind(&names)
                .bind(&named)
                .bind(int8(request.limit))
        })
        .await?;
    rows.into_iter()
        .filter_map(|row| claimed(row, now).transpose())
        .collect()
}

/// The statement of a claim, with the parts in which the kinds of it differ.
macro_rules! claim {
    ($open:expr, $more:expr, $picked:expr) => {
        concat!(
            "
    WITH open AS MATERIALIZED (
        SELECT served.target
        FROM (SELECT DISTINCT UNNEST($3::text[]) AS target) AS served
        -- A worker whose lease ran out gets nothing, even before it is marked dead.
        WHERE EXISTS (SELECT FROM workers WHERE id = $1 AND state = 0 AND lease_expires_at > $2)
          AND NOT EXISTS (SELECT FROM paused_targets WHERE paused_targets.target = served.target)",
            $open,
            "
    ),
    named AS MATERIALIZED (
        SELECT task_id, priority, due_at
        FROM dispatches
        WHERE task_id = ANY($5::uuid[])
          AND state = 0
          AND due_at <= $2
          -- As `expires_at > $2` it would be looked up in the index of deadlines, over the whole backlog, whenever the
          -- deadlines that statistics know of have passed (seen: 180 ms instead of 7).
          AND expires_at - $2 > INTERVAL '0'
          AND name = ANY($4::text[])
          AND target = ANY(ARRAY(SELECT target FROM open))
        ORDER BY priority DESC, due_at
        LIMIT $6
        -- Whoever holds it is about to delete it.
        FOR UPDATE SKIP LOCKED
    )",
            $more,
            ",
    picked AS MATERIALIZED (
        SELECT task_id, 0 AS turn, priority, due_at FROM named",
            $picked,
            "
    ),
    taken AS (
        UPDATE tasks
        SET status = 1,
            attempt = attempt + 1,
            version = version + 1,
            worker_id = $1,
            started_at = $2,
            cancel_requested = false,
            progress = NULL
        -- An array and not a join: it is an index scan whatever the statistics say.
        WHERE id = ANY(ARRAY(SELECT task_id FROM picked)) AND status = 0
        RETURNING
            id, attempt, run, name, target, input, limits, timeout_ms, expires_at, trace_parent, request_id,
            follow_ups IS NOT NULL AS followed, CASE WHEN saga_id IS NOT NULL THEN priority END AS saga_priority
    ),
    gone AS (
        -- Only what was taken: a dispatch row without a pending task stays to be found by the checks.
        DELETE FROM dispatches WHERE task_id = ANY(ARRAY(SELECT id FROM taken))
    )
    SELECT
        picked.task_id, taken.attempt, taken.run, taken.name, taken.target, taken.input, taken.limits,
        taken.timeout_ms, taken.expires_at, taken.trace_parent, taken.request_id, taken.followed,
        taken.saga_priority
    FROM taken
    -- FULL, so that it is hashed: without statistics an inner join compares each row with each (seen: a third of the
    -- statement). What was picked and not taken comes out too, and is told.
    FULL JOIN picked ON picked.task_id = taken.id
    ORDER BY picked.turn, picked.priority DESC, picked.due_at, picked.task_id"
        )
    };
}

/// For a few that messages named. The planner keeps one plan for it; of a claim that fills up it makes a new one each time,
/// which takes longer than all the rest of this.
const CLAIM_NAMED: &str = claim!(
    "
          -- Those are claimed with their starts.
          AND NOT EXISTS (SELECT FROM target_rates WHERE target_rates.target = served.target)",
    "",
    ""
);

const CLAIM_NAMED_RATED: &str = claim!("", "", "");

/// Other ready tasks.
macro_rules! more {
    () => {
        ",
    more AS MATERIALIZED (
        SELECT ready.task_id, ready.priority, ready.due_at
        FROM open
        CROSS JOIN (SELECT DISTINCT UNNEST($4::text[]) AS name) AS offered
        CROSS JOIN LATERAL (
            -- Locked name by name, each in the order of its index: other workers skip these rows and find the next. Were
            -- the names only filtered, a worker would look at the whole backlog of what others do.
            SELECT task_id, priority, due_at
            FROM dispatches
            WHERE dispatches.target = open.target
              AND dispatches.name = offered.name
              AND state = 0
              AND due_at <= $2
              AND expires_at - $2 > INTERVAL '0'
              AND task_id <> ALL($5::uuid[])
            ORDER BY priority DESC, due_at
            LIMIT $6 - (SELECT count(*) FROM named)
            FOR UPDATE SKIP LOCKED
        ) AS ready
        ORDER BY ready.priority DESC, ready.due_at
        LIMIT $6 - (SELECT count(*) FROM named)
    )"
    };
}

/// A claim that takes others beside the named ones.
macro_rules! claim_and_fill_up {
    ($open:expr) => {
        claim!(
            $open,
            more!(),
            "
        UNION ALL
        SELECT task_id, 1 AS turn, priority, due_at FROM more"
        )
    };
}

/// Of those only so many that their inputs fit one answer, and the first. `$7` is how large they may be together.
macro_rules! claim_within_bytes {
    ($open:expr) => {
        claim!(
            $open,
            concat!(
                more!(),
                ",
    sized AS MATERIALIZED (
        SELECT
            task_id, priority, due_at,
            -- Texts that are stored apart tell their sizes without being read.
            sum((SELECT octet_length(input) FROM tasks WHERE tasks.id = more.task_id))
                OVER (ORDER BY priority DESC, due_at, task_id ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY priority DESC, due_at, task_id) AS place
        FROM more
    )"
            ),
            "
        UNION ALL
        SELECT task_id, 1 AS turn, priority, due_at FROM sized WHERE bytes <= $7 OR place = 1"
        )
    };
}

pub const CLAIM_AND_FILL_UP: &str = claim_and_fill_up!(
    "
          -- Those are claimed with their starts.
          AND NOT EXISTS (SELECT FROM target_rates WHERE target_rates.target = served.target)"
);

const CLAIM_AND_FILL_UP_RATED: &str = claim_and_fill_up!("");

pub(in crate::postgres) const CLAIM_WITHIN_BYTES: &str = claim_within_bytes!(
    "
          -- Those are claimed with their starts.
          AND NOT EXISTS (SELECT FROM target_rates WHERE target_rates.target = served.target)"
);

pub(in crate::postgres) const CLAIM_WITHIN_BYTES_RATED: &str = claim_within_bytes!("");

/// The targets of the request that have a rate, as far as that is known.
async fn rated(database: &Database, request: &ClaimRequest, now: Timestamp) -> Result<Vec<Target>, Error> {
    if let Some(rated) = database.rated.of(&request.targets, now) {
        return Ok(rated);
    }
    let rows: Vec<(String,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT target FROM target_rates")
        })
        .await?;
    let place = Place {
        table: "target_rates",
        row: &"(all)",
    };
    let targets = rows
        .into_iter()
        .map(|(target,)| place.take("target", Target::new(target)));
    database.rated.set(targets.collect::<Result<_, _>>()?, now);
    Ok(database.rated.of(&request.targets, now).unwrap_or_default())
}

/// Those of them that have ready tasks, and a start for one: nothing is locked where there is nothing to take.
async fn open(database: &Database, rated: &[Target], now: Timestamp) -> Result<Vec<Target>, Error> {
    let buckets = rated_with_ready_tasks(database, Some(rated)).await?;
    let open = buckets.into_iter().filter(|(_, bucket)| bucket.available(now) > 0);
    Ok(open.map(|(target, _)| target).collect())
}

/// Tasks of targets with a rate, and the starts they take. What has none any more the plain claim takes.
struct ClaimRated {
    request: ClaimRequest,
    now: Timestamp,
}

impl Transaction for ClaimRated {
    type Output = Vec<ClaimedTask>;

    async fn perform(&self, connection: &mut PgConnection) -> Result<Self::Output, Abort> {
        let Self { request, now } = self;
        let targets: Vec<&str> = request.targets.iter().map(Target::as_str).collect();
        let statement = if request.fill_up {
            CLAIM_AND_FILL_UP_RATED
        } else {
            CLAIM_NAMED_RATED
        };
        let mut taken = Vec::new();
        for (target, bucket) in lock_buckets(connection, &targets).await? {
            let available = usize::try_from(bucket.available(*now)).unwrap_or(usize::MAX);
            let limit = (request.limit - taken.len()).min(available);
            if limit == 0 {
                continue;
            }
            let rows: Vec<ClaimedRow> = sqlx::query_as(statement)
                .bind(request.worker.0)
                .bind(time(*now))
                .bind([target.as_str()].as_slice())
                .bind(request.names.iter().map(TaskName::as_str).collect::<Vec<_>>())
                .bind(request.named.iter().map(|id| id.0).collect::<Vec<_>>())
                .bind(int8(limit))
                .fetch_all(&mut *connection)
                .await?;
            let before = taken.len();
            for row in rows {
                taken.extend(claimed(row, *now)?);
            }
            spend(connection, &target, bucket, taken.len() - before, *now).await?;
        }
        Ok(taken)
    }
}

pub(in crate::postgres) type ClaimedRow = (
    Uuid,
    Option<i32>,
    Option<i32>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<Time>,
    Option<String>,
    Option<String>,
    Option<bool>,
    Option<i16>,
);

/// `None` for a dispatch row whose task is not pending, which is left to the checks of an operator.
pub(in crate::postgres) fn claimed(row: ClaimedRow, now: Timestamp) -> Result<Option<ClaimedTask>, Error> {
    let (
        id,
        attempt,
        run,
        name,
        target,
        input,
        limits,
        timeout_ms,
        expires_at,
        trace_parent,
        request_id,
        followed,
        saga_priority,
    ) = row;
    let (Some(attempt), Some(run), Some(name), Some(target), Some(input), Some(expires_at)) =
        (attempt, run, name, target, input, expires_at)
    else {
        tracing::error!(task.id = %id, "a dispatch row belongs to no pending task: run `orchestratum doctor`");
        return Ok(None);
    };
    let place = Place {
        table: "tasks",
        row: &id,
    };
    Ok(Some(ClaimedTask {
        id: TaskId(id),
        attempt: place.number("attempt", attempt)?,
        run: place.number("run", run)?,
        name: place.take("name", TaskName::new(name))?,
        target: place.take("target", Target::new(target))?,
        input: JsonText::trusted(input),
        limits: limits.map(JsonText::trusted),
        timeout: timeout_ms
            .map(|timeout| place.milliseconds("timeout_ms", timeout))
            .transpose()?,
        expires_at: timestamp(expires_at),
        started_at: now,
        origin: Origin {
            trace_parent: trace_parent
                .map(|text| place.take("trace_parent", text.parse()))
                .transpose()?,
            request_id: request_id
                .map(|text| place.take("request_id", text.parse()))
                .transpose()?,
        },
        followed_by: FollowedBy::of(
            followed == Some(true),
            saga_priority
                .map(|priority| place.number("priority", priority))
                .transpose()?,
        ),
        known: None,
    }))
}
