/* SPDX-License-Identifier: Apache-2.0 */
/* ask.h -- one question to the head of a cluster. */
#ifndef MOB_CLI_ASK_H
#define MOB_CLI_ASK_H

#include <jansson.h>

#include "cli/args.h"

#define ASK_OPTIONS \
    { "address", "HOST:PORT", "the head; else $MOBULA_ADDRESS, else this machine's cluster" }, \
    { "token-file", "FILE", "the cluster's token; else $MOBULA_TOKEN_FILE, else ~/.mobula/token" }

/* "HOST:PORT", "[v6]:PORT" or a name: resolved, into a numeric address. */
int ask_resolve(const char *address, char ip[64], uint32_t *ret_port, struct mob_error *err);

/* Send Query{verb, argument} and wait for the whole answer. *ret_text is the caller's to free. timeout_ms -1: for ever. */
int ask_head(const struct args *a, const char *verb, const char *argument, int64_t timeout_ms, char **ret_text, size_t *ret_size,
             struct mob_error *err);
/* The same, parsed. */
int ask_json(const struct args *a, const char *verb, const char *argument, int64_t timeout_ms, json_t **ret, struct mob_error *err);

#endif
