/* Jinja: interpreter for the part of the language that chat templates use.
 *
 * A model's template is a program by an unknown author.  An unknown filter,
 * method or function is an error when it is reached, never a guess.  Steps,
 * nesting and memory are bounded.  A template can reach no file, no clock and
 * no object except the conversation.
 *
 * Whitespace is handled as with trim_blocks and lstrip_blocks, as templates are
 * published for.  Values are printed as Python does: str(), and json.dumps()
 * with the options of transformers' `tojson`.
 *
 * Each byte of output is marked if it came from a message, its `more`, the
 * setting or the documents; so are their numbers, brackets and commas.  So the
 * caller can tell a marker that the template wrote from one that a user
 * typed. */
#ifndef FLOTILLA_ENGINE_JINJA_H
#define FLOTILLA_ENGINE_JINJA_H

#include <flotilla/engine.h>

struct flo_jinja_input {
    /* The conversation.  A message with text NULL may have `content` in its
     * `more`: null, or a list of parts.  `role` is not allowed in `more`; other
     * members become the message's.  If a call's `arguments` are the text of a
     * JSON object, the template sees that object. */
    const struct flo_engine_message *messages;
    size_t count;
    const char *bos, *eos; /* texts of these two tokens; "": the model has none */
    const struct flo_engine_setting *setting; /* NULL: default settings */
    const char *documents;                    /* JSON list of documents; NULL: none */
    size_t documents_bytes;
    bool is_whole;       /* open no answer: add_generation_prompt false */
    bool has_short_ids;  /* shorten call ids to 9 letters and digits */
    bool has_text_calls; /* give a call's `arguments` as JSON text */
};

struct flo_jinja;

/* Parses a template; `text` may be freed afterwards.  FLO_E_MODEL_TEMPLATE with
 * the line for a syntax error or an unsupported construct; FLO_E_MEMORY. */
FLO_MUST_USE int flo_jinja_open(const char *text, size_t bytes, struct flo_jinja **out,
                                struct flo_err *err);
void flo_jinja_close(struct flo_jinja *jinja); /* NULL is fine */
/* Returns the template's text with Unix line ends; borrowed. */
const char *flo_jinja_source(const struct flo_jinja *jinja, size_t *bytes);

/* Renders the conversation, opens an answer at its end, and appends the result
 * to `text`.  For each byte `marks` gets 1 if it came from a message and 0 if
 * the template wrote it.  Thread-safe.
 *
 * FLO_E_INFER_PARAM the template itself refuses the conversation, or the tools,
 *                        documents or a message's `more` are no valid JSON of that kind
 *  FLO_E_MODEL_TEMPLATE  the template used something unsupported
 *  FLO_E_INFER_TOO_LONG  the rendering exceeded its steps or its memory
 *  FLO_E_MEMORY          out of memory */
FLO_MUST_USE int flo_jinja_render(const struct flo_jinja *jinja,
                                  const struct flo_jinja_input *input, struct flo_buf *text,
                                  struct flo_buf *marks, struct flo_err *err);

#endif
