-- The sums of `usage_days` over blocks of 32 days (day / 32), so that a report over a long time reads few rows.
CREATE TABLE usage_blocks (
    block INTEGER NOT NULL,
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
    PRIMARY KEY (block, key_id, organization, team, user, agent, asked_model, served_deployment, tags)
) WITHOUT ROWID;

-- What is added to this view is added to both: no other statement of SQLite's adds to two tables. No sum can fail: one
-- beyond what SQL's integers hold stays at the largest.
CREATE VIEW usage_added AS SELECT * FROM usage_days WHERE false;
CREATE TRIGGER usage_added_to_both INSTEAD OF INSERT ON usage_added BEGIN
    INSERT INTO usage_days VALUES (
        NEW.day, NEW.key_id, NEW.organization, NEW.team, NEW.user, NEW.agent, NEW.asked_model,
        NEW.served_deployment, NEW.tags, NEW.calls, NEW.failed_calls, NEW.input_tokens,
        NEW.cached_input_tokens, NEW.output_tokens, NEW.reasoning_tokens, NEW.cost_nano_usd,
        NEW.unpriced_calls
    )
    ON CONFLICT DO UPDATE SET
        calls = MIN(calls + excluded.calls, 9223372036854775807),
        failed_calls = MIN(failed_calls + excluded.failed_calls, 9223372036854775807),
        input_tokens = MIN(input_tokens + excluded.input_tokens, 9223372036854775807),
        cached_input_tokens = MIN(cached_input_tokens + excluded.cached_input_tokens, 9223372036854775807),
        output_tokens = MIN(output_tokens + excluded.output_tokens, 9223372036854775807),
        reasoning_tokens = MIN(reasoning_tokens + excluded.reasoning_tokens, 9223372036854775807),
        cost_nano_usd = MIN(cost_nano_usd + excluded.cost_nano_usd, 9223372036854775807),
        unpriced_calls = MIN(unpriced_calls + excluded.unpriced_calls, 9223372036854775807);
    INSERT INTO usage_blocks VALUES (
        NEW.day / 32, NEW.key_id, NEW.organization, NEW.team, NEW.user, NEW.agent, NEW.asked_model,
        NEW.served_deployment, NEW.tags, NEW.calls, NEW.failed_calls, NEW.input_tokens,
        NEW.cached_input_tokens, NEW.output_tokens, NEW.reasoning_tokens, NEW.cost_nano_usd,
        NEW.unpriced_calls
    )
    ON CONFLICT DO UPDATE SET
        calls = MIN(calls + excluded.calls, 9223372036854775807),
        failed_calls = MIN(failed_calls + excluded.failed_calls, 9223372036854775807),
        input_tokens = MIN(input_tokens + excluded.input_tokens, 9223372036854775807),
        cached_input_tokens = MIN(cached_input_tokens + excluded.cached_input_tokens, 9223372036854775807),
        output_tokens = MIN(output_tokens + excluded.output_tokens, 9223372036854775807),
        reasoning_tokens = MIN(reasoning_tokens + excluded.reasoning_tokens, 9223372036854775807),
        cost_nano_usd = MIN(cost_nano_usd + excluded.cost_nano_usd, 9223372036854775807),
        unpriced_calls = MIN(unpriced_calls + excluded.unpriced_calls, 9223372036854775807);
END;

INSERT INTO usage_blocks
SELECT
    day / 32, key_id, organization, team, user, agent, asked_model, served_deployment, tags,
    calls, failed_calls, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, cost_nano_usd,
    unpriced_calls
FROM usage_days WHERE true
ON CONFLICT DO UPDATE SET
    calls = MIN(calls + excluded.calls, 9223372036854775807),
    failed_calls = MIN(failed_calls + excluded.failed_calls, 9223372036854775807),
    input_tokens = MIN(input_tokens + excluded.input_tokens, 9223372036854775807),
    cached_input_tokens = MIN(cached_input_tokens + excluded.cached_input_tokens, 9223372036854775807),
    output_tokens = MIN(output_tokens + excluded.output_tokens, 9223372036854775807),
    reasoning_tokens = MIN(reasoning_tokens + excluded.reasoning_tokens, 9223372036854775807),
    cost_nano_usd = MIN(cost_nano_usd + excluded.cost_nano_usd, 9223372036854775807),
    unpriced_calls = MIN(unpriced_calls + excluded.unpriced_calls, 9223372036854775807);
