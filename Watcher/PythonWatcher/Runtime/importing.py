"""Which module an import gives: the runtime has its own, and the author what plain Python would give.

The runtime's imports never see the author's folder. What they loaded leaves `sys.modules` before the author's code begins: an
`import queue` of the author's finds the author's queue.py, and where there is none the very module that the runtime uses.
"""

import os
import sys
from _thread import RLock, get_ident
from posix import write

import _dcf_watcher

_bootstrap = sys.modules["_frozen_importlib"]
_external = sys.modules["_frozen_importlib_external"]
_PathFinder = _external.PathFinder
_ModuleSpec = _bootstrap.ModuleSpec

# The package that a handler with relative imports belongs to, when it lies in handler.dir itself.
PACKAGE = "dcf_function"

# What a bare interpreter has: an author's own file of such a name is never imported in plain Python either.
_bare = {name: module for name, module in sys.modules.items() if not name.startswith("_dcf_")}
# What the runtime has loaded and the author has not: by name.
_kept = {}
if sys.version_info >= (3, 13) and "linecache" in _bare:
    # It keeps the text of what comes with -c, as the runtime does and a script does not.
    _kept["linecache"] = _bare.pop("linecache")
# What the runtime has asked for by name.
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
    """Before Python 3.10."""
    names = {"_overlapped", "_scproxy", "_winapi", "msvcrt", "nt", "winreg", *sys.builtin_module_names}
    for folder in _path:
        try:
            names.update(each.partition(".")[0] for each in os.listdir(folder))
        except OSError:
            # There need be no zip.
            pass
    return names


_path = _standard_path()
_names = getattr(sys, "stdlib_module_names", None) or _found_names()


class Finder:
    """Asked before all others: the runtime's own modules, `dcf`, and those that the runtime has loaded."""

    # The thread that imports for the runtime; None while there is none.
    importing = None
    # What PACKAGE holds; None when there is no such package.
    package = None
    # The file of _dcf_watcher.
    library = None
    # Whether the author was told of another module called dcf.
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
        if module is None and source(name) is None:
            return None
        return _ModuleSpec(name, OwnLoader, origin="<dcf>/" + name + ".py")

    @classmethod
    def _tell(cls):
        if cls._is_told:
            return
        cls._is_told = True
        spec = _PathFinder.find_spec("dcf")
        if spec is not None and spec.origin is not None:
            line = "dcf-watcher: import dcf gives the framework's module, not %s; give that another name\n" % spec.origin
            try:
                write(2, line.encode("utf-8", "backslashreplace"))
            except OSError:
                pass


class LastFinder:
    """Asked after all others: an author's own mesh.py comes first."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        return _ModuleSpec(name, OwnLoader, origin="<dcf>/mesh.py") if name == "mesh" else None


class OwnLoader:
    """Makes the runtime's modules, each once, from the sources inside the library."""

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
        exec(compile(source(name), "<dcf>/" + name + ".py", "exec"), vars(module))

    @staticmethod
    def get_source(name):
        text = source(name)
        return None if text is None else text.decode()


class _KeptLoader:
    """Gives a module that is loaded already."""

    def __init__(self, module, loader):
        self._module = module
        self._spec = module.__spec__
        self._loader = loader

    def create_module(self, spec):
        return self._module

    def exec_module(self, module):
        module.__spec__ = self._spec
        # Whoever takes it out of sys.modules wants a new one.
        _kept.pop(self._spec.name, None)

    def __getattr__(self, name):
        return getattr(self._loader, name)


class _SpawnLoader:
    """multiprocessing.spawn, from where new processes learn of `dcf`."""

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
    """In a process that multiprocessing spawns: makes `dcf` importable, and the package of a handler."""

    def __reduce__(self):
        text = "exec(%r) or install(%r, %r)" % (_dcf_watcher.source("worker").decode(), Finder.library, Finder.package)
        return eval, (text, {"__name__": "_dcf_worker"})


def source(name):
    """The text of a module of the runtime's, in bytes; None when it has none of that name."""
    if name.startswith("_dcf_"):
        return _dcf_watcher.source(name[5:])
    return _dcf_watcher.source(name) if name in ("dcf", "mesh") else None


def _standard_spec(name):
    for finder in (_bootstrap.BuiltinImporter, _bootstrap.FrozenImporter):
        spec = finder.find_spec(name)
        if spec is not None:
            return spec
    spec = _PathFinder.find_spec(name, _path)
    if spec is None:
        # Not even where the author's folder has one: it is another system's, and asked for in vain.
        raise ModuleNotFoundError("No module named %r" % name, name=name)
    return spec


def _next_spec(cls, name, path):
    """What the others find."""
    for finder in list(sys.meta_path):
        if finder is not cls and hasattr(finder, "find_spec"):
            spec = finder.find_spec(name, path)
            if spec is not None:
                return spec
    return None


def _kept_spec(cls, name, path):
    """A module of the runtime's, when plain Python would find just that."""
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
    """Whether a module stands where the runtime would find one of the standard library's."""
    if name in _bare and _bare[name] is module or name.startswith("_dcf_"):
        return False
    return name.partition(".")[0] in _names and not _is_standard(_origin(module))


class isolated:
    """In a `with`: this thread's imports are the runtime's."""

    def __enter__(self):
        _lock.acquire()
        Finder.importing = get_ident()
        self._hidden = {name: each for name, each in list(sys.modules.items()) if _hides(name, each)}
        for name in self._hidden:
            del sys.modules[name]
        self._lent = {name: each for name, each in _kept.items() if name not in sys.modules}
        sys.modules.update(self._lent)
        self._seen = set(sys.modules)
        # The author may have taken all away that finds modules.
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
    """A module for the runtime: one of its own, or of the standard library."""
    if name not in _loaded:
        if Finder.importing == get_ident():
            __import__(name)
            return sys.modules[name]
        with isolated():
            __import__(name)
            _loaded[name] = sys.modules[name]
    return _loaded[name]


class lent:
    """In a `with`: an import of these names, which `load` has loaded, gives what the runtime has."""

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
    """A module of the standard library as this process has it; None where nobody has loaded it."""
    module = sys.modules.get(name)
    if module is None or not _is_standard(_origin(module)):
        module = _kept.get(name)
    return module


def make_way(folders):
    """Takes modules out of sys.modules that these folders, which lead sys.path, have others for.

    A template's are the only ones: what it has imported, it has without the folder.
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
    """Whether every interpreter has loaded a module of that name before a script begins."""
    return name in _bare


def install(module, library):
    """Once, by the first of the runtime to run. `library`: the file of _dcf_watcher."""
    Finder.library = library
    for name in _kept:
        del sys.modules[name]
    _kept["_dcf_importing"] = module
    _kept["_dcf_watcher"] = sys.modules.pop("_dcf_watcher")
    sys.modules.pop("_dcf_importing", None)
    sys.meta_path.insert(0, Finder)
    sys.meta_path.append(LastFinder)
