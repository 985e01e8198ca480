/* Configuration: reads agent.yaml by agent/config.def, on top of
 * base/host/config. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "agent/shell/device/device.h"
#include "base/host/crypto.h"
#include "base/host/httpd.h"

#define LIST_MAX 65536

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/config.def"
#undef FLO_CONFIG
};

static int add_ollama(struct flo_settings *settings, size_t i, struct flo_err *err)
{
    if (!flo_config_bool(settings->config, "ollama")) {
        return flo_fail(err, FLO_E_CFG_KEY, "ollama_listen: true contradicts ollama: false");
    }
    if (i == FLO_COUNT(settings->listen) - 1) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "ollama_listen: %zu addresses are in listen, at most "
                        "%zu next to it",
                        i, i - 1);
    }
    settings->listen[i] = FLO_SERVE_OLLAMA_AT;
    return 0;
}

static int set_paths(struct flo_settings *settings, struct flo_err *err)
{
    const struct flo_config *config = settings->config;
    const char *control = flo_config_text(config, "control_socket");
    size_t count = flo_config_texts_count(config, "listen");
    size_t i;

    if (control != NULL) {
        snprintf(settings->control, sizeof(settings->control), "%s", control);
    } else if (!flo_path_join(settings->control, sizeof(settings->control), settings->state_dir,
                              "control.sock")) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    for (i = 0; i < count && i < 8; i++) {
        settings->listen[i] = flo_config_texts_get(config, "listen", i);
    }
    count = flo_config_texts_count(config, "origins");
    for (size_t k = 0; k < count && k < 16; k++) {
        settings->origins[k] = flo_config_texts_get(config, "origins", k);
    }
    if (i == 0) {
        snprintf(settings->listen_standard, sizeof(settings->listen_standard), "unix:%s/api.sock",
                 settings->state_dir);
        settings->listen[i++] = settings->listen_standard;
    }
    if (flo_config_bool(config, "ollama_listen")) {
        return add_ollama(settings, i, err);
    }
    return 0;
}

static int set_token(struct flo_settings *settings, struct flo_err *err)
{
    const char *path = flo_config_text(settings->config, "token_file");
    size_t bytes;
    int rv;

    if (path == NULL) {
        return 0;
    }
    rv = flo_secret_read(path, 4096, &settings->token, &bytes, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "token_file");
    }
    settings->token[strcspn(settings->token, "\r\n")] = '\0';
    if (strlen(settings->token) < 16) {
        return flo_fail(err, FLO_E_CFG_RANGE, "token_file %s: a token has at least 16 characters",
                        path);
    }
    return 0;
}

static int set_log(const struct flo_settings *settings, struct flo_err *err)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    const char *word = flo_config_text(settings->config, "log");
    size_t i;

    if (word == NULL) {
        return 0;
    }
    for (i = 0; i < FLO_COUNT(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            flo_log_level_set((enum flo_log_level)i);
            return 0;
        }
    }
    return flo_fail(err, FLO_E_CFG_RANGE, "log: `%s` is none of error, warn, info, debug", word);
}

static int check_switch(const struct flo_settings *settings, const char *key, const char *yes,
                        struct flo_err *err)
{
    const char *word = flo_config_text(settings->config, key);

    if (strcmp(word, yes) == 0 || strcmp(word, "off") == 0) {
        return 0;
    }
    return flo_fail(err, FLO_E_CFG_RANGE, "%s: `%s` is neither %s nor off", key, word, yes);
}

/* Reads the conditions in `updates_wait`.  The list cannot name the low
 * battery, for which updates always wait. */
static int set_waits(struct flo_settings *settings, struct flo_err *err)
{
    const struct flo_config *config = settings->config;
    size_t count = flo_config_texts_count(config, "updates_wait");

    for (size_t i = 0; i < count; i++) {
        const char *word = flo_config_texts_get(config, "updates_wait", i);
        uint32_t wait = FLO_WAIT_BATTERY + 1;

        while (wait < FLO_WAIT_COUNT && strcmp(flo_wait_word(wait), word) != 0) {
            wait++;
        }
        if (wait == FLO_WAIT_COUNT) {
            return flo_fail(err, FLO_E_CFG_RANGE,
                            "updates_wait: `%.80s` is none of mains, cool, "
                            "idle, unmetered",
                            word);
        }
        settings->waits |= FLO_WAIT_BIT(wait);
    }
    if (flo_config_texts_count(config, "metered_command") > 0 &&
        flo_config_texts_get(config, "metered_command", 0)[0] != '/') {
        return flo_fail(err, FLO_E_CFG_RANGE, "metered_command: `%.200s` is no absolute path",
                        flo_config_texts_get(config, "metered_command", 0));
    }
    return 0;
}

static int set_sandbox(struct flo_settings *settings, struct flo_err *err)
{
    const char *word = flo_config_text(settings->config, "sandbox");

    if (flo_sandbox_mode_parse(word, &settings->sandbox)) {
        return 0;
    }
    return flo_fail(err, FLO_E_CFG_RANGE, "sandbox: `%s` is neither required nor preferred", word);
}

int flo_settings_folder(const char *path, char out[4096], struct flo_err *err)
{
    struct flo_config *config = NULL;
    int rv =
        flo_config_load(path != NULL ? path : FLO_CONFIG_PATH, rows, FLO_COUNT(rows), &config, err);
    const char *text = rv < 0 ? NULL : flo_config_text(config, "state_dir");

    if (rv == 0 && (text == NULL || strlen(text) >= 4096)) {
        rv = flo_fail(err, FLO_E_CFG_KEY, "%s: `state_dir` is missing",
                      path != NULL ? path : FLO_CONFIG_PATH);
    }
    if (rv == 0) {
        snprintf(out, 4096, "%s", text);
    }
    flo_config_free(config);
    return rv;
}

static int take_door(const struct flo_config *config, const char *state_dir,
                     struct flo_settings_door *out, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, "listen");
    const char *token = flo_config_text(config, "token_file");
    const char *address = flo_config_texts_get(config, "listen", 0);

    for (size_t i = 0; i < count; i++) {
        const char *one = flo_config_texts_get(config, "listen", i);
        if (strncmp(one, "unix:", 5) == 0) {
            address = one;
            break;
        }
    }
    if (count == 0 && state_dir == NULL) {
        return flo_fail(err, FLO_E_CFG_KEY, "neither `listen` nor `state_dir`");
    }
    if (count > 0) {
        snprintf(out->address, sizeof(out->address), "%.4096s", address);
    } else {
        snprintf(out->address, sizeof(out->address), "unix:%.4096s/api.sock", state_dir);
    }
    snprintf(out->token_file, sizeof(out->token_file), "%s", token != NULL ? token : "");
    return 0;
}

int flo_settings_find_door(const char *path, const char *state_dir, struct flo_settings_door *out,
                           struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
    bool is_alone = path == NULL && state_dir != NULL;

    memset(out, 0, sizeof(*out));
    FLO_TRY(is_alone ? flo_config_parse("", 0, "no file", rows, FLO_COUNT(rows), &config, err)
                     : flo_config_load(path != NULL ? path : FLO_CONFIG_PATH, rows, FLO_COUNT(rows),
                                       &config, err));
    return take_door(config, state_dir != NULL ? state_dir : flo_config_text(config, "state_dir"),
                     out, err);
}

static int check_url(const char *key, const char *url, const struct flo_url_kind *kind,
                     struct flo_err *err)
{
    int rv = url == NULL ? 0 : flo_url_check(url, kind, err);

    return rv < 0 ? flo_wrap(err, rv, "%s", key) : 0;
}

/* Checks the URLs of the configuration in the way that a connection checks
 * them. */
static int check_urls(struct flo_settings *settings, struct flo_err *err)
{
    const struct flo_config *config = settings->config;

    FLO_TRY(check_url("controller", flo_config_text(config, "controller"), &flo_url_http, err));
    FLO_TRY(check_url("broker", flo_config_text(config, "broker"), &flo_url_mqtt, err));
    for (size_t i = 0; i < flo_config_texts_count(config, "mirrors"); i++) {
        FLO_TRY(
            check_url("mirrors", flo_config_texts_get(config, "mirrors", i), &flo_url_http, err));
    }
    return 0;
}

/* Tells whether the address is HOST:PORT.  Port 0 stands for any free port. */
static bool is_host_port(const char *address)
{
    const char *port = strrchr(address, ':');

    return port != NULL && port != address && port[1] != '\0' &&
           strspn(port + 1, "0123456789") == strlen(port + 1) && strlen(port + 1) <= 5 &&
           strtoul(port + 1, NULL, 10) <= 65535;
}

/* Checks the address of the local API: HOST:PORT or unix:PATH.  A port needs a
 * token, because other users of the machine can reach it. */
static int check_listen(struct flo_settings *settings, struct flo_err *err)
{
    for (size_t i = 0; settings->listen[i] != NULL; i++) {
        const char *address = settings->listen[i];

        if (strncmp(address, "unix:", 5) == 0) {
            continue;
        }
        if (!is_host_port(address)) {
            flo_fail(err, FLO_E_CFG_RANGE,
                     "listen: `%s` is neither HOST:PORT (0 to 65535) nor "
                     "unix:PATH",
                     address);
            return flo_err_fix(err, "write 127.0.0.1:8081, or unix:/run/x");
        }
        if (settings->token == NULL) {
            flo_fail(err, FLO_E_CFG_KEY, "listen: %s needs a token", address);
            flo_err_why(err, "whoever reaches a TCP port could use the model");
            return flo_err_fix(err, "set token_file, or listen on unix:PATH");
        }
    }
    return 0;
}

static int check_batch(const struct flo_settings *settings, struct flo_err *err)
{
    const char *folder = flo_config_text(settings->config, "batch_folder");

    return folder == NULL || folder[0] == '/'
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "batch_folder: `%.200s` is no absolute path",
                          folder);
}

static int check_origins(const struct flo_settings *settings, struct flo_err *err)
{
    for (size_t i = 0; settings->origins[i] != NULL; i++) {
        if (!flo_httpd_origin_is_valid(settings->origins[i])) {
            flo_fail(err, FLO_E_CFG_RANGE, "origins: `%.80s` is no origin of web pages",
                     settings->origins[i]);
            return flo_err_fix(err, "write https://app.example, or "
                                    "http://localhost:5173: no path behind it");
        }
    }
    return 0;
}

static int check_neighbour(const char *address, struct flo_err *err)
{
    char url[300];
    int chars = snprintf(url, sizeof(url), "https://%s", address);
    int rv = chars >= (int)sizeof(url) || !is_host_port(address)
                 ? flo_fail(err, FLO_E_CFG_RANGE, "`%.80s` is no HOST:PORT", address)
                 : flo_url_check(url, &flo_url_http, err);

    return rv < 0 ? flo_wrap(err, rv, "neighbours_at") : 0;
}

static int check_neighbours(const struct flo_settings *settings, struct flo_err *err)
{
    const struct flo_config *config = settings->config;
    const char *word = flo_config_text(config, "neighbours");
    const char *listen = flo_config_text(config, "neighbours_listen");
    const char *site = flo_config_text(config, "site_listen");
    size_t count = flo_config_texts_count(config, "neighbours_at");
    int rv = 0;

    if (strcmp(word, "off") != 0 && strcmp(word, "use") != 0 && strcmp(word, "serve") != 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "neighbours: `%s` is none of off, use, serve", word);
    }
    if (strcmp(word, "serve") == 0 && listen == NULL) {
        flo_fail(err, FLO_E_CFG_KEY, "neighbours: `serve` needs neighbours_listen");
        return flo_err_fix(err, "write neighbours_listen: HOST:PORT, with an "
                                "address of the local network");
    }
    if (listen != NULL && !is_host_port(listen)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "neighbours_listen: `%.80s` is no HOST:PORT", listen);
    }
    if (site != NULL && !is_host_port(site)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "site_listen: `%.80s` is no HOST:PORT", site);
    }
    for (size_t i = 0; rv == 0 && i < count; i++) {
        rv = check_neighbour(flo_config_texts_get(config, "neighbours_at", i), err);
    }
    return rv;
}

/* Checks who may write a file that names endpoints: it says where prompts go, so
 * root or the agent's user owns it alone. */
static int check_endpoints(const struct flo_settings *settings, const char *path,
                           struct flo_err *err)
{
    struct stat st;

    if (path == NULL || settings->rules.n_endpoints == 0) {
        return 0;
    }
    if (stat(path, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "%s: owner %u, mode %04o; its `endpoints` say where prompts go, so only root or "
                 "the agent's user may write it",
                 path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
        return flo_err_fix(err, "chown root %s && chmod go-w %s", path, path);
    }
    return 0;
}

/* Reads what the keys of the open file say. */
static int read_all(const char *path, const char *state_dir, struct flo_settings *out,
                    struct flo_err *err)
{
    const char *text = state_dir != NULL ? state_dir : flo_config_text(out->config, "state_dir");

    if (text == NULL) {
        flo_fail(err, FLO_E_CFG_KEY, "%s: `state_dir` is missing",
                 path == NULL ? "command line" : path);
        return flo_err_fix(err, "give --state-dir, or --config with the key");
    }
    snprintf(out->state_dir, sizeof(out->state_dir), "%s", text);
    FLO_TRY(set_paths(out, err));
    /* token_file is read next, with the rights of the owner of state_dir */
    FLO_TRY(flo_process_as_owner(out->state_dir, err));
    FLO_TRY(set_token(out, err));
    FLO_TRY(flo_specs_read(out, err));
    FLO_TRY(check_endpoints(out, path, err));
    FLO_TRY(flo_pipelines_read(out, err));
    FLO_TRY(set_log(out, err));
    FLO_TRY(check_switch(out, "packed_weights", "auto", err));
    FLO_TRY(check_switch(out, "prefix_cache", "on", err));
    FLO_TRY(set_waits(out, err));
    FLO_TRY(set_sandbox(out, err));
    FLO_TRY(check_urls(out, err));
    FLO_TRY(check_listen(out, err));
    FLO_TRY(check_origins(out, err));
    FLO_TRY(check_batch(out, err));
    return check_neighbours(out, err);
}

int flo_settings_load(const char *path, const char *state_dir, struct flo_settings *out,
                      struct flo_err *err)
{
    int rv;

    memset(out, 0, sizeof(*out));
    if (path == NULL && state_dir == NULL) {
        path = FLO_CONFIG_PATH;
    }
    rv = path == NULL ? flo_config_parse("", 0, "no file", rows, FLO_COUNT(rows), &out->config, err)
                      : flo_config_load(path, rows, FLO_COUNT(rows), &out->config, err);
    if (rv < 0) {
        if (path != NULL && strcmp(path, FLO_CONFIG_PATH) == 0) {
            flo_err_fix(err, "write it, or give --config FILE or --state-dir "
                             "DIR");
        }
        return rv;
    }
    rv = read_all(path, state_dir, out, err);
    if (rv < 0) {
        flo_settings_deinit(out);
    }
    return rv;
}

void flo_settings_deinit(struct flo_settings *settings)
{
    if (settings->token != NULL) {
        flo_secret_wipe(settings->token, strlen(settings->token));
        free(settings->token);
    }
    flo_api_rules_deinit(&settings->rules);
    flo_config_free(settings->config);
    memset(settings, 0, sizeof(*settings));
}

uint64_t flo_shell_hang_part_ms(const struct flo_shell *shell, uint64_t parts, uint64_t least_ms)
{
    uint64_t part_ms = flo_config_u64(shell->settings.config, "hang") / parts;

    return part_ms > least_ms ? part_ms : least_ms;
}
