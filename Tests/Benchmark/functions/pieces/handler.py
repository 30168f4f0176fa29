def Handler(req):
    """Yields as many pieces of 1 KiB as the input says."""
    piece = b"." * 1024
    for _ in range(int(req.input)):
        yield piece
