-- Several nodes on one database: who they are, how far they follow, and the credit that each may spend.
--! both

-- One row a start of a node. A start is registered before it loads, and gone after its last admission.
CREATE TABLE node (
    id TEXT NOT NULL PRIMARY KEY,
    seat TEXT NOT NULL,
    -- S of this node, in microseconds: whoever waits for its silence waits by the node's own setting.
    validity BIGINT NOT NULL,
    started_at BIGINT NOT NULL,
    applied_epoch BIGINT NOT NULL,
    renewals BIGINT NOT NULL,
    renewed_at BIGINT NOT NULL
);

-- When the database wrote the event, by its own clock; tells an epoch from the same number in another history.
ALTER TABLE rights_event ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;

-- A seat is a data directory: what a node leaves behind when it dies belongs to the next start there.
ALTER TABLE intent ADD COLUMN seat TEXT NOT NULL DEFAULT '';

CREATE TABLE seat_delivery (
    seat TEXT NOT NULL PRIMARY KEY,
    pending TEXT NOT NULL
);

-- What a seat may spend of a wallet. Open = granted - settled - returned; it lies in no other account.
CREATE TABLE credit_lease (
    org_id TEXT NOT NULL REFERENCES wallet (org_id),
    seat TEXT NOT NULL,
    granted BIGINT NOT NULL CHECK (granted >= 0),
    settled BIGINT NOT NULL CHECK (settled >= 0),
    returned BIGINT NOT NULL CHECK (returned >= 0),
    grants BIGINT NOT NULL,
    returns BIGINT NOT NULL,
    PRIMARY KEY (org_id, seat),
    CHECK (settled + returned <= granted)
);

CREATE INDEX credit_lease_by_seat ON credit_lease (seat, org_id);

-- Above zero while some node lacks credit that others have and do not use.
ALTER TABLE wallet ADD COLUMN recall BIGINT NOT NULL DEFAULT 0;

CREATE INDEX wallet_recalled ON wallet (org_id) WHERE recall > 0;

--! postgres
ALTER TABLE rights_event ALTER COLUMN mark
    SET DEFAULT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT);

CREATE FUNCTION claviger_news() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('claviger_news', ''); RETURN NULL; END $$;
CREATE TRIGGER rights_event_news AFTER INSERT ON rights_event
FOR EACH STATEMENT EXECUTE FUNCTION claviger_news();
