/* Memory of numpy's arrays from the C library itself. As it comes, numpy keeps seven freed blocks of
 * each size below 1 kB for what comes next: some thousands of them, wherever they happened to lie, each
 * of which holds a page that could be given back.
 *
 * numpy's headers are not needed: its table of functions is of a stable interface. */
#ifndef LEEWAY_ARRAY_MEMORY_H
#define LEEWAY_ARRAY_MEMORY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SET_HANDLER = 304, SHORT_OF_CLEAR = 1024 };

/* As numpy/ndarraytypes.h has it. */
typedef struct {
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *at, size_t size);
    void (*free)(void *context, void *at, size_t size);
} ArrayAllocator;

typedef struct {
    char name[127];
    uint8_t version;
    ArrayAllocator allocator;
} ArrayHandler;

static void *array_malloc(void *context, size_t size)
{
    (void)context;
    return malloc(size ? size : 1);
}

/* What is short is cleared here: the C library's own takes no block that was just freed. */
static void *array_calloc(void *context, size_t count, size_t size)
{
    (void)context;
    if (size == 0 || count > SHORT_OF_CLEAR / size)
        return calloc(count ? count : 1, size ? size : 1);
    void *at = malloc(count ? count * size : 1);
    if (at)
        memset(at, 0, count * size);
    return at;
}

static void *array_realloc(void *context, void *at, size_t size)
{
    (void)context;
    return realloc(at, size ? size : 1);
}

static void array_free(void *context, void *at, size_t size)
{
    (void)context;
    (void)size;
    free(at);
}

static ArrayHandler ARRAY_HANDLER = {
    "leeway", 1, {NULL, array_malloc, array_calloc, array_realloc, array_free}};

/* From now on, in this thread and the tasks that it begins; `table`: numpy's functions. */
static PyObject *keep_no_arrays(PyObject *self, PyObject *table)
{
    (void)self;
    void **functions = PyCapsule_GetPointer(table, NULL);
    if (!functions)
        return NULL;
    PyObject *handler = PyCapsule_New(&ARRAY_HANDLER, "mem_handler", NULL);
    if (!handler)
        return NULL;
    PyObject *before = ((PyObject * (*)(PyObject *)) functions[SET_HANDLER])(handler);
    Py_DECREF(handler);
    if (!before)
        return NULL;
    Py_DECREF(before);
    Py_RETURN_NONE;
}

#endif
