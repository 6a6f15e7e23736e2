-- Groups: many tasks, and then one.

CREATE TABLE task_groups (
    -- UUIDv7: the primary key is the order of creation.
    id uuid PRIMARY KEY,
    name text,
    -- 0 fail: the first member that does not succeed cancels the others; 1 continue.
    policy smallint NOT NULL,
    -- What runs when all members are over, as their caller wrote it, checked.
    on_complete text,
    on_failure text,
    size integer NOT NULL,
    request_hash bytea,
    trace_parent text,
    request_id text,
    created_at timestamptz NOT NULL,
    -- 0 running, 1 failing, 2 cancelling; over: 3 completed, 4 failed, 5 cancelled.
    status smallint NOT NULL DEFAULT 0,
    -- Members that are not over, and those that are over without success: less what group_ends still holds.
    remaining integer NOT NULL,
    failed integer NOT NULL DEFAULT 0,
    -- Why it is cancelled.
    reason text,
    finished_at timestamptz,
    -- The task that came after it, or what was to come and why it could not be made.
    follow_up_id uuid,
    missing_name text,
    missing_reason text,
    CONSTRAINT group_status_is_known CHECK (status BETWEEN 0 AND 5),
    CONSTRAINT ended_group_has_a_time CHECK ((status >= 3) = (finished_at IS NOT NULL)),
    CONSTRAINT what_follows_a_group_is_made_or_missing
        CHECK (follow_up_id IS NULL OR num_nonnulls(missing_name, missing_reason) = 0)
) WITH (fillfactor = 80);

-- Whose members are to be cancelled; rare rows.
CREATE INDEX task_groups_stopping ON task_groups (id) WHERE status IN (1, 2);

-- Members that ended, one row for each batch and group: written with their ends, so that batches never wait for each other at
-- the row of a group. The loop for groups takes them off.
CREATE TABLE group_ends (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    group_id uuid NOT NULL,
    -- Less than 0 where members run once more.
    ended integer NOT NULL,
    failed integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE INDEX group_ends_group ON group_ends (group_id);

ALTER TABLE tasks
    -- The group of which it is a member, and the place in it from 0. NULL for most tasks.
    ADD COLUMN group_id uuid,
    ADD COLUMN group_index integer,
    ADD CONSTRAINT a_member_has_its_place CHECK ((group_id IS NULL) = (group_index IS NULL));

CREATE UNIQUE INDEX tasks_group ON tasks (group_id, group_index) WHERE group_id IS NOT NULL;
