"""Apply a JSON merge patch (RFC 7396): what is null is taken away, what is absent stays."""


def merge_patch(target: object, patch: object) -> object:
    """Return the patched value; neither argument is changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged
