/* Endpoints: reads the endpoints of agent.yaml; see rules.h.
 *
 * An endpoint becomes a runtime's configuration: the proxy starts
 * flotilla-relay, which alone has the credential and the network. */
#include "agent/serve/rules/rules.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/cfg.h>

#include "base/sandbox.h"

#define RELAY "flotilla-relay"
#define MEMORY_BYTES (64u << 20)
/* largest number of paths in a runtime's configuration; the proxy allows no
 * more */
#define RUNTIME_PATHS_MAX 16
#define MONEY_DIGITS 6
#define MONEY_MAX (UINT64_C(1) << 50)

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/endpoints.def"
#undef FLO_CONFIG
};

/* ---- values ---- */

bool flo_money_parse(const char *text, uint64_t *out)
{
    uint64_t value = 0;
    /* places: number of digits after the point; -1: no point was read yet */
    int digits = 0, places = -1;

    for (; *text != '\0'; text++) {
        if (*text == '.' && places < 0 && digits > 0) {
            places = 0;
            continue;
        }
        if (*text < '0' || *text > '9' || places == MONEY_DIGITS || value > MONEY_MAX) {
            return false;
        }
        value = value * 10 + (uint64_t)(*text - '0');
        digits++;
        places += places >= 0;
    }
    for (int i = places < 0 ? 0 : places; i < MONEY_DIGITS; i++) {
        if (value > MONEY_MAX) {
            return false;
        }
        value *= 10;
    }
    *out = value;
    return digits > 0 && places != 0 && value <= MONEY_MAX;
}

static int read_money(const struct flo_config *config, const char *key, const char *where,
                      uint64_t *out, struct flo_err *err)
{
    const char *text = flo_config_text(config, key);

    return flo_money_parse(text, out)
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE,
                          "%s.%s: `%s` is no amount such as \"2.50\", with at most %d digits "
                          "after the point",
                          where, key, text, MONEY_DIGITS);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* Returns whether a URL's host is loopback: an exact name or address, and
 * nothing that continues it. */
static bool is_loopback(const char *host)
{
    static const char *const names[] = {"127.0.0.1", "localhost", "[::1]"};

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        size_t chars = strlen(names[i]);
        if (strncmp(host, names[i], chars) == 0 && strchr(":/", host[chars]) != NULL) {
            return true;
        }
    }
    return false;
}

static int check_url(const char *url, const char *where, struct flo_err *err)
{
    bool is_plain = begins(url, "http://");
    const char *host = strstr(url, "://");

    if ((!is_plain && !begins(url, "https://")) || strpbrk(url, " \"\\?#@") != NULL ||
        host[3] == '\0' || host[3] == '/') {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "%s.url: `%.200s` is no https://HOST[:PORT][/PATH] without a user, a "
                        "query or a fragment",
                        where, url);
    }
    if (is_plain && !is_loopback(host + 3)) {
        flo_fail(err, FLO_E_CFG_RANGE, "%s.url: prompts would travel unencrypted to %.200s", where,
                 host + 3);
        return flo_err_fix(err, "write https://, or a loopback address");
    }
    return 0;
}

/* ---- the relay's command line ---- */

struct making {
    json_t *exec, *read, *env;
};

static void add_word(struct making *making, const char *word)
{
    json_array_append_new(making->exec, json_string(word));
}

/* Adds an option with a file.  The relay may read the file's folder, because a
 * file that is replaced is another file for its sandbox. */
static void add_file(struct making *making, const char *option, const char *path)
{
    const char *end;

    if (path == NULL) {
        return;
    }
    end = strrchr(path, '/');
    add_word(making, option);
    add_word(making, path);
    json_array_append_new(making->read, end == NULL || end == path
                                            ? json_string(path)
                                            : json_stringn(path, (size_t)(end - path)));
}

/* Adds the proxy of the agent's environment, by which servers outside are
 * reached.  A device of the site is asked directly. */
static void add_proxy(struct making *making)
{
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"};

    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        const char *value = getenv(names[i]);
        if (value != NULL) {
            json_object_set_new(making->env, names[i], json_string(value));
        }
    }
}

/* Adds the files that TLS and name lookup need, as far as this machine has them.
 * A runtime may read the system's libraries in any case. */
static void add_network(struct making *making)
{
    struct flo_sandbox_path paths[FLO_SANDBOX_NETWORK_PATHS];

    flo_sandbox_network_paths(paths);
    for (size_t i = 0; i < FLO_COUNT(paths); i++) {
        const char *path = paths[i].path;
        bool is_system = path == NULL || begins(path, "/usr") || begins(path, "/lib");
        if (!is_system && access(path, R_OK) == 0 &&
            json_array_size(making->read) < RUNTIME_PATHS_MAX) {
            json_array_append_new(making->read, json_string(path));
        }
    }
}

static void add_files(struct making *making, const struct flo_config *config,
                      const struct flo_api_rules_maps *maps)
{
    if (flo_config_bool(config, "device")) {
        add_word(making, "--device");
        add_file(making, "--ca-file", maps->ca_file);
        add_file(making, "--cert-file", maps->cert_file);
        add_file(making, "--cert-key-file", maps->key_file);
        return;
    }
    add_file(making, "--key-file", flo_config_text(config, "key_file"));
    add_file(making, "--ca-file", flo_config_text(config, "ca_file"));
}

static int make_runtime(const struct flo_config *config, const struct flo_api_rules_maps *maps,
                        uint64_t abilities, struct flo_serve_endpoint *out, struct flo_err *err)
{
    struct making making = {json_array(), json_array(), json_object()};
    char number[24], program[4096];
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    if (!flo_process_has_sibling(RELAY, program, sizeof(program))) {
        json_decref(making.exec);
        json_decref(making.read);
        json_decref(making.env);
        flo_fail(err, FLO_E_NOT_BUILT, "endpoints.%s: %s is not installed", out->name, RELAY);
        return flo_err_fix(err, "install the program, or leave `endpoints` out");
    }
    add_word(&making, program);
    add_word(&making, "--listen");
    add_word(&making, "unix:{socket}");
    add_word(&making, "--to");
    add_word(&making, flo_config_text(config, "url"));
    add_files(&making, config, maps);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)flo_config_u64(config, "timeout"));
    add_word(&making, "--timeout");
    add_word(&making, number);
    snprintf(number, sizeof(number), "%u", out->sessions);
    add_word(&making, "--sessions");
    add_word(&making, number);
    add_word(&making, "--sandbox");
    add_word(&making, maps->sandbox);
    *strrchr(program, '/') = '\0';
    json_array_append_new(making.read, json_string(program));
    add_network(&making);
    if (out->kind == FLO_TARGET_ENDPOINT) {
        add_proxy(&making);
    }
    FLO_CLEANUP(flo_json_cleanup)
    json_t *json = json_pack(
        "{s:s, s:o, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:i, s:I, s:s, s:o, s:[], s:o}",
        "name", "relay", "exec", making.exec, "api", "openai", "health", "/health", "prefix", "/v1",
        "model", out->model, "ready_ms", FLO_ENDPOINT_READY_MS, "stop_ms", FLO_ENDPOINT_STOP_MS,
        "memory_bytes", (json_int_t)MEMORY_BYTES, "sessions", (json_int_t)out->sessions, "context",
        (json_int_t)out->context, "threads", 0, "abilities", (json_int_t)abilities, "network",
        "host", "read", making.read, "devices", "env", making.env);
    flo_json_dump(json, &text);
    if (json == NULL || text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "an endpoint");
    }
    if (text.bytes >= sizeof(out->runtime)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "endpoints.%s: its paths are too long", out->name);
    }
    memcpy(out->runtime, text.data, text.bytes);
    return 0;
}

/* ---- an endpoint ---- */

static int check_device(const struct flo_config *config, const struct flo_api_rules_maps *maps,
                        const char *where, struct flo_err *err)
{
    if (!flo_config_bool(config, "device")) {
        return 0;
    }
    if (maps->cert_file == NULL) {
        return flo_fail(err, FLO_E_CFG_RANGE,
                        "%s.device: only an enrolled device may ask another one", where);
    }
    if (flo_config_is_set(config, "key_file") || flo_config_is_set(config, "ca_file")) {
        return flo_fail(err, FLO_E_CFG_KEY,
                        "%s: `device: true` has the fleet's certificates, and neither `key_file` "
                        "nor `ca_file`",
                        where);
    }
    return 0;
}

static int read_endpoint(const json_t *map, const struct flo_api_rules_maps *maps,
                         struct flo_serve_endpoint *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;
    char where[FLO_NAME_MAX + 16];
    uint64_t abilities = 0;

    snprintf(where, sizeof(where), "endpoints.%s", out->name);
    FLO_TRY(flo_config_map(map, where, rows, FLO_COUNT(rows), &config, err));
    const char *url = flo_config_text(config, "url"), *model = flo_config_text(config, "model");
    if (url == NULL || model == NULL) {
        return flo_fail(err, FLO_E_CFG_KEY, "%s: missing key `%s`", where,
                        url == NULL ? "url" : "model");
    }
    FLO_TRY(check_url(url, where, err));
    FLO_TRY(check_device(config, maps, where, err));
    int rv = flo_serve_abilities_read(config, &abilities, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", where);
    }
    FLO_TRY(read_money(config, "price_in", where, &out->price_in, err));
    FLO_TRY(read_money(config, "price_out", where, &out->price_out, err));
    if (strlen(model) >= sizeof(out->model)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s.model: more than %zu bytes", where,
                        sizeof(out->model) - 1);
    }
    strcpy(out->model, model);
    out->kind = flo_config_bool(config, "device") ? FLO_TARGET_DEVICE : FLO_TARGET_ENDPOINT;
    out->context = (uint32_t)flo_config_u64(config, "context");
    out->sessions = (uint32_t)flo_config_u64(config, "sessions");
    out->answer_tokens_max = (uint32_t)flo_config_u64(config, "answer_tokens_max");
    return make_runtime(config, maps, abilities, out, err);
}

int flo_endpoint_rules_read(const struct flo_api_rules_maps *maps, struct flo_api_rules *out,
                            struct flo_err *err)
{
    size_t count = json_object_size(maps->endpoints);
    const char *name;
    json_t *value;

    if (count == 0) {
        return 0;
    }
    out->endpoints = calloc(count, sizeof(*out->endpoints));
    if (out->endpoints == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for endpoints");
    }
    json_object_foreach((json_t *)(uintptr_t)maps->endpoints, name, value)
    {
        struct flo_serve_endpoint *endpoint = &out->endpoints[out->n_endpoints];
        if (!flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "endpoints: `%.64s` is no name", name);
        }
        strcpy(endpoint->name, name);
        FLO_TRY(read_endpoint(value, maps, endpoint, err));
        out->n_endpoints++;
    }
    return 0;
}
