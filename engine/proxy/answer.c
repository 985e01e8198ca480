/* Answer: parses what a runtime answers: texts, thoughts, calls, vectors. */
#include "engine/proxy/proxy.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>

#define VECTOR_MAX 65536
#define PART_VALUES_MAX 65536

static int bad(struct flo_err *err, const char *what)
{
    return flo_fail(err, FLO_E_RUNTIME_ANSWER, "the runtime's answer: %s", what);
}

/* ---- parts ---- */

static const struct flo_tree_node *member(const struct flo_tree_node *node, const char *key)
{
    size_t bytes = strlen(key);
    const struct flo_tree_node *child =
        node != NULL && node->kind == FLO_TREE_OBJECT ? node->first : NULL;

    while (child != NULL && (child->key_bytes != bytes || memcmp(child->key, key, bytes) != 0)) {
        child = child->next;
    }
    return child;
}

static bool is_text(const struct flo_tree_node *node)
{
    return node != NULL && node->kind == FLO_TREE_STRING;
}

static uint32_t count_of(const struct flo_tree_node *usage, const char *key)
{
    const struct flo_tree_node *node = member(usage, key);
    int64_t value = 0;

    return node != NULL && flo_tree_whole(node, 0, INT32_MAX, &value) ? (uint32_t)value : 0;
}

static void take_usage(const struct flo_tree_node *root, struct flo_answer_part *part)
{
    const struct flo_tree_node *usage = member(root, "usage");

    if (usage != NULL && usage->kind == FLO_TREE_OBJECT) {
        part->has_usage = true;
        part->tokens_in = count_of(usage, "prompt_tokens");
        part->tokens_out = count_of(usage, "completion_tokens");
    }
}

/* Reads the answer to a request with audio, which is an object with only the
 * text. */
static bool take_speech(const struct flo_tree_node *root, struct flo_answer_part *part)
{
    const struct flo_tree_node *text = member(root, "text");

    if (!is_text(text) || member(root, "error") != NULL) {
        return false;
    }
    part->text = (struct flo_wire_text){text->text, text->bytes};
    part->has_finish = true;
    part->reason = FLO_WIRE_STOP;
    return true;
}

/* Finds the text of an answer.  It is delta.content in a stream,
 * message.content in a whole chat, text in a completion. */
static const struct flo_tree_node *text_in(const struct flo_tree_node *choice)
{
    const struct flo_tree_node *text = member(member(choice, "delta"), "content");

    text = text == NULL ? member(member(choice, "message"), "content") : text;
    return text == NULL ? member(choice, "text") : text;
}

/* Takes the text of a node.  An absent node has none.  Any other kind of node
 * is an error. */
static int take_text(const struct flo_tree_node *node, struct flo_wire_text *out,
                     struct flo_err *err)
{
    if (node == NULL || node->kind == FLO_TREE_NULL) {
        return 0;
    }
    if (!is_text(node)) {
        return bad(err, "its text is none");
    }
    *out = (struct flo_wire_text){node->text, node->bytes};
    return 0;
}

/* Reads thoughts and calls.  The thoughts' member has one of two names. */
static int take_others(const struct flo_tree_node *choice, struct flo_answer_part *part,
                       struct flo_err *err)
{
    const struct flo_tree_node *message = member(choice, "delta");

    message = message == NULL ? member(choice, "message") : message;
    const struct flo_tree_node *thought = member(message, "reasoning_content");
    const struct flo_tree_node *calls = member(message, "tool_calls");
    thought = thought == NULL ? member(message, "reasoning") : thought;
    if (is_text(thought)) {
        part->thought = (struct flo_wire_text){thought->text, thought->bytes};
    }
    if (calls == NULL || calls->kind == FLO_TREE_NULL) {
        return 0;
    }
    part->calls = calls->first;
    return calls->kind == FLO_TREE_ARRAY ? 0 : bad(err, "its calls are no list");
}

int flo_answer_call(const struct flo_tree_node **entry, struct flo_answer_call *call,
                    struct flo_err *err)
{
    const struct flo_tree_node *function = member(*entry, "function");
    const struct flo_tree_node *index = member(*entry, "index");
    int64_t number = UINT32_MAX;

    *call = (struct flo_answer_call){0};
    if (index != NULL && !flo_tree_whole(index, 0, UINT16_MAX, &number)) {
        return bad(err, "a call without a place");
    }
    call->index = (uint32_t)number;
    *entry = (*entry)->next;
    FLO_TRY(take_text(member(function, "name"), &call->name, err));
    return take_text(member(function, "arguments"), &call->arguments, err);
}

static int take_error(const struct flo_tree_node *root, struct flo_err *err)
{
    const struct flo_tree_node *error = member(root, "error");
    const struct flo_tree_node *text = member(error, "message");
    char what[200];

    text = text == NULL ? error : text;
    if (error == NULL || error->kind == FLO_TREE_NULL) {
        return bad(err, "it has no `choices`");
    }
    if (!is_text(text)) {
        return bad(err, "an error without a text");
    }
    flo_text_clean(text->text, text->bytes, what, sizeof(what));
    return flo_fail(err, FLO_E_RUNTIME_ANSWER, "the runtime says: %s", what);
}

static int read_tree(char *data, size_t bytes, struct flo_tree *tree, uint32_t values_max,
                     struct flo_err *err)
{
    struct flo_err why = {0};

    flo_tree_deinit(tree);
    *tree = (struct flo_tree){0};
    int rv = flo_tree_read(tree, data, bytes, values_max, 0, NULL, &why);
    if (rv == FLO_E_MEMORY) {
        return flo_fail(err, rv, "%s", why.what);
    }
    if (rv < 0 || tree->count == 0 || tree->has_odd) {
        return bad(err, "it is no JSON in UTF-8");
    }
    return 0;
}

int flo_answer_read(char *data, size_t bytes, struct flo_tree *tree, struct flo_answer_part *part,
                    struct flo_err *err)
{
    *part = (struct flo_answer_part){0};
    FLO_TRY(read_tree(data, bytes, tree, PART_VALUES_MAX, err));
    const struct flo_tree_node *root = &tree->nodes[0];
    const struct flo_tree_node *choices = member(root, "choices");
    if (choices == NULL || choices->kind != FLO_TREE_ARRAY) {
        if (choices == NULL && take_speech(root, part)) {
            take_usage(root, part);
            return 0;
        }
        return take_error(root, err);
    }
    const struct flo_tree_node *choice = choices->first;
    const struct flo_tree_node *finish = member(choice, "finish_reason");
    FLO_TRY(take_text(text_in(choice), &part->text, err));
    FLO_TRY(take_others(choice, part, err));
    if (is_text(finish)) {
        part->has_finish = true;
        part->reason = flo_tree_is(finish, "length") ? FLO_WIRE_LENGTH : FLO_WIRE_STOP;
    }
    take_usage(root, part);
    return 0;
}

/* ---- vectors ---- */

/* Reads a vector and scales it to length 1.  Returns how many floats it has, or
 * 0 if it is unusable. */
static uint32_t take_vector(const struct flo_tree_node *list, float *out)
{
    uint32_t count = 0;
    double sum = 0, value;

    if (list == NULL || list->kind != FLO_TREE_ARRAY) {
        return 0;
    }
    for (const struct flo_tree_node *n = list->first; n != NULL; n = n->next) {
        if (count == VECTOR_MAX || !flo_tree_number(n, &value) ||
            !(fabs(value) <= (double)FLT_MAX)) {
            return 0;
        }
        out[count++] = (float)value;
        sum += value * value;
    }
    if (!isfinite(sum) || sum <= 1e-30) {
        return 0;
    }
    for (uint32_t i = 0; i < count; i++) {
        out[i] = (float)((double)out[i] / sqrt(sum));
    }
    return count;
}

static int take_vectors(const struct flo_tree_node *data, uint32_t count, float *vector,
                        void (*take)(void *context, uint32_t index, const float *vector,
                                     uint32_t length),
                        void *context, struct flo_err *err)
{
    uint32_t index = 0;
    const struct flo_tree_node *entry =
        data != NULL && data->kind == FLO_TREE_ARRAY ? data->first : NULL;

    for (; entry != NULL && index < count; entry = entry->next, index++) {
        const struct flo_tree_node *place = member(entry, "index");
        int64_t told = index;
        uint32_t length = take_vector(member(entry, "embedding"), vector);
        if (place != NULL && (!flo_tree_whole(place, 0, count, &told) || told != (int64_t)index)) {
            return bad(err, "its vectors are not in order");
        }
        if (length == 0) {
            return bad(err, "a vector that is no list of finite numbers");
        }
        take(context, index, vector, length);
    }
    return entry == NULL && index == count
               ? 0
               : bad(err, "it has not as many vectors as texts were sent");
}

int flo_answer_vectors(char *data, size_t bytes, uint32_t count,
                       void (*take)(void *context, uint32_t index, const float *vector,
                                    uint32_t length),
                       void *context, uint32_t *tokens_in, struct flo_err *err)
{
    struct flo_answer_part part = {0};
    struct flo_tree tree = {0};
    float *vector = malloc(VECTOR_MAX * sizeof(*vector));
    int rv = vector == NULL ? flo_fail(err, FLO_E_MEMORY, "no memory")
                            : read_tree(data, bytes, &tree, 0, err);

    if (rv == 0) {
        const struct flo_tree_node *root = &tree.nodes[0];
        const struct flo_tree_node *list = member(root, "data");
        rv = list == NULL ? take_error(root, err)
                          : take_vectors(list, count, vector, take, context, err);
        take_usage(root, &part);
        *tokens_in = part.tokens_in;
    }
    flo_tree_deinit(&tree);
    free(vector);
    return rv;
}
