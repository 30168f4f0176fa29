"""A stand-in for NVML, and what it says there is."""
import pathlib
import shutil
import subprocess

import pytest

SOURCE = pathlib.Path(__file__).with_name("nvml.c")


class StandIn:
    """A folder with the library and the list of its devices, which may change at any time."""

    def __init__(self, folder):
        compiler = shutil.which("cc") or shutil.which("clang")
        if not compiler:
            pytest.skip("no C compiler for the stand-in of NVML")
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.library = self.folder / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(self.library), str(SOURCE)], check=True)

    def has(self, *lines):
        (self.folder / "gpus").write_text("".join(f"{line}\n" for line in lines))
        return self

    def devices(self, count):
        return self.has(*(f"{uuid(number)},Stand-in {number},81920" for number in range(count)))

    @property
    def environment(self):
        return {"DCF_NVML": str(self.library)}


def uuid(number):
    return f"GPU-{number:08x}-0000-4000-8000-000000000000"
