-- Trusts: which tokens of other issuers become keys of an agent.
--! both
CREATE TABLE trust (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL PRIMARY KEY,
    agent_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    audience TEXT NOT NULL,
    subject TEXT NOT NULL,
    claims TEXT NOT NULL,
    ttl_seconds BIGINT NOT NULL,
    is_single_use BOOLEAN NOT NULL,
    source_tag TEXT,
    policy TEXT,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    UNIQUE (org_id, id),
    FOREIGN KEY (org_id, agent_id) REFERENCES agent (org_id, id)
);

CREATE INDEX trust_by_agent ON trust (org_id, agent_id, created_at, id);
CREATE INDEX trust_by_issuer ON trust (issuer, audience, created_at, id);

-- Digests of tokens that became a key of a trust and still hold: a second time they do not.
CREATE TABLE trust_use (
    trust_id TEXT NOT NULL,
    token_hash BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (trust_id, token_hash)
);

CREATE INDEX trust_use_by_expiry ON trust_use (expires_at);

-- The trust that a key came from; such keys end within the hour and count by their trust, not by the organization.
ALTER TABLE api_key ADD COLUMN trust_id TEXT;

CREATE INDEX api_key_by_trust ON api_key (trust_id, expires_at);
