/* SPDX-License-Identifier: Apache-2.0 */
/* certificate.h -- the death certificate of a worker: what ended it, as a struct and as a sentence. */
#ifndef MOB_RAYLET_CERTIFICATE_H
#define MOB_RAYLET_CERTIFICATE_H

#include "raylet/raylet.h"

struct peer;
struct worker;

/* Of a worker that was reaped. cancelled: the signals of the cancel of its task reached it. */
void mob_certificate_write(const struct mob_raylet *r, const struct worker *w, const struct mob_exit *exit, bool cancelled,
                           struct mob_death *ret);
/* Of one on a node that was lost. */
void mob_certificate_of_lost(const struct peer *lender, struct mob_address worker, struct mob_death *ret);

/* The same as the error of its task. */
void mob_certificate_say(const struct mob_death *d, const struct mob_exit *exit, struct mob_error *ret);
/* "was ended by signal SIGSEGV" */
void mob_certificate_end(const struct mob_exit *exit, char *ret_text, size_t size);

#endif
