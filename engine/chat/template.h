/* Chat templates: messages to token ids.
 *
 * The model's own Jinja text is run (jinja.h), so that a conversation reads
 * just as the model was trained on it.  A text with anything that is not known
 * here is refused as a whole, never guessed at: at open some conversations
 * are rendered to find that out.  Text of the template is tokenised with
 * control tokens, and text of a message as plain text. So no message can open a
 * turn or end one, whatever it contains. */
#ifndef FLOTILLA_ENGINE_TEMPLATE_H
#define FLOTILLA_ENGINE_TEMPLATE_H

#include "engine/chat/calls/form.h"
#include "engine/chat/jinja/jinja.h"
#include "engine/token/token.h"

#define FLO_TEMPLATE_BYTES_MAX (256u << 10)

/* Zeroed: no template, the texts stand with a blank line between. */
struct flo_template {
    struct flo_jinja *jinja;
    char name[16]; /* "none", "model", the name of a known one, "given" */
    /* The forms that the template has.  A system's text without one goes in
     * front of the next question; a tool's is refused. */
    bool has_system, has_later_system, has_tool;
    struct flo_call_form calls; /* how it writes calls and thoughts */
    bool has_tools;             /* the template tells which tools there are */
    bool has_thinking;          /* thoughts on and off differ */
    /* Arguments of a call are known as text alone. */
    bool has_text_calls;
};

/* The model's template, or another one instead of it: the name of a known
 * one or Jinja text; NULL or "": none.  `out` is to be given to
 * flo_template_deinit().
 * FLO_E_MODEL_TEMPLATE   it cannot be rendered here as it was meant
 * FLO_E_GGUF_LIMIT       it is too long
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_template_find(const struct flo_gguf *gguf, const struct flo_vocab *vocab,
                                   const char *instead, struct flo_template *out,
                                   struct flo_err *err);
void flo_template_deinit(struct flo_template *chat);
/* Append the ids of a conversation, with BOS where the template or the
 * metadata has one, and open the assistant's answer.  A last answer without
 * calls is one that was begun: its text goes on, its thoughts are left out.
 * `setting` may be NULL.  Thoughts and effort that the template does not ask
 * for change nothing.
 *
 * Where the template refuses a conversation with ids of calls, each id that is
 * not nine letters and digits is given as nine that depend on it alone.
 *
 * FLO_E_INFER_PARAM for an unknown role or a conversation that the template
 * refuses; errors of flo_jinja_render() and flo_tokenize_spans(). */
FLO_MUST_USE int flo_template_render(const struct flo_template *chat, const struct flo_vocab *vocab,
                                     const struct flo_engine_setting *setting,
                                     const struct flo_engine_message *messages,
                                     size_t message_count, struct flo_tokens *tokens,
                                     struct flo_err *err);

/* The text of a known template, or NULL: "chatml", "llama3" and so on. */
const char *flo_template_known(const char *name);

#endif
