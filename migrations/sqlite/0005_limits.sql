-- Limits: how many tasks of a key run at a time, how often tasks of a key or of a target start, and which are made only once. See
-- ../postgres/0005_limits.sql.

-- What must hold before the task may run or be made, checked, its keys with their values. NULL for most tasks.
ALTER TABLE tasks ADD COLUMN conditions TEXT;

-- `dispatches.state` has more numbers for tasks that ask before they are ready: 2 waits for a place, 3 asks at due_at, 4 waits for
-- a start. The loop for due tasks looks for those of 3, which are few.
CREATE INDEX dispatches_asking ON dispatches (due_at) WHERE state = 3;

-- One row for each concurrency key of which somebody has or wants a place.
CREATE TABLE concurrency_keys (
    key TEXT PRIMARY KEY,
    -- What the newest task of the key said.
    key_limit INTEGER NOT NULL,
    held INTEGER NOT NULL CHECK (held >= 0),
    waiting INTEGER NOT NULL CHECK (waiting >= 0)
) STRICT, WITHOUT ROWID;

-- Free places that somebody waits for: there are next to none.
CREATE INDEX concurrency_keys_free ON concurrency_keys (key) WHERE waiting > 0 AND held < key_limit;

-- Who has a place: the ready and the running; and who waits for one.
CREATE TABLE places (
    task_id BLOB PRIMARY KEY,
    key TEXT NOT NULL,
    held INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The next in line.
CREATE INDEX places_waiting ON places (key, priority DESC, due_at, task_id) WHERE NOT held;
-- Who holds them: asked by people.
CREATE INDEX places_held ON places (key) WHERE held;

-- One row for each rate key that was used within its time.
CREATE TABLE rate_keys (
    key TEXT PRIMARY KEY,
    -- What the newest task of the key said.
    rate_limit INTEGER NOT NULL,
    per_ms INTEGER NOT NULL,
    -- When all starts that were taken are earned again.
    spent_until INTEGER NOT NULL,
    -- When the next start may be taken.
    opens_at INTEGER NOT NULL,
    waiting INTEGER NOT NULL CHECK (waiting >= 0)
) STRICT, WITHOUT ROWID;

-- The next start that somebody waits for.
CREATE INDEX rate_keys_waiting ON rate_keys (opens_at) WHERE waiting > 0;
-- Retention of those that rest.
CREATE INDEX rate_keys_resting ON rate_keys (spent_until) WHERE waiting = 0;

CREATE TABLE rate_waits (
    task_id BLOB PRIMARY KEY,
    key TEXT NOT NULL,
    priority INTEGER NOT NULL,
    due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The next in line.
CREATE INDEX rate_waits_line ON rate_waits (key, priority DESC, due_at, task_id);

-- How often tasks of a target start, as an operator said. The plain claim passes these targets over.
CREATE TABLE target_rates (
    target TEXT PRIMARY KEY,
    rate_limit INTEGER NOT NULL,
    per_ms INTEGER NOT NULL,
    burst INTEGER NOT NULL,
    spent_until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The newest of the tasks that are alike.
CREATE TABLE unique_keys (
    hash TEXT PRIMARY KEY,
    task_id BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- Goes with its task.
CREATE INDEX unique_keys_task ON unique_keys (task_id);
