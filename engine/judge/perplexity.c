/* flotilla-model perplexity: how well a model foretells a text.
 *
 * The text is cut into chunks of --ctx tokens that do not overlap; what is
 * left after the last is not used.  In each the second half is scored, so
 * that every scored token has seen half a chunk at least; where the model
 * begins texts with a token of its own, that stands in place of a chunk's
 * first.  The result is e to the mean negative log-likelihood; its standard
 * error comes from how the chunks' means differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/commands.h"
#include "engine/tools/common.h"

#define TEXT_BYTES_MAX (1u << 30)
#define CONTEXT_DEFAULT 512
#define METHOD                                                                 \
    "chunks of ctx tokens without overlap, the second half of each scored, "   \
    "standard error over chunks"

struct perplexity {
    struct flo_tool tool;
    const char *text;
    struct flo_tool_model model;
    int32_t *tokens;
    size_t count;
    int32_t begin; /* the model's first token of a text, or -1 */
    uint32_t n_vocab;
    /* of the chunk */
    const int32_t *chunk;
    double sum;
    /* of all: sums of the chunks' means and of their squares */
    uint64_t chunks, scored, nonfinite;
    double means, squares;
};

/* ---- tokens ---- */

/* Ids with blanks, commas or line ends between. */
static int read_ids(struct perplexity *p, const char *text, struct flo_err *err)
{
    static const char between[] = " ,\t\r\n";

    for (const char *at = text + strspn(text, between); *at != '\0';
         at += strspn(at, between)) {
        char *end;
        unsigned long id = strtoul(at, &end, 10);

        if (*at < '0' || *at > '9' || id > INT32_MAX ||
            strchr(between, *end) == NULL) {
            return flo_fail(err, FLO_E_USAGE, "%s: id %zu is no token id",
                            p->tool.tokens, p->count + 1);
        }
        if (id >= p->n_vocab) { /* a last one is foretold, not computed */
            return flo_fail(err, FLO_E_USAGE,
                            "%s: id %zu is %lu, the model has %u tokens",
                            p->tool.tokens, p->count + 1, id, p->n_vocab);
        }
        p->tokens[p->count++] = (int32_t)id;
        at = end;
    }
    return 0;
}

static int read_tokens(struct perplexity *p, struct flo_err *err)
{
    bool has_text = p->text != NULL;
    size_t bytes;
    char *text = NULL;
    int rv;

    if (has_text == (p->tool.tokens != NULL)) {
        return flo_fail(err, FLO_E_USAGE,
                        "one of --text and --tokens is needed");
    }
    rv = flo_file_read(has_text ? p->text : p->tool.tokens, TEXT_BYTES_MAX,
                       &text, &bytes, err);
    if (rv < 0) {
        return rv;
    }
    p->tokens = malloc((bytes + 8) * sizeof(*p->tokens));
    if (p->tokens == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "the tokens of %zu bytes", bytes);
    } else if (has_text) {
        rv = flo_engine_tokenise(p->model.text, text, bytes, 0, p->tokens,
                                 bytes + 8, &p->count, err);
    } else {
        rv = read_ids(p, text, err);
    }
    free(text);
    return rv;
}

/* Tokens before a text's own first token when the text is read as a prompt. */
static void find_begin(struct perplexity *p)
{
    int32_t plain[8], read[8];
    size_t n_plain, n_read;

    p->begin = -1;
    if (p->text != NULL &&
        flo_engine_tokenise(p->model.text, "a", 1, 0, plain, 8, &n_plain,
                            NULL) == 0 &&
        flo_engine_tokenise(p->model.text, "a", 1, FLO_TEXT_ENDS, read, 8,
                            &n_read, NULL) == 0 &&
        n_read > n_plain && read[0] != plain[0]) {
        p->begin = read[0];
    }
}

/* ---- scoring ---- */

static int score(void *context, uint32_t position, const float *logits)
{
    struct perplexity *p = context;
    double nll = flo_tool_log_sum(logits, p->n_vocab, NULL) -
                 (double)logits[p->chunk[position + 1]];

    p->nonfinite += isfinite(nll) ? 0 : 1;
    p->sum += nll;
    return 0;
}

/* The token at `half` is foretold by the one before it. */
static int score_chunk(struct perplexity *p, int32_t *chunk, uint32_t length,
                       struct flo_err *err)
{
    const struct flo_backend *b = p->model.backend;
    uint32_t half = length / 2, done = half < 2 ? 0 : half - 1;
    int32_t first = chunk[0];
    int rv = 0;

    p->chunk = chunk;
    p->sum = 0;
    chunk[0] = p->begin >= 0 ? p->begin : first;
    b->reset(p->model.state, 0);
    if (done > 0) {
        rv = b->prefill(p->model.state, chunk, done, NULL, NULL, err);
    }
    if (rv == 0) {
        rv = b->prefill(p->model.state, chunk + done, length - 1 - done, score,
                        p, err);
    }
    chunk[0] = first;
    double mean = p->sum / (length - half);
    p->means += mean;
    p->squares += mean * mean;
    p->scored += length - half;
    p->chunks++;
    return rv;
}

/* ---- result ---- */

static int print_result(const struct perplexity *p, uint32_t length,
                        struct flo_err *err)
{
    double n = (double)p->chunks, nll = p->means / n, perplexity = exp(nll);
    double spread = n < 2 ? 0 : (p->squares - n * nll * nll) / (n - 1);
    double nll_error = sqrt(spread > 0 ? spread / n : 0);

    if (p->nonfinite > 0) {
        return flo_fail(err, FLO_E_MODEL_NONFINITE,
                        "%llu of %llu tokens have a probability that is not "
                        "finite",
                        (unsigned long long)p->nonfinite,
                        (unsigned long long)p->scored);
    }
    if (!p->tool.args.is_json) {
        printf("perplexity %.4f +/- %.4f\n", perplexity,
               perplexity * nll_error);
        printf("nll        %.6f +/- %.6f per token\n", nll, nll_error);
        printf("tokens     %llu scored of %zu, %llu chunks of %u\n",
               (unsigned long long)p->scored, p->count,
               (unsigned long long)p->chunks, length);
        puts("method     " METHOD);
        return 0;
    }
    printf("{\"perplexity\":%.6f,\"nll\":%.8f,", perplexity, nll);
    if (p->chunks > 1) {
        printf("\"perplexity_error\":%.6f,\"nll_error\":%.8f,",
               perplexity * nll_error, nll_error);
    } else {
        printf("\"perplexity_error\":null,\"nll_error\":null,");
    }
    printf("\"tokens\":%zu,\"tokens_scored\":%llu,\"chunks\":%llu,"
           "\"ctx\":%u,\"kernel\":\"%s\",\"method\":\"" METHOD "\"}\n",
           p->count, (unsigned long long)p->scored,
           (unsigned long long)p->chunks, length, p->model.info->kernel);
    return 0;
}

static int perplexity(void *context, struct flo_err *err)
{
    struct perplexity *p = context;
    bool is_chosen = p->tool.context != 0;
    uint64_t started_us;
    uint32_t length;
    size_t chunks;
    int rv = flo_tool_open(
        &p->tool, p->text == NULL ? FLO_VOCABULARY_NONE : FLO_VOCABULARY_NEEDED,
        &p->model, err);

    if (rv < 0) {
        return rv;
    }
    p->n_vocab = p->model.info->n_vocab;
    if ((rv = read_tokens(p, err)) < 0) {
        return rv;
    }
    length = p->model.info->context;
    if (!is_chosen) {
        length = length < CONTEXT_DEFAULT ? length : CONTEXT_DEFAULT;
        length = p->count < length ? (uint32_t)p->count : length;
    }
    if (p->count < length || length < 2) {
        return flo_fail(err, FLO_E_USAGE,
                        "the text has %zu tokens, a chunk needs %u", p->count,
                        length < 2 ? 2 : length);
    }
    find_begin(p);
    chunks = p->count / length;
    started_us = flo_now_us();
    for (size_t i = 0; rv == 0 && i < chunks; i++) {
        rv = score_chunk(p, p->tokens + i * length, length, err);
        flo_tool_progress("chunk", i + 1, chunks, started_us);
    }
    return rv < 0 ? rv : print_result(p, length, err);
}

static struct perplexity state = {.begin = -1};
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
};
