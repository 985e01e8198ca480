/* Standalone: the command `flotilla-agent serve`, which serves the local API
 * for one model file. */
#include "agent/serve/standalone/standalone.h"
#include "agent/serve/serve.h"
#include "agent/serve/standalone/door.h"
#include "agent/serve/standalone/files.h"
#include "agent/serve/standalone/loras.h"
#include "agent/serve/standalone/several.h"
#include "agent/serve/standalone/watch.h"
#include "base/host/digest.h"
#include "base/host/httpd.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/model.h>
#include <flotilla/timeouts.h>

#define LISTEN_MAX 8
#define ORIGINS_MAX 16
#define LORA_ROOM_MIB 256
/* shortest limit of the packing time, for a small model */
#define PACK_MS_MIN 60000
#define PACK_BYTES_PER_MS 10000
#define PACK_TOTAL_MS_MAX 3600000
#define PACK_IDLE_MS_MAX 30000

struct standalone {
    struct flo_args args;
    struct event_base *base;
    struct flo_serve *serve;
    struct event *restart;
    const char *model; /* path of the model, as the user gave it */
    char file[4096];   /* path of the model's file, with all links resolved */
    const char *prefix_dir;
    const char *draft; /* path of the draft file; NULL: none */
    char *chat_template;
    const char *listen[LISTEN_MAX + 1];
    size_t n_listen;
    const char *origins[ORIGINS_MAX + 1];
    size_t n_origins;
    struct lora_source source;
    struct lora_list adapters; /* loaded */
    /* adapters that should be loaded, valid from a SIGHUP until all changes are
     * done */
    struct lora_list wanted;
    /* has_wanted: `wanted` is valid; was_told: another SIGHUP came, so the
     * adapter files are checked once more */
    bool has_wanted, was_told;
    bool is_changing;
    uint32_t context, threads, sessions, lora_room_mib;
    struct several_spec several; /* settings that are used with more than one model */
    struct flo_serve_model loaded;
    /* settings of the API, whose `listen` points to the member `listen`
     * above */
    struct flo_door door;
    bool skips_packed; /* true: the engine refused the packed weights, so they are not used */
    bool no_pack;
    struct flo_packs *cache; /* cache of packed weights; NULL: none is open */
    char cache_path[3000];
    struct serve_packer *packer;
    int model_fd, packing_fd; /* descriptors that are open while a process packs the model */
    uint64_t packing_ms;
    struct flo_losses losses;
    struct flo_file_watch *watch;
    struct flo_err failure;
};

/* ---- the line ---- */

static struct standalone standalone = {
    .lora_room_mib = LORA_ROOM_MIB, .model_fd = -1, .packing_fd = -1};

static int take_listen(void *state, const char *address, struct flo_err *err)
{
    struct standalone *s = state;

    if (s->n_listen == LISTEN_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d --listen", LISTEN_MAX);
    }
    s->listen[s->n_listen++] = address;
    return 0;
}

static int take_origin(void *state, const char *origin, struct flo_err *err)
{
    struct standalone *s = state;

    if (s->n_origins == ORIGINS_MAX) {
        return flo_fail(err, FLO_E_USAGE, "more than %d --origin", ORIGINS_MAX);
    }
    if (!flo_httpd_origin_is_valid(origin)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--origin: `%.80s` is no origin of web pages, as "
                        "https://app.example or http://localhost:5173",
                        origin);
    }
    s->origins[s->n_origins++] = origin;
    s->door.origins = s->origins;
    return 0;
}

static int take_model(void *state, const char *text, struct flo_err *err)
{
    struct standalone *s = state;

    int rv = flo_several_model(&s->several, text, err);

    s->model = s->several.models[0].path;
    return rv;
}

static int take_pin(void *state, const char *text, struct flo_err *err)
{
    return flo_several_pin(&((struct standalone *)state)->several, text, err);
}

static int take_weight(void *state, const char *text, struct flo_err *err)
{
    return flo_several_weight(&((struct standalone *)state)->several, text, err);
}

static int take_lora(void *state, const char *text, struct flo_err *err)
{
    return flo_loras_name(&((struct standalone *)state)->source, text, err);
}

static int take_template(void *state, const char *text, struct flo_err *err)
{
    struct standalone *s = state;

    free(s->chat_template);
    s->chat_template = NULL;
    return flo_serve_template_read(text, &s->chat_template, err);
}

static int take_sandbox(void *state, const char *text, struct flo_err *err)
{
    (void)err; /* the argument parser allows only valid words, so no error is possible */
    (void)flo_sandbox_mode_parse(text, &((struct standalone *)state)->door.sandbox);
    return 0;
}

#define TO_TEXT(member) FLO_TEXT(struct standalone, member)
#define TO_U32(member) FLO_U32(struct standalone, member), .min = 1
static const struct flo_flag flags[] = {
    {"model", "FILE.gguf",
     "the model; may be repeated: several models share the memory, those that "
     "do not fit are loaded on demand; NAME=FILE.gguf gives it that name",
     .take = take_model, .is_needed = true},
    {"memory", "MIB",
     "of several models: memory for all together (default: four fifths of the "
     "machine's)",
     TO_U32(several.memory_mib), .max = 1u << 30},
    {"pin", "NAME", "of several models: always keep this one in memory; may be repeated",
     .take = take_pin},
    {"weight", "NAME=N",
     "of several models: 0 to 100; a model with a higher weight stays in memory longer (default: "
     "50)",
     .take = take_weight},
    {"listen", "ADDRESS", "127.0.0.1:PORT or unix:PATH; may be repeated", .take = take_listen,
     .is_needed = true},
    {"origin", "URL",
     "pages from there may use it in a browser, as http://localhost:5173; may "
     "be repeated",
     .take = take_origin},
    {"no-page", NULL, "no chat page at / for browsers",
     FLO_SWITCH(struct standalone, door.has_no_page)},
    {"ollama", NULL, "listen where programs look for Ollama, too: " FLO_SERVE_OLLAMA_AT,
     FLO_SWITCH(struct standalone, door.is_at_ollama)},
    {"no-ollama", NULL, "without Ollama's API, which is below /api/",
     FLO_SWITCH(struct standalone, door.has_no_ollama)},
    {"no-anthropic", NULL, "without Anthropic's API, /v1/messages",
     FLO_SWITCH(struct standalone, door.has_no_anthropic)},
    {"batch-folder", "DIR",
     "files of /v1/files and /v1/batches, for 7 days or an hour after their "
     "answers were fetched; without it there are no batches",
     TO_TEXT(door.batch_folder)},
    {"batch-limit", "MIB", "most MiB of all these files (default: 1024)",
     FLO_U64(struct standalone, door.batch_mib), .min = 1, .max = 1u << 20},
    {"token-file", "FILE",
     "bearer token for TCP (mode 0600); without it only loopback addresses "
     "are taken",
     TO_TEXT(door.token_file)},
    {"rules", "FILE",
     "apps with their limits, guards, endpoints, routes and public prefixes: "
     "`tokens`, `guards`, `endpoints`, `routes` and `shared_prefixes` as in agent.yaml "
     "(docs/reference/local-api.md, docs/routes.md)",
     TO_TEXT(door.rules_file)},
    {"lora", "NAME=FILE",
     "an adapter of the model; requests name it as NAME or MODEL:NAME; may be repeated",
     .take = take_lora},
    {"lora-dir", "DIR", "folder of adapters: every NAME.gguf in it is one", TO_TEXT(source.folder)},
    {"lora-room", "MIB", "memory for adapters that are added later (default: 256)",
     TO_U32(lora_room_mib), .max = 1u << 20},
    {"draft", "FILE",
     "guesses the next tokens, for faster answers: a table of flotilla-model draft, or a GGUF of "
     "a smaller model with the same vocabulary",
     TO_TEXT(draft)},
    {"prefix-cache", "DIR",
     "folder in which the computed beginnings of prompts are kept for the next start (32 MiB a "
     "model, at most 4; they contain text of prompts)",
     TO_TEXT(prefix_dir)},
    {"template", "NAME|FILE",
     "a chat template instead of the model's own: the name of a known one "
     "(chatml, llama3, llama2, mistral, gemma, phi3, zephyr, phi2, none) or a "
     "Jinja file",
     .take = take_template},
    {"no-pack", NULL,
     "do not pack the weights on first use (into flotilla/packed in the "
     "user's cache folder, 8 GiB at most)",
     FLO_SWITCH(struct standalone, no_pack)},
    {"context", "N", "tokens per request (default: the model's, at most 2048)", TO_U32(context),
     .max = 1u << 20},
    {"threads", "N", "threads per engine (default: depends on the machine)", TO_U32(threads),
     .max = 64},
    {"sandbox", "required|preferred",
     "required (default), or preferred: also without the system call filter, "
     "where the kernel has none",
     .take = take_sandbox},
    {"backend", "auto|native|llama",
     "auto (default): our engine computes the models that it knows, llama.cpp's "
     "library the others, if flotilla-engine-llama is installed; llama: the "
     "library computes all",
     TO_TEXT(door.backend)},
    {"accept-inexact", NULL, "also models that llama.cpp's version is known to compute wrongly",
     FLO_SWITCH(struct standalone, door.accepts_inexact)},
    {"sessions", "N", "answers computed together, 1 to 16 (default: 4)", TO_U32(sessions),
     .max = 16},
    FLO_FLAGS_END,
};

/* ---- the model ---- */

/* Opens the packed weights next to the model.  Returns 0 when there are none,
 * or they are older than the model. */
static int open_packed(const struct standalone *s, int model_fd)
{
    char path[4096];
    int fd = -1;
    if (s->skips_packed) {
        return 0;
    }
    const char *const names[] = {s->model, s->file};
    for (size_t i = 0; fd < 0 && i < FLO_COUNT(names); i++) {
        int chars = snprintf(path, sizeof(path), "%s.packed", names[i]);
        if (chars >= (int)sizeof(path) || flo_file_open(path, &fd, NULL) < 0) {
            fd = -1;
        }
    }
    if (fd < 0) {
        return 0;
    }
    if (flo_fd_is_older(fd, model_fd)) {
        flo_log(FLO_LOG_WARN, "serve", "%s is older than the model", path);
        close(fd);
        return 0;
    }
    return fd;
}

/* Opens the file for cached prefixes.  Returns 0 when none is wanted; a failure
 * is logged. */
static int open_prefix(const struct standalone *s)
{
    struct flo_err err = {0};
    int fd = 0;
    if (s->prefix_dir != NULL &&
        flo_serve_prefix_open(s->prefix_dir, &s->loaded.release, &fd, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
    return fd;
}

/* Opens the draft.  If it cannot be opened any more, the model serves without
 * it. */
static void open_draft(const struct standalone *s, struct flo_serve_model *model)
{
    struct flo_err err = {0};
    if (s->draft != NULL && flo_file_open(s->draft, &model->draft_fd, &err) < 0) {
        model->draft_fd = 0;
        snprintf(model->draft_why, sizeof(model->draft_why), "%.*s",
                 (int)sizeof(model->draft_why) - 1, err.what);
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
}

static int adapter_of(const struct lora_file *file, struct flo_serve_adapter *out,
                      struct flo_err *err)
{
    *out = (struct flo_serve_adapter){0};
    strcpy(out->name, file->name);
    out->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 3);
    return out->fd >= 0 ? 0 : flo_fail_errno(err, FLO_E_IO_OPEN, "adapter %s", file->name);
}

static int load(struct standalone *s, struct flo_err *err)
{
    struct flo_serve_model model = s->loaded;
    int rv = flo_file_open(s->file, &model.fd, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "model %s", s->model);
    }
    for (uint32_t i = 0; i < s->adapters.count; i++) {
        rv = adapter_of(&s->adapters.files[i], &model.adapters[i], err);
        if (rv < 0) {
            flo_serve_model_close(&model);
            return rv;
        }
        model.n_adapters++;
    }
    model.packed_fd = open_packed(s, model.fd);
    if (model.packed_fd == 0 && s->cache != NULL && !s->skips_packed &&
        flo_packs_find(s->cache, model.fd, &model.packed_fd, NULL) < 0) {
        model.packed_fd = 0;
    }
    model.prefix_fd = open_prefix(s);
    open_draft(s, &model);
    return flo_serve_load(s->serve, 0, FLO_ROLE_CURRENT, &model, err);
}

/* ---- packed weights ---- */

static void stop(struct standalone *s, const struct flo_err *err);

/* Loads the model after packing has ended, with or without success. */
static void packing_over(struct standalone *s, const struct flo_err *why)
{
    struct flo_err err = {0};
    if (why != NULL && why->code != FLO_E_NOT_BUILT) {
        flo_log(FLO_LOG_WARN, "serve", "the weights are not packed: %s", why->what);
    }
    flo_fd_cleanup(&s->packing_fd);
    flo_fd_cleanup(&s->model_fd);
    s->packer = NULL;
    if (why != NULL) { /* packing failed, so the cache is closed, which releases its lock */
        flo_packs_close(s->cache);
        s->cache = NULL;
    }
    if (load(s, &err) < 0) {
        stop(s, &err);
    }
}

static int reserve(void *context, uint64_t bytes, int *fd, struct flo_err *err)
{
    struct standalone *s = context;
    int rv = flo_packs_begin(s->cache, s->model_fd, bytes, &s->packing_fd, err);
    *fd = s->packing_fd;
    if (rv == 0) {
        printf("packing the weights once: %.0f MB into %s (--no-pack)\n", (double)bytes / 1e6,
               s->cache_path);
        fflush(stdout);
    }
    return rv;
}

static void packed(void *context, const struct flo_err *failure)
{
    struct standalone *s = context;
    struct flo_err err = {0};
    if (failure == NULL && flo_packs_commit(s->cache, s->packing_fd, s->model_fd, &err) == 0) {
        printf("packed in %llu ms\n", (unsigned long long)(flo_now_ms() - s->packing_ms));
        fflush(stdout);
    }
    packing_over(s, failure != NULL ? failure : err.code < 0 ? &err : NULL);
}

static int start_packing(struct standalone *s, struct flo_err *err)
{
    struct stat st;
    if (fstat(s->model_fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "model %s", s->model);
    }
    const struct flo_serve_packing packing = {
        .fd = dup(s->model_fd),
        .timeout_ms = PACK_MS_MIN + (uint64_t)st.st_size / PACK_BYTES_PER_MS,
        .total_ms_max = PACK_TOTAL_MS_MAX,
        .idle_ms_max = PACK_IDLE_MS_MAX,
        .context = s,
        .reserve = reserve,
        .done = packed,
    };
    s->packing_ms = flo_now_ms();
    return packing.fd < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "model %s", s->model)
                          : flo_serve_pack(s->serve, &packing, &s->packer, err);
}

/* Loads the model, and packs it first if it has not been packed.  Without a
 * cache folder, or after a failure, the model is loaded unpacked. */
static int load_packed(struct standalone *s, struct flo_err *err)
{
    struct flo_err why = {0};
    int fd = -1;
    if (s->no_pack || flo_packs_folder(s->cache_path, sizeof(s->cache_path), &why) < 0 ||
        s->cache_path[0] == '\0') {
        return load(s, err);
    }
    FLO_TRY(flo_file_open(s->file, &s->model_fd, err));
    fd = open_packed(s, s->model_fd);
    if (fd > 0) { /* packed weights were found next to the model */
        close(fd);
        flo_fd_cleanup(&s->model_fd);
        return load(s, err);
    }
    int rv = flo_packs_open(s->cache_path, FLO_PACKS_BYTES_MAX, &s->cache, &why);
    if (rv == 0) {
        rv = flo_packs_find(s->cache, s->model_fd, &fd, &why);
    }
    if (rv == FLO_E_ABSENT && s->cache != NULL) {
        fd = -1;
        rv = start_packing(s, &why);
        if (rv == 0) {
            return 0;
        }
    }
    flo_fd_cleanup(&fd);
    packing_over(s, rv < 0 ? &why : NULL);
    return 0;
}

static int describe(struct standalone *s, struct flo_err *err)
{
    strcpy(s->loaded.model, s->several.models[0].name);
    strcpy(s->loaded.version, "local");
    s->loaded.context = s->context;
    s->loaded.created_s = flo_serve_file_modified_s(s->model);
    s->loaded.threads = s->threads;
    s->loaded.sessions = s->sessions;
    s->loaded.chat_template = s->chat_template;
    if (s->source.count > 0 || s->source.folder != NULL) {
        s->loaded.adapter_bytes = (uint64_t)s->lora_room_mib << 20;
    }
    /* The path may be a link, as in the caches of other tools.  It is resolved
     * once, so that an engine that is started again gets the same file. */
    char *file = realpath(s->model, NULL);
    if (file == NULL || strlen(file) >= sizeof(s->file)) {
        free(file);
        return flo_fail_errno(err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "model %s",
                              s->model);
    }
    strcpy(s->file, file);
    free(file);
    return flo_sha256_file(s->file, &s->loaded.release, NULL, err);
}

/* ---- adapters ---- */

static int start_change(struct standalone *s, const struct lora_file *drop,
                        const struct lora_file *file, struct flo_err *err)
{
    struct flo_serve_adapter adapter;
    if (drop != NULL) {
        return flo_serve_adapter_drop(s->serve, 0, FLO_ROLE_CURRENT, drop->name, err);
    }
    FLO_TRY(adapter_of(file, &adapter, err));
    return flo_serve_adapter_load(s->serve, 0, FLO_ROLE_CURRENT, &adapter, err);
}

static void tell_adapters(const struct standalone *s)
{
    printf("adapters:");
    for (uint32_t i = 0; i < s->adapters.count; i++) {
        printf(" %s", s->adapters.files[i].name);
    }
    printf("\n");
    fflush(stdout);
}

/* Makes the next change of adapters: drops those that are gone, which frees
 * memory, then loads the new ones, one by one.  If no engine is ready, the next
 * engine that is ready continues. */
static void change_next(struct standalone *s)
{
    struct flo_err err = {0};
    if (s->is_changing) {
        return;
    }
    if (s->was_told) {
        s->was_told = false;
        flo_loras_deinit(&s->wanted);
        s->has_wanted = flo_loras_open(&s->source, false, &s->wanted, &err) == 0;
    }
    if (s->has_wanted) {
        const struct lora_file *drop = flo_loras_to_drop(&s->adapters, &s->wanted);
        const struct lora_file *file = flo_loras_to_load(&s->adapters, &s->wanted);
        if (drop == NULL && file == NULL) {
            s->has_wanted = false;
            flo_loras_deinit(&s->wanted);
            tell_adapters(s);
            return;
        }
        s->is_changing = start_change(s, drop, file, &err) == 0;
    }
    if (err.code != 0 && err.code != FLO_E_STATE) {
        flo_log_err(FLO_LOG_WARN, "serve", &err);
    }
}

static void on_adapter(void *context, unsigned model, enum flo_serve_role role, const char *name,
                       const struct flo_err *err)
{
    struct standalone *s = context;
    struct lora_file *file = flo_loras_find(&s->wanted, name);
    (void)model, (void)role;
    if (err != NULL) {
        flo_log_err(FLO_LOG_WARN, "serve", err);
    }
    if (file == NULL) {
        flo_loras_remove(&s->adapters, name);
    } else if (err == NULL) {
        flo_loras_put(&s->adapters, file);
    } else {
        file->is_refused = true;
    }
    s->is_changing = false;
    change_next(s);
}

static void on_hangup(evutil_socket_t fd, short what, void *context)
{
    struct standalone *s = context;
    (void)fd, (void)what;
    s->was_told = true;
    change_next(s);
}

/* ---- what happens ---- */

static void stop(struct standalone *s, const struct flo_err *err)
{
    if (err != NULL) {
        s->failure = *err;
    }
    event_base_loopbreak(s->base);
}

static void on_loaded(void *context, unsigned model, enum flo_serve_role role, uint64_t load_ms,
                      const struct flo_err *err)
{
    struct standalone *s = context;
    struct flo_err failure = {0};
    (void)model;
    if (err != NULL && err->code == FLO_E_PACKED) {
        s->skips_packed = true;
        int fd = -1;
        if (s->cache != NULL && flo_file_open(s->file, &fd, NULL) == 0) {
            flo_packs_remove(s->cache, fd);
            close(fd);
        }
        if (load(s, &failure) < 0) {
            stop(s, &failure);
        }
        return;
    }
    if (err == NULL && flo_serve_flip(s->serve, 0, role, &failure) < 0) {
        err = &failure;
    }
    if (err != NULL) {
        stop(s, err);
        return;
    }
    struct flo_serve_status status;
    flo_serve_get_status(s->serve, 0, &status);
    printf("serving %s@%s: loaded in %llu ms, kernel %s\n", s->loaded.model, s->loaded.version,
           (unsigned long long)load_ms, status.kernel);
    fflush(stdout);
    change_next(s);
}

static void on_restart(evutil_socket_t fd, short what, void *context)
{
    struct standalone *s = context;
    struct flo_err err = {0};
    (void)fd, (void)what;
    if (flo_file_watch_check(s->watch, 0, &err) < 0) {
        return; /* the watch tells it */
    }
    if (load(s, &err) < 0) {
        stop(s, &err);
    }
}

static void on_engine_lost(void *context, unsigned model, enum flo_serve_role role,
                           const struct flo_err *err)
{
    struct standalone *s = context;
    uint64_t ms;
    (void)model, (void)role;
    if (!flo_losses_add(&s->losses, flo_now_ms(), &ms)) {
        stop(s, err);
        return;
    }
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(s->restart, &tv);
}

static void on_signal(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    stop(context, NULL);
}

/* ---- all of it ---- */

static int open_serve(struct standalone *s, struct flo_err *err)
{
    const struct flo_serve_handlers handlers = {
        .context = s,
        .on_loaded = on_loaded,
        .on_engine_lost = on_engine_lost,
        .on_adapter = on_adapter,
    };
    return flo_door_open(&s->door, s->base, &handlers, &s->serve, err);
}

/* Checks at the start that the draft can be opened. */
static int check_draft(const struct standalone *s, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    int rv = s->draft == NULL ? 0 : flo_file_open(s->draft, &fd, err);
    return rv < 0 ? flo_wrap(err, rv, "draft %s", s->draft) : 0;
}

static int open_all(struct standalone *s, struct flo_err *err)
{
    FLO_TRY(describe(s, err));
    FLO_TRY(check_draft(s, err));
    FLO_TRY(flo_loras_open(&s->source, true, &s->adapters, err));
    FLO_TRY(open_serve(s, err));
    FLO_TRY(flo_file_watch_open(s->base, s->serve, &s->watch, err));
    FLO_TRY(flo_file_watch_add(s->watch, 0, s->file, err));
    return load_packed(s, err);
}

static int run(struct standalone *s, struct flo_err *err)
{
    s->base = event_base_new();
    s->restart = s->base == NULL ? NULL : evtimer_new(s->base, on_restart, s);
    if (s->restart == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no event loop");
    }
    struct event *signals[] = {
        evsignal_new(s->base, SIGINT, on_signal, s),
        evsignal_new(s->base, SIGTERM, on_signal, s),
        evsignal_new(s->base, SIGHUP, on_hangup, s),
    };
    int rv = 0;
    for (size_t i = 0; i < FLO_COUNT(signals); i++) {
        if (signals[i] == NULL || event_add(signals[i], NULL) < 0) {
            rv = flo_fail(err, FLO_E_MEMORY, "no signal events");
        }
    }
    if (rv == 0) {
        rv = open_all(s, err);
    }
    if (rv == 0) {
        flo_door_tell(&s->door, s->serve);
        event_base_dispatch(s->base);
        if (s->failure.code != 0) {
            rv = s->failure.code;
            *err = s->failure;
        }
    }
    flo_serve_pack_cancel(s->packer);
    flo_fd_cleanup(&s->packing_fd);
    flo_fd_cleanup(&s->model_fd);
    flo_packs_close(s->cache);
    flo_file_watch_close(s->watch);
    flo_serve_close(s->serve);
    for (size_t i = 0; i < FLO_COUNT(signals); i++) {
        flo_event_drop(&signals[i]);
    }
    flo_loras_deinit(&s->adapters);
    flo_loras_deinit(&s->wanted);
    return rv;
}

static int run_several(struct standalone *s, struct flo_err *err)
{
    struct several_spec *spec = &s->several;

    if (s->source.count > 0 || s->source.folder != NULL || s->prefix_dir != NULL ||
        s->draft != NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "adapters, drafts and kept prefixes of several models are not "
                        "built yet");
    }
    spec->door = s->door;
    spec->chat_template = s->chat_template;
    spec->context = s->context;
    spec->sessions = s->sessions;
    spec->threads = s->threads;
    return flo_several_run(spec, err);
}

static int serve(void *state, struct flo_err *err)
{
    struct standalone *s = state;

    if (flo_args_has(&s->args, "config") || flo_args_has(&s->args, "state-dir")) {
        return flo_fail(err, FLO_E_USAGE, "serve reads no configuration");
    }
    if (s->door.is_at_ollama && s->door.has_no_ollama) {
        return flo_fail(err, FLO_E_USAGE, "--ollama contradicts --no-ollama");
    }
    if (s->door.is_at_ollama && take_listen(s, FLO_SERVE_OLLAMA_AT, err) < 0) {
        return FLO_E_USAGE;
    }
    s->door.listen = s->listen;
    int rv = s->several.n_models > 1 ? run_several(s, err) : run(s, err);
    flo_event_drop(&s->restart);
    if (s->base != NULL) {
        event_base_free(s->base);
    }
    free(s->chat_template);
    return rv;
}

const struct flo_verb flo_verb_serve = {
    .name = "serve",
    .usage = "--model FILE.gguf --listen ADDRESS [FLAG...]",
    .help = "the local API over model files, without a fleet",
    .flags = {flags},
    .state = &standalone,
    .run = serve,
    .example = "--model helpdesk.gguf --listen 127.0.0.1:8080",
    .more = "SIGHUP: look at the adapters' files again; new and changed ones "
            "are\nloaded, those that are gone are dropped, and answers go on "
            "meanwhile.\n",
};
