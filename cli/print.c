/* SPDX-License-Identifier: Apache-2.0 */
/* print.c -- tables. */
#include "cli/print.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define COLUMNS_MAX 16
#define CELL_SIZE 100

void print_amount(const char *resource, double amount, char *ret, size_t size)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    size_t unit = 0;

    if (strcmp(resource, "memory") != 0 && strcmp(resource, "object_store_memory") != 0) {
        snprintf(ret, size, "%.6g", amount);
        return;
    }
    for (; amount >= 1024 && unit < 4; unit++)
        amount /= 1024;
    snprintf(ret, size, "%.4g%s", amount, units[unit]);
}

static void cell(json_t *value, char text[CELL_SIZE])
{
    if (json_is_string(value))
        snprintf(text, CELL_SIZE, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, CELL_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, CELL_SIZE, "%.3f", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, CELL_SIZE, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(text, CELL_SIZE, "-");
    for (char *p = text; *p != '\0'; p++)       /* words of others: one line, and no commands to the terminal */
        if (iscntrl((unsigned char)*p))
            *p = ' ';
}

void print_table(json_t *rows, const char *const *columns)
{
    size_t width[COLUMNS_MAX], count = 0, i;
    char text[CELL_SIZE];
    json_t *row;

    for (; columns[count] != NULL && count < COLUMNS_MAX; count++) {
        width[count] = strlen(columns[count]);
        json_array_foreach(rows, i, row) {
            cell(json_object_get(row, columns[count]), text);
            if (strlen(text) > width[count])
                width[count] = strlen(text);
        }
    }
    for (size_t c = 0; c < count; c++) {
        snprintf(text, sizeof text, "%s", columns[c]);
        for (char *p = text; *p != '\0'; p++)
            *p = (char)toupper((unsigned char)*p);
        printf("%-*s%s", (int)width[c], text, c + 1 < count ? "  " : "\n");
    }
    json_array_foreach(rows, i, row)
        for (size_t c = 0; c < count; c++) {
            cell(json_object_get(row, columns[c]), text);
            printf("%-*s%s", (int)width[c], text, c + 1 < count ? "  " : "\n");
        }
}

/* -- tasks --------------------------------------------------------------------------------------------------------------- */

/* "11-25 19:57:05.123", NULL (shown as "-") for none. */
static json_t *wall_time(json_t *ns)
{
    json_int_t at = json_integer_value(ns);
    time_t seconds = (time_t)(at / 1000000000);
    struct tm tm;
    char text[32];

    if (at <= 0 || localtime_r(&seconds, &tm) == NULL || strftime(text, sizeof text, "%m-%d %H:%M:%S", &tm) == 0)
        return json_null();
    return json_sprintf("%s.%03d", text, (int)(at / 1000000 % 1000));
}

/* "WORKER_CRASHED: the worker was killed by signal 9" */
static json_t *error_words(json_t *task)
{
    const char *code = json_string_value(json_object_get(task, "error"));
    const char *words = json_string_value(json_object_get(task, "error_text"));

    if (code == NULL || code[0] == '\0')
        return json_null();
    if (strncmp(code, "MOB_ERR_", 8) == 0)
        code += 8;
    return words == NULL || words[0] == '\0' ? json_string(code) : json_sprintf("%s: %s", code, words);
}

void print_task_table(json_t *tasks)
{
    static const char *const columns[] = { "task", "name", "state", "node", "pid", "attempt", "submitted", "started", "ended",
                                           "run_ms", "why", NULL };
    json_t *task;
    size_t i;

    json_array_foreach(tasks, i, task) {
        json_object_set_new(task, "submitted", wall_time(json_object_get(task, "submitted_ns")));
        json_object_set_new(task, "started", wall_time(json_object_get(task, "started_ns")));
        json_object_set_new(task, "ended", wall_time(json_object_get(task, "ended_ns")));
        json_object_set_new(task, "why", error_words(task));
    }
    print_table(tasks, columns);
}

/* -- nodes --------------------------------------------------------------------------------------------------------------- */

static bool is_gone(json_t *node)
{
    const char *state = json_string_value(json_object_get(node, "state"));

    return state != NULL && (strcmp(state, "dead") == 0 || strcmp(state, "drained") == 0);
}

/* "used/total" of a resource of a node, from its objects "total" and "available". Nothing of one that is gone is used or free. */
static json_t *used_of(json_t *node, const char *resource)
{
    double total = json_number_value(json_object_get(json_object_get(node, "total"), resource));
    double left = json_number_value(json_object_get(json_object_get(node, "available"), resource));

    return is_gone(node) ? json_null() : json_sprintf("%.6g/%.6g", total - left, total);
}

void print_node_table(json_t *nodes, const char *const *columns)
{
    json_t *node;
    size_t i;

    json_array_foreach(nodes, i, node) {
        static const char *const amounts[] = { "spilled", "pulled", "warm" };
        char used[32], size[32], key[32];
        print_amount("memory", json_number_value(json_object_get(node, "store_used")), used, sizeof used);
        print_amount("memory", json_number_value(json_object_get(node, "store_size")), size, sizeof size);
        json_object_set_new(node, "cpu", used_of(node, "CPU"));
        json_object_set_new(node, "gpu", used_of(node, "GPU"));
        json_object_set_new(node, "store", is_gone(node) ? json_null() : json_sprintf("%s/%s", used, size));
        for (size_t k = 0; k < sizeof amounts / sizeof amounts[0]; k++) {
            snprintf(key, sizeof key, "store_%s", amounts[k]);
            print_amount("memory", json_number_value(json_object_get(node, key)), used, sizeof used);
            json_object_set_new(node, amounts[k], json_string(used));
        }
    }
    print_table(nodes, columns);
}
