/* Hooks: activates a model's release.  An activation moves the model's link,
 * runs its hook and checks the health of its program.  See hooks.h.
 *
 * A model has at most one running hook.  If another release is activated while
 * it runs, the link moves at once, and the hook runs again afterwards. */
#include "agent/shell/hooks/hooks.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/hook.h>
#include <flotilla/errors/runtime.h>
#include <flotilla/errors/soak.h>
#include <flotilla/plural.h>

#include "agent/core/linking.h"
#include "agent/shell/device/runtimes.h"
#include "base/host/config.h"

#define VALUE_MAX 4400
#define RELEASE_NONE ""

struct flo_hook {
    struct flo_hook *next;
    struct flo_shell *shell;
    char model[FLO_NAME_MAX + 1];
    /* release to which the link points; zero digest: the link is removed */
    struct flo_release_ref release;
    char runtime[32];
    bool is_again;  /* the hook runs even if it has already run for the present link */
    bool has_other; /* another release was activated while the hook ran */
    struct flo_linking activation;
    /* Parsed runtime file; an empty name means that it has not been read
     * yet. */
    struct flo_device_runtime file;
    struct flo_command *command; /* hook or health command that is running; NULL: none */
    struct flo_health *health;
    struct event *timer;
};

static void act(struct flo_hook *hook, enum flo_linking_do what);

static bool is_removal(const struct flo_hook *hook)
{
    return flo_digest_is_zero(&hook->release.digest);
}

/* ---- places of the list ---- */

static void hook_free(struct flo_hook *hook)
{
    struct flo_hook **place = &hook->shell->hooks;

    while (*place != hook) {
        place = &(*place)->next;
    }
    *place = hook->next;
    flo_command_cancel(hook->command);
    flo_health_cancel(hook->health);
    flo_runtimes_deinit(&hook->file);
    event_free(hook->timer);
    free(hook);
}

void flo_hooks_close(struct flo_shell *shell)
{
    while (shell->hooks != NULL) {
        hook_free(shell->hooks);
    }
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct flo_hook *hook = context;

    (void)fd, (void)events;
    act(hook, flo_linking_step(&hook->activation, FLO_LINKING_DUE, flo_now_ms()));
}

/* Finds the hook of a model, or makes one; NULL: no memory. */
static struct flo_hook *hook_of(struct flo_shell *shell, const char *model)
{
    struct flo_hook *hook = shell->hooks;

    while (hook != NULL && strcmp(hook->model, model) != 0) {
        hook = hook->next;
    }
    if (hook != NULL || (hook = calloc(1, sizeof(*hook))) == NULL) {
        return hook;
    }
    hook->timer = evtimer_new(shell->base, on_timer, hook);
    if (hook->timer == NULL) {
        free(hook);
        return NULL;
    }
    snprintf(hook->model, sizeof(hook->model), "%s", model);
    hook->shell = shell;
    hook->next = shell->hooks;
    shell->hooks = hook;
    return hook;
}

/* ---- to the core ---- */

/* Reports the result of an activation to the core.  The end of a removal is not
 * reported. */
static void post(struct flo_hook *hook, enum flo_agent_event_kind kind, int code, const char *what)
{
    struct flo_shell *shell = hook->shell;
    struct flo_agent_event event = {.kind = kind, .release = hook->release.digest};

    event.error.code = code;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", what);
    while (event.model < FLO_AGENT_MODELS_MAX &&
           strcmp(shell->agent.models[event.model].name, hook->model) != 0) {
        event.model++;
    }
    if (code != 0) {
        flo_log(FLO_LOG_WARN, "link", "%s: %s", hook->model, what);
    }
    if (!is_removal(hook) && event.model < FLO_AGENT_MODELS_MAX) {
        flo_queue_post(&shell->queue, &event);
    }
}

/* ---- words of the hook ---- */

struct names {
    char link[VALUE_MAX], tree[VALUE_MAX];
    const struct flo_hook *hook;
};

static void make_names(const struct flo_hook *hook, struct names *out)
{
    const char *state = hook->shell->settings.state_dir;
    char digest[FLO_DIGEST_TEXT];

    out->hook = hook;
    out->tree[0] = '\0';
    snprintf(out->link, sizeof(out->link), "%s/links/%s", state, hook->model);
    if (!is_removal(hook)) {
        flo_digest_text(&hook->release.digest, digest);
        snprintf(out->tree, sizeof(out->tree), "%s/trees/sha256-%s", state,
                 strchr(digest, ':') + 1);
    }
}

static const char *action_word(const struct flo_hook *hook)
{
    return is_removal(hook) ? "remove" : "activate";
}

static void replace(const struct names *names, const char *text, struct flo_buf *out)
{
    const struct {
        const char *word, *value;
    } words[] = {{"{link}", names->link},
                 {"{tree}", names->tree},
                 {"{model}", names->hook->model},
                 {"{version}", names->hook->release.version},
                 {"{action}", action_word(names->hook)}};

    while (*text != '\0') {
        size_t i = 0;
        while (i < FLO_COUNT(words) && strncmp(text, words[i].word, strlen(words[i].word)) != 0) {
            i++;
        }
        if (i < FLO_COUNT(words)) {
            flo_buf_text(out, words[i].value);
            text += strlen(words[i].word);
        } else {
            flo_buf_add(out, text++, 1);
        }
    }
    flo_buf_add(out, "", 1);
}

/* Texts for a child process, all in one buffer; argv and environment point into
 * it. */
struct words {
    struct flo_buf text;
    size_t n_argv, n_environment;
    const char *argv[FLO_COMMAND_ARGS_MAX + 1];
    char *environment[48];
};

static void words_deinit(struct words *words)
{
    flo_buf_deinit(&words->text);
}

static void add_variable(struct words *words, const char *name, const char *value)
{
    flo_buf_printf(&words->text, "%s=%s", name, value);
    flo_buf_add(&words->text, "", 1);
    words->n_environment++;
}

static void add_environment(const struct names *names, struct words *words)
{
    const json_t *env = flo_config_tree(names->hook->file.config, "env");
    char digest[FLO_DIGEST_TEXT] = RELEASE_NONE;
    const char *key;
    json_t *value;

    if (!is_removal(names->hook)) {
        flo_digest_text(&names->hook->release.digest, digest);
    }
    add_variable(words, "PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    add_variable(words, "LANG", "C.UTF-8");
    add_variable(words, "FLOTILLA_ACTION", action_word(names->hook));
    add_variable(words, "FLOTILLA_MODEL", names->hook->model);
    add_variable(words, "FLOTILLA_VERSION", names->hook->release.version);
    add_variable(words, "FLOTILLA_RELEASE", digest);
    add_variable(words, "FLOTILLA_LINK", names->link);
    add_variable(words, "FLOTILLA_TREE", names->tree);
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        flo_buf_printf(&words->text, "%s=", key);
        replace(names, json_string_value(value), &words->text);
        words->n_environment++;
    }
}

/* Sets the pointers in argv and environment into the buffer.  The buffer must
 * be complete, because a buffer that grows may move in memory. */
static void point(struct words *words)
{
    char *at = words->text.data;

    for (size_t i = 0; i < words->n_argv; i++, at += strlen(at) + 1) {
        words->argv[i] = at;
    }
    for (size_t i = 0; i < words->n_environment; i++, at += strlen(at) + 1) {
        words->environment[i] = at;
    }
}

/* Makes the arguments of a command: the texts under `key`, or "systemctl
 * try-restart" with a unit. */
static int make_words(const struct flo_hook *hook, const char *key, const char *unit,
                      struct words *words, struct flo_err *err)
{
    static const char *const restart[] = {"/usr/bin/env", "systemctl", "try-restart", "--"};
    const struct flo_config *config = hook->file.config;
    size_t count = flo_config_texts_count(config, key);
    static struct names names;

    make_names(hook, &names);
    for (size_t i = 0; unit == NULL && i < count; i++) {
        replace(&names, flo_config_texts_get(config, key, i), &words->text);
        words->n_argv++;
    }
    for (size_t i = 0; unit != NULL && i < FLO_COUNT(restart); i++) {
        flo_buf_add(&words->text, restart[i], strlen(restart[i]) + 1);
        words->n_argv++;
    }
    if (unit != NULL) {
        flo_buf_add(&words->text, unit, strlen(unit) + 1);
        words->n_argv++;
    }
    add_environment(&names, words);
    if (words->text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "a hook");
    }
    point(words);
    return 0;
}

static int start(struct flo_hook *hook, const char *key, const char *unit, uint64_t ms_max,
                 void (*done)(void *context, int status, const char *words), struct flo_err *err)
{
    FLO_CLEANUP(words_deinit) struct words words = {0};
    struct flo_command_spec spec = {.argv = words.argv,
                                    .environment = words.environment,
                                    .ms_max = ms_max,
                                    .context = hook,
                                    .done = done};

    FLO_TRY(make_words(hook, key, unit, &words, err));
    return flo_command_start(hook->shell->base, &spec, &hook->command, err);
}

/* ---- the hook ---- */

static void begin(struct flo_hook *hook);

/* Begins again if another release was activated while the hook ran.  Returns
 * whether it does. */
static bool begins_other(struct flo_hook *hook)
{
    if (hook->has_other) {
        hook->has_other = false;
        begin(hook);
        return true;
    }
    return false;
}

static void step(struct flo_hook *hook, enum flo_linking_event event)
{
    act(hook, flo_linking_step(&hook->activation, event, flo_now_ms()));
}

static void hook_failed(struct flo_hook *hook, const char *what)
{
    post(hook, FLO_AGENT_ILL, FLO_E_HOOK_FAILED, what);
    step(hook, FLO_LINKING_HOOK_FAILED);
}

static void hook_done(struct flo_hook *hook)
{
    struct flo_err err = {0};

    if (flo_store_link_done(hook->shell->store, hook->model, &err) < 0) {
        hook_failed(hook, err.what);
        return;
    }
    hook->is_again = false;
    flo_log(FLO_LOG_INFO, "link", "%s: %s", hook->model,
            is_removal(hook) ? "link removed" : "link and hook done");
    step(hook, FLO_LINKING_HOOK_DONE);
}

static void on_hooked(void *context, int status, const char *words)
{
    struct flo_hook *hook = context;
    char what[256];

    hook->command = NULL;
    if (begins_other(hook)) {
        return;
    }
    if (status == 0) {
        hook_done(hook);
        return;
    }
    if (status == FLO_COMMAND_LATE) {
        snprintf(what, sizeof(what), "the hook took more than %d s%s%.160s", FLO_HOOK_MS_MAX / 1000,
                 words[0] != '\0' ? ": " : "", words);
    } else {
        snprintf(what, sizeof(what), "the hook ended with status %d%s%.160s", status,
                 words[0] != '\0' ? ": " : "", words);
    }
    hook_failed(hook, what);
}

static int signal_it(const struct flo_hook *hook, const char *word, struct flo_err *err)
{
    return flo_hook_signal_send(flo_config_text(hook->file.config, "pid_file"),
                                flo_hook_signal(word), err);
}

static int read_file(struct flo_hook *hook, struct flo_err *err)
{
    flo_runtimes_deinit(&hook->file);
    return flo_runtimes_read(&hook->shell->settings, hook->runtime, &hook->file, err);
}

static int set_link(struct flo_hook *hook, struct flo_err *err)
{
    struct flo_link link;

    FLO_TRY(flo_store_link_get(hook->shell->store, hook->model, &link, err));
    if (!hook->is_again && link.has_mark && flo_digest_is_zero(&link.hooked) &&
        link.has_link == !is_removal(hook) &&
        flo_digest_equal(&link.release, &hook->release.digest)) {
        return 0; /* the link is right already, and the disk says that its hook has not run yet */
    }
    return flo_store_link_set(hook->shell->store, hook->model, hook->runtime,
                              is_removal(hook) ? NULL : &hook->release.digest, err);
}

/* Moves the link, then runs the hook.  *is_done: no command has been started,
 * so the activation continues at once. */
static int run(struct flo_hook *hook, bool *is_done, struct flo_err *err)
{
    const struct flo_config *config;
    const char *word;

    *is_done = false;
    FLO_TRY(set_link(hook, err));
    FLO_TRY(read_file(hook, err));
    config = hook->file.config;
    word = flo_config_text(config, "signal");
    if (word != NULL) {
        *is_done = true;
        return signal_it(hook, word, err);
    }
    if (flo_config_text(config, "restart") == NULL &&
        flo_config_texts_count(config, "activate") == 0) {
        *is_done = true; /* no hook is configured: the program watches its link itself */
        return 0;
    }
    return start(hook, "activate", flo_config_text(config, "restart"), FLO_HOOK_MS_MAX, on_hooked,
                 err);
}

static void run_hook(struct flo_hook *hook)
{
    struct flo_err err = {0};
    bool is_done;

    int rv = run(hook, &is_done, &err);

    if (rv == FLO_E_RUNTIME_ABSENT && is_removal(hook)) {
        /* The end of a removal is not reported to the core, only logged. */
        flo_log_err(FLO_LOG_WARN, "link", &err);
        hook_done(hook);
    } else if (rv < 0) {
        hook_failed(hook, err.what);
    } else if (is_done) {
        hook_done(hook);
    }
}

/* ---- health ---- */

static void looked(struct flo_hook *hook, const char *why)
{
    if (why != NULL) {
        flo_log(FLO_LOG_INFO, "link", "%s: health: %s", hook->model, why);
    }
    step(hook, why == NULL ? FLO_LINKING_GOOD : FLO_LINKING_BAD);
}

static void on_health(void *context, const char *why)
{
    struct flo_hook *hook = context;

    hook->health = NULL;
    looked(hook, why);
}

static void on_command(void *context, int status, const char *words)
{
    struct flo_hook *hook = context;
    char why[256];

    hook->command = NULL;
    snprintf(why, sizeof(why), "status %d%s%.200s", status, words[0] != '\0' ? ": " : "", words);
    looked(hook, status == 0 ? NULL : why);
}

static void look(struct flo_hook *hook)
{
    const struct flo_config *config = hook->file.config;
    const char *url = flo_config_text(config, "soak_health");
    struct flo_health_address address;
    struct flo_err err = {0};
    int rv;

    if (url != NULL && flo_health_address_read(url, &address)) {
        rv = flo_health_start(hook->shell->base, &address,
                              (int)flo_config_u64(config, "soak_status"), on_health, hook,
                              &hook->health, &err);
    } else {
        rv = start(hook, "soak_command", NULL, FLO_HEALTH_MS_MAX, on_command, &err);
    }
    if (rv < 0) {
        looked(hook, err.what);
    }
}

static void tell_ill(struct flo_hook *hook)
{
    const struct flo_linking *activation = &hook->activation;
    const char *url = flo_config_text(hook->file.config, "soak_health");
    char what[256];

    if (activation->misses > 0) {
        snprintf(what, sizeof(what), "%s was not healthy %u time%s in a row",
                 url != NULL ? url : "soak_command", activation->misses, flo_s(activation->misses));
    } else {
        snprintf(what, sizeof(what), "%s was not healthy within %llu ms after the hook",
                 url != NULL ? url : "soak_command",
                 (unsigned long long)activation->limits.ready_ms);
    }
    post(hook, FLO_AGENT_ILL, FLO_E_SOAK_HEALTH, what);
}

/* ---- one after the other ---- */

static void set_timer(struct flo_hook *hook)
{
    uint64_t now = flo_now_ms();
    uint64_t at = hook->activation.due_ms;
    uint64_t in_ms = at > now ? at - now : 1;
    const struct timeval delay = {.tv_sec = (time_t)(in_ms / 1000),
                                  .tv_usec = (suseconds_t)(in_ms % 1000) * 1000};

    if (at == 0) {
        evtimer_del(hook->timer);
    } else {
        evtimer_add(hook->timer, &delay);
    }
}

static void act(struct flo_hook *hook, enum flo_linking_do what)
{
    set_timer(hook);
    switch (what) {
    case FLO_LINKING_RUN:
        run_hook(hook);
        break;
    case FLO_LINKING_LOOK:
        look(hook);
        break;
    case FLO_LINKING_TELL_SERVES:
        if (is_removal(hook)) {
            hook_free(hook);
        } else {
            post(hook, FLO_AGENT_ACTIVATED, 0, "");
        }
        break;
    case FLO_LINKING_TELL_ILL:
        tell_ill(hook);
        break;
    case FLO_LINKING_TELL_FAILED: /* the failure was already reported where it happened */
    case FLO_LINKING_NOTHING:
        break;
    }
}

/* Tells whether the hook has already run for this link, for example before a
 * restart of the agent. */
static bool is_done_already(struct flo_hook *hook)
{
    struct flo_link link;
    struct flo_err err = {0};

    if (flo_store_link_get(hook->shell->store, hook->model, &link, &err) < 0) {
        return false;
    }
    return !is_removal(hook) && link.has_link &&
           flo_digest_equal(&link.release, &hook->release.digest) &&
           flo_digest_equal(&link.hooked, &hook->release.digest) &&
           strcmp(link.runtime, hook->runtime) == 0;
}

/* Makes the limits of an activation.  A removed model's program gets no health
 * check. */
static void limits_of(const struct flo_hook *hook, struct flo_linking_limits *out)
{
    const struct flo_config *config = hook->file.config;

    *out = (struct flo_linking_limits){0};
    if (config != NULL && !is_removal(hook)) {
        out->has_health = flo_config_text(config, "soak_health") != NULL ||
                          flo_config_texts_count(config, "soak_command") > 0;
        out->ready_ms = hook->file.ready_ms;
        out->every_ms = flo_config_u64(config, "soak_every");
        out->misses_max = (uint32_t)flo_config_u64(config, "soak_failures");
    }
}

static void begin(struct flo_hook *hook)
{
    struct flo_linking_limits limits;
    struct flo_err err = {0};
    bool needs_hook = hook->is_again || !is_done_already(hook);

    flo_health_cancel(hook->health);
    /* no hook is running here, so the command can only be a health command */
    flo_command_cancel(hook->command);
    hook->health = NULL;
    hook->command = NULL;
    needs_hook = read_file(hook, &err) < 0 || needs_hook;
    limits_of(hook, &limits);
    act(hook, flo_linking_begin(&hook->activation, &limits, needs_hook, flo_now_ms()));
}

/* Starts an activation.  If a hook is running, only the link moves now, and the
 * hook runs again when it has ended. */
static void spec(struct flo_hook *hook)
{
    struct flo_err err = {0};

    if (hook->activation.state != FLO_LINKING_HOOK || hook->command == NULL) {
        begin(hook);
        return;
    }
    hook->has_other = true;
    if (flo_store_link_set(hook->shell->store, hook->model, hook->runtime,
                           is_removal(hook) ? NULL : &hook->release.digest, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "link", &err);
    }
}

/* ---- the agent's specs ---- */

static int runtime_of(struct flo_shell *shell, const struct flo_digest *digest, char out[32],
                      struct flo_err *err)
{
    struct flo_release *release = calloc(1, sizeof(*release));
    int variant = -1;
    int rv = release == NULL ? flo_fail(err, FLO_E_MEMORY, "a release")
                             : flo_store_release_load(shell->store, digest, release, err);

    if (rv == 0) {
        variant = flo_store_release_variant(shell->store, digest, release);
        rv = variant < 0 ? flo_fail(err, FLO_E_BLOB_ABSENT, "a file of it is not on this device")
                         : 0;
    }
    if (rv == 0) {
        snprintf(out, 32, "%.31s", release->variants[variant].runtime);
    }
    if (release != NULL) {
        flo_release_deinit(release);
    }
    free(release);
    return rv;
}

void flo_hooks_flip(struct flo_shell *shell, const struct flo_release_ref *release, bool again)
{
    struct flo_hook *hook = hook_of(shell, release->model);
    struct flo_err err = {0};

    if (hook == NULL) {
        flo_log(FLO_LOG_ERROR, "link", "%s: no memory", release->model);
        return;
    }
    hook->release = *release;
    hook->is_again = again;
    if (runtime_of(shell, &release->digest, hook->runtime, &err) < 0) {
        post(hook, FLO_AGENT_ILL, FLO_E_HOOK_FAILED, err.what);
        return;
    }
    spec(hook);
}

void flo_hooks_unlink(struct flo_shell *shell, const char *model)
{
    struct flo_hook *hook = hook_of(shell, model);
    struct flo_link link;
    struct flo_err err = {0};

    if (hook == NULL || flo_store_link_get(shell->store, model, &link, &err) < 0) {
        flo_log(FLO_LOG_ERROR, "link", "%s: its link stays: %s", model, err.what);
        return;
    }
    memset(&hook->release, 0, sizeof(hook->release));
    hook->is_again = false;
    snprintf(hook->runtime, sizeof(hook->runtime), "%s", link.runtime);
    spec(hook);
}

bool flo_hooks_has_link(struct flo_shell *shell, const char *model)
{
    struct flo_link link;

    return flo_store_link_get(shell->store, model, &link, NULL) == 0 &&
           (link.has_link || link.has_mark);
}

/* Tells whether the model of a link has no release on the device.  A link stays
 * when the model's record cannot be read. */
static bool is_gone(struct flo_shell *shell, const char *model)
{
    struct flo_slots slots;
    struct flo_err err = {0};

    if (flo_store_slots_read(shell->store, model, &slots, &err) < 0) {
        flo_log(FLO_LOG_WARN, "link", "%s: its link stays: %s", model, err.what);
        return false;
    }
    return flo_digest_is_zero(&slots.current) && flo_digest_is_zero(&slots.candidate);
}

void flo_hooks_start(struct flo_shell *shell)
{
    char models[FLO_MODELS_KEPT_MAX][FLO_NAME_MAX + 1];
    size_t count = flo_store_links(shell->store, models, FLO_COUNT(models));

    for (size_t i = 0; i < count; i++) {
        uint32_t place = 0;
        while (place < FLO_AGENT_MODELS_MAX &&
               strcmp(shell->models[place].slots.model, models[i]) != 0) {
            place++;
        }
        if (place == FLO_AGENT_MODELS_MAX && is_gone(shell, models[i])) {
            flo_hooks_unlink(shell, models[i]);
        }
    }
}
