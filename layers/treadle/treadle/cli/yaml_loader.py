"""YAML's safe loader: that of libyaml, which is ten times as fast, if PyYAML was built with it."""

__all__ = ["SafeLoader"]

try:
    from yaml import CSafeLoader as SafeLoader
except ImportError:
    from yaml import SafeLoader  # type: ignore[assignment]
