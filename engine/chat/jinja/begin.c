/* Jinja: defines the variables that a template can read, from messages and
 * JSON.
 *
 * Texts in JSON are decoded in a copy that lives as long as the rendering.  All
 * input texts share one array of marks. */
#include "engine/chat/jinja/interpreter.h"

#include <ctype.h>
#include <stdio.h>

#include "base/fnv.h"
#include "base/tree/tree.h"

/* Least length of the array of marks, because numbers that are printed for a
 * message need marks as well as its texts. */
#define SAID_BYTES_MIN 64
#define ID_BYTES 9

/* ---- JSON to values ---- */

static struct jinja_value said(struct jinja_run *run, const char *text, size_t bytes)
{
    struct jinja_value out = flo_jinja_text((struct jinja_text){text, run->said, bytes});
    out.is_said = true;
    return out;
}

static struct jinja_value number_of(struct jinja_run *run, const struct flo_tree_node *node)
{
    int64_t whole = 0;
    bool is_whole = node->bytes <= 18;
    for (size_t i = 0; is_whole && i < node->bytes; i++) {
        char c = node->text[i];
        is_whole = isdigit((unsigned char)c) || (c == '-' && i == 0);
        whole = c == '-' ? whole : 10 * whole + (c - '0');
    }
    return is_whole ? flo_jinja_number(node->text[0] == '-' ? -whole : whole)
                    : flo_jinja_real(run, node->text, node->bytes);
}

static struct jinja_value value_of(struct jinja_run *run, const struct flo_tree_node *node);

static size_t count_children(const struct flo_tree_node *node)
{
    size_t count = 0;
    for (node = node->first; node != NULL; node = node->next) {
        count++;
    }
    return count;
}

static struct jinja_value list_of(struct jinja_run *run, const struct flo_tree_node *node)
{
    struct jinja_value out = flo_jinja_list(run);
    size_t count = count_children(node);
    if (run->rv == 0) {
        out.list->items = flo_jinja_need(run, count, sizeof(*out.list->items));
        out.list->capacity = count;
    }
    for (node = node->first; node != NULL && run->rv == 0; node = node->next) {
        flo_jinja_append(run, out.list, value_of(run, node));
    }
    return out;
}

static uint64_t hash_of(struct jinja_text text)
{
    return flo_fnv1a(FLO_FNV_BASIS, text.data, text.bytes);
}

/* Makes a dict of an object.  A repeated key has its first position and its
 * last value.  Keys are found in a hash table of positions + 1. */
static struct jinja_value dict_of(struct jinja_run *run, const struct flo_tree_node *node)
{
    struct jinja_value out = {.kind = KIND_DICT};
    size_t count = count_children(node), slots = 4;
    while (slots < 2 * count) {
        slots *= 2;
    }
    struct jinja_dict *dict = flo_jinja_need(run, 1, sizeof(*dict));
    struct jinja_entry *entries = flo_jinja_need(run, count + 1, sizeof(*entries));
    uint32_t *table = flo_jinja_need(run, slots, sizeof(*table));
    if (table == NULL) {
        return out;
    }
    dict->entries = entries;
    dict->capacity = count + 1;
    for (node = node->first; node != NULL && run->rv == 0; node = node->next) {
        struct jinja_text key = said(run, node->key, node->key_bytes).text;
        size_t at = hash_of(key) & (slots - 1);
        while (table[at] != 0 && !flo_jinja_same(entries[table[at] - 1].key, key)) {
            at = (at + 1) & (slots - 1);
            flo_jinja_spend(run, 1);
        }
        if (table[at] == 0) {
            table[at] = (uint32_t)++dict->count;
        }
        entries[table[at] - 1] = (struct jinja_entry){key, value_of(run, node)};
    }
    out.dict = dict;
    return out;
}

static struct jinja_value value_of(struct jinja_run *run, const struct flo_tree_node *node)
{
    struct jinja_value out = {.kind = KIND_NONE};
    switch (node->kind) {
    case FLO_TREE_BOOLEAN:
        out = flo_jinja_bool(node->text[0] == 't');
        break;
    case FLO_TREE_NUMBER:
        out = number_of(run, node);
        break;
    case FLO_TREE_STRING:
        return said(run, node->text, node->bytes);
    case FLO_TREE_ARRAY:
        out = list_of(run, node);
        break;
    case FLO_TREE_OBJECT:
        out = dict_of(run, node);
        break;
    default:
        break;
    }
    flo_jinja_spend(run, 1);
    out.is_said = true;
    return out;
}

/* Fails with an error that names the input, not the template. */
static void refuse(struct jinja_run *run, int code, const char *name, const char *why)
{
    if (run->rv == 0) {
        run->rv = flo_fail(run->err, code, "%s: %s", name, why);
    }
}

/* Parses JSON to a tree.  Its strings are decoded in a copy of the text. */
static int read_tree(struct jinja_run *run, const char *text, size_t bytes, struct flo_tree *tree,
                     struct flo_err *err)
{
    char *copy = flo_jinja_need(run, bytes + 1, 1);
    /* The tree may have as many values as fit into the memory of a
     * rendering. */
    size_t most = run->pool.bytes_max / sizeof(struct jinja_value);
    if (copy == NULL) {
        return run->rv;
    }
    memcpy(copy, text, bytes);
    most = most < FLO_TREE_NODES_MAX ? most : FLO_TREE_NODES_MAX;
    return flo_tree_read(tree, copy, bytes, (uint32_t)most, 0, NULL, err);
}

/* Parses JSON to a value, which must be of this kind. */
static struct jinja_value read_json(struct jinja_run *run, const char *name, const char *text,
                                    size_t bytes, enum flo_tree_kind kind)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    struct flo_err why = {0};
    struct jinja_value out = {.kind = KIND_UNDEFINED};
    int rv = read_tree(run, text, bytes, &tree, &why);
    if (rv < 0) {
        refuse(run, rv, name, why.what);
    } else if (tree.nodes[0].kind != kind) {
        refuse(run, FLO_E_INFER_PARAM, name,
               kind == FLO_TREE_ARRAY ? "no JSON list" : "no JSON object");
    } else if (tree.has_odd) {
        refuse(run, FLO_E_INFER_PARAM, name, "a text has \\u0000 or half of a character");
    } else {
        out = value_of(run, &tree.nodes[0]);
    }
    return out;
}

/* ---- messages ---- */

/* Shortens the id of a call.  An id of nine letters and digits is unchanged.
 * Any other becomes nine that are computed from it, so a call and its result
 * still match. */
static void shorten(struct jinja_run *run, struct jinja_value *id)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t hash = hash_of(id->text);
    bool fits = id->text.bytes == ID_BYTES;
    if (id->kind != KIND_TEXT) {
        return;
    }
    for (size_t i = 0; i < id->text.bytes; i++) {
        unsigned char c = (unsigned char)id->text.data[i];
        fits = fits && c < 0x80 && isalnum(c);
    }
    char *out = fits ? NULL : flo_jinja_need(run, ID_BYTES, 1);
    for (size_t i = 0; out != NULL && i < ID_BYTES; i++, hash /= 36) {
        out[i] = digits[hash % 36];
    }
    if (out != NULL) {
        *id = said(run, out, ID_BYTES);
    }
}

static struct jinja_value *member(struct jinja_value *object, const char *name)
{
    return object->kind == KIND_DICT
               ? (struct jinja_value *)(uintptr_t)flo_jinja_find(object->dict, jinja_text_of(name))
               : NULL;
}

/* Converts a call's arguments to text or to an object, as the template wants
 * them. */
static void fit_arguments(struct jinja_run *run, struct jinja_value *arguments, bool wants_text)
{
    if (wants_text && arguments->kind == KIND_DICT) {
        *arguments = flo_jinja_json(run, arguments, &(struct jinja_args){0});
    } else if (!wants_text && arguments->kind == KIND_TEXT) {
        struct flo_tree tree = {0};
        struct flo_err ignored;
        int rv = read_tree(run, arguments->text.data, arguments->text.bytes, &tree, &ignored);
        /* A text that is no JSON object stays a text, which the template may
         * print. */
        if (rv == 0 && !tree.has_odd && tree.nodes[0].kind == FLO_TREE_OBJECT) {
            *arguments = value_of(run, &tree.nodes[0]);
        } else if (rv == FLO_E_MEMORY) {
            refuse(run, rv, "arguments", "the system gave no memory");
        }
        flo_tree_deinit(&tree);
    }
}

static void fit_calls(struct jinja_run *run, struct jinja_value *message,
                      const struct flo_jinja_input *input)
{
    struct jinja_value *calls = member(message, "tool_calls");
    struct jinja_value *id = member(message, "tool_call_id");
    if (id != NULL && input->has_short_ids) {
        shorten(run, id);
    }
    for (size_t i = 0;
         calls != NULL && calls->kind == KIND_LIST && i < calls->list->count && run->rv == 0; i++) {
        struct jinja_value *call = &calls->list->items[i];
        struct jinja_value *function = member(call, "function");
        struct jinja_value *arguments = function != NULL ? member(function, "arguments") : NULL;
        id = member(call, "id");
        if (id != NULL && input->has_short_ids) {
            shorten(run, id);
        }
        if (arguments != NULL) {
            fit_arguments(run, arguments, input->has_text_calls);
        }
    }
}

/* Makes the dict of a message, from its role, its content and the members of
 * `more`. */
static struct jinja_value message_of(struct jinja_run *run, const struct flo_jinja_input *input,
                                     size_t at)
{
    const struct flo_engine_message *message = &input->messages[at];
    struct jinja_value out = {.kind = KIND_DICT};
    struct jinja_value more = {.kind = KIND_UNDEFINED};
    char name[64];
    snprintf(name, sizeof(name), "message %zu: `more`", at);
    if (message->more != NULL) {
        more = read_json(run, name, message->more, message->more_bytes, FLO_TREE_OBJECT);
    }
    struct jinja_value *content = member(&more, "content");
    if (member(&more, "role") != NULL || (content != NULL && message->text != NULL)) {
        refuse(run, FLO_E_INFER_PARAM, name, "it has a role, or a content next to the text");
    }
    out.dict = flo_jinja_need(run, 1, sizeof(*out.dict));
    if (run->rv < 0) {
        return out;
    }
    flo_jinja_put(run, out.dict, jinja_text_of("role"),
                  flo_jinja_text(jinja_text_of(message->role)));
    flo_jinja_put(run, out.dict, jinja_text_of("content"),
                  flo_jinja_text(message->bytes > 0
                                     ? (struct jinja_text){message->text, run->said, message->bytes}
                                     : jinja_text_of("")));
    for (size_t i = 0; more.kind == KIND_DICT && i < more.dict->count; i++) {
        flo_jinja_put(run, out.dict, more.dict->entries[i].key, more.dict->entries[i].value);
    }
    fit_calls(run, &out, input);
    return out;
}

/* ---- all of them ---- */

/* Makes the array of marks, which is as long as the longest text of the
 * input. */
static void make_marks(struct jinja_run *run, const struct flo_jinja_input *input)
{
    size_t most = SAID_BYTES_MIN;
    const struct flo_engine_setting *setting = input->setting;
    for (size_t i = 0; i < input->count; i++) {
        const struct flo_engine_message *message = &input->messages[i];
        most = message->bytes > most ? message->bytes : most;
        most = message->more_bytes > most ? message->more_bytes : most;
    }
    most = input->documents_bytes > most ? input->documents_bytes : most;
    if (setting != NULL) {
        size_t effort = setting->effort != NULL ? strlen(setting->effort) : 0;
        most = setting->tools_bytes > most ? setting->tools_bytes : most;
        most = effort > most ? effort : most;
    }
    uint8_t *marks = flo_jinja_need(run, most, 1);
    if (marks != NULL) {
        memset(marks, 1, most);
    }
    run->said = marks;
}

static void set(struct jinja_run *run, const char *name, struct jinja_value value)
{
    if (run->rv == 0) {
        flo_jinja_put(run, &run->root.names, jinja_text_of(name), value);
    }
}

void flo_jinja_begin(struct jinja_run *run, const struct flo_jinja_input *input)
{
    static const struct flo_engine_setting nothing;
    const struct flo_engine_setting *setting = input->setting != NULL ? input->setting : &nothing;
    struct jinja_value messages = flo_jinja_list(run);
    struct jinja_value tools = {.kind = KIND_NONE};
    struct jinja_value documents = {.kind = KIND_NONE};

    make_marks(run, input);
    for (size_t i = 0; run->rv == 0 && i < input->count; i++) {
        flo_jinja_append(run, messages.list, message_of(run, input, i));
    }
    if (run->rv == 0 && setting->tools != NULL) {
        tools = read_json(run, "tools", setting->tools, setting->tools_bytes, FLO_TREE_ARRAY);
    }
    if (run->rv == 0 && input->documents != NULL) {
        documents =
            read_json(run, "documents", input->documents, input->documents_bytes, FLO_TREE_ARRAY);
    }
    set(run, "messages", messages);
    set(run, "tools", tools);
    set(run, "documents", documents);
    set(run, "add_generation_prompt", flo_jinja_bool(!input->is_whole));
    set(run, "bos_token", flo_jinja_text(jinja_text_of(input->bos)));
    set(run, "eos_token", flo_jinja_text(jinja_text_of(input->eos)));
    if (setting->thinking != FLO_THINKING_AUTO) {
        set(run, "enable_thinking", flo_jinja_bool(setting->thinking == FLO_THINKING_ON));
    }
    if (setting->effort != NULL) {
        set(run, "reasoning_effort", said(run, setting->effort, strlen(setting->effort)));
    }
    run->now_ms = setting->now_ms;
}
