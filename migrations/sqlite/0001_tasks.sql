-- Tasks, and everything one task needs. The tables of ../postgres/0001_tasks.sql: times are microseconds since 1970, ids
-- 16 bytes, lists and labels JSON. Each index is paid for at every write of its columns, so each says why it is there.

CREATE TABLE tasks (
    -- UUIDv7: the order of ids is the order of creation, so lists need no other index.
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    description TEXT,
    -- Verified JSON as text: the same bytes come back.
    input TEXT NOT NULL,
    labels TEXT,
    limits TEXT,
    backoff TEXT NOT NULL,
    ttl_ms INTEGER NOT NULL,
    timeout_ms INTEGER,
    max_retries INTEGER NOT NULL,
    max_losses INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    parent_id BLOB,
    request_hash BLOB,
    -- What the caller calls its trace (W3C `traceparent`) and its request; carried to the worker.
    trace_parent TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    scheduled_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- What changes:
    status INTEGER NOT NULL DEFAULT 0,
    run INTEGER NOT NULL DEFAULT 1,
    attempt INTEGER NOT NULL DEFAULT 0,
    version INTEGER NOT NULL DEFAULT 1,
    retries_left INTEGER NOT NULL,
    losses_left INTEGER NOT NULL,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    worker_id BLOB,
    started_at INTEGER,
    finished_at INTEGER,
    output TEXT,
    error TEXT,
    -- What the newest attempt told last. Written alone while it runs; like all that changes, not indexed.
    progress REAL,
    CONSTRAINT status_is_known CHECK (status BETWEEN 0 AND 5),
    CONSTRAINT running_has_a_worker CHECK (status <> 1 OR (worker_id IS NOT NULL AND started_at IS NOT NULL)),
    CONSTRAINT ended_has_a_time CHECK ((status >= 2) = (finished_at IS NOT NULL)),
    CONSTRAINT budgets_are_not_negative CHECK (retries_left >= 0 AND losses_left >= 0),
    CONSTRAINT progress_is_a_share CHECK (progress BETWEEN 0 AND 1)
) STRICT;

-- Rescue, the lists of the leases, and the sweep of running deadlines; as long as the workers have slots.
CREATE INDEX tasks_running ON tasks (worker_id) WHERE status = 1;
-- The lists of what went wrong; rare rows.
CREATE INDEX tasks_problem ON tasks (status, id) WHERE status IN (3, 4, 5);
CREATE INDEX tasks_parent ON tasks (parent_id, id) WHERE parent_id IS NOT NULL;
-- SQLite has no index over the entries of an object: this one leaves out the tasks without labels.
CREATE INDEX tasks_labels ON tasks (id) WHERE labels IS NOT NULL;

-- One row for each Pending task and none for any other. Deleting it is the claim.
CREATE TABLE dispatches (
    task_id BLOB PRIMARY KEY NOT NULL,
    target TEXT NOT NULL,
    name TEXT NOT NULL,
    priority INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    publish_at INTEGER NOT NULL,
    -- 0 ready, 1 delayed until due_at.
    state INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The claim's top-up, the feeder, and the sweep of names that nobody offers: each finds what workers offer behind any backlog
-- of what they do not, in the order in which tasks go. With the deadline, so that the claim need not look at the rows.
CREATE INDEX dispatches_ready ON dispatches (target, name, priority DESC, due_at, task_id, expires_at) WHERE state = 0;
-- The loop for due tasks.
CREATE INDEX dispatches_delayed ON dispatches (due_at) WHERE state = 1;
-- The sweep of pending deadlines.
CREATE INDEX dispatches_deadline ON dispatches (expires_at);

-- Written once, when an attempt ends; the open one is the task row itself.
CREATE TABLE attempts (
    task_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    worker_id BLOB,
    outcome INTEGER NOT NULL,
    error TEXT,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    exit_code INTEGER,
    peak_memory_bytes INTEGER,
    PRIMARY KEY (task_id, attempt)
) STRICT, WITHOUT ROWID;

-- Appended to while an attempt runs, and by the report that ends it.
CREATE TABLE task_logs (
    task_id BLOB NOT NULL,
    attempt INTEGER NOT NULL,
    -- The order of both streams together.
    sequence INTEGER NOT NULL,
    -- 0 stdout, 1 stderr.
    stream INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (task_id, attempt, sequence)
) STRICT;

-- The audit: one row for each change a caller made.
CREATE TABLE task_changes (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    -- NULL for a change of a queue.
    task_id BLOB,
    action TEXT NOT NULL,
    actor TEXT,
    detail TEXT,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX task_changes_task ON task_changes (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE workers (
    id BLOB PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    targets TEXT NOT NULL,
    names TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    isolation TEXT NOT NULL,
    environments TEXT NOT NULL,
    version TEXT NOT NULL,
    lease_ms INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    -- 0 live, 1 dead, 2 left.
    state INTEGER NOT NULL,
    renewed_at INTEGER NOT NULL,
    lease_expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Nothing of these is claimed.
CREATE TABLE paused_targets (
    target TEXT PRIMARY KEY NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    resource_ids TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key)
) STRICT;

-- Retention.
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
