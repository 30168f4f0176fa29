// The part of CPython's C API that the watcher uses. It is declared by hand, so that one build works with every CPython
// from 3.9 on, and needs no Python headers.
//
// The functions and structures are those of the stable ABI of 3.9 (https://docs.python.org/3/c-api/stable.html), and
// these, which every CPython since 3.9 exports unchanged: PyObject_VectorcallDict, PyObject_GetBuffer,
// PyBuffer_Release, Py_buffer, PyUnicode_AsUTF8AndSize. The interpreter that loads the library has the symbols.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef intptr_t Py_ssize_t;

// Objects. The layout of this header is part of the stable ABI (not of the free-threaded build's).
typedef struct PyObject {
    Py_ssize_t ob_refcnt;
    struct PyObject *ob_type;
} PyObject;

void Py_IncRef(PyObject *);
void Py_DecRef(PyObject *);
void PyObject_Free(void *);
int PyCallable_Check(PyObject *);
PyObject *PyObject_GetAttrString(PyObject *, const char *);
PyObject *PyImport_ImportModule(const char *);
PyObject *PyObject_CallObject(PyObject *callable, PyObject *args);
PyObject *PyObject_VectorcallDict(PyObject *callable, PyObject *const *args, size_t nargsf, PyObject *kwargs);

/// Calls with one argument, `slots[1]`; the callee may use `slots[0]` for its `self`.
static inline PyObject *dcf_call_one(PyObject *callable, PyObject **slots) {
    const size_t argumentsOffset = (size_t)1 << (8 * sizeof(size_t) - 1);
    return PyObject_VectorcallDict(callable, slots + 1, 1 | argumentsOffset, NULL);
}

// Types made at run time.
typedef struct {
    int slot;
    void *pfunc;
} PyType_Slot;

typedef struct {
    const char *name;
    int basicsize;
    int itemsize;
    unsigned int flags;
    PyType_Slot *slots;
} PyType_Spec;

typedef PyObject *(*PyCFunction)(PyObject *, PyObject *);
typedef PyObject *(*getter)(PyObject *, void *);
typedef int (*setter)(PyObject *, PyObject *, void *);

typedef struct {
    const char *ml_name;
    PyCFunction ml_meth;
    int ml_flags;
    const char *ml_doc;
} PyMethodDef;

typedef struct {
    const char *name;
    int type;
    Py_ssize_t offset;
    int flags;
    const char *doc;
} PyMemberDef;

typedef struct {
    const char *name;
    getter get;
    setter set;
    const char *doc;
    void *closure;
} PyGetSetDef;

enum { METH_VARARGS = 0x0001, METH_NOARGS = 0x0004, METH_O = 0x0008 };
enum { T_OBJECT_EX = 16, READONLY = 1 };
enum {
    Py_tp_dealloc = 52,
    Py_tp_doc = 56,
    Py_tp_methods = 64,
    Py_tp_new = 65,
    Py_tp_repr = 66,
    Py_tp_members = 72,
    Py_tp_getset = 73,
};
static const unsigned int dcf_tpflags_default = (1u << 18);

PyObject *PyType_FromSpec(PyType_Spec *);
PyObject *PyType_GenericAlloc(PyObject *type, Py_ssize_t itemCount);

// Modules.
typedef struct {
    PyObject ob_base;
    PyObject *(*m_init)(void);
    Py_ssize_t m_index;
    PyObject *m_copy;
} PyModuleDef_Base;

typedef struct {
    PyModuleDef_Base m_base;
    const char *m_name;
    const char *m_doc;
    Py_ssize_t m_size;
    PyMethodDef *m_methods;
    void *m_slots;
    void *m_traverse;
    void *m_clear;
    void *m_free;
} PyModuleDef;

enum { PYTHON_ABI_VERSION = 3 };

PyObject *PyModule_Create2(PyModuleDef *, int apiVersion);
int PyModule_AddObject(PyObject *module, const char *name, PyObject *value);

// bytes, str, int, float, tuple, dict.
PyObject *PyBytes_FromStringAndSize(const char *, Py_ssize_t);
char *PyBytes_AsString(PyObject *);
Py_ssize_t PyBytes_Size(PyObject *);
PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *errors);
PyObject *PyUnicode_Concat(PyObject *, PyObject *);
const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *);
PyObject *PyLong_FromLong(long);
long PyLong_AsLong(PyObject *);
unsigned long long PyLong_AsUnsignedLongLong(PyObject *);
PyObject *PyFloat_FromDouble(double);
double PyFloat_AsDouble(PyObject *);
PyObject *PyTuple_New(Py_ssize_t);
PyObject *PyTuple_GetItem(PyObject *, Py_ssize_t);
Py_ssize_t PyTuple_Size(PyObject *);
int PyTuple_SetItem(PyObject *, Py_ssize_t, PyObject *);
PyObject *PyBool_FromLong(long);
PyObject *PyList_New(Py_ssize_t);
int PyList_SetItem(PyObject *, Py_ssize_t, PyObject *);
int PyList_Append(PyObject *, PyObject *);
PyObject *PyDict_New(void);
int PyDict_Next(PyObject *, Py_ssize_t *position, PyObject **key, PyObject **value);
Py_ssize_t PyDict_Size(PyObject *);
PyObject *PyDict_GetItemWithError(PyObject *, PyObject *);
int PyDict_SetItem(PyObject *, PyObject *, PyObject *);

// Iterators.
int PyIter_Check(PyObject *);
PyObject *PyIter_Next(PyObject *);

// Buffers.
typedef struct {
    void *buf;
    PyObject *obj;
    Py_ssize_t len;
    Py_ssize_t itemsize;
    int readonly;
    int ndim;
    char *format;
    Py_ssize_t *shape;
    Py_ssize_t *strides;
    Py_ssize_t *suboffsets;
    void *internal;
} Py_buffer;

/// C-contiguous, with the number of dimensions and the shape filled in.
enum { PyBUF_ND = 0x0008 };

int PyObject_CheckBuffer(PyObject *);
int PyObject_GetBuffer(PyObject *, Py_buffer *, int flags);
void PyBuffer_Release(Py_buffer *);

// Exceptions.
PyObject *PyErr_Occurred(void);
void PyErr_Clear(void);
void PyErr_SetString(PyObject *type, const char *);
void PyErr_SetNone(PyObject *type);
PyObject *PyErr_NoMemory(void);
int PyErr_ExceptionMatches(PyObject *type);
void PyErr_Restore(PyObject *type, PyObject *value, PyObject *traceback);
void PyErr_Fetch(PyObject **type, PyObject **value, PyObject **traceback);
void PyErr_NormalizeException(PyObject **type, PyObject **value, PyObject **traceback);
int PyErr_CheckSignals(void);
int PyException_SetTraceback(PyObject *exception, PyObject *traceback);
PyObject *PyErr_NewException(const char *name, PyObject *base, PyObject *dict);
void PyErr_WriteUnraisable(PyObject *);

// Threads.
typedef struct PyThreadState PyThreadState;
PyThreadState *PyEval_SaveThread(void);
void PyEval_RestoreThread(PyThreadState *);
unsigned long PyThread_get_thread_ident(void);
/// Raises an exception in another thread, at its next instruction; NULL takes back one that was not raised yet.
int PyThreadState_SetAsyncExc(unsigned long thread, PyObject *type);
/// Has the main thread call a function soon. Needs no GIL.
int Py_AddPendingCall(int (*function)(void *), void *);

// Data of the interpreter, returned by functions: Swift takes a C global for one that any thread may write.
extern PyObject _Py_NoneStruct;
extern PyObject PyBytes_Type;
extern PyObject PyUnicode_Type;
extern PyObject *PyExc_BaseException;
extern PyObject *PyExc_ConnectionError;
extern PyObject *PyExc_TypeError;
extern PyObject *PyExc_ValueError;
unsigned long PyType_GetFlags(PyObject *type);

static inline PyObject *dcf_none(void) { return &_Py_NoneStruct; }
static inline PyObject *dcf_connection_error(void) { return PyExc_ConnectionError; }
static inline PyObject *dcf_base_exception(void) { return PyExc_BaseException; }
static inline PyObject *dcf_type_error(void) { return PyExc_TypeError; }
static inline PyObject *dcf_value_error(void) { return PyExc_ValueError; }

/// Whether the object is a bytes, or of a subclass.
static inline int dcf_is_bytes(PyObject *object) {
    return object->ob_type == &PyBytes_Type || (PyType_GetFlags(object->ob_type) & (1ul << 27)) != 0;
}

/// Whether the object is a str, or of a subclass.
static inline int dcf_is_str(PyObject *object) {
    return object->ob_type == &PyUnicode_Type || (PyType_GetFlags(object->ob_type) & (1ul << 28)) != 0;
}
