/* SPDX-License-Identifier: Apache-2.0 */
/* verbs.h -- the verbs of `mobula`, one file each. */
#ifndef MOB_CLI_VERBS_H
#define MOB_CLI_VERBS_H

#include "cli/args.h"

extern const struct verb verb_start, verb_stop, verb_status, verb_memory, verb_list, verb_explain, verb_drain, verb_wait,
    verb_health, verb_logs, verb_timeline, verb_version;

#endif
