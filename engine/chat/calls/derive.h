/* Derive: finds how a model writes calls and thoughts, from its template's
 * output.
 *
 * The template renders pairs of conversations that differ in one thing.  They
 * have one call or two, texts or numbers as arguments, a thought or none.  The
 * text around the part that differs gives the form. */
#ifndef FLOTILLA_ENGINE_CALL_DERIVE_H
#define FLOTILLA_ENGINE_CALL_DERIVE_H

#include "engine/chat/calls/form.h"
#include "engine/token/token.h"

/* Callback that renders the conversation with these tools (NULL: none), and
 * opens an answer at its end.  Returns nonzero if the template refuses it. */
typedef int flo_render_fn(void *context, const struct flo_engine_message *messages, size_t count,
                          const char *tools, struct flo_buf *text);

struct flo_derivation {
    flo_render_fn *render;
    void *context;
    const struct flo_vocab *vocab;
    /* text of the template, which names marks of thoughts that its output
     * drops */
    const char *source;
    size_t source_bytes;
};

/* Derives the form of calls and thoughts.  If the template has none for calls,
 * form->is_told is set.  The caller then describes the tools in words
 * (told.h). */
void flo_calls_derive(const struct flo_derivation *derivation, struct flo_call_form *form);

#endif
