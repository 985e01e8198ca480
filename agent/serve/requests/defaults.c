/* Defaults: puts what a release says about sampling, and its system prompt, into
 * requests that do not say it themselves.
 *
 * The release is known only when a request is sent to an engine, and may be
 * another one when it is sent again.  So the defaults are put in each time. */
#include "agent/serve/requests/defaults.h"

#include <string.h>

#define TEMPERATURE_MAX 2.0
#define REPEAT_MIN 0.5
#define REPEAT_MAX 2.0
#define PPM 1e6

static bool is_open(const struct serve_params *params, enum params_gives field)
{
    return (params->given >> field & 1) == 0;
}

/* Returns a release's share in place of the API's; a negative one is not set. */
static double share(int64_t ppm, double standard)
{
    return ppm < 0 ? standard : (double)ppm / PPM;
}

static double within(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

static void put_sampling(struct serve_params *params, const struct flo_release_sampling *from)
{
    struct flo_wire_generate *out = &params->message.generate;

    if (is_open(params, PARAMS_GIVES_temperature_ppm)) {
        out->temperature =
            within(share(from->temperature_ppm, PARAMS_TEMPERATURE), 0, TEMPERATURE_MAX);
    }
    if (is_open(params, PARAMS_GIVES_top_p_ppm)) {
        out->top_p = from->top_p_ppm == 0 ? 1 : share(from->top_p_ppm, 1);
    }
    if (is_open(params, PARAMS_GIVES_min_p_ppm)) {
        out->min_p = share(from->min_p_ppm, 0);
    }
    if (is_open(params, PARAMS_GIVES_repeat_penalty_ppm)) {
        out->repeat_penalty = within(share(from->repeat_penalty_ppm, 1), REPEAT_MIN, REPEAT_MAX);
    }
    if (is_open(params, PARAMS_GIVES_top_k)) {
        out->top_k = from->top_k < 0 ? 0 : (uint32_t)from->top_k;
    }
    if (is_open(params, PARAMS_GIVES_seed) && from->seed >= 0) {
        out->seed = (uint64_t)from->seed;
    }
}

/* Limits the answer of a request that asks for no length.  Limits of the
 * device's owner, which others put in, stay. */
static void put_length(struct serve_params *params, int64_t most)
{
    uint32_t *out = &params->message.generate.max_tokens;

    if (params->release_tokens > 0 && *out == params->release_tokens) {
        *out = params->asked_tokens; /* as before the last release's limit */
    }
    params->release_tokens = 0;
    if (is_open(params, PARAMS_GIVES_max_tokens) && most > 0 &&
        (*out == 0 || *out > (uint64_t)most)) {
        params->asked_tokens = *out;
        params->release_tokens = *out = (uint32_t)most;
    }
}

static bool has_system(const struct flo_wire_generate *in)
{
    for (uint32_t i = 0; i < in->n_messages; i++) {
        if (flo_params_is_role(in, i, "system")) {
            return true;
        }
    }
    return false;
}

/* Moves all messages by one place, down or up. */
static void shift(struct flo_wire_generate *out, bool is_up)
{
    memmove(&out->messages[is_up ? 1 : 0], &out->messages[is_up ? 0 : 1],
            (out->n_messages - (is_up ? 0 : 1)) * sizeof(out->messages[0]));
    for (uint32_t i = 0; i < out->n_images; i++) {
        out->images[i].message += is_up ? 1 : (uint32_t)-1;
    }
    out->n_messages += is_up ? 1 : (uint32_t)-1;
}

static int put_system(struct serve_params *params, const char *system, struct flo_err *err)
{
    static const char role[] = "system";
    struct flo_wire_generate *out = &params->message.generate;

    if (params->has_release_system) {
        shift(out, false);
        params->has_release_system = false;
        out->public_bytes = 0;
    }
    if (system[0] == '\0' || out->n_messages == 0 || has_system(out)) {
        return 0;
    }
    if (out->n_messages == FLO_WIRE_MESSAGES_MAX) {
        strcpy(params->param, "messages");
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "messages: %u, at most %d with the release's system prompt",
                        out->n_messages, FLO_WIRE_MESSAGES_MAX - 1);
    }
    shift(out, true);
    memset(&out->messages[0], 0, sizeof(out->messages[0]));
    out->messages[0].role = (struct flo_wire_text){role, sizeof(role) - 1};
    out->messages[0].content = (struct flo_wire_text){system, strlen(system)};
    params->has_release_system = true;
    out->public_bytes = (uint32_t)strlen(system); /* everybody's, and no app's */
    return 0;
}

int flo_defaults_put(struct serve_params *params, const struct flo_serve_defaults *defaults,
                     struct flo_err *err)
{
    struct flo_release_serve own;

    if (params->message.type != FLO_WIRE_GENERATE || !params->takes_defaults) {
        return 0;
    }
    flo_release_serve_init(&own);
    put_sampling(params, defaults != NULL ? &defaults->sampling : &own.sampling);
    put_length(params, defaults != NULL ? defaults->sampling.max_tokens : -1);
    return put_system(params, defaults != NULL ? defaults->system : "", err);
}
