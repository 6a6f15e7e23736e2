-- Groups: many tasks, and then one. See ../postgres/0006_groups.sql.

CREATE TABLE task_groups (
    id BLOB PRIMARY KEY,
    name TEXT,
    -- 0 fail: the first member that does not succeed cancels the others; 1 continue.
    policy INTEGER NOT NULL,
    -- What runs when all members are over, as their caller wrote it, checked.
    on_complete TEXT,
    on_failure TEXT,
    size INTEGER NOT NULL,
    request_hash BLOB,
    trace_parent TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    -- 0 running, 1 failing, 2 cancelling; over: 3 completed, 4 failed, 5 cancelled.
    status INTEGER NOT NULL DEFAULT 0 CONSTRAINT group_status_is_known CHECK (status BETWEEN 0 AND 5),
    -- Members that are not over, and those that are over without success: less what group_ends still holds.
    remaining INTEGER NOT NULL,
    failed INTEGER NOT NULL DEFAULT 0,
    -- Why it is cancelled.
    reason TEXT,
    finished_at INTEGER,
    -- The task that came after it, or what was to come and why it could not be made.
    follow_up_id BLOB,
    missing_name TEXT,
    missing_reason TEXT,
    CONSTRAINT ended_group_has_a_time CHECK ((status >= 3) = (finished_at IS NOT NULL)),
    CONSTRAINT what_follows_a_group_is_made_or_missing
        CHECK (follow_up_id IS NULL OR (missing_name IS NULL AND missing_reason IS NULL))
) STRICT, WITHOUT ROWID;

-- Whose members are to be cancelled; rare rows.
CREATE INDEX task_groups_stopping ON task_groups (id) WHERE status IN (1, 2);

-- Members that ended, one row for each batch and group, written with their ends. The loop for groups takes them off.
CREATE TABLE group_ends (
    id INTEGER PRIMARY KEY,
    group_id BLOB NOT NULL,
    -- Less than 0 where members run once more.
    ended INTEGER NOT NULL,
    failed INTEGER NOT NULL
) STRICT;

CREATE INDEX group_ends_group ON group_ends (group_id);

-- The group of which it is a member, and the place in it from 0. NULL for most tasks.
ALTER TABLE tasks ADD COLUMN group_id BLOB;
ALTER TABLE tasks ADD COLUMN group_index INTEGER
    CONSTRAINT a_member_has_its_place CHECK ((group_id IS NULL) = (group_index IS NULL));

CREATE UNIQUE INDEX tasks_group ON tasks (group_id, group_index) WHERE group_id IS NOT NULL;
