-- Audit records as canonical texts, the values beside them, checkpoints.
--
-- The chain of migration 0001 hashed other members, and no release was made with it: its rows are kept under another name,
-- and every chain begins anew.
--! both
ALTER TABLE audit RENAME TO audit_0001;
ALTER TABLE audit_head RENAME TO audit_head_0001;

-- `chain` is an organization's id, or 'instance'. `body` is what is hashed; the other columns repeat parts of it for
-- indexes, and are compared with it by the verification.
CREATE TABLE audit (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    action TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_by_id ON audit (chain, id);
CREATE INDEX audit_by_target ON audit (chain, target, seq);
CREATE INDEX audit_by_actor ON audit (chain, actor_id, seq);
CREATE INDEX audit_by_action ON audit (chain, action, seq);

-- Addresses and free text, as JSON with their salts. Deleting a row forgets them; the chain verifies all the same.
CREATE TABLE audit_value (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (chain, seq)
);

-- `signed_seq` is the last number that a checkpoint speaks of, `checkpoint` that checkpoint's number.
CREATE TABLE audit_head (
    chain TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    signed_seq BIGINT NOT NULL,
    checkpoint BIGINT
);

-- One row: what the audit key is known again by. A missing or another key is refused, never made anew.
CREATE TABLE audit_key_check (
    id BIGINT NOT NULL PRIMARY KEY,
    check_bytes BYTEA NOT NULL
);

-- Signed: the Merkle root over the heads that changed. `line` is what sinks get.
CREATE TABLE audit_checkpoint (
    number BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    line TEXT NOT NULL
);

-- Denied attempts, counted a minute: no flood of them can fill the chains.
CREATE TABLE security_minute (
    minute BIGINT NOT NULL,
    org_id TEXT NOT NULL,
    code TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    networks BIGINT NOT NULL,
    sample TEXT NOT NULL,
    PRIMARY KEY (minute, org_id, code)
);
