/* SPDX-License-Identifier: Apache-2.0 */
/* print_mark.h -- a word between a worker and its raylet in the pipes of what is printed: "what stands before me, NAME printed".
 *
 * The page of a worker has the name of the function that runs. A worker that goes on to another function while a pipe holds something
 * puts a mark there, so that the raylet, which reads it later, does not give it to the next one. One write, shorter than PIPE_BUF: it is
 * never torn, and goes into no file. */
#ifndef MOB_COMMON_PRINT_MARK_H
#define MOB_COMMON_PRINT_MARK_H

#define MOB_PRINT_MARK "\0\036mobula\036"       /* then the name, then a 0 */
#define MOB_PRINT_MARK_START (sizeof MOB_PRINT_MARK - 1)
#define MOB_PRINT_MARK_MAX (MOB_PRINT_MARK_START + 64)      /* MOB_PAGE_NAME_SIZE: a name and its 0 */

#endif
