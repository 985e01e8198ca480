/* Bodies of REST requests: shape, then the readers behind it.
 *
 * Input: first byte chooses the endpoint, the rest is the body.  Each run is
 * rolled back, so all begin alike. */
#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"
#include "server-stub/core/request/request.h"
#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "tests/fuzz/fuzz_fleet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static const struct {
    const char *pattern;
    const char *query;
    const char *body;
} routes[] = {
#define FLO_REST_STREAM(...)
#define FLO_REST_ROUTE(method, pattern, access, flags, handler, what, query, body)                 \
    {pattern, query, body},
#include "server-stub/rest/routes.def"
};

static struct flo_controller *controller;

/* A body that passed the shape has no other names on its first level. */
static void check_names(const char *shape, const json_t *body)
{
    const char *name;
    json_t *value;
    char words[1024];

    json_object_foreach((json_t *)(uintptr_t)body, name, value)
    {
        bool is_known = false;
        snprintf(words, sizeof(words), "%s", shape);
        for (char *word = strtok(words, " |={}[]:!"); word != NULL;
             word = strtok(NULL, " |={}[]:!")) {
            is_known = is_known || strcmp(word, name) == 0;
        }
        must(is_known);
    }
}

static void start_rollout(json_t *body)
{
    struct flo_rollout_entry *entry;
    struct flo_err err = {0};

    if (flo_controller_begin(controller, &err) < 0) {
        return;
    }
    if (flo_rollouts_create(controller, body, &(struct flo_actor){"ops", "user:ops"}, true, &entry,
                            &err) == 0) {
        must(entry->core.phase_count > 0);
        flo_rollouts_entry_free(entry);
    }
    flo_controller_cancel(controller);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_telemetry_query query;
    struct flo_err err = {0};
    json_t *body = NULL;

    if (controller == NULL) {
        controller = open_fleet();
    }
    if (bytes < 1 || bytes > 65536) {
        return 0;
    }
    size_t route = data[0] % FLO_COUNT(routes);
    char *text = strndup((const char *)data + 1, bytes - 1);
    if (text != NULL) {
        flo_request_check_query(routes[route].query, text, text, &err);
        free(text);
    }
    if (flo_json_parse((const char *)data + 1, bytes - 1, 65536, &body, &err) < 0) {
        return 0;
    }
    if (json_is_object(body) && flo_request_check(routes[route].body, body, &err) == 0) {
        if (routes[route].body[0] != '@') { /* else its reader refuses */
            check_names(routes[route].body, body);
        }
        if (strcmp(routes[route].pattern, "/v1/telemetry/query") == 0) {
            flo_telemetry_query_parse(body, &query, &err);
        } else if (strcmp(routes[route].pattern, "/v1/rollouts") == 0) {
            start_rollout(body);
        }
    }
    json_decref(body);
    return 0;
}
