/* SPDX-License-Identifier: Apache-2.0 */
/* token.h -- the secret of a cluster: 32 random bytes as 64 hex digits, in a file that only its user can read. */
#ifndef MOB_COMMON_TOKEN_H
#define MOB_COMMON_TOKEN_H

#include "common/error.h"
#include "common/paths.h"

#define MOB_TOKEN_SIZE 65

/* The file: `option` if not NULL, else $MOBULA_TOKEN_FILE, else ~/.mobula/token. */
int mob_token_path(const char *option, char ret[MOB_PATH_SIZE], struct mob_error *err);

/* Read it. MOB_ERR_DENIED: another user's, readable by others, or not there; MOB_ERR_INVALID: not a token. The text says what to do. */
int mob_token_load(const char *path, char ret[MOB_TOKEN_SIZE], struct mob_error *err);

/* Make one (and the folder it stands in, one level, 0700) if there is none; then load. Two at a time agree on one. */
int mob_token_create(const char *path, char ret[MOB_TOKEN_SIZE], struct mob_error *err);

/* Compare in a time that says nothing of where they differ. */
int mob_token_equal(const char *a, const char *b);

#endif
