/* SPDX-License-Identifier: Apache-2.0 */
/* question.h -- questions on their way through this raylet: each gets exactly one answer, from whom it asks or, when that is gone,
 * from here.
 *
 *   Watch         the value of an object           Watched
 *   References    who holds its objects            ReferencesDone
 *   Mourn         when does this process end?      Mourned; never by the process itself
 *   Query         of the head, or a raylet         Reply, in parts: the last one counts
 */
#ifndef MOB_RAYLET_QUESTION_H
#define MOB_RAYLET_QUESTION_H

#include "common/list.h"
#include "raylet/raylet.h"

struct arrival;

/* One passes. True: send it on; false: it was answered here, for whom it asks is gone. */
bool mob_question_watch(struct mob_raylet *r, const struct arrival *a);
bool mob_question_references(struct mob_raylet *r, const struct arrival *a);
bool mob_question_mourn(struct mob_raylet *r, const struct arrival *a);                 /* to another raylet */
void mob_question_query(struct mob_raylet *r, const struct arrival *a);                 /* to one that can be reached */
void mob_question_on_mourn(struct mob_raylet *r, const struct arrival *a);              /* to this one */
/* One of our own: a Watch of that object. True: send it. */
bool mob_question_seek(struct mob_raylet *r, const struct mob_object_id *id);
/* An answer passes, or is for us. True: send it on; false: nobody waits for it. */
bool mob_question_watched(struct mob_raylet *r, const struct arrival *a);
bool mob_question_references_done(struct mob_raylet *r, const struct arrival *a);
bool mob_question_mourned(struct mob_raylet *r, const struct arrival *a);
/* To a Query: an empty last Reply, or why there is none. */
void mob_question_reply(struct mob_raylet *r, struct mob_address asker, uint64_t id, const struct mob_error *why);
bool mob_question_replied(struct mob_raylet *r, const struct arrival *a);

/* All whom `questions` ask are gone (OWNER_DIED), or cannot be reached (another code): answer each. death: of that process; NULL. */
void mob_questions_gone(struct mob_raylet *r, struct mob_link *questions, enum mob_code code, const char *why,
                        const struct mob_death *death);

/* Does anyone wait for an answer that is not a death? */
bool mob_questions_open(const struct mob_raylet *r);
void mob_questions_fini(struct mob_raylet *r);

#endif
