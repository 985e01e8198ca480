/* Runtimes: reads the files NAME.yaml in `runtimes_dir`.
 *
 * The file chooses a command, so only root may write it.  A release names a
 * runtime and brings files.  Neither the release nor the controller can choose
 * the command. */
#include "agent/shell/device/runtimes.h"

#include <dirent.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/errors/runtime.h>

#include "agent/shell/device/device.h"
#include "agent/shell/device/hook.h"
#include "base/scratch.h"

/* Limit of planned memory, above any machine's.  The proxy accepts up to
 * 2^50. */
#define PLANNED_MAX (UINT64_C(1) << 48)

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/runtimes.def"
#undef FLO_CONFIG
};

/* ---- who may write ---- */

static int check_owner(const char *path, struct flo_err *err)
{
    struct stat st;

    if (lstat(path, &st) < 0) {
        return flo_fail_errno(err, FLO_E_RUNTIME_ABSENT, "%s", path);
    }
    if (S_ISLNK(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "%s: owner %u, mode %04o; it chooses a program, so only root "
                 "may write it",
                 path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
        return flo_err_fix(err, "chown root:root %s && chmod go-w %s", path, path);
    }
    return 0;
}

/* ---- one file ---- */

static int check_choice(const struct flo_config *config, const char *key, const char *const *words,
                        struct flo_err *err)
{
    const char *word = flo_config_text(config, key);
    size_t i = 0;

    while (words[i] != NULL && strcmp(words[i], word) != 0) {
        i++;
    }
    return words[i] != NULL ? 0
                            : flo_fail(err, FLO_E_CFG_RANGE, "`%s`: `%.40s` is none of %s, %s%s%s",
                                       key, word, words[0], words[1], words[2] != NULL ? ", " : "",
                                       words[2] != NULL ? words[2] : "");
}

static bool names_place(const struct flo_config *config)
{
    const json_t *env = flo_config_tree(config, "env");
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    for (size_t i = 0; i < flo_config_texts_count(config, "exec"); i++) {
        flo_buf_text(&text, flo_config_texts_get(config, "exec", i));
        flo_buf_text(&text, "\n");
    }
    flo_json_dump(env, &text);
    return text.data != NULL &&
           (strstr(text.data, "{socket}") != NULL || strstr(text.data, "{port}") != NULL);
}

/* Adds the user and group ids of the runtime's `user` to the proxy's options;
 * nothing without `user`. */
static int add_user(const struct flo_config *config, json_t *json, struct flo_err *err)
{
    const char *name = flo_config_text(config, "user");
    struct passwd *user = name == NULL ? NULL : getpwnam(name);

    if (name == NULL) {
        return 0;
    }
    if (geteuid() != 0) {
        flo_fail(err, FLO_E_CFG_PERM, "`user`: %s can only be chosen by an agent that runs as root",
                 name);
        return flo_err_fix(err, "leave `user` out; the program then runs as "
                                "the agent's user, in its sandbox");
    }
    if (user == NULL || user->pw_uid == 0 || user->pw_gid == 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "`user`: %s is %s", name,
                        user == NULL ? "no user of this machine" : "root");
    }
    json_object_set_new(json, "uid", json_integer(user->pw_uid));
    json_object_set_new(json, "gid", json_integer(user->pw_gid));
    return 0;
}

static int check_path(const struct flo_config *config, const char *key, struct flo_err *err)
{
    const char *program = flo_config_texts_get(config, key, 0);

    return program != NULL && program[0] == '/'
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "`%s` begins with no absolute path", key);
}

/* Refuses keys that the runtime's `api` does not use. */
static int check_kind(const struct flo_config *config, bool is_linked, struct flo_err *err)
{
    static const char *const of_links[] = {
        "check",       "activate",     "restart",     "signal",     "pid_file",
        "soak_health", "soak_command", "soak_status", "soak_every", "soak_failures"};
    static const char *const of_servers[] = {"exec",     "health",  "prefix",
                                             "sessions", "context", "abilities"};
    const char *const *keys = is_linked ? of_servers : of_links;
    size_t count = is_linked ? FLO_COUNT(of_servers) : FLO_COUNT(of_links);

    for (size_t i = 0; i < count; i++) {
        if (flo_config_is_set(config, keys[i])) {
            return flo_fail(err, FLO_E_CFG_KEY, "`%s` is %s `api: none`", keys[i],
                            is_linked ? "nothing for" : "only for");
        }
    }
    return 0;
}

/* Checks that at most one hook is configured, and that it is complete. */
static int check_hook(const struct flo_config *config, struct flo_err *err)
{
    const char *word = flo_config_text(config, "signal");
    const char *unit = flo_config_text(config, "restart");
    const char *pid_file = flo_config_text(config, "pid_file");
    int count = (word != NULL) + (unit != NULL) + (flo_config_texts_count(config, "activate") > 0);

    if (count > 1) {
        return flo_fail(err, FLO_E_CFG_RANGE, "`activate`, `restart` and `signal`: one of them");
    }
    if (count == 0) {
        return 0; /* no hook is needed when the program watches its link itself */
    }
    if (word != NULL) {
        return flo_hook_signal(word) > 0 && pid_file != NULL && pid_file[0] == '/'
                   ? 0
                   : flo_fail(err, FLO_E_CFG_RANGE,
                              "`signal`: HUP, USR1, USR2, INT or TERM, and "
                              "`pid_file` with an absolute path");
    }
    return unit != NULL ? 0 : check_path(config, "activate", err);
}

static int check_linked(const struct flo_config *config, struct flo_err *err)
{
    const char *url = flo_config_text(config, "soak_health");
    bool has_command = flo_config_texts_count(config, "soak_command") > 0;
    struct flo_health_address address;

    FLO_TRY(check_path(config, "check", err));
    FLO_TRY(check_hook(config, err));
    if (url != NULL && has_command) {
        return flo_fail(err, FLO_E_CFG_RANGE, "`soak_health` and `soak_command`: one of them");
    }
    if (url != NULL && !flo_health_address_read(url, &address)) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "`soak_health`: `%.80s` is no http://ADDRESS:PORT/PATH "
                        "with a number or localhost as its address",
                        url);
    }
    return !has_command ? 0 : check_path(config, "soak_command", err);
}

static int check_server(const struct flo_config *config, struct flo_err *err)
{
    FLO_TRY(check_path(config, "exec", err));
    if (!names_place(config)) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "neither `exec` nor `env` names {socket} or {port}: "
                        "where would it listen?");
    }
    return 0;
}

static int check(const struct flo_config *config, struct flo_err *err)
{
    static const char *const apis[] = {"openai", "http", "none", NULL};
    static const char *const networks[] = {"none", "host", NULL};
    const json_t *env = flo_config_tree(config, "env");
    const char *key;
    json_t *value;
    bool is_linked = false;

    FLO_TRY(check_choice(config, "api", apis, err));
    FLO_TRY(check_choice(config, "network", networks, err));
    is_linked = strcmp(flo_config_text(config, "api"), "none") == 0;
    FLO_TRY(check_kind(config, is_linked, err));
    FLO_TRY(is_linked ? check_linked(config, err) : check_server(config, err));
    if (!flo_config_is_set(config, "memory")) {
        return flo_fail(err, FLO_E_CFG_KEY, "`memory` is missing: the plan counts it");
    }
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        if (!json_is_string(value) || strchr(key, '=') != NULL || strlen(key) > 60) {
            return flo_fail(err, FLO_E_CFG_TYPE, "`env`: %.60s is no text", key);
        }
    }
    return 0;
}

static json_t *texts_json(const struct flo_config *config, const char *key)
{
    json_t *list = json_array();

    for (size_t i = 0; i < flo_config_texts_count(config, key); i++) {
        json_array_append_new(list, json_string(flo_config_texts_get(config, key, i)));
    }
    return list;
}

static json_t *number_json(const struct flo_config *config, const char *key)
{
    return json_integer((json_int_t)flo_config_u64(config, key));
}

static int make_json(const struct flo_config *config, const char *name, uint64_t bits, char **text,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = json_pack(
        "{s:s, s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:s, s:o, s:o, "
        "s:O}",
        "name", name, "exec",
        texts_json(config, strcmp(flo_config_text(config, "api"), "none") == 0 ? "check" : "exec"),
        "api", flo_config_text(config, "api"), "health", flo_config_text(config, "health"),
        "prefix", flo_config_text(config, "prefix"), "ready_ms", number_json(config, "ready"),
        "stop_ms", number_json(config, "stop"), "memory_bytes", number_json(config, "memory"),
        "sessions", number_json(config, "sessions"), "context", number_json(config, "context"),
        "abilities", (json_int_t)bits, "network", flo_config_text(config, "network"), "read",
        texts_json(config, "read"), "devices", texts_json(config, "devices"), "env",
        flo_config_tree(config, "env"));
    struct flo_buf out = {0};

    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a runtime");
    }
    json_object_set_new(json, "threads", json_integer(0));
    int rv = add_user(config, json, err);
    if (rv == 0) {
        flo_json_dump(json, &out);
        rv = out.failed ? flo_fail(err, FLO_E_MEMORY, "a runtime") : 0;
    }
    *text = out.data;
    return rv;
}

static int load(const char *path, const char *name, struct flo_device_runtime *out,
                struct flo_err *err)
{
    struct flo_config *config = NULL;
    uint64_t bits = 0;

    FLO_TRY(flo_config_load(path, rows, FLO_COUNT(rows), &config, err));
    int rv = check(config, err);
    if (rv == 0) {
        rv = flo_serve_abilities_read(config, &bits, err);
    }
    if (rv < 0) {
        flo_config_free(config);
        return flo_wrap(err, rv, "%s", path);
    }
    strcpy(out->name, name);
    out->config = config;
    out->is_linked = strcmp(flo_config_text(config, "api"), "none") == 0;
    out->memory_bytes = flo_config_u64(config, "memory");
    out->ready_ms = flo_config_u64(config, "ready");
    out->stop_ms = flo_config_u64(config, "stop");
    out->sessions = (uint32_t)flo_config_u64(config, "sessions");
    out->context = (uint32_t)flo_config_u64(config, "context");
    rv = make_json(config, name, bits, &out->json, err);
    if (rv < 0) {
        flo_runtimes_deinit(out);
        return flo_wrap(err, rv, "%s", path);
    }
    return 0;
}

static const char *folder_of(const struct flo_settings *settings)
{
    return flo_config_text(settings->config, "runtimes_dir");
}

int flo_runtimes_read(const struct flo_settings *settings, const char *name,
                      struct flo_device_runtime *out, struct flo_err *err)
{
    const char *folder = folder_of(settings);
    char path[4096];

    memset(out, 0, sizeof(*out));
    if (!flo_name_is_valid(name) || strlen(name) >= sizeof(out->name)) {
        return flo_fail(err, FLO_E_RUNTIME_ABSENT, "`%.64s` is no name of a runtime", name);
    }
    snprintf(path, sizeof(path), "%s/%s.yaml", folder, name);
    if (access(path, F_OK) < 0) {
        return flo_fail(err, FLO_E_RUNTIME_ABSENT, "there is no runtime `%s`: %s is not there",
                        name, path);
    }
    FLO_TRY(check_owner(folder, err));
    FLO_TRY(check_owner(path, err));
    return load(path, name, out, err);
}

/* Returns the number of bytes of all files of a variant. */
static uint64_t files_bytes(const struct flo_release *release,
                            const struct flo_release_variant *variant)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < variant->file_count; i++) {
        bytes += release->files[variant->files[i]].bytes;
    }
    return bytes;
}

int flo_runtimes_plan(struct flo_device_runtime *runtime, const struct flo_release *release,
                      const struct flo_release_variant *variant, struct flo_err *err)
{
    uint64_t percent = flo_config_u64(runtime->config, "memory_files");
    uint64_t bytes = files_bytes(release, variant);
    struct flo_buf out = {0};

    if (percent == 0) {
        return 0;
    }
    bytes = bytes < PLANNED_MAX ? bytes / 100 * percent : PLANNED_MAX;
    bytes = bytes > variant->memory_bytes ? bytes : variant->memory_bytes;
    runtime->memory_bytes += bytes < PLANNED_MAX ? bytes : PLANNED_MAX;
    FLO_CLEANUP(flo_json_cleanup) json_t *json = json_loads(runtime->json, 0, NULL);
    if (json == NULL || json_object_set_new(json, "memory_bytes",
                                            json_integer((json_int_t)runtime->memory_bytes)) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "a runtime");
    }
    flo_json_dump(json, &out);
    free(runtime->json);
    runtime->json = out.data;
    return out.failed ? flo_fail(err, FLO_E_MEMORY, "a runtime") : 0;
}

void flo_runtimes_deinit(struct flo_device_runtime *runtime)
{
    free(runtime->json);
    flo_config_free(runtime->config);
    memset(runtime, 0, sizeof(*runtime));
}

/* ---- all ---- */

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Lists the sorted names of the runtime files, at most FLO_RUNTIMES_MAX.
 * Returns their number. */
static size_t list_runtimes(const struct flo_settings *settings, char (*names)[32])
{
    const char *folder = folder_of(settings);
    DIR *dir = folder == NULL ? NULL : opendir(folder);
    const struct dirent *entry;
    size_t count = 0;

    while (dir != NULL && count < FLO_RUNTIMES_MAX && (entry = readdir(dir)) != NULL) {
        const char *end = strrchr(entry->d_name, '.');
        size_t chars = end == NULL ? 0 : (size_t)(end - entry->d_name);
        if (chars == 0 || chars >= sizeof(names[0]) || strcmp(end, ".yaml") != 0) {
            continue;
        }
        memcpy(names[count], entry->d_name, chars);
        names[count][chars] = '\0';
        count += flo_name_is_valid(names[count]);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    qsort(names, count, sizeof(names[0]), compare);
    return count;
}

/* Looks at the program of a runtime.  Returns whether it exists and is
 * executable. */
static bool look_at_program(const struct flo_device_runtime *runtime, struct stat *out)
{
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = json_loads(runtime->json, 0, NULL);
    const char *program = json_string_value(json_array_get(json_object_get(json, "exec"), 0));

    memset(out, 0, sizeof(*out));
    return program != NULL && access(program, X_OK) == 0 && stat(program, out) == 0;
}

void flo_runtimes_describe(const struct flo_settings *settings, struct flo_buf *out)
{
    char names[FLO_RUNTIMES_MAX][32];
    size_t count = list_runtimes(settings, names);

    for (size_t i = 0; i < count; i++) {
        struct flo_device_runtime runtime;
        struct stat program;
        if (flo_runtimes_read(settings, names[i], &runtime, NULL) == 0) {
            (void)look_at_program(&runtime, &program);
            flo_buf_printf(out, "%s=%s\n%lld %lld\n", names[i], runtime.json,
                           (long long)program.st_size, (long long)program.st_mtime);
            flo_runtimes_deinit(&runtime);
        }
    }
}

void flo_runtimes_clear(void)
{
    flo_scratch_clear();
}

json_t *flo_runtimes_json(const struct flo_settings *settings)
{
    char names[FLO_RUNTIMES_MAX][32];
    size_t count = list_runtimes(settings, names);
    json_t *list = json_array();

    for (size_t i = 0; i < count; i++) {
        struct flo_device_runtime runtime;
        struct flo_err err = {0};
        struct stat program;
        const char *state = "ready";
        int rv = flo_runtimes_read(settings, names[i], &runtime, &err);
        if (rv < 0) {
            state = "failed";
        } else if (!look_at_program(&runtime, &program)) {
            state = "absent";
            flo_fail(&err, FLO_E_RUNTIME_ABSENT, "its program is not there");
        }
        json_t *item =
            json_pack("{s:s, s:s, s:s}", "name", names[i], "state", state, "why", err.what);
        json_array_append_new(list, item);
        if (rv == 0) {
            json_object_set_new(item, "memory_bytes",
                                json_integer((json_int_t)runtime.memory_bytes));
            flo_runtimes_deinit(&runtime);
        }
    }
    return list;
}
