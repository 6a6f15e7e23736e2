-- Follow-ups: tasks that are written with the change that ends the run of their parent. See ../postgres/0002_follow_ups.sql.

-- The lists as their caller wrote them, checked. NULL for most tasks, which then take no way but the shortest.
ALTER TABLE tasks ADD COLUMN follow_ups TEXT;
-- Which follow-up of the parent this task is: of which run, by how it ended (0 success, 1 failure, 2 cancel, 3 expire), and the
-- place in that list. NULL for all others.
ALTER TABLE tasks ADD COLUMN parent_run INTEGER;
ALTER TABLE tasks ADD COLUMN edge INTEGER;
ALTER TABLE tasks ADD COLUMN ordinal INTEGER
    CONSTRAINT a_follow_up_has_its_place CHECK (
        (parent_run IS NULL AND edge IS NULL AND ordinal IS NULL)
        OR (parent_id IS NOT NULL AND parent_run IS NOT NULL AND edge IS NOT NULL AND ordinal IS NOT NULL)
    );

-- In place of the one for lists by parent, whose children are few enough to be sorted: a follow-up exists at most once.
DROP INDEX tasks_parent;
CREATE UNIQUE INDEX tasks_parent ON tasks (parent_id, parent_run, edge, ordinal) WHERE parent_id IS NOT NULL;

-- A follow-up that was due and is no task: it could not be made, or was deleted. So each that was due is one or the other.
CREATE TABLE missing_follow_ups (
    parent_id BLOB NOT NULL,
    parent_run INTEGER NOT NULL,
    edge INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    -- What was to run.
    name TEXT NOT NULL,
    -- 0 it could not be made, 1 it was deleted.
    cause INTEGER NOT NULL,
    reason TEXT NOT NULL,
    missing_since INTEGER NOT NULL,
    PRIMARY KEY (parent_id, parent_run, edge, ordinal)
) STRICT, WITHOUT ROWID;
