/* Describe: makes the OPEN frame, which tells an engine its model and
 * settings. */
#include "agent/serve/engines/engines.h"

#include <string.h>
#include <sys/stat.h>

#define THREADS_MAX 8
/* size of a model below which a second thread does not help */
#define SMALL_MODEL_BYTES (256u << 20)

void flo_serve_engine_describe(struct serve_engine *engine, const struct flo_serve_model *model,
                               struct flo_wire_open *open)
{
    struct stat st;
    snprintf(engine->model, sizeof(engine->model), "%s", model->model);
    snprintf(engine->version, sizeof(engine->version), "%s", model->version);
    snprintf(engine->name, sizeof(engine->name), "%s@%s", model->model, model->version);
    engine->release = model->release;
    engine->created_s = model->created_s;
    engine->has_packed = model->packed_fd > 0;
    engine->lacks_packed = model->lacks_packed;
    engine->is_silent = model->is_silent;
    open->context = model->context;
    if (model->runtime != NULL) {
        open->is_tree = true;
        open->runtime = (struct flo_wire_text){model->runtime, strlen(model->runtime)};
        open->entry = (struct flo_wire_text){model->entry, strlen(model->entry)};
        engine->ready_ms = model->ready_ms;
        engine->stop_ms = model->stop_ms;
    }
    if (model->chat_template != NULL) {
        open->chat_template =
            (struct flo_wire_text){model->chat_template, strlen(model->chat_template)};
    }
    open->threads = model->threads;
    open->sessions = model->sessions;
    open->cache = (uint32_t)model->cache;
    open->memory_bytes_max = model->memory_bytes_max;
    open->adapter_bytes = model->adapter_bytes;
    open->keeps_prefix = model->prefix_fd > 0;
    engine->has_draft = open->has_draft = model->draft_fd > 0;
    flo_text_clean(model->draft_why, strlen(model->draft_why), engine->draft.why,
                   sizeof(engine->draft.why));
    engine->n_adapters = open->n_adapters = model->n_adapters;
    for (uint32_t i = 0; i < model->n_adapters; i++) {
        const char *name = model->adapters[i].name;
        strcpy(engine->adapters[i].name, name);
        engine->adapters[i].is_private = model->adapters[i].is_private;
        open->adapters[i] = (struct flo_wire_text){name, strlen(name)};
    }
    if (open->threads == 0 && fstat(model->fd, &st) == 0 && st.st_size < (off_t)SMALL_MODEL_BYTES) {
        open->threads = 1;
    }
    if (open->threads == 0) {
        /* The agent counts the CPUs, because the sandboxed engine cannot read
         * its control group. */
        unsigned cpus = flo_cpus_allowed();
        open->threads = cpus < THREADS_MAX ? cpus : THREADS_MAX;
    }
    if (model->threads_max > 0 && open->threads > model->threads_max) {
        open->threads = model->threads_max;
    }
    engine->threads = open->threads;
}
