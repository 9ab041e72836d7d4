/* SPDX-License-Identifier: Apache-2.0 */
/* head_answer.h -- what a head (head_fake.h) answers to a Query. */
#ifndef MOB_TESTS_HEAD_ANSWER_H
#define MOB_TESTS_HEAD_ANSWER_H

#include "unit.h"

#include <jansson.h>

#include "head_fake.h"

/* All parts of an answer; NULL: they are not there yet, or it is an error. */
static inline json_t *fake_answer(struct fake *f, uint64_t link, uint64_t id, int *ret_code)
{
    const Mobula__Envelope *e;
    char *text = mob_strdup("");
    bool last = false;
    json_t *json;

    *ret_code = MOB_OK;
    while (!last && (e = fake_take(f, link, MOBULA__ENVELOPE__BODY_REPLY)) != NULL) {
        char *longer = mob_printf("%s%.*s", text, (int)e->reply->text.len, (const char *)e->reply->text.data);
        free(text);
        text = longer;
        last = e->reply->last;
        ck_assert_uint_eq(e->reply->id, id);
        if (e->reply->error != NULL)
            *ret_code = e->reply->error->code;
    }
    json = last ? json_loads(text, 0, NULL) : NULL;
    free(text);
    return json;
}

#endif
