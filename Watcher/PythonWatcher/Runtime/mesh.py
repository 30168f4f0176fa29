"""Calls between functions, with the names of the original framework's template."""

from _dcf_chains import call

__all__ = ["mesh_call"]


def mesh_call(name, data=b"", timeout=None):
    """Calls a function, named `name` or `name@version`, with str or bytes; returns its reply as bytes.

    `timeout` is in seconds; the call never lasts longer than this handler's own caller waits. Raises dcf.Error when the
    other function fails.
    """
    return call(name, data, timeout)
