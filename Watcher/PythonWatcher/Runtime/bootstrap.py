"""The first of the runtime to run: makes the rest importable, then becomes what the launcher was asked for."""

import sys
from importlib.machinery import ModuleSpec

import _dcf_watcher


class RuntimeImporter:
    """Finds `dcf`, `mesh` and the runtime's own `_dcf_*` modules inside the library.

    It is asked last, so an author's own dcf.py comes first.
    """

    @staticmethod
    def source(name):
        if name in ("dcf", "mesh"):
            return _dcf_watcher.source(name)
        if name.startswith("_dcf_"):
            return _dcf_watcher.source(name[5:])
        return None

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if cls.source(name) is None:
            return None
        return ModuleSpec(name, cls)

    @staticmethod
    def create_module(spec):
        return None

    @classmethod
    def exec_module(cls, module):
        name = module.__name__
        exec(compile(cls.source(name), "<dcf>/" + name + ".py", "exec"), module.__dict__)

    @classmethod
    def get_source(cls, name):
        source = cls.source(name)
        return None if source is None else source.decode()


sys.meta_path.append(RuntimeImporter)
mode, parent = sys.argv[2], int(sys.argv[3])
if mode == "once":
    from _dcf_once import run
elif mode == "template":
    from _dcf_template import run
else:
    from _dcf_link import run

    if sys.argv[4] == "contained":
        from _dcf_container import run
run(parent)
