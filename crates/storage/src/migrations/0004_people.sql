-- People: how they sign in, what they belong to, what they are told.
--
-- A user without a password has an empty `password_hash`. Tokens are stored as digests; an invite that waits for its mail
-- has none yet, since the mail's delivery draws it.
--! both
ALTER TABLE users ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN email_verified_at BIGINT;
ALTER TABLE users ADD COLUMN is_operator BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE users ADD COLUMN locale TEXT;
ALTER TABLE users ADD COLUMN state TEXT NOT NULL DEFAULT 'active';
ALTER TABLE users ADD COLUMN last_seen_at BIGINT;

ALTER TABLE membership ADD COLUMN invited_by TEXT;
ALTER TABLE membership ADD COLUMN last_active_at BIGINT;
CREATE INDEX membership_by_user ON membership (user_id);

CREATE TABLE passkey (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    credential_id BYTEA NOT NULL UNIQUE,
    public_key BYTEA NOT NULL,
    sign_count BIGINT NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX passkey_by_user ON passkey (user_id);

CREATE TABLE identity (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);

CREATE TABLE invite (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    token_hash BYTEA UNIQUE,
    invited_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    accepted_at BIGINT,
    accepted_by TEXT,
    withdrawn_at BIGINT,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX invite_pending ON invite (org_id, email) WHERE accepted_at IS NULL AND withdrawn_at IS NULL;

-- `session` is a word of SQL.
CREATE TABLE user_session (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    token_hash BYTEA NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    fresh_until BIGINT NOT NULL,
    address TEXT NOT NULL,
    agent TEXT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT
);
CREATE INDEX user_session_by_user ON user_session (user_id);

CREATE TABLE one_time_token (
    hash BYTEA NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    user_id TEXT,
    detail TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX one_time_token_by_user ON one_time_token (user_id, kind);
CREATE INDEX one_time_token_by_expiry ON one_time_token (expires_at);

CREATE TABLE handover (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL UNIQUE,
    ciphertext TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);

-- What happened and is told without having been asked for.
CREATE TABLE notice (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE INDEX notice_by_time ON notice (org_id, at);

-- The outbox. A mail that carries a link gets its token only when it is delivered.
CREATE TABLE mail (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    recipient TEXT NOT NULL,
    user_id TEXT,
    org_id TEXT,
    object TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    tries BIGINT NOT NULL,
    delivered_at BIGINT,
    given_up_at BIGINT,
    last_error TEXT
);
CREATE INDEX mail_by_due ON mail (due_at) WHERE delivered_at IS NULL AND given_up_at IS NULL;
