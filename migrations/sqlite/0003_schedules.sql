-- Schedules: tasks that come by the clock. See ../postgres/0003_schedules.sql.

CREATE TABLE schedules (
    id BLOB PRIMARY KEY,
    -- What callers say:
    name TEXT NOT NULL,
    cron TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    -- The task of each slot, as its caller wrote it, checked.
    task TEXT NOT NULL,
    overlap INTEGER NOT NULL,
    misfire INTEGER NOT NULL,
    start_at INTEGER,
    end_at INTEGER,
    jitter_ms INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Of what callers say: what the loop writes does not change it.
    version INTEGER NOT NULL DEFAULT 1,
    -- What the loop writes:
    next_slot INTEGER,
    -- Slots that wait for the task before them, as a JSON array of microseconds.
    waiting TEXT,
    -- When the loop has to look; NULL if there is nothing to wait for.
    wake_at INTEGER,
    last_slot INTEGER,
    last_skip_slot INTEGER,
    last_skip_reason INTEGER,
    last_skip_detail TEXT,
    CONSTRAINT a_paused_schedule_waits_for_nothing CHECK (NOT paused OR wake_at IS NULL),
    CONSTRAINT a_skip_has_a_reason CHECK ((last_skip_slot IS NULL) = (last_skip_reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX schedules_wake ON schedules (wake_at) WHERE wake_at IS NOT NULL;

-- The schedule that made the task, and the time it stands for: NULL where a caller triggered it, and for all others.
ALTER TABLE tasks ADD COLUMN schedule_id BLOB;
ALTER TABLE tasks ADD COLUMN slot INTEGER
    CONSTRAINT a_slot_is_of_a_schedule CHECK (slot IS NULL OR schedule_id IS NOT NULL);

-- A slot has at most one task.
CREATE UNIQUE INDEX tasks_slot ON tasks (schedule_id, slot) WHERE schedule_id IS NOT NULL;
-- The lists by schedule.
CREATE INDEX tasks_schedule ON tasks (schedule_id, id) WHERE schedule_id IS NOT NULL;
-- Whether the one before is over.
CREATE INDEX tasks_schedule_live ON tasks (schedule_id) WHERE schedule_id IS NOT NULL AND status IN (0, 1);
