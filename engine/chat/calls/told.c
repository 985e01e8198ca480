/* Told: describes tools, calls and results in words, for a template without a
 * form for them. */
#include "engine/chat/calls/told.h"

#include "base/tree/tree.h"
#include "engine/chat/calls/form.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MAX (4u << 20)

static bool is_of(const struct flo_engine_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static int read_json(struct flo_tree *tree, struct flo_buf *copy, const char *text, size_t bytes,
                     const char *where, struct flo_err *err)
{
    flo_buf_add(copy, text, bytes);
    if (copy->failed || copy->bytes == 0) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for %s", where);
    }
    int rv = flo_tree_read(tree, copy->data, copy->bytes, 0, 0, NULL, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", where) : 0;
}

/* ---- tools ---- */

static int put_tools(const struct flo_engine_setting *setting, struct flo_buf *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf copy = {0};

    FLO_TRY(read_json(&tree, &copy, setting->tools, setting->tools_bytes, "tools", err));
    flo_buf_text(out, out->bytes > 0 ? "\n\n" : "");
    flo_buf_text(out, "You may call these functions, each described by a "
                      "JSON object:\n");
    for (const struct flo_tree_node *n = flo_tree_first(tree.nodes); n != NULL; n = n->next) {
        const struct flo_tree_node *function = flo_tree_member(n, "function");
        flo_tree_print(function != NULL ? function : n, out);
        flo_buf_text(out, "\n");
    }
    flo_buf_text(out, "To call one, answer with its name and its arguments "
                      "alone, in this form:\n" FLO_TOLD_OPEN "\"function\"" FLO_TOLD_MID
                      "{\"key\": \"value\"}" FLO_TOLD_CLOSE);
    return 0;
}

/* ---- calls and results ---- */

static void put_arguments(const struct flo_tree_node *arguments, struct flo_buf *out)
{
    if (arguments == NULL) {
        flo_buf_text(out, "{}");
    } else if (arguments->kind == FLO_TREE_STRING) {
        flo_buf_add(out, arguments->text, arguments->bytes);
    } else {
        flo_tree_print(arguments, out);
    }
}

static int put_calls(const struct flo_engine_message *message, struct flo_buf *out,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf copy = {0};
    int rv = message->more == NULL
                 ? 0
                 : read_json(&tree, &copy, message->more, message->more_bytes, "messages", err);
    const struct flo_tree_node *n = rv == 0 && message->more != NULL
                                        ? flo_tree_first(flo_tree_member(tree.nodes, "tool_calls"))
                                        : NULL;

    for (; n != NULL; n = n->next) {
        const struct flo_tree_node *function = flo_tree_member(n, "function");
        const struct flo_tree_node *name = flo_tree_member(function, "name");

        flo_buf_text(out, out->bytes > 0 ? "\n" : "");
        flo_buf_text(out, FLO_TOLD_OPEN);
        if (name != NULL) {
            flo_tree_print(name, out);
        }
        flo_buf_text(out, FLO_TOLD_MID);
        put_arguments(flo_tree_member(function, "arguments"), out);
        flo_buf_text(out, FLO_TOLD_CLOSE);
    }
    return rv;
}

static void put_result(const struct flo_engine_message *message, struct flo_buf *out)
{
    flo_buf_text(out, out->bytes > 0 ? "\n" : "");
    flo_buf_text(out, "<tool_response>\n");
    flo_buf_add(out, message->text, message->bytes);
    flo_buf_text(out, "\n</tool_response>");
}

/* ---- the conversation ---- */

static struct flo_buf *add(struct flo_told_talk *told, const char *role)
{
    told->messages[told->count].role = role;
    return &told->texts[told->count++];
}

static int tell(struct flo_told_talk *told, const struct flo_engine_setting *setting,
                const struct flo_engine_message *messages, size_t count, struct flo_err *err)
{
    bool has_tools = setting != NULL && setting->tools != NULL;
    bool was_result = false;
    struct flo_buf *text = NULL;

    for (size_t i = 0; i < count; i++) {
        const struct flo_engine_message *m = &messages[i];
        bool is_result = is_of(m, "tool"), is_system = is_of(m, "system");

        if (i == 0 && has_tools && !is_system) {
            FLO_TRY(put_tools(setting, add(told, "system"), err));
        }
        if (!is_result || !was_result) {
            text = add(told, is_result ? "user" : m->role);
        }
        if (!is_result && !is_of(m, "assistant")) {
            told->messages[told->count - 1].more = m->more;
            told->messages[told->count - 1].more_bytes = m->more_bytes;
        }
        was_result = is_result;
        if (is_result) {
            put_result(m, text);
            continue;
        }
        flo_buf_add(text, m->text, m->bytes);
        if (i == 0 && has_tools && is_system) {
            FLO_TRY(put_tools(setting, text, err));
        }
        FLO_TRY(put_calls(m, text, err));
    }
    return 0;
}

int flo_told_make(struct flo_told_talk *told, const struct flo_engine_setting *setting,
                  const struct flo_engine_message *messages, size_t count, struct flo_err *err)
{
    told->messages = calloc(count + 1, sizeof(*told->messages));
    told->texts = calloc(count + 1, sizeof(*told->texts));
    if (told->messages == NULL || told->texts == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", count);
    }
    for (size_t i = 0; i < count + 1; i++) {
        told->texts[i].bytes_max = TEXT_BYTES_MAX;
    }
    int rv = tell(told, setting, messages, count, err);
    for (size_t i = 0; i < told->count; i++) {
        struct flo_buf *text = &told->texts[i];
        told->messages[i].text = text->bytes > 0 ? text->data : "";
        told->messages[i].bytes = text->bytes;
        if (rv == 0 && text->failed) {
            rv = flo_fail(err, FLO_E_MEMORY, "%zu messages", count);
        }
    }
    return rv;
}

void flo_told_deinit(struct flo_told_talk *told)
{
    for (size_t i = 0; i < told->count; i++) {
        flo_buf_deinit(&told->texts[i]);
    }
    free(told->messages);
    free(told->texts);
    memset(told, 0, sizeof(*told));
}
