/* Table make: makes a table of drafts (table_make.h).
 *
 * Positions of the answers' tokens are sorted by the tokens in front of them,
 * from the last one to the first one.  The positions after one context then
 * stand together, and those after a longer context that ends with it are a part
 * of them.  So one walk over the order meets each context after the shorter ones
 * that it ends with. */
#include "engine/publish/draft/table_make.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { BREAK = -1 }; /* stands in front of each answer, and is no token */

struct flo_draft_maker {
    uint32_t longest, n_vocab, contexts_max;
    struct flo_buf tokens;    /* int32_t: for each answer BREAK, the prompt's end, the answer */
    struct flo_buf positions; /* uint32_t: places of the answers' tokens in `tokens` */
};

int flo_draft_maker_open(uint32_t longest, uint32_t n_vocab, uint32_t contexts_max,
                         struct flo_draft_maker **out, struct flo_err *err)
{
    struct flo_draft_maker *maker = calloc(1, sizeof(*maker));

    assert(longest >= 1 && longest <= FLO_DRAFT_CONTEXT_MAX);
    assert(contexts_max >= 1 && contexts_max <= FLO_DRAFT_CONTEXTS_MAX);
    if (maker == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a table of drafts");
    }
    maker->longest = longest;
    maker->n_vocab = n_vocab;
    maker->contexts_max = contexts_max;
    maker->tokens.bytes_max = maker->positions.bytes_max = 5 * (size_t)FLO_DRAFT_LIST_MAX;
    *out = maker;
    return 0;
}

void flo_draft_maker_close(struct flo_draft_maker *maker)
{
    if (maker != NULL) {
        flo_buf_deinit(&maker->tokens);
        flo_buf_deinit(&maker->positions);
        free(maker);
    }
}

static uint32_t length_of(const struct flo_buf *list)
{
    return (uint32_t)(list->bytes / sizeof(uint32_t));
}

int flo_draft_maker_add(struct flo_draft_maker *maker, const int32_t *tokens, uint32_t n_prompt,
                        uint32_t count, struct flo_err *err)
{
    const int32_t mark = BREAK;
    uint32_t kept = n_prompt < maker->longest ? n_prompt : maker->longest;
    uint32_t from = n_prompt - kept, at = length_of(&maker->tokens) + 1;

    assert(n_prompt <= count);
    if (count - from >= FLO_DRAFT_LIST_MAX - length_of(&maker->tokens)) {
        return flo_fail(err, FLO_E_USAGE, "the answers have more than %u tokens",
                        FLO_DRAFT_LIST_MAX);
    }
    flo_buf_add(&maker->tokens, &mark, sizeof(mark));
    for (uint32_t i = from; i < count; i++, at++) {
        assert((uint32_t)tokens[i] < maker->n_vocab);
        flo_buf_add(&maker->tokens, &tokens[i], sizeof(tokens[i]));
        if (i >= n_prompt) {
            flo_buf_add(&maker->positions, &at, sizeof(at));
        }
    }
    return maker->tokens.failed || maker->positions.failed
               ? flo_fail(err, FLO_E_MEMORY, "%u tokens of answers", at)
               : 0;
}

/* ---- contexts ---- */

/* The token that is likeliest after a context. */
struct likely {
    int32_t token;
    uint16_t share;
};
struct context {
    uint32_t at; /* place behind the context's last token, in the maker's tokens */
    uint32_t length;
    struct likely next;
};
struct build {
    const int32_t *tokens;
    const uint32_t *order; /* [count], sorted positions */
    int32_t *next;         /* [count], room for tokens */
    uint32_t count;
    uint32_t longest;
    uint32_t seen_min; /* least cases of a stored context */
    struct context *contexts;
    uint32_t n_contexts, contexts_max;
    bool is_full; /* there are more contexts than contexts_max */
};

static int by_context(const void *a, const void *b, void *tokens)
{
    const int32_t *x = (const int32_t *)tokens + *(const uint32_t *)a;
    const int32_t *y = (const int32_t *)tokens + *(const uint32_t *)b;

    for (int i = 1; i <= (int)FLO_DRAFT_CONTEXT_MAX; i++) {
        if (x[-i] != y[-i]) {
            return x[-i] < y[-i] ? -1 : 1;
        }
        if (x[-i] == BREAK) {
            break;
        }
    }
    return (*x > *y) - (*x < *y);
}

static int by_token(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

/* Returns the token that is most often at these positions; of equal ones it is
 * the smallest. */
static struct likely likeliest(const struct build *build, uint32_t from, uint32_t end)
{
    uint32_t count = end - from, most = 0;
    struct likely best = {0};

    for (uint32_t i = 0; i < count; i++) {
        build->next[i] = build->tokens[build->order[from + i]];
    }
    qsort(build->next, count, sizeof(*build->next), by_token);
    for (uint32_t i = 0, k; i < count; i = k) {
        for (k = i; k < count && build->next[k] == build->next[i]; k++) {
        }
        if (k - i > most) {
            most = k - i;
            best.token = build->next[i];
        }
    }
    best.share = (uint16_t)(((uint64_t)most * FLO_DRAFT_SHARE_MAX + count / 2) / count);
    return best;
}

/* Tells whether the table guesses alike after a context, if it knows one or the
 * other. */
static bool is_alike(const struct likely *a, const struct likely *b)
{
    bool is_guess = a->share >= FLO_DRAFT_SHARE_SURE;

    return is_guess == (b->share >= FLO_DRAFT_SHARE_SURE) && (!is_guess || a->token == b->token);
}

static void add_context(struct build *build, const struct context *context)
{
    build->is_full = build->n_contexts == build->contexts_max;
    if (!build->is_full) {
        build->contexts[build->n_contexts++] = *context;
    }
}

/* Finds the contexts of `length` tokens among positions that have the last
 * length - 1 tokens in common, and all longer ones.  `shorter` is the answer of
 * the table so far. */
static void find_contexts(struct build *build, uint32_t from, uint32_t end, uint32_t length,
                          struct likely shorter)
{
    for (uint32_t i = from, k; i < end && !build->is_full; i = k) {
        int32_t first = build->tokens[build->order[i] - length];
        for (k = i; k < end && build->tokens[build->order[k] - length] == first; k++) {
        }
        if (first == BREAK || k - i < build->seen_min) {
            continue;
        }
        struct likely answer = shorter;
        const struct context context = {build->order[i], length, likeliest(build, i, k)};
        if (!is_alike(&context.next, &shorter)) {
            add_context(build, &context);
            answer = context.next;
        }
        if (length < build->longest) {
            find_contexts(build, i, k, length + 1, answer);
        }
    }
}

/* ---- the file ---- */

static uint64_t hash_of(const struct build *build, const struct context *context)
{
    uint64_t hash = 0;

    for (uint32_t i = 1; i <= context->length; i++) {
        hash = flo_draft_hash(hash, build->tokens[context->at - i]);
    }
    return hash;
}

/* Puts a context into its slot.  Returns false if that is too far away. */
static bool place(uint8_t *slots, uint32_t last, uint64_t hash, const struct context *context)
{
    for (uint32_t i = 0; i < FLO_DRAFT_PROBES_MAX; i++) {
        uint8_t *slot = slots + (size_t)(((uint32_t)hash + i) & last) * FLO_DRAFT_SLOT_BYTES;
        if (flo_get_u16(slot + 10) == 0) {
            flo_put_u32(slot, (uint32_t)(hash >> 32));
            flo_put_u32(slot + 4, (uint32_t)context->next.token);
            flo_put_u16(slot + 8, context->next.share);
            flo_put_u16(slot + 10, (uint16_t)context->length);
            return true;
        }
    }
    return false;
}

static bool place_all(const struct build *build, uint8_t *slots, uint32_t last)
{
    uint32_t i = 0;

    while (i < build->n_contexts &&
           place(slots, last, hash_of(build, &build->contexts[i]), &build->contexts[i])) {
        i++;
    }
    return i == build->n_contexts;
}

static void put_head(const struct flo_draft_maker *maker, uint64_t checksum, uint32_t slots_log2,
                     uint32_t contexts, uint8_t *head)
{
    memcpy(head, FLO_DRAFT_MAGIC, strlen(FLO_DRAFT_MAGIC));
    flo_put_u32(head + 8, FLO_DRAFT_VERSION);
    flo_put_u32(head + 12, maker->n_vocab);
    flo_put_u64(head + 16, checksum);
    flo_put_u32(head + 24, maker->longest);
    flo_put_u32(head + 28, slots_log2);
    flo_put_u32(head + 32, contexts);
}

/* Returns the binary logarithm of the fewest slots: two for each context, so
 * that searches are short. */
static uint32_t slots_log2_min(uint32_t contexts)
{
    uint32_t log2 = 0;

    while (1u << log2 < 2 * contexts) {
        log2++;
    }
    return log2;
}

/* Appends the file, in the fewest slots in which each context is found.
 * *has_room is false, and nothing is appended, if the most slots do not do. */
static int lay_out(const struct flo_draft_maker *maker, const struct build *build,
                   uint64_t checksum, struct flo_buf *file, bool *has_room, struct flo_err *err)
{
    *has_room = false;
    for (uint32_t log2 = slots_log2_min(build->n_contexts);
         log2 <= FLO_DRAFT_SLOTS_LOG2_MAX && !*has_room; log2++) {
        size_t bytes = FLO_DRAFT_HEAD_BYTES + ((size_t)FLO_DRAFT_SLOT_BYTES << log2);
        uint8_t *data = calloc(1, bytes);
        if (data == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "a table of drafts of %zu bytes", bytes);
        }
        put_head(maker, checksum, log2, build->n_contexts, data);
        *has_room = place_all(build, data + FLO_DRAFT_HEAD_BYTES, (1u << log2) - 1);
        if (*has_room) {
            flo_buf_add(file, data, bytes);
        }
        free(data);
    }
    return file->failed ? flo_fail(err, FLO_E_MEMORY, "a table of drafts") : 0;
}

/* Builds the table.  While there are too many contexts, those of few cases are
 * left out. */
static int build_file(const struct flo_draft_maker *maker, struct build *build, uint64_t checksum,
                      struct flo_buf *file, struct flo_err *err)
{
    bool has_room = false;

    for (build->seen_min = 1; !has_room; build->seen_min *= 2) {
        build->n_contexts = 0;
        build->is_full = false;
        find_contexts(build, 0, build->count, 1, (struct likely){0});
        if (!build->is_full) {
            FLO_TRY(lay_out(maker, build, checksum, file, &has_room, err));
        }
    }
    return 0;
}

int flo_draft_maker_write(struct flo_draft_maker *maker, uint64_t checksum, struct flo_buf *file,
                          struct flo_err *err)
{
    uint32_t count = length_of(&maker->positions);
    struct build build = {
        .tokens = (const void *)maker->tokens.data,
        .order = (const void *)maker->positions.data,
        .next = malloc((size_t)count * sizeof(*build.next) + 1),
        .count = count,
        .longest = maker->longest,
        .contexts = malloc((size_t)maker->contexts_max * sizeof(*build.contexts)),
        .contexts_max = maker->contexts_max,
    };
    int rv = build.next == NULL || build.contexts == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "a table of drafts of %u tokens", count)
                 : 0;

    if (rv == 0 && count > 0) {
        qsort_r(maker->positions.data, count, sizeof(uint32_t), by_context, maker->tokens.data);
    }
    if (rv == 0) {
        rv = build_file(maker, &build, checksum, file, err);
    }
    free(build.next);
    free(build.contexts);
    return rv;
}
