/* Settings: parses the agent's JSON about the runtime, which the device's
 * runtimes.d configures. */
#include "engine/proxy/proxy.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/runtime.h>

static int bad(struct flo_err *err, const char *field, const char *what)
{
    return flo_fail(err, FLO_E_RUNTIME_START, "its runtime: `%s` %s", field, what);
}

static const struct flo_tree_node *field_of(const struct flo_runtime *runtime, const char *key)
{
    const struct flo_tree_node *node = runtime->tree.nodes[0].first;

    while (node != NULL &&
           (node->key_bytes != strlen(key) || memcmp(node->key, key, node->key_bytes) != 0)) {
        node = node->next;
    }
    return node;
}

static int read_text(const struct flo_runtime *runtime, const char *key, const char *standard,
                     const char **out, struct flo_err *err)
{
    const struct flo_tree_node *node = field_of(runtime, key);

    *out = node == NULL ? standard : node->text;
    return *out != NULL && (node == NULL ||
                            (node->kind == FLO_TREE_STRING && strlen(node->text) == node->bytes))
               ? 0
               : bad(err, key, "is no text");
}

static int read_number(const struct flo_runtime *runtime, const char *key, uint64_t least,
                       uint64_t most, uint64_t *out, struct flo_err *err)
{
    const struct flo_tree_node *node = field_of(runtime, key);
    int64_t value = 0;

    if (node == NULL || !flo_tree_whole(node, (int64_t)least, (int64_t)most, &value)) {
        return bad(err, key, "is no number within its limits");
    }
    *out = (uint64_t)value;
    return 0;
}

static int read_list(const struct flo_runtime *runtime, const char *key, size_t most,
                     const char **out, struct flo_err *err)
{
    const struct flo_tree_node *list = field_of(runtime, key);
    const struct flo_tree_node *node;
    size_t count = 0;

    if (list != NULL && list->kind != FLO_TREE_ARRAY) {
        return bad(err, key, "is no list");
    }
    for (node = flo_tree_first(list); node != NULL; node = node->next) {
        if (node->kind != FLO_TREE_STRING || count == most || strlen(node->text) != node->bytes) {
            return bad(err, key, "has too many texts, or something else");
        }
        out[count++] = node->text;
    }
    out[count] = NULL;
    return 0;
}

static int read_env(struct flo_runtime *runtime, struct flo_err *err)
{
    const struct flo_tree_node *map = field_of(runtime, "env");
    const struct flo_tree_node *node;

    for (node = flo_tree_first(map); node != NULL; node = node->next) {
        if (node->kind != FLO_TREE_STRING || node->key_bytes == 0 ||
            strchr(node->key, '=') != NULL || runtime->n_env == FLO_RUNTIME_ENV_MAX) {
            return bad(err, "env", "has a variable that cannot be set");
        }
        runtime->env[runtime->n_env][0] = node->key;
        runtime->env[runtime->n_env++][1] = node->text;
    }
    return 0;
}

/* Tells whether the text can be the path in an HTTP request. */
static bool is_path(const char *text)
{
    return text[0] == '/' && text[strcspn(text, " \r\n")] == '\0';
}

static int read_all(struct flo_runtime *out, struct flo_err *err)
{
    const char *api = "";
    const char *network = "";
    uint64_t sessions = 0, context = 0, threads = 0, uid = 0, gid = 0;

    FLO_TRY(read_text(out, "name", NULL, &out->name, err));
    FLO_TRY(read_text(out, "api", NULL, &api, err));
    FLO_TRY(read_text(out, "health", "/health", &out->health, err));
    FLO_TRY(read_text(out, "prefix", "/v1", &out->prefix, err));
    FLO_TRY(read_text(out, "model", "model", &out->model, err));
    FLO_TRY(read_text(out, "network", "none", &network, err));
    FLO_TRY(read_list(out, "exec", FLO_RUNTIME_ARGS_MAX, out->exec, err));
    FLO_TRY(read_list(out, "read", FLO_RUNTIME_PATHS_MAX, out->read, err));
    FLO_TRY(read_list(out, "devices", FLO_RUNTIME_PATHS_MAX, out->devices, err));
    FLO_TRY(read_env(out, err));
    FLO_TRY(read_number(out, "ready_ms", 1, 900000, &out->ready_ms, err));
    FLO_TRY(read_number(out, "stop_ms", 0, 60000, &out->stop_ms, err));
    FLO_TRY(read_number(out, "memory_bytes", 1, 1ull << 50, &out->memory_bytes, err));
    FLO_TRY(read_number(out, "sessions", 1, FLO_RUNTIME_SESSIONS_MAX, &sessions, err));
    FLO_TRY(read_number(out, "context", 1, 1u << 24, &context, err));
    FLO_TRY(read_number(out, "threads", 0, 1024, &threads, err));
    FLO_TRY(read_number(out, "abilities", 0, FLO_ABILITIES_ALL, &out->abilities, err));
    out->has_user = field_of(out, "uid") != NULL;
    if (out->has_user) {
        FLO_TRY(read_number(out, "uid", 1, UINT32_MAX - 1, &uid, err));
        FLO_TRY(read_number(out, "gid", 1, UINT32_MAX - 1, &gid, err));
    }
    out->uid = (uint32_t)uid;
    out->gid = (uint32_t)gid;
    out->sessions = (uint32_t)sessions;
    out->context = (uint32_t)context;
    out->threads = (uint32_t)threads;
    out->has_network = strcmp(network, "host") == 0;
    out->api = strcmp(api, "http") == 0   ? FLO_RUNTIME_HTTP
               : strcmp(api, "none") == 0 ? FLO_RUNTIME_NONE
                                          : FLO_RUNTIME_OPENAI;
    out->abilities &= ~(uint64_t)FLO_ABILITY_RERANK; /* no runtime can compute scores yet */
    if (out->api != FLO_RUNTIME_OPENAI) {
        /* other APIs get only texts, so images are not supported */
        out->abilities &= ~(uint64_t)FLO_ABILITY_IMAGES;
    }
    if (out->exec[0] == NULL || out->exec[0][0] != '/') {
        return bad(err, "exec", "begins with no absolute path");
    }
    if (!is_path(out->health)) {
        return bad(err, "health", "is no path");
    }
    if (out->prefix[0] != '\0' && !is_path(out->prefix)) {
        return bad(err, "prefix", "is no path");
    }
    return strcmp(api, "openai") == 0 || out->api != FLO_RUNTIME_OPENAI
               ? 0
               : bad(err, "api", "is none of openai, http, none");
}

int flo_runtime_read(struct flo_runtime *runtime, struct flo_wire_text json, struct flo_err *err)
{
    struct flo_err why = {0};

    *runtime = (struct flo_runtime){0};
    if (json.bytes == 0 || json.bytes > FLO_RUNTIME_JSON_MAX ||
        (runtime->text = malloc(json.bytes + 1)) == NULL) {
        return flo_fail(err, FLO_E_RUNTIME_START,
                        "its runtime: %zu bytes of configuration, 1 to %u fit", json.bytes,
                        FLO_RUNTIME_JSON_MAX);
    }
    memcpy(runtime->text, json.data, json.bytes);
    runtime->text[json.bytes] = '\0';
    if (flo_tree_read(&runtime->tree, runtime->text, json.bytes, 4096, 0, NULL, &why) < 0 ||
        runtime->tree.count == 0 || runtime->tree.has_odd ||
        runtime->tree.nodes[0].kind != FLO_TREE_OBJECT) {
        return flo_fail(err, FLO_E_RUNTIME_START, "its runtime: no JSON object");
    }
    return read_all(runtime, err);
}

void flo_runtime_deinit(struct flo_runtime *runtime)
{
    flo_tree_deinit(&runtime->tree);
    free(runtime->text);
    *runtime = (struct flo_runtime){0};
}
