-- What calls used, added up by UTC day (days since 1970-01-01) and by whose they were; '' where a call has none. A call is
-- in here exactly if its id is at most `usage_folded.up_to`. These rows stay when those of the calls are deleted.
CREATE TABLE usage_days (
    day INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    organization TEXT NOT NULL,
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    agent TEXT NOT NULL,
    asked_model TEXT NOT NULL,
    served_deployment TEXT NOT NULL,
    tags TEXT NOT NULL,
    calls INTEGER NOT NULL,
    failed_calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    unpriced_calls INTEGER NOT NULL,
    PRIMARY KEY (day, key_id, organization, team, user, agent, asked_model, served_deployment, tags)
) WITHOUT ROWID;

-- Between which ids the calls of a day are that were added up, and whether rows of them were deleted by age.
CREATE TABLE usage_spans (
    day INTEGER PRIMARY KEY,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE usage_folded (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    up_to INTEGER NOT NULL
);
INSERT INTO usage_folded (one, up_to) VALUES (1, -1);
