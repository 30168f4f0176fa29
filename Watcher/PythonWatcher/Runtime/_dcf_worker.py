"""Makes the framework importable in a process that multiprocessing spawns for a handler; runs there first."""

import sys


class Finder:
    """Finds the framework's modules; loads the library when one of them is imported for the first time."""

    def __init__(self, library, package):
        self._library = library
        self._package = package

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("_dcf_") and name != "dcf" and (name != "dcf_function" or self._package is None):
            return None
        return self.found(name, path)

    def found(self, name, path):
        importing = self._load()
        for finder in (importing.Finder, importing.LastFinder):
            spec = finder.find_spec(name, path)
            if spec is not None:
                return spec
        return None

    def _load(self):
        external, bootstrap = sys.modules["_frozen_importlib_external"], sys.modules["_frozen_importlib"]
        sys.meta_path[:] = [each for each in sys.meta_path if type(each).__module__ != "_dcf_worker"]
        loader = external.ExtensionFileLoader("_dcf_watcher", self._library)
        watcher = loader.create_module(bootstrap.ModuleSpec("_dcf_watcher", loader, origin=self._library))
        loader.exec_module(watcher)
        sys.modules["_dcf_watcher"] = watcher
        module = type(sys)("_dcf_importing")
        exec(compile(watcher.source("_dcf_importing"), "<dcf>/_dcf_importing.py", "exec"), vars(module))
        module.install(module, self._library)
        module.Finder.package = self._package
        chains = module.load("_dcf_chains")
        chains.refusal = "only the handler's own process calls other functions, not one that it spawned"
        return module


class LastFinder:
    """The last finder: finds `mesh` when the author has no mesh.py."""

    def __init__(self, finder):
        self._finder = finder

    def find_spec(self, name, path=None, target=None):
        return self._finder.found(name, path) if name == "mesh" else None


def install(library, package):
    finder = Finder(library, package)
    sys.meta_path.insert(0, finder)
    sys.meta_path.append(LastFinder(finder))
