-- Seats that others have closed the books of, nodes that are told to leave, and the clock of audit records.
--! both

-- Above zero: the node is to let its requests end and leave.
ALTER TABLE node ADD COLUMN draining BIGINT NOT NULL DEFAULT 0;

-- How often the books of a seat were closed by somebody else. A process that finds the number grown since it began has
-- no lease any more, whatever its memory says.
CREATE TABLE seat (
    seat TEXT NOT NULL PRIMARY KEY,
    closed BIGINT NOT NULL,
    closed_at BIGINT NOT NULL
);

-- When the last record was linked, by the database's own clock; 0 where it has none of its own.
ALTER TABLE audit_head ADD COLUMN at BIGINT NOT NULL DEFAULT 0;

--! postgres
CREATE FUNCTION claviger_audit_clock() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.at := CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT); RETURN NEW; END $$;
CREATE TRIGGER audit_head_clock BEFORE UPDATE OF seq ON audit_head
FOR EACH ROW EXECUTE FUNCTION claviger_audit_clock();
