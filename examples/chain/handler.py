"""Counts the words of a text, line by line. Another function counts each line."""
import json

import mesh


class Handler:
    def __call__(self, req):
        counted = {}
        for line in req.input.splitlines():
            for word, count in json.loads(mesh.mesh_call("chain-words", line)).items():
                counted[word] = counted.get(word, 0) + count
        return json.dumps(dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))), ensure_ascii=False)
