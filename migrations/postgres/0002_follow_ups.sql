-- Follow-ups: tasks that are written with the change that ends the run of their parent.

ALTER TABLE tasks
    -- The lists as their caller wrote them, checked. NULL for most tasks, which then take no way but the shortest.
    ADD COLUMN follow_ups text,
    -- Which follow-up of the parent this task is: of which run, by how it ended (0 success, 1 failure, 2 cancel, 3 expire), and
    -- the place in that list. NULL for all others.
    ADD COLUMN parent_run integer,
    ADD COLUMN edge smallint,
    ADD COLUMN ordinal integer,
    ADD CONSTRAINT a_follow_up_has_its_place
        CHECK (num_nulls(parent_run, edge, ordinal) = 3 OR num_nulls(parent_id, parent_run, edge, ordinal) = 0);

-- In place of the one for lists by parent, whose children are few enough to be sorted: a follow-up exists at most once.
DROP INDEX tasks_parent;
CREATE UNIQUE INDEX tasks_parent ON tasks (parent_id, parent_run, edge, ordinal) WHERE parent_id IS NOT NULL;

-- A follow-up that was due and is no task: it could not be made, or was deleted. So each that was due is one or the other.
CREATE TABLE missing_follow_ups (
    parent_id uuid NOT NULL,
    parent_run integer NOT NULL,
    edge smallint NOT NULL,
    ordinal integer NOT NULL,
    -- What was to run.
    name text NOT NULL,
    -- 0 it could not be made, 1 it was deleted.
    cause smallint NOT NULL,
    reason text NOT NULL,
    missing_since timestamptz NOT NULL,
    PRIMARY KEY (parent_id, parent_run, edge, ordinal)
);
