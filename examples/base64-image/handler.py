import base64
import io

from PIL import Image


class Handler:
    def __init__(self):
        pass

    def __call__(self, req):
        base64Str = req.input
        imageData = base64.decodebytes(base64Str)
        img = Image.open(io.BytesIO(imageData))

        return f"Image size : {img.size}"
