/* Calls: checks tool calls in a runtime's answer against the offered tools.
 *
 * Calls come one after the other.  Each is forwarded as it arrives, and must
 * end with arguments that are a JSON object, or by the answer's token limit.
 * Otherwise the request fails.  The client has then seen no end of the call,
 * and so does not make it.  Arguments are not checked against the tool's
 * schema. */
#include "engine/proxy/proxy.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>

#define NAME_BYTES_MAX 64
#define ARGUMENTS_BYTES_MAX (4u << 20)

static bool is(const struct flo_tree_node *node, struct flo_wire_text text)
{
    return node->bytes == text.bytes && memcmp(node->text, text.data, text.bytes) == 0;
}

/* Stores the names of the callable tools, each between line ends. */
static void add_names(struct flo_proxy_calls *calls, const struct flo_wire_generate *in,
                      const struct flo_tree_node *list)
{
    const struct flo_tree_node *tool = flo_tree_first(list);

    for (; tool != NULL; tool = tool->next) {
        const struct flo_tree_node *name =
            flo_tree_member(flo_tree_member(tool, "function"), "name");
        if (name != NULL && name->kind == FLO_TREE_STRING &&
            (in->tool_name.bytes == 0 || is(name, in->tool_name))) {
            flo_buf_printf(&calls->callable, "\n%s\n", name->text);
        }
    }
}

int flo_calls_expect(struct flo_proxy_calls *calls, const struct flo_wire_generate *in,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_tree tree = {0};

    calls->one_call = in->one_call;
    calls->arguments.bytes_max = ARGUMENTS_BYTES_MAX;
    if (in->tools.bytes == 0 || in->tool_choice == FLO_WIRE_TOOLS_NONE) {
        return 0;
    }
    flo_buf_add(&text, in->tools.data, in->tools.bytes);
    int rv = text.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for tools")
                         : flo_tree_read(&tree, text.data, text.bytes, 0, 0, NULL, err);
    if (rv == 0 && tree.count > 0) {
        add_names(calls, in, &tree.nodes[0]);
    }
    flo_tree_deinit(&tree);
    FLO_TRY(rv);
    return calls->callable.failed ? flo_fail(err, FLO_E_MEMORY, "no memory for tools") : 0;
}

void flo_calls_deinit(struct flo_proxy_calls *calls)
{
    flo_buf_deinit(&calls->callable);
    flo_buf_deinit(&calls->arguments);
}

static bool may_call(const struct flo_proxy_calls *calls, struct flo_wire_text name)
{
    char text[NAME_BYTES_MAX + 3];

    if (name.bytes > NAME_BYTES_MAX || calls->callable.bytes == 0 ||
        memchr(name.data, '\n', name.bytes) != NULL) {
        return false;
    }
    snprintf(text, sizeof(text), "\n%.*s\n", (int)name.bytes, name.data);
    return strlen(text) == name.bytes + 2 && strstr(calls->callable.data, text) != NULL;
}

static void add_part(struct flo_buf *out, uint32_t kind, struct flo_wire_text text)
{
    flo_wire_part_add(out, &(struct flo_wire_part){kind, text});
}

/* ---- one call ---- */

static bool is_object(const struct flo_buf *text)
{
    static const char white[] = " \t\r\n";

    return flo_json_check(text->data, text->bytes) && text->data[strspn(text->data, white)] == '{';
}

int flo_calls_end(struct flo_proxy_calls *calls, const char *runtime, struct flo_buf *out,
                  struct flo_err *err)
{
    static const struct flo_wire_text none = {"{}", 2};

    if (!calls->is_open) {
        return 0;
    }
    calls->is_open = false;
    if (calls->arguments.bytes == 0) {
        add_part(out, FLO_WIRE_PART_ARGUMENTS, none);
        return 0;
    }
    return is_object(&calls->arguments)
               ? 0
               : flo_fail(err, FLO_E_RUNTIME_ANSWER,
                          "the runtime %s called %s with arguments that are "
                          "no JSON object",
                          runtime, calls->name);
}

static int begin(struct flo_proxy_calls *calls, const char *runtime, struct flo_wire_text name,
                 struct flo_buf *out, struct flo_err *err)
{
    flo_text_clean(name.data, name.bytes, calls->name, sizeof(calls->name));
    if (!may_call(calls, name)) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the runtime %s called %s, which is no tool that was "
                        "offered to it",
                        runtime, calls->name);
    }
    if (calls->one_call && calls->count > 0) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the runtime %s made a second call, and one was "
                        "allowed",
                        runtime);
    }
    add_part(out, FLO_WIRE_PART_CALL, name);
    calls->arguments.bytes = 0;
    calls->count++;
    calls->is_open = true;
    return 0;
}

int flo_calls_take(struct flo_proxy_calls *calls, const char *runtime,
                   const struct flo_answer_call *call, struct flo_buf *out, struct flo_err *err)
{
    bool says = call->index != UINT32_MAX;
    bool is_next = says ? call->index == calls->count : call->name.bytes > 0;

    if (is_next && call->name.bytes > 0) {
        FLO_TRY(flo_calls_end(calls, runtime, out, err));
        FLO_TRY(begin(calls, runtime, call->name, out, err));
    } else if (is_next || !calls->is_open || (says && call->index != calls->count - 1)) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the calls of the runtime %s do not come one after "
                        "the other, each with its name",
                        runtime);
    }
    if (call->arguments.bytes == 0) {
        return 0;
    }
    flo_buf_add(&calls->arguments, call->arguments.data, call->arguments.bytes);
    if (calls->arguments.failed) {
        return flo_fail(err, FLO_E_RUNTIME_ANSWER,
                        "the runtime %s called %s with more than %u bytes", runtime, calls->name,
                        ARGUMENTS_BYTES_MAX);
    }
    add_part(out, FLO_WIRE_PART_ARGUMENTS, call->arguments);
    return 0;
}
