/* SPDX-License-Identifier: Apache-2.0 */
/* owner_refs.h -- processes that hold an owner's objects (owner_fake.h), owners whose objects it holds, and what each says to it. */
#ifndef MOB_TESTS_OWNER_REFS_H
#define MOB_TESTS_OWNER_REFS_H

#include "tests/unit/owner_fake.h"
#include "tests/unit/unit.h"

#define REFERENCES MOBULA__ENVELOPE__BODY_REFERENCES
#define DONE MOBULA__ENVELOPE__BODY_REFERENCES_DONE
#define MOURN MOBULA__ENVELOPE__BODY_MOURN
#define FREE MOBULA__ENVELOPE__BODY_FREE
#define ORPHANS MOBULA__ENVELOPE__BODY_ORPHANS

static const struct mob_address other = { 6, 9 }, third = { 7, 11 };
static const struct mob_object_id foreign = { .cluster = 77, .node = 6, .process = 9, .task = 10 };

/* One change, from `from`, of a ticket of `by`, in the name of `holder`. */
static inline void say_of(struct fake *f, struct mob_address from, struct mob_address by, uint64_t seq, bool held,
                   const struct mob_object_id *id, uint64_t ticket, struct mob_address holder)
{
    Mobula__References m = MOBULA__REFERENCES__INIT;
    Mobula__References__Change c = MOBULA__REFERENCES__CHANGE__INIT, *list[1] = { &c };
    Mobula__Address issuer, in_name_of;
    Mobula__ObjectId object;

    mob_wire_put_address(&issuer, by);
    mob_wire_put_address(&in_name_of, holder);
    mob_wire_put_object(&object, id);
    c.held = held;
    c.ticket = ticket;
    c.issuer = &issuer;
    c.holder = held ? &in_name_of : NULL;
    c.object = held ? &object : NULL;
    m.seq = seq;
    m.n_changes = 1;
    m.changes = list;
    fake_tell_from(f, from, REFERENCES, &m);
}

static inline void say(struct fake *f, struct mob_address from, uint64_t seq, bool held, const struct mob_object_id *id, uint64_t ticket,
                struct mob_address holder)
{
    say_of(f, from, from, seq, held, id, ticket, holder);
}

static inline void answer(struct fake *f, struct mob_address owner, uint64_t seq, enum mob_code code)
{
    Mobula__ReferencesDone m = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;

    error.code = code;
    error.text = (char *)"as the test says";
    m.seq = seq;
    m.error = code == MOB_OK ? NULL : &error;
    fake_tell_from(f, owner, DONE, &m);
    mob_owner_check(f->o);
}

static inline void mourned(struct fake *f, struct mob_address process, bool unreachable)
{
    Mobula__Mourned m = MOBULA__MOURNED__INIT;
    Mobula__Address address;

    mob_wire_put_address(&address, process);
    m.process = &address;
    m.unreachable = unreachable;
    fake_tell(f, process.node, MOBULA__ENVELOPE__BODY_MOURNED, &m);
    mob_owner_check(f->o);
}

static inline uint64_t stored(struct fake *f, struct mob_object_id *ret_id)
{
    uint64_t ref = mob_owner_put_begin(f->o, ret_id);

    mob_owner_put_stored(f->o, ref, 3, 1000);
    return ref;
}

static inline unsigned freed(struct fake *f)
{
    mob_owner_flush(f->o);
    mob_owner_check(f->o);
    return f->sent[FREE];
}

#endif
