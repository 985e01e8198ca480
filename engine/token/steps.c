#include "engine/token/steps.h"

#include <inttypes.h>
#include <stdlib.h>

#include <flotilla/errors/gguf.h>

#include "engine/token/merge.h"
#include "engine/token/normalize.h"
#include "engine/token/unicode.h"

#define TEXT_BYTES_MAX (64u << 20)
/* Most bytes that a step may make of each byte, and more; most words for each
 * id that fits, and more. */
#define GROWTH_MAX 16u
#define GROWTH_MORE 4096u
#define WORDS_EACH 4u
#define WORDS_MORE 4096u

/* Meanings of a step's two texts. */
enum part { NOTHING, TEXT, EXPRESSION, SIDE, PLACE, BEHAVIOUR };
enum option { LEFT, RIGHT, BOTH, FIRST, ALWAYS, ISOLATED, REMOVED, PREVIOUS, NEXT, CONTIGUOUS };
static const char *const options[] = {"left",     "right",   "both",     "first", "always",
                                      "isolated", "removed", "previous", "next",  "contiguous"};

struct word {
    uint32_t start, bytes;
    int32_t id; /* -1: text */
    bool is_first;
    bool is_moved; /* the text's first character is gone, so that only the whole is first */
};
/* A text on its way through the steps. */
struct flow {
    const struct flo_vocab *vocab;
    const struct flo_steps_text *source;
    struct flo_buf text, words;
    struct flo_buf next_text, next_words;
};

struct step {
    /* Appends what becomes of one word to the next text or words. */
    void (*run)(struct flow *flow, const struct step *step, const struct word *word);
    void (*change)(struct flow *flow, uint32_t code); /* function of `each` */
    const char *text, *with;                          /* in the file */
    size_t text_bytes, with_bytes;
    struct flo_expression *expression;
    uint32_t option;
    bool inverts;
    bool cuts; /* texts stay, and words change */
};
struct flo_steps {
    struct step items[FLO_STEPS_MAX];
    size_t count;
    struct flo_added normalized;   /* tokens that are taken after the step `added` */
    struct flo_gguf_text word_end; /* BPE: what the last character of each word carries */
};

static const char *text_of(const struct flow *flow, const struct word *word)
{
    return flow->text.data + word->start;
}

static void put_code(struct flow *flow, uint32_t code)
{
    char utf8[4];
    flo_buf_add(&flow->next_text, utf8, flo_utf8_put(code, utf8));
}

/* ---- steps that change a word's text ---- */

static void put_form(struct flow *flow, const struct step *step, const struct word *word)
{
    flo_text_normalize(&flow->next_text, text_of(flow, word), word->bytes, step->option);
}

/* Changes each character by a function of its own. */
static void each(struct flow *flow, const struct step *step, const struct word *word)
{
    for (size_t at = 0, taken; at < word->bytes; at += taken) {
        step->change(flow, flo_utf8_next(text_of(flow, word) + at, word->bytes - at, &taken));
    }
}

static void lower_one(struct flow *flow, uint32_t code)
{
    if (code == 0x130) { /* the one letter whose small form is two */
        put_code(flow, 'i');
        put_code(flow, 0x307);
    } else {
        put_code(flow, flo_unicode_to_lower(code));
    }
}

static void drop_mark(struct flow *flow, uint32_t code)
{
    enum flo_unicode_category category = flo_unicode_category(code);
    if (category < FLO_UNICODE_MC || category > FLO_UNICODE_MN) {
        put_code(flow, code);
    }
}

static void drop_accent(struct flow *flow, uint32_t code)
{
    if (flo_unicode_category(code) != FLO_UNICODE_MN) {
        put_code(flow, code);
    }
}

static void clean_one(struct flow *flow, uint32_t code)
{
    if (code != 0 && !flo_bert_drops(code)) {
        put_code(flow, flo_unicode_is_blank(code) ? ' ' : code);
    }
}

/* Drops controls, and makes blanks of the others and of U+2581, as in T5. */
static void clean_like_nmt(struct flow *flow, uint32_t code)
{
    bool is_blank = code == '\t' || code == '\n' || code == '\f' || code == '\r' ||
                    code == 0x1680 || (code >= 0x200b && code <= 0x200f) || code == 0x2028 ||
                    code == 0x2029 || code == 0x2581 || code == 0xfeff || code == 0xfffd;
    bool is_gone = (code > 0 && code < ' ') || code == 0x7f || code == 0x8f || code == 0x9f;
    if (is_blank || !is_gone) {
        put_code(flow, is_blank ? ' ' : code);
    }
}

static void part_ideograph(struct flow *flow, uint32_t code)
{
    bool is_apart = flo_bert_is_ideograph(code);
    flo_buf_text(&flow->next_text, is_apart ? " " : "");
    put_code(flow, code);
    flo_buf_text(&flow->next_text, is_apart ? " " : "");
}

static void map(struct flow *flow, const struct step *step, const struct word *word)
{
    (void)step;
    flo_unigram_map(flow->vocab, text_of(flow, word), word->bytes, &flow->next_text);
}

static void show_bytes(struct flow *flow, const struct step *step, const struct word *word)
{
    (void)step;
    for (size_t at = 0; at < word->bytes; at++) {
        char shown[2];
        flo_buf_add(&flow->next_text, shown, flo_bytes_show(shown, text_of(flow, word) + at, 1));
    }
}

static void strip(struct flow *flow, const struct step *step, const struct word *word)
{
    const char *text = text_of(flow, word);
    size_t start = 0, end = 0, taken;
    bool has_begun = false;
    for (size_t at = 0; at < word->bytes; at += taken) {
        if (!flo_unicode_is_blank(flo_utf8_next(text + at, word->bytes - at, &taken))) {
            start = has_begun ? start : at;
            end = at + taken;
            has_begun = true;
        }
    }
    start = step->option == RIGHT ? 0 : has_begun ? start : word->bytes;
    end = step->option == LEFT ? word->bytes : end;
    if (end > start) {
        flo_buf_add(&flow->next_text, text + start, end - start);
    }
}

static void prepend(struct flow *flow, const struct step *step, const struct word *word)
{
    if (word->bytes > 0) {
        flo_buf_add(&flow->next_text, step->text, step->text_bytes);
    }
    flo_buf_add(&flow->next_text, text_of(flow, word), word->bytes);
}

static void prefix(struct flow *flow, const struct step *step, const struct word *word)
{
    bool begins_so = word->bytes >= step->text_bytes &&
                     memcmp(text_of(flow, word), step->text, step->text_bytes) == 0;
    if (!begins_so && (step->option == ALWAYS || word->is_first)) {
        flo_buf_add(&flow->next_text, step->text, step->text_bytes);
    }
    flo_buf_add(&flow->next_text, text_of(flow, word), word->bytes);
}

/* ---- matches of an expression or a text ---- */

struct matches {
    const struct step *step;
    const char *text;
    size_t bytes;
    struct flo_expression_memo memo;
};

/* Returns the end of the match or of the text between matches that begins at
 * `from`. */
static size_t next_part(struct matches *m, size_t from, bool *is_match)
{
    const struct step *step = m->step;
    if (step->expression != NULL) {
        return flo_expression_next(step->expression, m->text, from, m->bytes, &m->memo, is_match);
    }
    const char *hit = memmem(m->text + from, m->bytes - from, step->text, step->text_bytes);
    *is_match = hit == m->text + from;
    return hit == NULL ? m->bytes : *is_match ? from + step->text_bytes : (size_t)(hit - m->text);
}

static void replace(struct flow *flow, const struct step *step, const struct word *word)
{
    struct matches m = {.step = step, .text = text_of(flow, word), .bytes = word->bytes};
    for (size_t at = 0, end; at < m.bytes && !flow->next_text.failed; at = end) {
        bool is_match;
        end = next_part(&m, at, &is_match);
        flo_buf_add(&flow->next_text, is_match ? step->with : m.text + at,
                    is_match ? step->with_bytes : end - at);
    }
    flow->next_text.failed = flow->next_text.failed || m.memo.failed;
    flo_expression_memo_deinit(&m.memo);
}

/* ---- steps that cut words ---- */

static void add_word(struct flow *flow, const struct word *of, size_t start, size_t end, int32_t id)
{
    struct word word = {.start = of->start + (uint32_t)start,
                        .bytes = (uint32_t)(end - start),
                        .id = id,
                        .is_first = of->is_first && start == 0 && !of->is_moved};
    if (end > start || id >= 0) {
        flo_buf_add(&flow->next_words, &word, sizeof(word));
    }
}

/* Cuts a word at its matches.  A match that joins its neighbour is held until
 * the neighbour is complete. */
static void split(struct flow *flow, const struct step *step, const struct word *word)
{
    struct matches m = {.step = step, .text = text_of(flow, word), .bytes = word->bytes};
    size_t held = 0; /* where the piece begins that is not written yet */
    bool is_held = false, was_match = false;
    for (size_t at = 0, end; at < m.bytes && !flow->next_words.failed; at = end) {
        bool is_match;
        end = next_part(&m, at, &is_match);
        is_match = is_match != step->inverts;
        bool joins = is_held && ((step->option == PREVIOUS && is_match && !was_match) ||
                                 (step->option == NEXT && !is_match && was_match) ||
                                 (step->option == CONTIGUOUS && is_match == was_match));
        if (is_held && !joins) {
            add_word(flow, word, held, at, -1);
        }
        held = joins ? held : at;
        is_held = step->option != REMOVED || !is_match;
        was_match = is_match;
    }
    if (is_held) {
        add_word(flow, word, held, m.bytes, -1);
    }
    flow->next_words.failed = flow->next_words.failed || m.memo.failed;
    flo_expression_memo_deinit(&m.memo);
}

/* A word that is cut at tokens. */
struct taking {
    struct flow *flow;
    const struct word *word;
};

static bool may_take(void *context, const struct flo_vocab_token *token, size_t at, size_t bytes)
{
    const struct taking *taking = context;
    const struct flo_steps_text *source = taking->flow->source;
    (void)at;
    (void)bytes;
    return source->is_special ||
           (token->type == FLO_TOKEN_USER && !(token->is_mark && source->is_message));
}

static void take(void *context, size_t start, size_t end, int32_t id)
{
    struct taking *taking = context;
    add_word(taking->flow, taking->word, start, end, id);
}

static void take_added(struct flow *flow, const struct step *step, const struct word *word)
{
    struct taking taking = {flow, word};
    struct flo_added_cut cut = {flow->vocab, &taking, may_take, take};
    (void)step;
    flo_added_run(&flow->vocab->steps->normalized, &cut, text_of(flow, word), 0, word->bytes);
}

/* ---- running ---- */

static void swap(struct flo_buf *a, struct flo_buf *b)
{
    struct flo_buf was = *a;
    *a = *b;
    *b = was;
    b->bytes = 0;
}

/* Tells whether a step drops the first character of a word. */
static bool drops_first(struct flow *flow, const struct step *step, struct word word)
{
    size_t start = flow->next_text.bytes, taken;
    if (step->cuts || !word.is_first || word.bytes == 0) {
        return false;
    }
    (void)flo_utf8_next(text_of(flow, &word), word.bytes, &taken);
    word.bytes = (uint32_t)taken;
    step->run(flow, step, &word);
    bool is_gone = flow->next_text.bytes == start;
    flow->next_text.bytes = start;
    return is_gone;
}

/* Does one step for all words.  Returns false if a bound or the memory does not
 * suffice. */
static bool do_step(struct flow *flow, const struct step *step)
{
    const struct word *words = (const void *)flow->words.data;
    size_t most = flow->text.bytes * GROWTH_MAX + GROWTH_MORE;
    flow->next_text.bytes_max = most < TEXT_BYTES_MAX ? most : TEXT_BYTES_MAX;
    for (size_t i = 0; i < flow->words.bytes / sizeof(*words); i++) {
        struct word word = words[i];
        size_t start = flow->next_text.bytes;
        if (word.id >= 0) {
            flo_buf_add(&flow->next_words, &word, sizeof(word));
            continue;
        }
        word.is_moved = word.is_moved || drops_first(flow, step, word);
        step->run(flow, step, &word);
        if (!step->cuts) {
            word.start = (uint32_t)start;
            word.bytes = (uint32_t)(flow->next_text.bytes - start);
            flo_buf_add(&flow->next_words, &word, sizeof(word));
        }
        if (flow->next_text.failed || flow->next_words.failed) {
            return false;
        }
    }
    swap(&flow->words, &flow->next_words);
    if (!step->cuts) {
        swap(&flow->text, &flow->next_text);
    }
    return true;
}

/* Makes the source's text one word, and does the first `count` steps. */
static bool do_steps(struct flow *flow, size_t count)
{
    struct word whole = {
        .bytes = (uint32_t)flow->source->bytes, .id = -1, .is_first = flow->source->is_first};
    flow->text.bytes_max = TEXT_BYTES_MAX;
    flo_buf_add(&flow->text, flow->source->data, flow->source->bytes);
    flo_buf_add(&flow->words, &whole, sizeof(whole));
    bool is_fine = !flow->text.failed && !flow->words.failed;
    for (size_t i = 0; is_fine && i < count; i++) {
        const struct step *step = &flow->vocab->steps->items[i];
        bool is_composed = step->run == put_form && step->option == FLO_FORM_C;
        is_fine = (is_composed && flow->source->is_exact) || do_step(flow, step);
    }
    return is_fine;
}

static void flow_deinit(struct flow *flow)
{
    flo_buf_deinit(&flow->text);
    flo_buf_deinit(&flow->words);
    flo_buf_deinit(&flow->next_text);
    flo_buf_deinit(&flow->next_words);
}

/* Merges a word of BPE.  Characters without a token are dropped first, so that
 * their neighbours meet, as in the library.  Other kinds have bytes for them.
 * The last character carries the ending of words, if the file has one. */
static bool add_merged(struct flow *flow, struct flo_merger *merger, const struct word *word,
                       struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = flow->vocab;
    const struct flo_gguf_text end = vocab->steps->word_end;
    const char *text = text_of(flow, word);
    size_t kept = 0, taken;
    bool is_whole = vocab->prefers_whole && flo_vocab_find(vocab, text, word->bytes) >= 0;
    flow->next_text.bytes = 0;
    flow->next_text.bytes_max = TEXT_BYTES_MAX;
    merger->end_bytes = 0;
    for (size_t at = 0; vocab->kind == FLO_VOCAB_BPE && !is_whole && at < word->bytes;
         at += taken) {
        size_t before = flow->next_text.bytes;
        (void)flo_utf8_next(text + at, word->bytes - at, &taken);
        flo_buf_add(&flow->next_text, text + at, taken);
        if (at + taken == word->bytes) {
            flo_buf_add(&flow->next_text, end.data, end.bytes);
            merger->end_bytes = end.bytes;
        }
        size_t bytes = flow->next_text.bytes - before;
        if (!flow->next_text.failed &&
            flo_vocab_find(vocab, flow->next_text.data + before, bytes) < 0) {
            flow->next_text.bytes = before;
            merger->end_bytes = 0;
        }
    }
    kept = flow->next_text.bytes;
    if (vocab->kind != FLO_VOCAB_BPE || is_whole || (kept == word->bytes && end.bytes == 0)) {
        return flo_bpe_word(merger, text, word->bytes, tokens);
    }
    return !flow->next_text.failed &&
           (kept == 0 || flo_merger_run(merger, flow->next_text.data, kept, tokens));
}

static bool add_ids(struct flow *flow, struct flo_tokens *tokens)
{
    const struct flo_vocab *vocab = flow->vocab;
    const struct word *word = (const void *)flow->words.data;
    const struct word *end = word + flow->words.bytes / sizeof(*word);
    FLO_CLEANUP(flo_merger_deinit) struct flo_merger merger = {.vocab = vocab};
    bool is_fine = true;
    for (; is_fine && word < end && !tokens->failed; word++) {
        if (word->id >= 0) {
            flo_tokens_add(tokens, word->id);
        } else if (word->bytes == 0) {
            continue;
        } else if (vocab->kind == FLO_VOCAB_WORDPIECE) {
            flo_wordpiece_word(vocab, text_of(flow, word), word->bytes, tokens);
        } else if (vocab->kind == FLO_VOCAB_UNIGRAM) {
            is_fine = flo_unigram_word(vocab, text_of(flow, word), word->bytes, tokens);
        } else {
            is_fine = add_merged(flow, &merger, word, tokens);
        }
    }
    return is_fine;
}

bool flo_steps_run(const struct flo_vocab *vocab, const struct flo_steps_text *text,
                   struct flo_tokens *tokens)
{
    size_t words_max = flo_tokens_room(tokens) * WORDS_EACH + WORDS_MORE;
    struct flow flow = {.vocab = vocab,
                        .source = text,
                        .words.bytes_max = words_max * sizeof(struct word),
                        .next_words.bytes_max = words_max * sizeof(struct word)};
    bool is_fine = true;
    if (!do_steps(&flow, vocab->steps->count)) {
        flo_tokens_refuse(tokens, flo_tokens_room(tokens) + 1);
    } else {
        is_fine = add_ids(&flow, tokens);
    }
    flow_deinit(&flow);
    return is_fine;
}

/* ---- loading ---- */

/* Kinds of steps.  The two texts of one are what `first` and `second` say. */
static const struct {
    const char *name;
    void (*run)(struct flow *flow, const struct step *step, const struct word *word);
    void (*change)(struct flow *flow, uint32_t code);
    enum part first, second;
    unsigned form;
} kinds[] = {
#define FLO_STEP(name, run, change, first, second) {name, run, change, first, second, 0},
#define FLO_STEP_FORM(name, form) {name, put_form, NULL, NOTHING, NOTHING, form},
#include "engine/token/steps.def"
#undef FLO_STEP
#undef FLO_STEP_FORM
};

static bool read_part(struct step *step, enum part part, struct flo_gguf_text text)
{
    static const enum option firsts[] = {[SIDE] = LEFT, [PLACE] = FIRST, [BEHAVIOUR] = ISOLATED};
    static const enum option lasts[] = {[SIDE] = BOTH, [PLACE] = ALWAYS, [BEHAVIOUR] = CONTIGUOUS};
    if (part == NOTHING) {
        return text.bytes == 0;
    }
    if (part == TEXT || part == EXPRESSION) {
        return text.bytes <= FLO_STEP_BYTES_MAX &&
               flo_utf8_valid(text.data, text.bytes) == text.bytes;
    }
    step->inverts = part == BEHAVIOUR && text.bytes > 4 && memcmp(text.data, "not ", 4) == 0;
    text.data += step->inverts ? 4 : 0;
    text.bytes -= step->inverts ? 4 : 0;
    step->option = firsts[part];
    while (step->option <= lasts[part] && !flo_gguf_text_is(text, options[step->option])) {
        step->option++;
    }
    return step->option <= lasts[part];
}

static int load_step(struct step *step, const struct flo_gguf_text texts[3], struct flo_err *err)
{
    size_t kind = 0;
    while (kind < FLO_COUNT(kinds) && !flo_gguf_text_is(texts[0], kinds[kind].name)) {
        kind++;
    }
    if (kind == FLO_COUNT(kinds)) {
        return flo_fail(err, FLO_E_NOT_BUILT, "the step '%.*s' is not built",
                        texts[0].bytes < 32 ? (int)texts[0].bytes : 32, texts[0].data);
    }
    *step = (struct step){.run = kinds[kind].run,
                          .change = kinds[kind].change,
                          .text = texts[1].data,
                          .text_bytes = texts[1].bytes,
                          .with = texts[2].data,
                          .with_bytes = texts[2].bytes,
                          .cuts = kinds[kind].run == split || kinds[kind].run == take_added};
    if (step->run == put_form) {
        step->option = kinds[kind].form;
    }
    bool is_text = kinds[kind].first == TEXT;
    if (!read_part(step, kinds[kind].first, texts[1]) ||
        !read_part(step, kinds[kind].second, texts[2]) || (is_text && texts[1].bytes == 0)) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "the step '%s' has malformed texts",
                        kinds[kind].name);
    }
    if (kinds[kind].first == EXPRESSION) {
        FLO_TRY(flo_expression_open(texts[1].data, texts[1].bytes, &step->expression, err));
        if (!flo_expression_matches(step->expression) &&
            (step->run == replace || step->option != ISOLATED)) {
            return flo_fail(err, FLO_E_NOT_BUILT, "a lookahead at threes of digits only cuts");
        }
    }
    return 0;
}

static int load_list(struct flo_vocab *vocab, const struct flo_gguf_kv *list, struct flo_err *err)
{
    struct flo_steps *steps = vocab->steps;
    const uint8_t *cursor = list->data;
    if (list->count % 3 != 0 || list->count > (uint64_t)3 * FLO_STEPS_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB,
                        "%" PRIu64 " texts, at most %d steps of three are allowed", list->count,
                        FLO_STEPS_MAX);
    }
    for (uint64_t i = 0; i < list->count / 3; i++) {
        struct flo_gguf_text texts[3];
        for (size_t part = 0; part < 3; part++) {
            texts[part] = flo_gguf_next_string(&cursor);
        }
        int rv = load_step(&steps->items[steps->count++], texts, err);
        if (rv < 0) {
            return flo_wrap(err, rv, "step %" PRIu64, i + 1);
        }
    }
    return 0;
}

/* Writes a token's text as the steps before `added` make it.  Returns false if
 * that needs too much memory. */
static bool normalize(const struct flo_vocab *vocab, int32_t id, struct flo_buf *out)
{
    const struct flo_vocab_token *token = &vocab->tokens[id];
    size_t skip = flo_added_skip(vocab, token);
    struct flo_steps_text source = {.data = token->text + skip, .bytes = token->bytes - skip};
    struct flow flow = {
        .vocab = vocab, .source = &source, .words.bytes_max = 4096, .next_words.bytes_max = 4096};
    size_t count = 0;
    while (count < vocab->steps->count && vocab->steps->items[count].run != take_added) {
        count++;
    }
    bool is_fine = do_steps(&flow, count);
    const struct word *words = (const void *)flow.words.data;
    for (size_t i = 0; is_fine && i < flow.words.bytes / sizeof(*words); i++) {
        flo_buf_add(out, text_of(&flow, &words[i]), words[i].bytes);
    }
    flow_deinit(&flow);
    return is_fine && !out->failed;
}

/* Sorts the special tokens into those of the text as it came and those of the
 * normalized text. */
static int sort_tokens(struct flo_vocab *vocab, struct flo_err *err)
{
    struct flo_added *raw = &vocab->added, *normal = &vocab->steps->normalized;
    size_t count = vocab->specials.count;
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf texts = {.bytes_max = TEXT_BYTES_MAX};
    raw->items = calloc(count + 1, sizeof(*raw->items));
    normal->items = calloc(count + 1, sizeof(*normal->items));
    bool is_fine = raw->items != NULL && normal->items != NULL;
    for (size_t i = 0; is_fine && i < count; i++) {
        int32_t id = vocab->specials.ids[i];
        const struct flo_vocab_token *token = &vocab->tokens[id];
        size_t start = texts.bytes;
        if (!token->is_normalized) {
            size_t skip = flo_added_skip(vocab, token);
            raw->items[raw->count++] =
                (struct flo_added_item){token->text + skip, token->bytes - (uint32_t)skip, id};
            continue;
        }
        is_fine = normalize(vocab, id, &texts);
        struct flo_added_item item = {.bytes = (uint32_t)(texts.bytes - start), .id = id};
        if (item.bytes > 0) {
            normal->items[normal->count++] = item;
        }
    }
    if (!is_fine) {
        return flo_fail(err, FLO_E_MEMORY, "%zu special tokens", count);
    }
    normal->texts = texts.data;
    for (size_t i = 0, at = 0; i < normal->count; at += normal->items[i++].bytes) {
        normal->items[i].text = texts.data + at;
    }
    texts = (struct flo_buf){0};
    flo_added_sort(raw);
    flo_added_sort(normal);
    return 0;
}

int flo_steps_load(struct flo_vocab *vocab, const struct flo_gguf *gguf, struct flo_err *err)
{
    static const char key[] = "flotilla.tokenizer.steps";
    const struct flo_gguf_kv *list;
    FLO_TRY(flo_gguf_array(gguf, key, FLO_GGUF_STRING, &list, err));
    if (list == NULL) {
        return 0;
    }
    vocab->steps = calloc(1, sizeof(*vocab->steps));
    if (vocab->steps == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the steps of a tokenizer");
    }
    vocab->steps->word_end = (struct flo_gguf_text){"", 0};
    FLO_TRY(flo_gguf_string(gguf, "flotilla.tokenizer.word_end", &vocab->steps->word_end, err));
    if (vocab->steps->word_end.bytes > FLO_STEP_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_VOCAB, "flotilla.tokenizer.word_end has %zu bytes",
                        vocab->steps->word_end.bytes);
    }
    int rv = load_list(vocab, list, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", key) : sort_tokens(vocab, err);
}

void flo_steps_free(struct flo_steps *steps)
{
    if (steps == NULL) {
        return;
    }
    for (size_t i = 0; i < FLO_STEPS_MAX; i++) {
        flo_expression_close(steps->items[i].expression);
    }
    flo_added_close(&steps->normalized);
    free(steps);
}
