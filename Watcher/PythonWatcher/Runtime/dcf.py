"""What a handler can import from the framework. A handler needs none of it.

`Request` is the type of a handler's argument: `input` (bytes), `info` (a mapping, and attributes), `metadata` (dict),
`request_id`, `traceparent` (or None), `cancelled`, `deadline` (on time.monotonic's clock, or None), `remaining()`
(seconds, or None) and `set_metadata(key, value)`, which sends metadata to the caller with the reply. For callers over
HTTP also `http` (`method`, `path`, `query`, `headers`; else None), `content_type` (or None) and
`set_status(code, reason)`.

`raise Error(code, message)` chooses the status that the caller gets. `call(name, data)` and
`await call_async(name, data)` call another function; they raise Error when it fails.
"""

from _dcf_chains import call, call_async
from _dcf_context import current_request, current_request_id
from _dcf_errors import Cancelled, Error
from _dcf_info import Info
from _dcf_watcher import Request

__all__ = ["Cancelled", "Error", "Info", "Request", "call", "call_async", "current_request", "current_request_id"]
