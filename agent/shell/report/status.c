/* The status of a device, for an operator. */
#include <stdlib.h>
#include <unistd.h>

#include "agent/shell/report/report.h"

static json_t *slot_status(struct flo_shell *shell,
                           const struct flo_release_ref *ref, const char *state)
{
    struct flo_release *release;
    uint64_t bytes = 0;
    uint32_t i;

    if (flo_digest_is_zero(&ref->digest)) {
        return json_null();
    }
    release = calloc(1, sizeof(*release));
    if (release != NULL && flo_store_release_load(shell->store, &ref->digest,
                                                  release, NULL) == 0) {
        for (i = 0; i < release->file_count; i++) {
            bytes += release->files[i].bytes;
        }
        flo_release_deinit(release);
    }
    free(release);
    return json_pack("{s:s, s:s, s:s, s:I}", "model", ref->model, "version",
                     ref->version, "state", state, "bytes", (json_int_t)bytes);
}

static bool is_served(const struct flo_agent *agent,
                      const struct flo_release_ref *release)
{
    return agent->models[0].live >= 0 &&
           flo_digest_equal(
               &agent->models[0].engines[agent->models[0].live].release.digest,
               &release->digest);
}

json_t *flo_control_status(struct flo_shell *shell)
{
    const struct flo_agent *agent = &shell->agent;
    struct flo_serve_status serving = {0};
    const char *candidate =
        agent->models[0].has_execution
            ? flo_execution_word(agent->models[0].execution.state)
            : "staged";
    json_t *json;

    if (shell->serve != NULL) {
        flo_serve_get_status(shell->serve, 0, &serving);
    }
    json = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:i,"
        " s:{s:o, s:o, s:o}, s:I, s:I, s:I}",
        "v", 1, "agent", FLO_VERSION, "device", shell->identity.device, "name",
        shell->identity.name, "fleet", shell->identity.fleet, "controller",
        shell->identity.controller, "enrolled", (int)shell->identity.is_there,
        "online", (int)flo_mqtt_is_connected(shell->mqtt), "frozen",
        (int)agent->is_frozen, "pid", (int)getpid(), "slots", "current",
        slot_status(shell, &agent->models[0].slots.current,
                    is_served(agent, &agent->models[0].slots.current)
                        ? "serving"
                    : shell->serve == NULL       ? "stopped"
                    : agent->models[0].live >= 0 ? "kept"
                                                 : "loading"),
        "previous",
        slot_status(shell, &agent->models[0].slots.previous,
                    is_served(agent, &agent->models[0].slots.previous)
                        ? "serving"
                        : "kept"),
        "candidate",
        slot_status(shell, &agent->models[0].slots.candidate, candidate),
        "engine_rss_bytes",
        (json_int_t)(serving.is_live ? serving.roles[serving.live].rss_bytes
                                     : 0),
        "queue", (json_int_t)serving.held, "outbox_corrupt",
        (json_int_t)(shell->db == NULL ? 0 : flo_outbox_db_corrupt(shell->db)));
    if (json != NULL && agent->models[0].has_execution) {
        json_object_set_new(json, "execution",
                            flo_report_execution(&agent->models[0].execution));
        json_object_set_new(json, "reason",
                            json_string(agent->models[0].execution.reason));
    }
    return json;
}
