-- Organizations, teams, users, budgets and top-ups made while the router runs. `settings` is the JSON of the
-- configuration's section; of a top-up: {"budget": id, "amount": integer, "until_ns": integer, "value": text, "reason": text}.
CREATE TABLE records (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    settings TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TRIGGER records_made AFTER INSERT ON records BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER records_changed AFTER UPDATE ON records BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER records_gone AFTER DELETE ON records BEGIN UPDATE revision SET number = number + 1; END;

-- What was changed: a key, or a record of this kind.
ALTER TABLE audit ADD COLUMN kind TEXT NOT NULL DEFAULT 'key';
DROP INDEX audit_of;
CREATE INDEX audit_of ON audit (subject, kind, id);
