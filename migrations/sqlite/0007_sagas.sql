-- Sagas: state machines that the server runs. See ../postgres/0007_sagas.sql.

-- Every version of a definition that was ever given; none changes.
CREATE TABLE saga_definitions (
    name TEXT NOT NULL,
    version INTEGER NOT NULL CONSTRAINT versions_begin_with_one CHECK (version >= 1),
    -- SHA-256 of the canonical form: the same content is the same version.
    fingerprint BLOB NOT NULL,
    -- As it was written.
    source TEXT NOT NULL,
    canonical TEXT NOT NULL,
    -- The events that start an instance, as a list in JSON.
    starting_events TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (name, version)
) STRICT;

CREATE TABLE sagas (
    -- UUIDv7: the primary key is the order of creation.
    id BLOB PRIMARY KEY NOT NULL,
    definition TEXT NOT NULL,
    definition_version INTEGER NOT NULL,
    correlation_id TEXT NOT NULL,
    input TEXT NOT NULL,
    -- What waits for its end: a number of another saga.
    parent_id BLOB,
    parent_number INTEGER,
    -- How many sagas are above it.
    depth INTEGER NOT NULL DEFAULT 0,
    trace_parent TEXT,
    request_id TEXT,
    created_at INTEGER NOT NULL,
    -- What changes:
    status INTEGER NOT NULL CONSTRAINT saga_status_is_known CHECK (status BETWEEN 0 AND 8),
    state TEXT NOT NULL,
    -- How many inputs have changed it.
    version INTEGER NOT NULL,
    -- The last number in its history.
    last_seq INTEGER NOT NULL,
    -- How many of the rows of its history are refusals: there is a limit.
    refusals INTEGER NOT NULL DEFAULT 0,
    -- Where it stands, as the core wrote it.
    instance TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    CONSTRAINT ended_saga_has_a_time CHECK ((status >= 5) = (finished_at IS NOT NULL)),
    CONSTRAINT a_child_has_a_number CHECK ((parent_id IS NULL) = (parent_number IS NULL)),
    CONSTRAINT a_child_is_below_its_parent CHECK ((parent_id IS NULL) = (depth = 0)),
    -- A start that is repeated finds the saga of the first. The correlation id first: events name only that.
    CONSTRAINT sagas_correlation UNIQUE (correlation_id, definition)
) STRICT;

-- Lists by definition.
CREATE INDEX sagas_definition ON sagas (definition, id);
-- The children of a saga.
CREATE INDEX sagas_parent ON sagas (parent_id, parent_number) WHERE parent_id IS NOT NULL;
-- Lists by status, and of those to which nothing happens. Of those that are Completed there are many wherever one looks.
CREATE INDEX sagas_status ON sagas (status, id) WHERE status <> 5;

-- Everything that ever reached a saga: from its arrival on, and then, with what came of it, as its history.
CREATE TABLE saga_events (
    -- The order of arrival.
    id INTEGER PRIMARY KEY,
    saga_id BLOB NOT NULL,
    -- See ../postgres/0007_sagas.sql.
    kind INTEGER NOT NULL CONSTRAINT saga_event_kind_is_known CHECK (kind BETWEEN 0 AND 11),
    -- Of the task, the compensation, what was parked, or the timer in its state.
    number INTEGER,
    -- Of a timer: which kind, and of which entry.
    timer INTEGER,
    entry INTEGER,
    -- Whoever sent it chose it; the same again is the same event.
    event_id TEXT,
    name TEXT,
    data TEXT,
    -- How a task ended without success.
    error TEXT,
    -- Whether it may have done something all the same.
    may_have_run INTEGER,
    actor TEXT,
    received_at INTEGER NOT NULL,
    -- What came of it; NULL until the saga has looked at it.
    seq INTEGER,
    -- 0 taken, 1 refused.
    result INTEGER,
    -- The version of the saga after it.
    version INTEGER,
    from_state TEXT,
    to_state TEXT,
    reason TEXT,
    -- What the saga did then, as JSON.
    notes TEXT,
    processed_at INTEGER,
    CONSTRAINT what_was_looked_at_has_a_result
        CHECK ((seq IS NULL) = (result IS NULL) AND (seq IS NULL) = (processed_at IS NULL))
) STRICT;

-- The history of one saga, a page at a time.
CREATE UNIQUE INDEX saga_events_history ON saga_events (saga_id, seq) WHERE seq IS NOT NULL;
-- What waits to be looked at.
CREATE INDEX saga_events_waiting ON saga_events (saga_id, id) WHERE seq IS NULL;
-- An event is taken once. One that was refused may come again.
CREATE UNIQUE INDEX saga_events_once ON saga_events (saga_id, event_id)
    WHERE event_id IS NOT NULL AND (result IS NULL OR result = 0);

CREATE TABLE saga_timers (
    saga_id BLOB NOT NULL,
    -- The entry of the state that it belongs to; 0 of the whole saga.
    entry INTEGER NOT NULL,
    timer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (saga_id, entry, timer, number)
) STRICT, WITHOUT ROWID;

CREATE INDEX saga_timers_due ON saga_timers (due_at);

-- The saga that it is a part of, the number by which that knows it, and whether it undoes something. NULL for most tasks.
ALTER TABLE tasks ADD COLUMN saga_id BLOB;
ALTER TABLE tasks ADD COLUMN saga_number INTEGER;
ALTER TABLE tasks ADD COLUMN saga_undoes INTEGER
    CONSTRAINT a_task_of_a_saga_has_its_number
        CHECK ((saga_id IS NULL) = (saga_number IS NULL) AND (saga_id IS NULL) = (saga_undoes IS NULL));

CREATE INDEX tasks_saga ON tasks (saga_id, saga_number) WHERE saga_id IS NOT NULL;
