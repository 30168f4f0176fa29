"""Bundles (tar archives of a function's folder), good ones and bad ones."""
import io
import tarfile


def bundle(files):
    """A tar of `files`: names to bytes or text."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            content = content if isinstance(content, bytes) else content.encode()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def entries(*made):
    """A tar of ready entries: (TarInfo, bytes or None)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for entry, content in made:
            if content is not None:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content) if content is not None else None)
    return out.getvalue()


def entry(name, kind=tarfile.REGTYPE, link="", pax=None):
    made = tarfile.TarInfo(name)
    made.pax_headers = pax or {}
    made.type, made.linkname, made.mode = kind, link, 0o644
    return made
