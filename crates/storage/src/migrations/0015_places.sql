-- Rates that several nodes count together.
--! both
-- One row a limiter: its word on the database's own clock, and the rate that the word was counted under. -1: nothing is
-- known of it yet.
CREATE TABLE shared_rate (
    limiter TEXT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    level BIGINT NOT NULL,
    a_minute BIGINT NOT NULL,
    burst BIGINT NOT NULL
);

--! postgres
CREATE FUNCTION claviger_rate_clock() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.at := CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT); RETURN NEW; END $$;
CREATE TRIGGER shared_rate_clock BEFORE UPDATE OF at ON shared_rate
FOR EACH ROW EXECUTE FUNCTION claviger_rate_clock();
