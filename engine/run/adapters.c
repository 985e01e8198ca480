/* Adapters: keeps the adapters of the engine process, by name.
 *
 * They are loaded with OPEN or later with LOAD.  A dropped or replaced adapter
 * loses its name.  It is closed when no request uses it, together with the
 * tokens that sessions computed with it. */
#include "engine/run/run.h"

#include <string.h>

#include <flotilla/errors/infer.h>
#include <flotilla/errors/model.h>

static size_t count_named(const struct flo_adapters *all)
{
    size_t count = 0;
    for (size_t i = 0; i < FLO_ADAPTERS_MAX; i++) {
        count += all->list[i].name[0] != '\0';
    }
    return count;
}

/* Returns the adapter with this name, or NULL if there is none. */
static struct flo_named_adapter *find(struct flo_adapters *all, struct flo_wire_text name)
{
    for (size_t i = 0; i < FLO_ADAPTERS_MAX && name.bytes > 0; i++) {
        if (name.bytes == strlen(all->list[i].name) &&
            memcmp(name.data, all->list[i].name, name.bytes) == 0) {
            return &all->list[i];
        }
    }
    return NULL;
}

static struct flo_named_adapter *find_free(struct flo_adapters *all)
{
    for (size_t i = 0; i < FLO_ADAPTERS_MAX; i++) {
        if (all->list[i].adapter == NULL) {
            return &all->list[i];
        }
    }
    return NULL;
}

int flo_adapters_find(struct flo_adapters *all, struct flo_wire_text name,
                      struct flo_adapter **adapter, struct flo_err *err)
{
    struct flo_named_adapter *found = find(all, name);
    if (found == NULL) {
        return flo_fail(err, FLO_E_INFER_MODEL, "no adapter \"%.*s\" is loaded",
                        name.bytes < 64 ? (int)name.bytes : 64, name.data);
    }
    *adapter = found->adapter;
    return 0;
}

static int name_take(struct flo_wire_text name, char *out, struct flo_err *err)
{
    size_t bytes = name.bytes <= FLO_NAME_MAX ? name.bytes : 0;
    memcpy(out, bytes > 0 ? name.data : "", bytes);
    out[bytes] = '\0';
    return strlen(out) == name.bytes && flo_name_is_valid(out)
               ? 0
               : flo_fail(err, FLO_E_META_NAME, "an adapter's name of %zu bytes", name.bytes);
}

int flo_adapters_load(struct flo_adapters *all, struct flo_engine *engine,
                      struct flo_wire_text name, int fd, struct flo_adapter **adapter,
                      struct flo_err *err)
{
    char text[FLO_NAME_MAX + 1];
    struct flo_named_adapter *old = find(all, name), *place = find_free(all);
    FLO_TRY(name_take(name, text, err));
    if (old == NULL && count_named(all) == FLO_WIRE_ADAPTERS_MAX) {
        return flo_fail(err, FLO_E_STATE, "adapter %s: %d are loaded, as many as can be", text,
                        FLO_WIRE_ADAPTERS_MAX);
    }
    if (place == NULL) {
        return flo_fail(err, FLO_E_INFER_BUSY,
                        "adapter %s: requests still have %d that are dropped", text,
                        FLO_ADAPTERS_MAX - FLO_WIRE_ADAPTERS_MAX);
    }
    int rv = flo_adapter_open_fd(engine, fd, &place->adapter, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "adapter %s", text);
    }
    if (old != NULL) {
        old->name[0] = '\0';
    }
    memcpy(place->name, text, sizeof(text));
    *adapter = place->adapter;
    return 0;
}

int flo_adapters_drop(struct flo_adapters *all, struct flo_wire_text name, uint64_t *bytes,
                      struct flo_err *err)
{
    struct flo_adapter *adapter = NULL;
    FLO_TRY(flo_adapters_find(all, name, &adapter, err));
    *bytes = flo_adapter_info(adapter)->bytes;
    find(all, name)->name[0] = '\0';
    return 0;
}

void flo_adapters_sweep(struct flo_adapters *all,
                        bool (*is_used)(const void *context, const struct flo_adapter *adapter),
                        const void *context)
{
    for (size_t i = 0; i < FLO_ADAPTERS_MAX; i++) {
        struct flo_named_adapter *one = &all->list[i];
        if (one->adapter != NULL && one->name[0] == '\0' &&
            (is_used == NULL || !is_used(context, one->adapter))) {
            flo_adapter_close(one->adapter);
            one->adapter = NULL;
        }
    }
}

void flo_adapters_close(struct flo_adapters *all)
{
    for (size_t i = 0; i < FLO_ADAPTERS_MAX; i++) {
        all->list[i].name[0] = '\0';
    }
    flo_adapters_sweep(all, NULL, NULL);
}

/* ---- OPEN ---- */

int flo_adapters_reckon(const struct flo_wire_open *in, const int *fds, uint64_t *bytes,
                        struct flo_err *err)
{
    *bytes = in->adapter_bytes;
    for (uint32_t i = 0; i < in->n_adapters; i++) {
        uint64_t one = 0;
        int rv = flo_adapter_reckon(fds[i], &one, err);
        if (rv == 0 && !flo_add_u64(*bytes, one, bytes)) {
            rv = flo_fail(err, FLO_E_MODEL_ADAPTER, "its size overflows");
        }
        if (rv < 0) {
            return flo_wrap(err, rv, "adapter %.*s", (int)in->adapters[i].bytes,
                            in->adapters[i].data);
        }
    }
    return 0;
}

int flo_adapters_open(struct flo_adapters *all, struct flo_engine *engine,
                      const struct flo_wire_open *in, const int *fds, struct flo_err *err)
{
    struct flo_adapter *ignored;
    for (uint32_t i = 0; i < in->n_adapters; i++) {
        FLO_TRY(flo_adapters_load(all, engine, in->adapters[i], fds[i], &ignored, err));
    }
    return 0;
}
