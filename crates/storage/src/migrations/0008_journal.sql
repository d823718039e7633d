-- How far each node's journal has come into the database, and what the database did not take of it.
--! both

-- One row a node; the only node of SQLite has no name. `chain` is the journal's running SHA-256 behind that frame.
CREATE TABLE journal (
    node TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    chain BYTEA NOT NULL
);

-- Charges that were durable in a journal and that the ledger contradicts. Every row is a fault that `ledger verify` names.
CREATE TABLE journal_refused (
    request_id TEXT NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    charge BIGINT NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL
);
