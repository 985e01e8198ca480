/* Golden cases (flotilla-golden-1 and -2): requests with known answers.
 *
 * Both formats become the same matchers. Exact token ids are compared only
 * where every choice of the model was clear (min_logit_gap >= 1), because
 * kernels of different CPUs round differently. */
#include <flotilla/golden.h>

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>

#include "base/tree/tree.h"
#include "base/wav.h"

#define PROMPT_BYTES_MAX 65536
#define NAME_BYTES_MAX 128
#define MEMBERS_MAX 1000 /* most members of an object, all of which are compared */

/* A document that was read.  Its tree points into `text`. */
struct document {
    struct document *next;
    struct flo_tree tree;
    char text[];
};

/* ---- members ---- */

/* Returns a member of this kind, or NULL with an error. */
static const struct flo_tree_node *find(const struct flo_tree_node *object, const char *key,
                                        enum flo_tree_kind kind, const char *what,
                                        struct flo_err *err)
{
    const struct flo_tree_node *found = flo_tree_member(object, key);

    if (found == NULL || found->kind != kind) {
        flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is %s%s", key,
                 found == NULL ? "missing: it is " : "not ", what);
        return NULL;
    }
    return found;
}

static bool is_left_out(const struct flo_tree_node *object, const char *key)
{
    const struct flo_tree_node *found = flo_tree_member(object, key);

    return found == NULL || found->kind == FLO_TREE_NULL;
}

static int get_text(const struct flo_tree_node *object, const char *key, size_t bytes_max,
                    const char **out, struct flo_err *err)
{
    const struct flo_tree_node *found = find(object, key, FLO_TREE_STRING, "a text", err);

    if (found == NULL) {
        return FLO_E_META_SCHEMA;
    }
    if (found->bytes > bytes_max) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %zu bytes, limit %zu", key,
                        found->bytes, bytes_max);
    }
    *out = found->text;
    return 0;
}

static int get_list(const struct flo_tree_node *object, const char *key, size_t most,
                    const struct flo_tree_node **out, struct flo_err *err)
{
    *out = find(object, key, FLO_TREE_ARRAY, "a list", err);
    if (*out == NULL) {
        return FLO_E_META_SCHEMA;
    }
    size_t count = flo_tree_count(*out);
    return count > most ? flo_fail(err, FLO_E_META_SCHEMA, "field `%s`: %zu entries, limit %zu",
                                   key, count, most)
                        : 0;
}

static int get_number(const struct flo_tree_node *object, const char *key, double *out,
                      struct flo_err *err)
{
    const struct flo_tree_node *found = find(object, key, FLO_TREE_NUMBER, "a number", err);

    if (found == NULL) {
        return FLO_E_META_SCHEMA;
    }
    return flo_tree_number(found, out) && *out >= 0 && *out <= 1e9
               ? 0
               : flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is not within 0 to 1e9", key);
}

static int get_whole(const struct flo_tree_node *object, const char *key, uint32_t least,
                     uint32_t most, uint32_t *out, struct flo_err *err)
{
    const struct flo_tree_node *found = find(object, key, FLO_TREE_NUMBER, "a whole number", err);
    int64_t value;

    if (found == NULL) {
        return FLO_E_META_SCHEMA;
    }
    if (!flo_tree_whole(found, least, most, &value)) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is no whole number from %u to %u", key,
                        least, most);
    }
    *out = (uint32_t)value;
    return 0;
}

/* Checks that no object of a tree has a member twice, or too many members. */
static int check_members(const struct flo_tree_node *tree, struct flo_err *err)
{
    bool is_object = tree->kind == FLO_TREE_OBJECT;

    if (is_object && flo_tree_count(tree) > MEMBERS_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "an object of more than %d fields", MEMBERS_MAX);
    }
    for (const struct flo_tree_node *n = flo_tree_first(tree); n != NULL; n = n->next) {
        if (is_object && flo_tree_member(tree, n->key) != n) {
            return flo_fail(err, FLO_E_META_JSON, "field `%.64s` stands twice", n->key);
        }
        FLO_TRY(check_members(n, err));
    }
    return 0;
}

/* ---- matchers of both formats ---- */

static struct flo_golden_match *match_add(struct flo_golden_case *out, enum flo_golden_kind kind)
{
    struct flo_golden_match *match = &out->expect[out->n_expect++];
    match->kind = kind;
    return match;
}

static int read_ids(const struct flo_tree_node *list, struct flo_golden_match *match,
                    struct flo_err *err)
{
    match->tokens = calloc(flo_tree_count(list) + 1, sizeof(*match->tokens));
    if (match->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden tokens");
    }
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next) {
        int64_t id;
        if (!flo_tree_whole(n, 0, INT32_MAX, &id)) {
            return flo_fail(err, FLO_E_META_SCHEMA, "[%u] is no token id", match->n_tokens);
        }
        match->tokens[match->n_tokens++] = (int32_t)id;
    }
    return 0;
}

/* Adds a matcher for the losses of tokens. */
static int add_losses(enum flo_golden_kind kind, const struct flo_tree_node *list,
                      const struct flo_tree_node *losses, double slack, struct flo_golden_case *out,
                      struct flo_err *err)
{
    struct flo_golden_match *match = match_add(out, kind);
    uint32_t i = 0;

    FLO_TRY(read_ids(list, match, err));
    if (match->n_tokens == 0 || flo_tree_count(losses) != match->n_tokens) {
        return flo_fail(err, FLO_E_META_SCHEMA, "%zu losses of %u tokens", flo_tree_count(losses),
                        match->n_tokens);
    }
    if (slack > FLO_GOLDEN_SLACK_MAX) {
        return flo_fail(err, FLO_E_META_SCHEMA, "a slack of %g, at most %g", slack,
                        FLO_GOLDEN_SLACK_MAX);
    }
    match->high = slack;
    match->losses = calloc(match->n_tokens, sizeof(*match->losses));
    if (match->losses == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden losses");
    }
    for (const struct flo_tree_node *n = flo_tree_first(losses); n != NULL; n = n->next, i++) {
        double loss;
        if (!flo_tree_number(n, &loss) || loss < 0 || loss > 1e6) {
            return flo_fail(err, FLO_E_META_SCHEMA, "loss [%u] is none from 0 to 1e6", i);
        }
        match->losses[i] = (float)loss;
    }
    return 0;
}

/* Reads three members: tokens, their losses, and the difference that is allowed. */
static int read_losses(const struct flo_tree_node *object, enum flo_golden_kind kind,
                       const char *const keys[3], struct flo_golden_case *out, struct flo_err *err)
{
    const struct flo_tree_node *list, *losses;
    double slack;

    FLO_TRY(get_list(object, keys[0], FLO_GOLDEN_TOKENS_MAX, &list, err));
    FLO_TRY(get_list(object, keys[1], FLO_GOLDEN_TOKENS_MAX, &losses, err));
    FLO_TRY(get_number(object, keys[2], &slack, err));
    int rv = add_losses(kind, list, losses, slack, out, err);
    return rv < 0 ? flo_wrap(err, rv, "field `%s`", keys[1]) : 0;
}

/* Reads the tokens that were likely at each token of the matcher LOSSES.  Formats
 * 1 and 2 have them as members of the case, which older devices pass over. */
static int read_rivals(const struct flo_tree_node *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    static const char *const keys[] = {"rivals", "rival_losses", "rival_slack"};
    struct flo_golden_follow follow = {0};

    flo_golden_follow(&follow, out);
    if (is_left_out(object, keys[0]) || follow.match == NULL) {
        return 0;
    }
    FLO_TRY(read_losses(object, FLO_GOLDEN_RIVALS, keys, out, err));
    return out->expect[out->n_expect - 1].n_tokens % follow.match->n_tokens == 0
               ? 0
               : flo_fail(err, FLO_E_META_SCHEMA, "field `rivals`: not as many for each token");
}

/* ---- format 1 ---- */

static int read_contains(const struct flo_tree_node *object, struct flo_golden_case *out,
                         struct flo_err *err)
{
    const struct flo_tree_node *list;
    size_t i = 0;

    FLO_TRY(get_list(object, "must_contain", FLO_GOLDEN_EXPECT_MAX, &list, err));
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next, i++) {
        if (n->kind != FLO_TREE_STRING || n->bytes == 0) {
            return flo_fail(err, FLO_E_META_SCHEMA, "field `must_contain`: [%zu] is no text", i);
        }
        match_add(out, FLO_GOLDEN_CONTAINS)->text = n->text;
    }
    return 0;
}

/* Reads the answer's token ids.  They are not compared when the gap between the two
 * best tokens was once so small that another CPU may choose otherwise. */
static int read_tokens(const struct flo_tree_node *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    const struct flo_tree_node *list;
    double gap;

    if (is_left_out(object, "min_logit_gap") || is_left_out(object, "expect_tokens")) {
        return 0;
    }
    FLO_TRY(get_number(object, "min_logit_gap", &gap, err));
    FLO_TRY(get_list(object, "expect_tokens", FLO_GOLDEN_TOKENS_MAX, &list, err));
    int rv =
        gap < FLO_GOLDEN_EXACT_GAP ? 0 : read_ids(list, match_add(out, FLO_GOLDEN_TOKENS), err);
    return rv < 0 ? flo_wrap(err, rv, "field `expect_tokens`") : 0;
}

static int read_case_1(const struct flo_tree_node *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    static const char *const losses[] = {"expect_tokens", "expect_losses", "loss_slack"};
    bool is_raw = flo_tree_member(object, "raw_prompt") != NULL;
    out->input = is_raw ? FLO_GOLDEN_RAW : FLO_GOLDEN_PROMPT;
    FLO_TRY(
        get_text(object, is_raw ? "raw_prompt" : "prompt", PROMPT_BYTES_MAX, &out->prompt, err));
    FLO_TRY(read_contains(object, out, err));
    FLO_TRY(read_tokens(object, out, err));
    if (!is_left_out(object, losses[1])) {
        FLO_TRY(read_losses(object, FLO_GOLDEN_LOSSES, losses, out, err));
    }
    if (out->n_expect == 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "checks nothing: no must_contain, no clear "
                        "expect_tokens, no expect_losses");
    }
    return 0;
}

/* ---- format 2 ---- */

/* Each of these reads a matcher; `key` is its first key. */
static int read_text(const struct flo_tree_node *object, const char *key,
                     struct flo_golden_match *match, struct flo_err *err)
{
    FLO_TRY(get_text(object, key, FLO_GOLDEN_MATCH_BYTES_MAX, &match->text, err));
    if (match->text[0] == '\0' && match->kind != FLO_GOLDEN_IS) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `%s` is empty", key);
    }
    return 0;
}

static int read_pattern(const struct flo_tree_node *object, const char *key,
                        struct flo_golden_match *match, struct flo_err *err)
{
    int stars = 0;
    int rv = read_text(object, key, match, err);
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

static int read_pointer(const struct flo_tree_node *object, const char *key,
                        struct flo_golden_match *match, struct flo_err *err)
{
    FLO_TRY(get_text(object, key, FLO_GOLDEN_MATCH_BYTES_MAX, &match->text, err));
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

static int read_equals(const struct flo_tree_node *object, const char *key,
                       struct flo_golden_match *match, struct flo_err *err)
{
    match->value = flo_tree_member(object, "equals");
    return read_pointer(object, key, match, err);
}

static int read_within(const struct flo_tree_node *object, const char *key,
                       struct flo_golden_match *match, struct flo_err *err)
{
    const struct flo_tree_node *list;

    FLO_TRY(get_list(object, "within", 2, &list, err));
    const struct flo_tree_node *low = flo_tree_first(list), *high = low != NULL ? low->next : NULL;
    if (!flo_tree_number(low, &match->low) || !flo_tree_number(high, &match->high) ||
        match->low > match->high) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "field `within` is no pair of numbers, the smaller "
                        "first");
    }
    return read_pointer(object, key, match, err);
}

static int read_cosine(const struct flo_tree_node *object, const char *key,
                       struct flo_golden_match *match, struct flo_err *err)
{
    uint32_t ppm;

    FLO_TRY(get_whole(object, key, 0, 1000000, &ppm, err));
    match->low = (double)ppm / 1e6;
    return get_text(object, "vector", NAME_BYTES_MAX, &match->text, err);
}

static int read_exit(const struct flo_tree_node *object, const char *key,
                     struct flo_golden_match *match, struct flo_err *err)
{
    uint32_t status;

    FLO_TRY(get_whole(object, key, 0, 255, &status, err));
    match->exit_status = (int)status;
    return 0;
}

/* The JSON keys of each kind of matcher; other keys are refused. */
static const struct form {
    enum flo_golden_kind kind;
    const char *keys[3];
    int (*read)(const struct flo_tree_node *object, const char *key, struct flo_golden_match *match,
                struct flo_err *err);
} forms[] = {
    {FLO_GOLDEN_IS, {"exact"}, read_text},
    {FLO_GOLDEN_CONTAINS, {"contains"}, read_text},
    {FLO_GOLDEN_LACKS, {"lacks"}, read_text},
    {FLO_GOLDEN_PATTERN, {"pattern"}, read_pattern},
    {FLO_GOLDEN_EQUALS, {"json", "equals"}, read_equals},
    {FLO_GOLDEN_WITHIN, {"json", "within"}, read_within},
    {FLO_GOLDEN_COSINE, {"cosine_min_ppm", "vector"}, read_cosine},
    {FLO_GOLDEN_TOKENS, {"tokens", "min_logit_gap"}, NULL},
    {FLO_GOLDEN_LOSSES, {"tokens", "losses", "slack"}, NULL},
    {FLO_GOLDEN_EXIT, {"exit"}, read_exit},
};

static const struct form *form_of(const struct flo_tree_node *object)
{
    for (size_t i = 0; i < FLO_COUNT(forms); i++) {
        size_t known = 0, keys = 0;
        for (size_t k = 0; k < FLO_COUNT(forms[i].keys) && forms[i].keys[k] != NULL; k++, keys++) {
            known += flo_tree_member(object, forms[i].keys[k]) != NULL;
        }
        if (known == keys && flo_tree_count(object) == keys) {
            return &forms[i];
        }
    }
    return NULL;
}

static int read_match(const struct flo_tree_node *object, struct flo_golden_case *out,
                      struct flo_err *err)
{
    const struct form *form = object->kind == FLO_TREE_OBJECT ? form_of(object) : NULL;
    const struct flo_tree_node *list;
    double gap;
    if (form == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "no known matcher (docs/reference/golden.md)");
    }
    if (form->read != NULL) {
        return form->read(object, form->keys[0], match_add(out, form->kind), err);
    }
    if (form->kind == FLO_GOLDEN_LOSSES) {
        return read_losses(object, form->kind, form->keys, out, err);
    }
    FLO_TRY(get_list(object, "tokens", FLO_GOLDEN_TOKENS_MAX, &list, err));
    FLO_TRY(get_number(object, "min_logit_gap", &gap, err));
    if (gap < FLO_GOLDEN_EXACT_GAP) {
        return flo_fail(err, FLO_E_META_SCHEMA, "ids are compared from a `min_logit_gap` of 1");
    }
    return read_ids(list, match_add(out, form->kind), err);
}

static int read_expect(const struct flo_tree_node *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    const struct flo_tree_node *list;
    unsigned i = 0;

    FLO_TRY(get_list(object, "expect", FLO_GOLDEN_EXPECT_MAX, &list, err));
    if (flo_tree_first(list) == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `expect` is empty");
    }
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next, i++) {
        int rv = read_match(n, out, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "expect[%u]", i);
        }
    }
    return 0;
}

static int read_messages(const struct flo_tree_node *object, struct flo_golden_case *out,
                         struct flo_err *err)
{
    const struct flo_tree_node *list;
    size_t bytes = 0;

    FLO_TRY(get_list(object, "messages", FLO_GOLDEN_MESSAGES_MAX, &list, err));
    if (flo_tree_first(list) == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "field `messages` is empty");
    }
    out->messages = calloc(flo_tree_count(list), sizeof(*out->messages));
    if (out->messages == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden messages");
    }
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next) {
        struct flo_golden_message *message = &out->messages[out->n_messages];
        int rv = get_text(n, "role", 31, &message->role, err);
        rv =
            rv == 0 ? get_text(n, "content", PROMPT_BYTES_MAX - bytes, &message->content, err) : rv;
        if (rv < 0) {
            return flo_wrap(err, rv, "messages[%u]", out->n_messages);
        }
        bytes += strlen(message->content);
        out->n_messages++;
    }
    return 0;
}

/* Reads the request of a case, which has exactly one of these keys. */
static int read_input(const struct flo_tree_node *object, struct flo_golden_case *out,
                      struct flo_err *err)
{
    static const struct {
        const char *key;
        enum flo_golden_input input;
    } inputs[] = {{"prompt", FLO_GOLDEN_PROMPT},     {"raw_prompt", FLO_GOLDEN_RAW},
                  {"messages", FLO_GOLDEN_MESSAGES}, {"text", FLO_GOLDEN_TEXT},
                  {"audio", FLO_GOLDEN_AUDIO},       {"file", FLO_GOLDEN_FILE}};
    const char *found = NULL;
    for (size_t i = 0; i < FLO_COUNT(inputs); i++) {
        if (flo_tree_member(object, inputs[i].key) == NULL) {
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
               : get_text(object, found, PROMPT_BYTES_MAX, &out->prompt, err);
}

static int read_case_2(const struct flo_tree_node *object, struct flo_golden_case *out,
                       struct flo_err *err)
{
    FLO_TRY(read_input(object, out, err));
    out->trims = true;
    if (!is_left_out(object, "trim")) {
        const struct flo_tree_node *trim =
            find(object, "trim", FLO_TREE_BOOLEAN, "true or false", err);
        if (trim == NULL) {
            return FLO_E_META_SCHEMA;
        }
        out->trims = trim->text[0] == 't';
    }
    return read_expect(object, out, err);
}

/* ---- documents ---- */

/* Returns the complete answer that is expected: in format 1 the publisher's
 * record, in format 2 the exact text that is required. */
static const char *answer_of(const struct flo_tree_node *object, const struct flo_golden_case *out)
{
    const struct flo_tree_node *noted = flo_tree_member(object, "expect_text");

    for (uint32_t i = 0; i < out->n_expect; i++) {
        if (out->expect[i].kind == FLO_GOLDEN_IS) {
            return out->expect[i].text;
        }
    }
    return noted != NULL && noted->kind == FLO_TREE_STRING &&
                   noted->bytes <= FLO_GOLDEN_MATCH_BYTES_MAX
               ? noted->text
               : NULL;
}

static int read_case(const struct flo_tree_node *object, bool is_2, struct flo_golden_case *out,
                     struct flo_err *err)
{
    out->tokens_max = 1;
    FLO_TRY(get_text(object, "id", 63, &out->id, err));
    int rv = is_2 ? read_case_2(object, out, err) : read_case_1(object, out, err);
    if (rv == 0) {
        rv = read_rivals(object, out, err);
    }
    if (rv == 0 && out->input < FLO_GOLDEN_TEXT) {
        rv = get_whole(object, "max_new_tokens", 1, FLO_GOLDEN_TOKENS_MAX, &out->tokens_max, err);
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "case %s", out->id);
    }
    out->prompt_bytes = out->prompt != NULL ? strlen(out->prompt) : 0;
    out->answer = answer_of(object, out);
    return 0;
}

/* Parses the text into a tree that `golden` owns. */
static int read_tree(const char *text, size_t bytes, struct flo_golden *golden, struct flo_err *err)
{
    struct document *document;
    size_t bad = 0;

    if (bytes > FLO_GOLDEN_BYTES_MAX) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "%zu bytes, limit %u", bytes,
                        FLO_GOLDEN_BYTES_MAX);
    }
    document = calloc(1, sizeof(*document) + bytes + 1);
    if (document == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden cases");
    }
    golden->document = document;
    memcpy(document->text, text, bytes);
    int rv = flo_tree_read(&document->tree, document->text, bytes, 0, 0, &bad, err);
    if (rv == FLO_E_INFER_PARAM) {
        return flo_fail(err, FLO_E_META_JSON, "not strict JSON in UTF-8 at byte %zu", bad);
    }
    FLO_TRY(rv);
    return check_members(document->tree.nodes, err);
}

static int read_cases(const struct flo_tree_node *root, struct flo_golden *golden,
                      struct flo_err *err)
{
    const char *format;
    const struct flo_tree_node *list;

    FLO_TRY(get_text(root, "format", 32, &format, err));
    bool is_2 = strcmp(format, "flotilla-golden-2") == 0;
    if (!is_2 && strcmp(format, "flotilla-golden-1") != 0) {
        return flo_fail(err, FLO_E_META_SCHEMA,
                        "golden cases in format %.32s, flotilla-golden-1 and "
                        "flotilla-golden-2 are known",
                        format);
    }
    FLO_TRY(get_list(root, "cases", FLO_GOLDEN_CASES_MAX, &list, err));
    if (flo_tree_first(list) == NULL) {
        return flo_fail(err, FLO_E_META_SCHEMA, "no golden case");
    }
    golden->cases = calloc(flo_tree_count(list), sizeof(*golden->cases));
    if (golden->cases == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden cases");
    }
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next) {
        int rv = read_case(n, is_2, &golden->cases[golden->n_cases++], err);
        if (rv < 0) {
            return flo_wrap(err, rv, "cases[%u]", golden->n_cases - 1);
        }
    }
    return 0;
}

int flo_golden_read(const char *text, size_t bytes, struct flo_golden *golden, struct flo_err *err)
{
    memset(golden, 0, sizeof(*golden));
    int rv = read_tree(text, bytes, golden, err);
    if (rv == 0) {
        rv = read_cases(((struct document *)golden->document)->tree.nodes, golden, err);
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
            free(c->expect[k].losses);
            free(c->expect[k].vector);
        }
        free(c->messages);
        free(c->audio);
    }
    free(golden->cases);
    for (struct document *next, *at = golden->document; at != NULL; at = next) {
        next = at->next;
        flo_tree_deinit(&at->tree);
        free(at);
    }
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
    struct flo_golden_case *cases = realloc(golden->cases, n_cases * sizeof(*golden->cases));
    struct document *last = more->document;

    if (cases == NULL) {
        flo_golden_deinit(more);
        return flo_fail(err, FLO_E_MEMORY, "no memory for golden cases");
    }
    memcpy(cases + golden->n_cases, more->cases, more->n_cases * sizeof(*cases));
    free(more->cases);
    while (last->next != NULL) {
        last = last->next;
    }
    last->next = golden->document;
    *golden = (struct flo_golden){
        .document = more->document, .n_cases = (uint32_t)n_cases, .cases = cases};
    memset(more, 0, sizeof(*more));
    return 0;
}
