"""Reads the text in a picture: base64 in, a JSON list with one object for each line of text out."""
import base64
import io
import json
import time

import numpy as np
from PIL import Image
from rapidocr_onnxruntime import RapidOCR


class Handler:
    def __init__(self):
        began = time.perf_counter()
        self.model = RapidOCR()
        print(f"model loaded in {time.perf_counter() - began:.2f} s", flush=True)

    def __call__(self, req):
        picture = Image.open(io.BytesIO(base64.b64decode(req.input))).convert("RGB")
        found, _ = self.model(np.array(picture))
        return json.dumps([self.line(*entry) for entry in found or []], ensure_ascii=False)

    @staticmethod
    def line(corners, text, confidence):
        """One line of text. Its four corners may be rotated, so the result is the box around them."""
        xs = [x for x, _ in corners]
        ys = [y for _, y in corners]
        return {
            "class": text,
            "confidence": f"{float(confidence):.4f}",
            "xmin": str(round(min(xs))),
            "ymin": str(round(min(ys))),
            "xmax": str(round(max(xs))),
            "ymax": str(round(max(ys))),
        }
