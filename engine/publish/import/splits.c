#include "engine/publish/import/splits.h"

#include <string.h>

#define SPLITS_MAX 16
#define SPLIT_BYTES_MAX (64u << 10)

#define APOSTROPHES "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BLANKS "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define BEFORE "[^\\r\\n\\p{L}\\p{N}]?"
#define OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" BLANKS
#define PATHS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*" BLANKS
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 APOSTROPHES "|" BEFORE "\\p{L}+|\\p{N}{1,3}" OTHERS

/* Names of splits.  The first row that fits is taken: by architecture where one
 * is given, and by the first expression. */
static const struct name {
    const char *arch;  /* NULL: any */
    const char *first; /* NULL: any */
    bool is_whole;     /* true: only where whole words are looked up before merges */
    const char *name;
} names[] = {
    {"lfm2", NULL, false, "lfm2"},
    {"lfm2moe", NULL, false, "lfm2"},
    {"lfm3", NULL, false, "lfm2"},
    {"hunyuan-dense", NULL, false, "hunyuan-dense"},
    {"exaone4", NULL, false, "exaone4"},
    {"falcon-h1", NULL, false, "falcon-h1"},
    {"modern-bert", NULL, false, "modern-bert"},
    {NULL, LLAMA3, true, "llama-bpe"},
    {NULL, LLAMA3, false, "dbrx"},
    {NULL, APOSTROPHES "|" BEFORE "\\p{L}+|\\p{N}" OTHERS, false, "qwen2"},
    {NULL,
     APOSTROPHES "|" BEFORE "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" BLANKS,
     false, "qwen35"},
    {NULL, BEFORE UPPER "*" LOWER "+|" BEFORE UPPER "+" LOWER "*|\\p{N}" PATHS, false, "tekken"},
    {NULL,
     BEFORE UPPER "*" LOWER "+" APOSTROPHES "?|" BEFORE UPPER "+" LOWER "*" APOSTROPHES
                  "?|\\p{N}{1,3}" PATHS,
     false, "gpt-4o"},
    {NULL, "\\p{N}", false, "smollm"},
    {NULL, GPT2, false, "gpt-2"},
};

/* Expressions of a folder, borrowed. */
struct splits {
    const char *texts[SPLITS_MAX];
    uint32_t count;
};

static void add(struct splits *splits, const char *text)
{
    if (splits->count < SPLITS_MAX) {
        splits->texts[splits->count++] = text;
    }
}

static bool is_set(const struct flo_tree_node *node, const char *key, bool absent)
{
    const struct flo_tree_node *value = flo_tree_member(node, key);
    return value != NULL && value->kind == FLO_TREE_BOOLEAN ? value->text[0] == 't' : absent;
}

/* Adds what one part of the pre-tokenizer does, as an expression. */
static void add_part(struct splits *splits, const struct flo_tree_node *node)
{
    const struct flo_tree_node *type = flo_tree_member(node, "type");
    if (flo_tree_is(type, "Split")) {
        const struct flo_tree_node *text =
            flo_tree_member(flo_tree_member(node, "pattern"), "Regex");
        if (text != NULL && text->kind == FLO_TREE_STRING &&
            flo_tree_is(flo_tree_member(node, "behavior"), "Isolated")) {
            add(splits, text->text);
        }
    } else if (flo_tree_is(type, "Digits")) {
        add(splits, is_set(node, "individual_digits", false) ? "\\p{N}" : "\\p{N}+");
    } else if (flo_tree_is(type, "Punctuation")) {
        add(splits, flo_tree_is(flo_tree_member(node, "behavior"), "Contiguous")
                        ? "[\\p{P}\\$\\+<=>\\^~\\|`]+"
                        : "[\\p{P}\\$\\+<=>\\^~\\|`]");
    } else if (flo_tree_is(type, "ByteLevel") && is_set(node, "use_regex", true)) {
        add(splits, GPT2);
    }
}

static void collect(struct splits *splits, const struct flo_tree_node *node)
{
    const struct flo_tree_node *parts = flo_tree_member(node, "pretokenizers");
    if (parts == NULL) {
        add_part(splits, node);
    }
    for (parts = flo_tree_first(parts); parts != NULL; parts = parts->next) {
        add_part(splits, parts);
    }
}

static bool fits(const struct name *row, const char *arch, const char *first, bool is_whole)
{
    return (row->arch == NULL || strcmp(row->arch, arch) == 0) &&
           (row->first == NULL || strcmp(row->first, first) == 0) && (!row->is_whole || is_whole);
}

static const char *name_of(const struct splits *splits, const char *arch, bool is_whole)
{
    const char *first = splits->count > 0 ? splits->texts[0] : "";
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        if (fits(&names[i], arch, first, is_whole)) {
            return names[i].name;
        }
    }
    return "default";
}

/* Tells whether the normaliser, or one of its parts, is this one. */
static bool normalises(const struct flo_tree_node *node, const char *type)
{
    if (flo_tree_is(flo_tree_member(node, "type"), type)) {
        return true;
    }
    node = flo_tree_first(flo_tree_member(node, "normalizers"));
    while (node != NULL && !flo_tree_is(flo_tree_member(node, "type"), type)) {
        node = node->next;
    }
    return node != NULL;
}

void flo_splits_set(struct flo_keys *keys, const char *arch, const struct flo_tree_node *root,
                    bool is_own)
{
    struct splits splits = {0};
    struct flo_buf items = {.bytes_max = SPLIT_BYTES_MAX};
    collect(&splits, flo_tree_member(root, "pre_tokenizer"));
    bool is_whole = is_set(flo_tree_member(root, "model"), "ignore_merges", false);
    flo_keys_text(keys, "tokenizer.ggml.pre", name_of(&splits, arch, is_whole));
    flo_keys_bool(keys, "flotilla.tokenizer.ignore_merges", is_whole);
    for (uint32_t i = 0; i < splits.count; i++) {
        flo_keys_item(&items, splits.texts[i], strlen(splits.texts[i]));
    }
    if (splits.count > 0 && !items.failed && !is_own) {
        flo_keys_array(keys, "flotilla.tokenizer.split", FLO_GGUF_STRING, splits.count, items.data,
                       items.bytes);
    }
    flo_buf_deinit(&items);
    if (normalises(flo_tree_member(root, "normalizer"), "NFC")) {
        flo_keys_text(keys, "flotilla.tokenizer.normalizer", "nfc");
    }
}
