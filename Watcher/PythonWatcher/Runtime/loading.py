"""Finds the author's file and makes the handler of it."""

import os
import sys
from _frozen_importlib import module_from_spec
from _frozen_importlib_external import SourceFileLoader, spec_from_file_location

from _dcf_importing import PACKAGE, Finder, is_bare, isolated, lent, make_way
from _dcf_importing import load as load_module
from _dcf_sources import keep, relative

IMPORT, CONSTRUCTOR, CONFIGURATION, WARM_UP = 1, 2, 3, 4

_VARARGS = 0x04
# Coroutines, generators that types.coroutine made one, asynchronous generators.
_ASYNC = 0x80 | 0x100 | 0x200


class LoadFailure(Exception):
    """The handler could not be made. `cause` is the author's exception, None when the configuration is wrong."""

    def __init__(self, stage, summary=None, cause=None):
        super().__init__(summary)
        self.stage = stage
        self.summary = summary
        self.cause = cause


class Location:
    """Where the handler is, as the environment tells: HANDLER_DIR, HANDLER_FILE and HANDLER_NAME."""

    advice = "see handler.file and handler.dir"

    def __init__(self, environ):
        self.folder = os.path.abspath(environ.get("HANDLER_DIR") or ".")
        self.path = os.path.normpath(os.path.join(self.folder, environ.get("HANDLER_FILE") or "handler.py"))
        self.name = environ.get("HANDLER_NAME") or "Handler"
        # The module's name as an import would say it.
        self.module = ""

    def enter(self):
        """Makes the folder the place where files are opened and modules found."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise LoadFailure(CONFIGURATION, "the handler's folder %s: %s" % (self.folder, error.strerror))
        self.module, first, last = _place(self.folder, self.path)
        sys.path[:0] = first
        sys.path += last
        make_way(first)
        sys.argv[:] = [self.path]

    @property
    def shown(self):
        """The file as the author knows it."""
        return relative(self.path, self.folder)


def _place(folder, path):
    """The name of the handler's module, and the folders where modules are looked for before and after all others.

    As with a script its own folder is the first. In a package, which has an __init__.py, it is the one that the package is
    in, as with `python -m`; so it is without that file where the handler imports from `.`.
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
    """The folder that the outermost package is in, and the packages from there to the handler."""
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
    """Whether some line begins as `from .` does."""
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
    """What answers requests: `call`, the object that it belongs to, and the event loop if `call` is a coroutine's."""

    def __init__(self, call, owner, loop):
        self.call = call
        self.owner = owner
        self.loop = loop

    @property
    def is_async(self):
        return self.loop is not None


def load(location, parameters):
    """The handler; raises LoadFailure."""
    found = _find(location)
    # What the constructor makes may belong to the loop.
    loop = _open_loop() if _is_async(found) else None
    if isinstance(found, type):
        if not any("__call__" in base.__dict__ for base in found.__mro__):
            raise LoadFailure(
                CONFIGURATION,
                "class %s in %s cannot be called: it needs def __call__(self, req)" % (location.name, location.shown),
            )
        try:
            found = _construct(found, parameters)
        except BaseException as error:
            raise LoadFailure(CONSTRUCTOR, cause=error) from None
    return Handler(_entry(found), found, loop)


def _is_async(found):
    """Whether a call of it, or of an object of that class, must be awaited."""
    while hasattr(found, "func") and hasattr(found, "keywords"):
        # A functools.partial.
        found = found.func
    if not hasattr(found, "__code__") and not hasattr(found, "__func__"):
        kind = found if isinstance(found, type) else type(found)
        found = getattr(kind, "__call__", None)
    found = getattr(found, "__func__", found)
    if getattr(found, "_is_coroutine", None) is not None:
        return True
    return bool(getattr(getattr(found, "__code__", None), "co_flags", 0) & _ASYNC)


def _open_loop():
    asyncio = load_asyncio()
    with lent(("asyncio",)):
        # Of the author's policy, if there is one; that of asyncio is imported only now.
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop


def load_asyncio():
    """The standard library's, with what it would import only when it is used."""
    asyncio = load_module("asyncio")
    # An attribute that imports its module when it is first asked for.
    with isolated():
        load_module("concurrent.futures").ThreadPoolExecutor
    return asyncio


def _find(location):
    if not os.path.isfile(location.path):
        raise LoadFailure(
            CONFIGURATION,
            "%s is not in %s; %s" % (location.shown, location.folder, location.advice),
        )
    module = _import(location)
    try:
        found = getattr(module, location.name, None)
    except BaseException as error:
        # A module may say by itself what it has.
        raise LoadFailure(IMPORT, cause=error) from None
    if callable(found):
        return found
    what = "has no %s" % location.name if found is None else "has a %s that cannot be called" % location.name
    others = [name for name, value in vars(module).items() if _is_own(value, module)]
    hint = "; it defines %s" % ", ".join(others[:8]) if others else ""
    raise LoadFailure(CONFIGURATION, "%s %s%s; see handler.name" % (location.shown, what, hint))


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
            # The package has imported it.
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
    """Makes the module of that file. `alias` is another name under which imports find it."""
    spec = spec_from_file_location(name, path) or spec_from_file_location(name, path, loader=SourceFileLoader(name, path))
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
    """Whether __init__ has a required positional argument, and whether it can be given one named `parameters`."""
    init = kind.__init__
    code = getattr(init, "__code__", None)
    if init is object.__init__ or hasattr(init, "__wrapped__") or code is None:
        return (False, False) if init is object.__init__ else _inspect(kind)
    count = code.co_argcount
    names = code.co_varnames
    required = count - len(init.__defaults__ or ()) > 1
    named = "parameters" in names[max(1, code.co_posonlyargcount) : count + code.co_kwonlyargcount]
    # def __init__(*args) takes what comes, and needs nothing.
    return required and not (count == 0 and code.co_flags & _VARARGS), named


def _inspect(kind):
    """The same for a decorated or built-in __init__."""
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
    """What the loop calls: an object's bound __call__ is found once, not at every call."""
    for kind in type(handler).__mro__:
        call = kind.__dict__.get("__call__")
        if call is not None:
            return call.__get__(handler, type(handler)) if type(call) is type(load) else handler
    return handler
