-- An attempt that was all of its call leaves out what the row of the call says too: its deployment is null, its array ends
-- before the tokens, and it began so long after the call.
DROP VIEW attempts;
CREATE VIEW attempts AS
SELECT
    calls.id AS call_id,
    json_extract(attempt.value, '$[0]') AS number,
    COALESCE(json_extract(attempt.value, '$[1]'), calls.served_deployment) AS deployment,
    json_extract(attempt.value, '$[2]') AS provider,
    COALESCE(json_extract(attempt.value, '$[3]'), calls.served_model) AS upstream_model,
    json_extract(attempt.value, '$[4]')
        + CASE WHEN json_extract(attempt.value, '$[1]') IS NULL THEN calls.started_ns ELSE 0 END AS started_ns,
    json_extract(attempt.value, '$[5]') AS duration_ns,
    json_extract(attempt.value, '$[6]') AS first_token_ns,
    json_extract(attempt.value, '$[7]') AS fault,
    json_extract(attempt.value, '$[8]') AS upstream_status,
    COALESCE(json_extract(attempt.value, '$[9]'), calls.input_tokens) AS input_tokens,
    COALESCE(json_extract(attempt.value, '$[10]'), calls.cached_input_tokens) AS cached_input_tokens,
    COALESCE(json_extract(attempt.value, '$[11]'), calls.cache_write_tokens) AS cache_write_tokens,
    COALESCE(json_extract(attempt.value, '$[12]'), calls.output_tokens) AS output_tokens,
    COALESCE(json_extract(attempt.value, '$[13]'), calls.reasoning_tokens) AS reasoning_tokens,
    COALESCE(json_extract(attempt.value, '$[14]'), calls.usage_estimated) AS usage_estimated,
    COALESCE(json_extract(attempt.value, '$[15]'), 0) AS usage_clamped,
    CASE WHEN json_extract(attempt.value, '$[1]') IS NULL THEN calls.cost_nano_usd
        ELSE json_extract(attempt.value, '$[16]') END AS cost_nano_usd,
    CASE WHEN json_extract(attempt.value, '$[1]') IS NULL THEN calls.price_version
        ELSE json_extract(attempt.value, '$[17]') END AS price_version
FROM calls, json_each(calls.attempts) AS attempt;
