-- The key's whole life: owner, policy, several secrets under one id, who used which, and answers that may be repeated.
--! both
ALTER TABLE api_key ADD COLUMN is_canary BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE api_key ADD COLUMN owner TEXT;
ALTER TABLE api_key ADD COLUMN state_by TEXT;
-- JSON; null = nothing is restricted.
ALTER TABLE api_key ADD COLUMN policy TEXT;
ALTER TABLE api_key ADD COLUMN stored_in TEXT;
ALTER TABLE api_key ADD COLUMN exposed_at BIGINT;
ALTER TABLE api_key ADD COLUMN rotation_due_since BIGINT;

CREATE INDEX api_key_by_state ON api_key (org_id, state, created_at, id);
CREATE INDEX api_key_by_environment ON api_key (org_id, environment_id, created_at);
CREATE INDEX api_key_by_source_tag ON api_key (org_id, source_tag);
CREATE INDEX api_key_by_owner ON api_key (org_id, owner);
CREATE INDEX api_key_by_last_use ON api_key (org_id, last_used_at);
CREATE INDEX api_key_by_expiry ON api_key (org_id, expires_at);
CREATE INDEX api_key_by_name ON api_key (org_id, LOWER(name));

ALTER TABLE secret ADD COLUMN recipe TEXT NOT NULL DEFAULT 'native';
ALTER TABLE secret ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE secret ADD COLUMN reissue_until BIGINT;
ALTER TABLE secret ADD COLUMN ends_at BIGINT;
ALTER TABLE secret ADD COLUMN quiet_hours BIGINT;
ALTER TABLE secret ADD COLUMN at_deadline TEXT NOT NULL DEFAULT 'end';
ALTER TABLE secret ADD COLUMN end_reason TEXT;
ALTER TABLE secret ADD COLUMN first_used_at BIGINT;
ALTER TABLE secret ADD COLUMN last_used_at BIGINT;
-- Ended for longer than nodes remember; never the newest of its key.
ALTER TABLE secret ADD COLUMN is_forgotten BOOLEAN NOT NULL DEFAULT FALSE;

CREATE INDEX secret_ending ON secret (ends_at, key_id) WHERE ends_at IS NOT NULL AND ended_at IS NULL;
CREATE INDEX secret_ended ON secret (ended_at) WHERE ended_at IS NOT NULL AND NOT is_forgotten;

-- Who uses a secret, from which network: at most 64 rows a secret.
CREATE TABLE caller (
    secret_id TEXT NOT NULL REFERENCES secret (id),
    network TEXT NOT NULL,
    client TEXT NOT NULL,
    first_seen BIGINT NOT NULL,
    last_seen BIGINT NOT NULL,
    requests BIGINT NOT NULL,
    last_model TEXT,
    last_status BIGINT,
    PRIMARY KEY (secret_id, network, client)
);

-- Answers of management acts under an Idempotency-Key: which object, never its secret.
CREATE TABLE replay (
    principal TEXT NOT NULL,
    path TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    object TEXT NOT NULL,
    status BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (principal, path, idempotency_key)
);

CREATE INDEX replay_by_expiry ON replay (expires_at);
