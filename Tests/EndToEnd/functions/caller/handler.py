"""Calls the functions that the input names, one after another: `b c d` calls b with `c d`.

The last one tells what it sees."""
import json

import dcf
import mesh


class Handler:
    def __call__(self, req):
        names = req.input.decode().split()
        if names:
            return mesh.mesh_call(names[0], " ".join(names[1:]).encode())
        return json.dumps({
            "name": req.info.name,
            "request_id": req.request_id,
            "traceparent": req.traceparent,
            "remaining": req.remaining(),
        })


class Async:
    async def __call__(self, req):
        names = req.input.decode().split()
        if names:
            return await dcf.call_async(names[0], " ".join(names[1:]).encode())
        return req.info.name
