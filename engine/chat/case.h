/* Case: a conversation in JSON, with the settings that a template sees.
 *
 * The object has `messages`, and may have `tools`, `documents`,
 * `add_generation_prompt` (true if absent), `enable_thinking`,
 * `reasoning_effort`, `now` (RFC 3339 without a zone, UTC), `bos_token` and
 * `eos_token`.  Other members are ignored. */
#ifndef FLOTILLA_ENGINE_CASE_H
#define FLOTILLA_ENGINE_CASE_H

#include "base/tree/tree.h"
#include "engine/chat/jinja/jinja.h"

#define FLO_CHAT_CASE_MESSAGES_MAX 4096u

/* Texts are borrowed from the tree that was read. */
struct flo_chat_case {
    struct flo_engine_message *messages;
    struct flo_buf *more; /* [message_count] what else each message has, as JSON */
    size_t message_count;
    struct flo_buf tools, documents;
    struct flo_engine_setting setting;
    struct flo_jinja_input input;
};

/* Reads a case from a tree, which must outlive it.  The caller ends it with
 * flo_chat_case_deinit(), after an error too.
 * FLO_E_INFER_PARAM   not such an object, or too many messages
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_chat_case_read(struct flo_chat_case *out, const struct flo_tree_node *node,
                                    struct flo_err *err);
void flo_chat_case_deinit(struct flo_chat_case *it);

#endif
