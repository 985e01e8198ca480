/* Grammar: restricts one answer to the texts of a grammar, token by token. */
#include "engine/grammar/grammar.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/infer.h>

#include "engine/grammar/closing.h"
#include "engine/grammar/lazy.h"
#include "engine/model/session.h"
#include "engine/sample/sampler.h"
#include "engine/token/control.h"
#include "engine/token/vocab/vocab.h"

enum {
    ENDS_MAX = 32,
    FORCED_BYTES_MAX = 1024,
    CHARACTER_BYTES = 4, /* most bytes of a character */
    ROOM_STATES = 256,   /* states kept free for one token and for an end after it */
};

struct flo_grammar {
    const struct flo_vocab *vocab;
    struct flo_matcher *matcher;
    uint32_t state;
    int32_t ends[ENDS_MAX]; /* end-of-answer tokens */
    size_t end_count;
    struct flo_buf piece; /* bytes of the current token */
    /* watches for calls while the grammar is inactive; NULL: always active */
    struct flo_lazy *lazy;
    uint32_t *distances; /* distances of all nodes to the end (closing.h); NULL: no token limit */
    size_t left;         /* number of tokens that the limit still allows */
    bool is_closing; /* tokens are few: only the rest of `ending`, the shortest end, may follow */
    struct flo_tokens ending;
    size_t ended; /* number of tokens of `ending` that the answer already has */
};

uint64_t flo_grammar_bytes(uint32_t n_vocab)
{
    return sizeof(struct flo_grammar) + sizeof(struct flo_program) +
           FLO_GRAMMAR_NODES_MAX * sizeof(uint32_t) /* distances */ + sizeof(struct flo_lazy) +
           FLO_TOOLS_BYTES_MAX + flo_matcher_bytes(n_vocab);
}

/* ---- opening ---- */

static int compile(enum flo_grammar_kind kind, const char *text, size_t bytes,
                   struct flo_program **program, struct flo_err *err)
{
    if (bytes > FLO_GRAMMAR_TEXT_BYTES_MAX) {
        return flo_fail(err, FLO_E_INFER_SCHEMA, "grammar: %zu bytes, at most %u are read", bytes,
                        FLO_GRAMMAR_TEXT_BYTES_MAX);
    }
    switch (kind) {
    case FLO_GRAMMAR_GBNF:
        return flo_gbnf_compile(text, bytes, program, err);
    case FLO_GRAMMAR_SCHEMA:
        return flo_schema_compile(text, bytes, program, err);
    case FLO_GRAMMAR_JSON:
        return flo_schema_compile(NULL, 0, program, err);
    case FLO_GRAMMAR_NONE:
        break;
    }
    return flo_fail(err, FLO_E_INFER_PARAM, "grammar: of no kind %d", (int)kind);
}

static int need_pieces(const struct flo_engine *engine, const struct flo_pieces **pieces,
                       struct flo_err *err)
{
    if (engine->vocab != NULL) {
        return flo_vocab_pieces(engine->vocab, pieces, err);
    }
    if (err != NULL) {
        *err = engine->vocab_err;
    }
    return flo_wrap(err, engine->vocab_err.code, "this model reads no text");
}

static void close_lazy(struct flo_lazy *lazy)
{
    if (lazy != NULL) {
        flo_tool_list_deinit(&lazy->tools);
        free(lazy);
    }
}

/* Opens the grammar of a program.  Takes ownership of `program` and `lazy`,
 * also on failure. */
static int start(const struct flo_engine *engine, const struct flo_pieces *pieces,
                 struct flo_program *program, struct flo_lazy *lazy, struct flo_grammar **out,
                 struct flo_err *err)
{
    struct flo_grammar *g = calloc(1, sizeof(*g));

    if (g == NULL) {
        free(program);
        close_lazy(lazy);
        return flo_fail(err, FLO_E_MEMORY, "a grammar");
    }
    g->lazy = lazy;
    int rv = flo_matcher_open(program, pieces, engine->hparams.n_vocab, &g->matcher, err);
    if (rv < 0) {
        flo_grammar_close(g);
        return rv;
    }
    g->vocab = engine->vocab;
    g->piece.bytes_max = FLO_TOKEN_BYTES_MAX;
    for (int32_t id = 0; id < flo_vocab_facts(g->vocab)->count; id++) {
        if (flo_vocab_is_end(g->vocab, id) && g->end_count < ENDS_MAX) {
            g->ends[g->end_count++] = id;
        }
    }
    flo_grammar_reset(g);
    if (g->matcher->is_ambiguous) {
        flo_grammar_close(g);
        return flo_fail(err, FLO_E_INFER_SCHEMA,
                        "grammar: its beginning may be read in too many ways");
    }
    *out = g;
    return 0;
}

int flo_grammar_open(const struct flo_engine *engine, enum flo_grammar_kind kind, const char *text,
                     size_t bytes, struct flo_grammar **out, struct flo_err *err)
{
    const struct flo_pieces *pieces;
    struct flo_program *program = NULL;

    FLO_TRY(need_pieces(engine, &pieces, err));
    FLO_TRY(compile(kind, text, bytes, &program, err));
    return start(engine, pieces, program, NULL, out, err);
}

/* ---- calls ---- */

#define MERGED_MAX 32768u /* most nodes that merging the tools' schemas may add */

static int make_lazy(const struct flo_call_form *form, const struct flo_tool_rules *rules,
                     const struct flo_tools *tools, struct flo_lazy **out, struct flo_err *err)
{
    struct flo_lazy *lazy = calloc(1, sizeof(*lazy));

    if (lazy == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a grammar of calls");
    }
    lazy->form = form;
    lazy->in_thought = rules->in_thought;
    lazy->is_required = rules->is_required || rules->answer_bytes > 0;
    lazy->starts_asleep = !lazy->is_required || rules->in_thought || flo_form_has_channels(form);
    int rv = flo_tool_list_make(&lazy->tools, tools, err);
    if (rv < 0) {
        close_lazy(lazy);
        return rv;
    }
    *out = lazy;
    return 0;
}

/* Parses the tools.  The schema of an answer without calls is appended to them
 * as one more entry. */
static int open_tools(const struct flo_tool_rules *rules, struct flo_tools *tools,
                      struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    size_t bytes = rules->tools_bytes;

    if (rules->answer_bytes == 0) {
        return flo_tools_open(tools, rules->tools, bytes, MERGED_MAX, err);
    }
    while (bytes > 0 && rules->tools[bytes - 1] != ']') {
        bytes--; /* drops blanks; a text without a list is refused later */
    }
    flo_buf_add(&text, rules->tools, bytes > 0 ? bytes - 1 : 0);
    flo_buf_text(&text, ",{\"answer\":");
    flo_buf_add(&text, rules->answer, rules->answer_bytes);
    flo_buf_text(&text, "}]");
    return text.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for tools")
                       : flo_tools_open(tools, text.data, text.bytes, MERGED_MAX, err);
}

int flo_grammar_open_tools(const struct flo_engine *engine, const struct flo_tool_rules *rules,
                           struct flo_grammar **out, struct flo_err *err)
{
    const struct flo_call_form *form = &engine->chat.calls;
    const struct flo_call_choice choice = {
        .name = rules->name,
        .name_bytes = rules->name_bytes,
        .is_one = rules->is_one,
        .may_blank = rules->in_thought && !flo_form_has_channels(form),
    };
    const struct flo_pieces *pieces;
    struct flo_program *program = NULL;
    struct flo_lazy *lazy = NULL;
    FLO_CLEANUP(flo_tools_close) struct flo_tools tools = {0};

    FLO_TRY(need_pieces(engine, &pieces, err));
    if (form->kind == FLO_CALLS_NONE) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tools: this model has no vocabulary or template");
    }
    FLO_TRY(open_tools(rules, &tools, err));
    FLO_TRY(flo_calls_compile(&tools, form, &choice, &program, err));
    int rv = make_lazy(form, rules, &tools, &lazy, err);
    if (rv < 0) {
        free(program);
        return rv;
    }
    return start(engine, pieces, program, lazy, out, err);
}

int flo_grammar_open_reader(const struct flo_engine *engine, const struct flo_grammar *g,
                            bool in_thought, flo_part_fn *part, void *context,
                            struct flo_call_reader **out, struct flo_err *err)
{
    const struct flo_call_form *form = &engine->chat.calls;

    if (g == NULL && form->thought_close.bytes == 0) {
        *out = NULL;
        return 0;
    }
    return flo_call_reader_open(form, g == NULL ? NULL : &g->lazy->tools, in_thought, part, context,
                                out, err);
}

void flo_grammar_close(struct flo_grammar *g)
{
    if (g != NULL) {
        flo_matcher_close(g->matcher);
        flo_buf_deinit(&g->piece);
        free(g->distances);
        flo_tokens_deinit(&g->ending);
        close_lazy(g->lazy);
        free(g);
    }
}

void flo_grammar_reset(struct flo_grammar *g)
{
    g->state = flo_matcher_start(g->matcher);
    g->is_closing = false;
    g->ending.count = g->ended = 0;
    if (g->lazy != NULL) {
        flo_lazy_reset(g->lazy);
    }
}

static bool sleeps(const struct flo_grammar *g)
{
    return g->lazy != NULL && g->lazy->sleeps;
}

int flo_grammar_limit(struct flo_grammar *g, size_t tokens_left, struct flo_err *err)
{
    if (g->distances == NULL) {
        g->distances = flo_closing_distances(g->matcher->program);
    }
    g->left = tokens_left;
    if (g->lazy != NULL && g->lazy->room == 0) {
        g->lazy->room = tokens_left;
    }
    return g->distances != NULL ? 0 : flo_fail(err, FLO_E_MEMORY, "the ends of a grammar");
}

bool flo_grammar_is_cut(const struct flo_grammar *g)
{
    return g->is_closing;
}

static bool accept(struct flo_grammar *g, int32_t token);

/* ---- what must come ---- */

static bool is_of_word(char byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= 'a' && byte <= 'z') || byte == '_' || byte == '-';
}

/* Returns how many bytes must come next, and writes them.  If several texts
 * follow, an unfinished word at the end is left out, and a blank before it.  So
 * the model can choose a token for `set_light` or `send_alert` that does not
 * begin with their common `se`. */
static size_t forced_bytes(struct flo_grammar *g, char *bytes)
{
    struct flo_matcher *m = g->matcher;
    uint32_t at = g->state;
    size_t count = 0;

    while (count < FORCED_BYTES_MAX && m->states[at].forced >= 0) {
        char byte = (char)m->states[at].forced;
        uint32_t next = flo_matcher_step(m, at, (uint8_t)byte);

        if (next == FLO_STATE_DEAD || next == FLO_STATE_FULL) {
            break;
        }
        bytes[count++] = byte;
        at = next;
    }
    bool is_whole = flo_matcher_must_end(m, at);
    count = flo_control_whole(bytes, count);
    while (count > 0 && !is_whole && is_of_word(bytes[count - 1])) {
        count--;
    }
    while (count > 0 && !is_whole && bytes[count - 1] == ' ') {
        count--;
    }
    return count;
}

/* The bytes must stay as the grammar has them, so they are not normalized. */
static bool tokenise_text(const struct flo_grammar *g, const char *bytes, size_t count,
                          struct flo_tokens *tokens)
{
    struct flo_text_span span = {.data = bytes, .bytes = count, .is_exact = true};
    return g->vocab->kind == FLO_VOCAB_SPM
               ? flo_spm_text(g->vocab, bytes, count, false, tokens)
               : flo_tokenize_spans(g->vocab, &span, 1, tokens, NULL) == 0;
}

/* Tokenises bytes as in a prompt.  They are whole characters and control
 * tokens. */
static bool tokenise(const struct flo_grammar *g, const char *bytes, size_t count,
                     struct flo_tokens *tokens)
{
    size_t from = 0, at = 0;

    while (at < count) {
        if ((uint8_t)bytes[at] < FLO_CONTROL_FIRST) {
            at++;
            continue;
        }
        if (at > from && !tokenise_text(g, bytes + from, at - from, tokens)) {
            return false;
        }
        flo_tokens_add(tokens, flo_control_read(bytes + at));
        from = at += FLO_CONTROL_BYTES;
    }
    return (at == from || tokenise_text(g, bytes + from, at - from, tokens)) && !tokens->failed;
}

/* Reads the bytes of a token into g->piece.  Returns false if it has none, or
 * too many. */
static bool read_piece(struct flo_grammar *g, int32_t token)
{
    g->piece.bytes = 0;
    flo_control_piece(g->vocab, token, &g->piece);
    return g->piece.bytes > 0 && g->piece.bytes <= FLO_PIECE_BYTES_MAX && !g->piece.failed;
}

/* Takes the tokens that spell the bytes and fit the grammar, and advances its
 * state past them.  Returns their number. */
static size_t take(struct flo_grammar *g, const struct flo_tokens *found, const char *bytes,
                   size_t count, int32_t *tokens, size_t tokens_max)
{
    size_t done = 0, taken = 0;

    while (taken < found->count && taken < tokens_max) {
        int32_t id = found->ids[taken];

        if (!read_piece(g, id) || g->piece.bytes > count - done ||
            memcmp(g->piece.data, bytes + done, g->piece.bytes) != 0 ||
            !flo_matcher_walk(g->matcher, &g->state, g->piece.data, g->piece.bytes)) {
            break;
        }
        done += g->piece.bytes;
        tokens[taken++] = id;
    }
    return taken;
}

/* Takes the next tokens of the shortest end.  Returns their number. */
static size_t go_on_ending(struct flo_grammar *g, int32_t *tokens, size_t tokens_max)
{
    size_t taken = 0;

    while (taken < tokens_max && g->ended < g->ending.count) {
        int32_t id = g->ending.ids[g->ended];

        if (!read_piece(g, id) ||
            !flo_matcher_walk(g->matcher, &g->state, g->piece.data, g->piece.bytes)) {
            break;
        }
        tokens[taken++] = id;
        g->ended++;
    }
    return taken;
}

/* Ends a thought that has used half of the token limit, so that a required call
 * still fits.  Takes all tokens of the mark that ends the thought, or none.
 * Returns their number. */
static size_t end_thought(struct flo_grammar *g, int32_t *tokens, size_t tokens_max)
{
    const struct flo_form_text *mark = &g->lazy->form->thought_close;
    FLO_CLEANUP(flo_tokens_deinit) struct flo_tokens found = {0};
    size_t taken = 0;

    if (g->lazy->is_required && g->lazy->watch.in_thought && g->distances != NULL &&
        g->left <= g->lazy->room / 2 && tokenise(g, mark->data, mark->bytes, &found) &&
        found.count <= tokens_max) {
        while (taken < found.count && accept(g, found.ids[taken])) {
            tokens[taken] = found.ids[taken];
            taken++;
        }
    }
    return taken;
}

size_t flo_grammar_forced(struct flo_grammar *g, int32_t *tokens, size_t tokens_max)
{
    char bytes[FORCED_BYTES_MAX];
    FLO_CLEANUP(flo_tokens_deinit) struct flo_tokens found = {0};
    size_t taken = 0;

    if (g->is_closing || sleeps(g)) {
        return sleeps(g) ? end_thought(g, tokens, tokens_max) : go_on_ending(g, tokens, tokens_max);
    }
    /* Bytes that the vocabulary cannot spell are left to sampling. */
    size_t count = forced_bytes(g, bytes);
    if (count > 0 && tokenise(g, bytes, count, &found)) {
        taken = take(g, &found, bytes, count, tokens, tokens_max);
    }
    return taken;
}

/* ---- what may come ---- */

/* Advances the grammar past the token.  Returns false if the token does not
 * fit. */
static bool accept(struct flo_grammar *g, int32_t token)
{
    if (sleeps(g)) {
        bool is_end = flo_vocab_is_end(g->vocab, token);
        return is_end ? !g->lazy->is_required
                      : !read_piece(g, token) || flo_lazy_take(g->lazy, g->matcher, &g->state,
                                                               g->piece.data, g->piece.bytes);
    }
    if (flo_vocab_is_end(g->vocab, token)) {
        return g->matcher->states[g->state].may_end;
    }
    return read_piece(g, token) &&
           flo_matcher_walk(g->matcher, &g->state, g->piece.data, g->piece.bytes);
}

/* Computes the mask of allowed tokens while the grammar is inactive.  That is
 * needed only if the model's own choice does not fit, which is rare. */
static const uint64_t *mask_asleep(struct flo_grammar *g)
{
    uint64_t *mask = flo_matcher_blank_mask(g->matcher);
    int32_t count = flo_vocab_facts(g->vocab)->count;

    for (int32_t id = 0; id < count; id++) {
        bool is_end = flo_vocab_is_end(g->vocab, id);
        bool fits = is_end ? !g->lazy->is_required
                           : read_piece(g, id) &&
                                 flo_lazy_fits(g->lazy, g->matcher, g->piece.data, g->piece.bytes);
        mask[id / 64] |= (uint64_t)fits << id % 64;
    }
    return mask;
}

static const uint64_t *mask_of(struct flo_grammar *g)
{
    if (sleeps(g)) {
        return mask_asleep(g);
    }
    bool is_new;
    uint64_t *mask = flo_matcher_mask(g->matcher, &g->state, &is_new);
    bool may_end = g->matcher->states[g->state].may_end;
    uint64_t any = 0;

    for (size_t i = 0; is_new && i < g->end_count; i++) {
        uint64_t bit = 1ull << g->ends[i] % 64;
        mask[g->ends[i] / 64] &= ~bit;
        mask[g->ends[i] / 64] |= may_end ? bit : 0;
    }
    for (size_t i = 0; i < flo_mask_words(g->matcher->n_vocab); i++) {
        any |= mask[i];
    }
    return any != 0 ? mask : NULL;
}

/* State before a token, which is kept while the token is checked.  keep_state()
 * makes room first, so that the state is not dropped meanwhile. */
struct kept {
    uint32_t state;
    uint64_t forgotten; /* value of matcher->forgotten; if it changes, `state` is lost */
};

/* Tells whether the shortest end could need all tokens that are left. */
static bool is_near(const struct flo_grammar *g)
{
    return g->distances != NULL && !sleeps(g) && g->left <= FORCED_BYTES_MAX + CHARACTER_BYTES;
}

static struct kept keep_state(struct flo_grammar *g)
{
    const struct flo_matcher *m = g->matcher;
    uint32_t wanted = ROOM_STATES * m->program->class_count;
    uint32_t steps = wanted < FLO_STEPS_MAX / 2 ? wanted : FLO_STEPS_MAX / 2;
    bool is_full = m->state_count > FLO_STATES_MAX - ROOM_STATES ||
                   m->reading_count > FLO_READINGS_MAX * 3 / 4 ||
                   m->stack_count > FLO_STACKS_MAX * 3 / 4 || m->step_count + steps > FLO_STEPS_MAX;

    if (is_near(g) && is_full) {
        g->state = flo_matcher_drop(g->matcher, g->state);
    }
    return (struct kept){g->state, m->forgotten};
}

/* Finds the tokens of the shortest end from a state on.  Returns false if the
 * end is too long, begins within a character, or cannot be spelled by the
 * vocabulary. */
static bool find_end(struct flo_grammar *g, uint32_t from, struct flo_tokens *out)
{
    char bytes[FORCED_BYTES_MAX];
    struct flo_matcher *m = g->matcher;
    size_t count = 0, spelled = 0;
    uint8_t byte;

    out->count = 0;
    while (flo_closing_next(m, g->distances, from, &byte)) {
        from = flo_matcher_step(m, from, byte);
        if (from == FLO_STATE_DEAD || from == FLO_STATE_FULL || count == FORCED_BYTES_MAX) {
            return false;
        }
        bytes[count++] = (char)byte;
    }
    if (!m->states[from].may_end || flo_control_whole(bytes, count) != count ||
        (count > 0 && !tokenise(g, bytes, count, out))) {
        return false;
    }
    for (size_t i = 0; i < out->count && read_piece(g, out->ids[i]); i++) {
        bool is_it = g->piece.bytes <= count - spelled &&
                     memcmp(g->piece.data, bytes + spelled, g->piece.bytes) == 0;
        spelled += is_it ? g->piece.bytes : count;
    }
    return spelled == count;
}

/* Tells whether too few tokens are left after this one to reach an end.  For
 * most states the bytes decide, as a byte needs at most one token.  If the
 * token ends within a character, the end is searched from the state before
 * it. */
static bool is_too_far(struct flo_grammar *g, const struct kept *before)
{
    const struct flo_matcher *m = g->matcher;
    size_t needed;

    if (!is_near(g) || before->forgotten != m->forgotten) {
        return false;
    }
    needed = flo_closing_bytes(m, g->distances, g->state);
    if (needed == FLO_CLOSING_NEVER || needed + CHARACTER_BYTES < g->left) {
        return false;
    }
    return (!find_end(g, g->state, &g->ending) && !find_end(g, before->state, &g->ending)) ||
           g->ending.count + CHARACTER_BYTES >= g->left;
}

/* Replaces the chosen token by the first token of the shortest end.  Returns
 * false if no end fits into the tokens left. */
static bool close_now(struct flo_grammar *g, uint32_t before, const float *logits,
                      struct flo_sample *sample)
{
    bool may_end = g->matcher->states[before].may_end;
    uint32_t after = g->state;
    int32_t token = may_end && g->end_count > 0 ? g->ends[0] : -1;

    if (!find_end(g, before, &g->ending) || g->ending.count > g->left || (may_end && token < 0)) {
        return false;
    }
    g->state = before;
    g->is_closing = true;
    g->ended = 0;
    if (!may_end && go_on_ending(g, &token, 1) == 0) {
        g->state = after;
        g->is_closing = false;
        return false;
    }
    sample->token = token;
    sample->logit = logits[token];
    return true;
}

/* Lets the sampler choose among all tokens, and accepts its choice if it fits,
 * as is usual.  Otherwise the sampler chooses again with a mask.  The answer
 * does not depend on cached masks. */
static int choose(struct flo_grammar *g, struct flo_sampler *sampler, const float *logits,
                  struct kept *before, struct flo_sample *sample, struct flo_err *err)
{
    flo_sampler_choose(sampler, logits, NULL, sample);
    *before = keep_state(g);
    if (!accept(g, sample->token)) {
        const uint64_t *mask = mask_of(g);

        if (mask == NULL) {
            return flo_fail(err, FLO_E_INFER_SCHEMA,
                            g->matcher->is_ambiguous
                                ? "grammar: too many readings here"
                                : "grammar: allows no token of this model here");
        }
        flo_sampler_choose(sampler, logits, mask, sample);
        *before = keep_state(g);
        if (!accept(g, sample->token)) {
            return flo_fail(err, FLO_E_INTERNAL, "a token of the mask does not fit");
        }
    }
    return 0;
}

int flo_grammar_sample(struct flo_grammar *g, struct flo_sampler *sampler, const float *logits,
                       struct flo_sample *sample, struct flo_err *err)
{
    struct kept before;

    if (g->is_closing) {
        flo_sampler_choose(sampler, logits, NULL, sample);
        if (go_on_ending(g, &sample->token, 1) == 1) {
            sample->logit = logits[sample->token];
            flo_sampler_answer(sampler, sample->token);
            return 0;
        }
    }
    bool was_asleep = sleeps(g);
    FLO_TRY(choose(g, sampler, logits, &before, sample, err));
    if (!was_asleep && !flo_vocab_is_end(g->vocab, sample->token) && is_too_far(g, &before)) {
        (void)close_now(g, before.state, logits, sample);
    }
    flo_sampler_answer(sampler, sample->token);
    return 0;
}

bool flo_grammar_is_done(const struct flo_grammar *g)
{
    return !sleeps(g) && (flo_matcher_must_end(g->matcher, g->state) ||
                          (g->is_closing && g->ended == g->ending.count));
}
