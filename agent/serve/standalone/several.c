/* Several: serves several models without an agent.  Plans the memory of each,
 * keeps those in memory that the plan chooses, and loads the others on
 * demand. */
#include "agent/serve/standalone/several.h"

#include "agent/serve/model_cache/model_cache.h"
#include "agent/serve/standalone/files.h"
#include "agent/serve/standalone/watch.h"
#include "base/host/digest.h"

#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct several {
    const struct several_spec *spec;
    struct event_base *base;
    struct flo_serve *serve;
    struct flo_model_cache *model_cache;
    struct serve_planner *planner;
    uint32_t n_planned;
    struct flo_model_cache_model models[FLO_SERVE_MODELS_MAX];
    uint64_t budget;
    struct flo_file_watch *watch;
    struct flo_err failure;
};

/* ---- the line ---- */

int flo_several_model(struct several_spec *spec, const char *text, struct flo_err *err)
{
    const char *equals = strchr(text, '=');
    char name[FLO_NAME_MAX + 1] = "";
    if (spec->n_models == FLO_SERVE_MODELS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d --model", FLO_SERVE_MODELS_MAX);
    }
    if (equals != NULL && equals - text <= FLO_NAME_MAX) {
        memcpy(name, text, (size_t)(equals - text));
    }
    bool is_named = flo_name_is_valid(name) && access(text, F_OK) != 0;
    const char *path = is_named ? equals + 1 : text;
    if (!is_named) {
        flo_serve_file_name(path, name);
    }
    for (uint32_t i = 0; i < spec->n_models; i++) {
        if (strcmp(spec->models[i].name, name) == 0) {
            flo_fail(err, FLO_E_USAGE, "two models have the name %s", name);
            return flo_err_fix(err, "give one another name: --model NAME=FILE");
        }
    }
    strcpy(spec->models[spec->n_models].name, name);
    spec->models[spec->n_models++].path = path;
    return 0;
}

int flo_several_pin(struct several_spec *spec, const char *text, struct flo_err *err)
{
    if (spec->n_pins == FLO_SERVE_MODELS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d --pin", FLO_SERVE_MODELS_MAX);
    }
    spec->pins[spec->n_pins++] = text;
    return 0;
}

int flo_several_weight(struct several_spec *spec, const char *text, struct flo_err *err)
{
    const char *equals = strrchr(text, '=');
    char *end = NULL;
    unsigned long weight = equals == NULL ? 0 : strtoul(equals + 1, &end, 10);
    if (equals == NULL || equals == text || equals - text > FLO_NAME_MAX || end == equals + 1 ||
        *end != '\0' || equals[1] == '-' || weight > FLO_MEMORY_WEIGHT_MAX ||
        spec->n_weights == FLO_SERVE_MODELS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "--weight %.80s: must be NAME=N, N from 0 to %d", text,
                        FLO_MEMORY_WEIGHT_MAX);
    }
    memcpy(spec->weights[spec->n_weights].name, text, (size_t)(equals - text));
    spec->weights[spec->n_weights++].weight = (uint32_t)weight;
    return 0;
}

static int find(const struct several_spec *spec, const char *name, struct flo_err *err)
{
    for (uint32_t i = 0; i < spec->n_models; i++) {
        if (strcmp(spec->models[i].name, name) == 0) {
            return (int)i;
        }
    }
    return flo_fail(err, FLO_E_USAGE, "no model has the name %.64s", name);
}

static int describe(struct several *s, struct flo_err *err)
{
    const struct several_spec *spec = s->spec;
    int rv = 0;
    for (uint32_t i = 0; rv == 0 && i < spec->n_models; i++) {
        struct flo_model_cache_model *model = &s->models[i];
        const char *path = spec->models[i].path;
        strcpy(model->memory.name, spec->models[i].name);
        model->memory.weight = FLO_MEMORY_WEIGHT_STANDARD;
        model->memory.rungs = FLO_MEMORY_RUNGS;
        strcpy(model->route.model, spec->models[i].name);
        strcpy(model->route.version, "local");
        model->route.created_s = flo_serve_file_modified_s(path);
        flo_memory_rungs(spec->context, spec->sessions, model->rungs);
        rv = flo_sha256_file(path, &model->route.release, NULL, err);
    }
    for (uint32_t i = 0; rv == 0 && i < spec->n_pins; i++) {
        int at = find(spec, spec->pins[i], err);
        rv = at < 0 ? at : 0;
        s->models[at < 0 ? 0 : at].memory.is_pinned |= at >= 0;
    }
    for (uint32_t i = 0; rv == 0 && i < spec->n_weights; i++) {
        int at = find(spec, spec->weights[i].name, err);
        rv = at < 0 ? at : 0;
        if (at >= 0) {
            s->models[at].memory.weight = spec->weights[i].weight;
        }
    }
    return rv;
}

static uint64_t budget_of(const struct several_spec *spec)
{
    long pages = sysconf(_SC_PHYS_PAGES), bytes = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && bytes > 0 ? (uint64_t)pages * (uint64_t)bytes : 0;
    return flo_memory_budget((uint64_t)spec->memory_mib << 20, machine, 0);
}

static void stop(struct several *s, const struct flo_err *err)
{
    if (err != NULL) {
        s->failure = *err;
    }
    event_base_loopbreak(s->base);
}

/* ---- the plan ---- */

static enum flo_serve_cache cache_of(const struct flo_memory_rung *rung)
{
    return rung->cache == FLO_MEMORY_CACHE_F16 ? FLO_SERVE_CACHE_F16 : FLO_SERVE_CACHE_Q8_0;
}

static void tell_plan(const struct several *s)
{
    const struct flo_memory_plan *plan = flo_model_cache_plan(s->model_cache);
    for (uint32_t i = 0; i < s->spec->n_models; i++) {
        const struct flo_memory_model *memory = &s->models[i].memory;
        uint32_t rung = plan->models[i].rung;
        printf("plan: %s %s, rung %u: %llu bytes of its own, %llu mapped\n", memory->name,
               plan->models[i].is_resident ? "stays" : "on demand", rung,
               (unsigned long long)memory->private_bytes[rung],
               (unsigned long long)memory->files[0].bytes);
    }
    printf("plan: %llu of %llu bytes, %llu of them for models on demand\n",
           (unsigned long long)plan->planned, (unsigned long long)plan->budget,
           (unsigned long long)plan->pool);
    fflush(stdout);
}

static int plan_next(struct several *s, struct flo_err *err);

static void on_planned(void *context, const struct flo_serve_planned *plans,
                       const struct flo_err *failure)
{
    struct several *s = context;
    struct flo_memory_model *memory = &s->models[s->n_planned].memory;
    struct flo_err err = {0};
    s->planner = NULL;
    if (failure != NULL) {
        err = *failure;
        flo_wrap(&err, err.code, "model %s", memory->name);
        stop(s, &err);
        return;
    }
    for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        memory->private_bytes[i] = plans[i].private_bytes + FLO_MEMORY_PROCESS_BYTES;
    }
    memory->n_files = 1;
    memory->files[0].digest = s->models[s->n_planned].route.release;
    memory->files[0].bytes = plans[0].weights_bytes;
    s->n_planned++;
    if (plan_next(s, &err) < 0) {
        stop(s, &err);
    }
}

static int plan_next(struct several *s, struct flo_err *err)
{
    struct flo_serve_planning planning = {
        .count = FLO_MEMORY_RUNGS, .context = s, .done = on_planned};
    if (s->n_planned == s->spec->n_models) {
        FLO_TRY(flo_model_cache_set(s->model_cache, s->models, s->spec->n_models, s->budget, err));
        tell_plan(s);
        return 0;
    }
    for (uint32_t i = 0; i < FLO_MEMORY_RUNGS; i++) {
        const struct flo_memory_rung *rung = &s->models[s->n_planned].rungs[i];
        planning.ways[i].context = rung->context;
        planning.ways[i].sessions = rung->sessions;
        planning.ways[i].cache = cache_of(rung);
    }
    const char *path = s->spec->models[s->n_planned].path;
    int rv = flo_file_open(path, &planning.fd, err);
    return rv < 0 ? flo_wrap(err, rv, "model %s", path)
                  : flo_serve_plan(s->serve, &planning, &s->planner, err);
}

/* ---- what happens ---- */

static int load(void *context, unsigned index, const struct flo_memory_rung *rung,
                struct flo_err *err)
{
    struct several *s = context;
    const struct several_spec *spec = s->spec;
    struct flo_serve_model model = {.release = s->models[index].route.release,
                                    .created_s = s->models[index].route.created_s,
                                    .chat_template = spec->chat_template,
                                    .context = rung->context,
                                    .sessions = rung->sessions,
                                    .cache = cache_of(rung),
                                    .threads = spec->threads};
    strcpy(model.model, spec->models[index].name);
    strcpy(model.version, "local");
    FLO_TRY(flo_file_watch_check(s->watch, index, err));
    int rv = flo_file_open(spec->models[index].path, &model.fd, err);
    return rv < 0 ? flo_wrap(err, rv, "model %s", spec->models[index].path)
                  : flo_serve_load(s->serve, index, FLO_ROLE_CURRENT, &model, err);
}

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err)
{
    struct several *s = context;
    (void)role;
    if (err == NULL) {
        printf("serving %s@local: loaded in %llu ms\n", s->spec->models[model].name,
               (unsigned long long)load_ms);
        fflush(stdout);
    }
    flo_model_cache_loaded(s->model_cache, model, load_ms, err);
}

static void on_engine_lost(void *context, unsigned model, enum flo_serve_role role,
                           const struct flo_err *err)
{
    struct several *s = context;
    (void)role, (void)err;
    flo_model_cache_lost(s->model_cache, model);
}

static void on_wanted(void *context, unsigned model)
{
    struct several *s = context;
    flo_model_cache_wanted(s->model_cache, model);
}

static void on_signal(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    stop(context, NULL);
}

/* ---- all of it ---- */

static int open_serve(struct several *s, struct flo_err *err)
{
    const struct flo_serve_handlers handlers = {
        .context = s,
        .on_loaded = on_loaded,
        .on_engine_lost = on_engine_lost,
        .on_wanted = on_wanted,
    };
    const struct flo_model_cache_calls calls = {.context = s, .load = load};
    FLO_TRY(flo_door_open(&s->spec->door, s->base, &handlers, &s->serve, err));
    return flo_model_cache_open(s->base, s->serve, &calls, &s->model_cache, err);
}

static int run(struct several *s, struct event *const signals[2], struct flo_err *err)
{
    if (signals[0] == NULL || signals[1] == NULL || event_add(signals[0], NULL) < 0 ||
        event_add(signals[1], NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "no signal events");
    }
    FLO_TRY(describe(s, err));
    FLO_TRY(open_serve(s, err));
    FLO_TRY(flo_file_watch_open(s->base, s->serve, &s->watch, err));
    for (uint32_t i = 0; i < s->spec->n_models; i++) {
        FLO_TRY(flo_file_watch_add(s->watch, i, s->spec->models[i].path, err));
    }
    FLO_TRY(plan_next(s, err));
    flo_door_tell(&s->spec->door, s->serve);
    event_base_dispatch(s->base);
    if (s->failure.code != 0) {
        *err = s->failure;
    }
    return s->failure.code;
}

int flo_several_run(const struct several_spec *spec, struct flo_err *err)
{
    struct several *s = calloc(1, sizeof(*s));
    struct event_base *base = event_base_new();
    if (s == NULL || base == NULL) {
        free(s);
        if (base != NULL) {
            event_base_free(base);
        }
        return flo_fail(err, FLO_E_MEMORY, "no event loop");
    }
    s->spec = spec;
    s->base = base;
    s->budget = budget_of(spec);
    struct event *signals[2] = {evsignal_new(base, SIGINT, on_signal, s),
                                evsignal_new(base, SIGTERM, on_signal, s)};
    int rv = run(s, signals, err);
    flo_serve_plan_cancel(s->planner);
    flo_model_cache_close(s->model_cache);
    flo_file_watch_close(s->watch);
    flo_serve_close(s->serve);
    for (size_t i = 0; i < FLO_COUNT(signals); i++) {
        flo_event_drop(&signals[i]);
    }
    event_base_free(base);
    free(s);
    return rv;
}
