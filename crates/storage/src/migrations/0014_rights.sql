-- What a former maximum lifetime has ended stays ended: the times at which such secrets were made, as spans. And longer
-- maxima, which go on to bind what a shorter one spares.
--! both
ALTER TABLE organization ADD COLUMN lifetime_ended TEXT;
ALTER TABLE organization ADD COLUMN lifetime_longer TEXT;

-- Secrets that near their maximum lifetime are found by when they were made.
CREATE INDEX secret_by_age ON secret (org_id, created_at) WHERE ended_at IS NULL;

-- How often an invite was sent; and what a day has brought of them, by organization and by address.
ALTER TABLE invite ADD COLUMN sends BIGINT NOT NULL DEFAULT 1;
CREATE INDEX invite_by_age ON invite (org_id, created_at);
CREATE INDEX invite_by_email ON invite (email, created_at);
