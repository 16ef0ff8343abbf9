-- Calls that ended are appended to `calls` and never written again. Calls that did not end yet are in `open_calls`,
-- which stays small however long the history is, so that a start after a crash reads nothing else.

CREATE TABLE epochs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    started_ns INTEGER NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL
);

CREATE TABLE open_calls (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    workflow_id TEXT,
    parent_call_id TEXT,
    agent TEXT,
    tags TEXT,
    asked_model TEXT NOT NULL,
    started_ns INTEGER NOT NULL,
    hold_nano_usd INTEGER NOT NULL
);

CREATE TABLE calls (
    id INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    key_id TEXT NOT NULL,
    organization TEXT,
    team TEXT,
    user TEXT,
    workflow_id TEXT,
    parent_call_id TEXT,
    agent TEXT,
    tags TEXT,
    route TEXT,
    stream INTEGER,
    asked_model TEXT NOT NULL,
    served_deployment TEXT,
    served_model TEXT,
    started_ns INTEGER NOT NULL,
    duration_ns INTEGER,
    first_token_ns INTEGER,
    outcome TEXT NOT NULL,
    fault TEXT,
    input_tokens INTEGER NOT NULL DEFAULT 0,
    cached_input_tokens INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0,
    usage_estimated INTEGER NOT NULL DEFAULT 0,
    hold_nano_usd INTEGER NOT NULL,
    cost_nano_usd INTEGER,
    price_version TEXT,
    attempts TEXT
);

-- One row an attempt, for people who ask in SQL. The order of the array is that of `StoredAttempt`.
CREATE VIEW attempts AS
SELECT
    calls.id AS call_id,
    json_extract(attempt.value, '$[0]') AS number,
    json_extract(attempt.value, '$[1]') AS deployment,
    json_extract(attempt.value, '$[2]') AS provider,
    json_extract(attempt.value, '$[3]') AS upstream_model,
    json_extract(attempt.value, '$[4]') AS started_ns,
    json_extract(attempt.value, '$[5]') AS duration_ns,
    json_extract(attempt.value, '$[6]') AS first_token_ns,
    json_extract(attempt.value, '$[7]') AS fault,
    json_extract(attempt.value, '$[8]') AS upstream_status,
    json_extract(attempt.value, '$[9]') AS input_tokens,
    json_extract(attempt.value, '$[10]') AS cached_input_tokens,
    json_extract(attempt.value, '$[11]') AS cache_write_tokens,
    json_extract(attempt.value, '$[12]') AS output_tokens,
    json_extract(attempt.value, '$[13]') AS reasoning_tokens,
    json_extract(attempt.value, '$[14]') AS usage_estimated,
    json_extract(attempt.value, '$[15]') AS usage_clamped,
    json_extract(attempt.value, '$[16]') AS cost_nano_usd,
    json_extract(attempt.value, '$[17]') AS price_version
FROM calls, json_each(calls.attempts) AS attempt;
