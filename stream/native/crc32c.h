/* CRC-32C of bytes by the processor's own instruction, where it has one. */
#ifndef LEEWAY_CRC32C_H
#define LEEWAY_CRC32C_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __x86_64__
static bool has_crc32c(void) { return __builtin_cpu_supports("sse4.2"); }

__attribute__((target("sse4.2"))) static uint32_t crc32c_of(const uint8_t *p, size_t n)
{
    uint64_t crc = 0xFFFFFFFF, eight;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&eight, p, 8);
        crc = __builtin_ia32_crc32di(crc, eight);
    }
    for (; n; p++, n--)
        crc = __builtin_ia32_crc32qi((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}
#else
static bool has_crc32c(void) { return false; }

static uint32_t crc32c_of(const uint8_t *p, size_t n)
{
    (void)p, (void)n;
    return 0;
}
#endif

/* (bytes) -> their CRC-32C; None where the processor has no instruction for it. */
static PyObject *crc32c(PyObject *self, PyObject *data)
{
    Py_buffer bytes;
    (void)self;
    if (!has_crc32c())
        return Py_NewRef(Py_None);
    if (PyObject_GetBuffer(data, &bytes, PyBUF_SIMPLE) < 0)
        return NULL;
    const uint32_t crc = crc32c_of(bytes.buf, (size_t)bytes.len);
    PyBuffer_Release(&bytes);
    return PyLong_FromUnsignedLong(crc);
}

#endif
