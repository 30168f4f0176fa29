"""Calls between functions, as in the original framework's template."""

from _dcf_chains import call

__all__ = ["mesh_call"]


def mesh_call(name, data=b"", timeout=None):
    """Calls the function of that name (`name`, or `name@version`) with str or bytes; its reply, as bytes.

    `timeout` is in seconds; the time that this handler's own caller waits is the limit in any case. Raises dcf.Error
    when the other function fails.
    """
    return call(name, data, timeout)
