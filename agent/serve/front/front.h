/* Front: APIs on top of one common core.
 *
 * The core reads parameters, finds an engine, checks the engine's frames and
 * keeps the answer.  A front is a table of functions for one API: it converts a
 * body to the core's request, and writes the core's results in the API's form.
 * A front touches neither HTTP nor an engine, and keeps no pointer beyond a
 * call except its own state.
 *
 * The core calls a front's functions for a request in this order:
 *   read       once; after an error, fail and drop
 *   stream     begin, piece..., then end; or fail (is_in_stream) after begin
 *   no stream  whole, or fail
 *   drop       once at the end, also if the client went away before
 * A request may move to another engine until a part of its answer was sent; the
 * front does not notice.
 *
 * A new front fills the table, is declared in the header of its folder
 * (agent/serve/<api>/), and has its path in agent/serve/api/fronts.c.
 *
 * read() of another API than OpenAI's builds the body of OpenAI's chat as a
 * json_t and gives it to flo_params_read_tree(REQUEST_CHAT, ...): ranges and
 * refusals are only there.  An API that streams by default sets "stream" in the
 * tree.  fail() maps failure->param back to the API's own name.  All members of
 * `request` may be read; useful ones are id, model_name, created_s, params
 * (is_stream, wants_usage, message.generate), load_us and kept.  Only `state`,
 * and params in read(), are the front's to write. */
#ifndef FLOTILLA_SERVE_FRONT_H
#define FLOTILLA_SERVE_FRONT_H

#include "agent/serve/front/request.h"

/* Body of a client's request, as it was received. */
struct serve_body {
    const char *type; /* Content-Type; NULL: not given */
    const char *data;
    size_t bytes;
};

enum serve_piece_kind {
    /* more text of the answer; empty: the piece has only log-probabilities */
    SERVE_PIECE_TEXT,
    SERVE_PIECE_THOUGHT,   /* more text of the thoughts, which come before the answer */
    SERVE_PIECE_CALL,      /* beginning of a call; the text is the tool's name */
    SERVE_PIECE_ARGUMENTS, /* more of the arguments of the call that has begun, as JSON */
};

/* A piece of a stream.  Thoughts come before text, and text before calls; calls
 * come one after the other.  If a model breaks this order, its pieces are
 * passed on as they come.  A front whose API has blocks ends a block when the
 * kind changes. */
struct serve_piece {
    enum serve_piece_kind kind;
    struct flo_wire_text text; /* whole UTF-8 characters */
    /* Index of the call, from 0, for pieces of kind CALL and ARGUMENTS. */
    uint32_t call_index;
    /* the call, with its id and its name, for pieces of kind CALL and
     * ARGUMENTS */
    const struct serve_tool_call *call;
};

/* An error that is sent to a client. */
struct serve_failure {
    const struct flo_err *err;
    const char *param; /* name of the field in OpenAI's body that the error is about; NULL: none */
    int status;        /* HTTP status; a front may change it for a request that is no stream */
    bool is_in_stream;
    /* request that failed; NULL: the error came before there was a request, for
     * example because the token was missing */
    const struct serve_request *request;
};

struct serve_front {
    /* kind of the requests to this path; it decides with which frames an engine
     * answers them */
    enum request_kind kind;
    const char *id_prefix;   /* "chatcmpl-" */
    const char *stream_type; /* Content-Type of a stream that the front writes */
    /* the front needs thoughts and calls apart from the text, as chats do */
    bool tells_parts;
    /* the answer is stored during a stream too, because the front's end() needs
     * its parts */
    bool keeps;
    /* Reads the body into request->params, by flo_params_read() or
     * flo_params_read_tree().  On an error it may set params->param. */
    int (*read)(struct serve_request *request, const struct serve_body *body, struct flo_err *err);
    /* Writes the beginning of a stream to `out`, which the core checks for
     * failure.  It is sent together with the first piece.  NULL: a stream
     * begins with its first piece. */
    void (*begin)(struct serve_request *request, struct flo_buf *out);
    /* Writes a piece of a stream.  NULL: the front never streams, whatever the
     * body asks for. */
    void (*piece)(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out);
    /* Writes the end of a stream.  NULL: the front never streams. */
    void (*end)(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out);
    /* Writes the whole answer from request->kept.  If it fails, the client gets
     * the error, and params.param names the field at fault.  NULL: requests of
     * this kind get no DONE frame. */
    int (*whole)(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err);
    /* Writes one of several answers to a body (a choice, whose index is
     * request->index).  When all have ended, `whole` is called with the request
     * of the body, whose choices->each[].text has the answers.  The end() of a
     * stream asks flo_choices_count().  NULL: a body gets only one answer. */
    void (*choice)(struct serve_request *request, const struct flo_wire_done *done,
                   struct flo_buf *out);
    /* Writes the answer to a request that generates no tokens.  A frame TOKENS
     * or TEXT is a whole answer.  A frame EMBEDDING is appended to
     * request->kept.text, which `whole` writes at the end.  NULL: requests of
     * this kind generate tokens. */
    void (*frame)(struct serve_request *request, const struct flo_wire_message *frame,
                  struct flo_buf *out);
    /* Writes an error as a body, or as the last event of a stream. */
    void (*fail)(struct serve_failure *failure, struct flo_buf *out);
    void (*drop)(void *state); /* frees request->state; NULL: the front has no state */
};

/* ---- a request, for who has a body (api/, a file of requests) ---- */

struct serve_question {
    const struct serve_front *front;
    struct serve_sink sink;
    struct flo_party party;
    /* the application asked for another target of the route; another device of
     * the site sent the question */
    bool escalates, is_from_site;
    struct serve_body body;
};
/* Makes a request from the body of a client's question, which the caller then
 * passes to flo_router_submit().  Returns NULL when the body is refused; the
 * client gets the error. */
struct serve_request *flo_request_open(struct flo_serve *serve,
                                       const struct serve_question *question);
void flo_request_free(struct serve_request *request);

/* Logs an error of the request within the lines of its party. */
static inline void flo_request_log(struct serve_request *request, enum flo_log_level level,
                                   const char *area, const struct flo_err *err)
{
    (void)flo_party_log(request->serve, &request->party, flo_now_ms(), level, area, err);
}

/* ---- its answer, for the router ---- */

/* Passes a TOKEN frame to the front.  After an error the router ends the
 * request.
 * FLO_E_INFER_CANCELLED  the reader was too slow, and was disconnected
 * FLO_E_WORKER_PROTOCOL  the engine broke its protocol
 * FLO_E_INFER_PARAM  the answer is too long to be stored */
FLO_MUST_USE int flo_answer_token(struct serve_request *request, const struct flo_wire_token *token,
                                  struct flo_err *err);
/* Passes a DONE frame to the front.  Fails as flo_answer_token() does. */
FLO_MUST_USE int flo_answer_done(struct serve_request *request, const struct flo_wire_done *done,
                                 struct flo_err *err);
void flo_answer_frame(struct serve_request *request, const struct flo_wire_message *frame);
void flo_answer_fail(struct serve_request *request, const struct flo_err *err);
/* Stores the rest of a guarded answer instead of sending it.  flo_answer_done()
 * sends no text of the answer before flo_answer_let_go() was called.  Fails as
 * flo_answer_token() does, and with FLO_E_MEMORY. */
FLO_MUST_USE int flo_answer_collect(struct serve_request *request, const struct flo_wire_done *done,
                                    struct flo_err *err);
/* Allows that the stored answer is sent; the next flo_answer_done() sends it.
 * `text` and `parts` get its contents in the form of flo_kept_take(). */
void flo_answer_let_go(struct serve_request *request, struct flo_buf *text, struct flo_buf *parts);
/* Drops the answer so far, because another engine begins it again. */
void flo_answer_forget(struct serve_request *request);

/* ---- helpers of fronts ---- */

/* Writes "flotilla":{"served_by":...,"reason":...} and a comma, for a request
 * whose name has a route; else nothing. */
void flo_answer_add_served(const struct serve_request *request, struct flo_buf *out);
/* Appends a text as a JSON string.  Bytes that are no UTF-8 become U+FFFD. */
void flo_answer_add_text(struct flo_buf *out, struct flo_wire_text text);
/* "name":"text" */
void flo_answer_add_member(struct flo_buf *out, const char *name, struct flo_wire_text text);
static inline struct flo_wire_text flo_answer_text_of(const struct flo_buf *buf)
{
    return (struct flo_wire_text){buf->data, buf->bytes};
}
/* Appends a vector's numbers as a JSON list. */
void flo_answer_add_floats(struct flo_buf *out, struct flo_wire_text vector);
/* Shortens a vector to the size that the client asked for; `shorter` then holds
 * it.  Returns false when the vector is too short, which the core reports at
 * the end. */
bool flo_answer_vector(struct serve_request *request, struct flo_wire_text *vector,
                       struct flo_buf *shorter);
/* Appends a text in which the client's name of a field replaces OpenAI's,
 * wherever that is a whole word. */
void flo_answer_add_named(struct flo_buf *out, const char *text, const char *ours,
                          const char *theirs);
/* Translates list elements: for each element in OpenAI's body it has the index
 * of the client's element that it was made from. */
struct serve_places {
    const char *begin; /* beginning of an element's name in the client's body, up to its index */
    const uint16_t *from;
    uint32_t count;
};
/* Translates the name of a list element at the beginning of `text`: `begin` and
 * an index, such as "messages[" and 4.  Appends the client's name of that
 * element, and returns the rest of the text.  Returns the whole text, and
 * appends nothing, if it begins differently. */
const char *flo_answer_add_place(struct flo_buf *out, const char *text, const char *begin,
                                 const struct serve_places *places);
/* Checks that the vectors have the size that the client asked for.  The core
 * calls it before `whole`. */
FLO_MUST_USE int flo_answer_check_dimensions(struct serve_request *request, struct flo_err *err);

#endif
