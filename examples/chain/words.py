"""Counts the words of one line."""
import collections
import json
import re


class Handler:
    def __call__(self, req):
        return json.dumps(collections.Counter(re.findall(r"\w+", req.input.decode().lower())))
