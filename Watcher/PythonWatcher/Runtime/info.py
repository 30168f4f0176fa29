"""What `req.info` is."""

import _json


class _Reading:
    """How JSON's scanner in C reads; the package around it takes a while to import."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo = {}


def read_settings(text):
    """The function's settings from the JSON of the gateway."""
    if isinstance(text, bytes):
        text = text.decode()
    try:
        return _json.make_scanner(_Reading)(text.strip(), 0)[0]
    except StopIteration:
        raise ValueError("the function's settings are not JSON") from None


class Info(dict):
    """A mapping whose keys are attributes too: info["timeout"]["call"] is info.timeout.call."""

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
            raise AttributeError("info has no %r; it has %s" % (name, known)) from None


def make_info(settings):
    """The part of the function's settings that a handler may see; what is not told is None or empty."""
    return Info(
        {
            "name": settings.get("name"),
            "version": settings.get("version"),
            "timeout": settings.get("timeout") or {},
            "limits": settings.get("limits") or {},
        }
    )
