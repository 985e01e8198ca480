/* Suites from JSONL or golden documents. */
#include "engine/tools/suite.h"

#include <stdlib.h>
#include <string.h>

#include "engine/tools/json_text.h"

enum { TOKENS_MAX = 1 << 20 };

/* Where a case stands, for sentences. */
struct place {
    const char *unit; /* "line", "case" */
    uint32_t number;
};

static int misfit(const struct place *place, const char *what,
                  struct flo_err *err)
{
    return flo_fail(err, FLO_E_META_SCHEMA, "%s %u: %s", place->unit,
                    place->number, what);
}

/* ---- one case ---------------------------------------------------- */

static int find_task(struct flo_suite *suite, const struct place *place,
                     const char *name, uint32_t *task, struct flo_err *err)
{
    for (uint32_t i = 0; i < suite->n_tasks; i++) {
        if (strcmp(suite->tasks[i], name) == 0) {
            *task = i;
            return 0;
        }
    }
    if (suite->n_tasks == FLO_SUITE_TASKS_MAX ||
        strlen(name) > FLO_SUITE_TASK_BYTES_MAX) {
        return misfit(place, "a task too many, or a name over 64 bytes", err);
    }
    suite->tasks[suite->n_tasks] = name;
    *task = suite->n_tasks++;
    return 0;
}

static int read_contains(struct flo_suite_case *one, const struct place *place,
                         char *value, char *end, struct flo_err *err)
{
    struct flo_json_walk walk;
    struct flo_json_item item;
    size_t bytes;

    if (*value != '[') {
        return misfit(place, "must_contain is no list of texts", err);
    }
    flo_json_walk_begin(&walk, value, end);
    while (flo_json_walk_next(&walk, &item)) {
        const char *text = flo_json_string(item.value, &bytes);
        if (text == NULL || one->n_contains == FLO_SUITE_CONTAINS_MAX) {
            return misfit(place, "must_contain has over 16, or no text", err);
        }
        one->contains[one->n_contains++] = text;
    }
    return 0;
}

/* The members that are texts. */
enum { ID, SYSTEM, PROMPT, RAW_PROMPT, ANSWER, EXPECT, TASK, SKILL, TEXTS };
static const char *const text_names[TEXTS] = {
    "id",     "system",      "prompt", "raw_prompt",
    "answer", "expect_text", "task",   "skill"};

static int read_member(struct flo_suite_case *one, const struct place *place,
                       const struct flo_json_item *item, char *texts[TEXTS],
                       int *says_json, struct flo_err *err)
{
    unsigned long count;
    size_t bytes;

    for (size_t i = 0; i < TEXTS; i++) {
        if (strcmp(item->key, text_names[i]) != 0 || *item->value == 'n') {
            continue; /* null is as good as absent */
        }
        if (texts[i] != NULL ||
            (texts[i] = flo_json_string(item->value, &bytes)) == NULL) {
            flo_fail(err, FLO_E_META_SCHEMA, "%s %u: %s twice, or no text",
                     place->unit, place->number, text_names[i]);
            return FLO_E_META_SCHEMA;
        }
    }
    if (strcmp(item->key, "must_contain") == 0) {
        return read_contains(one, place, item->value, item->end, err);
    }
    if (strcmp(item->key, "max_new_tokens") == 0) {
        if (!flo_json_count(item, TOKENS_MAX, &count) || count == 0) {
            return misfit(place, "max_new_tokens is not from 1 to 1048576",
                          err);
        }
        one->tokens_max = (uint32_t)count;
    }
    if (strcmp(item->key, "json") == 0) {
        *says_json = *item->value == 't' ? 1 : 0;
    }
    return 0;
}

static int read_case(struct flo_suite *suite, const struct place *place,
                     char *value, char *end, struct flo_err *err)
{
    struct flo_suite_case *one = &suite->cases[suite->count];
    char *texts[TEXTS] = {NULL};
    struct flo_json_walk walk;
    struct flo_json_item item;
    int says_json = -1, rv;

    value += strspn(value, " \t\r\n");
    if (*value != '{') {
        return misfit(place, "no object", err);
    }
    *one = (struct flo_suite_case){.number = place->number};
    flo_json_walk_begin(&walk, value, end);
    while (flo_json_walk_next(&walk, &item)) {
        rv = read_member(one, place, &item, texts, &says_json, err);
        if (rv < 0) {
            return rv;
        }
    }
    one->id = texts[ID];
    one->system = texts[SYSTEM];
    one->is_raw = texts[RAW_PROMPT] != NULL;
    one->prompt = one->is_raw ? texts[RAW_PROMPT] : texts[PROMPT];
    one->answer = texts[ANSWER] != NULL ? texts[ANSWER] : texts[EXPECT];
    if (one->prompt == NULL || one->prompt[0] == '\0') {
        return misfit(place, "no prompt", err);
    }
    if (one->answer == NULL && one->n_contains == 0) {
        return misfit(place, "neither answer nor must_contain", err);
    }
    one->asks_json =
        says_json >= 0
            ? says_json == 1
            : one->answer != NULL &&
                  flo_suite_is_json(one->answer, strlen(one->answer));
    const char *task = texts[TASK] != NULL    ? texts[TASK]
                       : texts[SKILL] != NULL ? texts[SKILL]
                                              : "";
    rv = find_task(suite, place, task, &one->task, err);
    suite->count += rv == 0;
    suite->json_count += rv == 0 && one->asks_json;
    return rv;
}

/* Room for one more. */
static int reserve(struct flo_suite *suite, const struct place *place,
                   struct flo_err *err)
{
    size_t n = suite->count;
    struct flo_suite_case *grown;

    if (n == FLO_SUITE_CASES_MAX) {
        return misfit(place, "more than 100000 cases", err);
    }
    if (n > 0 && (n & (n - 1)) != 0) {
        return 0; /* grows at powers of two */
    }
    grown = realloc(suite->cases, (n == 0 ? 1 : 2 * n) * sizeof(*grown));
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu cases", 2 * n);
    }
    suite->cases = grown;
    return 0;
}

static int add_case(struct flo_suite *suite, const struct place *place,
                    char *value, char *end, struct flo_err *err)
{
    int rv = reserve(suite, place, err);

    return rv < 0 ? rv : read_case(suite, place, value, end, err);
}

/* ---- whole files ------------------------------------------------- */

static int check(const char *text, size_t bytes, uint32_t line,
                 struct flo_err *err)
{
    const char *bad = text;

    if (flo_utf8_valid(text, bytes) == bytes &&
        flo_json_text_check(text, bytes, &bad)) {
        return 0;
    }
    for (const char *at = text; at < bad; at++) {
        line += *at == '\n';
    }
    return flo_fail(err, FLO_E_META_JSON, "line %u: not strict JSON in UTF-8",
                    line);
}

static int read_lines(struct flo_suite *suite, char *text, size_t bytes,
                      struct flo_err *err)
{
    struct place place = {"line", 0};
    char *end = text + bytes;
    int rv = 0;

    for (char *at = text; rv == 0 && at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        *stop = '\0';
        place.number++;
        if (at + strspn(at, " \t\r") < stop) {
            rv = check(at, (size_t)(stop - at), place.number, err);
            rv = rv < 0 ? rv : add_case(suite, &place, at, stop, err);
        }
        at = stop + 1;
    }
    return rv;
}

static int read_golden(struct flo_suite *suite, char *text, char *end,
                       struct flo_err *err)
{
    struct flo_json_walk walk, list;
    struct flo_json_item item;
    struct place place = {"case", 0};
    bool has_cases = false;
    int rv = 0;

    text += strspn(text, " \t\r\n");
    if (*text != '{') {
        return flo_fail(err, FLO_E_META_SCHEMA, "the document is no object");
    }
    flo_json_walk_begin(&walk, text, end);
    while (rv == 0 && flo_json_walk_next(&walk, &item)) {
        if (strcmp(item.key, "cases") != 0 || *item.value != '[') {
            continue;
        }
        if (has_cases) {
            return misfit(&place, "cases stand twice", err);
        }
        has_cases = true;
        flo_json_walk_begin(&list, item.value, item.end);
        while (rv == 0 && flo_json_walk_next(&list, &item)) {
            place.number++;
            rv = add_case(suite, &place, item.value, item.end, err);
        }
    }
    return rv;
}

int flo_suite_take(char *text, size_t bytes, struct flo_suite *suite,
                   struct flo_err *err)
{
    /* A line of JSONL is an object of its own; a document says its format. */
    bool is_golden = strstr(text, "\"flotilla-golden-1\"") != NULL &&
                     strstr(text, "\"cases\"") != NULL;
    int rv;

    *suite = (struct flo_suite){.text = text};
    if (is_golden) {
        rv = check(text, bytes, 1, err);
        rv = rv < 0 ? rv : read_golden(suite, text, text + bytes, err);
    } else {
        rv = read_lines(suite, text, bytes, err);
    }
    if (rv == 0 && suite->count == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "the suite has no case");
    }
    if (rv < 0) {
        flo_suite_deinit(suite);
    }
    return rv;
}

void flo_suite_deinit(struct flo_suite *suite)
{
    free(suite->cases);
    free(suite->text);
    *suite = (struct flo_suite){0};
}

/* ---- judging ----------------------------------------------------- */

static void trim(const char **text, size_t *bytes)
{
    while (*bytes > 0 && memchr(" \t\r\n", **text, 4) != NULL) {
        (*text)++;
        (*bytes)--;
    }
    while (*bytes > 0 && memchr(" \t\r\n", (*text)[*bytes - 1], 4) != NULL) {
        (*bytes)--;
    }
}

bool flo_suite_is_exact(const struct flo_suite_case *one, const char *answer,
                        size_t bytes)
{
    for (uint32_t i = 0; i < one->n_contains; i++) {
        size_t wanted = strlen(one->contains[i]);
        if (wanted > 0 && (bytes == 0 || memmem(answer, bytes, one->contains[i],
                                                wanted) == NULL)) {
            return false;
        }
    }
    if (one->answer == NULL) {
        return true;
    }
    const char *wanted = one->answer;
    size_t wanted_bytes = strlen(wanted);
    trim(&wanted, &wanted_bytes);
    trim(&answer, &bytes);
    return bytes == wanted_bytes &&
           (bytes == 0 || memcmp(answer, wanted, bytes) == 0);
}

bool flo_suite_is_json(const char *answer, size_t bytes)
{
    trim(&answer, &bytes);
    return bytes > 0 && (*answer == '{' || *answer == '[') &&
           flo_utf8_valid(answer, bytes) == bytes &&
           flo_json_text_check(answer, bytes, NULL);
}
