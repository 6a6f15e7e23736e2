-- External workers: they claim over HTTP, and hold each task by a lease of its own. See
-- ../postgres/0004_external_workers.sql.

-- The API key that it claims with; NULL for a worker process, as the next one.
ALTER TABLE workers ADD COLUMN key_id TEXT;
-- A hash of that key, its name, and what it offers: whoever claims with the same is the same worker.
ALTER TABLE workers ADD COLUMN offer BLOB
    CONSTRAINT an_external_worker_has_an_offer CHECK ((key_id IS NULL) = (offer IS NULL));

CREATE UNIQUE INDEX workers_offer ON workers (offer) WHERE state = 0 AND offer IS NOT NULL;

-- One row for each attempt that an external worker runs, and for a while after its end: the sweep takes it when the lease is
-- over. So the end of an attempt costs the same whoever ran it.
CREATE TABLE external_claims (
    task_id BLOB PRIMARY KEY,
    attempt INTEGER NOT NULL,
    worker_id BLOB NOT NULL,
    -- What the claim was called by who made it, and the place of the task in its answer.
    request_id TEXT,
    place INTEGER NOT NULL,
    lease_ms INTEGER NOT NULL,
    -- When the timeout of the attempt has passed and its worker has had the time to say so; NULL without a timeout.
    ends_at INTEGER,
    -- Never after `ends_at`.
    lease_expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The sweep.
CREATE INDEX external_claims_lease ON external_claims (lease_expires_at);
-- A claim that is repeated.
CREATE INDEX external_claims_request ON external_claims (worker_id, request_id) WHERE request_id IS NOT NULL;

-- How far an attempt came, for the next one of the same run.
CREATE TABLE checkpoints (
    task_id BLOB PRIMARY KEY,
    run INTEGER NOT NULL,
    content TEXT NOT NULL
) STRICT, WITHOUT ROWID;
