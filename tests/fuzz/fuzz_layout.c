/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_layout.c -- any bytes as the value of a Python object: what is told of it lies within the bytes, in order, and nothing twice. Every
 * byte that is told is read, so that the sanitizer sees a step outside. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "layout.h"

static unsigned sum;

static void look(const uint8_t *bytes, size_t at, size_t size)
{
    for (size_t i = 0; i < size; i++)
        sum += bytes[at + i];
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);       /* its end is the end */
    struct value_layout l;
    size_t end, at, part;
    uint32_t told = 0;

    memcpy(exact, bytes, size);
    if (value_layout_read(&l, exact, size)) {
        assert(l.head.kind <= VALUE_CALL);
        look(exact, value_layout_pickle(&l), l.head.pickle_size);
        end = value_layout_pickle(&l) + l.head.pickle_size;
        while (value_layout_next(&l, exact, &at, &part)) {
            assert(at >= end && at % VALUE_ALIGN == 0 && at + part <= size && told < l.head.buffers);
            look(exact, at, part);
            end = at + part;
            told++;
        }
    }
    free(exact);
    return 0;
}
