-- Sagas: state machines that the server runs.

-- Every version of a definition that was ever given; none changes.
CREATE TABLE saga_definitions (
    name text NOT NULL,
    version integer NOT NULL,
    -- SHA-256 of the canonical form: the same content is the same version.
    fingerprint bytea NOT NULL,
    -- As it was written.
    source text NOT NULL,
    canonical text NOT NULL,
    -- The events that start an instance, as a list in JSON.
    starting_events jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (name, version),
    CONSTRAINT versions_begin_with_one CHECK (version >= 1)
);

CREATE TABLE sagas (
    -- UUIDv7: the primary key is the order of creation.
    id uuid PRIMARY KEY,
    definition text NOT NULL,
    definition_version integer NOT NULL,
    -- By its bytes, so that all that begin alike are a range of their index.
    correlation_id text COLLATE "C" NOT NULL,
    input text NOT NULL,
    -- What waits for its end: a number of another saga.
    parent_id uuid,
    parent_number integer,
    -- How many sagas are above it.
    depth smallint NOT NULL DEFAULT 0,
    trace_parent text,
    request_id text,
    created_at timestamptz NOT NULL,
    -- What changes. None of it is indexed but the status, where it is one of few.
    status smallint NOT NULL,
    state text NOT NULL,
    -- How many inputs have changed it.
    version bigint NOT NULL,
    -- The last number in its history.
    last_seq bigint NOT NULL,
    -- How many of the rows of its history are refusals: there is a limit.
    refusals integer NOT NULL DEFAULT 0,
    -- Where it stands, as the core wrote it.
    instance text NOT NULL,
    updated_at timestamptz NOT NULL,
    finished_at timestamptz,
    CONSTRAINT saga_status_is_known CHECK (status BETWEEN 0 AND 8),
    CONSTRAINT ended_saga_has_a_time CHECK ((status >= 5) = (finished_at IS NOT NULL)),
    CONSTRAINT a_child_has_a_number CHECK ((parent_id IS NULL) = (parent_number IS NULL)),
    CONSTRAINT a_child_is_below_its_parent CHECK ((parent_id IS NULL) = (depth = 0)),
    -- A start that is repeated finds the saga of the first. The correlation id first: events name only that.
    CONSTRAINT sagas_correlation UNIQUE (correlation_id, definition)
-- Those of one page were often started together and go on together: each finds room for its next form beside itself, and no index is
-- written.
) WITH (fillfactor = 45);

-- Lists by definition.
CREATE INDEX sagas_definition ON sagas (definition, id);
-- The children of a saga.
CREATE INDEX sagas_parent ON sagas (parent_id, parent_number) WHERE parent_id IS NOT NULL;
-- Lists by status, and of those to which nothing happens. Of those that are Completed there are many wherever one looks.
CREATE INDEX sagas_status ON sagas (status, id) WHERE status <> 5;

-- Everything that ever reached a saga: from its arrival on, and then, with what came of it, as its history.
CREATE TABLE saga_events (
    -- The order of arrival. No index of its own: it is asked for together with the saga, by the index of what waits.
    id bigint GENERATED ALWAYS AS IDENTITY,
    saga_id uuid NOT NULL,
    -- 0 started, 1 event, 2 a task ended, 3 a compensation ended, 4 a timer, 5 cancel, 6 a compensation is retried, 7 skipped,
    -- 8 what was parked is retried, 9 discarded, 10 the saga is retried, 11 it goes on by another version of its definition.
    kind smallint NOT NULL,
    -- Of the task, the compensation, what was parked, or the timer in its state.
    number integer,
    -- Of a timer: which kind, and of which entry.
    timer smallint,
    entry integer,
    -- Whoever sent it chose it; the same again is the same event.
    event_id text,
    name text,
    data text,
    -- How a task ended without success.
    error text,
    -- Whether it may have done something all the same.
    may_have_run boolean,
    actor text,
    received_at timestamptz NOT NULL,
    -- What came of it; NULL until the saga has looked at it.
    seq bigint,
    -- 0 taken, 1 refused.
    result smallint,
    -- The version of the saga after it.
    version bigint,
    from_state text,
    to_state text,
    reason text,
    -- What the saga did then, as JSON.
    notes text,
    processed_at timestamptz,
    CONSTRAINT saga_event_kind_is_known CHECK (kind BETWEEN 0 AND 11),
    CONSTRAINT what_was_looked_at_has_a_result
        CHECK ((seq IS NULL) = (result IS NULL) AND (seq IS NULL) = (processed_at IS NULL))
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.02
);

-- Without a primary key, replication needs another way to tell rows apart.
ALTER TABLE saga_events REPLICA IDENTITY FULL;

-- The history of one saga, a page at a time.
CREATE UNIQUE INDEX saga_events_history ON saga_events (saga_id, seq) WHERE seq IS NOT NULL;
-- What waits to be looked at.
CREATE UNIQUE INDEX saga_events_waiting ON saga_events (saga_id, id) WHERE seq IS NULL;
-- An event is taken once. One that was refused may come again.
CREATE UNIQUE INDEX saga_events_once ON saga_events (saga_id, event_id)
    WHERE event_id IS NOT NULL AND (result IS NULL OR result = 0);

CREATE TABLE saga_timers (
    saga_id uuid NOT NULL,
    -- The entry of the state that it belongs to; 0 of the whole saga.
    entry integer NOT NULL,
    timer smallint NOT NULL,
    number integer NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (saga_id, entry, timer, number)
);

CREATE INDEX saga_timers_due ON saga_timers (due_at);

ALTER TABLE tasks
    -- The saga that it is a part of, the number by which that knows it, and whether it undoes something. NULL for most tasks.
    ADD COLUMN saga_id uuid,
    ADD COLUMN saga_number integer,
    ADD COLUMN saga_undoes boolean,
    ADD CONSTRAINT a_task_of_a_saga_has_its_number
        CHECK ((saga_id IS NULL) = (saga_number IS NULL) AND (saga_id IS NULL) = (saga_undoes IS NULL));

CREATE INDEX tasks_saga ON tasks (saga_id, saga_number) WHERE saga_id IS NOT NULL;
