"""Every statement that SQLite executes for the ledger, as fixed text; values enter as parameters only."""

from typing import Final

from router.ports.observed import ObservedGroup

BEGIN: Final = "BEGIN IMMEDIATE"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"

ADD_EPOCH: Final = "INSERT INTO epochs (started_ns, host, pid) VALUES (?, ?, ?)"

ROWS: Final = (128, 32, 8, 1)
"""Rows of one statement. Each statement is a step for which SQLite's thread lets go of the interpreter and has to get
it back, which costs more than a row."""

# The ledger in memory has made sure that an id is new; one that is here already comes from a journal read twice.
_OPEN: Final = """
INSERT INTO open_calls (
    id, epoch, request_id, key_id, workflow_id, parent_call_id, agent, tags, asked_model, started_ns, hold_nano_usd,
    booked, held
) VALUES {} ON CONFLICT (id) DO NOTHING
"""
_OPENED: Final = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
OPEN_CALLS: Final = {rows: _OPEN.format(", ".join([_OPENED] * rows)) for rows in ROWS}

EXTEND_CALL: Final = "UPDATE open_calls SET hold_nano_usd = ?2, held = ?3 WHERE id = ?1"

_CLOSE: Final = "DELETE FROM open_calls WHERE id IN ({})"
CLOSE_CALLS: Final = {rows: _CLOSE.format(", ".join("?" * rows)) for rows in ROWS}

# The first settlement wins: a call that has a row in `calls` is left as it is.
_SETTLE: Final = """
INSERT INTO calls (
    id, epoch, request_id, key_id, organization, team, user, workflow_id, parent_call_id, agent, tags,
    route, stream, asked_model, served_deployment, served_model, started_ns, duration_ns, first_token_ns,
    outcome, fault, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens,
    usage_estimated, cost_nano_usd, price_version, attempts, would_refuse, priority, decision, substituted, stored,
    hold_nano_usd, booked, spent
) VALUES {} ON CONFLICT (id) DO NOTHING
"""
_SETTLED: Final = f"({', '.join('?' * 38)})"
SETTLE_CALLS: Final = {rows: _SETTLE.format(", ".join([_SETTLED] * rows)) for rows in ROWS}

# What the provider used is unknown, so a hold is posted in full; without a hold the cost is unknown too.
RECOVER_CALLS: Final = """
INSERT INTO calls (
    id, epoch, request_id, key_id, workflow_id, parent_call_id, agent, tags, asked_model, started_ns,
    outcome, cost_nano_usd, hold_nano_usd, booked, spent
)
SELECT
    id, epoch, request_id, key_id, workflow_id, parent_call_id, agent, tags, asked_model, started_ns,
    'recovered_held', NULLIF(hold_nano_usd, 0), hold_nano_usd, booked, held
FROM open_calls WHERE true
ON CONFLICT (id) DO NOTHING
"""

FORGET_OPEN_CALLS: Final = "DELETE FROM open_calls"

FIND_CALL: Final = "SELECT 1 FROM calls WHERE id = ?"
FIND_HOLD: Final = "SELECT hold_nano_usd, held FROM open_calls WHERE id = ?"
OPEN_BOOKINGS: Final = """
SELECT booked, held FROM open_calls WHERE booked IS NOT NULL AND id NOT IN (SELECT id FROM calls)
"""
UNBOOK_CALL: Final = "UPDATE open_calls SET booked = NULL, held = NULL WHERE id = ?"

SET_BALANCE: Final = """
INSERT INTO balances (budget, value, start_ns, posted) VALUES (?, ?, ?, ?)
ON CONFLICT (budget, value, start_ns) DO UPDATE SET posted = excluded.posted
"""
ADD_TO_BALANCE: Final = """
INSERT INTO balances (budget, value, start_ns, posted) VALUES (?, ?, ?, ?)
ON CONFLICT (budget, value, start_ns) DO UPDATE SET posted = MIN(posted + excluded.posted, 9223372036854775807)
"""
FORGET_BALANCES: Final = """
DELETE FROM balances WHERE (budget, value, start_ns) IN (
    SELECT budget, value, start_ns FROM ages WHERE start_ns < ?1 AND age > ?2
)
"""
READ_BALANCES: Final = "SELECT budget, value, start_ns, posted FROM ages WHERE age <= ?"

# The columns of `CallRecord`, and what an open call has for them.
_SETTLED_CALLS: Final = """
SELECT
    id, request_id, key_id, organization, team, user, workflow_id, parent_call_id, agent, tags, route, stream,
    asked_model, served_deployment, served_model, started_ns, duration_ns, first_token_ns, outcome, fault,
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, usage_estimated,
    hold_nano_usd, cost_nano_usd, price_version, would_refuse, priority, decision, substituted, attempts
FROM calls
"""
_OPEN_CALLS: Final = """
SELECT
    id, request_id, key_id, NULL, NULL, NULL, workflow_id, parent_call_id, agent, tags, NULL, NULL,
    asked_model, NULL, NULL, started_ns, NULL, NULL, NULL, NULL,
    0, 0, 0, 0, 0, 0,
    hold_nano_usd, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM open_calls
"""

# One statement, so that a call which is settled meanwhile is seen once, open or settled.
READ_CALL: Final = f"{_SETTLED_CALLS} WHERE id = ?1 UNION ALL {_OPEN_CALLS} WHERE id = ?1"

# As the index has it: with another condition each row would be read.
READ_STORED: Final = """
SELECT key_id, started_ns, stored FROM calls
WHERE stored IS NOT NULL AND json_extract(stored, '$[0]') = ? ORDER BY id DESC LIMIT 1
"""

# A filter that is NULL lets every call pass. What an open call does not know yet, no filter finds.
_ASKED: Final = """
    (:key IS NULL OR key_id = :key)
    AND (:agent IS NULL OR agent = :agent)
    AND (:workflow IS NULL OR workflow_id = :workflow)
    AND (:model IS NULL OR asked_model = :model)
    AND (:since_ns IS NULL OR calls.started_ns >= :since_ns)
    AND (:until_ns IS NULL OR calls.started_ns < :until_ns)
"""
_ENDED: Final = """
    (:team IS NULL OR team = :team OR organization || '/' || team = :team)
    AND (:outcome IS NULL OR outcome = :outcome)
"""
CALLS_PAGE: Final = f"""
{_SETTLED_CALLS} WHERE id < :before AND {_ASKED} AND {_ENDED} AND (:fault IS NULL OR fault = :fault)
UNION ALL
{_OPEN_CALLS} AS calls WHERE id < :before AND {_ASKED}
    AND :team IS NULL AND COALESCE(:outcome, 'open') = 'open' AND :fault IS NULL
ORDER BY id DESC LIMIT :limit
"""

# The columns of `AttemptRecord`.
# As many calls are looked at as rows are wanted, and the one where the page goes on: all attempts take seconds to sort.
_ATTEMPTS: Final = """
SELECT
    call_id, calls.request_id, calls.key_id, number, deployment, provider, upstream_model, attempts.started_ns,
    attempts.duration_ns, attempts.first_token_ns, attempts.fault, upstream_status, attempts.input_tokens,
    attempts.cached_input_tokens, attempts.cache_write_tokens, attempts.output_tokens, attempts.reasoning_tokens,
    attempts.usage_estimated, usage_clamped, attempts.cost_nano_usd, attempts.price_version
FROM attempts JOIN calls ON calls.id = attempts.call_id
WHERE call_id IN (
    SELECT id FROM calls
    WHERE id <= :before AND attempts IS NOT NULL AND {asked} AND {ended}
        AND (:fault IS NULL OR EXISTS (
            SELECT 1 FROM json_each(calls.attempts) AS attempt WHERE json_extract(attempt.value, '$[7]') = :fault
        ))
    ORDER BY id DESC LIMIT :limit + 1
)
    AND (call_id < :before OR number > :after_number) AND (:fault IS NULL OR attempts.fault = :fault)
ORDER BY call_id DESC, number LIMIT :limit
"""
ATTEMPTS_PAGE: Final = _ATTEMPTS.format(asked=_ASKED, ended=_ENDED)

_LET_PASS: Final = """
    COUNT(*), SUM(COALESCE(cost_nano_usd, 0)), SUM(cost_nano_usd IS NULL)
FROM calls WHERE would_refuse IS NOT NULL AND started_ns >= ? GROUP BY 1 ORDER BY 3 DESC, 2 DESC, 1
"""

OBSERVED: Final[dict[ObservedGroup, str]] = {
    "reason": "SELECT would_refuse, " + _LET_PASS,
    "agent": "SELECT COALESCE(agent, ''), " + _LET_PASS,
    "key": "SELECT key_id, " + _LET_PASS,
}

DAY_NS: Final = 86_400 * 10**9

READ_FOLDED: Final = "SELECT up_to FROM usage_folded"
SET_FOLDED: Final = "UPDATE usage_folded SET up_to = ?"
NEXT_TO_FOLD: Final = """
SELECT COUNT(*), MAX(id) FROM (SELECT id FROM calls WHERE id > ? AND id < ? ORDER BY id LIMIT ?)
"""
PASSED_OPEN_CALLS: Final = "SELECT id FROM open_calls WHERE id <= ?"

BLOCK_DAYS: Final = 32
"""Days of a row of `usage_blocks`, as the trigger of `usage_added` has it."""

ADDED_CALLS_MAX: Final = 2_047
LARGE: Final = 1 << 52
"""So many calls with numbers up to this one have sums that SQL's integers hold."""

# Calls of one group are added up first, since a row of a table costs as much as several calls do. A call with a number
# that is too large for a safe sum is a group of its own, and the trigger adds it as far as SQL's integers hold it.
_ADD_UP: Final = """
INSERT INTO usage_added
SELECT
    started_ns / {day} AS its_day, key_id, COALESCE(organization, '') AS its_organization,
    COALESCE(team, '') AS its_team, COALESCE(user, '') AS its_user, COALESCE(agent, '') AS its_agent, asked_model,
    COALESCE(served_deployment, '') AS its_deployment, COALESCE(tags, '') AS its_tags,
    COUNT(*), SUM(outcome NOT IN ('completed', 'client_cancelled')), SUM(input_tokens), SUM(cached_input_tokens),
    SUM(output_tokens), SUM(reasoning_tokens), SUM(COALESCE(cost_nano_usd, 0)), SUM(cost_nano_usd IS NULL)
FROM calls WHERE {which}
GROUP BY
    its_day, key_id, its_organization, its_team, its_user, its_agent, asked_model, its_deployment, its_tags,
    CASE WHEN
        MAX(input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, COALESCE(cost_nano_usd, 0)) > {large}
    THEN id END
"""
_ADD_TO_SPANS: Final = """
INSERT INTO usage_spans (day, first_id, last_id)
SELECT started_ns / {day} AS its_day, MIN(id), MAX(id) FROM calls WHERE {which} GROUP BY its_day
ON CONFLICT DO UPDATE SET first_id = MIN(first_id, excluded.first_id), last_id = MAX(last_id, excluded.last_id)
"""
_STEP: Final = "id > ? AND id <= ?"
_ONE: Final = "id = ?"
FOLD_STEP: Final = (
    _ADD_UP.format(day=DAY_NS, which=_STEP, large=LARGE),
    _ADD_TO_SPANS.format(day=DAY_NS, which=_STEP),
)
FOLD_ONE: Final = (
    _ADD_UP.format(day=DAY_NS, which=_ONE, large=LARGE),
    _ADD_TO_SPANS.format(day=DAY_NS, which=_ONE),
)

# The lowest ids alone are looked at: ids are made from the clock, so old calls have them.
_OLD: Final = """
SELECT id FROM (
    SELECT id, started_ns FROM calls WHERE id <= (SELECT up_to FROM usage_folded) ORDER BY id LIMIT ?
) WHERE started_ns < ?
"""
FIND_OLD_CALL: Final = f"{_OLD} LIMIT 1"
_MARK_DELETED: Final = """
UPDATE usage_spans SET deleted = 1
WHERE deleted = 0 AND day IN (SELECT started_ns / {day} FROM calls WHERE id IN ({old}))
"""
MARK_DELETED: Final = _MARK_DELETED.format(day=DAY_NS, old=_OLD)
_DELETE_CALLS: Final = "DELETE FROM calls WHERE id IN ({})"
DELETE_CALLS: Final = _DELETE_CALLS.format(_OLD)
