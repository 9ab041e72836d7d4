/* SPDX-License-Identifier: Apache-2.0 */
/* certificate.h -- how attempts of a task ended: the death certificates that an error has beside its text. */
#ifndef MOB_WORKER_CERTIFICATE_H
#define MOB_WORKER_CERTIFICATE_H

#include "common/wire.h"

/* Those of the last MOB_DEATHS_MAX attempts, oldest first. Shared like the errors that have them, and then never changed. */
struct deaths {
    uint32_t uses, count;
    int32_t killed_by;                  /* the last one */
    struct {
        size_t size;
        uint8_t *bytes;                 /* a packed Death: few are full, and most are only passed on */
    } of[MOB_DEATHS_MAX];
};

/* One more, the oldest may go. d: NULL, or nobody else has it yet. */
struct deaths *mob_owner_deaths_add(struct deaths *d, const struct mob_death *death);
/* The one of a node, of which nothing else is known than that it is lost. ip may be "". */
struct deaths *mob_owner_deaths_of_node(uint32_t node, const char *ip);
void mob_owner_deaths_drop(struct deaths *d);           /* NULL is fine */
/* The last but `back`; false: there are not so many. d: NULL is fine. */
bool mob_owner_deaths_at(const struct deaths *d, size_t back, struct mob_death *ret);
/* "its worker exited with code 3": how the last one ended, in a few words for a listing. d: NULL is fine, and says "". */
void mob_owner_deaths_words(const struct deaths *d, char *ret, size_t size);

/* As an error from another process has them; NULL: none. One use is the caller's. */
struct deaths *mob_owner_deaths_of(const Mobula__Error *e);
/* Tell them with an error, until it is sent. */
void mob_owner_deaths_put(const struct deaths *d, Mobula__Error *ret);
void mob_owner_deaths_sent(Mobula__Error *e);

#endif
