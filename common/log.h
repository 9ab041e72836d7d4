/* SPDX-License-Identifier: Apache-2.0 */
/* log.h -- one line a call to stderr: "2026-01-02 03:04:05.678 raylet 2 W: text". Level by MOBULA_LOG (error warn info debug). */
#ifndef MOB_COMMON_LOG_H
#define MOB_COMMON_LOG_H

enum mob_log_level { MOB_LOG_ERROR, MOB_LOG_WARN, MOB_LOG_INFO, MOB_LOG_DEBUG };

void mob_log_init(const char *who);             /* "raylet 2"; reads MOBULA_LOG; call again when the name is known */
void mob_log(enum mob_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
int mob_log_enabled(enum mob_log_level level);

#define mob_error_log(...) mob_log(MOB_LOG_ERROR, __VA_ARGS__)
#define mob_warn(...) mob_log(MOB_LOG_WARN, __VA_ARGS__)
#define mob_info(...) mob_log(MOB_LOG_INFO, __VA_ARGS__)
#define mob_debug(...) (mob_log_enabled(MOB_LOG_DEBUG) ? mob_log(MOB_LOG_DEBUG, __VA_ARGS__) : (void)0)

#endif
