/* Case: reads a conversation and its settings from JSON. */
#include "engine/chat/case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMBERS_MAX 64u /* most members of one message */

static const struct flo_tree_node *member(const struct flo_tree_node *node, const char *name)
{
    const struct flo_tree_node *hit = flo_tree_member(node, name);
    return hit != NULL && hit->kind != FLO_TREE_NULL ? hit : NULL;
}

static const char *text(const struct flo_tree_node *node, const char *name, const char *otherwise)
{
    const struct flo_tree_node *hit = member(node, name);
    return hit != NULL && hit->kind == FLO_TREE_STRING ? hit->text : otherwise;
}

/* Reads a message.  All members but the role, and a content that is a text,
 * are written to `more`. */
static int read_message(const struct flo_tree_node *node, struct flo_engine_message *out,
                        struct flo_buf *more, struct flo_err *err)
{
    struct flo_tree_node rest = {.kind = FLO_TREE_OBJECT, .text = ""};
    struct flo_tree_node copies[MEMBERS_MAX];
    size_t count = 0;
    *out = (struct flo_engine_message){.role = text(node, "role", "")};
    for (const struct flo_tree_node *n = node->first; n != NULL; n = n->next) {
        if (strcmp(n->key, "content") == 0 && n->kind == FLO_TREE_STRING) {
            out->text = n->text;
            out->bytes = n->bytes;
        } else if (strcmp(n->key, "role") != 0) {
            if (count == MEMBERS_MAX) {
                return flo_fail(err, FLO_E_INFER_PARAM, "a message has more than %u members",
                                MEMBERS_MAX);
            }
            copies[count] = *n;
            copies[count].next = NULL;
            if (count > 0) {
                copies[count - 1].next = &copies[count];
            }
            rest.first = copies;
            count++;
        }
    }
    flo_tree_print(&rest, more);
    if (more->failed) {
        return flo_fail(err, FLO_E_MEMORY, "a message");
    }
    out->more = count > 0 ? more->data : NULL;
    out->more_bytes = count > 0 ? more->bytes : 0;
    return 0;
}

static int read_messages(struct flo_chat_case *out, const struct flo_tree_node *list,
                         struct flo_err *err)
{
    size_t count = 0;
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next) {
        count++;
        if (n->kind != FLO_TREE_OBJECT) {
            return flo_fail(err, FLO_E_INFER_PARAM, "message %zu is not an object", count);
        }
    }
    if (list == NULL || list->kind != FLO_TREE_ARRAY || count > FLO_CHAT_CASE_MESSAGES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "'messages' must be a list of at most %u",
                        FLO_CHAT_CASE_MESSAGES_MAX);
    }
    out->messages = calloc(count + 1, sizeof(*out->messages));
    out->more = calloc(count + 1, sizeof(*out->more));
    if (out->messages == NULL || out->more == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", count);
    }
    out->message_count = count;
    size_t i = 0;
    for (const struct flo_tree_node *n = flo_tree_first(list); n != NULL; n = n->next, i++) {
        FLO_TRY(read_message(n, &out->messages[i], &out->more[i], err));
    }
    out->input.messages = out->messages;
    out->input.count = count;
    return 0;
}

static void read_setting(struct flo_chat_case *out, const struct flo_tree_node *node)
{
    const struct flo_tree_node *tools = member(node, "tools");
    const struct flo_tree_node *thinking = member(node, "enable_thinking");
    char now[40];
    snprintf(now, sizeof(now), "%.30sZ", text(node, "now", ""));
    if (!flo_time_parse(now, &out->setting.now_ms)) {
        out->setting.now_ms = 0;
    }
    out->setting.effort = text(node, "reasoning_effort", NULL);
    if (thinking != NULL) {
        out->setting.thinking = flo_tree_says(thinking, false) ? FLO_THINKING_OFF : FLO_THINKING_ON;
    }
    if (tools != NULL) {
        flo_tree_print(tools, &out->tools);
        out->setting.tools = out->tools.data;
        out->setting.tools_bytes = out->tools.bytes;
    }
}

int flo_chat_case_read(struct flo_chat_case *out, const struct flo_tree_node *node,
                       struct flo_err *err)
{
    const struct flo_tree_node *documents = member(node, "documents");
    *out = (struct flo_chat_case){0};
    if (node == NULL || node->kind != FLO_TREE_OBJECT) {
        return flo_fail(err, FLO_E_INFER_PARAM, "a conversation must be an object");
    }
    read_setting(out, node);
    if (documents != NULL) {
        flo_tree_print(documents, &out->documents);
        out->input.documents = out->documents.data;
        out->input.documents_bytes = out->documents.bytes;
    }
    out->input.bos = text(node, "bos_token", "");
    out->input.eos = text(node, "eos_token", "");
    out->input.setting = &out->setting;
    out->input.is_whole = flo_tree_says(member(node, "add_generation_prompt"), false);
    if (out->tools.failed || out->documents.failed) {
        return flo_fail(err, FLO_E_MEMORY, "the tools and documents of a conversation");
    }
    return read_messages(out, member(node, "messages"), err);
}

void flo_chat_case_deinit(struct flo_chat_case *it)
{
    for (size_t i = 0; i < it->message_count; i++) {
        flo_buf_deinit(&it->more[i]);
    }
    free(it->messages);
    free(it->more);
    flo_buf_deinit(&it->tools);
    flo_buf_deinit(&it->documents);
    *it = (struct flo_chat_case){0};
}
