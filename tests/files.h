/* files.h - what suites and tools that read files share */
#ifndef FILES_H
#define FILES_H

#include <stdio.h>
#include <stdlib.h>
#include "helpers.h"

/* Memory; the program ends if there is none. */
static inline void *allocate(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) exit(2);
    return p;
}

/* The whole file in memory that the caller frees. The program ends if it cannot be read. */
static inline unsigned char *load_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes;
    long end;
    if (!f || fseek(f, 0, SEEK_END) || (end = ftell(f)) < 0) {
        perror(path);
        exit(2);
    }
    *size = (size_t)end;
    rewind(f);
    bytes = (unsigned char *)allocate(*size);
    if (fread(bytes, 1, *size, f) != *size) {
        perror(path);
        exit(2);
    }
    fclose(f);
    return bytes;
}

static inline uint32_t crc32_of(const unsigned char *b, size_t n)
{
    uint32_t crc = 0xffffffffu, k;
    for (; n > 0; n--)
        for (crc ^= *b++, k = 0; k < 8; k++) crc = crc & 1u ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    return ~crc;
}

/* Of n floats, at most 1024. The bits of a NaN are not promised, so all NaN count as one. */
static inline uint32_t checksum_of(const float *x, size_t n)
{
    static unsigned char bytes[4096];
    size_t i;
    for (i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], 4);
        if ((bits & 0x7fffffffu) > 0x7f800000u) bits = 0x7fc00000u;
        put32(bytes + 4 * i, bits);
    }
    return crc32_of(bytes, 4 * n);
}

#endif
