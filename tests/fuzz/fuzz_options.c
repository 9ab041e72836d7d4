/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_options.c -- any lines as flags of mobula-raylet on a machine without GPUs: no crash; what is taken is within its bounds. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "raylet/options.h"

#define WORDS_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = mob_alloc(size + 1), *rest = text, *words[WORDS_MAX + 2] = { (char *)"mobula-raylet" };
    struct mob_sysinfo machine = { .cpus = 4, .memory = UINT64_C(1) << 30 };
    struct mob_raylet_options options;
    struct mob_error err;
    int count = 1;

    memcpy(text, bytes, size);
    while (count <= WORDS_MAX && rest != NULL)
        words[count++] = strsep(&rest, "\n");
    words[count] = NULL;
    if (mob_options_parse(count, words, &options, &err) == 0) {
        assert(options.head_port > 0 && options.head_port <= 65535 && options.port <= 65535);
        if (options.ip[0] == '\0')      /* the machine's own routes are not asked */
            mob_copy(options.ip, sizeof options.ip, "10.0.0.1");
        if (mob_options_complete(&options, &machine, &err) == 0)
            assert(options.store_bytes > 0 && options.gpu_count <= MOB_GPUS_MAX);
    }
    free(text);
    return 0;
}
