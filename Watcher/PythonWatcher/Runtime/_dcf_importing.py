"""Keeps the runtime's imports and the author's apart: the author's imports give what they give in plain Python.

The runtime's imports never see the author's folder. The modules that they loaded are taken out of `sys.modules` before
the author's code begins. So `import queue` in the author's code finds the author's queue.py; where there is none, it
gives the same module object that the runtime uses.
"""
# ruff: noqa: SIM105 - the runtime does not import contextlib: each import costs a replica time and memory.

import os
import sys
from _thread import RLock, get_ident
from posix import write

import _dcf_watcher

_bootstrap = sys.modules["_frozen_importlib"]
_external = sys.modules["_frozen_importlib_external"]
_PathFinder = _external.PathFinder
_ModuleSpec = _bootstrap.ModuleSpec

# The name of the package that a handler with relative imports belongs to, when its file is in handler.dir itself.
PACKAGE = "dcf_function"

# The modules that every interpreter loads at its start. Plain Python never imports an author's file of such a name.
_bare = {name: module for name, module in sys.modules.items() if not name.startswith("_dcf_")}
# The modules that the runtime has loaded and the author has not, by name.
_kept = {}
if sys.version_info >= (3, 13) and "linecache" in _bare:
    # Loaded here because the launcher's program comes with `-c`; the interpreter does not load it for a script.
    _kept["linecache"] = _bare.pop("linecache")
# The modules that `load` has given to the runtime, by name.
_loaded = {}
_lock = RLock()
_folder = os.path.dirname(os.__file__)


def _standard_path():
    found = [
        entry
        for entry in sys.path
        if entry == _folder
        or entry.endswith("/lib-dynload")
        or (entry.endswith(".zip") and os.path.dirname(entry) == os.path.dirname(_folder))
    ]
    return found if _folder in found else [entry for entry in sys.path if entry]


def _found_names():
    """The names of the standard library's modules, for Python before 3.10."""
    names = {"_overlapped", "_scproxy", "_winapi", "msvcrt", "nt", "winreg", *sys.builtin_module_names}
    for folder in _path:
        try:
            names.update(each.partition(".")[0] for each in os.listdir(folder))
        except OSError:
            # sys.path also names a zip file, which need not exist.
            pass
    return names


_path = _standard_path()
_names = getattr(sys, "stdlib_module_names", None) or _found_names()


class Finder:
    """The first finder: finds the runtime's own modules, `dcf`, and the modules that the runtime has loaded."""

    # The thread that imports for the runtime; None while no thread does.
    importing = None
    # The folder of PACKAGE; None when there is no such package.
    package = None
    # The file of _dcf_watcher.
    library = None
    # Whether the log already says that there is another module called dcf.
    _is_told = False

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.startswith("_dcf_"):
            return cls._own(name)
        if target is not None:
            # A reload.
            return None
        if cls.importing is not None and cls.importing == get_ident():
            return _standard_spec(name) if path is None else _PathFinder.find_spec(name, path)
        if name == "dcf":
            cls._tell()
            return cls._own(name)
        if name == PACKAGE and cls.package is not None:
            return _package_spec(cls.package)
        if name == "multiprocessing.spawn":
            return _spawn_spec(cls, name, path)
        return _kept_spec(cls, name, path) if name in _kept else None

    @classmethod
    def _own(cls, name):
        module = _kept.get(name)
        if module is None and _dcf_watcher.source(name) is None:
            return None
        return _ModuleSpec(name, OwnLoader, origin="<dcf>/" + name + ".py")

    @classmethod
    def _tell(cls):
        if cls._is_told:
            return
        cls._is_told = True
        spec = _PathFinder.find_spec("dcf")
        if spec is not None and spec.origin is not None:
            line = f"dcf-watcher: import dcf gives the framework's module, not {spec.origin}; give that another name\n"
            try:
                write(2, line.encode("utf-8", "backslashreplace"))
            except OSError:
                pass


class LastFinder:
    """The last finder: finds `mesh` when the author has no mesh.py."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return _ModuleSpec(name, OwnLoader, origin="<dcf>/mesh.py") if name == "mesh" else None


class OwnLoader:
    """Loads the runtime's modules, each once, from the sources inside the library."""

    @staticmethod
    def create_module(spec):
        return _kept.get(spec.name)

    @staticmethod
    def exec_module(module):
        name = module.__name__
        if name in _kept:
            return
        vars(module)["__builtins__"] = __builtins__
        if name.startswith("_dcf_"):
            _kept[name] = module
        exec(compile(_dcf_watcher.source(name), "<dcf>/" + name + ".py", "exec"), vars(module))

    @staticmethod
    def get_source(name):
        text = _dcf_watcher.source(name)
        return None if text is None else text.decode()


class _KeptLoader:
    """Gives a module that the runtime has loaded already."""

    def __init__(self, module, loader):
        self._module = module
        self._spec = module.__spec__
        self._loader = loader

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        module.__spec__ = self._spec
        # Code that takes the module out of sys.modules later gets a new one.
        _kept.pop(self._spec.name, None)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class _SpawnLoader:
    """Loads multiprocessing.spawn so that the processes that it starts can import `dcf` too."""

    def __init__(self, loader):
        self._loader = loader

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        self._loader.exec_module(module)
        prepare = module.get_preparation_data

        def get_preparation_data(name):
            data = prepare(name)
            data["dcf"] = Worker()
            return data

        module.get_preparation_data = get_preparation_data

    def __getattr__(self, name):
        return getattr(self._loader, name)


class Worker:
    """When a spawned process unpickles this, it can import `dcf` and the handler's package."""

    def __reduce__(self):
        code = _dcf_watcher.source("_dcf_worker").decode()
        text = f"exec({code!r}) or install({Finder.library!r}, {Finder.package!r})"
        return eval, (text, {"__name__": "_dcf_worker"})


def _standard_spec(name):
    for finder in (_bootstrap.BuiltinImporter, _bootstrap.FrozenImporter):
        spec = finder.find_spec(name)
        if spec is not None:
            return spec
    spec = _PathFinder.find_spec(name, _path)
    if spec is None:
        # Raised even if the author's folder has such a module: the standard library asked for one of another system.
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return spec


def _next_spec(cls, name, path):
    """The spec that the other finders give."""
    for finder in list(sys.meta_path):
        if finder is not cls and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path)
            if spec is not None:
                return spec
    return None


def _kept_spec(cls, name, path):
    """The spec for an import of a module that the runtime has loaded: its module object, if the file is the same."""
    module = _kept[name]
    parent = name.rpartition(".")[0]
    if parent in _kept and sys.modules.get(parent) is not _kept[parent]:
        return None
    spec = _next_spec(cls, name, path)
    if spec is not None and spec.loader is not None and spec.origin == _origin(module):
        spec.loader = _KeptLoader(module, spec.loader)
    return spec


def _spawn_spec(cls, name, path):
    spec = _next_spec(cls, name, path)
    if spec is not None and spec.loader is not None and _is_standard(spec.origin):
        spec.loader = _SpawnLoader(spec.loader)
    return spec


def _package_spec(folder):
    file = folder + "/__init__.py"
    if os.path.isfile(file):
        return _external.spec_from_file_location(PACKAGE, file, submodule_search_locations=[folder])
    spec = _ModuleSpec(PACKAGE, None, is_package=True)
    spec.submodule_search_locations.append(folder)
    return spec


def _origin(module):
    try:
        return module.__spec__.origin
    except BaseException:
        return None


def _is_standard(origin):
    if not isinstance(origin, str):
        return False
    if origin in ("built-in", "frozen") or "/lib-dynload/" in origin:
        return True
    return origin.startswith(_folder + "/") and "/site-packages/" not in origin and "/dist-packages/" not in origin


def _hides(name, module):
    """Whether a loaded module has the name of one of the standard library's, but is not that one."""
    if name in _bare and _bare[name] is module or name.startswith("_dcf_"):
        return False
    return name.partition(".")[0] in _names and not _is_standard(_origin(module))


class isolated:
    """A context manager: inside it, this thread imports for the runtime."""

    def __enter__(self):
        _lock.acquire()
        Finder.importing = get_ident()
        self._hidden = {name: each for name, each in list(sys.modules.items()) if _hides(name, each)}
        for name in self._hidden:
            del sys.modules[name]
        self._lent = {name: each for name, each in _kept.items() if name not in sys.modules}
        sys.modules.update(self._lent)
        self._seen = set(sys.modules)
        # The author's code may have removed all finders.
        self._finders = sys.meta_path
        sys.meta_path = [Finder, *self._finders]

    def __exit__(self, *_):
        for name in list(sys.modules):
            if name not in self._seen:
                _kept[name] = sys.modules.pop(name)
        for name, module in self._lent.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]
        sys.modules.update(self._hidden)
        sys.meta_path = self._finders
        Finder.importing = None
        _lock.release()


def load(name):
    """Imports a module for the runtime: one of its own, or of the standard library."""
    if name not in _loaded:
        if Finder.importing == get_ident():
            __import__(name)
            return sys.modules[name]
        with isolated():
            __import__(name)
            _loaded[name] = sys.modules[name]
    return _loaded[name]


class lent:
    """A context manager: inside it, an import of these names gives the modules that `load` has given to the runtime."""

    def __init__(self, names):
        self._modules = {name: _loaded[name] for name in names if name in _loaded}

    def __enter__(self):
        self._before = {}
        for name, module in self._modules.items():
            found = sys.modules.get(name)
            if found is not module:
                self._before[name] = found
                sys.modules[name] = module

    def __exit__(self, *_):
        for name, module in self._before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def standard(name):
    """A module of the standard library that this process has loaded; None where it has not."""
    module = sys.modules.get(name)
    if module is None or not _is_standard(_origin(module)):
        module = _kept.get(name)
    return module


def make_way(folders):
    """Takes the modules out of sys.modules that an import would now find in these folders, the first of sys.path.

    Only a template has such modules: it has imported them without the function's folder.
    """
    for name, module in list(sys.modules.items()):
        if "." in name or name in _bare or name.startswith("_dcf_") or name in ("dcf", "mesh"):
            continue
        spec = _PathFinder.find_spec(name, folders)
        if spec is None or spec.loader is None or spec.origin == _origin(module):
            continue
        for each in list(sys.modules):
            if each == name or each.startswith(name + "."):
                _kept[each] = sys.modules.pop(each)


def is_bare(name):
    """Whether every interpreter loads a module of that name before a script begins."""
    return name in _bare


def install(module, library):
    """Installs the finders; the bootstrap calls it once. `library`: the file of _dcf_watcher."""
    Finder.library = library
    for name in _kept:
        del sys.modules[name]
    _kept["_dcf_importing"] = module
    _kept["_dcf_watcher"] = sys.modules.pop("_dcf_watcher")
    sys.modules.pop("_dcf_importing", None)
    sys.meta_path.insert(0, Finder)
    sys.meta_path.append(LastFinder)
