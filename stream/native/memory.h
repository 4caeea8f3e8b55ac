/* Memory of one call: arrays that grow, and an arena of texts that do not move. All of it is given
 * back when the call ends; what fails is told once, at its end. */
#ifndef LEEWAY_MEMORY_H
#define LEEWAY_MEMORY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    char *data;
    size_t used, room; /* bytes */
} Grown;

/* Room for `size` more bytes, or NULL. */
static inline void *grown(Grown *g, size_t size)
{
    if (!g->data || g->room - g->used < size) {
        size_t room = g->room ? g->room : 1024;
        while (room - g->used < size) {
            if (room > SIZE_MAX / 4)
                return NULL;
            room *= 2;
        }
        char *data = PyMem_Realloc(g->data, room);
        if (!data)
            return NULL;
        g->data = data;
        g->room = room;
    }
    return g->data + g->used;
}

static inline bool pushed(Grown *g, const void *item, size_t size)
{
    void *at = grown(g, size);
    if (!at)
        return false;
    memcpy(at, item, size);
    g->used += size;
    return true;
}

/* As a Python object. */
static inline PyObject *grown_bytes(const Grown *g)
{
    return PyByteArray_FromStringAndSize(g->data, (Py_ssize_t)g->used);
}

typedef struct Chunk {
    struct Chunk *before;
    size_t used, room;
    uint8_t data[];
} Chunk;

static inline uint8_t *kept(Chunk **arena, size_t size)
{
    Chunk *now = *arena;
    if (!now || now->room - now->used < size) {
        size_t room = size > 4096 ? size : 4096;
        now = PyMem_Malloc(sizeof(Chunk) + room);
        if (!now)
            return NULL;
        *now = (Chunk){*arena, 0, room};
        *arena = now;
    }
    uint8_t *at = now->data + now->used;
    now->used += size;
    return at;
}

static inline void given_back(Chunk *arena)
{
    while (arena) {
        Chunk *before = arena->before;
        PyMem_Free(arena);
        arena = before;
    }
}

#endif
