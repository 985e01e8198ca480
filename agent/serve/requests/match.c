/* Match: prepares a request for the engine that will answer it, and checks that
 * the engine can. */
#include "agent/serve/requests/match.h"

#include <string.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/requests/apps.h"
#include "agent/serve/requests/defaults.h"
#include "agent/serve/requests/names.h"

int flo_names_unknown(const char *name, struct flo_err *err)
{
    return flo_fail(err, FLO_E_INFER_MODEL, "model \"%.200s\" is not served", name);
}

/* Writes the adapter that the request or its route names into the message.
 * Fails if the name turns out to be that of another model. */
static int take_model(struct serve_request *request, struct flo_err *err)
{
    struct serve_params *params = &request->params;
    const struct serve_place *place = request->place;
    const char *adapter = NULL;
    double scale = 0;
    if (params->model[0] != '\0' && request->meant == NULL &&
        !flo_names_match(place, params->model, &adapter)) {
        strcpy(params->param, "model");
        return flo_names_unknown(params->model, err);
    }
    if (adapter == NULL && place->has_route && place->route.adapter[0] != '\0') {
        adapter = place->route.adapter;
        scale = place->route.adapter_scale;
    }
    flo_wire_name_adapter(&params->message, adapter, scale);
    return 0;
}

static int refuse_images(struct serve_request *request, const struct serve_engine *engine,
                         struct flo_err *err)
{
    struct serve_params *params = &request->params;

    strcpy(params->param, "messages");
    flo_fail(err, FLO_E_INFER_PARAM, "messages[%u] has an image, and the model %s reads text alone",
             params->message.generate.images[0].message, engine->name);
    return flo_err_fix(err, "leave images out, or ask a model of a runtime "
                            "with `images` among its abilities");
}

static int refuse_ranks(struct serve_request *request, const struct serve_engine *engine,
                        struct flo_err *err)
{
    strcpy(request->params.param, "method");
    flo_fail(err, FLO_E_INFER_PARAM, "the model %s is no reranker", engine->name);
    return flo_err_fix(err, "ask a model whose file has a head for that, or "
                            "order by the cosine of vectors: "
                            "\"method\":\"embedding\"");
}

/* Checks that the engine is able to answer the request, before it is sent.  The
 * engine's own error would say less. */
static int check_abilities(struct serve_request *request, const struct serve_engine *engine,
                           struct flo_err *err)
{
    struct serve_params *params = &request->params;
    const char *param = "";
    const char *lack = flo_wire_lacks(&params->message, engine->abilities, &param);
    if (lack == NULL) {
        return 0;
    }
    if (params->message.type == FLO_WIRE_GENERATE && params->message.generate.n_images > 0 &&
        (engine->abilities & FLO_ABILITY_IMAGES) == 0) {
        return refuse_images(request, engine, err);
    }
    if (params->message.type == FLO_WIRE_EMBED && params->message.embed.ranks &&
        (engine->abilities & FLO_ABILITY_RERANK) == 0) {
        return refuse_ranks(request, engine, err);
    }
    param = flo_params_named(params, param);
    snprintf(params->param, sizeof(params->param), "%s", param);
    flo_fail(err, FLO_E_INFER_PARAM, "`%s`: the runtime of %s does not have this: %s", param,
             engine->name, lack);
    return flo_err_fix(err, "leave `%s` out", param);
}

int flo_match_prepare(struct serve_request *request, const struct serve_engine *engine,
                      struct flo_err *err)
{
    const struct serve_place *place = request->place;

    FLO_TRY(take_model(request, err));
    FLO_TRY(flo_defaults_put(
        &request->params,
        place->has_route && place->route.has_defaults ? &place->route.defaults : NULL, err));
    FLO_TRY(check_abilities(request, engine, err));
    return flo_app_check_prompt(request, engine, err);
}
