-- Providers that organizations bring along; their models are shown under the slug of a registry.
--! both
CREATE TABLE provider (
    org_id TEXT NOT NULL REFERENCES organization (id),
    id TEXT NOT NULL PRIMARY KEY,
    registry_id TEXT NOT NULL,
    name TEXT NOT NULL,
    dialect TEXT NOT NULL,
    base_url TEXT NOT NULL,
    is_enabled BOOLEAN NOT NULL,
    max_concurrency BIGINT NOT NULL,
    models TEXT NOT NULL,
    -- Sealed under a key that is made of the pepper of this version; nothing else in the row opens it.
    credential BYTEA,
    credential_pepper BIGINT,
    credential_hint TEXT,
    credentials BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (org_id, id),
    UNIQUE (org_id, name),
    FOREIGN KEY (org_id, registry_id) REFERENCES registry (org_id, id)
);

CREATE INDEX provider_by_registry ON provider (org_id, registry_id);
CREATE INDEX provider_by_creation ON provider (org_id, created_at, id);
