-- The first schema. A shipped migration is never edited.
--
-- Types are TEXT, BIGINT, BOOLEAN, BYTEA only: ids are text, times microseconds since 1970, money nano-units, JSON opaque
-- text that no query looks into. Sections: both engines, or the named one.
--! both
CREATE TABLE organization (
    id TEXT NOT NULL PRIMARY KEY,
    slug TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    default_environment TEXT NOT NULL,
    max_keys BIGINT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE environment (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id),
    UNIQUE (org_id, name)
);

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE membership (
    org_id TEXT NOT NULL REFERENCES organization (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, user_id)
);

CREATE TABLE api_key (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT NOT NULL,
    class TEXT NOT NULL,
    is_test BOOLEAN NOT NULL,
    name TEXT NOT NULL,
    source_tag TEXT,
    role TEXT,
    state TEXT NOT NULL,
    state_at BIGINT,
    state_reason TEXT,
    expires_at BIGINT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    last_used_at BIGINT,
    version BIGINT NOT NULL,
    UNIQUE (org_id, id),
    FOREIGN KEY (org_id, environment_id) REFERENCES environment (org_id, id)
);

CREATE INDEX api_key_by_creation ON api_key (org_id, created_at, id);

CREATE TABLE secret (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL PRIMARY KEY,
    key_id TEXT NOT NULL,
    number BIGINT NOT NULL,
    digest BYTEA NOT NULL UNIQUE,
    pepper_version BIGINT NOT NULL,
    redacted TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    UNIQUE (key_id, number),
    FOREIGN KEY (org_id, key_id) REFERENCES api_key (org_id, id)
);

CREATE TABLE pepper_check (
    version BIGINT NOT NULL PRIMARY KEY,
    check_bytes BYTEA NOT NULL
);

-- One row. Locked to the end of every transaction that changes rights, so that numbers become visible in order.
CREATE TABLE epoch (
    id BIGINT NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE rights_event (
    epoch BIGINT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    object TEXT,
    amount BIGINT,
    at BIGINT NOT NULL
);

CREATE TABLE audit_head (
    chain TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL
);

CREATE TABLE audit (
    chain TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id TEXT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    address TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    changes TEXT NOT NULL,
    previous BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    mac BYTEA NOT NULL,
    PRIMARY KEY (chain, seq)
);

-- The balance is a cache of the transfers, changed with them; `seq` counts the wallet's transfers in commit order.
CREATE TABLE wallet (
    org_id TEXT NOT NULL PRIMARY KEY REFERENCES organization (id),
    balance BIGINT NOT NULL CHECK (balance >= 0),
    funded BIGINT NOT NULL CHECK (funded >= 0),
    seq BIGINT NOT NULL
);

-- No foreign key to the wallet: the check on `wallet_seq` refuses a transfer of an unknown wallet for less.
CREATE TABLE transfer (
    kind TEXT NOT NULL,
    ref TEXT NOT NULL,
    id TEXT NOT NULL,
    org_id TEXT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    price_version TEXT,
    wallet_seq BIGINT,
    at BIGINT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (kind, ref),
    CHECK (wallet_seq IS NOT NULL OR (debit <> 'wallet' AND credit <> 'wallet'))
);

-- `id` grows with the time of admission, so the primary key also pages a list by time.
CREATE TABLE request (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    source_tag TEXT,
    model TEXT NOT NULL,
    completed_at BIGINT NOT NULL,
    outcome TEXT NOT NULL,
    charge BIGINT NOT NULL,
    delivery TEXT NOT NULL,
    m_input_token BIGINT,
    m_cached_input_token BIGINT,
    m_cache_write_token BIGINT,
    m_cache_write_1h_token BIGINT,
    m_image_input_token BIGINT,
    m_audio_input_token BIGINT,
    m_character BIGINT,
    m_audio_second BIGINT,
    m_search_unit BIGINT,
    m_request BIGINT,
    m_output_token BIGINT,
    m_reasoning_token BIGINT,
    m_image_output_token BIGINT,
    m_audio_output_token BIGINT,
    m_image BIGINT,
    m_video_second BIGINT,
    m_tool_call BIGINT,
    detail TEXT NOT NULL,
    PRIMARY KEY (org_id, id)
);

CREATE INDEX request_by_completion ON request (org_id, completed_at);

-- Requests that were still open at a later group; deleted with their charge. What is left at the next open was lost.
CREATE TABLE intent (
    request_id TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    model TEXT NOT NULL,
    hold BIGINT NOT NULL,
    at BIGINT NOT NULL
);

-- One row: ids of charged requests whose last piece was not yet handed over when the group was written.
CREATE TABLE delivery (
    id BIGINT NOT NULL PRIMARY KEY,
    pending TEXT NOT NULL
);

CREATE TABLE in_doubt (
    request_id TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    charge BIGINT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE price_version (
    id TEXT NOT NULL PRIMARY KEY,
    model TEXT NOT NULL,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO epoch (id, value) VALUES (1, 0);
INSERT INTO delivery (id, pending) VALUES (1, '');

--! sqlite
CREATE TRIGGER transfer_no_update BEFORE UPDATE ON transfer
BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;
CREATE TRIGGER transfer_no_delete BEFORE DELETE ON transfer
BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END;

--! postgres
CREATE FUNCTION claviger_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'transfers are append-only'; END $$;
CREATE TRIGGER transfer_no_change BEFORE UPDATE OR DELETE ON transfer
FOR EACH ROW EXECUTE FUNCTION claviger_append_only();
CREATE TRIGGER transfer_no_truncate BEFORE TRUNCATE ON transfer
FOR EACH STATEMENT EXECUTE FUNCTION claviger_append_only();
