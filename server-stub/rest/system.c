/* REST: health, version, errors. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/clock.h>

#include "server-stub/mqtt/batches.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/artifacts/depot.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/proofs/proofs.h"

/* Returns "ok", or the error by which a client got no place in the last minute. */
static const char *listeners_state(const struct flo_rest *rest)
{
    struct flo_err full = {0};
    uint64_t refused;

    return flo_httpd_room(rest->httpd, &refused, &full) == 0 ? "ok" : flo_error_id(full.code);
}

int flo_rest_healthz(struct flo_rest_call *call, struct flo_err *err)
{
    (void)err;
    call->out = json_pack("{s:s,s:s}", "status", "ok", "listeners", listeners_state(call->rest));
    return 0;
}

static const char *blobs_state(const struct flo_controller *controller)
{
    return controller->depot == NULL                 ? "here"
           : flo_depot_is_failing(controller->depot) ? "failing"
           : !flo_depot_has_all(controller->depot)   ? "bringing"
                                                     : "ok";
}

int flo_rest_readyz(struct flo_rest_call *call, struct flo_err *err)
{
    struct flo_controller *controller = call->controller;
    struct flo_lane_counters lane;
    struct flo_fleet_device_count count;
    struct flo_err failed = {0};
    struct flo_rest *rest = call->rest;
    uint64_t devices_max = flo_broker_devices_max(rest->broker);
    bool is_up = flo_batches_count(rest->batches).is_connected;

    FLO_TRY(flo_fleet_device_counts(controller->store, &count, err));
    flo_lane_count(controller->lane, &lane);
    /* The controller is not ready before the telemetry thread is connected
     * once, so that no telemetry is lost at the start.  Later a lost connection
     * of that thread does not make it "not ready". */
    rest->has_lane = rest->has_lane || lane.listens;
    bool is_full = devices_max != 0 && count.online >= devices_max;
    flo_controller_takes_changes(controller, &failed);
    bool is_leapt = flo_clock_is_leapt(controller);
    const char *state = failed.code != 0 || is_leapt ? "failing"
                        : !is_up || !rest->has_lane  ? "waiting"
                        : is_full                    ? "full"
                                                     : "ready";
    call->status = strcmp(state, "ready") == 0 ? 200 : 503;
    call->out = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:b,s:b,s:I,s:I,s:I,s:I,s:{s:s,s:I,s:I}}", "status", state, "clock",
        is_leapt ? flo_error_id(FLO_E_CLOCK_LEAPT) : "ok", "blobs", blobs_state(controller),
        "database", failed.code != 0 ? flo_error_id(failed.code) : "ok", "listeners",
        listeners_state(rest), "audit_ok", (int)!flo_audit_is_broken(controller->audit), "broker",
        (int)is_up, "devices_online", (json_int_t)count.online, "devices_max",
        (json_int_t)devices_max, "devices_unproved",
        (json_int_t)flo_proofs_missing(controller->proofs, count.devices), "disk_free_bytes",
        (json_int_t)flo_disk_free(controller->dir), "telemetry", "state",
        !lane.listens                            ? "waiting"
        : flo_lane_is_shedding(controller->lane) ? "shedding"
                                                 : "ok",
        "shed", (json_int_t)(lane.shed + lane.lost), "limited", (json_int_t)lane.limited);
    return 0;
}

int flo_rest_version(struct flo_rest_call *call, struct flo_err *err)
{
    bool is_frozen = false, stays = false, found;

    FLO_TRY(flo_fleet_is_frozen(call->controller->store, &is_frozen, err));
    FLO_TRY(flo_fleet_prompts_stay(call->controller->store, &stays, &found, err));
    const char *licences = call->controller->options.allow_licence;
    call->out = json_pack("{s:s,s:s,s:s,s:I,s:s,s:b,s:b,s:I,s:s}", "version", FLO_VERSION, "fleet",
                          call->controller->fleet, "boot", call->controller->boot, "heartbeat_ms",
                          (json_int_t)call->controller->heartbeat_ms, "mqtt",
                          call->controller->addresses.mqtt, "frozen", (int)is_frozen,
                          "prompts_stay", (int)stays, "now_ms", (json_int_t)flo_wall_ms(),
                          "licences", licences != NULL ? licences : "");
    return 0;
}

int flo_rest_clock_confirm(struct flo_rest_call *call, struct flo_err *err)
{
    FLO_TRY(flo_clock_confirm(call->controller, flo_rest_text_in(call, "day", ""), err));
    call->out = json_pack("{s:I}", "now_ms", (json_int_t)flo_wall_ms());
    return 0;
}

/* Answers with the meaning of an error, to which a problem's `type` points. */
int flo_rest_error(struct flo_rest_call *call, struct flo_err *err)
{
    const char *id = flo_httpd_param(call->request, "id");
    int code = flo_error_code(id);

    if (code == 0) {
        return flo_fail(err, FLO_E_ABSENT, "no error has the id %.80s", id);
    }
    call->out = json_pack("{s:s,s:s,s:s,s:i,s:i}", "id", flo_error_id(code), "meaning",
                          flo_error_meaning(code), "fix", flo_error_fix(code), "status",
                          flo_httpd_status_of(code), "exit", (int)flo_error_exit(code));
    return 0;
}
