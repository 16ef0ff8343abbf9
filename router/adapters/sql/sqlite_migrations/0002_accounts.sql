-- What each account posted, by the bucket of time that admitted it. What is held is the sum over `open_calls`.
CREATE TABLE balances (
    budget TEXT NOT NULL,
    value TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    posted INTEGER NOT NULL,
    PRIMARY KEY (budget, value, start_ns)
) WITHOUT ROWID;

-- The balances with their places in their account: 1 is the latest bucket.
CREATE VIEW ages AS
SELECT *, ROW_NUMBER() OVER (PARTITION BY budget, value ORDER BY start_ns DESC) AS age FROM balances;

-- `booked`: [[budget, value, start_ns, member], ...], the accounts of a call. `held` and `spent`: [usd, tokens, requests,
-- seconds], of which `member` picks one. NULL where a call has no account.
ALTER TABLE open_calls ADD COLUMN booked TEXT;
ALTER TABLE open_calls ADD COLUMN held TEXT;
ALTER TABLE calls ADD COLUMN booked TEXT;
ALTER TABLE calls ADD COLUMN spent TEXT;
DROP TRIGGER IF EXISTS calls_end;
