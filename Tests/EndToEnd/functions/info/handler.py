"""What a handler can see of itself and of where it runs, as JSON."""
import json
import os
import sys


class Handler:
    def __init__(self, parameters):
        self.parameters = parameters

    def __call__(self, req):
        return json.dumps({
            "name": req.info.name,
            "version": req.info["version"],
            "timeout": repr(req.info.timeout),
            "limits": repr(req.info["limits"]),
            "keys": sorted(req.info),
            "parameters": self.parameters,
            "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "executable": sys.executable,
            "prefix": sys.prefix,
            "path0": sys.path[0],
            "cwd": os.getcwd(),
            "environment": dict(os.environ),
            "pid": os.getpid(),
            "affinity": len(os.sched_getaffinity(0)),
            "argv": sys.argv,
        })
