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

static bool is_end(const struct special *s, const char *text)
{
    return is_same(text, s->texts[SEP]) || is_same(text, s->texts[EOS]);
}

/* Reads the template of two texts: what stands between them. */
static void read_pair(struct special *s, const struct flo_tree_node *pair, const char *last)
{
    const struct flo_tree_node *item = flo_tree_first(pair);
    const char *one, *two;
    while (item != NULL && strcmp(sequence_of(item), "A") != 0) {
        item = item->next;
    }
    item = item != NULL ? item->next : NULL;
    one = token_of(item);
    two = one != NULL ? token_of(item->next) : NULL;
    if (one == NULL) {
        return;
    }
    s->adds[SEP] = (last == NULL && is_end(s, one)) || is_end(s, two) ? YES : NO;
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
    for (; last != NULL && item->next->next != NULL; item = item->next) {
        if (token_of(item->next) != NULL && sequence_of(item)[0] == 'A') {
            last = NULL; /* several behind the text: no end of it, but a form of its own */
            break;
        }
    }
    if (first != NULL) {
        set_first(s, first);
    }
    if (last != NULL) {
        set_last(s, last);
    }
    read_pair(s, flo_tree_member(processor, "pair"), last);
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

/* ---- forms of their own ---- */

#define FORM_ITEMS_MAX 16 /* as the engine reads them (vocab.h) */
enum { FIRST = -1, SECOND = -2 };

/* How tokens stand around one text, or two. */
struct form {
    uint8_t items[4 * FORM_ITEMS_MAX], types[4 * FORM_ITEMS_MAX];
    uint32_t count;
    bool is_whole; /* no item was left out */
};

static void add_item(struct form *form, int64_t item, int64_t type)
{
    form->is_whole = form->is_whole && form->count < FORM_ITEMS_MAX;
    if (form->is_whole) {
        flo_put_u32(form->items + 4 * form->count, (uint32_t)item);
        flo_put_u32(form->types + 4 * form->count++, (uint32_t)type);
    }
}

/* Appends an item of a template: a text, or a token, which stands for a list of
 * ids. */
static void add_part(struct form *form, const struct special *s,
                     const struct flo_tree_node *processor, const struct flo_tree_node *item)
{
    const struct flo_tree_node *token = flo_tree_member(item, "SpecialToken");
    const struct flo_tree_node *text = flo_tree_member(item, "Sequence");
    const struct flo_tree_node *part = token != NULL ? token : text;
    const char *name = text_of(flo_tree_member(part, "id"));
    const struct flo_tree_node *segment = flo_tree_member(part, "type_id");
    int64_t type = 0, id;
    form->is_whole =
        form->is_whole && name != NULL && (segment == NULL || flo_tree_whole(segment, 0, 1, &type));
    if (text != NULL && name != NULL) {
        form->is_whole = form->is_whole && (strcmp(name, "A") == 0 || strcmp(name, "B") == 0);
        add_item(form, name[0] == 'A' ? FIRST : SECOND, type);
    }
    if (token == NULL || name == NULL) {
        return;
    }
    const struct flo_tree_node *ids =
        flo_tree_member(flo_tree_member(processor, "special_tokens"), name);
    ids = flo_tree_first(flo_tree_member(ids, "ids"));
    if (ids == NULL) { /* another program's file */
        id = id_of(s, name);
        form->is_whole = form->is_whole && id >= 0;
        add_item(form, id, type);
    }
    for (; ids != NULL; ids = ids->next) {
        form->is_whole = form->is_whole && flo_tree_whole(ids, 0, INT32_MAX, &id);
        add_item(form, form->is_whole ? id : 0, type);
    }
}

/* Reads the form that a post-processor gives `texts` texts. */
static struct form form_of(const struct special *s, const struct flo_tree_node *processor,
                           int texts)
{
    struct form form = {.is_whole = true};
    const struct flo_tree_node *item =
        flo_tree_first(flo_tree_member(processor, texts == 1 ? "single" : "pair"));
    bool is_roberta = flo_tree_is(flo_tree_member(processor, "type"), "RobertaProcessing");
    if (flo_tree_is(flo_tree_member(processor, "type"), "TemplateProcessing")) {
        for (; item != NULL; item = item->next) {
            add_part(&form, s, processor, item);
        }
        return form;
    }
    const struct flo_tree_node *sep = flo_tree_first(flo_tree_member(processor, "sep"));
    const struct flo_tree_node *cls = flo_tree_first(flo_tree_member(processor, "cls"));
    int64_t first = 0, last = 0;
    form.is_whole = cls != NULL && sep != NULL && flo_tree_whole(cls->next, 0, INT32_MAX, &first) &&
                    flo_tree_whole(sep->next, 0, INT32_MAX, &last);
    add_item(&form, first, 0);
    for (int i = 0; i < texts; i++) {
        if (i == 1 && is_roberta) {
            add_item(&form, last, 0);
        }
        add_item(&form, FIRST - i, i == 1 && !is_roberta);
        add_item(&form, last, i == 1 && !is_roberta);
    }
    return form;
}

/* Appends the token that the keys add, if they do. */
static void add_usual(struct form *form, const struct flo_keys *keys, const char *flag,
                      const char *id_key, const char *id_otherwise, bool type)
{
    const struct flo_gguf_edit *adds = flo_keys_find(keys, flag);
    const struct flo_gguf_edit *id = flo_keys_find(keys, id_key);
    id = id == NULL && id_otherwise != NULL ? flo_keys_find(keys, id_otherwise) : id;
    if (adds != NULL && adds->is_set && id != NULL) {
        add_item(form, id->u32, type);
    }
}

/* Returns the form that the engine has by the keys alone. */
static struct form usual_form(const struct flo_keys *keys, int texts, bool has_segments)
{
    static const char end[] = "tokenizer.ggml.eos_token_id";
    static const char separator[] = "tokenizer.ggml.seperator_token_id";
    struct form form = {.is_whole = true};
    add_usual(&form, keys, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", NULL, 0);
    add_item(&form, FIRST, 0);
    add_usual(&form, keys, "tokenizer.ggml.add_eos_token", end, separator, 0);
    if (texts == 2) {
        add_usual(&form, keys, "tokenizer.ggml.add_sep_token", separator, NULL, 0);
        add_item(&form, SECOND, has_segments);
        add_usual(&form, keys, "tokenizer.ggml.add_eos_token", end, separator, has_segments);
    }
    return form;
}

static bool is_same_form(const struct form *a, const struct form *b, bool has_segments)
{
    size_t bytes = (size_t)4 * a->count;
    return a->count == b->count && memcmp(a->items, b->items, bytes) == 0 &&
           (!has_segments || memcmp(a->types, b->types, bytes) == 0);
}

/* Sets the form of one text or two, where the keys do not say it. */
static int set_form(struct flo_keys *keys, const struct special *s,
                    const struct flo_tree_node *processor, int texts, bool has_segments,
                    struct flo_err *err)
{
    const struct form form = form_of(s, processor, texts);
    const struct form usual = usual_form(keys, texts, has_segments);
    size_t bytes = (size_t)4 * form.count;
    if (!form.is_whole) {
        return flo_folder_fail(err,
                               "tokenizer.json: post_processor's form of %d text%s has more than "
                               "%d items, or a token without its ids",
                               texts, texts == 1 ? "" : "s", FORM_ITEMS_MAX);
    }
    if (!is_same_form(&form, &usual, has_segments && texts == 2)) {
        flo_keys_array(keys, texts == 1 ? "flotilla.tokenizer.single" : "flotilla.tokenizer.pair",
                       FLO_GGUF_I32, form.count, form.items, bytes);
        if (has_segments && texts == 2) {
            flo_keys_array(keys, "flotilla.tokenizer.pair_types", FLO_GGUF_I32, form.count,
                           form.types, bytes);
        }
    }
    return 0;
}

/* Returns the only post-processor that adds tokens; NULL: none does. */
static int find_template(const struct flo_tree_node *tokenizer, const struct flo_tree_node **out,
                         struct flo_err *err)
{
    const struct flo_tree_node *node = flo_tree_member(tokenizer, "post_processor");
    const struct flo_tree_node *list = flo_tree_member(node, "processors");
    unsigned count = 0;
    *out = NULL;
    for (node = list != NULL ? flo_tree_first(list) : node; node != NULL;
         node = list != NULL ? node->next : NULL) {
        const struct flo_tree_node *type = flo_tree_member(node, "type");
        if (type != NULL && !flo_tree_is(type, "ByteLevel")) {
            *out = node;
            count++;
        }
    }
    return count > 1
               ? flo_folder_fail(err, "tokenizer.json: post_processor has %u templates", count)
               : 0;
}

int flo_special_forms(struct flo_keys *keys, const struct flo_tree_node *tokenizer,
                      const struct flo_tree_node *settings, bool has_segments, struct flo_err *err)
{
    const struct special special = {.added = flo_tree_member(tokenizer, "added_tokens")};
    const struct flo_tree_node *processor;
    const char *class = text_of(flo_tree_member(settings, "tokenizer_class"));
    FLO_TRY(find_template(tokenizer, &processor, err));
    if (makes_template(settings) || processor == NULL) {
        return 0;
    }
    if (class != NULL && strncmp(class, "Gemma", 5) == 0 &&
        flo_tree_says(flo_tree_member(settings, "add_eos_token"), true)) {
        return 0; /* the class adds the end that add_eos_token asks for */
    }
    FLO_TRY(set_form(keys, &special, processor, 1, has_segments, err));
    return flo_tree_is(flo_tree_member(processor, "type"), "TemplateProcessing") &&
                   flo_tree_member(processor, "pair") == NULL
               ? 0
               : set_form(keys, &special, processor, 2, has_segments, err);
}
