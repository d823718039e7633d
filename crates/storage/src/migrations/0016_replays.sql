-- Answers of inference under an Idempotency-Key: what runs under one, what was answered, what was charged and not kept.
--! both

-- `state`: running; kept, with the answer; spent, charged and without it. `seat`: whose process runs it.
CREATE TABLE inference_replay (
    key_id TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    org_id TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    request_id TEXT NOT NULL,
    seat TEXT NOT NULL,
    state TEXT NOT NULL,
    content_type TEXT,
    reply BYTEA,
    reply_bytes BIGINT NOT NULL,
    claimed_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (key_id, path, idempotency_key)
);

CREATE INDEX inference_replay_by_expiry ON inference_replay (expires_at);
CREATE INDEX inference_replay_running ON inference_replay (seat) WHERE state = 'running';

-- Bytes of answers that are kept for an organization.
CREATE TABLE inference_replay_room (
    org_id TEXT NOT NULL PRIMARY KEY,
    bytes BIGINT NOT NULL
);
