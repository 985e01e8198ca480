/* Tools of a request, read; see tools.h. */
#include "engine/chat/calls/tools.h"

#include <stdlib.h>
#include <string.h>

#define VALUES_MAX 32768u

static int refuse(struct flo_err *err, uint32_t i, const char *what)
{
    return flo_fail(err, FLO_E_INFER_PARAM, "tools[%u] %s", i, what);
}

const struct flo_tree_node *flo_tool_name(const struct flo_tools *tools,
                                          uint32_t i)
{
    return flo_tree_member(tools->functions[i], "name");
}

/* Has one of those that were taken this name? */
static bool has_name(const struct flo_tools *tools,
                     const struct flo_tree_node *name)
{
    uint32_t i = 0;

    while (i < tools->count &&
           !flo_tree_is(flo_tool_name(tools, i), name->text)) {
        i++;
    }
    return i < tools->count;
}

static bool is_name(const struct flo_tree_node *n)
{
    bool is_one = n != NULL && n->kind == FLO_TREE_STRING && n->bytes > 0 &&
                  n->bytes <= FLO_TOOL_NAME_MAX;

    for (size_t i = 0; is_one && i < n->bytes; i++) {
        is_one = flo_tool_name_has(n->text[i]);
    }
    return is_one;
}

static int take(struct flo_tools *tools, const struct flo_tree_node *entry,
                struct flo_err *err)
{
    const struct flo_tree_node *function = flo_tree_member(entry, "function");
    const struct flo_tree_node *name = flo_tree_member(function, "name");
    const struct flo_tree_node *takes = flo_tree_member(function, "parameters");
    uint32_t i = tools->count;

    if (!is_name(name)) {
        return refuse(err, i,
                      "has no name of 1 to 64 letters, digits, _, - and .");
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

int flo_tools_open(struct flo_tools *tools, const char *text, size_t bytes,
                   uint32_t room, struct flo_err *err)
{
    int rv = 0;

    tools->text = malloc(bytes + 1);
    tools->functions = calloc(FLO_TOOLS_MAX, sizeof(*tools->functions));
    if (bytes > FLO_TOOLS_BYTES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "tools: %zu bytes, at most %u are read", bytes,
                        FLO_TOOLS_BYTES_MAX);
    }
    if (tools->text == NULL || tools->functions == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for tools");
    }
    memcpy(tools->text, text, bytes);
    rv = flo_tree_read(&tools->tree, tools->text, bytes, VALUES_MAX, room, NULL,
                       err);
    if (rv == 0 && tools->tree.has_odd) {
        rv = flo_fail(err, FLO_E_INFER_PARAM,
                      "a text with U+0000 or half of a surrogate pair");
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "tools");
    }
    if (tools->tree.nodes->kind != FLO_TREE_ARRAY) {
        return flo_fail(err, FLO_E_INFER_PARAM, "tools must be a list");
    }
    for (const struct flo_tree_node *n = tools->tree.nodes->first;
         rv == 0 && n != NULL; n = n->next) {
        rv = tools->count == FLO_TOOLS_MAX
                 ? flo_fail(err, FLO_E_INFER_PARAM, "more than %u tools",
                            FLO_TOOLS_MAX)
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

bool flo_schema_is_text(const struct flo_tree_node *schema)
{
    const struct flo_tree_node *type = flo_tree_member(schema, "type");
    const struct flo_tree_node *one = flo_tree_member(schema, "const");

    if (type == NULL) {
        return lists_texts(flo_tree_member(schema, "enum")) ||
               (one != NULL && one->kind == FLO_TREE_STRING);
    }
    return flo_tree_is(type, "string");
}

/* ---- the list ---- */

/* A name or a key, and an empty one behind the keys of a tool. */
static void add(struct flo_buf *out, const char *text, size_t bytes)
{
    uint8_t head[2];

    flo_put_u16(head, (uint16_t)bytes);
    flo_buf_add(out, head, sizeof(head));
    flo_buf_add(out, text, bytes);
}

static void add_tool(const struct flo_tools *tools, uint32_t i,
                     struct flo_buf *out)
{
    const struct flo_tree_node *name = flo_tool_name(tools, i), *n;

    add(out, name->text, name->bytes);
    n = flo_tree_first(flo_tree_member(
        flo_tree_member(tools->functions[i], "parameters"), "properties"));
    for (; n != NULL; n = n->next) {
        if (!flo_schema_is_text(n) && n->key_bytes > 0 &&
            n->key_bytes <= UINT16_MAX) {
            add(out, n->key, n->key_bytes);
        }
    }
    add(out, "", 0);
}

int flo_tool_list_make(struct flo_tool_list *list,
                       const struct flo_tools *tools, struct flo_err *err)
{
    list->bytes.bytes_max = FLO_TOOLS_BYTES_MAX;
    list->count = tools->count;
    for (uint32_t i = 0; i < tools->count; i++) {
        add_tool(tools, i, &list->bytes);
    }
    return list->bytes.failed
               ? flo_fail(err, FLO_E_MEMORY, "no memory for names of tools")
               : 0;
}

void flo_tool_list_deinit(struct flo_tool_list *list)
{
    flo_buf_deinit(&list->bytes);
}

struct entry {
    const char *text;
    size_t bytes;
};

static struct entry next(const struct flo_tool_list *list, size_t *at)
{
    const char *head = list->bytes.data + *at;
    struct entry entry = {head + 2, flo_get_u16(head)};

    *at += 2 + entry.bytes;
    return entry;
}

static bool is(struct entry entry, const char *text, size_t bytes)
{
    return entry.bytes == bytes && memcmp(entry.text, text, bytes) == 0;
}

/* The tool that begins at *at, which moves past its keys; is `key` one? */
static struct entry pass(const struct flo_tool_list *list, size_t *at,
                         const char *key, size_t bytes, bool *has_key)
{
    struct entry name = next(list, at), one;

    while ((one = next(list, at)).bytes > 0) {
        *has_key = *has_key || is(one, key, bytes);
    }
    return name;
}

/* The first tool whose name is this, or begins so; or UINT32_MAX. */
static uint32_t seek(const struct flo_tool_list *list, const char *name,
                     size_t bytes, bool may_go_on)
{
    bool ignored = false;
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

uint32_t flo_tool_list_find(const struct flo_tool_list *list, const char *name,
                            size_t bytes)
{
    return seek(list, name, bytes, false);
}

bool flo_tool_list_begins(const struct flo_tool_list *list, const char *name,
                          size_t bytes)
{
    return seek(list, name, bytes, true) != UINT32_MAX;
}

bool flo_tool_list_is_text(const struct flo_tool_list *list, uint32_t i,
                           const char *key, size_t bytes)
{
    bool is_other = false, ignored = false;
    size_t at = 0;

    for (uint32_t k = 0; k <= i; k++) {
        (void)pass(list, &at, key, bytes, k == i ? &is_other : &ignored);
    }
    return !is_other;
}
