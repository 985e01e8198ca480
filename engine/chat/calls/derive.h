/* Derive: the form of calls and thoughts, found in what a template writes.
 *
 * The template renders conversations that differ in one thing: with a call or
 * with two, with texts or with numbers as arguments, with a thought or none.
 * The text around these things is the form. */
#ifndef FLOTILLA_ENGINE_CALL_DERIVE_H
#define FLOTILLA_ENGINE_CALL_DERIVE_H

#include "engine/chat/calls/form.h"
#include "engine/token/token.h"

/* Render the conversation with these tools (NULL: none), an answer opened at
 * its end.  Nonzero: the template refuses it. */
typedef int flo_render_fn(void *context, const struct flo_engine_message *messages, size_t count,
                          const char *tools, struct flo_buf *text);

struct flo_derivation {
    flo_render_fn *render;
    void *context;
    const struct flo_vocab *vocab;
    const char *source; /* the template's: marks of thoughts that it drops */
    size_t source_bytes;
};

/* Where no form is found, form->is_told: the caller tells it in words. */
void flo_calls_derive(const struct flo_derivation *derivation, struct flo_call_form *form);

#endif
