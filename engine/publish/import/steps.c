#include "engine/publish/import/steps.h"

#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/config.h"
#include "engine/publish/import/pieces.h"
#include "engine/token/expression/expression.h"
#include "engine/token/steps.h"

#define MARK "\xe2\x96\x81" /* stands for a blank */
#define STEPS_BYTES_MAX (1u << 20)
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SIGN_OF_ASCII "\\p{P}\\$\\+<=>\\^~\\|`"
#define WORD "\\w\\u200c\\u200d" /* Rust's \w */

/* A step's sign is a letter, by which is_usual() knows lists that need no keys:
 * n composed, d decomposed, a accents dropped, l lower case, c cleaned, i
 * ideographs apart, p replaced by the map, P a mark in front, R blanks become
 * marks, E several blanks become one, | added tokens taken, x a split by an
 * expression, g one behind blanks, W blanks dropped, B punctuation apart, M a
 * mark always in front and a split there, b bytes shown, ? any other. */

struct maker {
    struct flo_import_steps *out;
    struct flo_err *err;
};

static void add_sign(struct maker *m, char sign)
{
    flo_buf_add(&m->out->signs, &sign, 1);
}

static void add_text(struct maker *m, const char *text, size_t bytes)
{
    flo_keys_item(&m->out->texts, text, bytes);
    m->out->count++;
}

/* Appends a step with texts that end at their NUL. */
static void add(struct maker *m, const char *name, const char *text, const char *with)
{
    add_text(m, name, strlen(name));
    add_text(m, text, strlen(text));
    add_text(m, with, strlen(with));
}

static bool says(const struct flo_tree_node *node, const char *key, bool absent)
{
    const struct flo_tree_node *value = flo_tree_member(node, key);
    return value == NULL || value->kind != FLO_TREE_BOOLEAN ? absent : value->text[0] == 't';
}

/* Returns a text of the object, or NULL. */
static const char *text_of(const struct flo_tree_node *node, const char *key)
{
    const struct flo_tree_node *value = flo_tree_member(node, key);
    return value != NULL && value->kind == FLO_TREE_STRING ? value->text : NULL;
}

static bool is(const char *text, const char *other)
{
    return text != NULL && strcmp(text, other) == 0;
}

/* Reads {"String": …} or {"Regex": …}, which must be supported. */
static int read_pattern(const struct maker *m, const struct flo_tree_node *node, const char *place,
                        const char **text, const char **expression)
{
    const struct flo_tree_node *pattern = flo_tree_member(node, "pattern");
    struct flo_expression *made = NULL;
    *text = text_of(pattern, "String");
    *expression = text_of(pattern, "Regex");
    if (*expression != NULL) {
        int rv = flo_expression_open(*expression, strlen(*expression), &made, m->err);
        bool cuts_only = rv == 0 && !flo_expression_matches(made);
        flo_expression_close(made);
        if (rv < 0) {
            const char *what = m->err != NULL ? m->err->what : "not supported";
            return rv == FLO_E_MEMORY
                       ? rv
                       : flo_folder_fail(m->err, "tokenizer.json: %s.pattern: %s", place, what);
        }
        bool is_isolated =
            is(text_of(node, "behavior"), "Isolated") && !says(node, "invert", false);
        return cuts_only && !is_isolated
                   ? flo_folder_fail(m->err,
                                     "tokenizer.json: %s.pattern is a lookahead that is "
                                     "built for Isolated only",
                                     place)
                   : 0;
    }
    return *text == NULL || (*text)[0] == '\0'
               ? flo_folder_fail(m->err, "tokenizer.json: %s.pattern is no text", place)
               : 0;
}

/* ---- normalizers ---- */

static int add_replace(struct maker *m, const struct flo_tree_node *node)
{
    const char *text, *expression, *content = text_of(node, "content");
    FLO_TRY(read_pattern(m, node, "normalizer/Replace", &text, &expression));
    if (content == NULL) {
        return flo_folder_fail(m->err, "tokenizer.json: normalizer/Replace.content is no text");
    }
    add(m, text != NULL ? "replace-text" : "replace", text != NULL ? text : expression, content);
    add_sign(m, is(text, " ") && is(content, MARK)            ? 'R'
                : is(expression, " {2,}") && is(content, " ") ? 'E'
                                                              : '?');
    return 0;
}

static void add_bert(struct maker *m, const struct flo_tree_node *node)
{
    bool lowers = says(node, "lowercase", true);
    const struct {
        const char *name;
        bool is_there;
        char sign;
    } steps[] = {
        {"clean", says(node, "clean_text", true), 'c'},
        {"ideographs", says(node, "handle_chinese_chars", true), 'i'},
        {"nfd", says(node, "strip_accents", lowers), 'd'},
        {"drop-accents", says(node, "strip_accents", lowers), 'a'},
        {"lower", lowers, 'l'},
    };
    for (size_t i = 0; i < FLO_COUNT(steps); i++) {
        if (steps[i].is_there) {
            add(m, steps[i].name, "", "");
            add_sign(m, steps[i].sign);
        }
    }
}

static int add_normalizer(struct maker *m, const struct flo_tree_node *node)
{
    static const struct {
        const char *type, *name;
        char sign;
    } plain[] = {
        {"NFC", "nfc", 'n'},         {"NFD", "nfd", '?'},
        {"Lowercase", "lower", '?'}, {"StripAccents", "drop-marks", '?'},
        {"Precompiled", "map", 'p'}, {"ByteLevel", "bytes", '?'},
        {"NFKC", "nfkc", '?'},       {"NFKD", "nfkd", '?'},
        {"Nmt", "nmt", '?'},
    };
    const struct flo_tree_node *type = flo_tree_member(node, "type");
    const char *text = text_of(node, "prepend");
    bool left = says(node, "strip_left", true), right = says(node, "strip_right", true);
    for (size_t i = 0; i < FLO_COUNT(plain); i++) {
        if (flo_tree_is(type, plain[i].type)) {
            add(m, plain[i].name, "", "");
            add_sign(m, plain[i].sign);
            m->out->makes_bytes = m->out->makes_bytes || is(plain[i].name, "bytes");
        }
    }
    if (flo_tree_is(type, "Replace")) {
        return add_replace(m, node);
    } else if (flo_tree_is(type, "BertNormalizer")) {
        add_bert(m, node);
    } else if (flo_tree_is(type, "Strip") && (left || right)) {
        add(m, "strip", "", left && right ? "both" : left ? "left" : "right");
        add_sign(m, '?');
    } else if (flo_tree_is(type, "Prepend") && text != NULL && text[0] != '\0') {
        add(m, "prepend", text, "");
        add_sign(m, is(text, MARK) ? 'P' : '?');
    }
    return 0;
}

/* ---- pre-tokenizers ---- */

/* Returns a behaviour as the engine names it. */
static const char *behaviour_of(const struct flo_tree_node *node)
{
    static const char *const names[][3] = {
        {"Isolated", "isolated", "not isolated"},           {"Removed", "removed", "not removed"},
        {"MergedWithPrevious", "previous", "not previous"}, {"MergedWithNext", "next", "not next"},
        {"Contiguous", "contiguous", "not contiguous"},
    };
    const char *behaviour = text_of(node, "behavior");
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (is(behaviour, names[i][0])) {
            return names[i][says(node, "invert", false) ? 2 : 1];
        }
    }
    return "isolated";
}

static void add_split(struct maker *m, const char *expression, const char *behaviour)
{
    add(m, "split", expression, behaviour);
    add_sign(m, is(behaviour, "isolated") && !m->out->makes_bytes ? 'x' : '?');
}

static int add_pattern(struct maker *m, const struct flo_tree_node *node)
{
    const char *text, *expression, *behaviour = behaviour_of(node);
    FLO_TRY(read_pattern(m, node, "pre_tokenizer/Split", &text, &expression));
    if (expression != NULL) {
        add_split(m, expression, behaviour);
    } else {
        add(m, "split-text", text, behaviour);
        add_sign(m, is(text, " ") && is(behaviour, "previous") ? 'g' : '?');
    }
    return 0;
}

static void add_byte_level(struct maker *m, const struct flo_tree_node *node)
{
    if (says(node, "add_prefix_space", true)) {
        add(m, "prefix", " ", "always");
        add_sign(m, '?');
    }
    if (says(node, "use_regex", true)) {
        add_split(m, GPT2, "isolated");
    }
    add(m, "bytes", "", "");
    add_sign(m, m->out->makes_bytes ? '?' : 'b');
    m->out->makes_bytes = true;
}

static int add_metaspace(struct maker *m, const struct flo_tree_node *node)
{
    const char *mark = text_of(node, "replacement"), *scheme = text_of(node, "prepend_scheme");
    bool has_blank = says(node, "add_prefix_space", true), splits = says(node, "split", true);
    if (mark == NULL || mark[0] == '\0') {
        return flo_folder_fail(
            m->err, "tokenizer.json: pre_tokenizer/Metaspace.replacement is no character");
    }
    if (!has_blank && scheme != NULL && !is(scheme, "never")) {
        return flo_folder_fail(m->err, "tokenizer.json: pre_tokenizer/Metaspace has "
                                       "prepend_scheme and another add_prefix_space");
    }
    scheme = scheme != NULL ? scheme : has_blank ? "always" : "never";
    add(m, "replace-text", " ", mark);
    if (!is(scheme, "never")) {
        add(m, "prefix", mark, scheme);
    }
    if (splits) {
        add(m, "split-text", mark, "next");
    }
    add_sign(m, is(mark, MARK) && is(scheme, "always") && splits ? 'M' : '?');
    return 0;
}

static int add_pre_tokenizer(struct maker *m, const struct flo_tree_node *node)
{
    const struct flo_tree_node *type = flo_tree_member(node, "type");
    const char *text = text_of(node, "delimiter");
    if (flo_tree_is(type, "Split")) {
        return add_pattern(m, node);
    }
    if (flo_tree_is(type, "Metaspace")) {
        return add_metaspace(m, node);
    }
    if (flo_tree_is(type, "Digits")) {
        add_split(m, says(node, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", "isolated");
    } else if (flo_tree_is(type, "Punctuation")) {
        bool is_joined = is(behaviour_of(node), "contiguous");
        add_split(m, is_joined ? "[" SIGN_OF_ASCII "]+" : "[" SIGN_OF_ASCII "]",
                  is_joined ? "isolated" : behaviour_of(node));
    } else if (flo_tree_is(type, "Whitespace")) {
        add_split(m, "[" WORD "]+|[^" WORD "\\s]+", "not removed");
    } else if (flo_tree_is(type, "WhitespaceSplit") || flo_tree_is(type, "BertPreTokenizer")) {
        add(m, "split", "\\s", "removed");
        add_sign(m, 'W');
        if (flo_tree_is(type, "BertPreTokenizer")) {
            add(m, "split", "[" SIGN_OF_ASCII "]", "isolated");
            add_sign(m, 'B');
        }
    } else if (flo_tree_is(type, "CharDelimiterSplit")) {
        if (text == NULL || text[0] == '\0') {
            return flo_folder_fail(
                m->err, "tokenizer.json: pre_tokenizer/CharDelimiterSplit.delimiter is no text");
        }
        add(m, "split-text", text, "removed");
        add_sign(m, '?');
    } else if (flo_tree_is(type, "ByteLevel")) {
        add_byte_level(m, node);
    }
    return 0;
}

/* Adds a part of a section, or those of a sequence. */
static int add_parts(struct maker *m, const struct flo_tree_node *node, const char *list,
                     int (*add_one)(struct maker *m, const struct flo_tree_node *node))
{
    if (!flo_tree_is(flo_tree_member(node, "type"), "Sequence")) {
        return add_one(m, node);
    }
    for (node = flo_tree_first(flo_tree_member(node, list)); node != NULL; node = node->next) {
        FLO_TRY(add_parts(m, node, list, add_one));
    }
    return 0;
}

int flo_steps_read(const struct flo_tree_node *root, struct flo_import_steps *out,
                   struct flo_err *err)
{
    struct maker m = {out, err};
    out->texts.bytes_max = out->signs.bytes_max = STEPS_BYTES_MAX;
    FLO_TRY(add_parts(&m, flo_tree_member(root, "normalizer"), "normalizers", add_normalizer));
    add(&m, "added", "", "");
    add_sign(&m, '|');
    FLO_TRY(
        add_parts(&m, flo_tree_member(root, "pre_tokenizer"), "pretokenizers", add_pre_tokenizer));
    flo_buf_add(&out->signs, "", 1);
    return out->texts.failed || out->signs.failed || out->count > (uint64_t)3 * FLO_STEPS_MAX
               ? flo_folder_fail(err,
                                 "tokenizer.json: normalizer and pre_tokenizer have more than "
                                 "%d steps, or %u bytes",
                                 FLO_STEPS_MAX, STEPS_BYTES_MAX)
               : 0;
}

void flo_import_steps_deinit(struct flo_import_steps *steps)
{
    flo_buf_deinit(&steps->texts);
    flo_buf_deinit(&steps->signs);
}

/* Tells whether the tokenizers of a kind do these steps anyway. */
static bool is_usual(const char *signs, const char *model)
{
    size_t at = 0;
    if (is(model, "gpt2")) {
        at += signs[0] == 'n' ? 1 : 0;
        at += signs[at] == '|' ? 1 : 0;
        size_t count = strspn(signs + at, "x");
        return at > 0 && signs[at - 1] == '|' && count > 0 && count <= FLO_SPLIT_EXPRESSIONS_MAX &&
               is(signs + at + count, "b");
    }
    if (is(model, "bert")) {
        return is(signs, "cidal|WB") || is(signs, "cil|WB") || is(signs, "cida|WB") ||
               is(signs, "ci|WB");
    }
    if (is(model, "t5")) {
        return is(signs, "p|WM") || is(signs, "pE|WM");
    }
    return is(signs, "R|g") || is(signs, "R|") || (is(model, "llama") && is(signs, "PR|"));
}

/* ---- added tokens ---- */

/* Flags of added tokens. */
struct flags {
    struct flo_buf left, right, single, normalized; /* ids, as a file has them */
    bool is_odd;                                    /* a flag needs steps */
};

static int check_flags(const struct flo_tree_node *token, struct flo_err *err)
{
    static const char *const known[] = {"id",     "content",    "single_word", "lstrip",
                                        "rstrip", "normalized", "special"};
    for (const struct flo_tree_node *node = flo_tree_first(token); node != NULL;
         node = node->next) {
        size_t i = 0;
        while (i < FLO_COUNT(known) && strcmp(node->key, known[i]) != 0) {
            i++;
        }
        if (i == FLO_COUNT(known)) {
            return flo_folder_fail(err,
                                   "tokenizer.json: added_tokens has \"%.64s\", which is not "
                                   "known",
                                   node->key);
        }
    }
    return 0;
}

static void add_id(struct flo_buf *list, bool is_set, int64_t id)
{
    uint8_t bytes[4];
    flo_put_u32(bytes, (uint32_t)id);
    if (is_set) {
        flo_buf_add(list, bytes, sizeof(bytes));
    }
}

/* Reads the flags.  A token behind the vocabulary must have the id that the
 * library gives it, which counts on. */
static int read_flags(const struct flo_tree_node *root, const char *model, bool has_normalizer,
                      struct flags *out, struct flo_err *err)
{
    const struct flo_tree_node *node = flo_tree_first(flo_tree_member(root, "added_tokens"));
    int64_t next =
        (int64_t)flo_tree_count(flo_tree_member(flo_tree_member(root, "model"), "vocab"));
    for (; node != NULL; node = node->next) {
        const struct flo_tree_node *text = flo_tree_member(node, "content");
        int64_t id = 0;
        FLO_TRY(check_flags(node, err));
        if (text == NULL || text->kind != FLO_TREE_STRING || text->bytes == 0 ||
            !flo_tree_whole(flo_tree_member(node, "id"), 0, INT32_MAX, &id)) {
            return flo_folder_fail(err, "tokenizer.json: added_tokens has one without text or id");
        }
        if (id > next) {
            return flo_folder_fail(err,
                                   "tokenizer.json: added_tokens has \"%.64s\" as %lld, and its "
                                   "library numbers it %lld",
                                   text->text, (long long)id, (long long)next);
        }
        next += id == next ? 1 : 0;
        bool left = says(node, "lstrip", false), right = says(node, "rstrip", false);
        bool single = says(node, "single_word", false);
        bool normal = says(node, "normalized", !says(node, "special", false));
        if (is(model, "t5") && (single || (normal && has_normalizer)) &&
            says(node, "special", false)) {
            return flo_folder_fail(err,
                                   "tokenizer.json: added_tokens has \"%.64s\" with single_word "
                                   "or normalized, and Unigram's vocabulary has it, too",
                                   text->text);
        }
        add_id(&out->left, left, id);
        add_id(&out->right, right, id);
        add_id(&out->single, single, id);
        add_id(&out->normalized, normal, id);
        bool is_word = is(model, "bert") && !says(node, "special", false);
        if (is_word && strncmp(text->text, "##", 2) == 0) {
            return flo_folder_fail(err, "tokenizer.json: added_tokens has \"%.64s\", a word's rest",
                                   text->text);
        }
        out->is_odd =
            out->is_odd || left || right || single || (normal && has_normalizer) || is_word;
    }
    return 0;
}

/* Tells whether the end of one token might begin another, so that a text has to
 * be read from left to right: some first byte stands inside a token. */
static bool overlaps(const struct flo_tree_node *root)
{
    const struct flo_tree_node *first = flo_tree_first(flo_tree_member(root, "added_tokens"));
    bool begins[256] = {false}, overlaps = false;
    for (const struct flo_tree_node *node = first; node != NULL; node = node->next) {
        begins[(uint8_t)flo_tree_member(node, "content")->text[0]] = true;
    }
    for (const struct flo_tree_node *node = first; node != NULL; node = node->next) {
        const struct flo_tree_node *text = flo_tree_member(node, "content");
        for (size_t at = 1; at < text->bytes; at++) {
            overlaps = overlaps || begins[(uint8_t)text->text[at]];
        }
    }
    return overlaps;
}

static void set_ids(struct flo_keys *keys, const char *key, const struct flo_buf *ids)
{
    if (ids->bytes > 0) {
        flo_keys_array(keys, key, FLO_GGUF_I32, ids->bytes / 4, ids->data, ids->bytes);
    }
}

static int set_steps(struct flo_keys *keys, const struct flo_import_steps *steps,
                     const struct flags *flags, struct flo_err *err)
{
    flo_keys_array(keys, "flotilla.tokenizer.steps", FLO_GGUF_STRING, steps->count,
                   steps->texts.data, steps->texts.bytes);
    set_ids(keys, "flotilla.tokenizer.strips_left", &flags->left);
    set_ids(keys, "flotilla.tokenizer.strips_right", &flags->right);
    set_ids(keys, "flotilla.tokenizer.single_word", &flags->single);
    set_ids(keys, "flotilla.tokenizer.normalized", &flags->normalized);
    return flags->left.failed || flags->right.failed || flags->single.failed ||
                   flags->normalized.failed
               ? flo_fail(err, FLO_E_MEMORY, "the flags of added tokens")
               : 0;
}

int flo_steps_set(struct flo_keys *keys, const struct flo_tree_node *root,
                  const struct flo_import_steps *steps, const char *model, bool *is_own,
                  struct flo_err *err)
{
    struct flags flags = {.left.bytes_max = STEPS_BYTES_MAX,
                          .right.bytes_max = STEPS_BYTES_MAX,
                          .single.bytes_max = STEPS_BYTES_MAX,
                          .normalized.bytes_max = STEPS_BYTES_MAX};
    const struct flo_tree_node *bpe = flo_tree_member(root, "model");
    const char *map = strchr(steps->signs.data, 'p');
    if (map != NULL && (!is(model, "t5") || strchr(map + 1, 'p') != NULL)) {
        return flo_folder_fail(err, "tokenizer.json: normalizer/Precompiled is built once, beside "
                                    "Unigram");
    }
    int rv = read_flags(root, model, steps->signs.data[0] != '|', &flags, err);
    const char *end = text_of(bpe, "end_of_word_suffix");
    bool has_end = end != NULL && end[0] != '\0';
    if (rv == 0 && has_end && !is(model, "gpt2")) {
        rv = flo_folder_fail(err, "tokenizer.json: model/BPE.end_of_word_suffix is built without "
                                  "byte_fallback only");
    }
    *is_own = rv == 0 && (!is_usual(steps->signs.data, model) || flags.is_odd || overlaps(root) ||
                          has_end || (!is(model, "gpt2") && says(bpe, "ignore_merges", false)));
    if (*is_own) {
        rv = set_steps(keys, steps, &flags, err);
        if (has_end) {
            flo_keys_text(keys, "flotilla.tokenizer.word_end", end);
        }
    }
    flo_buf_deinit(&flags.left);
    flo_buf_deinit(&flags.right);
    flo_buf_deinit(&flags.single);
    flo_buf_deinit(&flags.normalized);
    return rv;
}

/* ---- decoders ---- */

int flo_decoder_check(const struct flo_tree_node *root, const char *model, struct flo_err *err)
{
    static const char *const kinds[][2] = {
        {"ByteLevel", "gpt2"}, {"WordPiece", "bert"}, {"Sequence", "gpt2 bert llama gemma4 t5"}};
    const struct flo_tree_node *node = flo_tree_member(root, "decoder");
    for (bool is_inner = false; node != NULL && node->kind == FLO_TREE_OBJECT;) {
        const char *type = text_of(node, "type"), *fits = "llama gemma4 t5";
        for (size_t i = 0; i < FLO_COUNT(kinds); i++) {
            fits = is(type, kinds[i][0]) ? kinds[i][1] : fits;
        }
        if (type != NULL && strstr(fits, model) == NULL) {
            return flo_folder_fail(err, "tokenizer.json: decoder/%s is not built beside this model",
                                   type);
        }
        node = is_inner ? node->next : flo_tree_first(flo_tree_member(node, "decoders"));
        is_inner = true;
    }
    return 0;
}
