//! What attempts write.

use async_trait::async_trait;
use orchestratum_core::TaskId;
use orchestratum_core::task::{AttemptOutcome, Progress, TaskStatus};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use super::error::sql;
use super::rows::{Hex, damaged, get, json, number, signed, task_id};
use crate::{
    Error, LogAppend, LogChunk, LogStore, LogStream, LogsFrom, NEW_LOGS_BYTES, NEW_LOGS_CHUNKS, NewLogs, PAGE_BYTES,
    StoredLogChunk, TaskLogs,
};

#[async_trait]
impl LogStore for SqliteStore {
    async fn append_logs(&self, appends: &[LogAppend]) -> Result<Vec<(TaskId, u32)>, Error> {
        if appends.is_empty() {
            return Ok(Vec::new());
        }
        let asked: Vec<(Hex, u32)> = appends
            .iter()
            .map(|append| (Hex(append.task.0), append.attempt))
            .collect();
        let mut transaction = self.begin().await?;
        let rows = sqlx::query(RUNNING)
            .bind(json(&asked))
            .fetch_all(&mut *transaction)
            .await
            .map_err(sql)?;
        let running = rows
            .iter()
            .map(|row| {
                let id = task_id(row, "id")?;
                Ok((id, number(row, "tasks", "attempt", id)?))
            })
            .collect::<Result<Vec<(TaskId, u32)>, Error>>()?;
        let chunks: Vec<(Hex, u32, u32, i16, &str)> = appends
            .iter()
            .filter(|append| running.contains(&(append.task, append.attempt)))
            .flat_map(|append| {
                append.chunks.iter().map(|chunk| {
                    let (stream, text) = (chunk.stream as i16, chunk.text.as_str());
                    (Hex(append.task.0), append.attempt, chunk.sequence, stream, text)
                })
            })
            .collect();
        sqlx::query(
            "INSERT INTO task_logs (task_id, attempt, sequence, stream, content)
             SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4
             FROM json_each(?1)
             WHERE TRUE
             ON CONFLICT DO NOTHING",
        )
        .bind(json(&chunks))
        .execute(&mut *transaction)
        .await
        .map_err(sql)?;
        let told = appends
            .iter()
            .filter(|append| running.contains(&(append.task, append.attempt)));
        keep_progress(&mut transaction, told).await?;
        transaction.commit().await.map_err(sql)?;
        Ok(running)
    }

    async fn logs(&self, task: TaskId, attempt: Option<u32>, stream: Option<LogStream>) -> Result<TaskLogs, Error> {
        let rows = sqlx::query(READ)
            .bind(task.0)
            .bind(attempt)
            .bind(stream.map(|stream| stream as i64))
            .bind(signed(PAGE_BYTES))
            .fetch_all(&self.read)
            .await
            .map_err(sql)?;
        let earlier_left_out = match rows.first() {
            Some(row) => get::<i64>(row, "attempt")? > get::<i64>(row, "oldest")?,
            None => false,
        };
        let chunks = rows.iter().map(|row| chunk(row, task)).collect::<Result<_, Error>>()?;
        Ok(TaskLogs {
            chunks,
            earlier_left_out,
        })
    }

    async fn new_logs(&self, asked: &[LogsFrom]) -> Result<Vec<Option<NewLogs>>, Error> {
        let mut answers = Vec::with_capacity(asked.len());
        // Nothing is far away here: a statement for each is cheaper than one that unfolds them all.
        for asked in asked {
            let rows = sqlx::query(NEW)
                .bind(asked.task.0)
                .bind(asked.from.attempt)
                .bind(asked.from.sequence)
                .bind(asked.last_attempt.unwrap_or(u32::MAX))
                // One more tells whether there is more.
                .bind(signed(NEW_LOGS_CHUNKS + 1))
                .bind(signed(NEW_LOGS_BYTES))
                .fetch_all(&self.read)
                .await
                .map_err(sql)?;
            answers.push(news(&rows, asked.task)?);
        }
        Ok(answers)
    }
}

/// The tasks run, under the lock of this transaction.
async fn keep_progress(
    connection: &mut SqliteConnection,
    appends: impl Iterator<Item = &LogAppend>,
) -> Result<(), Error> {
    let told: Vec<(Hex, f64)> = appends
        .filter_map(|append| Some((Hex(append.task.0), append.progress.map(Progress::share)?)))
        .collect();
    if told.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE tasks
         SET progress = w.value ->> 1
         FROM json_each(?1) w
         WHERE tasks.id = unhex(w.value ->> 0)",
    )
    .bind(json(&told))
    .execute(connection)
    .await
    .map_err(sql)?;
    Ok(())
}

const RUNNING: &str = "
    SELECT t.id, t.attempt
    FROM json_each(?1) w
    -- The plus keeps the planner from walking every running task through the index of those.
    CROSS JOIN tasks t ON t.id = unhex(w.value ->> 0) AND +t.status = 1 AND t.attempt = w.value ->> 1";

const READ: &str = "
    WITH written AS (
        SELECT attempt, sum(octet_length(content)) AS size
        FROM task_logs
        WHERE task_id = ?1 AND (?2 IS NULL OR attempt = ?2) AND (?3 IS NULL OR stream = ?3)
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
    JOIN task_logs ON task_logs.task_id = ?1 AND task_logs.attempt = summed.attempt
    WHERE (bytes <= ?4 OR summed.attempt = newest) AND (?3 IS NULL OR stream = ?3)
    ORDER BY task_logs.attempt, sequence";

/// One statement, so that the chunks and the state of the task are of the same moment: a task that is over has no chunk
/// that is not seen here.
const NEW: &str = "
    SELECT t.status, t.attempt AS newest_attempt, a.outcome, l.attempt, l.sequence, l.stream, l.content, l.found
    FROM tasks t
    LEFT JOIN attempts a ON a.task_id = t.id AND a.attempt = min(?4, t.attempt)
    LEFT JOIN (
        SELECT *
        FROM (
            SELECT
                *,
                count(*) OVER () AS found,
                sum(octet_length(content)) OVER (ORDER BY attempt, sequence ROWS UNBOUNDED PRECEDING) AS bytes,
                row_number() OVER (ORDER BY attempt, sequence) AS place
            FROM (
                SELECT attempt, sequence, stream, content
                FROM task_logs
                WHERE task_id = ?1 AND (attempt, sequence) >= (?2, ?3) AND attempt <= ?4
                ORDER BY attempt, sequence
                LIMIT ?5
            )
        )
        WHERE (bytes <= ?6 AND place < ?5) OR place = 1
    ) l
    WHERE t.id = ?1
    ORDER BY l.attempt, l.sequence";

/// Every row has the columns of the task, and those of one chunk if there are any.
fn news(rows: &[SqliteRow], task: TaskId) -> Result<Option<NewLogs>, Error> {
    let Some(first) = rows.first() else {
        return Ok(None);
    };
    let status: i16 = number(first, "tasks", "status", task)?;
    let outcome = |code| {
        AttemptOutcome::from_code(code)
            .ok_or_else(|| damaged("attempts", "outcome", task, format!("{code} is no outcome")))
    };
    let found: Option<i64> = get(first, "found")?;
    let chunks = match found {
        Some(_) => rows
            .iter()
            .map(|row| chunk(row, task))
            .collect::<Result<Vec<_>, Error>>()?,
        None => Vec::new(),
    };
    Ok(Some(NewLogs {
        status: TaskStatus::from_code(status)
            .ok_or_else(|| damaged("tasks", "status", task, format!("{status} is no status")))?,
        newest_attempt: number(first, "tasks", "newest_attempt", task)?,
        outcome: get::<Option<i16>>(first, "outcome")?.map(outcome).transpose()?,
        more: found.is_some_and(|found| found > signed(chunks.len())),
        chunks,
    }))
}

fn chunk(row: &SqliteRow, task: TaskId) -> Result<StoredLogChunk, Error> {
    let stream: i16 = number(row, "task_logs", "stream", task)?;
    Ok(StoredLogChunk {
        attempt: number(row, "task_logs", "attempt", task)?,
        chunk: LogChunk {
            stream: LogStream::from_code(stream)
                .ok_or_else(|| damaged("task_logs", "stream", task, format!("{stream} is no stream")))?,
            sequence: number(row, "task_logs", "sequence", task)?,
            text: get(row, "content")?,
        },
    })
}
