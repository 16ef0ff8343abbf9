-- Keys made while the router runs. `settings` is the JSON of the configuration's section of a key, without its secret;
-- `secrets` is [{"sha256": hex, "until_ns": integer or null}, ...], newest first.
CREATE TABLE stored_keys (
    name TEXT PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    secrets TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    revision INTEGER NOT NULL
) WITHOUT ROWID;

-- Who changed what, when. `before` and `after` are JSON and hold no secret, nor its digest.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ns INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    before TEXT,
    after TEXT,
    revision INTEGER NOT NULL
);
CREATE INDEX audit_of ON audit (subject, id);

-- One row that every change counts up, in the same transaction: servers look at it to know when to read again.
CREATE TABLE revision (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    number INTEGER NOT NULL
);
INSERT INTO revision (one, number) VALUES (1, 0);

-- Triggers, so that an operator's own SQL is in force as quickly as the router's.
CREATE TRIGGER stored_keys_made AFTER INSERT ON stored_keys BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER stored_keys_changed AFTER UPDATE ON stored_keys BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER stored_keys_gone AFTER DELETE ON stored_keys BEGIN UPDATE revision SET number = number + 1; END;
