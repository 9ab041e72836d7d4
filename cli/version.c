/* SPDX-License-Identifier: Apache-2.0 */
/* version.c -- mobula version */
#include <stdio.h>

#include "cli/verbs.h"
#include "common/wire.h"

static const struct option options[] = { { 0 } };

static int run(const struct args *a)
{
    (void)a;
    printf("mobula %s (protocol %u)\n", MOB_VERSION, MOB_PROTOCOL);
    return 0;
}

const struct verb verb_version = { "version", NULL, "print the version", options, run };
