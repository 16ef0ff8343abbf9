"""Know where a configuration may come from, and in which order: the later ones win."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from router.config.tree import Scalar

_SUFFIXES: Final = (".yaml", ".yml", ".toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Defaults < system < user < project < explicit file < environment < command line."""

    explicit: Path | None
    env: Mapping[str, str] = field(repr=False)
    overrides: Mapping[str, Scalar]
    """By dotted path, such as `server.http.port`."""
    system: Path
    user: Path
    project: Path

    @classmethod
    def of_process(
        cls,
        env: Mapping[str, str],
        *,
        explicit: Path | None = None,
        overrides: Mapping[str, Scalar] | None = None,
    ) -> "Sources":
        """Name the real places. `explicit` is --config; CHECKREIN_CONFIG stands in for it."""
        named = explicit or (Path(env["CHECKREIN_CONFIG"]) if env.get("CHECKREIN_CONFIG") else None)
        home = Path(env.get("XDG_CONFIG_HOME") or Path(env.get("HOME") or "~").expanduser() / ".config")
        return cls(
            explicit=named,
            env=env,
            overrides=overrides or {},
            system=Path("/etc/checkrein/checkrein.yaml"),
            user=home / "checkrein" / "checkrein.yaml",
            project=Path("checkrein.yaml"),
        )

    def files(self) -> Iterator[Path]:
        """Yield the files to read, lowest layer first, each once; an explicit file is yielded even when absent."""
        explicit = self.explicit.resolve() if self.explicit else None
        for place in (self.system, self.user, self.project):
            for candidate in (place.with_suffix(suffix) for suffix in _SUFFIXES):
                if candidate.resolve() != explicit and candidate.is_file():
                    yield candidate
        if self.explicit:
            yield self.explicit

    @property
    def in_container(self) -> bool:
        """Our image says so about itself."""
        return self.env.get("CHECKREIN_CONTAINER") == "1"
