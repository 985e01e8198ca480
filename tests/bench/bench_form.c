/* The cost of a form: tokens of answers that follow a JSON Schema next to free
 * ones, in turns.
 *
 *     bench_form MODEL SCHEMA.json COUNT THREADS
 *
 * Answers follow each other until COUNT tokens are there; a forced token
 * counts like a chosen one.  One JSON object on stdout: milliseconds per token
 * of both (all of it: decoding, masks, choosing), of choosing alone, and the
 * share of forced tokens.  Medians of five turns. */
#include <stdio.h>
#include <stdlib.h>

#include <flotilla/engine.h>
#include <flotilla/grammar.h>

enum { TURNS = 5, CONTEXT = 2048, SCHEMA_BYTES_MAX = 1 << 16 };

static const char prompt_text[] =
    "A pump in cellar four reports 81 degrees and a falling pressure. "
    "Report it as JSON with severity, code and note.\n";

struct form {
    struct flo_engine *engine;
    struct flo_session *session;
    struct flo_sampler *sampler;
    struct flo_grammar *grammar;
    int32_t prompt[64];
    size_t prompt_count;
    uint32_t count;  /* tokens wanted */
    uint32_t forced; /* of the last run */
    double choosing_ms, first_ms, open_ms;
};

static double now_ms(void)
{
    return (double)flo_now_us() / 1e3;
}

static int begin(struct form *form, struct flo_err *err)
{
    flo_session_truncate(form->session, 0);
    return flo_session_decode(form->session, form->prompt, form->prompt_count, FLO_LOGITS_LAST,
                              err);
}

/* Milliseconds per token. */
static int run_free(struct form *form, double *token_ms, struct flo_err *err)
{
    int rv = begin(form, err);
    double started_ms = now_ms();

    for (uint32_t i = 0; rv == 0 && i < form->count; i++) {
        struct flo_sample sample;

        flo_sampler_sample(form->sampler, flo_session_logits(form->session), &sample);
        rv = flo_session_decode(form->session, &sample.token, 1, FLO_LOGITS_LAST, err);
    }
    *token_ms = (now_ms() - started_ms) / form->count;
    return rv;
}

/* The next tokens of an answer: one chosen unless the answer is whole, and
 * what the grammar forces after it. */
static int next(struct form *form, int32_t *tokens, size_t *count, struct flo_err *err)
{
    double started_ms = now_ms();
    struct flo_sample sample;
    int rv = 0;

    *count = 0;
    if (!flo_grammar_is_done(form->grammar)) {
        rv = flo_grammar_sample(form->grammar, form->sampler, flo_session_logits(form->session),
                                &sample, err);
        tokens[(*count)++] = sample.token;
    }
    if (flo_grammar_is_done(form->grammar) ||
        (rv == 0 && flo_engine_is_end(form->engine, sample.token))) {
        flo_grammar_reset(form->grammar);
    }
    if (rv == 0) {
        size_t forced = flo_grammar_forced(form->grammar, tokens + *count, FLO_GRAMMAR_FORCED_MAX);

        form->forced += (uint32_t)forced;
        *count += forced;
    }
    form->choosing_ms += now_ms() - started_ms;
    return rv;
}

static int run_formed(struct form *form, double *token_ms, struct flo_err *err)
{
    int32_t tokens[FLO_GRAMMAR_FORCED_MAX + 1];
    uint32_t made = 0;
    int rv = begin(form, err);
    double started_ms = now_ms();

    flo_grammar_reset(form->grammar);
    form->forced = 0;
    form->choosing_ms = 0.0;
    while (rv == 0 && made < form->count) {
        size_t count;

        rv = next(form, tokens, &count, err);
        if (rv == 0 && count > 0) {
            rv = flo_session_decode(form->session, tokens, count, FLO_LOGITS_LAST, err);
            made += (uint32_t)count;
        }
    }
    *token_ms = (now_ms() - started_ms) / made;
    form->choosing_ms /= made;
    return rv;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double median(double *values)
{
    qsort(values, TURNS, sizeof(*values), compare);
    return values[TURNS / 2];
}

static int measure(struct form *form, struct flo_err *err)
{
    double free_ms[TURNS], formed_ms[TURNS], choosing_ms[TURNS], ignored;
    int rv = run_formed(form, &ignored, err);

    for (int i = 0; rv == 0 && i < TURNS; i++) {
        rv = run_free(form, &free_ms[i], err);
        if (rv == 0) {
            rv = run_formed(form, &formed_ms[i], err);
        }
        choosing_ms[i] = form->choosing_ms;
    }
    if (rv == 0) {
        printf("{\"free_ms\":%.4f,\"form_ms\":%.4f,\"choosing_ms\":%.4f,"
               "\"forced_share\":%.3f,\"open_ms\":%.2f}\n",
               median(free_ms), median(formed_ms), median(choosing_ms),
               (double)form->forced / form->count, form->open_ms);
    }
    return rv;
}

static int open_all(struct form *form, char **argv, struct flo_err *err)
{
    static char schema[SCHEMA_BYTES_MAX];
    struct flo_engine_options options = {.context = CONTEXT, .vocabulary = FLO_VOCABULARY_NEEDED};
    struct flo_sampling greedy = {0};
    FILE *file = fopen(argv[2], "r");
    size_t bytes = file != NULL ? fread(schema, 1, sizeof(schema), file) : 0;
    int rv;

    if (file != NULL) {
        fclose(file);
    }
    form->count = (uint32_t)strtoul(argv[3], NULL, 10);
    options.threads = (uint32_t)strtoul(argv[4], NULL, 10);
    if (form->count < 1 || form->count > CONTEXT / 2) {
        return flo_fail(err, FLO_E_USAGE, "COUNT is not 1 to %d", CONTEXT / 2);
    }
    if ((rv = flo_engine_open(argv[1], &options, &form->engine, err)) < 0 ||
        (rv = flo_session_open(form->engine, &form->session, err)) < 0 ||
        (rv = flo_sampler_open(form->engine, &greedy, &form->sampler, err)) < 0 ||
        (rv = flo_engine_tokenise(form->engine, prompt_text, sizeof(prompt_text) - 1, 0,
                                  form->prompt, FLO_COUNT(form->prompt), &form->prompt_count,
                                  err)) < 0) {
        return rv;
    }
    form->open_ms = now_ms();
    rv = flo_grammar_open(form->engine, FLO_GRAMMAR_SCHEMA, schema, bytes, &form->grammar, err);
    form->open_ms = now_ms() - form->open_ms;
    return rv;
}

int main(int argc, char **argv)
{
    struct form form = {0};
    struct flo_err err = {0};
    int rv;

    if (argc != 5) {
        fprintf(stderr, "usage: bench_form MODEL SCHEMA.json COUNT THREADS\n");
        return 2;
    }
    rv = open_all(&form, argv, &err);
    if (rv == 0) {
        rv = measure(&form, &err);
    }
    if (rv < 0) {
        fprintf(stderr, "bench_form: %s\n", err.what);
    }
    flo_grammar_close(form.grammar);
    flo_sampler_close(form.sampler);
    flo_session_close(form.session);
    flo_engine_close(form.engine);
    return rv < 0;
}
