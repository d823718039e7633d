-- What a former maximum lifetime has ended stays ended: the times at which such secrets were made, as spans. And longer
-- maxima, which go on to bind what a shorter one spares.
--! both
ALTER TABLE organization ADD COLUMN lifetime_ended TEXT;
ALTER TABLE organization ADD COLUMN lifetime_longer TEXT;

-- Secrets that near their maximum lifetime are found by when they were made.
CREATE INDEX secret_by_age ON secret (org_id, created_at) WHERE ended_at IS NULL;
