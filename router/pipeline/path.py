"""Name the accounts that a call spends from."""

from router.domain.governance.account import AccountKey
from router.domain.governance.budget import EACH, Budget, ScopeKind
from router.domain.settlement import tag_values
from router.pipeline.call import Call


def path_of(call: Call) -> tuple[AccountKey, ...]:
    """Return the accounts of a call, narrowest first: its workflow's, those of its key, those across the tree."""
    tree = call.snapshot.tree_budgets
    if not tree:
        return call.principal.accounts
    first = [key for budget in tree if budget.scope.kind is ScopeKind.WORKFLOW for key in _keys(budget, call)]
    last = [key for budget in tree if budget.scope.kind is not ScopeKind.WORKFLOW for key in _keys(budget, call)]
    return (*first, *call.principal.accounts, *last)


def _keys(budget: Budget, call: Call) -> list[AccountKey]:
    labels, wanted = call.labels, budget.scope.value
    values: list[str]
    match budget.scope.kind:
        case ScopeKind.WORKFLOW:
            values = [labels.workflow_id] if labels.workflow_id else []
        case ScopeKind.AGENT:
            values = [labels.agent] if labels.agent else []
        case ScopeKind.TAG:
            values = tag_values(labels.tags)
        case ScopeKind.MODEL:
            values = [call.request.model]
        case ScopeKind.USER:
            values = [call.principal.user] if call.principal.user else []
        case ScopeKind.KEY:
            values = [call.principal.key_id]
        case ScopeKind.TEAM:
            team = call.principal.team
            values = [f"{call.principal.organization}/{team}"] if team else []
        case ScopeKind.ORGANIZATION:
            values = [call.principal.organization] if call.principal.organization else []
    return [(budget.id, value) for value in values if wanted in (EACH, value)]
