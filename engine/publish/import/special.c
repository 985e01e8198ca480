/* Special: the rules are those of llama.cpp's converter.  A template of the
 * tokenizer says which tokens are added; the settings say which token is the
 * first and the last; config.json has ids for the rest. */
#include "engine/publish/import/special.h"

#include <string.h>

/* Kinds of special tokens, in the order of a file. */
enum kind { BOS, EOS, UNK, SEP, PAD, CLS, MASK, EOT, EOM, KINDS };
static const struct {
    const char *token, *id;  /* keys of tokenizer_config.json and config.json */
    const char *ours;        /* key of the file; NULL: not written */
    const char *adds, *flag; /* key of tokenizer_config.json, and of the file */
} kinds[KINDS] = {
    [BOS] = {"bos_token", "bos_token_id", "bos_token_id", "add_bos_token", "add_bos_token"},
    [EOS] = {"eos_token", "eos_token_id", "eos_token_id", "add_eos_token", "add_eos_token"},
    [UNK] = {"unk_token", "unk_token_id", "unknown_token_id", NULL, NULL},
    [SEP] = {"sep_token", "sep_token_id", "seperator_token_id", "add_sep_token", "add_sep_token"},
    [PAD] = {"pad_token", "pad_token_id", "padding_token_id", NULL, NULL},
    [CLS] = {"cls_token", "cls_token_id", NULL, NULL, NULL},
    [MASK] = {"mask_token", "mask_token_id", "mask_token_id", NULL, NULL},
    [EOT] = {"eot_token", "eot_token_id", "eot_token_id", NULL, NULL},
    [EOM] = {"eom_token", "eom_token_id", "eom_token_id", NULL, NULL},
};

enum flag { UNSET, NO, YES };
struct special {
    const struct flo_tree_node *added; /* tokens of tokenizer.json */
    const char *texts[KINDS];          /* NULL: none */
    bool has_settings, is_used[KINDS];
    enum flag adds[KINDS];
};

/* Returns a text, or the content of a token's object, or NULL. */
static const char *text_of(const struct flo_tree_node *node)
{
    node = node != NULL && node->kind == FLO_TREE_OBJECT ? flo_tree_member(node, "content") : node;
    return node != NULL && node->kind == FLO_TREE_STRING ? node->text : NULL;
}

static bool is_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

/* Returns the special token of an item of a template, or NULL. */
static const char *token_of(const struct flo_tree_node *item)
{
    return text_of(flo_tree_member(flo_tree_member(item, "SpecialToken"), "id"));
}

static const struct flo_tree_node *last_of(const struct flo_tree_node *list)
{
    const struct flo_tree_node *item = flo_tree_first(list);
    while (item != NULL && item->next != NULL) {
        item = item->next;
    }
    return item;
}

static void set_first(struct special *s, const char *first)
{
    if (!is_same(first, s->texts[BOS]) && !is_same(first, s->texts[CLS])) {
        s->texts[BOS] = s->texts[BOS] == NULL || !s->has_settings ? first : s->texts[BOS];
        s->texts[CLS] = s->texts[CLS] == NULL && s->has_settings ? first : s->texts[CLS];
    }
    s->adds[BOS] = is_same(first, s->texts[BOS]) || is_same(first, s->texts[CLS]) ? YES : NO;
}

/* Another last token than the end of a text ends a turn. */
static void set_last(struct special *s, const char *last)
{
    if (!is_same(last, s->texts[EOS])) {
        if (s->has_settings && !s->is_used[EOT]) {
            s->is_used[EOT] = true;
            s->texts[EOT] = s->texts[EOS];
        } else if (s->has_settings && !s->is_used[EOM]) {
            s->is_used[EOM] = true;
            s->texts[EOM] = s->texts[EOS];
        }
        s->texts[EOS] = last;
    }
    s->adds[EOS] = YES;
}

static const char *sequence_of(const struct flo_tree_node *item)
{
    const char *text = text_of(flo_tree_member(flo_tree_member(item, "Sequence"), "id"));
    return text != NULL ? text : "";
}

/* Reads the template of two texts, without the tokens at its ends. */
static void read_pair(struct special *s, const struct flo_tree_node *pair, const char *first,
                      const char *last)
{
    const struct flo_tree_node *item = flo_tree_first(pair);
    const struct flo_tree_node *end = last_of(pair);
    if (item == NULL) {
        return;
    }
    bool ends_last = last != NULL && is_same(token_of(end), last);
    item = first != NULL && is_same(token_of(item), first) ? item->next : item;
    const struct flo_tree_node *middle[3] = {NULL, NULL, NULL};
    const struct flo_tree_node *before = NULL;
    uint32_t count = 0;
    if (item == NULL || strcmp(sequence_of(item), "A") != 0) {
        return;
    }
    for (item = item->next; item != NULL && !(ends_last && item == end); item = item->next) {
        before = item;
        if (count < 3) {
            middle[count] = item;
        }
        count++;
    }
    if (before == NULL || strcmp(sequence_of(before), "B") != 0 || count < 2) {
        return;
    }
    const char *one = token_of(middle[0]), *two = count == 3 ? token_of(middle[1]) : NULL;
    bool is_one = one != NULL && (is_same(one, s->texts[SEP]) || is_same(one, s->texts[EOS]));
    bool is_two = two != NULL && (is_same(two, s->texts[SEP]) || is_same(two, s->texts[EOS]));
    s->adds[SEP] = (is_one && last == NULL) || is_two ? YES : NO;
    if (s->adds[SEP] == YES && s->texts[SEP] == NULL && s->has_settings) {
        s->texts[SEP] = s->texts[EOS];
    }
}

static void read_template(struct special *s, const struct flo_tree_node *processor)
{
    const struct flo_tree_node *single = flo_tree_member(processor, "single");
    const struct flo_tree_node *item = flo_tree_first(single);
    const char *first = NULL, *last = NULL;
    if (item != NULL && item->next != NULL) {
        first = token_of(item);
        last = token_of(last_of(single));
    }
    if (first != NULL) {
        set_first(s, first);
    }
    if (last != NULL) {
        set_last(s, last);
    }
    read_pair(s, flo_tree_member(processor, "pair"), first, last);
}

static void read_processor(struct special *s, const struct flo_tree_node *processor)
{
    const struct flo_tree_node *type = flo_tree_member(processor, "type");
    if (flo_tree_is(type, "ByteLevel")) {
        s->adds[BOS] = s->adds[BOS] == UNSET ? NO : s->adds[BOS];
        s->adds[EOS] = s->adds[EOS] == UNSET ? NO : s->adds[EOS];
    } else if (flo_tree_is(type, "RobertaProcessing") || flo_tree_is(type, "BertProcessing")) {
        const char *cls = text_of(flo_tree_first(flo_tree_member(processor, "cls")));
        const char *sep = text_of(flo_tree_first(flo_tree_member(processor, "sep")));
        s->adds[BOS] = s->adds[EOS] = YES;
        s->adds[SEP] = flo_tree_is(type, "RobertaProcessing") ? YES : s->adds[SEP];
        s->texts[CLS] = s->texts[CLS] == NULL ? cls : s->texts[CLS];
        s->texts[SEP] = s->texts[SEP] == NULL ? sep : s->texts[SEP];
    } else if (flo_tree_is(type, "TemplateProcessing")) {
        read_template(s, processor);
    }
}

static void read_tokenizer(struct special *s, const struct flo_tree_node *tokenizer)
{
    const struct flo_tree_node *processor = flo_tree_member(tokenizer, "post_processor");
    const struct flo_tree_node *list = flo_tree_member(processor, "processors");
    s->added = flo_tree_member(tokenizer, "added_tokens");
    s->texts[BOS] = s->texts[BOS] == NULL ? s->texts[CLS] : s->texts[BOS];
    s->texts[EOS] = s->texts[EOS] == NULL ? s->texts[SEP] : s->texts[EOS];
    if (list == NULL) {
        read_processor(s, processor);
    }
    for (list = flo_tree_first(list); list != NULL; list = list->next) {
        read_processor(s, list);
    }
}

/* Tells whether the class of these settings makes its own template, by
 * add_bos_token and add_eos_token. */
static bool makes_template(const struct flo_tree_node *settings)
{
    const char *class = text_of(flo_tree_member(settings, "tokenizer_class"));
    return class != NULL &&
           (strncmp(class, "Llama", 5) == 0 || strncmp(class, "CodeLlama", 9) == 0);
}

/* Where no template adds a token, and no class does, none is added. */
static void read_settings(struct special *s, const struct flo_tree_node *settings, bool has_json)
{
    bool is_own = makes_template(settings);
    for (int i = 0; i < KINDS; i++) {
        const struct flo_tree_node *adds =
            kinds[i].adds != NULL ? flo_tree_member(settings, kinds[i].adds) : NULL;
        if ((s->adds[i] == UNSET || is_own) && adds != NULL && adds->kind == FLO_TREE_BOOLEAN) {
            s->adds[i] = adds->text[0] == 't' ? YES : NO;
        }
    }
    for (int i = BOS; i <= EOS; i++) {
        s->adds[i] = s->adds[i] == UNSET && has_json && !is_own ? NO : s->adds[i];
    }
}

/* Returns the id of an added token, or -1. */
static int64_t id_of(const struct special *s, const char *text)
{
    const struct flo_tree_node *node = flo_tree_first(s->added);
    int64_t id;
    while (text != NULL && node != NULL && !flo_tree_is(flo_tree_member(node, "content"), text)) {
        node = node->next;
    }
    return text != NULL && flo_tree_whole(flo_tree_member(node, "id"), 0, INT32_MAX, &id) ? id : -1;
}

/* Tells whether the file says how a text is lower-cased. */
static void set_normaliser(struct flo_keys *keys, const struct flo_tree_node *node)
{
    const struct flo_tree_node *type = flo_tree_member(node, "type");
    static const char *const names[][2] = {
        {"lowercase", "tokenizer.ggml.normalizer.lowercase"},
        {"strip_accents", "tokenizer.ggml.normalizer.strip_accents"}};
    if (flo_tree_is(type, "Lowercase") || flo_tree_is(type, "StripAccents")) {
        flo_keys_bool(keys, names[flo_tree_is(type, "Lowercase") ? 0 : 1][1], true);
    }
    for (size_t i = 0; i < FLO_COUNT(names) && flo_tree_is(type, "BertNormalizer"); i++) {
        const struct flo_tree_node *value = flo_tree_member(node, names[i][0]);
        if (value != NULL && value->kind == FLO_TREE_BOOLEAN) {
            flo_keys_bool(keys, names[i][1], value->text[0] == 't');
        }
    }
    for (node = flo_tree_first(flo_tree_member(node, "normalizers")); node != NULL;
         node = node->next) {
        if (flo_tree_member(node, "normalizers") == NULL) {
            set_normaliser(keys, node);
        }
    }
}

void flo_special_set(struct flo_keys *keys, const struct flo_tree_node *tokenizer,
                     const struct flo_tree_node *settings, const struct flo_config *config,
                     uint32_t count)
{
    struct special special = {.has_settings = settings != NULL};
    for (int i = 0; i < KINDS; i++) {
        special.texts[i] = text_of(flo_tree_member(settings, kinds[i].token));
        special.is_used[i] = i < EOT;
    }
    if (tokenizer != NULL) {
        read_tokenizer(&special, tokenizer);
    }
    read_settings(&special, settings, tokenizer != NULL);
    for (int i = 0; i < KINDS; i++) {
        char key[64];
        uint32_t number = UINT32_MAX;
        int64_t id = special.has_settings ? id_of(&special, special.texts[i]) : -1;
        if (!special.is_used[i] || kinds[i].ours == NULL) {
            continue;
        }
        if ((id < 0 || id >= count) &&
            flo_config_u32(config, kinds[i].id, INT32_MAX, &number, NULL) == 0) {
            id = number;
        }
        snprintf(key, sizeof(key), "tokenizer.ggml.%s", kinds[i].ours);
        if (id >= 0 && id < count) {
            flo_keys_u32(keys, key, (uint32_t)id);
        }
    }
    for (int i = 0; i < KINDS; i++) {
        char key[64];
        if (special.adds[i] != UNSET && kinds[i].flag != NULL) {
            snprintf(key, sizeof(key), "tokenizer.ggml.%s", kinds[i].flag);
            flo_keys_bool(keys, key, special.adds[i] == YES);
        }
    }
    set_normaliser(keys, flo_tree_member(tokenizer, "normalizer"));
}

/* ---- what a file cannot say ---- */

/* The tokens that post-processors put around one text. */
struct ends {
    const char *front, *back; /* NULL: none */
    unsigned front_count, back_count, template_count;
};

static void read_ends(struct ends *ends, const struct flo_tree_node *processor)
{
    const struct flo_tree_node *type = flo_tree_member(processor, "type");
    const struct flo_tree_node *item = flo_tree_first(flo_tree_member(processor, "single"));
    bool is_behind = false;
    if (flo_tree_is(type, "RobertaProcessing") || flo_tree_is(type, "BertProcessing")) {
        ends->front = text_of(flo_tree_first(flo_tree_member(processor, "cls")));
        ends->back = text_of(flo_tree_first(flo_tree_member(processor, "sep")));
        ends->front_count = ends->back_count = 1;
        ends->template_count++;
    }
    ends->template_count += flo_tree_is(type, "TemplateProcessing") ? 1 : 0;
    for (; item != NULL; item = item->next) {
        const char *token = token_of(item);
        if (token == NULL) {
            is_behind = true;
        } else if (is_behind) {
            ends->back = token;
            ends->back_count++;
        } else {
            ends->front = token;
            ends->front_count++;
        }
    }
}

/* Returns the token that the keys add, or NULL. */
static const char *added_token(const struct flo_keys *keys, const struct flo_import_pieces *pieces,
                               const char *flag, const char *id_key, const char *id_otherwise)
{
    const struct flo_gguf_edit *adds = flo_keys_find(keys, flag);
    const struct flo_gguf_edit *id = flo_keys_find(keys, id_key);
    id = id == NULL && id_otherwise != NULL ? flo_keys_find(keys, id_otherwise) : id;
    return adds != NULL && adds->is_set && id != NULL ? pieces->items[id->u32].text : NULL;
}

static int check_end(const char *wanted, unsigned count, const char *is, const char *flag,
                     struct flo_err *err)
{
    if (count > 1 || (wanted != is && !is_same(wanted, is))) {
        return flo_folder_fail(err,
                               "tokenizer.json: post_processor has %.64s (%u tokens) where "
                               "tokenizer_config.json has %.64s (%s)",
                               wanted != NULL ? wanted : "none", count, is != NULL ? is : "none",
                               flag);
    }
    return 0;
}

int flo_special_check(const struct flo_keys *keys, const struct flo_tree_node *tokenizer,
                      const struct flo_tree_node *settings, const struct flo_import_pieces *pieces,
                      struct flo_err *err)
{
    const struct flo_tree_node *processor = flo_tree_member(tokenizer, "post_processor");
    const struct flo_tree_node *list = flo_tree_member(processor, "processors");
    struct ends ends = {0};
    if (list == NULL) {
        read_ends(&ends, processor);
    }
    for (list = flo_tree_first(list); list != NULL; list = list->next) {
        read_ends(&ends, list);
    }
    if (makes_template(settings) || ends.template_count == 0) {
        return 0;
    }
    if (ends.template_count > 1) {
        return flo_folder_fail(err, "tokenizer.json: post_processor has %u templates",
                               ends.template_count);
    }
    FLO_TRY(check_end(ends.front, ends.front_count,
                      added_token(keys, pieces, "tokenizer.ggml.add_bos_token",
                                  "tokenizer.ggml.bos_token_id", NULL),
                      "add_bos_token", err));
    const char *class = text_of(flo_tree_member(settings, "tokenizer_class"));
    if (class != NULL && strncmp(class, "Gemma", 5) == 0 && ends.back_count == 0) {
        return 0; /* the class adds the end that add_eos_token asks for */
    }
    return check_end(ends.back, ends.back_count,
                     added_token(keys, pieces, "tokenizer.ggml.add_eos_token",
                                 "tokenizer.ggml.eos_token_id",
                                 "tokenizer.ggml.seperator_token_id"),
                     "add_eos_token", err);
}
