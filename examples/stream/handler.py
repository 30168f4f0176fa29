"""Finds the edges in moving pictures. In: a picture or an animation. Out: a stream with one JPEG for each frame."""
import io

import dcf
from PIL import Image, ImageDraw, ImageFilter, ImageSequence, UnidentifiedImageError

#: The longer side of a frame that is sent back, in pixels.
SIDE = 320


class Handler:
    def __call__(self, req):
        try:
            picture = Image.open(io.BytesIO(req.input))
        except UnidentifiedImageError as error:
            raise dcf.Error("INVALID_ARGUMENT", f"these {len(req.input)} bytes are not a picture") from error
        for number, frame in enumerate(ImageSequence.Iterator(picture), 1):
            yield self.jpeg(self.annotated(frame.convert("RGB"), f"{number}/{getattr(picture, 'n_frames', 1)}"))

    def annotated(self, frame, text):
        """The frame with its edges in green, and with a line of text."""
        scale = SIDE / max(frame.size)
        frame = frame.resize([max(1, round(side * scale)) for side in frame.size])
        edges = frame.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda value: 255 if value > 60 else 0)
        # The filter takes the border of the picture for an edge.
        inner = Image.new("L", frame.size)
        inner.paste(edges.crop((1, 1, frame.width - 1, frame.height - 1)), (1, 1))
        frame.paste((0, 255, 0), mask=inner)
        ImageDraw.Draw(frame).text((4, 4), text, fill="white", stroke_width=1, stroke_fill="black")
        return frame

    def jpeg(self, frame):
        out = io.BytesIO()
        frame.save(out, "JPEG", quality=80)
        return out.getvalue()
