"""YAML's safe loader: libyaml's, which is ten times as fast, where PyYAML was built with it."""

__all__ = ["SafeLoader"]

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]
