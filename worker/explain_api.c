/* SPDX-License-Identifier: Apache-2.0 */
/* explain_api.c -- why a value is not there, and whether a task could ever run: asked of the head (head/explain.c), for a call and for
 * whoever sits before a terminal. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "worker/value.h"

#define FITS_MS 10000
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

/* -- could it ever run? -------------------------------------------------------------------------------------------------------- */

char *mob_fits_question(const struct mob_shape *shape)
{
    json_t *labels = json_object(), *question;
    char resources[1200], *text;

    for (uint32_t i = 0; i < shape->labels.count; i++)
        json_object_set_new(labels, shape->labels.of[i].key, json_string(shape->labels.of[i].value));
    question = json_pack("{s:s, s:o, s:s, s:I}", "resources", mob_resources_print(&shape->resources, resources, sizeof resources), "labels",
                         labels, "strategy", mob_strategy_name(shape->strategy), "node", (json_int_t)shape->node);
    text = json_dumps(question, JSON_COMPACT);
    json_decref(question);
    return text;
}

int mob_fits(struct mob_runtime *r, const char *question, struct mob_error *err)
{
    char *text = mob_query_ask(r, "fits", question, FITS_MS, NULL);
    json_t *answer = text != NULL ? json_loads(text, 0, NULL) : NULL;
    const char *why = json_string_value(json_object_get(answer, "why"));
    int result = why != NULL ? mob_error_set(err, MOB_ERR_INFEASIBLE, "%s", why) : 0;

    json_decref(answer);
    free(text);
    return result;
}
