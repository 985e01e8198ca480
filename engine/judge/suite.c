/* Suite: reads test cases from JSONL files or golden documents. */
#include "engine/judge/suite.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>

#include "base/tree/tree.h"

enum { TOKENS_MAX = 1 << 20 };

/* Number of a case for error messages. */
struct place {
    const char *unit; /* "line", "case" */
    uint32_t number;
};

static int misfit(const struct place *place, const char *what, struct flo_err *err)
{
    return flo_fail(err, FLO_E_META_SCHEMA, "%s %u: %s", place->unit, place->number, what);
}

/* ---- one case ---- */

static int find_task(struct flo_suite *suite, const struct place *place, const char *name,
                     uint32_t *task, struct flo_err *err)
{
    for (uint32_t i = 0; i < suite->n_tasks; i++) {
        if (strcmp(suite->tasks[i], name) == 0) {
            *task = i;
            return 0;
        }
    }
    if (suite->n_tasks == FLO_SUITE_TASKS_MAX || strlen(name) > FLO_SUITE_TASK_BYTES_MAX) {
        return misfit(place, "a task too many, or a name over 64 bytes", err);
    }
    suite->tasks[suite->n_tasks] = name;
    *task = suite->n_tasks++;
    return 0;
}

static int read_contains(struct flo_suite_case *one, const struct place *place,
                         const struct flo_tree_node *list, struct flo_err *err)
{
    if (list->kind != FLO_TREE_ARRAY) {
        return misfit(place, "must_contain is no list of texts", err);
    }
    for (const struct flo_tree_node *n = list->first; n != NULL; n = n->next) {
        if (n->kind != FLO_TREE_STRING || one->n_contains == FLO_SUITE_CONTAINS_MAX) {
            return misfit(place, "must_contain has over 16, or no text", err);
        }
        one->contains[one->n_contains++] = n->text;
    }
    return 0;
}

static int read_expect(struct flo_suite_case *one, const struct place *place,
                       const struct flo_tree_node *list, struct flo_err *err)
{
    size_t count = flo_tree_count(list);

    if (list->kind == FLO_TREE_NULL) {
        return 0;
    }
    if (list->kind != FLO_TREE_ARRAY || count > FLO_SUITE_EXPECT_MAX || one->expect != NULL) {
        return misfit(place, "expect_tokens twice, over 4096, or no list", err);
    }
    one->expect = malloc((count + 1) * sizeof(*one->expect));
    if (one->expect == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tokens", count);
    }
    for (const struct flo_tree_node *n = list->first; n != NULL; n = n->next) {
        int64_t id;
        if (!flo_tree_whole(n, 0, INT32_MAX, &id)) {
            return misfit(place, "expect_tokens has what is no token's id", err);
        }
        one->expect[one->n_expect++] = (int32_t)id;
    }
    return 0;
}

/* Members of a case whose values are texts. */
enum { ID, SYSTEM, PROMPT, RAW_PROMPT, ANSWER, EXPECT, TASK, SKILL, TEXTS };
static const char *const text_names[TEXTS] = {"id",     "system",      "prompt", "raw_prompt",
                                              "answer", "expect_text", "task",   "skill"};

static int read_member(struct flo_suite_case *one, const struct place *place,
                       const struct flo_tree_node *n, const char *texts[TEXTS], int *says_json,
                       struct flo_err *err)
{
    int64_t count;

    for (size_t i = 0; i < TEXTS; i++) {
        if (strcmp(n->key, text_names[i]) != 0 || n->kind == FLO_TREE_NULL) {
            continue; /* a member with the value null counts as absent */
        }
        if (texts[i] != NULL || n->kind != FLO_TREE_STRING) {
            return flo_fail(err, FLO_E_META_SCHEMA, "%s %u: %s twice, or no text", place->unit,
                            place->number, text_names[i]);
        }
        texts[i] = n->text;
    }
    if (strcmp(n->key, "must_contain") == 0) {
        return read_contains(one, place, n, err);
    }
    if (strcmp(n->key, "max_new_tokens") == 0) {
        if (!flo_tree_whole(n, 1, TOKENS_MAX, &count)) {
            return misfit(place, "max_new_tokens is not from 1 to 1048576", err);
        }
        one->tokens_max = (uint32_t)count;
    }
    if (strcmp(n->key, "expect_tokens") == 0) {
        return read_expect(one, place, n, err);
    }
    if (strcmp(n->key, "min_logit_gap") == 0 && n->kind == FLO_TREE_NUMBER) {
        one->gap = strtod(n->text, NULL);
    }
    if (strcmp(n->key, "json") == 0) {
        *says_json = flo_tree_says(n, true);
    }
    return 0;
}

/* Makes room for one more case. */
static int reserve(struct flo_suite *suite, const struct place *place, struct flo_err *err)
{
    size_t n = suite->count;
    struct flo_suite_case *grown;

    if (n == FLO_SUITE_CASES_MAX) {
        return misfit(place, "more than 100000 cases", err);
    }
    if (n > 0 && (n & (n - 1)) != 0) {
        return 0; /* the array is full only when `n` is 0 or a power of two */
    }
    grown = realloc(suite->cases, (n == 0 ? 1 : 2 * n) * sizeof(*grown));
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu cases", 2 * n);
    }
    suite->cases = grown;
    return 0;
}

static int fill_case(struct flo_suite *suite, const struct place *place,
                     const struct flo_tree_node *object, struct flo_err *err)
{
    const char *texts[TEXTS] = {NULL};
    int says_json = -1, rv;
    struct flo_suite_case *one = &suite->cases[suite->count];
    if (object->kind != FLO_TREE_OBJECT) {
        return misfit(place, "no object", err);
    }
    *one = (struct flo_suite_case){.number = place->number};
    for (const struct flo_tree_node *n = object->first; n != NULL; n = n->next) {
        FLO_TRY(read_member(one, place, n, texts, &says_json, err));
    }
    one->id = texts[ID];
    one->system = texts[SYSTEM];
    one->is_raw = texts[RAW_PROMPT] != NULL;
    one->prompt = one->is_raw ? texts[RAW_PROMPT] : texts[PROMPT];
    one->answer = texts[ANSWER] != NULL ? texts[ANSWER] : texts[EXPECT];
    if (one->prompt == NULL || one->prompt[0] == '\0') {
        return misfit(place, "no prompt", err);
    }
    bool has_answer = one->answer != NULL || one->n_contains > 0 || one->expect != NULL;
    if (suite->needs_answers && !has_answer) {
        return misfit(place, "neither answer nor must_contain", err);
    }
    one->asks_json =
        says_json >= 0 ? says_json == 1
                       : one->answer != NULL && flo_suite_is_json(one->answer, strlen(one->answer));
    const char *task = texts[TASK] != NULL ? texts[TASK] : texts[SKILL] != NULL ? texts[SKILL] : "";
    rv = find_task(suite, place, task, &one->task, err);
    suite->json_count += rv == 0 && one->asks_json;
    return rv;
}

static int add_case(struct flo_suite *suite, const struct place *place,
                    const struct flo_tree_node *object, struct flo_err *err)
{
    FLO_TRY(reserve(suite, place, err));
    suite->cases[suite->count] = (struct flo_suite_case){0};
    int rv = fill_case(suite, place, object, err);
    suite->count++; /* an invalid case counts too, so that it is freed */
    return rv;
}

/* ---- whole files ---- */

static int read_tree(struct flo_tree *tree, char *text, size_t bytes, uint32_t line,
                     struct flo_err *err)
{
    size_t bad;
    int rv = flo_tree_read(tree, text, bytes, 0, 0, &bad, err);

    if (rv != FLO_E_INFER_PARAM) {
        return rv;
    }
    for (size_t i = 0; i < bad; i++) {
        line += text[i] == '\n';
    }
    return flo_fail(err, FLO_E_META_JSON, "line %u: not strict JSON in UTF-8", line);
}

static int read_lines(struct flo_suite *suite, char *text, size_t bytes, struct flo_err *err)
{
    struct place place = {"line", 0};
    char *end = text + bytes;

    for (char *at = text; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop == NULL ? end : stop;
        *stop = '\0';
        place.number++;
        if (at + strspn(at, " \t\r") < stop) {
            FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
            FLO_TRY(read_tree(&tree, at, (size_t)(stop - at), place.number, err));
            FLO_TRY(add_case(suite, &place, tree.nodes, err));
        }
        at = stop + 1;
    }
    return 0;
}

static int read_golden(struct flo_suite *suite, const struct flo_tree_node *document,
                       struct flo_err *err)
{
    const struct flo_tree_node *cases = NULL;
    struct place place = {"case", 0};

    if (document->kind != FLO_TREE_OBJECT) {
        return flo_fail(err, FLO_E_META_SCHEMA, "the document is no object");
    }
    for (const struct flo_tree_node *n = document->first; n != NULL; n = n->next) {
        if (strcmp(n->key, "cases") == 0 && n->kind == FLO_TREE_ARRAY) {
            if (cases != NULL) {
                return misfit(&place, "cases stand twice", err);
            }
            cases = n;
        }
    }
    for (const struct flo_tree_node *n = cases != NULL ? cases->first : NULL; n != NULL;
         n = n->next) {
        place.number++;
        FLO_TRY(add_case(suite, &place, n, err));
    }
    return 0;
}

static int take(char *text, size_t bytes, bool needs_answers, struct flo_suite *suite,
                struct flo_err *err)
{
    /* A golden document names its format.  Any other text is JSONL. */
    bool is_golden =
        strstr(text, "\"flotilla-golden-1\"") != NULL && strstr(text, "\"cases\"") != NULL;
    int rv;

    *suite =
        (struct flo_suite){.text = text, .needs_answers = needs_answers, .is_golden = is_golden};
    if (is_golden) {
        FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
        rv = read_tree(&tree, text, bytes, 1, err);
        if (rv == 0) {
            rv = read_golden(suite, tree.nodes, err);
        }
    } else {
        rv = read_lines(suite, text, bytes, err);
    }
    if (rv == 0 && suite->count == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "the suite has no case");
    }
    if (rv < 0) {
        flo_suite_deinit(suite);
    }
    /* Replaces the advice of these errors, which is about signed documents,
     * because a person wrote this file. */
    return rv == FLO_E_META_JSON || rv == FLO_E_META_JSON_DEPTH || rv == FLO_E_META_SCHEMA
               ? flo_err_fix(err, is_golden ? "correct the file: "
                                              "docs/reference/golden.md, or let "
                                              "flotilla-model golden create make it"
                                            : "correct the file: a golden document, "
                                              "or a case as JSON in each line")
               : rv;
}

int flo_suite_take(char *text, size_t bytes, struct flo_suite *suite, struct flo_err *err)
{
    return take(text, bytes, true, suite, err);
}

int flo_suite_take_prompts(char *text, size_t bytes, struct flo_suite *suite, struct flo_err *err)
{
    return take(text, bytes, false, suite, err);
}

void flo_suite_deinit(struct flo_suite *suite)
{
    for (size_t i = 0; i < suite->count; i++) {
        free(suite->cases[i].expect);
    }
    free(suite->cases);
    free(suite->text);
    *suite = (struct flo_suite){0};
}

/* ---- judging ---- */

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

bool flo_suite_is_exact(const struct flo_suite_case *one, const char *answer, size_t bytes)
{
    for (uint32_t i = 0; i < one->n_contains; i++) {
        size_t wanted = strlen(one->contains[i]);
        if (wanted > 0 && (bytes == 0 || memmem(answer, bytes, one->contains[i], wanted) == NULL)) {
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
    return bytes == wanted_bytes && (bytes == 0 || memcmp(answer, wanted, bytes) == 0);
}

bool flo_suite_is_json(const char *answer, size_t bytes)
{
    trim(&answer, &bytes);
    return bytes > 0 && (*answer == '{' || *answer == '[') && flo_json_check(answer, bytes);
}
