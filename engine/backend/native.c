/* Native: the backend `native`: this engine, with one session. */
#include <flotilla/backend.h>

#include <stdlib.h>

#include <flotilla/adapter.h>

struct flo_backend_model {
    struct flo_engine *engine;
    struct flo_session *session;
    struct flo_adapter *adapter; /* or NULL */
};

static void native_close(struct flo_backend_model *m)
{
    if (m != NULL) {
        flo_session_close(m->session);
        flo_adapter_close(m->adapter);
        flo_engine_close(m->engine);
        free(m);
    }
}

static int open_parts(struct flo_backend_model *m, const char *path,
                      const struct flo_backend_options *options, struct flo_err *err)
{
    FLO_TRY(options->model_fd > 0
                ? flo_engine_open_fd(options->model_fd, &options->engine, &m->engine, err)
                : flo_engine_open(path, &options->engine, &m->engine, err));
    FLO_TRY(flo_session_open(m->engine, &m->session, err));
    if (options->adapter == NULL) {
        return 0;
    }
    FLO_TRY(flo_adapter_open(m->engine, options->adapter, &m->adapter, err));
    return flo_session_set_adapter(m->session, m->adapter, options->adapter_scale, err);
}

static int native_open(const char *path, const struct flo_backend_options *options,
                       struct flo_backend_model **model, struct flo_err *err)
{
    struct flo_backend_model *m = calloc(1, sizeof(*m));
    int rv = m == NULL ? flo_fail(err, FLO_E_MEMORY, "a model") : open_parts(m, path, options, err);

    if (rv < 0) {
        native_close(m);
        return rv;
    }
    *model = m;
    return 0;
}

static const struct flo_engine_info *native_info(const struct flo_backend_model *m)
{
    return flo_engine_info(m->engine);
}

static struct flo_engine *native_text(const struct flo_backend_model *m)
{
    return m->engine;
}

static int native_prefill(struct flo_backend_model *m, const int32_t *tokens, size_t count,
                          flo_logits_fn *row, void *context, struct flo_err *err)
{
    return row == NULL ? flo_session_decode(m->session, tokens, count, FLO_LOGITS_LAST, err)
                       : flo_session_decode_rows(m->session, tokens, count, row, context, err);
}

static int native_decode(struct flo_backend_model *m, int32_t token, struct flo_err *err)
{
    return flo_session_decode(m->session, &token, 1, FLO_LOGITS_LAST, err);
}

static const float *native_logits(const struct flo_backend_model *m)
{
    return flo_session_logits(m->session);
}

static void native_reset(struct flo_backend_model *m, uint32_t position)
{
    flo_session_truncate(m->session, position);
}

static void native_stats(const struct flo_backend_model *m, struct flo_backend_stats *stats)
{
    stats->position = flo_session_position(m->session);
    flo_session_timings(m->session, &stats->timings);
}

struct flo_session *flo_backend_native_session(const struct flo_backend_model *model)
{
    return model->session;
}

const struct flo_backend flo_backend_native = {
    .name = "native",
    .open = native_open,
    .info = native_info,
    .text = native_text,
    .prefill = native_prefill,
    .decode = native_decode,
    .logits = native_logits,
    .reset = native_reset,
    .stats = native_stats,
    .close = native_close,
};
