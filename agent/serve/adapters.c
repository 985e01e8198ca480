/* Adapters: loads adapters into a serving engine and removes them, one at a
 * time.
 *
 * Requests may name an adapter once the engine has confirmed it.  When a
 * removal has been asked for, no new request may name the adapter. */
#include "agent/serve/requests/requests.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/worker.h>

/* Returns the adapter's index in the engine's list; n_adapters: it is not in
 * the list. */
static uint32_t find(const struct serve_engine *engine, const char *name)
{
    uint32_t i = 0;
    while (i < engine->n_adapters && strcmp(engine->adapters[i].name, name) != 0) {
        i++;
    }
    return i;
}

static void list(struct serve_engine *engine, const char *name, bool is_private)
{
    if (find(engine, name) == engine->n_adapters && engine->n_adapters < FLO_SERVE_ADAPTERS_MAX) {
        strcpy(engine->adapters[engine->n_adapters].name, name);
        engine->adapters[engine->n_adapters++].is_private = is_private;
    }
}

static void unlist(struct serve_engine *engine, const char *name)
{
    uint32_t i = find(engine, name);
    if (i < engine->n_adapters) {
        engine->n_adapters--;
        memmove(engine->adapters + i, engine->adapters + i + 1,
                (engine->n_adapters - i) * sizeof(engine->adapters[0]));
    }
}

static void tell(struct serve_engine *engine, const struct flo_err *err)
{
    if (!engine->serve->is_closing) {
        flo_news_adapter(engine->serve->news, engine->place->model, engine->role,
                         engine->change.name, err);
    }
}

static void on_frame(void *context, const struct flo_wire_message *message)
{
    struct serve_engine *engine = context;
    struct flo_err err = {0};
    if (message->type == FLO_WIRE_ADAPTER) {
        if (engine->change.is_load) {
            list(engine, engine->change.name, engine->change.is_private);
        }
        tell(engine, NULL);
        return;
    }
    if (message->type == FLO_WIRE_FAILED) {
        flo_serve_engine_failure(&message->failed, &err);
    } else {
        flo_fail(&err, FLO_E_WORKER_PROTOCOL, "%s for an adapter",
                 flo_wire_type_name((int)message->type));
    }
    tell(engine, &err);
}

static void on_lost(void *context, const struct flo_err *err)
{
    tell(context, err);
}

/* Asks the engine to load an adapter from the descriptor `fd` (taken), or to
 * drop it if `fd` is -1. */
static int change(struct serve_place *place, enum flo_serve_role role, const char *name, int fd,
                  bool is_private, struct flo_err *err)
{
    flo_router_send_all(place, role, name);
    struct serve_engine *engine = place->roles[role];
    int rv = 0;
    if (engine == NULL || engine->state != ENGINE_READY) {
        rv = flo_fail(err, FLO_E_STATE, "no model is ready there");
    } else if (engine->change.call.engine != NULL) {
        rv = flo_fail(err, FLO_E_STATE, "adapter %s is being changed", engine->change.name);
    } else if (!flo_name_is_valid(name)) {
        rv = flo_fail(err, FLO_E_META_NAME, "an adapter's name");
    }
    if (rv < 0) {
        flo_fd_cleanup(&fd);
        return rv;
    }
    strcpy(engine->change.name, name);
    engine->change.is_load = fd >= 0;
    engine->change.is_private = is_private;
    engine->change.call.context = engine;
    engine->change.call.on_frame = on_frame;
    engine->change.call.on_lost = on_lost;
    return flo_serve_engine_call_change(engine, fd, err);
}

int flo_serve_adapter_load(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                           const struct flo_serve_adapter *adapter, struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    FLO_INSIDE(serve);
    return change(&serve->places[model], role, adapter->name, adapter->fd, adapter->is_private,
                  err);
}

int flo_serve_adapter_drop(struct flo_serve *serve, unsigned model, enum flo_serve_role role,
                           const char *name, struct flo_err *err)
{
    assert(model < FLO_SERVE_MODELS_MAX);
    FLO_INSIDE(serve);
    struct serve_place *place = &serve->places[model];
    FLO_TRY(change(place, role, name, -1, false, err));
    unlist(place->roles[role], name);
    return 0;
}
