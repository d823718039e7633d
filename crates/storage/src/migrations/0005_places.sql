-- Organizations' policies, archived environments, agents, registries.
--! both
-- `version` of an organization is the lock of its row; this counts what people changed.
ALTER TABLE organization ADD COLUMN settings_version BIGINT NOT NULL DEFAULT 1;
ALTER TABLE organization ADD COLUMN state_reason TEXT;
ALTER TABLE organization ADD COLUMN reporting_zone TEXT NOT NULL DEFAULT 'UTC';
ALTER TABLE organization ADD COLUMN key_prefix TEXT;
ALTER TABLE organization ADD COLUMN creators TEXT NOT NULL DEFAULT 'owners';
ALTER TABLE organization ADD COLUMN lifetime_days BIGINT;
ALTER TABLE organization ADD COLUMN lifetime_set_at BIGINT;
ALTER TABLE organization ADD COLUMN lifetime_binds_at BIGINT;
ALTER TABLE organization ADD COLUMN suggested_expiry_days BIGINT DEFAULT 90;
ALTER TABLE organization ADD COLUMN require_source_tag BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE organization ADD COLUMN allowed_ips TEXT;
ALTER TABLE organization ADD COLUMN leak_action TEXT NOT NULL DEFAULT 'revoke';
ALTER TABLE organization ADD COLUMN finish_when_quiet_hours BIGINT;
ALTER TABLE organization ADD COLUMN developers_see_all BOOLEAN NOT NULL DEFAULT FALSE;

-- A name is unique among active environments only: an archived one keeps its name here, and its id stands in `name`.
ALTER TABLE environment ADD COLUMN archived_at BIGINT;
ALTER TABLE environment ADD COLUMN archived_name TEXT;
ALTER TABLE environment ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

CREATE INDEX environment_by_creation ON environment (org_id, created_at, id);

CREATE TABLE agent (
    org_id TEXT NOT NULL,
    id TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    ended_at BIGINT,
    version BIGINT NOT NULL,
    UNIQUE (org_id, id),
    FOREIGN KEY (org_id, environment_id) REFERENCES environment (org_id, id)
);

CREATE INDEX agent_by_creation ON agent (org_id, created_at, id);
CREATE INDEX agent_by_environment ON agent (org_id, environment_id, created_at, id);

CREATE TABLE registry (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL PRIMARY KEY,
    environment_id TEXT,
    name TEXT NOT NULL,
    slug TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (org_id, id),
    UNIQUE (org_id, slug),
    FOREIGN KEY (org_id, environment_id) REFERENCES environment (org_id, id)
);
