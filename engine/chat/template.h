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

/* A chat template.  If all is zero there is none, and the texts of messages are
 * joined with blank lines. */
struct flo_template {
    struct flo_jinja *jinja;
    char name[16]; /* "none", "model", "given", or the name of a known template */
    /* Roles that the template can render: system in front, system later, and
     * tool.  A system message that it cannot render is put in front of the next
     * question.  A tool message that it cannot render is refused. */
    bool has_system, has_later_system, has_tool;
    struct flo_call_form calls; /* form in which the model writes tool calls and thoughts */
    bool has_tools;             /* the output lists the tools of the request */
    bool has_thinking;          /* the output differs between thinking on and off */
    /* The template takes the arguments of a call only as JSON text, not as an
     * object. */
    bool has_text_calls;
};

/* Opens the model's own template, or another one.  `instead` is the name of a
 * known template or Jinja text; NULL or "" means the model's own.  The caller
 * ends `out` with flo_template_deinit().
 * FLO_E_MODEL_TEMPLATE   the template cannot be rendered correctly here
 * FLO_E_GGUF_LIMIT       the template is too long
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_template_find(const struct flo_gguf *gguf, const struct flo_vocab *vocab,
                                   const char *instead, struct flo_template *out,
                                   struct flo_err *err);
void flo_template_deinit(struct flo_template *chat);
/* Appends the ids of a conversation and opens the assistant's answer.  The
 * begin token comes first if the template or the model's file asks for it.  If
 * the last message is an answer without calls, that answer is continued,
 * without its thoughts.  `setting` may be NULL.  Thinking and effort have no
 * effect if the template does not use them.
 *
 * If the template refuses the ids of calls, the conversation is rendered once
 * more.  Each id that is not nine letters and digits then becomes nine that are
 * computed from it.
 *
 * FLO_E_INFER_PARAM: a role is unknown, or the template refuses the
 * conversation.  Returns also the errors of flo_jinja_render() and
 * flo_tokenize_spans(). */
FLO_MUST_USE int flo_template_render(const struct flo_template *chat, const struct flo_vocab *vocab,
                                     const struct flo_engine_setting *setting,
                                     const struct flo_engine_message *messages,
                                     size_t message_count, struct flo_tokens *tokens,
                                     struct flo_err *err);

/* Returns the text of a known template, such as "chatml" or "llama3", or NULL
 * if the name is unknown. */
const char *flo_template_known(const char *name);

#endif
