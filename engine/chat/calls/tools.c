/* Tools: parses the tools of a request, and makes a short list of them. */
#include "engine/chat/calls/tools.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 32768u
#define HEAD_BYTES 3 /* bytes in front of the text of each entry of the list */

static int refuse(struct flo_err *err, uint32_t i, const char *what)
{
    return flo_fail(err, FLO_E_INFER_PARAM, "tools[%u] %s", i, what);
}

const struct flo_tree_node *flo_tool_name(const struct flo_tools *tools, uint32_t i)
{
    return flo_tree_member(tools->functions[i], "name");
}

/* Tells whether an earlier tool has this name. */
static bool has_name(const struct flo_tools *tools, const struct flo_tree_node *name)
{
    uint32_t i = 0;

    while (i < tools->count && !flo_tree_is(flo_tool_name(tools, i), name->text)) {
        i++;
    }
    return i < tools->count;
}

static bool is_name(const struct flo_tree_node *n)
{
    bool is_one =
        n != NULL && n->kind == FLO_TREE_STRING && n->bytes > 0 && n->bytes <= FLO_TOOL_NAME_MAX;

    for (size_t i = 0; is_one && i < n->bytes; i++) {
        is_one = flo_tool_name_has(n->text[i]);
    }
    return is_one;
}

static int take(struct flo_tools *tools, const struct flo_tree_node *entry, struct flo_err *err)
{
    const struct flo_tree_node *function = flo_tree_member(entry, "function");
    const struct flo_tree_node *name = flo_tree_member(function, "name");
    const struct flo_tree_node *takes = flo_tree_member(function, "parameters");
    uint32_t i = tools->count;

    if (!is_name(name)) {
        return refuse(err, i, "has no name of 1 to 64 letters, digits, _, - and .");
    }
    if (has_name(tools, name)) {
        return refuse(err, i, "has the name of one before it");
    }
    if (takes != NULL && takes->kind != FLO_TREE_OBJECT) {
        return refuse(err, i, "has parameters that are no schema");
    }
    tools->functions[tools->count++] = function;
    return 0;
}

int flo_tools_open(struct flo_tools *tools, const char *text, size_t bytes, uint32_t room,
                   struct flo_err *err)
{
    int rv = 0;

    tools->text = malloc(bytes + 1);
    tools->functions = calloc(FLO_TOOLS_MAX, sizeof(*tools->functions));
    if (bytes > FLO_TOOLS_BYTES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tools: %zu bytes, at most %u are read", bytes,
                        FLO_TOOLS_BYTES_MAX);
    }
    if (tools->text == NULL || tools->functions == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for tools");
    }
    memcpy(tools->text, text, bytes);
    rv = flo_tree_read(&tools->tree, tools->text, bytes, VALUES_MAX, room, NULL, err);
    if (rv == 0 && tools->tree.has_odd) {
        rv = flo_fail(err, FLO_E_INFER_PARAM, "a text with U+0000 or half of a surrogate pair");
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "tools");
    }
    if (tools->tree.nodes->kind != FLO_TREE_ARRAY) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tools must be a list");
    }
    for (const struct flo_tree_node *n = tools->tree.nodes->first; rv == 0 && n != NULL;
         n = n->next) {
        if (n->next == NULL && flo_tree_member(n, "function") == NULL) {
            tools->answer = flo_tree_member(n, "answer");
            if (tools->answer != NULL) {
                break;
            }
        }
        rv = tools->count == FLO_TOOLS_MAX
                 ? flo_fail(err, FLO_E_INFER_PARAM, "more than %u tools", FLO_TOOLS_MAX)
                 : take(tools, n, err);
    }
    return rv;
}

void flo_tools_close(struct flo_tools *tools)
{
    flo_tree_deinit(&tools->tree);
    free(tools->functions);
    free(tools->text);
    memset(tools, 0, sizeof(*tools));
}

/* ---- texts ---- */

static bool lists_texts(const struct flo_tree_node *list)
{
    const struct flo_tree_node *n = flo_tree_first(list);
    bool is_first = n != NULL;

    while (n != NULL && n->kind == FLO_TREE_STRING) {
        n = n->next;
    }
    return is_first && n == NULL;
}

static bool has_any(const struct flo_tree_node *schema, const char *const *keys, size_t count)
{
    size_t i = 0;

    while (i < count && flo_tree_member(schema, keys[i]) == NULL) {
        i++;
    }
    return i < count;
}

static bool has_parts(const struct flo_tree_node *schema)
{
    static const char *const keys[] = {"anyOf", "oneOf", "allOf", "$ref", "not"};

    return has_any(schema, keys, FLO_COUNT(keys));
}

static bool has_bounds(const struct flo_tree_node *schema)
{
    static const char *const keys[] = {"pattern", "format", "minLength", "maxLength"};

    return has_any(schema, keys, FLO_COUNT(keys));
}

static bool names_text(const struct flo_tree_node *type)
{
    return flo_tree_is(type, "string");
}

static bool names_null(const struct flo_tree_node *type)
{
    return flo_tree_is(type, "null");
}

static bool is_text(const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = flo_tree_member(schema, "type");
    const struct flo_tree_node *list = flo_tree_member(schema, "enum");
    const struct flo_tree_node *one = flo_tree_member(schema, "const");

    if ((type != NULL && !names_text(type)) || has_parts(schema)) {
        return false;
    }
    if (list == NULL && one == NULL) {
        return type != NULL;
    }
    return !has_bounds(schema) &&
           (list == NULL ? one->kind == FLO_TREE_STRING : one == NULL && lists_texts(list));
}

static bool is_null(const struct flo_tree_node *schema)
{
    return names_null(flo_tree_member(schema, "type"));
}

/* Returns the element of a list of two for which `fits` is true, if
 * `is_nothing` is true for the other element.  Returns NULL for any other
 * list. */
static const struct flo_tree_node *beside_null(const struct flo_tree_node *list,
                                               bool (*fits)(const struct flo_tree_node *),
                                               bool (*is_nothing)(const struct flo_tree_node *))
{
    const struct flo_tree_node *a = flo_tree_first(list);
    const struct flo_tree_node *b = a == NULL ? NULL : a->next;

    if (b == NULL || b->next != NULL) {
        return NULL;
    }
    return fits(a) && is_nothing(b) ? a : fits(b) && is_nothing(a) ? b : NULL;
}

/* Returns the schema of a text that may also be null.  Returns NULL if the
 * schema is not of this kind. */
static const struct flo_tree_node *text_or_null(const struct flo_tree_node *schema)
{
    static const char *const values[] = {"enum", "const", "allOf", "$ref", "not"};
    const struct flo_tree_node *type = flo_tree_member(schema, "type");
    const struct flo_tree_node *any = flo_tree_member(schema, "anyOf");
    const struct flo_tree_node *one = flo_tree_member(schema, "oneOf");

    if (has_any(schema, values, FLO_COUNT(values))) {
        return NULL;
    }
    if (any == NULL && one == NULL) {
        return beside_null(type, names_text, names_null) == NULL ? NULL : schema;
    }
    return type != NULL || (any != NULL && one != NULL) || has_bounds(schema)
               ? NULL
               : beside_null(any != NULL ? any : one, is_text, is_null);
}

enum flo_argument_kind flo_schema_kind(const struct flo_tree_node *schema,
                                       const struct flo_tree_node **text)
{
    *text = schema;
    if (is_text(schema)) {
        return FLO_ARGUMENT_TEXT;
    }
    *text = text_or_null(schema);
    return *text != NULL ? FLO_ARGUMENT_TEXT_OR_NULL : FLO_ARGUMENT_OTHER;
}

/* ---- the list ---- */

/* Appends an entry to the list, which is a tool's name or a key.  An empty
 * entry ends the keys of a tool. */
static void add(struct flo_buf *out, enum flo_argument_kind kind, const char *text, size_t bytes)
{
    uint8_t head[HEAD_BYTES];

    flo_put_u16(head, (uint16_t)bytes);
    head[2] = (uint8_t)kind;
    flo_buf_add(out, head, sizeof(head));
    flo_buf_add(out, text, bytes);
}

static void add_tool(const struct flo_tools *tools, uint32_t i, struct flo_buf *out)
{
    const struct flo_tree_node *name = flo_tool_name(tools, i), *n;

    add(out, FLO_ARGUMENT_OTHER, name->text, name->bytes);
    n = flo_tree_first(
        flo_tree_member(flo_tree_member(tools->functions[i], "parameters"), "properties"));
    for (; n != NULL; n = n->next) {
        const struct flo_tree_node *ignored;
        enum flo_argument_kind kind = flo_schema_kind(n, &ignored);

        if (kind != FLO_ARGUMENT_TEXT && n->key_bytes > 0 && n->key_bytes <= UINT16_MAX) {
            add(out, kind, n->key, n->key_bytes);
        }
    }
    add(out, FLO_ARGUMENT_OTHER, "", 0);
}

int flo_tool_list_make(struct flo_tool_list *list, const struct flo_tools *tools,
                       struct flo_err *err)
{
    list->bytes.bytes_max = FLO_TOOLS_BYTES_MAX;
    list->count = tools->count;
    for (uint32_t i = 0; i < tools->count; i++) {
        add_tool(tools, i, &list->bytes);
    }
    return list->bytes.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for names of tools") : 0;
}

void flo_tool_list_deinit(struct flo_tool_list *list)
{
    flo_buf_deinit(&list->bytes);
}

struct entry {
    const char *text;
    size_t bytes;
    enum flo_argument_kind kind; /* kind of the argument, if the entry is a key */
};

static struct entry next(const struct flo_tool_list *list, size_t *at)
{
    const char *head = list->bytes.data + *at;
    struct entry entry = {head + HEAD_BYTES, flo_get_u16(head), (enum flo_argument_kind)head[2]};

    *at += HEAD_BYTES + entry.bytes;
    return entry;
}

static bool is(struct entry entry, const char *text, size_t bytes)
{
    return entry.bytes == bytes && memcmp(entry.text, text, bytes) == 0;
}

/* Reads a tool's name at *at, and moves *at behind the name and the tool's
 * keys.  *kind becomes the kind of `key` if it is one of these keys. */
static struct entry pass(const struct flo_tool_list *list, size_t *at, const char *key,
                         size_t bytes, enum flo_argument_kind *kind)
{
    struct entry name = next(list, at), one;

    while ((one = next(list, at)).bytes > 0) {
        *kind = is(one, key, bytes) ? one.kind : *kind;
    }
    return name;
}

/* Returns the index of the first tool whose name is `name` or, with
 * `may_go_on`, begins with it.  Returns UINT32_MAX if there is none. */
static uint32_t seek(const struct flo_tool_list *list, const char *name, size_t bytes,
                     bool may_go_on)
{
    enum flo_argument_kind ignored;
    size_t at = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        struct entry one = pass(list, &at, "", 0, &ignored);

        one.bytes = may_go_on && one.bytes > bytes ? bytes : one.bytes;
        if (is(one, name, bytes)) {
            return i;
        }
    }
    return UINT32_MAX;
}

uint32_t flo_tool_list_find(const struct flo_tool_list *list, const char *name, size_t bytes)
{
    return seek(list, name, bytes, false);
}

bool flo_tool_list_begins(const struct flo_tool_list *list, const char *name, size_t bytes)
{
    return seek(list, name, bytes, true) != UINT32_MAX;
}

enum flo_argument_kind flo_tool_list_kind(const struct flo_tool_list *list, uint32_t i,
                                          const char *key, size_t bytes)
{
    enum flo_argument_kind kind = FLO_ARGUMENT_TEXT, ignored;
    size_t at = 0;

    for (uint32_t k = 0; k <= i; k++) {
        (void)pass(list, &at, key, bytes, k == i ? &kind : &ignored);
    }
    return kind;
}
