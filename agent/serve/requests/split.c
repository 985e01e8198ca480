/* Split: chooses the model that answers in place of the named one. */
#include "agent/serve/requests/split.h"

#include <assert.h>
#include <string.h>

#include "agent/serve/requests/names.h"

/* Lists the splits of a model, which are models that take a share of its
 * requests, in the order of their names.  So the order in which models were
 * loaded does not matter. */
static uint32_t splits_of(const struct serve_place *meant,
                          struct serve_place *out[FLO_SERVE_MODELS_MAX])
{
    struct flo_serve *serve = meant->serve;
    uint32_t count = 0;

    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX && meant->has_route; i++) {
        struct serve_place *place = &serve->places[i];
        uint32_t at = count;
        if (place->is_removed || !place->has_route || place->route.split_pct == 0 ||
            place == meant || strcmp(place->route.split_of, meant->route.model) != 0) {
            continue;
        }
        while (at > 0 && strcmp(out[at - 1]->route.model, place->route.model) > 0) {
            out[at] = out[at - 1];
            at--;
        }
        out[at] = place;
        count++;
    }
    return count;
}

static bool is_ready(const struct serve_place *place)
{
    return place->route.state == FLO_ROUTE_READY && !place->route.is_silent &&
           flo_serve_engine_live(place) != NULL;
}

/* Returns the model that answers, for a drawn number below 100.  Each split (a
 * model that takes a share of the requests) has a range of numbers as large as
 * its share in percent.  The range of a split that is not ready belongs to the
 * named model.  If the shares exceed 100 %, the last splits get less. */
static struct serve_place *drawn_place(struct serve_place *meant, uint32_t drawn)
{
    struct serve_place *splits[FLO_SERVE_MODELS_MAX];
    uint32_t count = splits_of(meant, splits);
    uint32_t end = 0;

    for (uint32_t i = 0; i < count; i++) {
        end += splits[i]->route.split_pct;
        if (drawn < end) {
            return is_ready(splits[i]) ? splits[i] : meant;
        }
    }
    return meant;
}

/* Returns a number below 100, which is always the same for one person.  It
 * depends on the release of the first split, so that a new release gets other
 * persons.  A split is a model that takes a share of the requests. */
static uint32_t draw(const struct serve_request *request, const struct serve_place *first)
{
    uint32_t seed;

    if (request->params.user == 0) {
        flo_random(&seed, sizeof(seed));
        return seed % 100;
    }
    seed = flo_crc32c(0, &first->route.release, sizeof(first->route.release));
    return flo_crc32c(seed, &request->params.user, sizeof(request->params.user)) % 100;
}

/* Returns the model that the client named.  A request without a name means the
 * first model that is not just a split, which takes a share of another model's
 * requests. */
static struct serve_place *meant_of(const struct serve_request *request)
{
    struct serve_place *place = request->place;
    struct serve_place *named;

    if (request->params.model[0] != '\0' || !place->has_route || place->route.split_pct == 0) {
        return place;
    }
    named = flo_names_place(request->serve, place->route.split_of, request->party.token);
    return named != NULL && named->has_route ? named : place;
}

static struct serve_place *place_for(const struct serve_request *request, struct serve_place *meant)
{
    struct serve_place *splits[FLO_SERVE_MODELS_MAX];
    const char *adapter, *name = request->params.model;
    bool is_open = request->kind == REQUEST_CHAT || request->kind == REQUEST_TEXT ||
                   request->kind == REQUEST_AUDIO;

    if (!is_open || request->pipeline != NULL || strchr(name, '@') != NULL ||
        (name[0] != '\0' && (!flo_names_match(meant, name, &adapter) || adapter != NULL)) ||
        splits_of(meant, splits) == 0) {
        return meant;
    }
    return drawn_place(meant, draw(request, splits[0]));
}

void flo_split_take(struct serve_request *request)
{
    struct serve_place *meant = meant_of(request);
    struct serve_place *place = place_for(request, meant);

    request->place = place;
    request->meant = place != meant ? meant : NULL;
}

bool flo_split_is_over(const struct serve_request *request)
{
    return request->meant != NULL && !request->has_begun &&
           (request->place->is_removed || flo_serve_engine_live(request->place) == NULL);
}

void flo_split_leave(struct serve_request *request)
{
    assert(request->meant != NULL && !request->is_held);
    request->place = request->meant;
    request->meant = NULL;
    request->is_leaving = false;
}
