/* Params: converts a body in OpenAI's form to a message for the engine.
 *
 * All ranges and refusals are here.  A front of another API converts its body
 * to OpenAI's, which is then read here. */
#ifndef FLOTILLA_SERVE_PARAMS_H
#define FLOTILLA_SERVE_PARAMS_H

#include <flotilla/engine_wire.h>

#include "base/host/json.h"

#define FLO_TOOLS_NAME_BYTES_MAX 64
#define PARAMS_TEMPERATURE 0.8 /* without one of the request or the release */
#define SERVE_N_MAX 8          /* largest number of answers to one prompt */
#define SERVE_CHOICES_MAX 64   /* largest number of answers to one body */

enum request_kind {
    REQUEST_CHAT,
    REQUEST_TEXT,
    REQUEST_TOKENISE,
    REQUEST_DETOKENISE,
    REQUEST_EMBED,
    REQUEST_AUDIO,
    REQUEST_KINDS
};

/* Sampling fields of which a release may have another default. */
enum params_gives {
    PARAMS_GIVES_max_tokens,
    PARAMS_GIVES_min_p_ppm,
    PARAMS_GIVES_repeat_penalty_ppm,
    PARAMS_GIVES_seed,
    PARAMS_GIVES_temperature_ppm,
    PARAMS_GIVES_top_k,
    PARAMS_GIVES_top_p_ppm,
};

/* Parameters of a client's request, all checked. */
struct serve_params {
    json_t *json; /* only during parsing */
    json_t *made; /* texts that the reader itself made, needed until the frame is written */
    /* token ids and a schema while the body is read; later the frame, to which
     * the texts of `message` point */
    struct flo_buf parts;
    struct flo_wire_message message;
    uint32_t n;         /* number of answers to each prompt; 0 counts as 1 */
    json_t *prompts;    /* list of prompts; NULL: the body has one */
    bool echoes;        /* the answer to a completion begins with its prompt */
    const char *form;   /* name of the field that set the grammar; NULL: none did */
    const char *thinks; /* name of the field that set the thinking; NULL: none did */
    /* names of the tools that may be called, for flo_params_may_call() */
    struct flo_buf callable;
    /* the body has `functions`, so the answer has `function_call` */
    bool is_function_call;
    char model[3 * FLO_NAME_MAX + 3]; /* name of the model that the client gave; empty: any model */
    uint64_t user;                    /* hash of the person's name; 0: the client named no person */
    bool is_stream;
    bool wants_usage;
    bool is_base64;      /* vectors */
    uint32_t dimensions; /* size of vectors that the client wants; 0: the model's */
    bool drops_turns;    /* the oldest turns of a prompt that is too long are dropped */
    bool is_plain;       /* the text of speech is the answer itself, without JSON */
    bool is_unasked;     /* a front made the prompt, not the client */
    bool is_untold;      /* the client gets nothing of the generated text */
    bool takes_defaults; /* a release's defaults count (requests/defaults.h) */
    uint32_t given;      /* sampling fields that the body has: one bit for each PARAMS_GIVES_ */
    /* max_tokens that a release put in, and what was there before; 0: none did */
    uint32_t release_tokens, asked_tokens;
    /* the first message is the system prompt of a release, not the client's */
    bool has_release_system;
    char param[64]; /* the invalid field */
};

/* Reads a body.  After an error nothing needs to be freed, and params->param
 * names the field.
 * FLO_E_REST_SCHEMA  no JSON object
 * FLO_E_INFER_PARAM  a field is invalid; the text has its name and its range
 * FLO_E_REST_TOO_LARGE  the body does not fit into a frame */
FLO_MUST_USE int flo_params_read(enum request_kind kind, const char *body, size_t bytes,
                                 struct serve_params *params, struct flo_err *err);
/* Reads a body that is a JSON tree, as flo_params_read() does.  The tree is
 * taken in any case. */
FLO_MUST_USE int flo_params_read_tree(enum request_kind kind, json_t *body,
                                      struct serve_params *params, struct flo_err *err);
/* Returns how many answers the body asks for: `n` for each prompt. */
uint32_t flo_params_choices(const struct serve_params *params);
/* Makes the parameters of one answer, counted from 0, as if the body asked only
 * for that one.  Answers to the same prompt have different seeds.
 * FLO_E_INFER_PARAM  the prompt of this answer is invalid; out->param names
 * it */
FLO_MUST_USE int flo_params_choice(const struct serve_params *asked, uint32_t choice,
                                   struct serve_params *out, struct flo_err *err);
/* Stores only the frame for the engine, to which the message's texts then
 * point. */
FLO_MUST_USE int flo_params_keep(struct serve_params *params, struct flo_err *err);
void flo_params_deinit(struct serve_params *params);

/* Tells whether a message of the conversation has this role. */
bool flo_params_is_role(const struct flo_wire_generate *in, uint32_t message, const char *role);
/* Drops the oldest turn: a user's message and all up to the next one, except
 * system messages.  Returns false when only one turn is left. */
bool flo_params_drop_turn(struct serve_params *params);
/* Tells whether the model may call a tool of this name. */
bool flo_params_may_call(const struct serve_params *params, struct flo_wire_text name);
/* Returns the name that the client used for a field of OpenAI's body. */
const char *flo_params_named(const struct serve_params *params, const char *param);
/* Returns the field that an error is about; "": it is about none. */
const char *flo_params_param(const struct serve_params *params, const struct flo_err *err);

#endif
