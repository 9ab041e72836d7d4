/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_resources.c -- any text as resources, JSON and labels: no crash; what is taken prints as text that reads the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = mob_alloc(size + 1), printed[4096];
    struct mob_resources r, again;
    struct mob_labels labels;
    struct mob_error err;

    memcpy(text, bytes, size);
    if (mob_resources_parse(text, &r, &err) == 0) {
        assert(mob_resources_parse(mob_resources_print(&r, printed, sizeof(printed)), &again, &err) == 0);
        assert(mob_resources_eq(&r, &again));
    }
    mob_resources_parse_json(text, &r, &err);
    mob_labels_parse(text, &labels, &err);
    if (mob_conditions_parse(text, &labels, &err) == 0)
        mob_labels_match(&(struct mob_labels){ 1, { { "a", "b" } } }, &labels);
    free(text);
    return 0;
}
