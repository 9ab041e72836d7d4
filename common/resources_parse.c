/* SPDX-License-Identifier: Apache-2.0 */
/* resources_parse.c -- resources and labels as people write them, and back.
 *
 * Amounts are read digit by digit into 128-bit integers, never through a double: "0.1" is exactly 1,000 units, whatever the locale
 * of the program says about decimal points.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"
#include "common/resources.h"

#define TEXT_MAX 4096                           /* of a whole list */
#define AMOUNT_DIGITS_MAX 20

static bool counts_bytes(const char *name)
{
    return strcmp(name, "memory") == 0 || strcmp(name, "object_store_memory") == 0;
}

static int check_name(const char *name, size_t size, const char *what, struct mob_error *err)
{
    if (strlen(name) == 0)
        return mob_error_set(err, MOB_ERR_INVALID, "a %s without a name; write name=value", what);
    if (strlen(name) >= size)
        return mob_error_set(err, MOB_ERR_INVALID, "the %s name '%.100s' is longer than %zu bytes", what, name, size - 1);
    for (const char *c = name; *c != '\0'; c++)
        if (!isgraph((unsigned char)*c) || strchr("=,\"\\", *c) != NULL)
            return mob_error_set(err, MOB_ERR_INVALID, "the %s name '%s' has a character that names may not have", what, name);
    return 0;
}

/* What "GiB" multiplies by: 0 for an unknown suffix. */
static int64_t multiplier(const char *suffix)
{
    static const struct { const char *suffix; int64_t by; } known[] = {
        { "", 1 },
        { "K", 1000 }, { "M", 1000000 }, { "G", 1000000000 }, { "T", INT64_C(1000000000000) },
        { "KiB", INT64_C(1) << 10 }, { "MiB", INT64_C(1) << 20 }, { "GiB", INT64_C(1) << 30 }, { "TiB", INT64_C(1) << 40 },
    };

    for (size_t i = 0; i < MOB_COUNT(known); i++)
        if (strcmp(known[i].suffix, suffix) == 0)
            return known[i].by;
    return 0;
}

/* "12.5" into 125 and 10; answers where it ended, or NULL: no number, or one of too many digits. */
static const char *read_digits(const char *text, __int128 *ret_digits, __int128 *ret_scale)
{
    __int128 digits = 0, scale = 1;
    unsigned count = 0;
    bool point = false;

    for (; isdigit((unsigned char)*text) || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        if (digits == 0 && !point && *text == '0' && isdigit((unsigned char)text[1]))
            continue;                           /* leading zeros are no digits */
        if (++count > AMOUNT_DIGITS_MAX)
            return NULL;
        digits = digits * 10 + (*text - '0');
        scale *= point ? 10 : 1;
    }
    *ret_digits = digits;
    *ret_scale = scale;
    return count > 0 ? text : NULL;
}

static int check_sign_and_form(const char *name, const char *text, struct mob_error *err)
{
    if (text[0] == '-')
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s is negative", name, text);
    if (strncasecmp(text, "nan", 3) == 0 || strncasecmp(text, "inf", 3) == 0)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s is not a finite number", name, text);
    if (!isdigit((unsigned char)text[0]) && text[0] != '.')
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s: an amount is a number like 2 or 0.5", name, text);
    return 0;
}

static int parse_amount(const char *name, bool bytes, const char *text, int64_t *ret_units, struct mob_error *err)
{
    __int128 digits, scale, units;
    const char *suffix;
    int64_t by;

    if (check_sign_and_form(name, text, err) < 0)
        return -1;
    if ((suffix = read_digits(text, &digits, &scale)) == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s is no number of at most %d digits", name, text, AMOUNT_DIGITS_MAX);
    if ((by = multiplier(suffix)) == 0)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s: unknown suffix '%.20s'; known are KiB MiB GiB TiB K M G T", name, text,
                             suffix);
    if (by != 1 && !bytes)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s: only memory and object_store_memory take a suffix", name, text);
    units = digits * by * MOB_UNITS;            /* at most 1e20 * 2^40 * 1e4 < 2^127 */
    if (units > MOB_AMOUNT_MAX * scale * MOB_UNITS)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s is over 1e14", name, text);
    if (units % scale != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "%s=%.100s is finer than 0.0001", name, text);
    units /= scale;
    if (strcmp(name, "GPU") == 0 && units > MOB_UNITS && units % MOB_UNITS != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "GPU=%.100s: above 1, a number of GPUs is whole", text);
    *ret_units = (int64_t)units;
    return 0;
}

int mob_bytes_parse(const char *name, const char *text, int64_t least, int64_t most, int64_t *ret, struct mob_error *err)
{
    int64_t units;

    if (parse_amount(name, true, text, &units, err) < 0)
        return -1;
    if (units % MOB_UNITS != 0 || units / MOB_UNITS < least || units / MOB_UNITS > most)
        return mob_error_set(err, MOB_ERR_INVALID, "%s must be whole bytes from %" PRId64 " to %" PRId64 ", like 2GiB, not \"%.100s\"",
                             name, least, most, text);
    *ret = units / MOB_UNITS;
    return 0;
}

static int put_unique(struct mob_resources *r, const char *name, const char *amount, struct mob_error *err)
{
    int64_t units = 0;

    if (check_name(name, MOB_RESOURCE_NAME_SIZE, "resource", err) < 0 || parse_amount(name, counts_bytes(name), amount, &units, err) < 0)
        return -1;
    if (mob_resources_get(r, name) != 0)
        return mob_error_set(err, MOB_ERR_INVALID, "the resource %s is named twice", name);
    if (mob_resources_set(r, name, units) < 0)
        return mob_error_set(err, MOB_ERR_INVALID, "more than %d resources", MOB_RESOURCES_MAX);
    return 0;
}

/* Up to the next comma that is not in brackets. NULL: there is none. */
static char *next_item(char **at)
{
    char *item = *at, *end;

    if (item == NULL)
        return NULL;
    end = item + strcspn(item, ",(");
    if (*end == '(')
        end += strcspn(end, ")");
    end += strcspn(end, ",");
    *at = *end == ',' ? end + 1 : NULL;
    *end = '\0';
    return item;
}

/* Cut the next "name=value" off *at, which is writable. In the values of labels brackets hold lists. 0: there is none. 1: found.
 * -1: no '='. */
static int next_pair(char **at, bool labels, char **ret_name, char **ret_value, struct mob_error *err)
{
    char *item, *equals;

    do {
        if ((item = labels ? next_item(at) : strsep(at, ",")) == NULL)
            return 0;
        item += strspn(item, " \t");
        item[strcspn(item, " \t")] = '\0';
    } while (*item == '\0');
    if ((equals = strchr(item, '=')) == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "'%.100s' has no '='; write name=value, separated by commas", item);
    *equals = '\0';
    *ret_name = item;
    *ret_value = equals + 1;
    return 1;
}

int mob_resources_parse(const char *text, struct mob_resources *ret, struct mob_error *err)
{
    struct mob_resources r = { 0 };
    char copy[TEXT_MAX], *at = copy, *name, *value;
    int found;

    if (strlen(text) >= sizeof(copy))
        return mob_error_set(err, MOB_ERR_INVALID, "a list of resources of more than %zu bytes", sizeof(copy) - 1);
    mob_copy(copy, sizeof(copy), text);
    while ((found = next_pair(&at, false, &name, &value, err)) > 0)
        if (put_unique(&r, name, value, err) < 0)
            return -1;
    if (found < 0)
        return -1;
    *ret = r;
    return 0;
}

static int put_json(struct mob_resources *r, const char *name, json_t *amount, struct mob_error *err)
{
    char *text;
    int result;

    if (strcmp(name, "CPU") == 0 || strcmp(name, "GPU") == 0)
        return mob_error_set(err, MOB_ERR_INVALID, "Use --num-cpus and --num-gpus instead of CPU and GPU in the resources.");
    if (!json_is_number(amount))
        return mob_error_set(err, MOB_ERR_INVALID, "the resource %.100s is not a number", name);
    if ((text = json_dumps(amount, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15))) == NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "the resource %.100s is not a finite number", name);
    if (json_is_real(amount) && strlen(text) > 2 && strcmp(text + strlen(text) - 2, ".0") == 0)
        text[strlen(text) - 2] = '\0';
    result = put_unique(r, name, text, err);
    free(text);
    return result;
}

int mob_resources_parse_json(const char *text, struct mob_resources *ret, struct mob_error *err)
{
    struct mob_resources r = { 0 };
    json_error_t wrong;
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &wrong), *amount;
    const char *name;
    int result = 0;

    if (!json_is_object(object)) {
        json_decref(object);
        return mob_error_set(err, MOB_ERR_INVALID, "resources are not a JSON object like {\"licence\": 3}%s%.200s",
                             object == NULL ? ": " : "", object == NULL ? wrong.text : "");
    }
    json_object_foreach(object, name, amount)
        if ((result = put_json(&r, name, amount, err)) < 0)
            break;
    json_decref(object);
    if (result == 0)
        *ret = r;
    return result;
}

static int check_value(const char *key, const char *value, struct mob_error *err)
{
    if (strlen(value) >= MOB_LABEL_SIZE)
        return mob_error_set(err, MOB_ERR_INVALID, "the value of label %s is longer than %d bytes", key, MOB_LABEL_SIZE - 1);
    if (value[0] == '!' || strpbrk(value, "(),") != NULL)
        return mob_error_set(err, MOB_ERR_INVALID, "the label %s=%.100s of a node: a value has no '!' in front, and no brackets", key,
                             value);
    return 0;
}

/* A value, or "in(...)" of at least one; either with "!" before it. */
static int check_condition(const char *key, const char *condition, struct mob_error *err)
{
    const char *list = condition + (condition[0] == '!');
    size_t length = strlen(list);
    bool in = strncmp(list, "in(", 3) == 0;

    if (strlen(condition) >= MOB_CONDITION_SIZE)
        return mob_error_set(err, MOB_ERR_INVALID, "the condition for label %s is longer than %d bytes", key, MOB_CONDITION_SIZE - 1);
    if (in ? length > 4 && strcspn(list + 3, "()") == length - 4 && list[length - 1] == ')' : strpbrk(list, "(),") == NULL)
        return 0;
    return mob_error_set(err, MOB_ERR_INVALID, "the condition %s=%.100s is none of value, !value, in(a,b) and !in(a,b), without spaces",
                         key, condition);
}

static int put_label(struct mob_labels *labels, const char *key, const char *value, struct mob_error *err)
{
    struct mob_label *l;

    if (check_name(key, MOB_LABEL_SIZE, "label", err) < 0)
        return -1;
    for (uint32_t i = 0; i < labels->count; i++)
        if (strcmp(labels->of[i].key, key) == 0)
            return mob_error_set(err, MOB_ERR_INVALID, "the label %s is named twice", key);
    if (labels->count == MOB_LABELS_MAX)
        return mob_error_set(err, MOB_ERR_INVALID, "more than %d labels", MOB_LABELS_MAX);
    l = &labels->of[labels->count++];
    mob_copy(l->key, sizeof(l->key), key);
    mob_copy(l->value, sizeof(l->value), value);
    return 0;
}

static int parse_labels(const char *text, int (*check)(const char *key, const char *value, struct mob_error *err),
                        struct mob_labels *ret, struct mob_error *err)
{
    struct mob_labels labels = { 0 };
    char copy[TEXT_MAX], *at = copy, *key, *value;
    int found;

    if (strlen(text) >= sizeof(copy))
        return mob_error_set(err, MOB_ERR_INVALID, "a list of labels of more than %zu bytes", sizeof(copy) - 1);
    mob_copy(copy, sizeof(copy), text);
    while ((found = next_pair(&at, true, &key, &value, err)) > 0)
        if (check(key, value, err) < 0 || put_label(&labels, key, value, err) < 0)
            return -1;
    if (found < 0)
        return -1;
    *ret = labels;
    return 0;
}

int mob_labels_parse(const char *text, struct mob_labels *ret, struct mob_error *err)
{
    return parse_labels(text, check_value, ret, err);
}

int mob_conditions_parse(const char *text, struct mob_labels *ret, struct mob_error *err)
{
    return parse_labels(text, check_condition, ret, err);
}

/* "2GiB" when it is whole in a binary suffix, else "1.5" without needless zeros. */
static void print_amount(char *text, size_t size, const char *name, int64_t units)
{
    static const char *const suffixes[] = { "", "KiB", "MiB", "GiB", "TiB" };
    uint64_t whole = (uint64_t)(units < 0 ? -units : units) / MOB_UNITS, part = (uint64_t)(units < 0 ? -units : units) % MOB_UNITS;
    size_t suffix = 0;
    int used;

    while (counts_bytes(name) && part == 0 && whole > 0 && whole % 1024 == 0 && suffix + 1 < MOB_COUNT(suffixes)) {
        whole /= 1024;
        suffix++;
    }
    used = snprintf(text, size, "%s%" PRIu64, units < 0 ? "-" : "", whole);
    if (part == 0) {
        snprintf(text + used, size - (size_t)used, "%s", suffixes[suffix]);
        return;
    }
    used += snprintf(text + used, size - (size_t)used, ".%04" PRIu64, part);
    while (text[used - 1] == '0')
        text[--used] = '\0';
}

const char *mob_resources_print(const struct mob_resources *r, char *text, size_t size)
{
    size_t used = 0;

    assert(size > 0);
    text[0] = '\0';
    for (uint32_t i = 0; i < r->count && used < size; i++) {
        char amount[40];

        print_amount(amount, sizeof(amount), r->of[i].name, r->of[i].units);
        used += (size_t)snprintf(text + used, size - used, "%s%s=%s", used > 0 ? "," : "", r->of[i].name, amount);
    }
    return text;
}
