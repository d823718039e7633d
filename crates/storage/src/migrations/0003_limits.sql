-- Limits of organizations and environments, which models an environment may call, and how often keys were refused.
--! both
-- `environment_id` is empty for the organization itself, `model` is `*` for all of them together.
CREATE TABLE rate_limit (
    org_id TEXT NOT NULL REFERENCES organization (id),
    environment_id TEXT NOT NULL,
    model TEXT NOT NULL,
    rpm BIGINT,
    tpm BIGINT,
    concurrency BIGINT,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, environment_id, model)
);

-- `model_ids` is a JSON list of ids and prefixes; `mode` says whether it allows or denies.
CREATE TABLE model_permission (
    org_id TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    mode TEXT NOT NULL,
    model_ids TEXT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    PRIMARY KEY (org_id, environment_id),
    FOREIGN KEY (org_id, environment_id) REFERENCES environment (org_id, id)
);

-- Refused requests of valid keys, one row a key, reason and hour (seconds since 1970): their records may be sampled,
-- these counts are whole.
CREATE TABLE refusal (
    org_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    hour BIGINT NOT NULL,
    code TEXT NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (org_id, key_id, hour, code)
);
