-- What keys spent, summed as it is charged: reading it costs the same with a thousand records and with a million.
--! sqlite
-- `slot` is the beginning of a quarter of an hour, which is what the days of all time zones are made of. Quarters that no
-- report asks for any more are one row, the quarter 0. Each seat has rows of its own, so that nodes do not wait for
-- each other; here there is one seat, and it has no name.
CREATE TABLE key_spend (
    key_id TEXT NOT NULL,
    slot BIGINT NOT NULL,
    seat TEXT NOT NULL,
    org_id TEXT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (key_id, slot, seat)
) WITHOUT ROWID;

--! postgres
CREATE TABLE key_spend (
    key_id TEXT NOT NULL,
    slot BIGINT NOT NULL,
    seat TEXT NOT NULL,
    org_id TEXT NOT NULL,
    spent BIGINT NOT NULL,
    PRIMARY KEY (key_id, slot, seat)
);

--! both
CREATE INDEX key_spend_by_slot ON key_spend (slot);
INSERT INTO key_spend (key_id, slot, seat, org_id, spent)
    SELECT key_id, completed_at - completed_at % 900000000, '', org_id, CAST(SUM(charge) AS BIGINT) FROM request
    WHERE charge > 0 GROUP BY key_id, completed_at - completed_at % 900000000, org_id;

-- Keys by how long nobody used them, for whoever is told how many those are.
CREATE INDEX api_key_by_quiet ON api_key (org_id, COALESCE(last_used_at, created_at))
    WHERE state <> 'revoked' AND trust_id IS NULL;
