/* Jinja: interpreter for the part of the language that chat templates use.
 *
 * A model's template is a program by an unknown author.  An unknown filter,
 * method or function is an error when it is reached, never a guess.  Steps,
 * levels and memory are bounded.  A template can reach no file, no clock and no
 * object except the conversation.
 *
 * Whitespace is handled as with trim_blocks and lstrip_blocks, as templates are
 * published for.  Values are printed as Python's str() does, or json.dumps()
 * with the options of transformers' `tojson`.
 *
 * Each byte of output is marked if it came from a message, its `more`, the
 * setting or the documents.  Numbers, brackets and commas that print such
 * values are marked too.  So the caller can tell a marker that the template
 * wrote from one that a user typed. */
#ifndef FLOTILLA_ENGINE_JINJA_H
#define FLOTILLA_ENGINE_JINJA_H

#include <flotilla/engine.h>

struct flo_jinja_input {
    /* Messages of the conversation.  If a message's text is NULL, its `more`
     * may have `content`, which is null or a list of parts.  `more` may not
     * have `role`; its other members become the message's.  If `arguments` of a
     * call are the text of a JSON object, the template sees that object. */
    const struct flo_engine_message *messages;
    size_t count;
    const char *bos, *eos; /* texts of the begin and end tokens; "": the model has none */
    const struct flo_engine_setting *setting; /* NULL: default settings */
    const char *documents;                    /* JSON list of the documents; NULL: none */
    size_t documents_bytes;
    bool is_whole;       /* no answer is opened: add_generation_prompt is false */
    bool has_short_ids;  /* ids of calls are shortened to 9 letters and digits */
    bool has_text_calls; /* `arguments` of a call are given as JSON text */
};

struct flo_jinja;

/* Parses a template, whose `text` may be freed afterwards.
 * FLO_E_MODEL_TEMPLATE names the line of a syntax error, or of a construct that
 * is not supported.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_jinja_open(const char *text, size_t bytes, struct flo_jinja **out,
                                struct flo_err *err);
void flo_jinja_close(struct flo_jinja *jinja); /* NULL is fine */
/* Returns the text of the template with Unix line ends; borrowed. */
const char *flo_jinja_source(const struct flo_jinja *jinja, size_t *bytes);

/* Renders the conversation, opens an answer at its end, and appends the result
 * to `text`.  For each byte `marks` gets 1 if it came from a message and 0 if
 * the template wrote it.  Thread-safe.
 *
 * FLO_E_INFER_PARAM      the template itself refuses the conversation, or the
 *                        tools, documents or a message's `more` are not JSON as
 *                        in OpenAI's API
 * FLO_E_MODEL_TEMPLATE   the template used something unsupported
 * FLO_E_INFER_TOO_LONG   the rendering exceeded its steps or its memory
 * FLO_E_MEMORY           the system gave no memory */
FLO_MUST_USE int flo_jinja_render(const struct flo_jinja *jinja,
                                  const struct flo_jinja_input *input, struct flo_buf *text,
                                  struct flo_buf *marks, struct flo_err *err);

#endif
