//! What attempts write.

use async_trait::async_trait;
use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Progress, TaskStatus};
use sqlx::FromRow;
use uuid::Uuid;

use super::PostgresStore;
use super::database::AfterUnknown;
use super::rows::{Place, int4, int8};
use crate::{
    Error, LogAppend, LogChunk, LogStore, LogStream, LogsFrom, NEW_LOGS_BYTES, NEW_LOGS_CHUNKS, NewLogs, PAGE_BYTES,
    StoredLogChunk, TaskLogs,
};

#[async_trait]
impl LogStore for PostgresStore {
    async fn append_logs(&self, appends: &[LogAppend]) -> Result<Vec<(TaskId, u32)>, Error> {
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let tasks: Vec<Uuid> = appends.iter().map(|append| append.task.0).collect();
        let attempts: Vec<i32> = appends.iter().map(|append| int4(append.attempt)).collect();
        let progress: Vec<Option<f64>> = appends
            .iter()
            .map(|append| append.progress.map(Progress::share))
            .collect();
        let chunks: Vec<(&LogAppend, &LogChunk)> = appends
            .iter()
            .flat_map(|append| append.chunks.iter().map(move |chunk| (append, chunk)))
            .collect();
        let of_tasks: Vec<Uuid> = chunks.iter().map(|(append, _)| append.task.0).collect();
        let of_attempts: Vec<i32> = chunks.iter().map(|(append, _)| int4(append.attempt)).collect();
        let sequences: Vec<i32> = chunks.iter().map(|(_, chunk)| int4(chunk.sequence)).collect();
        let streams: Vec<i16> = chunks.iter().map(|(_, chunk)| chunk.stream as i16).collect();
        let texts: Vec<&str> = chunks.iter().map(|(_, chunk)| chunk.text.as_str()).collect();
        let running: Vec<(Uuid, i32)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(APPEND)
                    .bind(&tasks)
                    .bind(&attempts)
                    .bind(&progress)
                    .bind(&of_tasks)
                    .bind(&of_attempts)
                    .bind(&sequences)
                    .bind(&streams)
                    .bind(&texts)
            })
            .await?;
        running
            .into_iter()
            .map(|(task, attempt)| {
                let place = Place {
                    table: "tasks",
                    row: &task,
                };
                Ok((TaskId(task), place.number("attempt", attempt)?))
            })
            .collect()
    }

    async fn logs(&self, task: TaskId, attempt: Option<u32>, stream: Option<LogStream>) -> Result<TaskLogs, Error> {
        let rows: Vec<(i32, i16, i32, String, i32)> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(READ)
                    .bind(task.0)
                    .bind(attempt.map(int4))
                    .bind(stream.map(|stream| stream as i16))
                    .bind(int8(PAGE_BYTES))
            })
            .await?;
        let earlier_left_out = rows.first().is_some_and(|(attempt, .., oldest)| attempt > oldest);
        let chunks = rows
            .into_iter()
            .map(|(attempt, stream, sequence, text, _)| chunk(task, attempt, sequence, stream, text))
            .collect::<Result<_, Error>>()?;
        Ok(TaskLogs {
            chunks,
            earlier_left_out,
        })
    }

    async fn new_logs(&self, asked: &[LogsFrom]) -> Result<Vec<Option<NewLogs>>, Error> {
        let tasks: Vec<Uuid> = asked.iter().map(|asked| asked.task.0).collect();
        let attempts: Vec<i32> = asked.iter().map(|asked| int4(asked.from.attempt)).collect();
        let sequences: Vec<i32> = asked.iter().map(|asked| int4(asked.from.sequence)).collect();
        let last: Vec<i32> = asked
            .iter()
            .map(|asked| asked.last_attempt.map_or(i32::MAX, int4))
            .collect();
        let rows: Vec<NewRow> = self
            .database
            .all(AfterUnknown::Repeat, || {
                sqlx::query_as(NEW)
                    .bind(&tasks)
                    .bind(&attempts)
                    .bind(&sequences)
                    .bind(&last)
                    // One more tells whether there is more.
                    .bind(int8(NEW_LOGS_CHUNKS + 1))
                    .bind(int8(NEW_LOGS_BYTES))
            })
            .await?;
        let mut answers: Vec<Option<NewLogs>> = asked.iter().map(|_| None).collect();
        for row in rows {
            let place = usize::try_from(row.turn - 1).ok();
            let Some((asked, answer)) = place.and_then(|place| asked.get(place).zip(answers.get_mut(place))) else {
                continue;
            };
            if answer.is_none() {
                *answer = Some(row.standing(asked.task)?);
            }
            if let Some(answer) = answer {
                row.add_to(asked.task, answer)?;
            }
        }
        Ok(answers)
    }
}

const APPEND: &str = "
    WITH appended AS MATERIALIZED (
        -- A column, for the reason that the statement of reported successes has.
        SELECT *, 1::smallint AS status
        FROM UNNEST($1::uuid[], $2::integer[], $3::double precision[]) AS appended (task_id, attempt, progress)
    ),
    running AS MATERIALIZED (
        SELECT tasks.id, tasks.attempt, appended.progress
        FROM appended
        JOIN tasks
            ON tasks.id = appended.task_id AND tasks.status = appended.status AND tasks.attempt = appended.attempt
        ORDER BY tasks.id
        -- Whoever ends the attempt waits, or has ended it: then it is not found here. So nothing comes after its end.
        -- As strong as the update of the progress, which need not wait for another lock then.
        FOR NO KEY UPDATE OF tasks
    ),
    stored AS (
        INSERT INTO task_logs (task_id, attempt, sequence, stream, content)
        SELECT chunk.*
        FROM UNNEST($4::uuid[], $5::integer[], $6::integer[], $7::smallint[], $8::text[])
            AS chunk (task_id, attempt, sequence, stream, content)
        JOIN running ON running.id = chunk.task_id AND running.attempt = chunk.attempt
        ON CONFLICT DO NOTHING
    ),
    told AS (
        UPDATE tasks
        SET progress = running.progress
        FROM running
        WHERE tasks.id = running.id AND running.progress IS NOT NULL
    )
    SELECT id, attempt FROM running";

const READ: &str = "
    WITH written AS (
        SELECT attempt, sum(octet_length(content)) AS size
        FROM task_logs
        WHERE task_id = $1 AND ($2::integer IS NULL OR attempt = $2) AND ($3::smallint IS NULL OR stream = $3)
        GROUP BY attempt
    ),
    summed AS (
        SELECT
            attempt,
            sum(size) OVER (ORDER BY attempt DESC) AS bytes,
            min(attempt) OVER () AS oldest,
            max(attempt) OVER () AS newest
        FROM written
    )
    SELECT task_logs.attempt, stream, sequence, content, oldest
    FROM summed
    JOIN task_logs ON task_logs.task_id = $1 AND task_logs.attempt = summed.attempt
    WHERE (bytes <= $4 OR summed.attempt = newest) AND ($3::smallint IS NULL OR stream = $3)
    ORDER BY task_logs.attempt, sequence";

/// One statement, so that the chunks and the state of the task are of the same moment: a task that is over has no chunk
/// that is not seen here.
const NEW: &str = "
    SELECT
        asked.turn,
        tasks.status,
        tasks.attempt AS newest_attempt,
        ended.outcome,
        log.attempt,
        log.sequence,
        log.stream,
        log.content,
        log.found
    FROM UNNEST($1::uuid[], $2::integer[], $3::integer[], $4::integer[])
        WITH ORDINALITY AS asked (task_id, attempt, sequence, last_attempt, turn)
    JOIN tasks ON tasks.id = asked.task_id
    LEFT JOIN attempts AS ended
        ON ended.task_id = tasks.id AND ended.attempt = LEAST(asked.last_attempt, tasks.attempt)
    LEFT JOIN LATERAL (
        SELECT *
        FROM (
            SELECT
                next.*,
                count(*) OVER () AS found,
                -- Texts that are stored apart tell their sizes without being read.
                sum(octet_length(content)) OVER (ORDER BY attempt, sequence ROWS UNBOUNDED PRECEDING) AS bytes,
                row_number() OVER (ORDER BY attempt, sequence) AS place
            FROM (
                SELECT attempt, sequence, stream, content
                FROM task_logs
                WHERE task_logs.task_id = asked.task_id
                    AND (task_logs.attempt, task_logs.sequence) >= (asked.attempt, asked.sequence)
                    AND task_logs.attempt <= asked.last_attempt
                ORDER BY attempt, sequence
                LIMIT $5
            ) AS next
        ) AS sized
        WHERE (bytes <= $6 AND place < $5) OR place = 1
    ) AS log ON TRUE
    ORDER BY asked.turn, log.attempt, log.sequence";

#[derive(FromRow)]
struct NewRow {
    turn: i64,
    status: i16,
    newest_attempt: i32,
    outcome: Option<i16>,
    attempt: Option<i32>,
    sequence: Option<i32>,
    stream: Option<i16>,
    content: Option<String>,
    found: Option<i64>,
}

impl NewRow {
    /// How the task stands, with none of its chunks yet.
    fn standing(&self, task: TaskId) -> Result<NewLogs, Error> {
        let place = Place {
            table: "tasks",
            row: &task,
        };
        let outcome = |code| place.present("outcome", AttemptOutcome::from_code(code));
        Ok(NewLogs {
            status: place.present("status", TaskStatus::from_code(self.status))?,
            newest_attempt: place.number("attempt", self.newest_attempt)?,
            outcome: self.outcome.map(outcome).transpose()?,
            chunks: Vec::new(),
            more: false,
        })
    }

    fn add_to(self, task: TaskId, answer: &mut NewLogs) -> Result<(), Error> {
        let (Some(attempt), Some(sequence), Some(stream), Some(text), Some(found)) =
            (self.attempt, self.sequence, self.stream, self.content, self.found)
        else {
            return Ok(());
        };
        answer.chunks.push(chunk(task, attempt, sequence, stream, text)?);
        answer.more = found > int8(answer.chunks.len());
        Ok(())
    }
}

fn chunk(task: TaskId, attempt: i32, sequence: i32, stream: i16, text: String) -> Result<StoredLogChunk, Error> {
    let row = format!("{task}/{attempt}/{sequence}");
    let place = Place {
        table: "task_logs",
        row: &row,
    };
    Ok(StoredLogChunk {
        attempt: place.number("attempt", attempt)?,
        chunk: LogChunk {
            stream: place.present("stream", LogStream::from_code(stream))?,
            sequence: place.number("sequence", sequence)?,
            text,
        },
    })
}
