-- What was used, summed behind the path of charges. It takes the place of sums that were written with every charge.
--! both
DROP TABLE key_spend;

-- In which order records arrived: a seat writes its records one group after another, so whoever has seen one place of a
-- seat will never find a new record before it.
--! sqlite
-- There is one seat here, without a name, and one writer. Rows of requests are not deleted, so that a rowid is never
-- given twice; whoever deletes some day leaves the last one.
CREATE VIEW arrived AS SELECT '' AS seat, rowid AS place, org_id, id, key_id, completed_at, charge, account, body,
    m_input_token, m_cached_input_token, m_cache_write_token, m_cache_write_1h_token, m_image_input_token,
    m_audio_input_token, m_character, m_audio_second, m_search_unit, m_request, m_output_token, m_reasoning_token,
    m_image_output_token, m_audio_output_token, m_image, m_video_second, m_tool_call FROM request;

--! postgres
-- Records of before, and those that a recovery makes, are of the seat without a name; recoveries follow each other by
-- the lock of its cursor. The index takes the place of another one, so that a record costs as much as it did: records
-- lie nearly in the order of their completion, which is what the cheap index needs.
CREATE SEQUENCE request_place;
ALTER TABLE request ADD COLUMN seat TEXT NOT NULL DEFAULT '';
ALTER TABLE request ADD COLUMN place BIGINT NOT NULL DEFAULT nextval('request_place');
ALTER SEQUENCE request_place OWNED BY request.place;
DROP INDEX request_by_completion;
CREATE INDEX request_by_place ON request (seat, place);
CREATE INDEX request_by_completion ON request USING brin (completed_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE VIEW arrived AS SELECT seat, place, org_id, id, key_id, completed_at, charge, account, body,
    m_input_token, m_cached_input_token, m_cache_write_token, m_cache_write_1h_token, m_image_input_token,
    m_audio_input_token, m_character, m_audio_second, m_search_unit, m_request, m_output_token, m_reasoning_token,
    m_image_output_token, m_audio_output_token, m_image, m_video_second, m_tool_call FROM request;

--! both
-- Up to which place the records of a seat are in the sums: moved in the transaction that adds them.
CREATE TABLE usage_cursor (
    seat TEXT NOT NULL PRIMARY KEY,
    place BIGINT NOT NULL
);
INSERT INTO usage_cursor (seat, place) VALUES ('', 0);

-- What sums are told apart by. The id follows from the rest, so that nodes need not agree on it.
CREATE TABLE usage_dimension (
    id BYTEA NOT NULL PRIMARY KEY,
    org_id TEXT NOT NULL,
    environment_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    source_tag TEXT,
    endpoint TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT,
    outcome TEXT NOT NULL,
    usage_source TEXT NOT NULL
--! sqlite
) WITHOUT ROWID;
--! postgres
);
--! both
CREATE INDEX usage_dimension_by_key ON usage_dimension (org_id, key_id);

-- Records, what they cost and what was used above their holds, by the quarter of an hour in which they completed: the
-- days of all time zones are made of quarters. The slot -1 is all of them. Each seat has rows of its own, so that nodes
-- do not wait for each other.
CREATE TABLE usage_15m (
    dimension BYTEA NOT NULL,
    slot BIGINT NOT NULL,
    seat TEXT NOT NULL,
    org_id TEXT NOT NULL,
    requests BIGINT NOT NULL,
    charge BIGINT NOT NULL,
    absorbed BIGINT NOT NULL,
    PRIMARY KEY (dimension, slot, seat)
--! sqlite
) WITHOUT ROWID;
--! postgres
);
--! both
CREATE INDEX usage_15m_by_time ON usage_15m (org_id, slot);

-- Quantities of the same records, by meter and by the price version that they were charged under; '' = not charged. A
-- meter without a row was not reported, which is not 0.
CREATE TABLE usage_15m_meter (
    dimension BYTEA NOT NULL,
    slot BIGINT NOT NULL,
    seat TEXT NOT NULL,
    price_version TEXT NOT NULL,
    meter TEXT NOT NULL,
    quantity BIGINT NOT NULL,
    PRIMARY KEY (dimension, slot, seat, price_version, meter)
--! sqlite
) WITHOUT ROWID;
--! postgres
);
