/* SPDX-License-Identifier: Apache-2.0 */
/* script.h -- a program that is text for an interpreter ("#!/path/of/it", as Python's archives are): can this machine run it? */
#ifndef MOB_RAYLET_SCRIPT_H
#define MOB_RAYLET_SCRIPT_H

#include <stdbool.h>

#include "common/error.h"

/* The file starts with "#!". */
bool mob_script_is(int fd);

/* Its second line says that it can be a template, of which its workers are forked: docs/protocol.md. NULL: no. */
bool mob_script_forks(const char *path);

/* Its interpreter is here, and the script, started with MOBULA_CHECK=1 in its environment, says on its first line of output "fits": it
 * does so at once and ends. Any other line says what it lacks. Blocks up to 10 s, for a thread of its own. `library_path`: becomes
 * LD_LIBRARY_PATH. Error: MOB_ERR_INVALID, names `host`; what is missing may be installed later. */
int mob_script_check(const char *path, const char *library_path, const char *host, struct mob_error *err);

/* Remove the file, and the folder "<path>.files" that its workers may have unpacked beside it. Not there: no-op. */
void mob_script_remove(const char *path);

#endif
