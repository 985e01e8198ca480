/* Golden cases (flotilla-golden-1): prompts whose answers are known.
 *
 * Exact token ids are compared only where every choice of the model was
 * clear (min_logit_gap >= 1): kernels of different CPUs round differently. */
#include <flotilla/golden.h>

#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"

#define PROMPT_BYTES_MAX 65536
#define EXACT_GAP_MIN 1.0

static int read_contains(const json_t *object, struct flo_golden_case *out,
                         struct flo_err *err)
{
    json_t *list, *value;
    size_t i;
    int rv = flo_json_get_array(object, "must_contain", FLO_GOLDEN_CONTAINS_MAX,
                                &list, err);
    if (rv < 0) {
        return rv;
    }
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value) || json_string_length(value) == 0) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `must_contain`: [%zu] is no text", i);
        }
        out->contains[out->n_contains++] = json_string_value(value);
    }
    return 0;
}

static int read_tokens(const json_t *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    json_t *list, *value;
    size_t i;
    double gap;
    int rv = flo_json_opt_real(object, "min_logit_gap", 0, 1e9, 0, &gap, err);
    rv = rv < 0 ? rv
                : flo_json_opt_array(object, "expect_tokens",
                                     FLO_GOLDEN_TOKENS_MAX, &list, err);
    if (rv < 0 || list == NULL || gap < EXACT_GAP_MIN) {
        return rv;
    }
    out->tokens = calloc(json_array_size(list) + 1, sizeof(*out->tokens));
    if (out->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden tokens");
    }
    json_array_foreach(list, i, value)
    {
        int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > INT32_MAX) {
            return flo_fail(err, FLO_E_META_SCHEMA,
                            "field `expect_tokens`: [%zu] is no token id", i);
        }
        out->tokens[out->n_tokens++] = (int32_t)id;
    }
    out->has_tokens = true;
    return 0;
}

static int read_case(const json_t *object, struct flo_golden_case *out,
                     struct flo_err *err)
{
    uint64_t tokens_max;
    int rv = flo_json_get_text(object, "id", 63, &out->id, err);
    if (rv < 0) {
        return rv;
    }
    out->is_raw = json_object_get(object, "raw_prompt") != NULL;
    rv = flo_json_get_text(object, out->is_raw ? "raw_prompt" : "prompt",
                           PROMPT_BYTES_MAX, &out->prompt, err);
    rv = rv < 0 ? rv
                : flo_json_get_u64(object, "max_new_tokens", 1,
                                   FLO_GOLDEN_TOKENS_MAX, &tokens_max, err);
    rv = rv < 0 ? rv : read_contains(object, out, err);
    rv = rv < 0 ? rv : read_tokens(object, out, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "case %s", out->id);
    }
    out->prompt_bytes = strlen(out->prompt);
    out->tokens_max = (uint32_t)tokens_max;
    if (out->n_contains == 0 && !out->has_tokens) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "case %s checks nothing: no must_contain and no clear "
                        "expect_tokens",
                        out->id);
    }
    return 0;
}

int flo_golden_read(const char *text, size_t bytes, struct flo_golden *golden,
                    struct flo_err *err)
{
    const char *format;
    json_t *json = NULL, *cases, *value;
    size_t i;
    memset(golden, 0, sizeof(*golden));
    int rv = flo_json_parse(text, bytes, FLO_GOLDEN_BYTES_MAX, &json, err);
    golden->document = json;
    rv = rv < 0 ? rv : flo_json_get_text(json, "format", 32, &format, err);
    if (rv == 0 && strcmp(format, "flotilla-golden-1") != 0) {
        rv = flo_fail(
            err, FLO_E_META_SCHEMA,
            "golden cases in format %.32s, flotilla-golden-1 is known", format);
    }
    rv = rv < 0 ? rv
                : flo_json_get_array(json, "cases", FLO_GOLDEN_CASES_MAX,
                                     &cases, err);
    if (rv == 0 && json_array_size(cases) == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "no golden case");
    }
    if (rv == 0) {
        golden->cases = calloc(json_array_size(cases), sizeof(*golden->cases));
        if (golden->cases == NULL) {
            rv = flo_fail(err, FLO_E_MEMORY, "no memory for golden cases");
        }
    }
    for (i = 0; rv == 0 && i < json_array_size(cases); i++) {
        value = json_array_get(cases, i);
        golden->n_cases++;
        rv = read_case(value, &golden->cases[i], err);
        if (rv < 0) {
            rv = flo_wrap(err, rv, "cases[%zu]", i);
        }
    }
    if (rv < 0) {
        flo_golden_deinit(golden);
    }
    return rv;
}

void flo_golden_deinit(struct flo_golden *golden)
{
    for (uint32_t i = 0; i < golden->n_cases; i++) {
        free(golden->cases[i].tokens);
    }
    free(golden->cases);
    json_decref(golden->document);
    memset(golden, 0, sizeof(*golden));
}

bool flo_golden_passes(const struct flo_golden_case *golden_case,
                       const char *text, const int32_t *tokens,
                       uint32_t n_tokens)
{
    for (uint32_t i = 0; i < golden_case->n_contains; i++) {
        if (strstr(text, golden_case->contains[i]) == NULL) {
            return false;
        }
    }
    return !golden_case->has_tokens ||
           (n_tokens == golden_case->n_tokens &&
            memcmp(tokens, golden_case->tokens, n_tokens * sizeof(*tokens)) ==
                0);
}
