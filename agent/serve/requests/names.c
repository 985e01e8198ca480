/* Names: finds the model that a request names, and checks which tokens may use
 * it. */
#include "agent/serve/requests/names.h"

#include <string.h>

static bool is_text(const char *text, const char *name, size_t chars)
{
    return strlen(text) == chars && memcmp(text, name, chars) == 0;
}

/* Tells whether the name is the model's own, such as "tiny" or "tiny@2.1.0".
 * The agent sets these names in the model's route; without a route they are
 * those of the live engine. */
static bool is_model(const struct serve_place *place, const char *name, size_t chars)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    char full[2 * FLO_NAME_MAX + 2];
    if (!place->has_route) {
        return live != NULL &&
               (is_text(live->model, name, chars) || is_text(live->name, name, chars));
    }
    snprintf(full, sizeof(full), "%s@%s", place->route.model, place->route.version);
    return is_text(place->route.model, name, chars) || is_text(full, name, chars);
}

static bool is_alias(const struct serve_place *place, const char *name, size_t chars)
{
    for (uint32_t i = 0; place->has_route && i < place->route.n_aliases; i++) {
        if (is_text(place->route.aliases[i], name, chars)) {
            return true;
        }
    }
    return false;
}

/* Returns an adapter of the live engine that clients may name; NULL: no such
 * adapter has this name. */
static const char *find_adapter(const struct serve_place *place, const char *name)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    for (uint32_t i = 0; live != NULL && i < live->n_adapters; i++) {
        if (!live->adapters[i].is_private && strcmp(name, live->adapters[i].name) == 0) {
            return live->adapters[i].name;
        }
    }
    return NULL;
}

bool flo_names_match(const struct serve_place *place, const char *name, const char **adapter)
{
    size_t chars = strcspn(name, ":");
    bool has_model = is_model(place, name, chars) || is_alias(place, name, chars);
    *adapter = NULL;
    if (has_model && name[chars] == '\0') {
        return true;
    }
    if (has_model && flo_serve_engine_live(place) == NULL) {
        /* the name may be an adapter's: the model's adapters are not known
         * before its engine is ready */
        return true;
    }
    *adapter = find_adapter(place, has_model ? name + chars + 1 : name);
    return *adapter != NULL;
}

const char *flo_names_of(const struct serve_place *place)
{
    if (place->has_route) {
        return place->route.model;
    }
    for (int role = 0; role < FLO_ROLE_COUNT; role++) {
        if (place->roles[role] != NULL) {
            return place->roles[role]->model;
        }
    }
    return "";
}

bool flo_names_may_use(const struct serve_place *place, int token)
{
    const struct serve_token *app = token < 0 ? NULL : &place->serve->tokens[token];
    const struct flo_serve_bounds *bounds = app == NULL ? NULL : &app->bounds;
    bool may = app == NULL || (bounds->n_models == 0 && place->serve->unbound_have_all);
    for (uint32_t i = 0; !may && place->has_route && i < place->route.n_tokens; i++) {
        may = strcmp(place->route.tokens[i], app->name) == 0;
    }
    for (uint32_t i = 0; !may && i < bounds->n_models; i++) {
        may = strcmp(bounds->models[i], flo_names_of(place)) == 0;
    }
    return may;
}

static bool has_engine(const struct serve_place *place)
{
    return place->roles[FLO_ROLE_CURRENT] != NULL || place->roles[FLO_ROLE_CANDIDATE] != NULL;
}

bool flo_names_is_used(const struct serve_place *place)
{
    return !place->is_removed && (place->has_route || has_engine(place));
}

void flo_names_take(struct serve_place *place)
{
    if (place->is_removed) {
        memset(&place->numbers, 0, sizeof(place->numbers));
    }
    place->is_removed = false;
}

bool flo_names_is_silent(const struct serve_place *place)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    return place->has_route ? place->route.is_silent : live != NULL && live->is_silent;
}

/* Returns how well the name fits: 3 for the model's own name, 2 for an alias, 1
 * for an adapter alone, 0 if it does not fit. */
static int fit(const struct serve_place *place, const char *name)
{
    const char *adapter;
    size_t chars = strcspn(name, ":");
    if (!flo_names_match(place, name, &adapter)) {
        return 0;
    }
    return is_model(place, name, chars) ? 3 : is_alias(place, name, chars) ? 2 : 1;
}

struct serve_place *flo_names_place(struct flo_serve *serve, const char *name, int token)
{
    struct serve_place *best = NULL, *loading = NULL, *first = NULL;
    int most = 0;
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        struct serve_place *place = &serve->places[i];
        if (!flo_names_is_used(place) || !flo_names_may_use(place, token)) {
            continue;
        }
        first = first != NULL || flo_names_is_silent(place) ? first : place;
        if (fit(place, name) > most) {
            best = place;
            most = fit(place, name);
        }
        if (!place->has_route && flo_serve_engine_live(place) == NULL) {
            loading = loading != NULL ? loading : place;
        }
    }
    if (name[0] == '\0' && first != NULL) {
        return first;
    }
    if (best != NULL || loading != NULL) {
        return best != NULL ? best : loading;
    }
    return first == NULL && token < 0 && !serve->had_route ? &serve->places[0] : NULL;
}

const struct serve_place *flo_names_gone(const struct flo_serve *serve, const char *name, int token)
{
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        struct serve_place was = serve->places[i];
        was.has_route = true;
        if (was.is_removed && was.gone == FLO_GONE_TAKEN_BACK && fit(&was, name) >= 2 &&
            flo_names_may_use(&was, token)) {
            return &serve->places[i];
        }
    }
    return NULL;
}

void flo_names_gone_error(const struct serve_place *place, int code, struct flo_err *err)
{
    if (place->gone == FLO_GONE_TAKEN_BACK) {
        flo_fail(err, code,
                 "release %s@%s was taken back, and model \"%s\" has no other "
                 "here",
                 place->route.model, place->route.version, place->route.model);
        return;
    }
    flo_fail(err, code, "the model was removed");
}
