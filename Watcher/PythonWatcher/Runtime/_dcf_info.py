"""The type of `req.info`, and the function's settings."""

import _json


class _Reading:
    """The options of the JSON scanner in C. The package `json` around it would take long to import."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo = {}


def read_settings(text):
    """Parses the function's settings, the JSON that the gateway sent."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        return _json.make_scanner(_Reading)(text.strip(), 0)[0]
    except StopIteration:
        raise ValueError("the function's settings are not JSON") from None


class Info(dict):
    """A dict with its keys as attributes too: info["timeout"]["call"] is info.timeout.call."""

    __slots__ = ()

    def __init__(self, values):
        super().__init__(
            (key, Info(value) if isinstance(value, dict) else value) for key, value in values.items()
        )

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"info has no {name!r}; it has {known}") from None


def make_info(settings):
    """The part of the function's settings that a handler sees; a missing setting is None or empty."""
    return Info(
        {
            "name": settings.get("name"),
            "version": settings.get("version"),
            "timeout": settings.get("timeout") or {},
            "limits": settings.get("limits") or {},
        }
    )
