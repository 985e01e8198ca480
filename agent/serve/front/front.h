/* Fronts: the APIs over one core of answers.
 *
 * The core reads parameters, finds an engine, checks the engine's frames and
 * keeps the answer.  A front is a table of functions with the words of one API:
 * it translates a body into the core's request, and writes what the core tells
 * it.  A front touches neither HTTP nor an engine, and keeps no pointer from a
 * call but its own state.
 *
 * A request's life, seen from its front:
 *   read      once.  An error: fail, drop.
 *   stream    begin, piece..., then end; or fail (is_in_stream) after begin.
 *   no stream whole, or fail.
 *   drop      once at the end, whatever came before it; also alone, when the
 *             client went away.
 * A request may move to another engine as long as it has not begun.  A front
 * notices nothing of that.
 *
 * To add one: fill the table, declare it in the header of its folder
 * (agent/serve/<api>/), and add its path to agent/serve/api/fronts.c.
 *
 * read() of another API than OpenAI's builds the body of OpenAI's chat as a
 * json_t and gives it to flo_params_read_tree(REQUEST_CHAT, ...): ranges and
 * refusals are said there alone.  An API whose standard is a stream sets
 * "stream" in the tree.  fail() maps failure->param back to the API's own name.
 * All members of `request` may be read; useful ones are id, model_name,
 * created_s, params (is_stream, wants_usage, message.generate), load_us and
 * kept.  Only `state`, and params in read(), are the front's to write. */
#ifndef FLOTILLA_SERVE_FRONT_H
#define FLOTILLA_SERVE_FRONT_H

#include "agent/serve/front/request.h"

/* A body that came. */
struct serve_body {
    const char *type; /* Content-Type; NULL: none was said */
    const char *data;
    size_t bytes;
};

enum serve_piece_kind {
    SERVE_PIECE_TEXT,      /* more of the answer; empty where only
                              log-probabilities are there to be told */
    SERVE_PIECE_THOUGHT,   /* more of the reasoning: before the text */
    SERVE_PIECE_CALL,      /* a call begins; text is the tool's name */
    SERVE_PIECE_ARGUMENTS, /* more of this call's arguments, as JSON */
};

/* More of a stream.  Thoughts come before text, and text before calls; calls
 * come one after the other.  A model that breaks this order is told as it is:
 * a front whose API has blocks ends one where the kind changes. */
struct serve_piece {
    enum serve_piece_kind kind;
    struct flo_wire_text text; /* whole UTF-8 characters */
    /* Place of CALL and ARGUMENTS, from 0. */
    uint32_t call_index;
    const struct serve_tool_call *call; /* ... with its id and its name */
};

/* An error that a client is told. */
struct serve_failure {
    const struct flo_err *err;
    const char *param; /* the field of OpenAI's body; NULL: none */
    int status;        /* HTTP status; the front may say another one, where there
                          is a request and no stream */
    bool is_in_stream;
    const struct serve_request *request; /* NULL: refused before it was one,
                                            as without a token */
};

struct serve_front {
    enum request_kind kind;  /* which frames answer it */
    const char *id_prefix;   /* "chatcmpl-" */
    const char *stream_type; /* Content-Type of its streams */
    bool tells_parts;        /* thoughts and calls stand apart; chats only */
    bool keeps;              /* streams too keep text, thoughts and arguments, for `end` */
    /* The body into request->params: flo_params_read() or
     * flo_params_read_tree().  On an error params->param may be set. */
    int (*read)(struct serve_request *request, const struct serve_body *body, struct flo_err *err);
    /* Each adds to `out`, whose failure the core sees.  A stream's begin and
     * first piece leave together.  NULL: nothing is said before that. */
    void (*begin)(struct serve_request *request, struct flo_buf *out);
    /* NULL: it has no streams, whatever the body asks for. */
    void (*piece)(struct serve_request *request, const struct serve_piece *piece,
                  struct flo_buf *out);
    /* NULL: as piece. */
    void (*end)(struct serve_request *request, const struct flo_wire_done *done,
                struct flo_buf *out);
    /* The whole answer out of request->kept.  An error is told in its place;
     * params.param is its field.  NULL: a kind that ends without DONE. */
    int (*whole)(struct serve_request *request, const struct flo_wire_done *done,
                 struct flo_buf *out, struct flo_err *err);
    /* The answer of one of several choices (request->index); `whole` is called
     * with the asker once there are all, in choices->each[].text.  A stream's
     * end() asks flo_choices_count().  NULL: one choice only. */
    void (*choice)(struct serve_request *request, const struct flo_wire_done *done,
                   struct flo_buf *out);
    /* Kinds without tokens: TOKENS and TEXT are whole answers; an EMBEDDING is
     * added to what `whole` finds in request->kept.text.  NULL: a kind with
     * tokens. */
    void (*frame)(struct serve_request *request, const struct flo_wire_message *frame,
                  struct flo_buf *out);
    /* The error as a body, or as the last event of a stream. */
    void (*fail)(struct serve_failure *failure, struct flo_buf *out);
    void (*drop)(void *state); /* NULL: it has no state */
};

/* ---- a request, for who has a body (api/, a file of requests) ---- */

struct serve_question {
    const struct serve_front *front;
    struct serve_sink sink;
    uint64_t client;
    int token; /* as in struct serve_request */
    struct serve_body body;
};
/* Read it; flo_router_submit() goes on.  NULL: it was refused, and the sink has
 * the error. */
struct serve_request *flo_request_open(struct flo_serve *serve,
                                       const struct serve_question *question);
void flo_request_free(struct serve_request *request);

/* ---- its answer, for the router ---- */

/* Frames to the front's words.  After an error of the first two the router ends
 * the request: FLO_E_INFER_CANCELLED, the reader was too slow and was cut off;
 * FLO_E_WORKER_PROTOCOL, the engine broke its protocol; FLO_E_INFER_PARAM, the
 * answer is too long to be kept. */
FLO_MUST_USE int flo_answer_token(struct serve_request *request, const struct flo_wire_token *token,
                                  struct flo_err *err);
FLO_MUST_USE int flo_answer_done(struct serve_request *request, const struct flo_wire_done *done,
                                 struct flo_err *err);
void flo_answer_frame(struct serve_request *request, const struct flo_wire_message *frame);
void flo_answer_fail(struct serve_request *request, const struct flo_err *err);
/* Keep the rest of an answer with is_guarded.  The same errors, and
 * FLO_E_MEMORY.  flo_answer_done() before it is let go tells no word of it. */
FLO_MUST_USE int flo_answer_collect(struct serve_request *request, const struct flo_wire_done *done,
                                    struct flo_err *err);
/* All that was collected, as flo_kept_take() gives it: for the DONE that tells
 * it at once. */
void flo_answer_let_go(struct serve_request *request, struct flo_buf *text, struct flo_buf *parts);
/* Another engine begins the answer again. */
void flo_answer_forget(struct serve_request *request);

/* ---- helpers of fronts ---- */

/* As a JSON string; bytes that are no UTF-8 become U+FFFD. */
void flo_answer_add_text(struct flo_buf *out, struct flo_wire_text text);
/* "name":"text" */
void flo_answer_add_member(struct flo_buf *out, const char *name, struct flo_wire_text text);
static inline struct flo_wire_text flo_answer_text_of(const struct flo_buf *buf)
{
    return (struct flo_wire_text){buf->data, buf->bytes};
}
/* Number `i` of a vector as the wire has it. */
float flo_answer_float(struct flo_wire_text vector, size_t i);
/* A vector's numbers as a list. */
void flo_answer_add_floats(struct flo_buf *out, struct flo_wire_text vector);
/* As many numbers of the vector as were asked for, in `shorter` if these are
 * fewer.  false: it has not so many, which the core tells at the end. */
bool flo_answer_vector(struct serve_request *request, struct flo_wire_text *vector,
                       struct flo_buf *shorter);
/* The text with the client's word wherever OpenAI's stands as a whole word. */
void flo_answer_add_named(struct flo_buf *out, const char *text, const char *ours,
                          const char *theirs);
/* Parts of OpenAI's list, with the client's number of each. */
struct serve_places {
    const char *begin; /* the client's words up to the number */
    const uint16_t *from;
    uint32_t count;
};
/* A text that begins as "messages[4]", with `begin` up to the number: the same
 * place in the client's words.  The rest of the text is given back; all of it
 * where it begins otherwise. */
const char *flo_answer_add_place(struct flo_buf *out, const char *text, const char *begin,
                                 const struct serve_places *places);
/* For the core: before `whole` of vectors. */
FLO_MUST_USE int flo_answer_check_dimensions(struct serve_request *request, struct flo_err *err);

#endif
