/* Params: parameters of a request: converts a body in OpenAI's form to a
 * message for the engine.
 *
 * All ranges and refusals are here.  A front of another API converts its body
 * to OpenAI's and parses that. */
#ifndef FLOTILLA_SERVE_PARAMS_H
#define FLOTILLA_SERVE_PARAMS_H

#include <flotilla/engine_wire.h>

#include "base/host/json.h"

#define FLO_TOOLS_NAME_BYTES_MAX 64
#define SERVE_N_MAX 8        /* most answers to one prompt */
#define SERVE_CHOICES_MAX 64 /* most answers to one body */

enum request_kind {
    REQUEST_CHAT,
    REQUEST_TEXT,
    REQUEST_TOKENISE,
    REQUEST_DETOKENISE,
    REQUEST_EMBED,
    REQUEST_AUDIO,
    REQUEST_KINDS
};

/* A client's parameters, checked. */
struct serve_params {
    json_t *json;         /* only during parsing */
    json_t *made;         /* texts made by the reader; only while it parses */
    struct flo_buf parts; /* ids and a schema while parsing; later the message as a frame, to which
                             its texts point */
    struct flo_wire_message message;
    uint32_t n;                       /* number of answers per prompt; 0 or 1: one */
    json_t *prompts;                  /* several prompts; NULL: a single one */
    bool echoes;                      /* a completion's answer begins with its prompt */
    const char *form;                 /* field that set the grammar, or NULL */
    const char *thinks;               /* field that set the thinking, or NULL */
    struct flo_buf callable;          /* names of the allowed tools, for flo_params_may_call() */
    bool is_function_call;            /* `functions` was used: the answer has `function_call` */
    char model[3 * FLO_NAME_MAX + 3]; /* the name given by the client; empty: any model */
    uint64_t user;                    /* hash of the person's name; 0: none was given */
    bool is_stream;
    bool wants_usage;
    bool is_base64;      /* vectors */
    uint32_t dimensions; /* requested size of a vector; 0: the model's */
    bool drops_turns;    /* if the prompt is too long, the oldest turns are dropped */
    bool is_plain;       /* the answer to speech is plain text, not JSON */
    bool is_unasked;     /* the prompt was made by a front, not by the client */
    bool is_untold;      /* nothing of the answer is sent to the client */
    char param[64];      /* the invalid field */
};

/* Parses a body.  FLO_E_REST_SCHEMA (no JSON object), FLO_E_INFER_PARAM with
 * params->param and a text with the field and its range, FLO_E_REST_TOO_LARGE
 * (for a frame).  After an error nothing needs to be freed, and params->param
 * is set. */
FLO_MUST_USE int flo_params_read(enum request_kind kind, const char *body, size_t bytes,
                                 struct serve_params *params, struct flo_err *err);
/* Like flo_params_read(), from a tree, whose ownership is taken in any case. */
FLO_MUST_USE int flo_params_read_tree(enum request_kind kind, json_t *body,
                                      struct serve_params *params, struct flo_err *err);
/* Returns how many answers the body asks for: each prompt has `n`. */
uint32_t flo_params_choices(const struct serve_params *params);
/* Makes the parameters of one answer, counted from 0, as if only this answer
 * had been requested; answers to the same prompt have different seeds.
 * FLO_E_INFER_PARAM with out->param: its prompt is invalid. */
FLO_MUST_USE int flo_params_choice(const struct serve_params *asked, uint32_t choice,
                                   struct serve_params *out, struct flo_err *err);
/* Keeps only the message's frame, to which the message's texts then point. */
FLO_MUST_USE int flo_params_keep(struct serve_params *params, struct flo_err *err);
void flo_params_deinit(struct serve_params *params);

/* Drops the oldest turn: a user's message and all up to the next one, except
 * system messages.  false: only one turn is left. */
bool flo_params_drop_turn(struct serve_params *params);
/* Is this the name of a tool that the model may call? */
bool flo_params_may_call(const struct serve_params *params, struct flo_wire_text name);
/* Returns the client's name for a field of OpenAI's. */
const char *flo_params_named(const struct serve_params *params, const char *param);
/* Returns the field that an error is about; "": none. */
const char *flo_params_param(const struct serve_params *params, const struct flo_err *err);

#endif
