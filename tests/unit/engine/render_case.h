/* A case of renders: a conversation in JSON and what it is told with, to the
 * input of flo_jinja_render(). */
#ifndef FLOTILLA_TESTS_RENDER_CASE_H
#define FLOTILLA_TESTS_RENDER_CASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/tree/tree.h"
#include "engine/chat/jinja/jinja.h"

#define RENDER_MESSAGES_MAX 64

struct render_case {
    struct flo_engine_message messages[RENDER_MESSAGES_MAX];
    struct flo_buf more[RENDER_MESSAGES_MAX];
    struct flo_buf tools, documents;
    struct flo_engine_setting setting;
    struct flo_jinja_input input;
};

static const struct flo_tree_node *render_member(const struct flo_tree_node *node, const char *name)
{
    const struct flo_tree_node *hit = flo_tree_member(node, name);
    return hit != NULL && hit->kind != FLO_TREE_NULL ? hit : NULL;
}

static const char *render_text(const struct flo_tree_node *node, const char *name,
                               const char *otherwise)
{
    const struct flo_tree_node *hit = render_member(node, name);
    return hit != NULL ? hit->text : otherwise;
}

/* Members but the role, and a content that is a text. */
static bool render_message(const struct flo_tree_node *node, struct flo_engine_message *out,
                           struct flo_buf *more)
{
    struct flo_tree_node rest = {.kind = FLO_TREE_OBJECT, .text = ""};
    struct flo_tree_node *copies = calloc(64, sizeof(*copies));
    size_t count = 0;
    *out = (struct flo_engine_message){.role = render_text(node, "role", "")};
    for (const struct flo_tree_node *n = node->first; copies != NULL && n != NULL && count < 64;
         n = n->next) {
        if (strcmp(n->key, "content") == 0 && n->kind == FLO_TREE_STRING) {
            out->text = n->text;
            out->bytes = n->bytes;
        } else if (strcmp(n->key, "role") != 0) {
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
    out->more = count > 0 ? more->data : NULL;
    out->more_bytes = count > 0 ? more->bytes : 0;
    bool is_fine = copies != NULL && !more->failed;
    free(copies);
    return is_fine;
}

/* The tree must outlive the case. */
static bool render_case_read(struct render_case *out, const struct flo_tree_node *node)
{
    const struct flo_tree_node *messages = render_member(node, "messages");
    const struct flo_tree_node *tools = render_member(node, "tools");
    const struct flo_tree_node *documents = render_member(node, "documents");
    const struct flo_tree_node *thinking = render_member(node, "enable_thinking");
    const struct flo_tree_node *prompt = render_member(node, "add_generation_prompt");
    char now[40];
    memset(out, 0, sizeof(*out));
    out->setting.effort = render_text(node, "reasoning_effort", NULL);
    snprintf(now, sizeof(now), "%.30sZ", render_text(node, "now", ""));
    if (!flo_time_parse(now, &out->setting.now_ms)) {
        out->setting.now_ms = 0;
    }
    if (thinking != NULL) {
        out->setting.thinking = thinking->text[0] == 't' ? FLO_THINKING_ON : FLO_THINKING_OFF;
    }
    if (tools != NULL) {
        flo_tree_print(tools, &out->tools);
        out->setting.tools = out->tools.data;
        out->setting.tools_bytes = out->tools.bytes;
    }
    out->input = (struct flo_jinja_input){.messages = out->messages,
                                          .bos = render_text(node, "bos_token", ""),
                                          .eos = render_text(node, "eos_token", ""),
                                          .setting = &out->setting,
                                          .is_whole = prompt != NULL && prompt->text[0] == 'f'};
    if (documents != NULL) {
        flo_tree_print(documents, &out->documents);
        out->input.documents = out->documents.data;
        out->input.documents_bytes = out->documents.bytes;
    }
    for (const struct flo_tree_node *n = flo_tree_first(messages); n != NULL; n = n->next) {
        size_t at = out->input.count++;
        if (at == RENDER_MESSAGES_MAX || !render_message(n, &out->messages[at], &out->more[at])) {
            return false;
        }
    }
    return !out->tools.failed && !out->documents.failed;
}

static void render_case_deinit(struct render_case *it)
{
    flo_buf_deinit(&it->tools);
    flo_buf_deinit(&it->documents);
    for (size_t i = 0; i < RENDER_MESSAGES_MAX; i++) {
        flo_buf_deinit(&it->more[i]);
    }
}

#endif
