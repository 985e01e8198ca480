/* Golden cases (flotilla-golden-1 and -2): requests with known answers.
 *
 * Both formats become the same matchers. Exact token ids are compared only
 * where every choice of the model was clear (min_logit_gap >= 1), because
 * kernels of different CPUs round differently. */
#include <flotilla/golden.h>

#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"
#include "base/wav.h"

#define PROMPT_BYTES_MAX 65536
#define NAME_BYTES_MAX 128

/* ---- matchers of both formats ---- */

static struct flo_golden_match *match_add(struct flo_golden_case *out, enum flo_golden_kind kind)
{
    struct flo_golden_match *match = &out->expect[out->n_expect++];
    match->kind = kind;
    return match;
}

/* Adds a matcher for the answer's token ids.  Adds none when the gap between
 * the two best tokens was once so small that another CPU may choose
 * otherwise. */
static int add_tokens(const json_t *list, double gap, struct flo_golden_case *out,
                      struct flo_err *err)
{
    json_t *value;
    size_t i;
    if (list == NULL || gap < FLO_GOLDEN_EXACT_GAP) {
        return 0;
    }
    struct flo_golden_match *match = match_add(out, FLO_GOLDEN_TOKENS);
    match->tokens = calloc(json_array_size(list) + 1, sizeof(*match->tokens));
    if (match->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden tokens");
    }
    json_array_foreach(list, i, value)
    {
        int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;
        if (id < 0 || id > INT32_MAX) {
            return flo_fail(err, FLO_E_META_SCHEMA, "[%zu] is no token id", i);
        }
        match->tokens[match->n_tokens++] = (int32_t)id;
    }
    return 0;
}

/* ---- format 1 ---- */

static int read_contains(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    json_t *list, *value;
    size_t i;
    FLO_TRY(flo_json_get_array(object, "must_contain", FLO_GOLDEN_EXPECT_MAX, &list, err));
    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value) || json_string_length(value) == 0) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `must_contain`: [%zu] is no text", i);
        }
        match_add(out, FLO_GOLDEN_CONTAINS)->text = json_string_value(value);
    }
    return 0;
}

static int read_tokens(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    json_t *list;
    double gap;
    int rv = flo_json_opt_real(object, "min_logit_gap", 0, 1e9, 0, &gap, err);
    rv = rv == 0 ? flo_json_opt_array(object, "expect_tokens", FLO_GOLDEN_TOKENS_MAX, &list, err)
                 : rv;
    rv = rv == 0 ? add_tokens(list, gap, out, err) : rv;
    return rv < 0 ? flo_wrap(err, rv, "field `expect_tokens`") : 0;
}

static int read_case_1(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    bool is_raw = json_object_get(object, "raw_prompt") != NULL;
    out->input = is_raw ? FLO_GOLDEN_RAW : FLO_GOLDEN_PROMPT;
    FLO_TRY(flo_json_get_text(object, is_raw ? "raw_prompt" : "prompt", PROMPT_BYTES_MAX,
                              &out->prompt, err));
    FLO_TRY(read_contains(object, out, err));
    FLO_TRY(read_tokens(object, out, err));
    if (out->n_expect == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "checks nothing: no must_contain and no clear "
                        "expect_tokens");
    }
    return 0;
}

/* ---- format 2 ---- */

static int read_text(const json_t *object, const char *key, struct flo_golden_match *match,
                     struct flo_err *err)
{
    FLO_TRY(flo_json_get_text(object, key, FLO_GOLDEN_MATCH_BYTES_MAX, &match->text, err));
    if (match->text[0] == '\0' && match->kind != FLO_GOLDEN_IS) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is empty", key);
    }
    return 0;
}

static int read_pattern(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    int stars = 0;
    int rv = read_text(object, "pattern", match, err);
    for (const char *p = rv < 0 ? "" : match->text; *p != '\0'; p++) {
        stars += *p == '*';
        if (*p == '\\' && *++p == '\0') {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `pattern` ends with a backslash");
        }
    }
    if (stars > FLO_GOLDEN_STARS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `pattern`: %d stars, at most %d", stars,
                        FLO_GOLDEN_STARS_MAX);
    }
    return rv;
}

static int read_pointer(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    FLO_TRY(flo_json_get_text(object, "json", FLO_GOLDEN_MATCH_BYTES_MAX, &match->text, err));
    const char *tilde = match->text;
    if (tilde[0] != '\0' && tilde[0] != '/') {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `json`: a pointer begins with a slash");
    }
    while ((tilde = strchr(tilde, '~')) != NULL) {
        tilde++;
        if (*tilde != '0' && *tilde != '1') {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `json`: 0 or 1 follows a tilde");
        }
    }
    return 0;
}

static int read_equals(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    match->value = json_object_get(object, "equals");
    return read_pointer(object, match, err);
}

static int read_within(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    json_t *list;
    FLO_TRY(flo_json_get_array(object, "within", 2, &list, err));
    const json_t *low = json_array_get(list, 0), *high = json_array_get(list, 1);
    match->low = json_number_value(low);
    match->high = json_number_value(high);
    if (!json_is_number(low) || !json_is_number(high) || match->low > match->high) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `within` is no pair of numbers, the smaller "
                        "first");
    }
    return read_pointer(object, match, err);
}

static int read_cosine(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    uint64_t ppm = 0;
    FLO_TRY(flo_json_get_u64(object, "cosine_min_ppm", 0, 1000000, &ppm, err));
    match->low = (double)ppm / 1e6;
    return flo_json_get_text(object, "vector", NAME_BYTES_MAX, &match->text, err);
}

static int read_exit(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    uint64_t status = 0;
    FLO_TRY(flo_json_get_u64(object, "exit", 0, 255, &status, err));
    match->exit_status = (int)status;
    return 0;
}

static int read_is(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    return read_text(object, "exact", match, err);
}

static int read_has(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    return read_text(object, "contains", match, err);
}

static int read_lacks(const json_t *object, struct flo_golden_match *match, struct flo_err *err)
{
    return read_text(object, "lacks", match, err);
}

/* The JSON keys of each kind of matcher; other keys are refused. */
static const struct form {
    enum flo_golden_kind kind;
    const char *key, *second;
    int (*read)(const json_t *object, struct flo_golden_match *match, struct flo_err *err);
} forms[] = {
    {FLO_GOLDEN_IS, "exact", NULL, read_is},
    {FLO_GOLDEN_CONTAINS, "contains", NULL, read_has},
    {FLO_GOLDEN_LACKS, "lacks", NULL, read_lacks},
    {FLO_GOLDEN_PATTERN, "pattern", NULL, read_pattern},
    {FLO_GOLDEN_EQUALS, "json", "equals", read_equals},
    {FLO_GOLDEN_WITHIN, "json", "within", read_within},
    {FLO_GOLDEN_COSINE, "cosine_min_ppm", "vector", read_cosine},
    {FLO_GOLDEN_TOKENS, "tokens", "min_logit_gap", NULL},
    {FLO_GOLDEN_EXIT, "exit", NULL, read_exit},
};

static const struct form *form_of(const json_t *object)
{
    for (size_t i = 0; i < FLO_COUNT(forms); i++) {
        const struct form *form = &forms[i];
        size_t keys = form->second == NULL ? 1 : 2;
        if (json_object_get(object, form->key) != NULL &&
            (form->second == NULL || json_object_get(object, form->second) != NULL) &&
            json_object_size(object) == keys) {
            return form;
        }
    }
    return NULL;
}

static int read_match(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    const struct form *form = form_of(object);
    json_t *list;
    double gap;
    if (form == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "no known matcher (docs/reference/golden.md)");
    }
    if (form->read != NULL) {
        return form->read(object, match_add(out, form->kind), err);
    }
    FLO_TRY(flo_json_get_array(object, "tokens", FLO_GOLDEN_TOKENS_MAX, &list, err));
    FLO_TRY(flo_json_get_real(object, "min_logit_gap", 0, 1e9, &gap, err));
    if (gap < FLO_GOLDEN_EXACT_GAP) {
        return flo_fail(err, FLO_E_META_SCHEMA, "ids are compared from a `min_logit_gap` of 1");
    }
    return add_tokens(list, gap, out, err);
}

static int read_expect(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    json_t *list, *value;
    size_t i;
    int rv = flo_json_get_array(object, "expect", FLO_GOLDEN_EXPECT_MAX, &list, err);
    if (rv == 0 && json_array_size(list) == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "field `expect` is empty");
    }
    for (i = 0; rv == 0 && i < json_array_size(list); i++) {
        value = json_array_get(list, i);
        rv = read_match(value, out, err);
        if (rv < 0) {
            rv = flo_wrap(err, rv, "expect[%zu]", i);
        }
    }
    return rv;
}

static int read_messages(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    json_t *list, *value;
    size_t i, bytes = 0;
    int rv = flo_json_get_array(object, "messages", FLO_GOLDEN_MESSAGES_MAX, &list, err);
    if (rv == 0 && json_array_size(list) == 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA, "field `messages` is empty");
    }
    FLO_TRY(rv);
    out->messages = calloc(json_array_size(list), sizeof(*out->messages));
    if (out->messages == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden messages");
    }
    for (i = 0; rv == 0 && i < json_array_size(list); i++) {
        struct flo_golden_message *message = &out->messages[out->n_messages];
        value = json_array_get(list, i);
        rv = flo_json_get_text(value, "role", 31, &message->role, err);
        rv = rv == 0 ? flo_json_get_text(value, "content", PROMPT_BYTES_MAX - bytes,
                                         &message->content, err)
                     : rv;
        if (rv < 0) {
            return flo_wrap(err, rv, "messages[%zu]", i);
        }
        bytes += strlen(message->content);
        out->n_messages++;
    }
    return 0;
}

/* Reads the request of a case, which has exactly one of these keys. */
static int read_input(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    static const struct {
        const char *key;
        enum flo_golden_input input;
    } inputs[] = {{"prompt", FLO_GOLDEN_PROMPT},     {"raw_prompt", FLO_GOLDEN_RAW},
                  {"messages", FLO_GOLDEN_MESSAGES}, {"text", FLO_GOLDEN_TEXT},
                  {"audio", FLO_GOLDEN_AUDIO},       {"file", FLO_GOLDEN_FILE}};
    const char *found = NULL;
    for (size_t i = 0; i < FLO_COUNT(inputs); i++) {
        if (json_object_get(object, inputs[i].key) == NULL) {
            continue;
        }
        if (found != NULL) {
            return flo_fail(err, FLO_E_META_SCHEMA, "has `%s` and `%s`, one of them is asked",
                            found, inputs[i].key);
        }
        found = inputs[i].key;
        out->input = inputs[i].input;
    }
    if (found == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "asks nothing: no prompt, messages, text, audio or file");
    }
    return out->input == FLO_GOLDEN_MESSAGES
               ? read_messages(object, out, err)
               : flo_json_get_text(object, found, PROMPT_BYTES_MAX, &out->prompt, err);
}

static int read_case_2(const json_t *object, struct flo_golden_case *out, struct flo_err *err)
{
    FLO_TRY(read_input(object, out, err));
    FLO_TRY(flo_json_opt_bool(object, "trim", true, &out->trims, err));
    return read_expect(object, out, err);
}

/* ---- documents ---- */

/* Returns the complete answer that is expected: in format 1 the publisher's
 * record, in format 2 the exact text that is required. */
static const char *answer_of(const json_t *object, const struct flo_golden_case *out)
{
    const json_t *noted = json_object_get(object, "expect_text");

    for (uint32_t i = 0; i < out->n_expect; i++) {
        if (out->expect[i].kind == FLO_GOLDEN_IS) {
            return out->expect[i].text;
        }
    }
    return json_string_length(noted) <= FLO_GOLDEN_MATCH_BYTES_MAX ? json_string_value(noted)
                                                                   : NULL;
}

static int read_case(const json_t *object, bool is_2, struct flo_golden_case *out,
                     struct flo_err *err)
{
    uint64_t tokens_max = 1;
    FLO_TRY(flo_json_get_text(object, "id", 63, &out->id, err));
    int rv = is_2 ? read_case_2(object, out, err) : read_case_1(object, out, err);
    if (rv == 0 && out->input < FLO_GOLDEN_TEXT) {
        rv = flo_json_get_u64(object, "max_new_tokens", 1, FLO_GOLDEN_TOKENS_MAX, &tokens_max, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "case %s", out->id);
    }
    out->prompt_bytes = out->prompt != NULL ? strlen(out->prompt) : 0;
    out->answer = answer_of(object, out);
    out->tokens_max = (uint32_t)tokens_max;
    return 0;
}

int flo_golden_read(const char *text, size_t bytes, struct flo_golden *golden, struct flo_err *err)
{
    const char *format = "";
    json_t *json = NULL, *cases;
    size_t i;
    memset(golden, 0, sizeof(*golden));
    int rv = flo_json_parse(text, bytes, FLO_GOLDEN_BYTES_MAX, &json, err);
    golden->document = json;
    rv = rv == 0 ? flo_json_get_text(json, "format", 32, &format, err) : rv;
    bool is_2 = strcmp(format, "flotilla-golden-2") == 0;
    if (rv == 0 && !is_2 && strcmp(format, "flotilla-golden-1") != 0) {
        rv = flo_fail(err, FLO_E_META_SCHEMA,
                      "golden cases in format %.32s, flotilla-golden-1 and "
                      "flotilla-golden-2 are known",
                      format);
    }
    rv = rv == 0 ? flo_json_get_array(json, "cases", FLO_GOLDEN_CASES_MAX, &cases, err) : rv;
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
        golden->n_cases++;
        rv = read_case(json_array_get(cases, i), is_2, &golden->cases[i], err);
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
        struct flo_golden_case *c = &golden->cases[i];
        for (uint32_t k = 0; k < c->n_expect; k++) {
            free(c->expect[k].tokens);
            free(c->expect[k].vector);
        }
        free(c->messages);
        free(c->audio);
    }
    free(golden->cases);
    json_decref(golden->document);
    memset(golden, 0, sizeof(*golden));
}

int flo_golden_set_audio(struct flo_golden_case *golden_case, const void *data, size_t bytes,
                         struct flo_err *err)
{
    if (bytes > FLO_GOLDEN_AUDIO_MAX || !flo_wav_is(data, bytes)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%s is no WAV file of at most %d bytes",
                        golden_case->prompt, FLO_GOLDEN_AUDIO_MAX);
    }
    free(golden_case->audio);
    golden_case->audio = malloc(bytes);
    if (golden_case->audio == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden audio");
    }
    memcpy(golden_case->audio, data, bytes);
    golden_case->audio_bytes = bytes;
    return 0;
}

int flo_golden_join(struct flo_golden *golden, struct flo_golden *more, struct flo_err *err)
{
    size_t n_cases = (size_t)golden->n_cases + more->n_cases;
    json_t *documents = json_pack("[O,O]", golden->document, more->document);
    struct flo_golden_case *cases =
        documents == NULL ? NULL : realloc(golden->cases, n_cases * sizeof(*golden->cases));

    if (cases == NULL) {
        json_decref(documents);
        flo_golden_deinit(more);
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden cases");
    }
    memcpy(cases + golden->n_cases, more->cases, more->n_cases * sizeof(*cases));
    json_decref(golden->document);
    json_decref(more->document);
    free(more->cases);
    *golden =
        (struct flo_golden){.document = documents, .n_cases = (uint32_t)n_cases, .cases = cases};
    memset(more, 0, sizeof(*more));
    return 0;
}
