/* SPDX-License-Identifier: Apache-2.0 */
/* machine.h -- state machines by table.
 *
 * A long-lived thing embeds a struct mob_machine. Its table names each state, the step that runs in it, and the moves allowed from
 * it; a move outside the table ends the process. A step looks at the facts and answers: WAIT, or a move. It may be run at any time
 * and any number of times. A machine never runs inside itself: a fact that arrives while a step runs makes it run again after.
 */
#ifndef MOB_COMMON_MACHINE_H
#define MOB_COMMON_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

struct mob_machine;
enum mob_next { MOB_WAIT, MOB_AGAIN };

struct mob_state {
    const char *name;
    enum mob_next (*step)(struct mob_machine *m);       /* NULL: nothing to do here but wait */
    uint32_t to;                                        /* MOB_TO(x) | MOB_TO(y) */
};
#define MOB_TO(state) (1u << (state))

struct mob_machine {
    const char *noun;                                   /* "lease": for traces */
    const struct mob_state *states;
    bool (*holds)(const struct mob_machine *m);         /* invariant, checked after each move; NULL: none */
    uint64_t id;                                        /* for traces */
    unsigned now;
    bool running, again;
};

void mob_machine_init(struct mob_machine *m, const char *noun, uint64_t id, const struct mob_state *states, unsigned first,
                      bool (*holds)(const struct mob_machine *m));
/* Run steps until one waits. */
void mob_machine_run(struct mob_machine *m);
/* Move, check the table and the invariant, trace "lease 41 staging->matching" at debug level. Returns MOB_AGAIN, for a step's return. */
enum mob_next mob_machine_goto(struct mob_machine *m, unsigned state);
const char *mob_machine_state(const struct mob_machine *m);

#endif
