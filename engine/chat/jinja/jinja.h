/* Jinja: the part of the language that chat templates are written in.
 *
 * A model's template is a program that somebody else wrote.  This one reads
 * it, runs it on a conversation, and refuses whatever it does not know: an
 * unknown filter, method or function is an error when it is reached, never a
 * guess.  Steps, nesting and memory are bounded.  There is nothing to reach
 * from inside: no files, no clock, no objects but the conversation.
 *
 * Whitespace is handled as with trim_blocks and lstrip_blocks, which is how
 * templates are published.  Values are written as Python writes them: str(),
 * and json.dumps() with the options of transformers' `tojson`.
 *
 * Each byte of text remembers whether it came out of a message, its `more`,
 * the setting or the documents: numbers, brackets and commas of theirs too.
 * So the caller can tell a marker that the template wrote from one that a user
 * typed, whatever the template did with it in between. */
#ifndef FLOTILLA_ENGINE_JINJA_H
#define FLOTILLA_ENGINE_JINJA_H

#include <flotilla/engine.h>

struct flo_jinja_input {
    /* A message whose text is NULL may have `content` in its `more`: null, or
     * a list of parts.  `role` cannot stand there.  Other members are the
     * message's; one that is absent is not defined.  The `arguments` of a call
     * that are the text of a JSON object become that object. */
    const struct flo_engine_message *messages;
    size_t count;
    const char *bos, *eos;                    /* the texts of those tokens, "" for none */
    const struct flo_engine_setting *setting; /* NULL: nothing is said */
    const char *documents;                    /* a JSON list; NULL: none */
    size_t documents_bytes;
    bool is_whole;       /* no answer is opened: add_generation_prompt false */
    bool has_short_ids;  /* ids of calls become 9 letters and digits */
    bool has_text_calls; /* `arguments` are given as JSON's text */
};

struct flo_jinja;

/* Parse; the text need not outlive this.  FLO_E_MODEL_TEMPLATE for what is no
 * Jinja or another part of it, with the line; FLO_E_MEMORY. */
FLO_MUST_USE int flo_jinja_open(const char *text, size_t bytes, struct flo_jinja **out,
                                struct flo_err *err);
void flo_jinja_close(struct flo_jinja *jinja); /* NULL is fine */
/* The text in Unix lines; borrowed. */
const char *flo_jinja_source(const struct flo_jinja *jinja, size_t *bytes);

/* Append the conversation, an answer opened at its end, and for each byte of
 * it to `marks` 1 where it is a message's and 0 where it is the template's.
 * May be called by several threads at once.
 *
 * FLO_E_INFER_PARAM      the template itself refuses the conversation; tools,
 *                        documents or a message's `more` are no such JSON
 * FLO_E_MODEL_TEMPLATE        it reached something that is not known here
 * FLO_E_INFER_TOO_LONG   it did not end within its steps or its memory
 * FLO_E_MEMORY           the system gave none */
FLO_MUST_USE int flo_jinja_render(const struct flo_jinja *jinja,
                                  const struct flo_jinja_input *input, struct flo_buf *text,
                                  struct flo_buf *marks, struct flo_err *err);

#endif
