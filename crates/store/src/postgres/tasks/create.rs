//! Creating tasks. The common case is one statement, one round trip and one commit for every request of a batch.

use std::collections::HashMap;

use orchestratum_core::saga::Purpose;
use orchestratum_core::task::TaskState;
use orchestratum_core::{JsonText, RequestId, TaskId, Timestamp, TraceParent, WorkerId};
use sqlx::postgres::PgArguments;
use sqlx::query::{Query, QueryAs};
use sqlx::{PgConnection, Postgres};
use uuid::Uuid;

use super::super::database::Database;
use super::super::failure;
use super::super::rows::{Time, int2, int4, milliseconds, time};
use super::begun::Begun;
use super::create_guarded::CreateGuarded;
use crate::decide::{DispatchRow, DispatchState};
use crate::{Announce, CreateOutcome, CreateRequest, Error, NewTask};

/// Inserts tasks of the parameters from `$1` on. `$columns` and `$values` are those that only some tasks have; `$joined` goes behind
/// the new rows.
macro_rules! insert_tasks_text {
    ($columns:literal, $values:literal, $joined:literal) => {
        concat!(
            "INSERT INTO tasks (
                id, name, target, description, input, labels, limits, backoff, ttl_ms, timeout_ms, max_retries, max_losses,
                retries_left, losses_left, priority, parent_id, request_hash, trace_parent, request_id, created_at,
                scheduled_at, expires_at",
            $columns,
            "
            )
            SELECT
                id, name, target, description, input, labels::jsonb, limits, backoff, ttl_ms, timeout_ms, max_retries,
                max_losses, max_retries, max_losses, priority, parent_id, request_hash, trace_parent, request_id, created_at,
                scheduled_at, expires_at",
            $columns,
            "
            FROM UNNEST(
                $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
                $9::bigint[], $10::bigint[], $11::smallint[], $12::smallint[], $13::smallint[], $14::uuid[], $15::bytea[],
                $16::text[], $17::text[], $18::timestamptz[], $19::timestamptz[], $20::timestamptz[]",
            $values,
            "
            ) AS new (
                id, name, target, description, input, labels, limits, backoff,
                ttl_ms, timeout_ms, max_retries, max_losses, priority, parent_id, request_hash,
                trace_parent, request_id, created_at, scheduled_at, expires_at",
            $columns,
            "
            )",
            $joined,
            "
            RETURNING id, target, name, priority, scheduled_at, expires_at"
        )
    };
}
pub(super) use insert_tasks_text;

/// What `insert_tasks_text` takes of tasks that something follows, that follow another one, or are members of a group.
macro_rules! insert_following_text {
    ($joined:literal) => {
        insert_tasks_text!(
            ", follow_ups, parent_run, edge, ordinal, group_id, group_index",
            ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[]",
            $joined
        )
    };
}

/// Inserts the dispatch rows of those that the `task` of the statement has inserted: what is due later waits as `delayed`.
macro_rules! insert_dispatches_text {
    ($among:literal) => {
        concat!(
            "INSERT INTO dispatches (task_id, target, name, priority, due_at, expires_at, state, publish_at)
            SELECT task.id, target, name, priority, scheduled_at, expires_at, state, publish_at
            FROM task
            -- All rows have their partner. FULL, so that it is hashed: a plan for any number of rows expects ten, and would
            -- compare each with each.
            FULL JOIN UNNEST($1::uuid[], $21::smallint[], $22::timestamptz[]) AS new (task_id, state, publish_at)
              ON new.task_id = task.id",
            $among
        )
    };
}
pub(super) use insert_dispatches_text;

/// Of tasks that nothing follows, that follow none, and are in no group.
const INSERT: &str = concat!(
    "WITH task AS (",
    insert_tasks_text!("", "", ""),
    ") ",
    insert_dispatches_text!("")
);

const INSERT_FOLLOWING: &str = concat!(
    "WITH task AS (",
    insert_following_text!(""),
    ") ",
    insert_dispatches_text!("")
);

/// Of tasks with conditions, and of those among them.
const INSERT_CONDITIONAL: &str = concat!(
    "WITH task AS (",
    insert_tasks_text!(
        ", follow_ups, parent_run, edge, ordinal, group_id, group_index, conditions",
        ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[], $29::text[]",
        ""
    ),
    ") ",
    insert_dispatches_text!("")
);

/// Of tasks among which some were made by a schedule.
const INSERT_SCHEDULED: &str = concat!(
    "WITH task AS (",
    insert_tasks_text!(
        ", follow_ups, parent_run, edge, ordinal, group_id, group_index, conditions, schedule_id, slot",
        ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[], $29::text[], $30::uuid[],
        $31::timestamptz[]",
        ""
    ),
    ") ",
    insert_dispatches_text!("")
);

/// Of tasks of sagas.
const INSERT_OF_SAGAS: &str = concat!(
    "WITH task AS (",
    insert_tasks_text!(
        ", follow_ups, parent_run, edge, ordinal, group_id, group_index, conditions, saga_id, saga_number, saga_undoes",
        ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[], $29::text[], $30::uuid[],
        $31::integer[], $32::boolean[]",
        ""
    ),
    ") ",
    insert_dispatches_text!("")
);

/// Of tasks of sagas, and of those among them that run already: they wait for nobody.
const INSERT_BEGUN: &str = concat!(
    "WITH task AS (",
    insert_tasks_text!(
        ", follow_ups, parent_run, edge, ordinal, group_id, group_index, conditions, saga_id, saga_number, saga_undoes,
            status, attempt, version, worker_id, started_at",
        ", $23::text[], $24::integer[], $25::smallint[], $26::integer[], $27::uuid[], $28::integer[], $29::text[], $30::uuid[],
        $31::integer[], $32::boolean[], $33::smallint[], $34::integer[], $35::integer[], $36::uuid[], $37::timestamptz[]",
        ""
    ),
    ") ",
    insert_dispatches_text!(" WHERE num_nonnulls(task.id, new.task_id, new.state) = 3")
);

pub(super) async fn create(
    database: &Database,
    requests: &[CreateRequest],
    now: Timestamp,
) -> Result<Vec<CreateOutcome>, Error> {
    let plain = requests
        .iter()
        .all(|request| request.idempotency.is_none() && request.tasks.iter().all(is_plain));
    if plain {
        let tasks: Vec<&NewTask> = requests.iter().flat_map(|request| &request.tasks).collect();
        if insert_plain(database, &tasks, now).await? {
            return Ok(vec![CreateOutcome::Created; requests.len()]);
        }
    }
    database.transact(CreateGuarded::new(requests, now)).await
}

fn is_plain(task: &NewTask) -> bool {
    task.request_hash.is_none() && task.spec.conditions.is_none()
}

/// `false` if one of the ids exists, which takes a repeated call. A second try of our own meets the rows of the first
/// in the same way, and waits for it if it is still under way.
async fn insert_plain(database: &Database, tasks: &[&NewTask], now: Timestamp) -> Result<bool, Error> {
    if tasks.is_empty() {
        return Ok(true);
    }
    let columns = Columns::of(tasks, now);
    let inserted = database.execute_raw(|| columns.insert()).await;
    match inserted {
        Ok(_) => Ok(true),
        Err(error) if failure::is_conflict_on(&error, "tasks_pkey") => Ok(false),
        Err(error) => Err(failure::error(error)),
    }
}

/// Inserts tasks of which none is there.
pub(in super::super) async fn insert_tasks(
    connection: &mut PgConnection,
    tasks: &[&NewTask],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    Columns::of(tasks, now).insert().execute(connection).await?;
    Ok(())
}

/// Inserts tasks of sagas of which none is there, and of which some run already.
pub(super) async fn insert_begun(
    connection: &mut PgConnection,
    tasks: &[&NewTask],
    taken: &HashMap<TaskId, WorkerId>,
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    let begun = Begun::of(tasks, taken, now);
    let mut columns = Columns::of(tasks, now);
    columns.without_dispatches(|id| taken.contains_key(&TaskId(*id)));
    let statement = columns.bind_of_sagas(sqlx::query(INSERT_BEGUN));
    statement
        .bind(&begun.statuses)
        .bind(&begun.attempts)
        .bind(&begun.versions)
        .bind(&begun.workers)
        .bind(&begun.starts)
        .execute(connection)
        .await?;
    Ok(())
}

/// The values of new tasks, column by column.
pub(super) struct Columns<'a> {
    ids: Vec<Uuid>,
    names: Vec<&'a str>,
    targets: Vec<&'a str>,
    descriptions: Vec<Option<&'a str>>,
    inputs: Vec<&'a str>,
    labels: Vec<Option<String>>,
    limits: Vec<Option<&'a str>>,
    backoffs: Vec<String>,
    ttls: Vec<i64>,
    timeouts: Vec<Option<i64>>,
    max_retries: Vec<i16>,
    max_losses: Vec<i16>,
    priorities: Vec<i16>,
    parents: Vec<Option<Uuid>>,
    request_hashes: Vec<Option<&'a [u8]>>,
    trace_parents: Vec<Option<&'a str>>,
    request_ids: Vec<Option<&'a str>>,
    created_ats: Vec<Time>,
    scheduled_ats: Vec<Time>,
    expires_ats: Vec<Time>,
    /// `None` where there is no dispatch row.
    states: Vec<Option<i16>>,
    publish_ats: Vec<Time>,
    /// `None` where all of it is absent.
    following: Option<Following>,
    /// The same.
    conditions: Option<Vec<Option<String>>>,
    /// `None` where no schedule made one of them.
    scheduling: Option<Scheduling>,
    /// `None` where none is of a saga.
    of_sagas: Option<OfSagas>,
}

/// What only tasks have that a schedule made.
struct Scheduling {
    schedules: Vec<Option<Uuid>>,
    slots: Vec<Option<Time>>,
}

impl Scheduling {
    fn of(tasks: &[&NewTask]) -> Option<Self> {
        let by = || tasks.iter().map(|task| task.spec.scheduled_by);
        by().any(|by| by.is_some()).then(|| Self {
            schedules: by().map(|by| by.map(|by| by.schedule.0)).collect(),
            slots: by().map(|by| by.and_then(|by| by.slot).map(time)).collect(),
        })
    }
}

/// What only tasks of sagas have.
struct OfSagas {
    sagas: Vec<Option<Uuid>>,
    numbers: Vec<Option<i32>>,
    undo: Vec<Option<bool>>,
}

impl OfSagas {
    fn of(tasks: &[&NewTask]) -> Option<Self> {
        let places = || tasks.iter().map(|task| task.spec.saga);
        places().any(|place| place.is_some()).then(|| Self {
            sagas: places().map(|place| place.map(|place| place.saga.0)).collect(),
            numbers: places().map(|place| place.map(|place| int4(place.number))).collect(),
            undo: places()
                .map(|place| place.map(|place| place.purpose == Purpose::Compensation))
                .collect(),
        })
    }
}

/// What takes parameters, one after the other: statements with rows and those without.
pub(super) trait Bind<'q>: Sized {
    fn bind<T: sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres> + Send + 'q>(self, value: T) -> Self;
}

impl<'q> Bind<'q> for Query<'q, Postgres, PgArguments> {
    fn bind<T: sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres> + Send + 'q>(self, value: T) -> Self {
        Self::bind(self, value)
    }
}

impl<'q, O> Bind<'q> for QueryAs<'q, Postgres, O, PgArguments> {
    fn bind<T: sqlx::Encode<'q, Postgres> + sqlx::Type<Postgres> + Send + 'q>(self, value: T) -> Self {
        Self::bind(self, value)
    }
}

/// What only tasks have that follow another one, that something follows, or that are members of a group.
struct Following {
    follow_ups: Vec<Option<String>>,
    parent_runs: Vec<Option<i32>>,
    edges: Vec<Option<i16>>,
    ordinals: Vec<Option<i32>>,
    groups: Vec<Option<Uuid>>,
    group_indexes: Vec<Option<i32>>,
}

impl Following {
    fn of(tasks: &[&NewTask]) -> Option<Self> {
        let is_plain =
            |task: &&NewTask| task.spec.follow_ups.is_empty() && task.spec.place.is_none() && task.spec.group.is_none();
        if tasks.iter().all(is_plain) {
            return None;
        }
        let places = || tasks.iter().map(|task| task.spec.place);
        let members = || tasks.iter().map(|task| task.spec.group);
        Some(Self {
            follow_ups: tasks.iter().map(|task| task.spec.follow_ups.stored()).collect(),
            parent_runs: places().map(|place| place.map(|place| int4(place.run))).collect(),
            edges: places().map(|place| place.map(|place| place.edge.code())).collect(),
            ordinals: places()
                .map(|place| place.map(|place| i32::from(place.index)))
                .collect(),
            groups: members().map(|place| place.map(|place| place.group.0)).collect(),
            group_indexes: members()
                .map(|place| place.map(|place| i32::from(place.index)))
                .collect(),
        })
    }

    /// The parameters `$23` to `$28`.
    fn bind<'q, Q: Bind<'q>>(&'q self, query: Q) -> Q {
        query
            .bind(&self.follow_ups)
            .bind(&self.parent_runs)
            .bind(&self.edges)
            .bind(&self.ordinals)
            .bind(&self.groups)
            .bind(&self.group_indexes)
    }
}

impl<'a> Columns<'a> {
    pub(super) fn of(tasks: &[&'a NewTask], now: Timestamp) -> Self {
        let waits: Vec<(i16, Time)> = tasks.iter().map(|task| wait(task, now)).collect();
        Self {
            ids: tasks.iter().map(|task| task.spec.id.0).collect(),
            names: tasks.iter().map(|task| task.spec.name.as_str()).collect(),
            targets: tasks.iter().map(|task| task.spec.target.as_str()).collect(),
            descriptions: tasks.iter().map(|task| task.spec.description.as_deref()).collect(),
            inputs: tasks.iter().map(|task| task.spec.input.as_str()).collect(),
            labels: tasks.iter().map(|task| labels_text(&task.spec.labels)).collect(),
            limits: tasks
                .iter()
                .map(|task| task.spec.limits.as_ref().map(JsonText::as_str))
                .collect(),
            backoffs: tasks.iter().map(|task| backoff_text(task)).collect(),
            ttls: tasks.iter().map(|task| milliseconds(task.spec.ttl)).collect(),
            timeouts: tasks.iter().map(|task| task.spec.timeout.map(milliseconds)).collect(),
            max_retries: tasks.iter().map(|task| int2(task.spec.policy.max_retries)).collect(),
            max_losses: tasks.iter().map(|task| int2(task.spec.policy.max_losses)).collect(),
            priorities: tasks.iter().map(|task| i16::from(task.spec.priority)).collect(),
            parents: tasks.iter().map(|task| task.spec.parent_id.map(|id| id.0)).collect(),
            request_hashes: tasks
                .iter()
                .map(|task| task.request_hash.as_ref().map(<[u8; 32]>::as_slice))
                .collect(),
            trace_parents: tasks
                .iter()
                .map(|task| task.origin.trace_parent.as_ref().map(TraceParent::as_str))
                .collect(),
            request_ids: tasks
                .iter()
                .map(|task| task.origin.request_id.as_ref().map(RequestId::as_str))
                .collect(),
            created_ats: tasks.iter().map(|task| time(task.spec.created_at)).collect(),
            scheduled_ats: tasks.iter().map(|task| time(task.life.scheduled_at)).collect(),
            expires_ats: tasks.iter().map(|task| time(task.life.expires_at)).collect(),
            states: waits.iter().map(|(state, _)| Some(*state)).collect(),
            publish_ats: waits.iter().map(|(_, publish_at)| *publish_at).collect(),
            following: Following::of(tasks),
            conditions: tasks.iter().any(|task| task.spec.conditions.is_some()).then(|| {
                let conditions = tasks.iter().map(|task| task.spec.conditions.as_ref());
                conditions
                    .map(|conditions| conditions.map(|conditions| conditions.stored()))
                    .collect()
            }),
            scheduling: Scheduling::of(tasks),
            of_sagas: OfSagas::of(tasks),
        }
    }

    /// Takes away the dispatch rows of those that are not pending.
    pub(super) fn without_dispatches(&mut self, is_running: impl Fn(&Uuid) -> bool) {
        for (id, state) in self.ids.iter().zip(&mut self.states) {
            if is_running(id) {
                *state = None;
            }
        }
    }

    /// The statement that inserts them.
    fn insert(&self) -> Query<'_, Postgres, PgArguments> {
        static NONE: Vec<Option<String>> = Vec::new();
        if self.of_sagas.is_some() {
            return self.bind_of_sagas(sqlx::query(INSERT_OF_SAGAS));
        }
        match (&self.scheduling, &self.conditions, &self.following) {
            (Some(scheduling), conditions, _) => self
                .bind_following(sqlx::query(INSERT_SCHEDULED))
                .bind(conditions.as_ref().unwrap_or(&NONE))
                .bind(&scheduling.schedules)
                .bind(&scheduling.slots),
            (None, Some(conditions), _) => self.bind_following(sqlx::query(INSERT_CONDITIONAL)).bind(conditions),
            (None, None, None) => self.bind(sqlx::query(INSERT)),
            (None, None, Some(following)) => following.bind(self.bind(sqlx::query(INSERT_FOLLOWING))),
        }
    }

    /// The parameters `$1` to `$32`.
    fn bind_of_sagas<'q, Q: Bind<'q>>(&'q self, query: Q) -> Q {
        static NONE: Vec<Option<String>> = Vec::new();
        static OF_NONE: OfSagas = OfSagas {
            sagas: Vec::new(),
            numbers: Vec::new(),
            undo: Vec::new(),
        };
        let of_sagas = self.of_sagas.as_ref().unwrap_or(&OF_NONE);
        self.bind_following(query)
            .bind(self.conditions.as_ref().unwrap_or(&NONE))
            .bind(&of_sagas.sagas)
            .bind(&of_sagas.numbers)
            .bind(&of_sagas.undo)
    }

    /// The parameters `$1` to `$28`.
    pub(super) fn bind_following<'q, Q: Bind<'q>>(&'q self, query: Q) -> Q {
        static NONE: Following = Following {
            follow_ups: Vec::new(),
            parent_runs: Vec::new(),
            edges: Vec::new(),
            ordinals: Vec::new(),
            groups: Vec::new(),
            group_indexes: Vec::new(),
        };
        self.following.as_ref().unwrap_or(&NONE).bind(self.bind(query))
    }

    /// The parameters `$1` to `$22`.
    fn bind<'q, Q: Bind<'q>>(&'q self, query: Q) -> Q {
        query
            .bind(&self.ids)
            .bind(&self.names)
            .bind(&self.targets)
            .bind(&self.descriptions)
            .bind(&self.inputs)
            .bind(&self.labels)
            .bind(&self.limits)
            .bind(&self.backoffs)
            .bind(&self.ttls)
            .bind(&self.timeouts)
            .bind(&self.max_retries)
            .bind(&self.max_losses)
            .bind(&self.priorities)
            .bind(&self.parents)
            .bind(&self.request_hashes)
            .bind(&self.trace_parents)
            .bind(&self.request_ids)
            .bind(&self.created_ats)
            .bind(&self.scheduled_ats)
            .bind(&self.expires_ats)
            .bind(&self.states)
            .bind(&self.publish_ats)
    }
}

fn wait(task: &NewTask, now: Timestamp) -> (i16, Time) {
    let due_at = match task.life.state {
        TaskState::Pending { due_at } => due_at,
        TaskState::InProgress { .. }
        | TaskState::Completed { .. }
        | TaskState::Failed { .. }
        | TaskState::Expired { .. }
        | TaskState::Cancelled { .. } => unreachable!("a new task is pending"),
    };
    let publish_at = DispatchRow::publish_at(due_at, task.announce == Announce::ByCaller, now);
    let state = DispatchState::of(task.spec.conditions.as_deref(), due_at, now);
    (state.code(), time(publish_at))
}

/// `None` where there are none, so that the index of labels holds only tasks that have some.
pub(super) fn labels_text(labels: &orchestratum_core::task::Labels) -> Option<String> {
    (!labels.is_empty()).then(|| serde_json::to_string(labels).expect("a map of strings is always JSON"))
}

fn backoff_text(task: &NewTask) -> String {
    serde_json::to_string(&task.spec.policy.backoff).expect("a back-off is always JSON")
}
