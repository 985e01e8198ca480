/* Event: parses events and errors of the local API.  Pure. */
#include "engine/talk/talk.h"

#include <string.h>

#include <flotilla/errors/net.h>

#define VALUES_MAX 65536
#define MS_MAX 1e9

static int bad(struct flo_err *err, const char *what)
{
    return flo_fail(err, FLO_E_NET_CONTENT, "the local API's answer: %s", what);
}

static int read_tree(char *data, size_t bytes, struct flo_tree *tree, struct flo_err *err)
{
    struct flo_err why = {0};

    flo_tree_deinit(tree);
    *tree = (struct flo_tree){0};
    int rv = flo_tree_read(tree, data, bytes, VALUES_MAX, 0, NULL, &why);
    if (rv == FLO_E_MEMORY) {
        return flo_fail(err, rv, "%s", why.what);
    }
    return rv < 0 || tree->count == 0 || tree->has_odd ? bad(err, "no JSON in UTF-8") : 0;
}

/* Returns the text of an object's member.  It is empty if there is no such
 * string. */
static struct flo_wire_text text_in(const struct flo_tree_node *object, const char *key)
{
    const struct flo_tree_node *node = flo_tree_member(object, key);

    return node != NULL && node->kind == FLO_TREE_STRING
               ? (struct flo_wire_text){node->text, node->bytes}
               : (struct flo_wire_text){0};
}

static uint64_t count_in(const struct flo_tree_node *object, const char *key)
{
    const struct flo_tree_node *node = flo_tree_member(object, key);
    int64_t value = 0;

    return flo_tree_whole(node, 0, UINT32_MAX, &value) ? (uint64_t)value : 0;
}

static double real_in(const struct flo_tree_node *object, const char *key)
{
    double value = 0;

    return flo_tree_number(flo_tree_member(object, key), &value) && value > 0 && value < MS_MAX
               ? value
               : 0;
}

/* {"message", "code", "fix"} */
static int fail(const struct flo_tree_node *error, struct flo_err *err)
{
    struct flo_wire_text what = text_in(error, "message");
    struct flo_wire_text id = text_in(error, "code");
    struct flo_wire_text fix = text_in(error, "fix");
    int code = id.bytes == 0                                     ? 0
               : strcmp(id.data, "context_length_exceeded") == 0 ? FLO_E_INFER_TOO_LONG
                                                                 : flo_error_code(id.data);

    code = code < 0 ? code : FLO_E_NET_STATUS;
    flo_fail(err, code, "%s", what.bytes > 0 ? what.data : "an error without a text");
    if (fix.bytes > 0) {
        flo_err_fix(err, "%.200s", fix.data);
    }
    return code;
}

int flo_talk_event_read(char *data, size_t bytes, struct flo_tree *tree, struct flo_talk_event *out,
                        struct flo_err *err)
{
    *out = (struct flo_talk_event){0};
    FLO_TRY(read_tree(data, bytes, tree, err));
    const struct flo_tree_node *root = &tree->nodes[0];
    const struct flo_tree_node *error = flo_tree_member(root, "error");
    if (error != NULL && error->kind == FLO_TREE_OBJECT) {
        return fail(error, err);
    }
    const struct flo_tree_node *choices = flo_tree_member(root, "choices");
    if (choices == NULL || choices->kind != FLO_TREE_ARRAY) {
        return bad(err, "no `choices`");
    }
    const struct flo_tree_node *choice = choices->first;
    const struct flo_tree_node *delta = flo_tree_member(choice, "delta");
    struct flo_wire_text finish = text_in(choice, "finish_reason");
    out->text = text_in(delta, "content");
    out->thought = text_in(delta, "reasoning_content");
    out->has_finish = finish.bytes > 0;
    out->is_length = out->has_finish && strcmp(finish.data, "length") == 0;
    const struct flo_tree_node *usage = flo_tree_member(root, "usage");
    if (usage != NULL && usage->kind == FLO_TREE_OBJECT) {
        out->has_usage = true;
        out->prompt = count_in(usage, "prompt_tokens");
        out->answer = count_in(usage, "completion_tokens");
        out->kept = count_in(flo_tree_member(usage, "prompt_tokens_details"), "cached_tokens");
        out->kept = out->kept < out->prompt ? out->kept : out->prompt;
    }
    const struct flo_tree_node *timings = flo_tree_member(root, "timings");
    out->prompt_ms = real_in(timings, "prompt_ms");
    out->token_ms = real_in(timings, "per_token_ms");
    return 0;
}

int flo_talk_event_fail(char *data, size_t bytes, int status, struct flo_tree *tree,
                        struct flo_err *err)
{
    int rv = read_tree(data, bytes, tree, NULL);
    const struct flo_tree_node *error = rv == 0 ? flo_tree_member(&tree->nodes[0], "error") : NULL;

    return error != NULL && error->kind == FLO_TREE_OBJECT
               ? fail(error, err)
               : flo_fail(err, FLO_E_NET_STATUS,
                          "the local API answered %d without an error's text", status);
}
