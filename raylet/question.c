/* SPDX-License-Identifier: Apache-2.0 */
/* question.c -- a question is remembered where the death of whom it asks will be noticed: with that process on its node, and with
 * the peer on the asker's node. (Two records when they are on different nodes, one when not.) Its answer, in passing, takes it out.
 *
 * A node that somebody names before the head has told us of it is waited for. Records are found by a hash of (kind, asker, subject);
 * equal hashes are chained. Who asks twice is answered twice.
 */
#include "raylet/question.h"

#include <stdio.h>
#include <stdlib.h>

#include "raylet/certificate.h"
#include "raylet/core.h"

enum question_kind { QUESTION_WATCH, QUESTION_REFERENCES, QUESTION_MOURN, QUESTION_QUERY };

/* What is asked for: an object, by its name; of the other kinds, the process and a number of the asker's. */
struct subject {
    enum question_kind kind;
    struct mob_object_id id;
};

struct question {
    struct mob_link link;               /* with the process or peer */
    struct question *same_key;          /* next in the chain */
    struct mob_address asker;
    struct subject subject;
};

static struct subject of_object(const Mobula__ObjectId *object)
{
    return (struct subject){ QUESTION_WATCH, mob_wire_object(object) };
}

static struct subject of_process(enum question_kind kind, struct mob_address process, uint64_t number)
{
    return (struct subject){ kind, { .node = process.node, .process = process.process, .task = number } };
}

static uint64_t key_of(struct mob_address asker, const struct subject *s)
{
    return (mob_object_id_hash(&s->id) + s->kind) ^ mob_address_key(asker) * UINT64_C(0x9e3779b97f4a7c15);
}

static bool is(const struct question *q, struct mob_address asker, const struct subject *s)
{
    return mob_address_eq(q->asker, asker) && q->subject.kind == s->kind && mob_object_id_eq(&q->subject.id, &s->id);
}

static void remember(struct mob_raylet *r, struct mob_link *questions, struct mob_address asker, const struct subject *s)
{
    struct question *q = mob_new(struct question);
    uint64_t key = key_of(asker, s);

    q->asker = asker;
    q->subject = *s;
    q->same_key = mob_map_get(&r->questions, key);
    mob_map_set(&r->questions, key, q);
    mob_list_append(questions, &q->link);
}

/* Take one such question of `asker` out. False: there is none. */
static bool forget(struct mob_raylet *r, struct mob_address asker, const struct subject *s)
{
    uint64_t key = key_of(asker, s);
    struct question *first = mob_map_get(&r->questions, key), **at = &first, *q;

    while (*at != NULL && !is(*at, asker, s))
        at = &(*at)->same_key;
    if ((q = *at) == NULL)
        return false;
    *at = q->same_key;
    if (first != NULL)
        mob_map_set(&r->questions, key, first);
    else
        mob_map_remove(&r->questions, key);
    mob_list_remove(&q->link);
    free(q);
    return true;
}

/* Where questions to `process` are kept on this node; NULL: it is gone. A worker that has not said Hello yet can only be mourned. */
static struct mob_link *questions_to(struct mob_raylet *r, struct mob_address process, enum question_kind kind)
{
    struct process *p;
    struct peer *peer;

    if (process.node == r->self.node)
        return (p = mob_process_find(r, process.process)) != NULL && (p->connection != NULL || kind == QUESTION_MOURN)
            ? &p->questions : NULL;
    return (peer = mob_route_expect(r, process.node)) != NULL && peer->is.alive ? &peer->questions : NULL;
}

/* -- answers of ours ------------------------------------------------------------------------------------------------------- */

/* Who it was, where, how it ended; and what to do, as whoever reads this often did not know that there was such a process. */
static void say_owner_gone(const struct mob_raylet *r, const struct mob_object_id *object, const char *how, struct mob_error *ret)
{
    const struct peer *peer = mob_route_peer(r, object->node);
    const char *host = peer != NULL ? peer->is.host : r->config.host, *ip = peer != NULL ? peer->is.ip : r->config.ip;
    char name[MOB_OBJECT_NAME_SIZE], where[160] = "";

    if ((peer != NULL || object->node == r->self.node) && ip[0] != '\0')     /* a peer may have gone before it was told of */
        snprintf(where, sizeof where, " (%s, %s)", host, ip);
    mob_error_set(ret, MOB_ERR_OWNER_DIED, "object %s went with its owner, process %u of node %u%s: %s. What a process puts, and what "
                  "tasks make that it calls, ends with it: where it is to stay longer, return the value itself instead of a reference "
                  "to it, or have the driver put it or call its task", mob_object_id_name(object, name), object->process,
                  object->node, where, how);
    mob_copy(ret->node, sizeof ret->node, where[0] != '\0' ? ip : "");
}

/* What the store seeks has no other answer than a place. */
static void answer_watch(struct mob_raylet *r, struct mob_address asker, const struct mob_object_id *object,
                         const struct mob_error *why, const struct mob_death *death)
{
    Mobula__Watched m;
    Mobula__ObjectId id = MOBULA__OBJECT_ID__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    Mobula__Death certificate, *certificates = &certificate;
    struct mob_error err;
    char name[MOB_OBJECT_NAME_SIZE];
    struct mob_envelope e;

    if (mob_address_eq(asker, r->self)) {
        mob_seek_answered(r, object, 0);
        return;
    }
    if (why->code == MOB_ERR_OWNER_DIED)
        say_owner_gone(r, object, why->text, &err);
    else
        mob_error_set(&err, why->code, "object %s: %s", mob_object_id_name(object, name), why->text);
    mob_wire_put_error(&error, &err);
    if (death != NULL) {
        mob_wire_put_death(&certificate, death);
        error.n_deaths = 1;
        error.deaths = &certificates;
    }
    mob_wire_put_object(&id, object);
    mobula__watched__init(&m);
    m.object = &id;
    m.state_case = MOBULA__WATCHED__STATE_ERROR;
    m.error = &error;
    mob_envelope_init(&e, r->self, asker, MOBULA__ENVELOPE__BODY_WATCHED);
    e.e.watched = &m;
    mob_route_send(r, &e.e);
}

static void answer_references(struct mob_raylet *r, struct mob_address asker, struct mob_address owner, uint64_t seq,
                              const struct mob_error *why)
{
    Mobula__ReferencesDone m = MOBULA__REFERENCES_DONE__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_envelope e;

    mob_wire_put_error(&error, why);
    m.seq = seq;
    m.error = &error;
    mob_envelope_init(&e, owner, asker, MOBULA__ENVELOPE__BODY_REFERENCES_DONE);
    e.e.references_done = &m;
    mob_route_send(r, &e.e);
}

static void answer_mourn(struct mob_raylet *r, struct mob_address asker, struct mob_address process, bool unreachable)
{
    Mobula__Mourned m = MOBULA__MOURNED__INIT;
    Mobula__Address address;
    struct mob_envelope e;

    mob_wire_put_address(&address, process);
    m.process = &address;
    m.unreachable = unreachable;
    mob_envelope_init(&e, r->self, asker, MOBULA__ENVELOPE__BODY_MOURNED);
    e.e.mourned = &m;
    mob_route_send(r, &e.e);
}

void mob_question_reply(struct mob_raylet *r, struct mob_address asker, uint64_t id, const struct mob_error *why)
{
    Mobula__Reply m = MOBULA__REPLY__INIT;
    Mobula__Error error = MOBULA__ERROR__INIT;
    struct mob_envelope e;

    m.id = id;
    m.last = true;
    if (why != NULL) {
        mob_wire_put_error(&error, why);
        m.error = &error;
    }
    mob_envelope_init(&e, r->self, asker, MOBULA__ENVELOPE__BODY_REPLY);
    e.e.reply = &m;
    mob_route_send(r, &e.e);
}

static void answer(struct mob_raylet *r, struct mob_address asker, const struct subject *s, enum mob_code code, const char *text,
                   const struct mob_death *death)
{
    struct mob_address process = { s->id.node, s->id.process };
    const struct peer *peer = mob_route_peer(r, process.node);
    struct mob_death lost;
    struct mob_error why;

    mob_error_set(&why, code, "%s", text);
    if (peer != NULL && !peer->is.alive) {
        mob_certificate_of_lost(peer, process, &lost);
        death = &lost;
    }
    switch (s->kind) {
    case QUESTION_WATCH:
        answer_watch(r, asker, &s->id, &why, death);
        break;
    case QUESTION_REFERENCES:
        answer_references(r, asker, process, s->id.task, &why);
        break;
    case QUESTION_MOURN:
        answer_mourn(r, asker, process, code != MOB_ERR_OWNER_DIED);
        break;
    case QUESTION_QUERY:
        mob_error_set(&why, MOB_ERR_UNREACHABLE, "%s", text);       /* whatever the reason: it may be asked again */
        mob_question_reply(r, asker, s->id.task, &why);
        break;
    }
}

void mob_questions_gone(struct mob_raylet *r, struct mob_link *questions, enum mob_code code, const char *why,
                        const struct mob_death *death)
{
    while (!mob_list_empty(questions)) {
        struct question *q = mob_list_first(questions, struct question, link);
        struct mob_address asker = q->asker;
        struct subject subject = q->subject;

        forget(r, asker, &subject);
        answer(r, asker, &subject, code, why, death);
    }
}

bool mob_questions_open(const struct mob_raylet *r)
{
    const struct question *q;

    for (size_t at = 0; (q = mob_map_next(&r->questions, &at, NULL)) != NULL;)
        for (; q != NULL; q = q->same_key)
            if (q->subject.kind != QUESTION_MOURN)
                return true;
    return false;
}

void mob_questions_fini(struct mob_raylet *r)
{
    struct question *q, *next;

    for (size_t at = 0; (q = mob_map_next(&r->questions, &at, NULL)) != NULL;)
        for (; q != NULL; q = next) {
            next = q->same_key;
            free(q);
        }
    mob_map_fini(&r->questions);
}

/* -- passing ----------------------------------------------------------------------------------------------------------------- */

/* How `process` ended, that was gone before it was asked. */
static void say_gone(const struct mob_raylet *r, struct mob_address process, char *ret_text, size_t size)
{
    const struct peer *peer = mob_route_peer(r, process.node);

    if (process.node == r->self.node)
        snprintf(ret_text, size, "it has ended");
    else if (peer == NULL)
        snprintf(ret_text, size, "its node was gone before node %u, which asks, joined", r->self.node);
    else
        snprintf(ret_text, size, "its node died: %s", peer->is.died != NULL ? peer->is.died : "nobody said how");
}

/* To `process`, about `s`. */
static bool asked(struct mob_raylet *r, struct mob_address asker, struct mob_address process, const struct subject *s)
{
    struct mob_link *questions = questions_to(r, process, s->kind);
    char how[320];

    if (questions == NULL) {
        say_gone(r, process, how, sizeof how);
        answer(r, asker, s, MOB_ERR_OWNER_DIED, how, NULL);
        return false;
    }
    remember(r, questions, asker, s);
    return true;
}

/* A process speaks for itself; when it is gone, its raylet does. */
static bool may_answer(const struct arrival *a, struct mob_address process)
{
    return mob_address_eq(a->from, process) || (a->from.node == process.node && a->from.process == 0);
}

bool mob_question_watch(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_object(a->e->watch->object);

    return asked(r, a->from, a->to, &s);
}

bool mob_question_seek(struct mob_raylet *r, const struct mob_object_id *id)
{
    struct subject s = { QUESTION_WATCH, *id };

    return asked(r, r->self, (struct mob_address){ id->node, id->process }, &s);
}

bool mob_question_watched(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_object(a->e->watched->object);

    return may_answer(a, (struct mob_address){ s.id.node, s.id.process }) && forget(r, a->to, &s);
}

bool mob_question_references(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_process(QUESTION_REFERENCES, a->to, a->e->references->seq);

    return asked(r, a->from, a->to, &s);
}

bool mob_question_references_done(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_process(QUESTION_REFERENCES, a->from, a->e->references_done->seq);

    return forget(r, a->to, &s);
}

bool mob_question_mourn(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_address process = { a->to.node, a->e->mourn->process };
    struct subject s = of_process(QUESTION_MOURN, process, 0);

    return a->to.process == 0 && asked(r, a->from, process, &s);
}

void mob_question_on_mourn(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_address process = { r->self.node, a->e->mourn->process };
    struct subject s = of_process(QUESTION_MOURN, process, 0);

    asked(r, a->from, process, &s);
}

bool mob_question_mourned(struct mob_raylet *r, const struct arrival *a)
{
    struct mob_address process = mob_wire_address(a->e->mourned->process);
    struct subject s = of_process(QUESTION_MOURN, process, 0);

    return a->from.process == 0 && a->from.node == process.node && forget(r, a->to, &s);
}

void mob_question_query(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_process(QUESTION_QUERY, a->to, a->e->query->id);

    remember(r, a->to.node == 0 ? &r->membership.questions : &mob_route_peer(r, a->to.node)->questions, a->from, &s);
}

bool mob_question_replied(struct mob_raylet *r, const struct arrival *a)
{
    struct subject s = of_process(QUESTION_QUERY, a->from, a->e->reply->id);

    return a->from.process == 0 && (!a->e->reply->last || forget(r, a->to, &s));
}
