"""What a handler may import of the framework; none of it is needed to write one.

`Request` is the type of what a handler gets: `input` (bytes), `info` (a mapping, and attributes), `metadata` (dict),
`request_id`, `deadline` (on time.monotonic's clock, or None) and `remaining()` (seconds, or None).
"""

from _dcf_info import Info
from _dcf_watcher import Request, current_request_id

__all__ = ["Info", "Request", "current_request_id"]
