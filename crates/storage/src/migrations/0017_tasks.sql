-- Work at upstreams that outlives the call which asked for it: one row a task, and the account of its hold.
--! both

CREATE TABLE task (
    id TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES wallet (org_id),
    environment_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    -- Whose process asked an upstream: what it had not handed over when it ended is lost.
    seat TEXT NOT NULL,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    -- Of a video: what was asked for.
    prompt TEXT,
    seconds BIGINT,
    videos BIGINT,
    size TEXT,
    metadata TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Whether its hold is still to be captured or released.
    is_open BOOLEAN NOT NULL,
    progress BIGINT NOT NULL,
    made_seconds BIGINT,
    provider TEXT,
    provider_id TEXT,
    upstream_model TEXT,
    upstream_id TEXT,
    error_code TEXT,
    error_message TEXT,
    hold BIGINT NOT NULL CHECK (hold >= 0),
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    completed_at BIGINT,
    expires_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    -- What became of it when its upstream changed its verdict behind the end; once.
    late TEXT,
    -- The record of its request: until its end as far as it is known.
    body BYTEA NOT NULL,
    -- The answer of a call that was answered as a whole.
    result_type TEXT,
    result BYTEA,
    callback_url TEXT,
    callback_signing BYTEA,
    -- When its end is told next; NULL = it has been told, or nobody asked.
    callback_due_at BIGINT,
    callback_tries BIGINT NOT NULL
);

CREATE INDEX task_by_organization ON task (org_id, created_at, id);
CREATE INDEX task_due ON task (due_at);
CREATE INDEX task_open ON task (is_open, seat, provider_id);
CREATE INDEX task_callback ON task (callback_due_at);
