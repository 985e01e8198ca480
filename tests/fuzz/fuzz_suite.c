/* Suites of test cases: files that a publisher was given. */
#include <stdlib.h>
#include <string.h>

#include "engine/judge/suite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_suite suite;
    struct flo_err err = {0};
    char *text = malloc(bytes + 1);

    if (text == NULL) {
        return 0;
    }
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    (void)flo_suite_is_json(text, bytes);
    if (flo_suite_take(text, bytes, &suite, &err) < 0) {
        if (err.what[0] == '\0') {
            abort();
        }
        return 0;
    }
    for (size_t i = 0; i < suite.count; i++) {
        const struct flo_suite_case *one = &suite.cases[i];
        size_t answer = one->answer == NULL ? 0 : strlen(one->answer);
        if (strlen(one->prompt) == 0 || one->task >= suite.n_tasks ||
            (one->n_contains == 0 && !flo_suite_is_exact(one, one->answer, answer))) {
            abort();
        }
    }
    flo_suite_deinit(&suite);
    return 0;
}
