/* A conversation while it becomes spans: shared by the families of chat
 * templates (template_turns.c, template_pairs.c) and who calls them. */
#ifndef FLOTILLA_ENGINE_TEMPLATE_SCRIPT_H
#define FLOTILLA_ENGINE_TEMPLATE_SCRIPT_H

#include "engine/token/template.h"

#define FLO_SPANS_PER_MESSAGE 10

/* Spans being collected; flushed to ids where an id stands by itself. */
struct flo_script {
    const struct flo_template *chat;
    const struct flo_vocab *vocab;
    struct flo_tokens *tokens;
    struct flo_text_span *spans;
    size_t count;
    struct flo_err *err;
};

/* The template's own text, whose control tokens count. */
void flo_script_say(struct flo_script *script, const char *text);
/* A message's text, in which nothing counts. */
void flo_script_quote(struct flo_script *script, const char *text,
                      size_t bytes);
/* A message's text without blanks at its ends. */
void flo_script_quote_trimmed(struct flo_script *script,
                              const struct flo_message *message);
/* What was said and quoted so far, as ids. */
FLO_MUST_USE int flo_script_flush(struct flo_script *script);
/* The same, then one id (or nothing when it is -1). */
FLO_MUST_USE int flo_script_put_id(struct flo_script *script, int32_t id);
bool flo_message_is(const struct flo_message *message, const char *role);

/* Whole conversations, the answer opened at the end. */
typedef int flo_template_family(struct flo_script *script,
                                const struct flo_message *m, size_t count);
flo_template_family flo_template_plain, flo_template_chatml,
    flo_template_llama3, flo_template_llama2, flo_template_mistral,
    flo_template_gemma, flo_template_phi3, flo_template_zephyr,
    flo_template_phi2;

#endif
