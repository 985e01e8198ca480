/* Documents with one value damaged: each value in turn is left out, or is one of
 * another kind, and the reader has to say what it thinks of it. */
#ifndef FLOTILLA_UNIT_DAMAGE_H
#define FLOTILLA_UNIT_DAMAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>
#include <jansson.h>

/* The reader that is tested: as every reader, 0 or a code with its sentence. */
typedef int damage_read(const json_t *document, struct flo_err *err);

struct damage {
    json_t *document;
    damage_read *read;
    const char *free; /* members that take a value of any kind, apart by spaces; "*": all,
                         NULL: none */
    size_t refused;
};

/* Kinds of JSON values; a whole number and another one are the same. */
static inline int damage_kind(const json_t *value)
{
    return json_is_number(value)    ? JSON_INTEGER
           : json_is_boolean(value) ? JSON_TRUE
                                    : json_typeof(value);
}

static inline bool damage_is_free(const struct damage *damage, const char *name)
{
    size_t chars = strlen(name);
    const char *at = damage->free;

    if (at != NULL && strcmp(at, "*") == 0) {
        return true;
    }
    while (at != NULL && (at = strstr(at, name)) != NULL) {
        if ((at == damage->free || at[-1] == ' ') && (at[chars] == ' ' || at[chars] == '\0')) {
            return true;
        }
        at += chars;
    }
    return false;
}

/* A refusal has its code and a sentence; a value of another kind is refused. */
static inline void damage_look(struct damage *damage, const char *name, const char *with,
                               bool is_foreign)
{
    struct flo_err err = {0};
    int rv = damage->read(damage->document, &err);

    if (rv > 0 || (rv < 0 && (err.code != rv || err.what[0] == '\0'))) {
        fail_msg("%s = %s: code %d, said %d `%s`", name, with, rv, err.code, err.what);
    }
    if (rv == 0 && is_foreign && !damage_is_free(damage, name)) {
        fail_msg("%s = %s was taken", name, with);
    }
    damage->refused += rv < 0 ? 1 : 0;
}

static inline json_t *damage_long_text(void)
{
    char text[1200];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    return json_string(text);
}

static inline json_t *damage_long_list(const json_t *of)
{
    json_t *list = json_array();

    for (size_t i = 0; i < 300; i++) {
        json_array_append_new(list, json_deep_copy(of));
    }
    return list;
}

static inline void damage_each(struct damage *damage, json_t *node);

static inline void damage_place(struct damage *damage, json_t *node, const char *name, size_t at)
{
    static const char *const others[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "-1",
                                         "1",
                                         "3",
                                         "0.5",
                                         "1e15",
                                         "1e300",
                                         "\"\"",
                                         "[]",
                                         "\"x y\"",
                                         "\"A\\nb\"",
                                         "\"b\"",
                                         "[\"x\", \"x\"]",
                                         "{}",
                                         "{\"x\": 1}",
                                         "[1]",
                                         "7e9",
                                         "\"@:&=|%\"",
                                         "\"2s\"",
                                         "\"9999999999999999\""};
    bool is_object = json_is_object(node);
    json_t *before =
        json_incref(is_object ? json_object_get(node, name) : json_array_get(node, at));

    damage_each(damage, before);
    for (size_t i = 0; i < FLO_COUNT(others) + 2; i++) {
        json_t *value =
            i < FLO_COUNT(others) ? json_loads(others[i], JSON_DECODE_ANY, NULL)
            : i == FLO_COUNT(others)
                ? damage_long_text()
                : damage_long_list(json_is_array(before) ? json_array_get(before, 0) : before);
        bool is_foreign = !json_is_null(value) && damage_kind(value) != damage_kind(before);
        if (is_object) {
            json_object_set(node, name, value);
        } else {
            json_array_set(node, at, value);
        }
        damage_look(damage, name, i < FLO_COUNT(others) ? others[i] : "long", is_foreign);
        json_decref(value);
    }
    if (is_object) {
        json_object_del(node, name);
        damage_look(damage, name, "nothing", false);
        json_object_set(node, name, before);
    } else {
        json_array_set(node, at, before);
    }
    json_decref(before);
}

static inline void damage_each(struct damage *damage, json_t *node)
{
    const char *names[64];
    size_t count = 0;
    const char *name;
    json_t *value;

    json_object_foreach(node, name, value)
    {
        assert_true(count < FLO_COUNT(names));
        names[count++] = strdup(name);
    }
    for (size_t i = 0; i < count; i++) {
        damage_place(damage, node, names[i], 0);
        free((char *)(uintptr_t)names[i]);
    }
    for (size_t i = 0; json_is_array(node) && i < json_array_size(node); i++) {
        damage_place(damage, node, "[]", i);
    }
}

/* Each value of the document `text`, which the reader takes as it is; returns how
 * many of the damaged ones it refused. */
static inline size_t damage_all(const char *text, damage_read *read, const char *free_or_null)
{
    json_error_t where;
    struct flo_err err = {0};
    struct damage damage = {
        .document = json_loads(text, 0, &where), .read = read, .free = free_or_null};

    if (damage.document == NULL || read(damage.document, &err) < 0) {
        fail_msg("%s%s", damage.document == NULL ? where.text : "", err.what);
    }
    damage_each(&damage, damage.document);
    if (read(damage.document, &err) < 0) {
        fail_msg("undamaged again: %s", err.what);
    }
    json_decref(damage.document);
    return damage.refused;
}

#endif
