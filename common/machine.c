/* SPDX-License-Identifier: Apache-2.0 */
/* machine.c -- running state machines by their tables. */
#include "common/machine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"

void mob_machine_init(struct mob_machine *m, const char *noun, uint64_t id, const struct mob_state *states, unsigned first,
                      bool (*holds)(const struct mob_machine *m))
{
    *m = (struct mob_machine){ .noun = noun, .id = id, .states = states, .now = first, .holds = holds };
}

void mob_machine_run(struct mob_machine *m)
{
    if (m->running) {                   /* a step of ours caused this call: it will look again */
        m->again = true;
        return;
    }
    m->running = true;
    do {
        m->again = false;
        while (m->states[m->now].step != NULL && m->states[m->now].step(m) == MOB_AGAIN)
            ;
    } while (m->again);
    m->running = false;
}

enum mob_next mob_machine_goto(struct mob_machine *m, unsigned state)
{
    if ((m->states[m->now].to & MOB_TO(state)) == 0) {
        fprintf(stderr, "mobula: %s %" PRIu64 " may not go from %s to %s\n", m->noun, m->id, m->states[m->now].name,
                m->states[state].name);
        abort();
    }
    mob_debug("%s %" PRIu64 " %s->%s", m->noun, m->id, m->states[m->now].name, m->states[state].name);
    m->now = state;
    if (m->holds != NULL && !m->holds(m)) {
        fprintf(stderr, "mobula: %s %" PRIu64 " broke its invariant in %s\n", m->noun, m->id, m->states[state].name);
        abort();
    }
    return MOB_AGAIN;
}

const char *mob_machine_state(const struct mob_machine *m)
{
    return m->states[m->now].name;
}
