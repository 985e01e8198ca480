/* Plan: computes by pure arithmetic all memory that an engine takes, before
 * anything is loaded. */
#include "engine/model/session.h"

#include <inttypes.h>
#include <math.h>

#include <flotilla/errors/memory.h>

#include "engine/grammar/grammar.h"
#include "engine/sample/sampler.h"
#include "engine/token/expression/expression.h"
#include "engine/token/merge.h"
#include "engine/token/vocab/pieces.h"

/* memory of a template's tree and tokens for each byte of its text */
#define TEMPLATE_BYTES_PER_BYTE 128
#define OPTION_BYTES_MAX ((uint64_t)1 << 48)

enum {
    CONTEXT_MIN = 512,        /* smallest context to which a budget may lead */
    PROGRAM_BYTES = 3 << 20,  /* resident memory of the process without a model, as measured */
    TEXT_BYTES_MAX = 1 << 20, /* most bytes of a request's text */
};

static uint32_t at_least(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* Returns the width of the widest input of a product. */
static uint32_t width_of(const struct flo_hparams *h)
{
    uint32_t dense = at_least(h->n_ff, at_least(h->n_ff_expert, h->n_ff_shared));

    return at_least(at_least(at_least(h->n_embd, flo_width_q(h)), at_least(dense, h->n_inner)),
                    at_least(at_least(h->n_per_layer, h->n_dense), h->n_low));
}

static void lay_out_input(struct flo_arena *arena, uint64_t tokens, uint64_t width, bool has_low,
                          struct flo_input *out)
{
    uint64_t blocks = (width + FLO_CODE_BLOCK - 1) / FLO_CODE_BLOCK;
    uint64_t low = has_low ? FLO_LOW_SLOTS * FLO_ADAPTER_RANK_MAX : 0;

    out->x = (struct flo_activations){
        .values = flo_arena_take(arena, tokens * width, sizeof(float)),
        .codes = flo_arena_take(arena, tokens * width, sizeof(int16_t)),
        .scales = flo_arena_take(arena, tokens * blocks, sizeof(float)),
        .sums = flo_arena_take(arena, tokens * 2 * blocks, sizeof(float)),
    };
    out->low = flo_arena_take(arena, tokens * low, sizeof(float));
}

static void lay_out_rotations(struct flo_arena *arena, uint64_t tokens, uint64_t n_rope,
                              struct flo_rotations *out)
{
    *out = (struct flo_rotations){
        .rates = flo_arena_take(arena, n_rope / 2, sizeof(double)),
        .cosines = flo_arena_take(arena, tokens * n_rope, sizeof(float)),
        .sines = flo_arena_take(arena, tokens * n_rope, sizeof(float)),
    };
}

static void lay_out_recurrent(const struct flo_hparams *h, uint64_t batch, struct flo_arena *arena,
                              struct flo_scratch *out)
{
    uint64_t mixed = h->n_taps == 0 ? 0 : 3 * (uint64_t)h->n_embd;
    size_t f = sizeof(float);

    if (h->n_inner > 0) {
        mixed = (uint64_t)flo_width_mixed(h) + h->n_inner + h->n_state_heads;
    }
    out->mixed = flo_arena_take(arena, batch * mixed, f);
    out->mixer_out = flo_arena_take(arena, batch * (h->n_inner > 0 ? h->n_inner : h->n_embd), f);
    out->z = flo_arena_take(arena, batch * h->n_inner, f);
    out->alpha = flo_arena_take(arena, batch * h->n_state_heads * 2, f);
    out->beta = flo_arena_take(arena, batch * h->n_state_heads, f);
}

static void lay_out_experts(const struct flo_hparams *h, uint64_t batch, bool has_low,
                            struct flo_arena *arena, struct flo_expert_scratch *out)
{
    uint64_t uses = batch * h->n_expert_used, width = at_least(h->n_embd, h->n_ff_expert);
    uint64_t low = has_low ? FLO_LOW_SLOTS_EXPERT * FLO_ADAPTER_RANK_MAX : 0;
    size_t f = sizeof(float);
    struct flo_input in;

    if (h->n_expert == 0) {
        return;
    }
    lay_out_input(arena, uses, width, false, &in);
    *out = (struct flo_expert_scratch){
        .scores = flo_arena_take(arena, batch * h->n_expert, f),
        .values = flo_arena_take(arena, batch * h->n_embd, f),
        .uses = flo_arena_take(arena, uses, sizeof(struct flo_expert_use)),
        .order = flo_arena_take(arena, uses, sizeof(uint32_t)),
        .places = flo_arena_take(arena, uses, sizeof(uint32_t)),
        .firsts = flo_arena_take(arena, (uint64_t)h->n_expert + 1, sizeof(uint32_t)),
        .gate = flo_arena_take(arena, uses * h->n_ff_expert, f),
        .up = flo_arena_take(arena, uses * h->n_ff_expert, f),
        .out = flo_arena_take(arena, uses * h->n_embd, f),
        .gates = flo_arena_take(arena, batch, f),
        .in = in.x,
        .low = flo_arena_take(arena, uses * low, f),
    };
}

void flo_scratch_lay_out(const struct flo_hparams *h, const struct flo_sizes *sizes,
                         struct flo_arena *arena, struct flo_scratch *out)
{
    uint64_t batch = sizes->batch, width = width_of(h);
    uint64_t q = flo_width_q(h), kv = flo_width_kv(h);
    uint64_t ff = at_least(at_least(h->n_ff, h->n_ff_shared), at_least(h->n_per_layer, h->n_head));
    bool has_low = sizes->adapter_bytes > 0;
    size_t f = sizeof(float);

    *out = (struct flo_scratch){
        .x = flo_arena_take(arena, batch * h->n_embd, f),
        .y = flo_arena_take(arena, batch * h->n_embd, f),
        .q = flo_arena_take(arena, batch * (h->has_query_gates ? 2 * q : q), f),
        .k = flo_arena_take(arena, batch * kv, f),
        .v = flo_arena_take(arena, batch * kv, f),
        .attention = flo_arena_take(arena, batch * q, f),
        .gate = flo_arena_take(arena, batch * ff, f),
        .up = flo_arena_take(arena, batch * ff, f),
        .rows = flo_arena_take(arena, FLO_ROWS_AT_ONCE, h->n_vocab * f),
        .logits = flo_arena_take(arena, sizes->sessions, h->n_vocab * f),
        .tokens = flo_arena_take(arena, sizes->sessions, sizes->context * sizeof(int32_t)),
    };
    lay_out_recurrent(h, batch, arena, out);
    lay_out_experts(h, batch, has_low, arena, &out->experts);
    lay_out_rotations(arena, batch, h->n_rope, &out->global);
    lay_out_rotations(arena, batch, h->n_rope_local, &out->local);
    out->own = flo_arena_take(arena, batch * h->n_per_layer * h->n_layer, f);
    out->own_added = flo_arena_take(arena, batch * h->n_per_layer * h->n_layer, f);
    out->streams = flo_arena_take(arena, batch * h->n_streams * h->n_embd, f);
    out->predicted = flo_arena_take(arena, batch * h->n_streams * h->n_embd, f);
    out->low = flo_arena_take(arena, batch * at_least(h->n_low, h->n_streams), f);
    out->pooled = flo_arena_take(arena, h->pooling == FLO_POOLED_NONE ? 0 : 3 * (uint64_t)width, f);
    out->branch =
        flo_arena_take(arena, h->n_expert > 0 || h->n_streams > 0 ? batch * h->n_embd : 0, f);
    lay_out_input(arena, batch, width, has_low, &out->shared);
    for (uint32_t i = 0; i < sizes->threads; i++) {
        lay_out_input(arena, 1, width, has_low, &out->single[i]);
    }
}

/* Returns the memory that the engine's caller needs for all sessions: a sampler
 * and a list of tokens each.  The lists count twice, because another answer may
 * wait for each session. */
static uint64_t caller_bytes(const struct flo_hparams *h, const struct flo_sizes *sizes)
{
    return sizes->sessions * (flo_sampler_bytes(h->n_vocab) + 2 * sizes->context * sizeof(int32_t));
}

static uint32_t default_to(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t blocks_of(uint32_t tokens)
{
    return (tokens + FLO_KV_BLOCK - 1) / FLO_KV_BLOCK;
}

/* Returns an upper bound of the memory for the vocabulary's lists, for
 * compiling one grammar, and for open grammars.  Each session may have a
 * grammar, and so may each answer that was suspended for a user.  All sessions
 * but the last can have such an answer. */
static uint64_t lists_bytes(const struct flo_gguf *gguf, const struct flo_hparams *h,
                            uint32_t sessions)
{
    static const struct {
        const char *key;
        uint64_t bytes; /* bytes of memory that each item of the list needs */
    } lists[] = {{"tokenizer.ggml.tokens", 48 + FLO_PIECES_TOKEN_BYTES},
                 {"tokenizer.ggml.merges", 16},
                 {"flotilla.tokenizer.split", FLO_EXPRESSION_BYTES_MAX}};
    uint64_t bytes =
        (2 * (uint64_t)sessions - 1) * flo_grammar_bytes(h->n_vocab) + flo_schema_bytes();

    struct flo_gguf_text chat = {"", 0};
    if (flo_gguf_string(gguf, "tokenizer.chat_template", &chat, NULL) == 0) {
        bytes += chat.bytes * TEMPLATE_BYTES_PER_BYTE;
    }
    for (size_t i = 0; i < FLO_COUNT(lists); i++) {
        const struct flo_gguf_kv *kv = flo_gguf_find(gguf, lists[i].key);
        bytes += kv == NULL ? 0 : kv->count * lists[i].bytes;
    }
    return bytes;
}

/* Returns an upper bound of the memory for tokenising a text as long as the
 * context.  It holds a copy of the text, up to three times as long where blanks
 * or bytes are replaced.  It also holds a chat template's output with a mark
 * per byte, and the state of merging. */
static uint64_t text_bytes(const struct flo_sizes *s)
{
    uint64_t bytes =
        s->longest_text_bytes < TEXT_BYTES_MAX ? s->longest_text_bytes * s->context : UINT64_MAX;

    bytes = bytes < TEXT_BYTES_MAX ? bytes : TEXT_BYTES_MAX;
    return bytes * (8 + FLO_MERGE_BYTES_PER_BYTE);
}

static uint64_t scratch_bytes(const struct flo_hparams *h, const struct flo_sizes *s)
{
    struct flo_arena arena = {0};
    struct flo_scratch scratch;

    flo_scratch_lay_out(h, s, &arena, &scratch);
    return PROGRAM_BYTES + s->library_bytes + arena.used +
           s->sessions * sizeof(struct flo_session) + sizeof(struct flo_engine) +
           h->n_layer * sizeof(struct flo_layer) +
           (uint64_t)h->n_labels * h->n_embd * sizeof(float) + caller_bytes(h, s);
}

/* Returns the number of values that a recurrent layer keeps for a session: the
 * convolution's last inputs, and the state. */
static uint64_t state_values(const struct flo_hparams *h, const struct flo_layer_shape *layer)
{
    uint64_t taps = h->n_taps > 0 ? h->n_taps - 1 : 0;

    if (!flo_recurs(layer)) {
        return 0;
    }
    return layer->mixer == FLO_MIX_CONV
               ? taps * h->n_embd
               : taps * flo_width_mixed(h) + (uint64_t)h->n_inner * h->n_state;
}

/* Tells whether all layers that read a cache have a window. */
static bool is_local(const struct flo_hparams *h, uint32_t cache)
{
    for (uint32_t i = 0; i < h->n_layer; i++) {
        if (flo_attends(&h->layers[i]) && h->layers[i].cache == cache && !h->layers[i].is_local) {
            return false;
        }
    }
    return !h->is_encoder && h->window > 0;
}

/* Returns the tokens that a local place keeps: the window, the tokens of a pass,
 * and those by which a session may be cut back.  0: the context is no longer. */
static uint32_t ring_of(const struct flo_hparams *h, const struct flo_sizes *s)
{
    uint64_t tokens = (uint64_t)h->window + s->batch + FLO_WINDOW_BACK;

    tokens = (tokens + FLO_KV_RING - 1) / FLO_KV_RING * FLO_KV_RING;
    return tokens < s->context ? (uint32_t)tokens : 0;
}

/* Places keys, values and states of all layers in a session's memory.  No
 * product overflows: 2^20 tokens * 2^9 values * 4 bytes * 2 * 2^10 heads * 2^9
 * layers * 2^6 sessions = 2^57 at most. */
static void place_layers(const struct flo_hparams *h, struct flo_sizes *s)
{
    s->cache_bytes = s->state_bytes = 0;
    s->window = s->ring = 0;
    for (uint32_t i = 0; i < h->n_layer; i++) {
        const struct flo_layer_shape *layer = &h->layers[i];
        struct flo_place *place = &s->places[i];

        /* An encoder keeps nothing for a later pass, so its layers share one place. */
        *place = (struct flo_place){.kv_at = h->is_encoder ? 0 : s->cache_bytes,
                                    .state_at = s->state_bytes};
        s->state_bytes += state_values(h, layer) * sizeof(float);
        if (!flo_attends(layer) || layer->cache != i) {
            continue;
        }
        place->is_local = is_local(h, i);
        if (place->is_local) {
            s->window = h->window;
            s->ring = ring_of(h, s);
        }
        place->heads = layer->n_head_kv;
        place->block_bytes = (uint32_t)flo_cache_block_bytes(s->cache, layer->head_size);
        place->head_bytes = blocks_of(default_to(flo_place_ring(s, place), s->context)) *
                            (uint64_t)place->block_bytes;
        uint64_t end = place->kv_at + place->head_bytes * 2 * place->heads;
        s->cache_bytes = end > s->cache_bytes ? end : s->cache_bytes;
    }
    s->cache_bytes = (s->cache_bytes + 63) / 64 * 64;
    s->state_bytes = (s->state_bytes + 63) / 64 * 64;
}

/* Blocks of a row, from a first one to an end. */
struct blocks {
    uint32_t first, end;
};

/* Divides the blocks of positions [first, tokens) into the two parts of a ring;
 * without a ring, the second is empty. */
static void split_blocks(uint32_t ring, uint32_t first, uint32_t tokens, struct blocks parts[2])
{
    uint32_t length = ring > 0 ? ring / FLO_KV_BLOCK : UINT32_MAX;
    uint32_t end = blocks_of(tokens), from = smaller(first / FLO_KV_BLOCK, end);

    from = end - smaller(end - from, length); /* the first and last block may share a place */
    uint32_t round = from / length * length;
    uint32_t middle = end - round > length ? round + length : end;
    parts[0] = (struct blocks){from - round, middle - round};
    parts[1] = (struct blocks){0, end - middle};
}

int flo_cache_rows(const struct flo_sizes *sizes, uint32_t n_layer, uint32_t first, uint32_t tokens,
                   flo_cache_row_fn *use, void *context, struct flo_err *err)
{
    for (uint32_t i = 0; i < n_layer; i++) {
        const struct flo_place *place = &sizes->places[i];
        struct blocks parts[2];

        split_blocks(flo_place_ring(sizes, place), place->is_local ? first : 0, tokens, parts);
        for (uint32_t n = 0; n < 4 * place->heads; n++) { /* keys and values, two parts each */
            const struct blocks *part = &parts[n % 2];
            const struct flo_cache_row row = {
                .at = place->kv_at + n / 2 * place->head_bytes +
                      (uint64_t)part->first * place->block_bytes,
                .bytes = (uint64_t)(part->end - part->first) * place->block_bytes,
            };
            FLO_TRY(row.bytes > 0 ? use(context, &row, err) : 0);
        }
    }
    return 0;
}

/* Sets all sizes that depend on the context or the cache's type. */
static void set_context(const struct flo_hparams *h, uint32_t context, struct flo_sizes *s)
{
    s->context = context;
    if (h->is_encoder) { /* a text is computed in one pass */
        s->batch = context;
    }
    s->pooled_width = width_of(h);
    place_layers(h, s);
    s->session_kv_bytes = s->cache_bytes;
    if (s->state_bytes > 0) {
        s->session_kv_bytes += (1 + FLO_CHECKPOINTS) * s->state_bytes;
    }
    s->kv_bytes = s->session_kv_bytes * s->sessions;
    s->scratch_bytes = scratch_bytes(h, s);
    s->vocabulary_bytes = s->lists_bytes + text_bytes(s);
}

static const enum flo_kv_type kv_types[FLO_CACHE_COUNT] = {
    [FLO_CACHE_F16] = FLO_KV_F16,
    [FLO_CACHE_F32] = FLO_KV_F32,
    [FLO_CACHE_Q8_0] = FLO_KV_Q8_0,
    [FLO_CACHE_Q4_0] = FLO_KV_Q4_0,
};

static enum flo_cache cache_of(enum flo_kv_type type)
{
    for (size_t i = 0; i < FLO_COUNT(kv_types); i++) {
        if (kv_types[i] == type) {
            return (enum flo_cache)i;
        }
    }
    return FLO_CACHE_F16; /* FLO_KV_AUTO */
}

static int check_sizes(const struct flo_sizes *s, struct flo_err *err)
{
    const struct {
        const char *what;
        uint32_t value, maximum;
    } limits[] = {
        {"context", s->context, FLO_ENGINE_CONTEXT_MAX},
        {"threads", s->threads, FLO_ENGINE_THREADS_MAX},
        {"sessions", s->sessions, FLO_ENGINE_SESSIONS_MAX},
        {"batch", s->batch, FLO_BATCH_CHOICE_MAX},
    };

    for (size_t i = 0; i < FLO_COUNT(limits); i++) {
        if (limits[i].value < 1 || limits[i].value > limits[i].maximum) {
            return flo_fail(err, FLO_E_USAGE, "%s is %u, not 1 to %u", limits[i].what,
                            limits[i].value, limits[i].maximum);
        }
    }
    return s->adapter_bytes <= OPTION_BYTES_MAX && s->request_bytes <= OPTION_BYTES_MAX
               ? 0
               : flo_fail(err, FLO_E_USAGE, "adapter_bytes or request_bytes is above 2^48");
}

int flo_sizes_make(const struct flo_gguf *gguf, const struct flo_hparams *h,
                   const struct flo_engine_options *options, struct flo_sizes *sizes,
                   struct flo_err *err)
{
    struct flo_sizes s = {
        .context =
            default_to(options->context, smaller(h->context_trained, FLO_ENGINE_CONTEXT_DEFAULT)),
        .threads = flo_pool_threads_of(options->threads),
        .sessions = default_to(options->sessions, 1),
        .batch = default_to(options->batch, FLO_BATCH_DEFAULT),
        .cache = h->is_encoder ? FLO_CACHE_F32 : cache_of(options->kv_type),
        .adapter_bytes = options->adapter_bytes,
        .request_bytes = options->request_bytes,
    };

    if (h->is_encoder) {
        s.context = smaller(s.context, smaller(h->context_trained, FLO_BATCH_MAX));
    }
    FLO_TRY(check_sizes(&s, err));
    if (options->vocabulary != FLO_VOCABULARY_NONE) {
        const struct flo_gguf_kv *tokens = flo_gguf_find(gguf, "tokenizer.ggml.tokens");

        s.lists_bytes = lists_bytes(gguf, h, s.sessions);
        s.longest_text_bytes = tokens == NULL ? 0 : tokens->longest;
    }
    set_context(h, s.context, &s);
    *sizes = s;
    return 0;
}

void flo_sizes_add_library(const struct flo_hparams *h, uint64_t bytes, struct flo_sizes *sizes)
{
    sizes->library_bytes = bytes;
    set_context(h, sizes->context, sizes);
}

/* Shrinks sizes whose plan exceeds the budget.  First f16 keys and values
 * become q8_0.  Then the context becomes the largest that fits, but at least
 * 512 tokens.  Only sizes that the options leave open change.  Returns false if
 * nothing more can shrink. */
static bool shrink(const struct flo_hparams *h, const struct flo_engine_options *options,
                   const struct flo_engine_plan *plan, struct flo_sizes *sizes)
{
    if (options->kv_type == FLO_KV_AUTO && sizes->cache == FLO_CACHE_F16) {
        sizes->cache = FLO_CACHE_Q8_0;
        set_context(h, sizes->context, sizes);
        return true;
    }
    if (options->context == 0 && plan->context_fitting >= CONTEXT_MIN &&
        plan->context_fitting < sizes->context) {
        set_context(h, plan->context_fitting, sizes);
        return true;
    }
    return false;
}

/* Returns the sum of all sizes except the weights. */
static uint64_t bytes_of(const struct flo_sizes *s)
{
    return s->kv_bytes + s->scratch_bytes + s->vocabulary_bytes + s->adapter_bytes +
           s->request_bytes;
}

/* Returns the largest context, in whole blocks, that fits into `room`, or 0 if
 * none does.  A larger context never takes fewer bytes. */
static uint32_t context_fitting(const struct flo_hparams *h, const struct flo_sizes *sizes,
                                uint64_t room)
{
    struct flo_sizes s = *sizes;
    uint32_t maximum =
        smaller(h->context_trained, h->is_encoder ? FLO_BATCH_MAX : FLO_ENGINE_CONTEXT_MAX);
    uint32_t fitting = 0; /* blocks */
    uint32_t most = (maximum + FLO_KV_BLOCK - 1) / FLO_KV_BLOCK;

    while (fitting < most) {
        uint32_t middle = (fitting + most + 1) / 2;

        set_context(h, smaller(middle * FLO_KV_BLOCK, maximum), &s);
        if (bytes_of(&s) <= room) {
            fitting = middle;
        } else {
            most = middle - 1;
        }
    }
    return smaller(fitting * FLO_KV_BLOCK, maximum);
}

static int refuse(const struct flo_engine_plan *p, struct flo_err *err)
{
    flo_fail(err, FLO_E_MEMORY_BUDGET, "%" PRIu64 " bytes needed, %" PRIu64 " allowed",
             p->total_bytes, p->memory_bytes_max);
    flo_err_why(err,
                "weights %" PRIu64 ", cache for %u tokens x %u sessions %" PRIu64
                ", scratch %" PRIu64 ", vocabulary %" PRIu64 ", adapters %" PRIu64
                ", requests %" PRIu64,
                p->weights_bytes, p->context, p->sessions, p->kv_bytes, p->scratch_bytes,
                p->vocabulary_bytes, p->adapter_bytes, p->request_bytes);
    if (p->context_fitting > 0) {
        flo_err_fix(err, "a context of %u tokens would fit", p->context_fitting);
    } else {
        flo_err_fix(err, "no context fits: ship a smaller variant");
    }
    return FLO_E_MEMORY_BUDGET;
}

int flo_engine_plan_make(const struct flo_hparams *hparams, const struct flo_sizes *sizes,
                         uint64_t weights_bytes, uint64_t memory_bytes_max,
                         struct flo_engine_plan *plan, struct flo_err *err)
{
    uint64_t room = UINT64_MAX, needed = bytes_of(sizes);

    if (memory_bytes_max != 0) {
        room = memory_bytes_max > weights_bytes ? memory_bytes_max - weights_bytes : 0;
    }
    *plan = (struct flo_engine_plan){
        .weights_bytes = weights_bytes,
        .kv_bytes = sizes->kv_bytes,
        .scratch_bytes = sizes->scratch_bytes,
        .vocabulary_bytes = sizes->vocabulary_bytes,
        .adapter_bytes = sizes->adapter_bytes,
        .request_bytes = sizes->request_bytes,
        .total_bytes = weights_bytes + needed,
        .memory_bytes_max = memory_bytes_max,
        .context = sizes->context,
        .context_trained = hparams->context_trained,
        .sessions = sizes->sessions,
        .kv_type = kv_types[sizes->cache],
        .context_fitting = context_fitting(hparams, sizes, room),
        .fits = needed <= room,
    };
    return plan->fits ? 0 : refuse(plan, err);
}

static int make_plan(struct flo_engine *e, const struct flo_engine_options *options,
                     uint64_t weights_bytes, struct flo_err *err)
{
    int rv = flo_engine_plan_make(&e->hparams, &e->sizes, weights_bytes, options->memory_bytes_max,
                                  &e->plan, err);

    e->plan.is_packed = e->weights.are_packed;
    return rv;
}

int flo_engine_plan_fit(struct flo_engine *e, const struct flo_engine_options *options,
                        uint64_t weights_bytes, struct flo_err *err)
{
    const struct flo_sizes specified = e->sizes;

    while (make_plan(e, options, weights_bytes, NULL) < 0) {
        if (!shrink(&e->hparams, options, &e->plan, &e->sizes)) {
            e->sizes = specified;
            break;
        }
    }
    return make_plan(e, options, weights_bytes, err);
}
