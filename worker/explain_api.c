/* SPDX-License-Identifier: Apache-2.0 */
/* explain_api.c -- why a value is not there: asked of the head (head/explain.c), for a call and for whoever sits before a terminal. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/value.h"

#define EXPLAIN_MS 60000                /* the head asks nodes, in rounds */

/* The head's words on the object of a ref. Under the lock; free() it; NULL: *err. */
static char *explain(struct mob_runtime *r, uint64_t ref, struct mob_error *err)
{
    char name[MOB_OBJECT_NAME_SIZE], argument[MOB_OBJECT_NAME_SIZE + 16];
    struct mob_object_id id;
    json_t *answer;
    char *text;

    if (mob_owner_name(r->owner, ref, &id, err) < 0)
        return NULL;
    snprintf(argument, sizeof argument, "{\"task\": \"%s\"}", mob_object_id_name(&id, name));
    if ((text = mob_query_ask(r, "explain", argument, EXPLAIN_MS, err)) == NULL)
        return NULL;
    answer = json_loads(text, 0, NULL);
    free(text);
    text = mob_strdup(json_is_string(json_object_get(answer, "text")) ? json_string_value(json_object_get(answer, "text")) : "");
    json_decref(answer);
    return text;
}

int mob_explain(const struct mob_ref *ref, char *ret_text, size_t size, struct mob_error *err)
{
    struct mob_runtime *r;
    char *text;

    if (ret_text == NULL || size == 0)
        return mob_error_set(err, MOB_ERR_INVALID, "mob_explain(): no room for the text");
    if ((r = mob_enter(err)) == NULL)
        return -1;
    text = explain(r, mob_ref_number(ref), err);
    mob_leave(r);
    if (text == NULL)
        return -1;
    mob_copy(ret_text, size, text);
    free(text);
    return 0;
}

void mob_explain_print(struct mob_runtime *r, uint64_t ref, int64_t waited_ns)
{
    char name[MOB_OBJECT_NAME_SIZE] = "";
    struct mob_error why = { 0 };
    struct mob_object_id id;
    char *text = explain(r, ref, &why);

    if (mob_owner_name(r->owner, ref, &id, NULL) == 0)
        mob_object_id_name(&id, name);
    fprintf(stderr, "mobula: a get has waited for %" PRId64 " s for %s, and goes on:\n%s\n", waited_ns / 1000000000, name,
            text != NULL ? text : why.text);
    free(text);
}
