-- Schedules: tasks that come by the clock.

CREATE TABLE schedules (
    -- UUIDv7: the primary key is the order of creation, so lists need no other index.
    id uuid PRIMARY KEY,
    -- What callers say:
    name text NOT NULL,
    cron text NOT NULL,
    time_zone text NOT NULL,
    -- The task of each slot, as its caller wrote it, checked.
    task text NOT NULL,
    overlap smallint NOT NULL,
    misfire smallint NOT NULL,
    start_at timestamptz,
    end_at timestamptz,
    jitter_ms bigint NOT NULL,
    paused boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Of what callers say: what the loop writes does not change it.
    version integer NOT NULL DEFAULT 1,
    -- What the loop writes:
    next_slot timestamptz,
    -- Slots that wait for the task before them, as a JSON array of microseconds.
    waiting text,
    -- When the loop has to look; NULL if there is nothing to wait for.
    wake_at timestamptz,
    last_slot timestamptz,
    last_skip_slot timestamptz,
    last_skip_reason smallint,
    last_skip_detail text,
    CONSTRAINT a_paused_schedule_waits_for_nothing CHECK (NOT paused OR wake_at IS NULL),
    CONSTRAINT a_skip_has_a_reason CHECK ((last_skip_slot IS NULL) = (last_skip_reason IS NULL))
);

CREATE INDEX schedules_wake ON schedules (wake_at) WHERE wake_at IS NOT NULL;

ALTER TABLE tasks
    -- The schedule that made the task, and the time it stands for: NULL where a caller triggered it, and for all others.
    ADD COLUMN schedule_id uuid,
    ADD COLUMN slot timestamptz,
    ADD CONSTRAINT a_slot_is_of_a_schedule CHECK (slot IS NULL OR schedule_id IS NOT NULL);

-- A slot has at most one task.
CREATE UNIQUE INDEX tasks_slot ON tasks (schedule_id, slot) WHERE schedule_id IS NOT NULL;
-- The lists by schedule.
CREATE INDEX tasks_schedule ON tasks (schedule_id, id) WHERE schedule_id IS NOT NULL;
-- Whether the one before is over.
CREATE INDEX tasks_schedule_live ON tasks (schedule_id) WHERE schedule_id IS NOT NULL AND status IN (0, 1);
