-- A charge lies in the row of its request. Rows of before keep their JSON in `detail` and their charge in `transfer`.
--! both

-- The charge's number among the transfers of its wallet; NULL where the account is no wallet.
ALTER TABLE request ADD COLUMN wallet_seq BIGINT;

-- Where the charge came from. A charge has an account, and one from a wallet its number.
ALTER TABLE request ADD COLUMN account TEXT CHECK (
    (charge = 0 OR account IS NOT NULL OR detail <> '') AND (account <> 'wallet' OR wallet_seq IS NOT NULL)
);

-- The whole record, as the journal has it: what the charge follows from is in here.
ALTER TABLE request ADD COLUMN body BYTEA;

--! sqlite
CREATE TRIGGER charge_no_update
BEFORE UPDATE OF org_id, id, charge, account, wallet_seq, body ON request WHEN OLD.account IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'charges are append-only'); END;
CREATE TRIGGER charge_no_delete BEFORE DELETE ON request WHEN OLD.account IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'charges are append-only'); END;

--! postgres
CREATE FUNCTION claviger_charges_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'charges are append-only'; END $$;
CREATE TRIGGER charge_no_update
BEFORE UPDATE OF org_id, id, charge, account, wallet_seq, body ON request
FOR EACH ROW WHEN (OLD.account IS NOT NULL) EXECUTE FUNCTION claviger_charges_append_only();
CREATE TRIGGER charge_no_delete BEFORE DELETE ON request
FOR EACH ROW WHEN (OLD.account IS NOT NULL) EXECUTE FUNCTION claviger_charges_append_only();
CREATE TRIGGER charge_no_truncate BEFORE TRUNCATE ON request
FOR EACH STATEMENT EXECUTE FUNCTION claviger_charges_append_only();
