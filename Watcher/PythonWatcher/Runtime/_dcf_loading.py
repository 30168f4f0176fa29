"""Finds the author's file, imports it and constructs the handler."""

import os
import sys
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import SourceFileLoader, spec_from_file_location

from _dcf_importing import PACKAGE, Finder, is_bare, isolated, lent, make_way
from _dcf_importing import load as load_module
from _dcf_sources import keep, relative

# The stages of a LoadFailure: the link's numbers.
IMPORT, CONSTRUCTOR, CONFIGURATION, WARM_UP = 1, 2, 3, 4

# Flags of code objects: *args; coroutines, generators that types.coroutine marked, and asynchronous generators.
_VARARGS = 0x04
_ASYNC = 0x80 | 0x100 | 0x200


class LoadFailure(Exception):
    """The handler could not be constructed. `cause` is the author's exception; None when the configuration is wrong."""

    def __init__(self, stage, summary=None, cause=None):
        super().__init__(summary)
        self.stage = stage
        self.summary = summary
        self.cause = cause


class Location:
    """Where the handler is, from the variables HANDLER_DIR, HANDLER_FILE and HANDLER_NAME."""

    advice = "see handler.file and handler.dir"

    def __init__(self, environ):
        self.folder = os.path.abspath(environ.get("HANDLER_DIR") or ".")
        self.path = os.path.normpath(os.path.join(self.folder, environ.get("HANDLER_FILE") or "handler.py"))
        self.name = environ.get("HANDLER_NAME") or "Handler"
        # The full name of the handler's module; known after `enter`.
        self.module = ""

    def enter(self):
        """Makes the folder the current one, and puts it on sys.path."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise LoadFailure(CONFIGURATION, f"the handler's folder {self.folder}: {error.strerror}") from None
        self.module, first, last = _place(self.folder, self.path)
        sys.path[:0] = first
        sys.path += last
        make_way(first)
        sys.argv[:] = [self.path]

    @property
    def shown(self):
        """The path of the file below the function's folder."""
        return relative(self.path, self.folder)


def _place(folder, path):
    """Returns the name of the handler's module, and the folders to put at the beginning and at the end of sys.path.

    As for a script, the file's own folder comes first. If the file is in a package (a folder with an __init__.py), the
    folder that contains the package comes first, as with `python -m`. A file that imports from `.` is in a package
    even without an __init__.py.
    """
    here, file = os.path.split(path)
    stem = os.path.splitext(file)[0].replace(".", "_")
    is_relative = _imports_relatively(path)
    base, parts = _package(folder, here, is_relative)
    if parts and not is_bare(parts[0]):
        name = ".".join(parts if stem == "__init__" else parts + [stem])
        return name, [base] if base == folder else [base, folder], [here]
    if here == folder and (is_relative or stem == "__init__"):
        Finder.package = folder
        return PACKAGE if stem == "__init__" else PACKAGE + "." + stem, [folder], []
    name = "handler_" + stem if is_bare(stem) else stem
    return name, [here] if here == folder else [here, folder], []


def _package(folder, here, is_relative):
    """The folder that contains the outermost package, and the names of the packages from there to the handler."""
    base, parts = here, []
    if not here.startswith(folder + "/"):
        return here, []
    is_plain = not os.path.isfile(here + "/__init__.py")
    while base != folder and (is_plain and is_relative or os.path.isfile(base + "/__init__.py")):
        base, part = os.path.split(base)
        if "." in part:
            return here, []
        parts.insert(0, part)
    return base, parts


def _imports_relatively(path):
    """Whether a line of the file begins with `from .`."""
    try:
        with open(path, "rb") as file:
            words = [line.split(None, 1) for line in file.read().split(b"\n") if line.lstrip().startswith(b"from")]
    except OSError:
        return False
    return any(
        each[0].startswith(b"from.") or (each[0] == b"from" and len(each) > 1 and each[1].startswith(b"."))
        for each in words
    )


class Handler:
    """A handler: `call` answers requests, `owner` is its object, `loop` the event loop of an async one, else None."""

    def __init__(self, call, owner, loop):
        self.call = call
        self.owner = owner
        self.loop = loop

    @property
    def is_async(self):
        return self.loop is not None


def load(location, parameters):
    """Imports the author's file and returns its Handler; raises LoadFailure."""
    found = _find(location)
    # Opened before the constructor runs: the objects that it makes may belong to the loop.
    loop = _open_loop() if _is_async(found) else None
    if isinstance(found, type):
        if not any("__call__" in base.__dict__ for base in found.__mro__):
            raise LoadFailure(
                CONFIGURATION,
                f"class {location.name} in {location.shown} cannot be called: it needs def __call__(self, req)",
            )
        try:
            found = _construct(found, parameters)
        except BaseException as error:
            raise LoadFailure(CONSTRUCTOR, cause=error) from None
    return Handler(_entry(found), found, loop)


def _is_async(found):
    """Whether the result of a call must be awaited; for a class, of a call of its instances."""
    while hasattr(found, "func") and hasattr(found, "keywords"):
        # This is a functools.partial.
        found = found.func
    if not hasattr(found, "__code__") and not hasattr(found, "__func__"):
        kind = found if isinstance(found, type) else type(found)
        found = getattr(kind, "__call__", None)  # noqa: B004 - the method's code is looked at, it is not only a test
    found = getattr(found, "__func__", found)
    if getattr(found, "_is_coroutine", None) is not None:
        return True
    return bool(getattr(getattr(found, "__code__", None), "co_flags", 0) & _ASYNC)


def _open_loop():
    asyncio = load_asyncio()
    with lent(("asyncio",)):
        # Uses the author's event loop policy if there is one. asyncio imports its own policy only here.
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def load_asyncio():
    """Imports the standard library's asyncio, and the module that it would import only when a thread is needed."""
    asyncio = load_module("asyncio")
    # Reading this attribute imports its module.
    with isolated():
        load_module("concurrent.futures").ThreadPoolExecutor  # noqa: B018
    return asyncio


def _find(location):
    if not os.path.isfile(location.path):
        raise LoadFailure(
            CONFIGURATION,
            f"{location.shown} is not in {location.folder}; {location.advice}",
        )
    module = _import(location)
    try:
        found = getattr(module, location.name, None)
    except BaseException as error:
        # The module may have a `__getattr__`, which can raise anything.
        raise LoadFailure(IMPORT, cause=error) from None
    if callable(found):
        return found
    what = f"has no {location.name}" if found is None else f"has a {location.name} that cannot be called"
    others = [name for name, value in vars(module).items() if _is_own(value, module)]
    hint = "; it defines {}".format(", ".join(others[:8])) if others else ""
    raise LoadFailure(CONFIGURATION, f"{location.shown} {what}{hint}; see handler.name")


def _is_own(value, module):
    return callable(value) and getattr(value, "__module__", None) == module.__name__


def _import(location):
    name = location.module
    parent, _, last = name.rpartition(".")
    keep(location.path)
    try:
        if parent:
            __import__(parent)
        if name in sys.modules:
            # The package has imported the handler's file itself.
            return sys.modules[name]
        if location.path.endswith("/__init__.py"):
            __import__(name)
            return sys.modules[name]
        module = _execute(name, location.path, last if parent == PACKAGE else None)
        if parent:
            setattr(sys.modules[parent], last, module)
        return module
    except BaseException as error:
        raise LoadFailure(IMPORT, cause=error) from None


def _execute(name, path, alias):
    """Executes a file as a module. `alias` is a second name under which imports find it."""
    spec = spec_from_file_location(name, path)
    if spec is None:
        # The file does not end with .py.
        spec = spec_from_file_location(name, path, loader=SourceFileLoader(name, path))
    module = module_from_spec(spec)
    names = [name] if alias is None else [name, alias]
    for each in names:
        sys.modules[each] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        for each in names:
            sys.modules.pop(each, None)
        raise
    return sys.modules.get(name, module)


def _construct(kind, parameters):
    positional, named = _wants(kind)
    if named:
        return kind(parameters=parameters)
    return kind(parameters) if positional else kind()


def _wants(kind):
    """Whether __init__ has a required positional argument, and whether it accepts an argument named `parameters`."""
    init = kind.__init__
    code = getattr(init, "__code__", None)
    if init is object.__init__ or hasattr(init, "__wrapped__") or code is None:
        return (False, False) if init is object.__init__ else _inspect(kind)
    count = code.co_argcount
    names = code.co_varnames
    required = count - len(init.__defaults__ or ()) > 1
    named = "parameters" in names[max(1, code.co_posonlyargcount) : count + code.co_kwonlyargcount]
    # `def __init__(*args)` has no argument that is required.
    return required and not (count == 0 and code.co_flags & _VARARGS), named


def _inspect(kind):
    """Does the work of `_wants` for a decorated or built-in __init__."""
    inspect = load_module("inspect")
    try:
        arguments = list(inspect.signature(kind).parameters.values())
    except (TypeError, ValueError):
        return False, False
    positional = any(
        each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD) and each.default is each.empty
        for each in arguments
    )
    named = any(
        each.name == "parameters" and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        for each in arguments
    )
    return positional, named


def _entry(handler):
    """The callable for the loop: the object's bound __call__, looked up once instead of at every call."""
    for kind in type(handler).__mro__:
        call = kind.__dict__.get("__call__")
        if call is not None:
            return call.__get__(handler, type(handler)) if type(call) is type(load) else handler
    return handler
