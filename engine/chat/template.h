/* Template: renders chat messages with the model's chat template to token ids.
 *
 * The engine runs the model's own Jinja text (jinja.h), so a conversation reads
 * as in training.  A template with an unknown construct is refused as a whole:
 * flo_template_find() renders some test conversations to find that out.
 *
 * Text that the template writes is tokenised with control tokens, text of a
 * message as plain text.  So no message can open or end a turn, whatever it
 * contains. */
#ifndef FLOTILLA_ENGINE_TEMPLATE_H
#define FLOTILLA_ENGINE_TEMPLATE_H

#include "engine/chat/calls/form.h"
#include "engine/chat/jinja/jinja.h"
#include "engine/token/token.h"

#define FLO_TEMPLATE_BYTES_MAX (256u << 10)

/* A zeroed struct is "no template": the messages' texts are joined with blank
 * lines. */
struct flo_template {
    struct flo_jinja *jinja;
    char name[16]; /* "none", "model", "given", or a known template's name */
    /* Roles that the template can render.  Without a system form the system's
     * text is put in front of the next question.  Without a tool form a tool
     * message is refused. */
    bool has_system, has_later_system, has_tool;
    struct flo_call_form calls; /* how the model writes tool calls and thoughts */
    bool has_tools;             /* the template lists the available tools */
    bool has_thinking;          /* thinking on and off render differently */
    /* The template takes a call's arguments as JSON text only, not as an
     * object. */
    bool has_text_calls;
};

/* Opens the model's template, or `instead` of it: the name of a known template
 * or Jinja text.  NULL or "" means the model's own.  The caller ends `out` with
 * flo_template_deinit().
 * FLO_E_MODEL_TEMPLATE   the template cannot be rendered correctly here
 * FLO_E_GGUF_LIMIT       the template is too long
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_template_find(const struct flo_gguf *gguf, const struct flo_vocab *vocab,
                                   const char *instead, struct flo_template *out,
                                   struct flo_err *err);
void flo_template_deinit(struct flo_template *chat);
/* Appends the ids of a conversation and opens the assistant's answer.  BOS
 * comes first where the template or the metadata has one.  If the last message
 * is an answer without calls, that answer is continued, and its thoughts are
 * left out.  `setting` may be NULL; thinking and effort have no effect if the
 * template does not use them.
 *
 * If the template refuses the ids of calls, the conversation is rendered once
 * more: each id that is not nine letters and digits is replaced by nine that
 * are computed from it.
 *
 * FLO_E_INFER_PARAM: an unknown role, or a conversation that the template
 * refuses; errors of flo_jinja_render() and flo_tokenize_spans(). */
FLO_MUST_USE int flo_template_render(const struct flo_template *chat, const struct flo_vocab *vocab,
                                     const struct flo_engine_setting *setting,
                                     const struct flo_engine_message *messages,
                                     size_t message_count, struct flo_tokens *tokens,
                                     struct flo_err *err);

/* Returns the text of a known template, such as "chatml" or "llama3"; NULL:
 * unknown. */
const char *flo_template_known(const char *name);

#endif
