-- External workers: they claim over HTTP, and hold each task by a lease of its own.

ALTER TABLE workers
    -- The API key that it claims with; NULL for a worker process, as the next one.
    ADD COLUMN key_id text,
    -- A hash of that key, its name, and what it offers: whoever claims with the same is the same worker.
    ADD COLUMN offer bytea,
    ADD CONSTRAINT an_external_worker_has_an_offer CHECK (num_nulls(key_id, offer) <> 1);

CREATE UNIQUE INDEX workers_offer ON workers (offer) WHERE state = 0 AND offer IS NOT NULL;

-- One row for each attempt that an external worker runs, and for a while after its end: the sweep takes it when the lease is
-- over. So the end of an attempt costs the same whoever ran it.
CREATE TABLE external_claims (
    task_id uuid PRIMARY KEY,
    attempt integer NOT NULL,
    worker_id uuid NOT NULL,
    -- What the claim was called by who made it, and the place of the task in its answer.
    request_id text,
    place smallint NOT NULL,
    lease_ms bigint NOT NULL,
    -- When the timeout of the attempt has passed and its worker has had the time to say so; NULL without a timeout.
    ends_at timestamptz,
    -- Never after `ends_at`.
    lease_expires_at timestamptz NOT NULL
) WITH (
    fillfactor = 70,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- The sweep.
CREATE INDEX external_claims_lease ON external_claims (lease_expires_at);
-- A claim that is repeated.
CREATE INDEX external_claims_request ON external_claims (worker_id, request_id) WHERE request_id IS NOT NULL;

-- How far an attempt came, for the next one of the same run.
CREATE TABLE checkpoints (
    task_id uuid PRIMARY KEY,
    run integer NOT NULL,
    content text NOT NULL
);
