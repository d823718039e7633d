-- Keys at a million: counts that are kept instead of made, a search that need not read every name. And who calls, what
-- ends soon, which epoch a revocation had.
--! both
-- Keys that are neither revoked nor from a trust; a trigger counts. What of them has expired, the index below tells.
ALTER TABLE organization ADD COLUMN live_keys BIGINT NOT NULL DEFAULT 0;
UPDATE organization SET live_keys = (SELECT COUNT(*) FROM api_key k
    WHERE k.org_id = organization.id AND k.state <> 'revoked' AND k.trust_id IS NULL);
CREATE INDEX api_key_expiring ON api_key (org_id, expires_at)
    WHERE expires_at IS NOT NULL AND state <> 'revoked' AND trust_id IS NULL;

-- The epoch that brought a revocation into force, for whoever asks for it again.
ALTER TABLE api_key ADD COLUMN revoked_epoch BIGINT;
-- When it was last used from where it had not been before, and when it was last found to be refused too often.
ALTER TABLE api_key ADD COLUMN new_caller_at BIGINT;
ALTER TABLE api_key ADD COLUMN rate_limited_at BIGINT;

-- The last four characters that lists show.
CREATE INDEX secret_by_last_four ON secret (SUBSTR(redacted, LENGTH(redacted) - 3));

-- That somebody was told of an end: once for each end and stage (seconds before it). A later end is another one.
CREATE TABLE end_notice (
    object TEXT NOT NULL,
    ends_at BIGINT NOT NULL,
    stage BIGINT NOT NULL,
    PRIMARY KEY (object, ends_at, stage)
);
CREATE INDEX end_notice_by_end ON end_notice (ends_at);
CREATE INDEX api_key_by_end ON api_key (expires_at) WHERE expires_at IS NOT NULL AND state <> 'revoked';

--! sqlite
CREATE TRIGGER api_key_counted AFTER INSERT ON api_key WHEN NEW.state <> 'revoked' AND NEW.trust_id IS NULL
BEGIN UPDATE organization SET live_keys = live_keys + 1 WHERE id = NEW.org_id; END;
CREATE TRIGGER api_key_recounted AFTER UPDATE OF state, trust_id ON api_key
WHEN (OLD.state <> 'revoked' AND OLD.trust_id IS NULL) <> (NEW.state <> 'revoked' AND NEW.trust_id IS NULL)
BEGIN
    UPDATE organization SET live_keys = live_keys +
        CASE WHEN NEW.state <> 'revoked' AND NEW.trust_id IS NULL THEN 1 ELSE -1 END WHERE id = NEW.org_id;
END;

-- Words by their groups of three characters. Rows are only added: who finds one looks at the key itself.
CREATE VIRTUAL TABLE key_search USING fts5(words, key_id UNINDEXED, tokenize = 'trigram');
INSERT INTO key_search (words, key_id) SELECT name || CHAR(10) || COALESCE(source_tag, ''), id FROM api_key;
CREATE TRIGGER api_key_searchable AFTER INSERT ON api_key
BEGIN
    INSERT INTO key_search (words, key_id) VALUES (NEW.name || CHAR(10) || COALESCE(NEW.source_tag, ''), NEW.id);
END;
CREATE TRIGGER api_key_renamed AFTER UPDATE OF name, source_tag ON api_key
WHEN NEW.name <> OLD.name OR COALESCE(NEW.source_tag, '') <> COALESCE(OLD.source_tag, '')
BEGIN
    INSERT INTO key_search (words, key_id) VALUES (NEW.name || CHAR(10) || COALESCE(NEW.source_tag, ''), NEW.id);
END;

--! postgres
CREATE FUNCTION claviger_count_key() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    UPDATE organization SET live_keys = live_keys +
        CASE WHEN NEW.state <> 'revoked' AND NEW.trust_id IS NULL THEN 1 ELSE -1 END WHERE id = NEW.org_id;
    RETURN NULL;
END $$;
CREATE TRIGGER api_key_counted AFTER INSERT ON api_key FOR EACH ROW
WHEN (NEW.state <> 'revoked' AND NEW.trust_id IS NULL) EXECUTE FUNCTION claviger_count_key();
CREATE TRIGGER api_key_recounted AFTER UPDATE OF state, trust_id ON api_key FOR EACH ROW
WHEN ((OLD.state <> 'revoked' AND OLD.trust_id IS NULL) <> (NEW.state <> 'revoked' AND NEW.trust_id IS NULL))
EXECUTE FUNCTION claviger_count_key();

CREATE VIEW key_search AS SELECT id AS key_id, LOWER(name || CHR(10) || COALESCE(source_tag, '')) AS words FROM api_key;
-- Without the extension, or the right to it, a search reads every name: slower, and no less right.
DO $$ BEGIN
    CREATE EXTENSION IF NOT EXISTS pg_trgm;
    CREATE INDEX api_key_by_words ON api_key
        USING gin (LOWER(name || CHR(10) || COALESCE(source_tag, '')) gin_trgm_ops);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'searches for keys go without pg_trgm: %', SQLERRM;
END $$;
