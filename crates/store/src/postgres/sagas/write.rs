//! Writing what looks at sagas have decided: one statement for the sagas, their history and their timers, others only where they
//! have rows.

use std::collections::BTreeSet;

use orchestratum_core::task::SpecLimits;
use orchestratum_core::{JsonText, RequestId, SagaId, Target, TaskId, Timestamp, TraceParent};
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::rows::{Time, int4, time};
use super::super::tasks::{Apply, column, insert_issued, meet};
use super::super::transaction::{Abort, Transaction};
use super::children::insert_children;
use super::definitions;
use super::task_ends::{insert_task_ends, insert_waiting};
use crate::decide::{self, Cancelled, EventColumns, EventSource, EventWrite, Folded, WaitingEvent};
use crate::{Change, Consequences, NewTask};

/// Whether the rows of the sagas are there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rows {
    New,
    Changed,
}

/// What writing needs to know beside what was decided.
pub(super) struct Writing<'a> {
    pub(super) limits: &'a SpecLimits,
    pub(super) now: Timestamp,
}

impl Writing<'_> {
    pub(super) async fn write(
        &self,
        connection: &mut PgConnection,
        folded: &mut [Folded],
        rows: Rows,
    ) -> Result<Consequences, Abort> {
        let mut consequences = Consequences::default();
        if folded.iter().all(|saga| saga.events.is_empty()) {
            return Ok(consequences);
        }
        // Rows are locked in one order everywhere: those of what is cancelled before anything new is inserted.
        let earlier = decide::cancelled_tasks(folded, Cancelled::Earlier);
        self.cancel_tasks(connection, &earlier, &mut consequences).await?;
        let changed = match rows {
            Rows::New => {
                insert_sagas(connection, folded).await?;
                &[]
            }
            Rows::Changed => &*folded,
        };
        write_sagas(connection, folded, changed, self.now).await?;
        self.take_back_what_may_not_begin(connection, folded).await?;
        let folded = &*folded;
        self.issue(connection, folded, &mut consequences).await?;
        let just_made = decide::cancelled_tasks(folded, Cancelled::Now);
        self.cancel_tasks(connection, &just_made, &mut consequences).await?;
        // One that is cancelled by the look that makes it never begins.
        let mut waiting = self.start_children(connection, folded).await?;
        waiting.extend(cancelled_children(connection, folded).await?);
        waiting.extend(decide::told_parents(folded));
        if !waiting.is_empty() {
            insert_waiting(connection, &waiting, self.now).await?;
            consequences
                .unlooked
                .extend(waiting.into_iter().map(|event| event.saga));
        }
        consequences.next_timer = folded.iter().flat_map(|saga| &saga.timers).map(|timer| timer.at).min();
        Ok(consequences)
    }

    /// After their sagas are written, so that little happens between what is asked here and the commit.
    async fn take_back_what_may_not_begin(
        &self,
        connection: &mut PgConnection,
        folded: &mut [Folded],
    ) -> Result<(), Abort> {
        let taken = decide::taken(folded);
        if taken.is_empty() {
            return Ok(());
        }
        let workers: BTreeSet<Uuid> = taken.values().map(|worker| worker.0).collect();
        let targets: BTreeSet<&str> = decide::targets_of_taken(folded).map(Target::as_str).collect();
        let (live, closed): (Vec<Uuid>, Vec<String>) = sqlx::query_as(
            "SELECT
                ARRAY(SELECT id FROM workers WHERE id = ANY($1::uuid[]) AND state = 0 AND lease_expires_at > $3),
                ARRAY(
                    SELECT target FROM paused_targets WHERE target = ANY($2::text[])
                    UNION ALL
                    SELECT target FROM target_rates WHERE target = ANY($2::text[])
                )",
        )
        .bind(workers.into_iter().collect::<Vec<_>>())
        .bind(targets.into_iter().collect::<Vec<_>>())
        .bind(time(self.now))
        .fetch_one(connection)
        .await?;
        decide::take_back_what_may_not_begin(
            folded,
            |worker| live.contains(&worker.0),
            |target| closed.iter().any(|closed| closed == target.as_str()),
        );
        Ok(())
    }

    async fn cancel_tasks(
        &self,
        connection: &mut PgConnection,
        numbers: &[(SagaId, u32)],
        consequences: &mut Consequences,
    ) -> Result<(), Abort> {
        if numbers.is_empty() {
            return Ok(());
        }
        let rows: Vec<(Uuid,)> = sqlx::query_as(OPEN_TASKS)
            .bind(column(numbers, |(saga, _)| saga.0))
            .bind(column(numbers, |(_, number)| int4(*number)))
            .fetch_all(&mut *connection)
            .await?;
        let mut changes: Vec<Change> = rows.into_iter().map(|(task,)| decide::cancel(TaskId(task))).collect();
        // Once, but where what their `on_cancel` lists is so dear that only some of them are taken.
        while !changes.is_empty() {
            let apply = Apply {
                changes,
                limits: *self.limits,
                now: self.now,
            };
            let (outcomes, undecided) = apply.perform(connection).await?;
            consequences.cancelled(outcomes);
            changes = undecided;
        }
        Ok(())
    }

    /// The tasks, and what becomes of those that cannot be made.
    async fn issue(
        &self,
        connection: &mut PgConnection,
        folded: &[Folded],
        consequences: &mut Consequences,
    ) -> Result<(), Abort> {
        let tasks: Vec<&NewTask> = folded.iter().flat_map(|saga| &saga.tasks).collect();
        let taken = decide::taken(folded);
        let met = meet(connection, &tasks, self.now).await?;
        let (tasks, unmade) = decide::issued(folded, &met);
        if !tasks.is_empty() {
            let admitted = insert_issued(connection, &tasks, &taken, self.now).await?;
            consequences.issued(&tasks, &taken, admitted, self.now);
        }
        if !unmade.is_empty() {
            insert_task_ends(connection, &unmade, self.now).await?;
            consequences.unlooked.extend(unmade.iter().map(|end| end.place.saga));
        }
        Ok(())
    }

    /// The child sagas, and what they and those are told that wait for them.
    async fn start_children(
        &self,
        connection: &mut PgConnection,
        folded: &[Folded],
    ) -> Result<Vec<WaitingEvent>, Abort> {
        let beginnings = definitions::beginnings(connection, &decide::definitions_of_children(folded)).await?;
        let (children, mut told) = decide::children(folded, &beginnings);
        let inserted = insert_children(connection, &children, self.now).await?;
        told.extend(
            children
                .iter()
                .map(|child| child.inserted(inserted.contains(&child.id()))),
        );
        Ok(told)
    }
}

/// Each by the index of what belongs to sagas, of which statistics may say that there is nothing: OFFSET keeps it from being a join
/// that believes them. Public for a look at its plan.
pub const OPEN_TASKS: &str = "
    SELECT found.id
    FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::integer[])) AS asked (saga_id, number)
    CROSS JOIN LATERAL (
        SELECT id FROM tasks WHERE tasks.saga_id = asked.saga_id AND tasks.saga_number = asked.number AND status < 2 OFFSET 0
    ) AS found";

/// Likewise.
pub const OPEN_CHILDREN: &str = "
    SELECT found.id
    FROM (SELECT DISTINCT * FROM UNNEST($1::uuid[], $2::integer[])) AS asked (parent_id, number)
    CROSS JOIN LATERAL (
        SELECT id FROM sagas WHERE sagas.parent_id = asked.parent_id AND sagas.parent_number = asked.number AND status < 5 OFFSET 0
    ) AS found";

/// What the children are told that are to end.
async fn cancelled_children(connection: &mut PgConnection, folded: &[Folded]) -> Result<Vec<WaitingEvent>, Abort> {
    let cancels = decide::cancelled(folded);
    if cancels.is_empty() {
        return Ok(Vec::new());
    }
    let children: Vec<(Uuid,)> = sqlx::query_as(OPEN_CHILDREN)
        .bind(column(&cancels, |(saga, _)| saga.0))
        .bind(column(&cancels, |(_, number)| int4(*number)))
        .fetch_all(connection)
        .await?;
    let told = children.into_iter().map(|(child,)| WaitingEvent::cancel(SagaId(child)));
    Ok(told.collect())
}

/// What is written of an input, with its saga.
struct EventRow<'a> {
    saga: Uuid,
    write: &'a EventWrite,
}

async fn write_sagas(
    connection: &mut PgConnection,
    folded: &[Folded],
    changed: &[Folded],
    now: Timestamp,
) -> Result<(), Abort> {
    let events = folded.iter().flat_map(|saga| {
        let saga_id = saga.head.id.0;
        saga.events.iter().map(move |write| EventRow { saga: saga_id, write })
    });
    let (arrived, brought): (Vec<EventRow<'_>>, Vec<EventRow<'_>>) =
        events.partition(|row| matches!(row.write.source, EventSource::Arrived(_)));
    let timers: Vec<_> = folded
        .iter()
        .flat_map(|saga| saga.timers.iter().map(move |timer| (saga.head.id.0, timer)))
        .collect();
    let stopped = stopped_timers(folded);
    let instances: Vec<JsonText> = changed.iter().map(|saga| saga.instance.to_stored()).collect();
    let (written,): (i64,) = sqlx::query_as(WRITE_SAGAS)
        .bind(column(changed, |saga| saga.head.id.0))
        .bind(column(changed, |saga| saga.instance.status().code()))
        .bind(column(changed, |saga| saga.instance.state.as_str()))
        .bind(column(changed, |saga| signed(saga.instance.version)))
        .bind(column(changed, |saga| signed(saga.head.last_seq)))
        .bind(column(changed, |saga| int4(saga.head.refusals)))
        .bind(column(&instances, JsonText::as_str))
        .bind(column(changed, |saga| time(saga.head.updated_at)))
        .bind(column(changed, |saga| saga.head.finished_at.map(time)))
        .bind(column(&arrived, |row| match row.write.source {
            EventSource::Arrived(id) => id,
            EventSource::Brought { .. } => unreachable!("they were parted"),
        }))
        .bind(column(&arrived, |row| signed(row.write.seq)))
        .bind(column(&arrived, result))
        .bind(column(&arrived, |row| signed(row.write.version)))
        .bind(column(&arrived, |row| row.write.from.as_str()))
        .bind(column(&arrived, |row| row.write.to.as_str()))
        .bind(column(&arrived, |row| row.write.refusal.as_deref()))
        .bind(column(&arrived, |row| row.write.notes.as_str()))
        .bind(time(now))
        .bind(column(&brought, |row| row.saga))
        .bind(column(&brought, |row| brought_columns(row).0.kind))
        .bind(column(&brought, |row| brought_columns(row).0.number.map(int4)))
        .bind(column(&brought, |row| brought_columns(row).0.event_id.as_deref()))
        .bind(column(&brought, |row| brought_columns(row).0.name.as_deref()))
        .bind(column(&brought, |row| brought_columns(row).0.data.as_deref()))
        .bind(column(&brought, |row| brought_columns(row).1))
        .bind(column(&brought, |row| signed(row.write.seq)))
        .bind(column(&brought, result))
        .bind(column(&brought, |row| signed(row.write.version)))
        .bind(column(&brought, |row| row.write.from.as_str()))
        .bind(column(&brought, |row| row.write.to.as_str()))
        .bind(column(&brought, |row| row.write.refusal.as_deref()))
        .bind(column(&brought, |row| row.write.notes.as_str()))
        .bind(column(&stopped, |(saga, _)| *saga))
        .bind(column(&stopped, |(_, entry)| *entry))
        .bind(column(&timers, |(saga, _)| *saga))
        .bind(column(&timers, |(_, write)| int4(write.timer.entry())))
        .bind(column(&timers, |(_, write)| write.timer.kind().code()))
        .bind(column(&timers, |(_, write)| i32::from(write.timer.index())))
        .bind(column(&timers, |(_, write)| time(write.at)))
        .bind(column(&arrived, |row| row.saga))
        .fetch_one(connection)
        .await?;
    assert_eq!(
        usize::try_from(written).ok(),
        Some(changed.len()),
        "the rows are locked, so they are all there"
    );
    Ok(())
}

/// Whose timers are stopped, and of which entries. Of entry -1 there is none: it stands for all.
fn stopped_timers(folded: &[Folded]) -> Vec<(Uuid, i32)> {
    let stopped = folded.iter().flat_map(|saga| {
        let id = saga.head.id.0;
        let all = saga.ended.then_some((id, -1));
        saga.stopped.iter().map(move |entry| (id, int4(*entry))).chain(all)
    });
    stopped.collect()
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn result(row: &EventRow<'_>) -> i16 {
    i16::from(row.write.refusal.is_some())
}

fn brought_columns<'a>(row: &EventRow<'a>) -> (&'a EventColumns, Option<&'a str>) {
    match &row.write.source {
        EventSource::Brought { columns, actor } => (columns, actor.as_deref()),
        EventSource::Arrived(_) => unreachable!("they were parted"),
    }
}

async fn insert_sagas(connection: &mut PgConnection, folded: &[Folded]) -> Result<(), Abort> {
    let instances: Vec<JsonText> = folded.iter().map(|saga| saga.instance.to_stored()).collect();
    let finished: Vec<Option<Time>> = column(folded, |saga| saga.head.finished_at.map(time));
    sqlx::query(
        "INSERT INTO sagas (
            id, definition, definition_version, correlation_id, input, trace_parent, request_id, created_at, status, state,
            version, last_seq, refusals, instance, updated_at, finished_at
        )
        SELECT *
        FROM UNNEST(
            $1::uuid[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[],
            $9::smallint[], $10::text[], $11::bigint[], $12::bigint[], $13::integer[], $14::text[], $15::timestamptz[],
            $16::timestamptz[]
        )",
    )
    .bind(column(folded, |saga| saga.head.id.0))
    .bind(column(folded, |saga| saga.head.definition.as_str()))
    .bind(column(folded, |saga| int4(saga.head.definition_version)))
    .bind(column(folded, |saga| saga.instance.correlation_id.as_str()))
    .bind(column(folded, |saga| saga.instance.input.as_str()))
    .bind(column(folded, |saga| saga.head.origin.trace_parent.as_ref().map(TraceParent::as_str)))
    .bind(column(folded, |saga| saga.head.origin.request_id.as_ref().map(RequestId::as_str)))
    .bind(column(folded, |saga| time(saga.head.created_at)))
    .bind(column(folded, |saga| saga.instance.status().code()))
    .bind(column(folded, |saga| saga.instance.state.as_str()))
    .bind(column(folded, |saga| signed(saga.instance.version)))
    .bind(column(folded, |saga| signed(saga.head.last_seq)))
    .bind(column(folded, |saga| int4(saga.head.refusals)))
    .bind(column(&instances, JsonText::as_str))
    .bind(column(folded, |saga| time(saga.head.updated_at)))
    .bind(finished)
    .execute(connection)
    .await?;
    Ok(())
}

/// Public for a look at its plan.
pub const WRITE_SAGAS: &str = "
    WITH saga AS (
        UPDATE sagas
        SET status = next.status,
            state = next.state,
            version = next.version,
            last_seq = next.last_seq,
            refusals = next.refusals,
            instance = next.instance,
            updated_at = next.updated_at,
            finished_at = next.finished_at
        FROM UNNEST(
            $1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bigint[], $6::integer[], $7::text[],
            $8::timestamptz[], $9::timestamptz[]
        ) AS next (id, status, state, version, last_seq, refusals, instance, updated_at, finished_at)
        WHERE sagas.id = next.id
        RETURNING sagas.id
    ),
    arrived AS (
        UPDATE saga_events
        SET seq = looked_at.seq,
            result = looked_at.result,
            version = looked_at.version,
            from_state = looked_at.from_state,
            to_state = looked_at.to_state,
            reason = looked_at.reason,
            notes = looked_at.notes,
            processed_at = $18
        FROM (
            SELECT place, seq, result, version, from_state, to_state, reason, notes
            FROM UNNEST(
                $40::uuid[], $10::bigint[], $11::bigint[], $12::smallint[], $13::bigint[], $14::text[], $15::text[], $16::text[],
                $17::text[]
            ) AS looked_at (saga_id, id, seq, result, version, from_state, to_state, reason, notes)
            -- Each by the index of what waits. Statistics say that nothing does, and a join that believes them goes through all
            -- that waits for each event: OFFSET keeps it from being one.
            CROSS JOIN LATERAL (
                SELECT waiting.ctid AS place
                FROM saga_events AS waiting
                WHERE waiting.saga_id = looked_at.saga_id AND waiting.id = looked_at.id AND waiting.seq IS NULL
                OFFSET 0
            ) AS found
        ) AS looked_at
        -- The row of the saga is locked: nobody else changes its events.
        WHERE saga_events.ctid = looked_at.place
    ),
    brought AS (
        INSERT INTO saga_events (
            saga_id, kind, number, event_id, name, data, actor, seq, result, version, from_state, to_state, reason, notes,
            received_at, processed_at
        )
        SELECT *, $18, $18
        FROM UNNEST(
            $19::uuid[], $20::smallint[], $21::integer[], $22::text[], $23::text[], $24::text[], $25::text[],
            $26::bigint[], $27::smallint[], $28::bigint[], $29::text[], $30::text[], $31::text[], $32::text[]
        )
    ),
    stopped AS (
        DELETE FROM saga_timers
        USING UNNEST($33::uuid[], $34::integer[]) AS left_behind (saga_id, entry)
        WHERE saga_timers.saga_id = left_behind.saga_id
          AND (left_behind.entry < 0 OR saga_timers.entry = left_behind.entry)
    ),
    started AS (
        INSERT INTO saga_timers (saga_id, entry, timer, number, due_at)
        SELECT * FROM UNNEST($35::uuid[], $36::integer[], $37::smallint[], $38::integer[], $39::timestamptz[])
    )
    SELECT count(*) FROM saga";
