"""A team's administrator gives nothing that its own key has not, and of what is hard to say, nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.delegation import KeyGrants, _covers, excess_of, is_plain
from router.domain.ids import KeyId, ModelName
from router.domain.principal import Permission, Principal

ALL = frozenset({"substitution", "set_attribution"})


def grants(
    team: str | None = "acme/lab",
    user: str | None = None,
    models: tuple[str, ...] = ("small", "gpt-*"),
    allowed: frozenset[str] = ALL,
    urgency: int = 1,
    observed: bool = False,
    permissions: frozenset[Permission] = frozenset({Permission.INFERENCE}),
) -> KeyGrants:
    return KeyGrants(
        team=team,
        user=user,
        models=models,
        allowed=allowed,
        urgency=urgency,
        observed=observed,
        permissions=permissions,
    )


OWN = grants(permissions=frozenset({Permission.TEAM_ADMIN}))
QUIET = grants(allowed=frozenset({"substitution"}), user="ann")


@pytest.mark.parametrize(
    ("own", "wanted", "param"),
    [
        (OWN, grants(), None),
        (OWN, grants(permissions=frozenset()), None),
        (OWN, grants(models=("gpt-4", "gpt-4*", "gpt-*", "small")), None),
        (OWN, grants(models=()), None),
        (OWN, grants(allowed=frozenset(), urgency=2, user="bob"), None),
        (OWN, grants(team="acme/other"), "team"),
        (OWN, grants(team="other/lab"), "team"),
        (OWN, grants(team=None), "team"),
        (grants(team=None), grants(team=None), "team"),
        (OWN, grants(permissions=frozenset({Permission.ADMIN})), "permissions"),
        (OWN, grants(permissions=frozenset({Permission.INFERENCE, Permission.ADMIN})), "permissions"),
        (OWN, grants(permissions=frozenset({Permission.TEAM_ADMIN})), "permissions"),
        (OWN, grants(models=("large",)), "models"),
        (OWN, grants(models=("small", "*")), "models"),
        (OWN, grants(models=("s*",)), "models"),
        (OWN, grants(models=("g*",)), "models"),
        (OWN, grants(models=("gpt?4",)), "models"),
        (grants(models=("a?c",)), grants(models=("a*c",)), "models"),
        (grants(models=("a[*",)), grants(models=("a[b]",)), "models"),
        (OWN, grants(observed=True), "mode"),
        (OWN, grants(allowed=ALL | {"keep_partials"}), "allow.keep_partials"),
        (QUIET, grants(user="ann"), "allow.set_attribution"),
        (QUIET, grants(allowed=frozenset(), user="ann"), None),
        (QUIET, grants(allowed=frozenset(), user="bob"), "user"),
        (QUIET, grants(allowed=frozenset(), user=None), "user"),
        (OWN, grants(urgency=0), "priority"),
    ],
)
def test_what_is_given_is_at_most_what_is_had(own: KeyGrants, wanted: KeyGrants, param: str | None) -> None:
    excess = excess_of(own, wanted)

    assert param == (None if excess is None else excess.param)


@pytest.mark.parametrize(
    ("permissions", "plain"),
    [(set(), True), ({Permission.INFERENCE}, True), ({Permission.ADMIN}, False), ({Permission.TEAM_ADMIN}, False)],
)
def test_a_key_is_plain_that_only_calls_models(permissions: set[Permission], plain: bool) -> None:
    assert plain == is_plain(grants(permissions=frozenset(permissions)))


NAMES = st.text(alphabet="ab*?[]!-", min_size=1, max_size=5)


@given(own=NAMES, wanted=NAMES, name=st.text(alphabet="ab-![]", min_size=1, max_size=5))
def test_no_model_is_reached_by_a_covered_pattern_that_the_own_one_does_not_reach(
    own: str, wanted: str, name: str
) -> None:
    def may(pattern: str) -> bool:
        return Principal(key_id=KeyId("k"), models=(pattern,)).may_use(ModelName(name))

    if _covers((own,), wanted) and may(wanted):
        assert may(own)
