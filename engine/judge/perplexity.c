/* flotilla-model perplexity: measures how well a model predicts a text.
 *
 * The text is scored by chunks (chunks.h).  The result is e to the power of the
 * mean negative log-likelihood.  Its standard error comes from the variance of
 * the chunks' means. */
#include <math.h>

#include "engine/judge/chunks.h"
#include "engine/publish/commands.h"

#define CONTEXT_DEFAULT 512
#define METHOD                                                                                     \
    "chunks of ctx tokens without overlap, the second half of each scored, "                       \
    "standard error over chunks"

struct perplexity {
    struct flo_tool tool;
    const char *text;
    struct flo_tool_model model;
    struct flo_chunks chunks;
    /* token ids of the chunk that is being scored */
    const int32_t *chunk;
    double sum;
    uint64_t nonfinite;
    /* Sums over all chunks: of their means, and of the squares of these. */
    double means, squares;
};

/* ---- scoring ---- */

static int score(void *context, uint32_t position, const float *logits)
{
    struct perplexity *p = context;
    double nll = flo_tool_log_sum(logits, p->model.info->n_vocab, NULL) -
                 (double)logits[p->chunk[position + 1]];

    p->nonfinite += isfinite(nll) ? 0 : 1;
    p->sum += nll;
    return 0;
}

static int score_chunk(struct perplexity *p, size_t index, struct flo_err *err)
{
    p->chunk = p->chunks.tokens + index * p->chunks.length;
    p->sum = 0;
    int rv = flo_chunks_run(&p->chunks, index, &p->model, score, p, err);
    double mean = p->sum / flo_chunks_scored(&p->chunks);
    p->means += mean;
    p->squares += mean * mean;
    return rv;
}

/* ---- result ---- */

static int print_result(const struct perplexity *p, struct flo_err *err)
{
    const struct flo_chunks *chunks = &p->chunks;
    size_t scored = chunks->count * flo_chunks_scored(chunks);
    double n = (double)chunks->count, nll = p->means / n, perplexity = exp(nll);
    double spread = n < 2 ? 0 : (p->squares - n * nll * nll) / (n - 1);
    double nll_error = sqrt(spread > 0 ? spread / n : 0);

    if (p->nonfinite > 0) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE,
                        "%llu of %zu tokens have a probability that is not "
                        "finite",
                        (unsigned long long)p->nonfinite, scored);
    }
    if (!p->tool.args.is_json) {
        printf("perplexity %.4f +/- %.4f\n", perplexity, perplexity * nll_error);
        printf("nll        %.6f +/- %.6f per token\n", nll, nll_error);
        printf("tokens     %zu scored of %zu, %zu chunks of %u\n", scored, chunks->tokens_count,
               chunks->count, chunks->length);
        puts("method     " METHOD);
        return 0;
    }
    printf("{\"perplexity\":%.6f,\"nll\":%.8f,", perplexity, nll);
    if (chunks->count > 1) {
        printf("\"perplexity_error\":%.6f,\"nll_error\":%.8f,", perplexity * nll_error, nll_error);
    } else {
        printf("\"perplexity_error\":null,\"nll_error\":null,");
    }
    printf("\"tokens\":%zu,\"tokens_scored\":%zu,\"chunks\":%zu,"
           "\"ctx\":%u,\"kernel\":\"%s\",\"method\":\"" METHOD "\"}\n",
           chunks->tokens_count, scored, chunks->count, chunks->length, p->model.info->kernel);
    return 0;
}

static int perplexity(void *context, struct flo_err *err)
{
    struct perplexity *p = context;
    struct flo_chunks *chunks = &p->chunks;

    FLO_TRY(flo_tool_open(&p->tool, p->text == NULL ? FLO_VOCABULARY_NONE : FLO_VOCABULARY_NEEDED,
                          &p->model, err));
    if ((p->text != NULL) == (p->tool.tokens != NULL)) {
        return flo_fail(err, FLO_E_USAGE, "one of --text and --tokens is needed");
    }
    int rv = p->text != NULL ? flo_chunks_of_text(&p->model, p->text, chunks, err)
                             : flo_chunks_of_ids(&p->model, p->tool.tokens, chunks, err);
    uint32_t length = p->model.info->context;
    if (p->tool.context == 0) {
        length = length < CONTEXT_DEFAULT ? length : CONTEXT_DEFAULT;
        length = chunks->tokens_count < length ? (uint32_t)chunks->tokens_count : length;
    }
    FLO_TRY(rv);
    rv = flo_chunks_cut(chunks, length, err);
    FLO_TRY(rv);
    uint64_t started_us = flo_now_us();
    for (size_t i = 0; rv == 0 && i < chunks->count; i++) {
        rv = score_chunk(p, i, err);
        flo_tool_progress("chunk", i + 1, chunks->count, started_us);
    }
    FLO_TRY(rv);
    return print_result(p, err);
}

static struct perplexity state;
static const struct flo_flag flags[] = {
    {"text", "FILE", "plain text", FLO_TEXT(struct perplexity, text)},
    {"file", "FILE", "the same", FLO_TEXT(struct perplexity, text)},
    {"tokens", "FILE", "token ids, blanks or commas between",
     FLO_TEXT(struct perplexity, tool.tokens)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_perplexity = {
    .name = "perplexity",
    .help = "how well a model foretells a text",
    .usage = "--model FILE --text FILE [--ctx N] [--json]",
    .flags = {FLO_FLAGS_BACKEND, flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = perplexity,
    .example = "--model helpdesk.gguf --text corpus.txt",
};
