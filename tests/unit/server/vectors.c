/* Golden vectors: see vectors.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/server/vectors.h"

#define LINE_MAX_BYTES (1 << 20)

static vectors_answer *answer_of;

static void same(const json_t *want, const json_t *got, const char *key)
{
    const char *member;
    json_t *value;
    size_t i;

    if (json_is_object(want)) {
        json_object_foreach((json_t *)(uintptr_t)want, member, value)
        {
            if (strcmp(member, "why") != 0) { /* ours to word */
                same(value, json_object_get(got, member), member);
            }
        }
    } else if (json_is_array(want)) {
        if (json_array_size(want) != json_array_size(got)) {
            fail_msg("%s: %zu items, not %zu", key, json_array_size(got), json_array_size(want));
        }
        json_array_foreach((json_t *)(uintptr_t)want, i, value)
        {
            same(value, json_array_get(got, i), key);
        }
    } else if (json_is_number(want)) {
        double a = json_number_value(want);
        double b = json_number_value(got);
        double slack = json_is_real(want) ? 1e-6 + 1e-6 * fabs(a) : 0;
        if (!json_is_number(got) || !(fabs(a - b) <= slack)) {
            fail_msg("%s: %.12g, not %.12g", key, b, a);
        }
    } else if (json_is_null(want)) {
        if (got != NULL && !json_is_null(got)) {
            fail_msg("%s: %.12g, not null", key, json_number_value(got));
        }
    } else if (got == NULL || !json_equal(want, got)) {
        fail_msg("%s: `%s`, not `%s`", key, json_string_value(got), json_string_value(want));
    }
}

static void row_is_met(void **state)
{
    const json_t *row = *state;
    json_t *got =
        answer_of(json_string_value(json_object_get(row, "kind")), json_object_get(row, "input"));

    same(json_object_get(row, "want"), got, "want");
    json_decref(got);
}

json_t *vectors_read(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = malloc(LINE_MAX_BYTES);
    json_t *rows = json_array();

    if (file == NULL || line == NULL) {
        fprintf(stderr, "%s cannot be read\n", path);
        exit(1);
    }
    while (fgets(line, LINE_MAX_BYTES, file) != NULL) {
        json_t *row = json_loads(line, 0, NULL);
        if (row == NULL) {
            fprintf(stderr, "%s: row %zu is no JSON\n", path, json_array_size(rows) + 1);
            exit(1);
        }
        json_array_append_new(rows, row);
    }
    free(line);
    fclose(file);
    return rows;
}

int vectors_run(const json_t *rows, vectors_answer *answer)
{
    size_t count = json_array_size(rows);
    struct CMUnitTest *tests = calloc(count, sizeof(*tests));

    answer_of = answer;
    for (size_t i = 0; i < count; i++) {
        json_t *row = json_array_get(rows, i);
        tests[i] = (struct CMUnitTest){.name = json_string_value(json_object_get(row, "id")),
                                       .test_func = row_is_met,
                                       .initial_state = row};
    }
    int failed = _cmocka_run_group_tests("vectors", tests, count, NULL, NULL);
    free(tests);
    return failed;
}
