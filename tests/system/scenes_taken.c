/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_taken.c -- arguments that a task takes, and that its worker keeps when the task is over; names of objects and of what prints. */
#include <stdio.h>
#include <string.h>

#include "tasks.h"

#define BIG 300000u                     /* in the store */

static struct mob_view kept[2];         /* of a worker */

/* Take the second and third argument, and keep them if the first says so; the sum over what is kept otherwise. */
static int take(struct mob_task *t, struct mob_error *err)
{
    struct mob_error why;
    struct mob_view view;
    uint64_t keeps, sum;

    if (mob_arg_copy(t, 0, &keeps, sizeof keeps, err) < 0)
        return -1;
    for (size_t i = 0; keeps && i < 2; i++) {
        CHECK_OK(mob_arg_take(t, i + 1, &kept[i], err), err);
        CHECK(kept[i].size == (i == 0 ? BIG : 100));
    }
    if (keeps)                          /* of a stored one there is one pin */
        CHECK(mob_arg_take(t, 1, &view, &why) < 0 && why.code == MOB_ERR_INVALID && strstr(why.text, "was taken before") != NULL);
    sum = kept[0].data == NULL ? 0 : checksum_of(kept[0].data, kept[0].size) + checksum_of(kept[1].data, kept[1].size);
    if (!keeps) {
        mob_view_release(&kept[0]);
        mob_view_release(&kept[1]);
    }
    return mob_return(t, 0, MOB_BYTES(&sum, sizeof sum), err);
}
MOB_TASK(take)

/* The other tasks overwrite the frames and the store's pages that the arguments came in. */
static int takes(char **words)
{
    struct mob_ref *big[8];
    struct mob_error err;
    char bytes[BIG], small[100];
    uint64_t sum, keeps = 1;

    (void)words;
    fill_pattern(small, sizeof small, 9);
    for (uint64_t i = 0; i < 8; i++) {
        fill_pattern(bytes, sizeof bytes, i);
        CHECK((big[i] = mob_put(bytes, sizeof bytes, &err)) != NULL);
    }
    fill_pattern(bytes, sizeof bytes, 0);
    sum = checksum_of(bytes, sizeof bytes) + checksum_of(small, sizeof small);
    CHECK(take_u64(call("take", (struct mob_value[]){ MOB_BYTES(&keeps, 8), MOB_REF(big[0]), MOB_BYTES(small, sizeof small) }, 3)) == sum);
    mob_ref_drop(big[0]);
    for (int i = 1; i < 8; i++) {
        take_u64(call("sum", (struct mob_value[]){ MOB_BYTES(&keeps, 8) }, 1));
        mob_ref_drop(big[i]);
        CHECK((big[i] = mob_put(bytes, sizeof bytes, &err)) != NULL);
    }
    keeps = 0;
    CHECK(take_u64(call("take", &MOB_BYTES(&keeps, 8), 1)) == sum);
    CHECK(take_u64(call("take", &MOB_BYTES(&keeps, 8), 1)) == 0);
    for (int i = 1; i < 8; i++)
        mob_ref_drop(big[i]);
    return 0;
}

/* -- names ------------------------------------------------------------------------------------------------------------------- */

static int names_itself(struct mob_task *t, struct mob_error *err)
{
    (void)err;
    mob_task_set_name(t, "other_name");
    printf("under another name\n");
    return 0;
}
MOB_TASK(names_itself)

static int names_not(struct mob_task *t, struct mob_error *err)
{
    (void)t;
    (void)err;
    printf("under its own\n");
    return 0;
}
MOB_TASK(names_not)

static int names(char **words)
{
    char id[80], again[80], cut[4];
    struct mob_ref *ref, *other;
    struct mob_error err;
    struct mob_view view;

    (void)words;
    CHECK((ref = mob_put("x", 1, &err)) != NULL);
    CHECK((other = mob_put("x", 1, &err)) != NULL);
    CHECK_OK(mob_ref_id(ref, id, sizeof id, &err), &err);
    CHECK_OK(mob_ref_id(ref, again, sizeof again, &err), &err);
    CHECK(strncmp(id, "o-", 2) == 0 && strcmp(id, again) == 0);
    CHECK_OK(mob_ref_id(other, again, sizeof again, &err), &err);
    CHECK(strcmp(id, again) != 0);
    CHECK_OK(mob_ref_id(ref, cut, sizeof cut, &err), &err);
    CHECK(strncmp(cut, id, 3) == 0 && cut[3] == '\0');
    mob_ref_drop(other);
    mob_ref_drop(ref);
    CHECK(mob_ref_id(ref, id, sizeof id, &err) < 0 && err.code == MOB_ERR_INVALID);
    for (int i = 0; i < 2; i++) {
        ref = call(i == 0 ? "names_itself" : "names_not", NULL, 0);
        CHECK_OK(mob_get(ref, MOB_FOREVER, &view, &err), &err);
        mob_view_release(&view);
        mob_ref_drop(ref);
    }
    return 0;
}

const struct scene scenes_taken[] = {
    { "takes", "", takes },
    { "names", "", names },
    { NULL, NULL, NULL },
};
