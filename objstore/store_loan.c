/* SPDX-License-Identifier: Apache-2.0 */
/* store_loan.c -- what a client was told is here stays here until it has read the answer.
 *
 *   Fetched is sent: a loan --(its reader pins it, or does not want it any more, and counts the answer in its page)--> over
 *
 * Without this, what was brought here at some cost could make room for the next one in the time an answer takes, be asked for again, and so
 * on: in a store full of what is in use, nobody would ever read anything. The count says no more than "read so far"; whoever wants the
 * object has pinned it before it counts, so there is no moment without one or the other.
 *
 * A loan ends with its client, too, and after LOAN_NS: a process that is stopped keeps its pins, and nothing that it has never seen. If it
 * goes on, its pin fails, and it asks again. An object that is freed meanwhile is DOOMED, and keeps its bytes until its loans are over.
 */
#include <assert.h>
#include <stdlib.h>

#include "objstore/store_private.h"

#define LOAN_NS INT64_C(1000000000)

struct loan {
    struct mob_link link;               /* in client->loans */
    struct object *object;
    uint64_t number;                    /* of the answer */
    int64_t since;                      /* ns, from the first tick on */
};

void mob_loan_note(struct mob_store *s, uint32_t process, struct object *o)
{
    struct client *c = process != 0 ? mob_map_get(&s->clients, process) : NULL;
    struct loan *loan;

    if (c == NULL)
        return;
    c->told++;
    if (o == NULL)
        return;
    loan = mob_new(struct loan);
    loan->object = o;
    loan->number = c->told;
    if (mob_list_empty(&c->loans))
        mob_list_append(&s->loans.borrowers, &c->borrower);
    mob_list_append(&c->loans, &loan->link);
    o->lent++;
    s->loans.count++;
}

/* The oldest one of a client. */
static void end(struct mob_store *s, struct client *c)
{
    struct loan *loan = mob_list_first(&c->loans, struct loan, link);

    assert(loan->object->lent > 0 && s->loans.count > 0);
    if (--loan->object->lent == 0)
        mob_room_came(s);
    s->loans.count--;
    mob_list_remove(&loan->link);
    free(loan);
    if (mob_list_empty(&c->loans))
        mob_list_remove(&c->borrower);
}

void mob_loans_look(struct mob_store *s)
{
    struct client *c;

    mob_list_each(c, &s->loans.borrowers, struct client, borrower) {
        uint64_t heard = atomic_load(&c->pins->heard);

        while (!mob_list_empty(&c->loans) && mob_list_first(&c->loans, struct loan, link)->number <= heard)
            end(s, c);
    }
}

void mob_loans_forget(struct mob_store *s, struct client *c)
{
    while (!mob_list_empty(&c->loans))
        end(s, c);
}

/* Those that have been open for so long. */
static void end_old(struct mob_store *s, struct client *c, int64_t now_ns)
{
    struct loan *loan;

    mob_list_each(loan, &c->loans, struct loan, link) {
        if (loan->since == 0)
            loan->since = now_ns;
        if (now_ns - loan->since < LOAN_NS)
            continue;
        end(s, c);
    }
}

void mob_loans_tick(struct mob_store *s, int64_t now_ns)
{
    struct client *c;

    mob_loans_look(s);
    mob_list_each(c, &s->loans.borrowers, struct client, borrower)
        end_old(s, c, now_ns);
}
