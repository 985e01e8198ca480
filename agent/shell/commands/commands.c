/* Commands: status, rollback, remove and explain.  They use the control socket
 * of the running agent.  Without a running agent, this process takes the state
 * lock and runs the same core. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <flotilla/errors/meta.h>

#include "agent/shell/commands/commands.h"
#include "agent/shell/identity/identity.h"
#include "agent/shell/loop.h"
#include "agent/shell/report/operators.h"

#define LINE_BYTES_MAX (1u << 20)
#define LINES_MAX 100000 /* largest number of lines that `explain` prints */

struct flo_args flo_agent_line;

/* ---- the running agent ---- */

/* Connects to the agent's control socket.
 * FLO_E_ABSENT  no agent runs */
static int dial(const char *path, int *fd, struct flo_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "control socket %s is too long", path);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "socket");
    }
    if (connect(*fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        int code = errno == ENOENT || errno == ECONNREFUSED ? FLO_E_ABSENT : FLO_E_IO_OPEN;
        flo_fail_errno(err, code, "control socket %s", path);
        close(*fd);
        *fd = -1;
        return code;
    }
    return 0;
}

/* Sends one request and reads its answer lines.  `each` gets all lines but the
 * last, which goes to *out. */
static int converse(int fd, json_t *request, void (*each)(const json_t *line, void *context),
                    void *context, json_t **out, struct flo_err *err)
{
    struct flo_buf text = {0};
    FILE *stream;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t bytes;
    int rv;

    flo_json_dump(request, &text);
    flo_buf_text(&text, "\n");
    rv = text.failed ? flo_fail(err, FLO_E_MEMORY, "request")
                     : flo_fd_write_all(fd, text.data, text.bytes, err);
    flo_buf_deinit(&text);
    FLO_TRY(rv);
    stream = fdopen(dup(fd), "r");
    if (stream == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "control socket");
    }
    rv = flo_fail(err, FLO_E_NET_UNREACHABLE, "the agent hung up");
    while (rv == FLO_E_NET_UNREACHABLE && (bytes = getline(&line, &capacity, stream)) > 0) {
        json_t *json = NULL;
        if (flo_json_parse(line, (size_t)bytes, LINE_BYTES_MAX, &json, err) < 0) {
            rv = FLO_E_META_JSON;
        } else if (json_is_true(json_object_get(json, "done"))) {
            *out = json;
            rv = 0;
        } else {
            if (each != NULL) {
                each(json, context);
            }
            json_decref(json);
        }
    }
    free(line);
    fclose(stream);
    return rv;
}

json_t *flo_tell_error(const struct flo_err *err)
{
    const char *fix = err->fix[0] != '\0' ? err->fix : flo_error_fix(err->code);

    return json_pack("{s:s, s:s, s:s, s:s}", "id", flo_error_id(err->code), "what", err->what,
                     "why", err->why, "fix", fix != NULL ? fix : "");
}

void flo_tell_several(const char *name, json_t *told, int rv, const struct flo_err *err)
{
    if (json_array_size(told) > 0) {
        json_t *all = json_pack("{s:O}", name, told);
        if (rv < 0) {
            json_object_set_new(all, "error", flo_tell_error(err));
        }
        json_dumpf(all, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(all);
        flo_agent_line.is_told = true;
    }
    json_decref(told);
}

int flo_answer_error(const json_t *json, struct flo_err *err)
{
    const json_t *error = json_object_get(json, "error");
    const char *id = json_string_value(json_object_get(error, "id"));
    const char *what = json_string_value(json_object_get(error, "what"));
    int code = id == NULL ? 0 : flo_error_code(id);

    if (!json_is_object(error)) {
        return 0;
    }
    return flo_fail(err, code == 0 ? FLO_E_STATE : code, "%s", what == NULL ? "refused" : what);
}

/* ---- without an agent ---- */

/* Fails when the state directory is missing, because a command must not create
 * it. */
static int need_state(const struct flo_settings *settings, struct flo_err *err)
{
    return access(settings->state_dir, F_OK) == 0
               ? 0
               : flo_fail(err, FLO_E_ABSENT, "%s: no such state directory", settings->state_dir);
}

static int alone(const struct flo_args *args,
                 int (*begin)(struct flo_shell *shell, void *context, struct flo_err *err),
                 void *context, json_t **out, struct flo_err *err)
{
    struct flo_shell *shell = flo_shell_new();
    struct flo_settings settings;
    int rv = shell == NULL ? flo_fail(err, FLO_E_MEMORY, "agent")
                           : flo_run_settings(args, &settings, err);

    if (rv == 0) {
        rv = need_state(&settings, err);
        if (rv < 0) {
            flo_settings_deinit(&settings);
        }
    }
    if (rv < 0) {
        flo_shell_free(shell);
        return rv;
    }
    flo_log_level_set(FLO_LOG_WARN);
    rv = flo_shell_open(shell, &settings, true, err);
    if (rv == 0) {
        flo_shell_boot(shell);
        rv = begin(shell, context, err);
        while (rv == 0 && flo_alone_answered(shell) == NULL && !flo_shell_is_stopping(shell) &&
               event_base_loop(shell->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0) {
        }
        if (rv == 0 && flo_alone_answered(shell) == NULL) {
            rv = flo_fail(err, FLO_E_INTERRUPTED, "a signal came");
        } else if (rv == 0) {
            *out = json_incref(flo_alone_answered(shell));
        }
    }
    flo_shell_close(shell);
    flo_shell_free(shell);
    return rv;
}

/* Finds the path of the control socket that the configuration names. */
static int control_of(const struct flo_args *args, char *out, size_t out_bytes, struct flo_err *err)
{
    struct flo_settings settings;

    FLO_TRY(flo_run_settings(args, &settings, err));
    snprintf(out, out_bytes, "%s", settings.control);
    flo_settings_deinit(&settings);
    return 0;
}

int flo_ask(const struct flo_args *args, json_t *request, flo_each_line_fn each, flo_begin_fn begin,
            void *context, json_t **out, struct flo_err *err)
{
    char path[4096];
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    int rv = control_of(args, path, sizeof(path), err);

    if (rv == 0) {
        rv = dial(path, &fd, err);
        if (rv == 0) {
            rv = converse(fd, request, each, context, out, err);
        }
        if (rv == FLO_E_ABSENT) {
            memset(err, 0, sizeof(*err));
            rv = alone(args, begin, context, out, err);
        }
    }
    json_decref(request);
    return rv;
}

/* ---- rollback, remove ---- */

struct operation {
    enum flo_agent_event_kind kind;
    const char *word, *model;
};

static int begin_operation(struct flo_shell *shell, void *context, struct flo_err *err)
{
    const struct operation *operation = context;

    return flo_loop_operator(shell, operation->kind, operation->model, err);
}

static int operate(const struct flo_args *args, struct operation *operation, json_t **answer,
                   struct flo_err *err)
{
    json_t *request =
        json_pack("{s:i, s:s, s:s}", "v", 1, "op", operation->word, "model", operation->model);

    FLO_TRY(flo_ask(args, request, NULL, begin_operation, operation, answer, err));
    FLO_TRY(flo_answer_error(*answer, err));
    if (args->is_json) {
        json_dumpf(*answer, stdout, JSON_COMPACT);
        printf("\n");
    }
    return 0;
}

static int rollback(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    struct operation back = {FLO_AGENT_GO_BACK, "rollback", flo_args_text(args, "model", "")};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    uint64_t begin_us = flo_now_us();

    FLO_TRY(operate(args, &back, &answer, err));
    if (!args->is_json) {
        printf("back on %s %s (kept) in %.1f s · will be reported when online\n",
               json_string_value(json_object_get(answer, "model")),
               json_string_value(json_object_get(answer, "version")),
               (double)(flo_now_us() - begin_us) / 1e6);
    }
    return 0;
}

static const struct flo_flag rollback_flags[] = {
    {"model", "NAME", "the model, if the device has several", FLO_ASKED},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_rollback = {
    .name = "rollback",
    .usage = "[--model NAME] [-o json]",
    .help = "back to the previous release",
    .flags = {rollback_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = rollback,
    .example = "--model helpdesk",
};

static int remove_model(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    struct operation removal = {FLO_AGENT_REMOVE, "remove", flo_args_text(args, "model", "")};
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;

    FLO_TRY(operate(args, &removal, &answer, err));
    if (!args->is_json) {
        printf("removed %s · an order can bring it back\n",
               json_string_value(json_object_get(answer, "model")));
    }
    return 0;
}

static const struct flo_flag remove_flags[] = {
    {"model", "NAME", "the model; its files are collected", FLO_ASKED, .is_needed = true},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_remove = {
    .name = "remove",
    .usage = "--model NAME [-o json]",
    .help = "take a model away from this device",
    .flags = {remove_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = remove_model,
    .example = "--model helpdesk",
};

/* ---- status ---- */

/* Reads a model's record from the disk into entry `index`. */
static int read_model(struct flo_shell *shell, uint32_t index, const char *name,
                      struct flo_err *err)
{
    struct flo_slots *record = &shell->models[index].slots;
    struct flo_agent_model *model = &shell->agent.models[index];
    int rv = flo_store_slots_read(shell->store, name, record, err);

    model->live = -1;
    flo_shell_ref(shell, &record->current, &model->slots.current);
    flo_shell_ref(shell, &record->previous, &model->slots.previous);
    flo_shell_ref(shell, &record->candidate, &model->slots.candidate);
    if (flo_digest_is_zero(&record->current) && flo_digest_is_zero(&record->candidate)) {
        /* the device has no release of the model, so status leaves it out */
        record->model[0] = '\0';
    }
    return rv;
}

static int read_models(struct flo_shell *shell, struct flo_err *err)
{
    char names[FLO_MODELS_KEPT_MAX][FLO_NAME_MAX + 1];
    size_t count = 0;
    uint32_t used = 0;
    int rv = flo_store_models(shell->store, names, FLO_COUNT(names), &count, err);

    for (size_t i = 0; rv == 0 && i < count && used < FLO_AGENT_MODELS_MAX; i++) {
        rv = read_model(shell, used, names[i], err);
        used += shell->models[used].slots.model[0] != '\0';
    }
    return rv;
}

/* Makes the status from the records on the disk, when no agent runs.  No engine
 * is started. */
static int status_alone(const struct flo_args *args, json_t **out, struct flo_err *err)
{
    struct flo_shell *shell = flo_shell_new();
    int rv = shell == NULL ? flo_fail(err, FLO_E_MEMORY, "status")
                           : flo_run_settings(args, &shell->settings, err);

    if (rv == 0) {
        rv = need_state(&shell->settings, err);
    }
    if (rv == 0) {
        rv = flo_store_open(shell->settings.state_dir, false, &shell->store, err);
    }
    if (rv == 0) {
        rv = flo_identity_load(&shell->settings, &shell->identity, err);
    }
    if (rv == 0) {
        rv = read_models(shell, err);
    }
    if (rv == 0) {
        *out = flo_control_status(shell);
        if (*out != NULL) {
            json_object_set_new(*out, "running", json_false());
        }
    }
    if (shell != NULL) {
        flo_shell_close(shell);
        flo_shell_free(shell);
    }
    return rv;
}

static void print_slot(const char *title, const json_t *slot)
{
    char name[160] = "-";

    if (json_is_object(slot)) {
        snprintf(name, sizeof(name), "%s %s", json_string_value(json_object_get(slot, "model")),
                 json_string_value(json_object_get(slot, "version")));
        printf("%-10s %-24s %-12s %8.1f MiB\n", title, name,
               json_string_value(json_object_get(slot, "state")),
               (double)json_integer_value(json_object_get(slot, "bytes")) / 1048576.0);
    } else {
        printf("%-10s %-24s %-12s\n", title, "-", "-");
    }
}

static void print_draft(const json_t *draft)
{
    const char *why = json_string_value(json_object_get(draft, "why"));
    const json_t *per_step = json_object_get(draft, "tokens_per_step");

    if (why != NULL) {
        printf("draft not used: %s\n", why);
    } else if (draft != NULL) {
        printf("draft %s, %.1f MiB · %lld tokens guessed, %lld right",
               json_string_value(json_object_get(draft, "kind")),
               (double)json_integer_value(json_object_get(draft, "bytes")) / 1048576.0,
               (long long)json_integer_value(json_object_get(draft, "guessed")),
               (long long)json_integer_value(json_object_get(draft, "guessed_right")));
        per_step == NULL ? printf("\n")
                         : printf(" · %.2f tokens a step\n", json_number_value(per_step));
    }
}

static void print_model(const json_t *model, bool is_running)
{
    const json_t *slots = json_object_get(model, "slots");
    const json_t *execution = json_object_get(model, "execution");
    const char *reason = json_string_value(json_object_get(model, "reason"));

    print_slot("CURRENT", json_object_get(slots, "current"));
    print_slot("PREVIOUS", json_object_get(slots, "previous"));
    print_slot("CANDIDATE", json_object_get(slots, "candidate"));
    if (is_running) {
        printf("engine RSS %.1f MiB · queue %lld\n",
               (double)json_integer_value(json_object_get(model, "engine_rss_bytes")) / 1048576.0,
               (long long)json_integer_value(json_object_get(model, "queue")));
        print_draft(json_object_get(model, "draft"));
    }
    if (json_is_object(execution)) {
        printf("update %s %s%s%s\n", json_string_value(json_object_get(execution, "execution")),
               json_string_value(json_object_get(execution, "state")),
               reason != NULL && reason[0] != '\0' ? ": " : "", reason == NULL ? "" : reason);
    } else {
        printf("update none\n");
    }
}

static void print_models(const json_t *models, bool is_running)
{
    printf("%-10s %-24s %-12s %12s\n", "SLOT", "MODEL", "STATE", "SIZE");
    for (size_t i = 0; i < json_array_size(models); i++) {
        printf("%s", i == 0 ? "" : "\n");
        print_model(json_array_get(models, i), is_running);
    }
    if (json_array_size(models) == 0) {
        print_slot("CURRENT", NULL);
        printf("update none\n");
    }
}

static void print_neighbours(const json_t *json)
{
    const char *mode = json_string_value(json_object_get(json, "mode"));
    json_int_t port = json_integer_value(json_object_get(json, "port"));

    if (mode == NULL || strcmp(mode, "off") == 0) {
        return;
    }
    printf("neighbours %lld bytes from them",
           (long long)json_integer_value(json_object_get(json, "in_bytes")));
    if (strcmp(mode, "serve") == 0) {
        printf(", %lld to them (%lld of %lld in 24 hours)",
               (long long)json_integer_value(json_object_get(json, "out_bytes")),
               (long long)json_integer_value(json_object_get(json, "used_bytes")),
               (long long)json_integer_value(json_object_get(json, "budget_bytes")));
        port > 0 ? printf(", serves on port %lld", (long long)port)
                 : printf(", does not serve now");
    }
    printf("\n");
}

static void print_site(const json_t *json)
{
    if (!json_is_true(json_object_get(json, "wanted"))) {
        return;
    }
    printf("site %s on port %lld\n",
           json_is_true(json_object_get(json, "on")) ? "lets other devices ask"
                                                     : "lets no device ask now",
           (long long)json_integer_value(json_object_get(json, "port")));
}

static void print_endpoints(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        printf("endpoint %s%s %s\n", json_string_value(json_object_get(one, "name")),
               json_is_true(json_object_get(one, "device")) ? " (a device)" : "",
               json_is_true(json_object_get(one, "ready")) ? "ready" : "not ready now");
    }
}

static void print_degraded(const json_t *degraded)
{
    if (json_is_object(degraded)) {
        printf("DEGRADED %s: %s\n", json_string_value(json_object_get(degraded, "id")),
               json_string_value(json_object_get(degraded, "text")));
    }
}

/* Says heat and charge when a limit holds. */
static void print_power(const json_t *power)
{
    const char *limits = json_string_value(json_object_get(power, "limits"));
    const json_t *temperature = json_object_get(power, "temperature_mc");
    const json_t *trip = json_object_get(power, "trip_mc");
    const json_t *battery = json_object_get(power, "battery_pct");

    if (limits == NULL || limits[0] == '\0') {
        return;
    }
    printf("LIMITED %s", limits);
    if (temperature != NULL) {
        printf(" · %.1f °C", (double)json_integer_value(temperature) / 1000);
    }
    if (json_integer_value(trip) > 0) {
        printf(", trip point %.1f °C", (double)json_integer_value(trip) / 1000);
    }
    if (battery != NULL) {
        printf(" · battery %d %%%s", (int)json_integer_value(battery),
               json_is_true(json_object_get(power, "mains")) ? "" : ", no mains");
    }
    printf("\n");
}

static void print_status(const json_t *json)
{
    bool is_running = !json_is_false(json_object_get(json, "running"));
    const char *state = !is_running                                       ? "not running"
                        : json_is_true(json_object_get(json, "online"))   ? "online"
                        : json_is_true(json_object_get(json, "enrolled")) ? "offline"
                                                                          : "not enrolled";

    printf("agent %s · %s", json_string_value(json_object_get(json, "agent")), state);
    if (json_is_true(json_object_get(json, "enrolled"))) {
        printf(" · %s · controller %s · fleet %s", json_string_value(json_object_get(json, "name")),
               json_string_value(json_object_get(json, "controller")),
               json_string_value(json_object_get(json, "fleet")));
    }
    printf("%s%s\n", json_is_true(json_object_get(json, "frozen")) ? " · FROZEN" : "",
           json_is_true(json_object_get(json, "prompts_stay")) ? " · PROMPTS STAY" : "");
    print_degraded(json_object_get(json, "degraded"));
    print_power(json_object_get(json, "power"));
    print_models(json_object_get(json, "models"), is_running);
    print_neighbours(json_object_get(json, "neighbours"));
    print_site(json_object_get(json, "site"));
    print_endpoints(json_object_get(json, "endpoints"));
}

static int status(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    FLO_CLEANUP(flo_json_cleanup) json_t *status = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *request = json_pack("{s:i, s:s}", "v", 1, "op", "status");
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char path[4096];

    FLO_TRY(control_of(args, path, sizeof(path), err));
    int rv = dial(path, &fd, err);
    if (rv == 0) {
        rv = converse(fd, request, NULL, NULL, &status, err);
    } else if (rv == FLO_E_ABSENT) {
        memset(err, 0, sizeof(*err));
        rv = status_alone(args, &status, err);
    }
    FLO_TRY(rv);
    if (args->is_json) {
        json_dumpf(status, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        print_status(status);
    }
    return 0;
}

const struct flo_verb flo_verb_status = {
    .name = "status",
    .usage = "[-o json]",
    .help = "slots, release, engine, connection",
    .flags = {FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = status,
    .example = "",
};

static int explain(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    struct flo_settings settings;
    uint64_t lines;

    FLO_TRY(flo_args_u64(args, "lines", 1, LINES_MAX, 200, &lines, err));
    FLO_TRY(flo_run_settings(args, &settings, err));
    int rv = flo_traces_print(settings.state_dir, (unsigned)lines, args->is_json, err);
    flo_settings_deinit(&settings);
    return rv;
}

static const struct flo_flag explain_flags[] = {
    {"lines", "N", "the newest of them (200)", FLO_ASKED},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_explain = {
    .name = "explain",
    .usage = "[--lines N] [-o json]",
    .help = "what the agent did and why",
    .flags = {explain_flags, FLO_FLAGS_JSON},
    .state = &flo_agent_line,
    .run = explain,
    .example = "--lines 20",
};
