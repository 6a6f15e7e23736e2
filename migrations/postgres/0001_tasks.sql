-- Tasks, and everything one task needs. Each index is paid for at every write of its columns, so each says why it is
-- there; columns that change with the status are never indexed unless the index holds only the few rows it is for.

CREATE TABLE tasks (
    -- UUIDv7: the primary key is the order of creation, so lists need no other index.
    id uuid PRIMARY KEY,
    name text NOT NULL,
    target text NOT NULL,
    description text,
    -- Verified JSON as text: the same bytes come back, and SQLite holds the same.
    input text NOT NULL,
    labels jsonb,
    limits text,
    backoff text NOT NULL,
    ttl_ms bigint NOT NULL,
    timeout_ms bigint,
    max_retries smallint NOT NULL,
    max_losses smallint NOT NULL,
    priority smallint NOT NULL,
    parent_id uuid,
    request_hash bytea,
    -- What the caller calls its trace (W3C `traceparent`) and its request; carried to the worker.
    trace_parent text,
    request_id text,
    created_at timestamptz NOT NULL,
    scheduled_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- What changes:
    status smallint NOT NULL DEFAULT 0,
    run integer NOT NULL DEFAULT 1,
    attempt integer NOT NULL DEFAULT 0,
    version integer NOT NULL DEFAULT 1,
    retries_left smallint NOT NULL,
    losses_left smallint NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    worker_id uuid,
    started_at timestamptz,
    finished_at timestamptz,
    output text,
    error text,
    -- What the newest attempt told last. Written alone while it runs; like all that changes, not indexed.
    progress double precision,
    CONSTRAINT status_is_known CHECK (status BETWEEN 0 AND 5),
    CONSTRAINT running_has_a_worker CHECK (status <> 1 OR (worker_id IS NOT NULL AND started_at IS NOT NULL)),
    CONSTRAINT ended_has_a_time CHECK ((status >= 2) = (finished_at IS NOT NULL)),
    CONSTRAINT budgets_are_not_negative CHECK (retries_left >= 0 AND losses_left >= 0),
    CONSTRAINT progress_is_a_share CHECK (progress BETWEEN 0 AND 1)
) WITH (fillfactor = 80);

-- Rescue, the lists of the leases, and the sweep of running deadlines; as long as the workers have slots.
CREATE INDEX tasks_running ON tasks (worker_id) WHERE status = 1;
-- The lists of what went wrong; rare rows.
CREATE INDEX tasks_problem ON tasks (status, id) WHERE status IN (3, 4, 5);
-- Retention needs no index: ids are in the order of creation, so what finished long ago stands first.
CREATE INDEX tasks_parent ON tasks (parent_id, id) WHERE parent_id IS NOT NULL;
CREATE INDEX tasks_labels ON tasks USING gin (labels jsonb_path_ops) WHERE labels IS NOT NULL;

-- One row for each Pending task and none for any other. Deleting it is the claim.
CREATE TABLE dispatches (
    task_id uuid PRIMARY KEY,
    target text NOT NULL,
    name text NOT NULL,
    priority smallint NOT NULL,
    due_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    -- Not indexed, so that moving it is a HOT update.
    publish_at timestamptz NOT NULL,
    -- 0 ready, 1 delayed until due_at.
    state smallint NOT NULL
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- The claim's top-up, the feeder, and the sweep of names that nobody offers: each finds what workers offer behind any backlog
-- of what they do not, in the order in which tasks go.
CREATE INDEX dispatches_ready ON dispatches (target, name, priority DESC, due_at) WHERE state = 0;
-- The loop for due tasks.
CREATE INDEX dispatches_delayed ON dispatches (due_at) WHERE state = 1;
-- The sweep of pending deadlines.
CREATE INDEX dispatches_deadline ON dispatches (expires_at);

-- Written once, when an attempt ends; the open one is the task row itself.
CREATE TABLE attempts (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    run integer NOT NULL,
    worker_id uuid,
    outcome smallint NOT NULL,
    error text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    exit_code integer,
    peak_memory_bytes bigint,
    PRIMARY KEY (task_id, attempt)
);

-- Appended to while an attempt runs, and by the report that ends it.
CREATE TABLE task_logs (
    task_id uuid NOT NULL,
    attempt integer NOT NULL,
    -- The order of both streams together.
    sequence integer NOT NULL,
    -- 0 stdout, 1 stderr.
    stream smallint NOT NULL,
    content text NOT NULL,
    PRIMARY KEY (task_id, attempt, sequence)
);

-- The audit: one row for each change a caller made.
CREATE TABLE task_changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- NULL for a change of a queue.
    task_id uuid,
    action text NOT NULL,
    actor text,
    detail text,
    changed_at timestamptz NOT NULL
);

CREATE INDEX task_changes_task ON task_changes (task_id) WHERE task_id IS NOT NULL;

CREATE TABLE workers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    targets text[] NOT NULL,
    names text[] NOT NULL,
    capacity integer NOT NULL,
    isolation text NOT NULL,
    environments text[] NOT NULL,
    version text NOT NULL,
    lease_ms bigint NOT NULL,
    registered_at timestamptz NOT NULL,
    -- 0 live, 1 dead, 2 left.
    state smallint NOT NULL,
    renewed_at timestamptz NOT NULL,
    lease_expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Nothing of these is claimed.
CREATE TABLE paused_targets (
    target text PRIMARY KEY
);

CREATE TABLE idempotency_keys (
    scope text NOT NULL,
    key text NOT NULL,
    body_hash bytea NOT NULL,
    resource_ids uuid[] NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

-- Retention.
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);

CREATE TABLE api_keys (
    id text PRIMARY KEY,
    name text NOT NULL,
    secret_hash bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz
);
