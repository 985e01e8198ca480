/* Parameters of a request: a body in OpenAI's words to a message for the
 * engine.
 *
 * This is the one place with ranges and refusals.  A front of another API
 * translates its body to OpenAI's and reads that. */
#ifndef FLOTILLA_SERVE_PARAMS_H
#define FLOTILLA_SERVE_PARAMS_H

#include <flotilla/engine_wire.h>

#include "base/host/json.h"

#define FLO_TOOLS_NAME_BYTES_MAX 64
#define SERVE_N_MAX 8        /* answers to one prompt */
#define SERVE_CHOICES_MAX 64 /* answers to one body */

enum request_kind {
    REQUEST_CHAT,
    REQUEST_TEXT,
    REQUEST_TOKENISE,
    REQUEST_DETOKENISE,
    REQUEST_EMBED,
    REQUEST_AUDIO,
    REQUEST_KINDS
};

/* The parameters that a client asked for, checked. */
struct serve_params {
    json_t *json;         /* while it is read */
    json_t *made;         /* texts that the reader made, while it reads */
    struct flo_buf parts; /* ids and a schema, while it is read; then the
                             message as a frame, which its texts stand in */
    struct flo_wire_message message;
    uint32_t n;                       /* answers to each prompt; 0 or 1: one */
    json_t *prompts;                  /* several prompts; NULL: there is one */
    bool echoes;                      /* a completion's text begins with its prompt */
    const char *form;                 /* the field that gave its grammar, or NULL */
    const char *thinks;               /* the field that said how to think, or NULL */
    struct flo_buf callable;          /* names of tools that may be called; for
                                         flo_params_may_call() */
    bool is_function_call;            /* by `functions`: the answer has `function_call` */
    char model[3 * FLO_NAME_MAX + 3]; /* as named; empty: any */
    uint64_t user;                    /* hash of the person behind it; 0: nobody was named */
    bool is_stream;
    bool wants_usage;
    bool is_base64;      /* vectors */
    uint32_t dimensions; /* first values of a vector; 0: all */
    bool drops_turns;    /* the oldest ones, where the prompt is too long */
    bool is_plain;       /* the text of speech, without JSON */
    bool is_unasked;     /* a front made up the prompt: no client's word */
    bool is_untold;      /* no word of the answer reaches the client */
    char param[64];      /* the field that was wrong */
};

/* Read a body.  FLO_E_REST_SCHEMA (no JSON object), FLO_E_INFER_PARAM with
 * params->param and a sentence that has the field and its range,
 * FLO_E_REST_TOO_LARGE (for a frame).  After an error nothing is to be freed,
 * and params->param stays. */
FLO_MUST_USE int flo_params_read(enum request_kind kind, const char *body, size_t bytes,
                                 struct serve_params *params, struct flo_err *err);
/* The same of a tree, which is taken whatever comes of it. */
FLO_MUST_USE int flo_params_read_tree(enum request_kind kind, json_t *body,
                                      struct serve_params *params, struct flo_err *err);
/* How many answers the body asks for: each prompt has `n`. */
uint32_t flo_params_choices(const struct serve_params *params);
/* The parameters of one of these answers, from 0, as if it had been asked for
 * alone; its seed differs from those of the others to its prompt.
 * FLO_E_INFER_PARAM with out->param: its prompt is none. */
FLO_MUST_USE int flo_params_choice(const struct serve_params *asked, uint32_t choice,
                                   struct serve_params *out, struct flo_err *err);
/* Only the message's frame stays; the message's texts stand in it then. */
FLO_MUST_USE int flo_params_keep(struct serve_params *params, struct flo_err *err);
void flo_params_deinit(struct serve_params *params);

/* Forget the oldest turn: a user's message and all up to the next one, but for
 * what the system said.  false: only one is left. */
bool flo_params_drop_turn(struct serve_params *params);
/* Is it the name of a tool that the request lets the model call? */
bool flo_params_may_call(const struct serve_params *params, struct flo_wire_text name);
/* The word by which this client asked for a thing of OpenAI's name. */
const char *flo_params_named(const struct serve_params *params, const char *param);
/* The field that an error is about; empty: none. */
const char *flo_params_param(const struct serve_params *params, const struct flo_err *err);

#endif
