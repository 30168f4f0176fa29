"""Detects the file type of some bytes: any bytes in, a JSON object out."""
import json

from magika import Magika


class Handler:
    def __init__(self):
        self.model = Magika()

    def __call__(self, req):
        found = self.model.identify_bytes(req.input)
        return json.dumps({
            "label": str(found.output.label),
            "description": found.output.description,
            "mime_type": found.output.mime_type,
            "score": round(float(found.score), 3),
        })
