/* Models: lists each model once, with its aliases and its adapters. */
#include "agent/serve/api/models.h"

#include "agent/serve/guard/guard.h"
#include "agent/serve/requests/names.h"

bool flo_models_show(const struct serve_place *place, struct models_shown *out)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    const struct flo_serve_route *route = &place->route;
    if (place->is_removed || flo_names_is_silent(place) || (live == NULL && !place->has_route)) {
        return false;
    }
    *out = (struct models_shown){.context = live != NULL ? live->context : 0};
    if (place->has_route) {
        out->model = route->model;
        out->version = route->version;
        out->state = flo_serve_route_word(live != NULL                      ? FLO_ROUTE_READY
                                          : route->state == FLO_ROUTE_READY ? FLO_ROUTE_LOADING
                                                                            : route->state);
        out->release = &route->release;
        out->created_s = route->created_s;
    } else {
        out->model = live->model;
        out->version = live->version;
        out->state = flo_serve_route_word(FLO_ROUTE_READY);
        out->release = &live->release;
        out->created_s = live->created_s;
    }
    return true;
}

static void add_aliases(const struct serve_place *place, struct flo_buf *out)
{
    uint32_t count = place->has_route ? place->route.n_aliases : 0;
    flo_buf_text(out, "\"aliases\":[");
    for (uint32_t i = 0; i < count; i++) {
        flo_buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", place->route.aliases[i]);
    }
    flo_buf_text(out, "],");
}

static void add_draft(const struct serve_place *place, struct flo_buf *out)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    FLO_CLEANUP(flo_json_cleanup)
    json_t *draft = live == NULL ? NULL : flo_serve_draft_json(&live->draft);
    if (draft != NULL) {
        flo_buf_text(out, "\"draft\":");
        flo_json_dump(draft, out);
        flo_buf_text(out, ",");
    }
}

void flo_models_add(const struct serve_place *place, const char *adapter, bool is_whole,
                    struct flo_buf *out)
{
    char digest[FLO_DIGEST_TEXT];
    struct models_shown shown;
    if (!flo_models_show(place, &shown)) {
        return;
    }
    flo_digest_text(shown.release, digest);
    flo_buf_printf(out, "{\"id\":\"%s%s%s\",\"object\":\"model\",",
                   adapter == NULL || is_whole ? shown.model : "",
                   adapter != NULL && is_whole ? ":" : "", adapter != NULL ? adapter : "");
    flo_buf_printf(out,
                   "\"created\":%llu,\"owned_by\":\"flotilla\","
                   "\"release\":\"%s\",\"version\":\"%s\",\"state\":\"%s\",",
                   (unsigned long long)shown.created_s, digest, shown.version, shown.state);
    if (shown.context > 0) {
        flo_buf_printf(out, "\"context\":%u,", shown.context);
    }
    if (adapter != NULL) {
        flo_buf_printf(out, "\"parent\":\"%s\"}", shown.model);
    } else {
        add_aliases(place, out);
        if (place->has_route && place->route.split_pct > 0) {
            flo_buf_printf(out, "\"split_of\":\"%s\",\"split_pct\":%u,", place->route.split_of,
                           place->route.split_pct);
        }
        add_draft(place, out);
        flo_buf_text(out, "\"parent\":null");
        flo_guards_list(place, out);
        flo_buf_text(out, "}");
    }
}

static void add_adapters(const struct serve_place *place, struct flo_buf *out)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    for (uint32_t i = 0; live != NULL && i < live->n_adapters; i++) {
        if (!live->adapters[i].is_private) {
            flo_buf_text(out, ",");
            flo_models_add(place, live->adapters[i].name, true, out);
            flo_buf_text(out, ",");
            flo_models_add(place, live->adapters[i].name, false, out);
        }
    }
}

/* Returns the model of a pipeline's stage; NULL: it is absent, or the token may
 * not use it. */
static const struct serve_place *stage_of(const struct flo_serve *serve, const char *name,
                                          int token)
{
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *place = &serve->places[i];
        const char *adapter;
        if (flo_names_is_used(place) && flo_names_may_use(place, token) &&
            flo_names_match(place, name, &adapter)) {
            return place;
        }
    }
    return NULL;
}

/* Adds a pipeline to the list if all of its models are available.  Its date is
 * that of its newest model. */
static void add_pipeline(const struct flo_serve *serve, const struct flo_serve_pipeline *pipeline,
                         int token, struct flo_buf *out)
{
    uint64_t created_s = 0;
    struct models_shown shown;
    for (uint32_t i = 0; i < pipeline->n_stages; i++) {
        const struct serve_place *place = stage_of(serve, pipeline->stages[i], token);
        if (place == NULL || !flo_models_show(place, &shown)) {
            return;
        }
        created_s = shown.created_s > created_s ? shown.created_s : created_s;
    }
    flo_buf_printf(out,
                   ",{\"id\":\"%s\",\"object\":\"model\",\"created\":%llu,"
                   "\"owned_by\":\"flotilla\",\"parent\":null,\"pipeline\":[",
                   pipeline->name, (unsigned long long)created_s);
    for (uint32_t i = 0; i < pipeline->n_stages; i++) {
        flo_buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", pipeline->stages[i]);
    }
    flo_buf_text(out, "]}");
}

bool flo_models_list(const struct flo_serve *serve, int token, struct flo_buf *out)
{
    size_t count = 0, used = 0;
    flo_buf_text(out, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *place = &serve->places[i];
        struct models_shown shown;
        used += flo_names_is_used(place);
        if (flo_models_show(place, &shown) && flo_names_may_use(place, token)) {
            flo_buf_text(out, count++ > 0 ? "," : "");
            flo_models_add(place, NULL, true, out);
            add_adapters(place, out);
        }
    }
    for (uint32_t i = 0; i < serve->n_pipelines && count > 0; i++) {
        add_pipeline(serve, &serve->pipelines[i], token, out);
    }
    flo_buf_text(out, "]}");
    return count > 0 || (token != SERVE_TOKEN_ANY && used > 0);
}
