/* Emergency: records orders that an emergency key signed. The controller can
 * neither sign nor end such an order; it only records it and shows its
 * progress. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/mqtt.h>
#include <flotilla/errors/sig.h>

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/trust/trust.h"

#define AHEAD_MS (UINT64_C(400) * 24 * 3600 * 1000)

bool flo_emergency_is_named(const char *order)
{
    return strncmp(order, "e-", 2) == 0;
}

int flo_emergency_seen(struct flo_controller *controller, const json_t *envelope, bool *is_news,
                       struct flo_err *err)
{
    static struct flo_order_verified verified; /* large, one thread */
    FLO_CLEANUP(flo_buf_deinit)
    struct flo_buf text = {.bytes_max = FLO_DESIRED_ORDER_BYTES_MAX};

    *is_news = false;
    flo_json_dump_canonical(envelope, &text);
    if (text.failed) {
        return flo_fail(err, FLO_E_META_TOO_LARGE, "an order has more than %d bytes",
                        FLO_DESIRED_ORDER_BYTES_MAX);
    }
    FLO_TRY(flo_order_verify(text.data, text.bytes, controller->trust, &verified, err));
    if (verified.role != FLO_ROLE_EMERGENCY) {
        return flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "order %s is not signed by an emergency key",
                        verified.order.id);
    }
    const struct flo_fleet_emergency emergency = {.id = verified.order.id,
                                                  .op = flo_order_op_word(verified.order.op),
                                                  .envelope = text.data,
                                                  .seq = verified.order.seq,
                                                  .expires_at_ms = verified.order.expires_at_ms,
                                                  .heard_at_ms = flo_wall_ms()};
    FLO_TRY(flo_fleet_emergency_put(controller->store, &emergency, is_news, err));
    if (!*is_news) {
        return 0;
    }
    flo_outgoing_emergency(controller);
    return flo_controller_audit(controller, verified.keyid, "order.emergency", verified.order.id,
                                "ok", emergency.op, err);
}

/* Returns the time that an order's name contains, for an order that this
 * controller never saw. */
static uint64_t time_of(const char *order)
{
    uint64_t latest = flo_wall_ms() + AHEAD_MS;
    uint64_t at_ms = strtoull(order + 2, NULL, 10);

    return at_ms < latest ? at_ms : latest;
}

int flo_emergency_answered(struct flo_controller *controller, const char *order, const char *device,
                           const char *outcome, uint64_t took_ms, struct flo_err *err)
{
    const struct flo_fleet_emergency emergency = {
        .id = order, .op = "", .envelope = "", .seq = time_of(order), .heard_at_ms = flo_wall_ms()};
    enum flo_order_outcome next;
    bool is_news;

    if (!flo_outcome_parse(outcome, &next)) {
        return flo_fail(err, FLO_E_MQTT_SCHEMA, "outcome `%s`", outcome);
    }
    FLO_TRY(flo_fleet_emergency_put(controller->store, &emergency, &is_news, err));
    return flo_fleet_outcome_put(controller->store, order, device, next, took_ms, err);
}

/* ---- to the devices ---- */

struct standing {
    struct flo_buf *out;
    uint64_t now_ms;
    size_t count;
};

static int add_standing(void *context, const struct flo_fleet_emergency *emergency)
{
    struct standing *standing = context;

    if (emergency->expires_at_ms <= standing->now_ms ||
        standing->count == FLO_EMERGENCIES_SENT_MAX) {
        return 0;
    }
    flo_buf_text(standing->out, standing->count++ > 0 ? "," : "");
    flo_buf_text(standing->out, emergency->envelope);
    return 0;
}

int flo_emergency_text(struct flo_controller *controller, struct flo_buf *out, size_t *count,
                       struct flo_err *err)
{
    struct standing standing = {.out = out, .now_ms = flo_wall_ms()};

    flo_buf_text(out, "{\"v\":1,\"orders\":[");
    int rv = flo_fleet_emergencies(controller->store, true, 8 * FLO_EMERGENCIES_SENT_MAX,
                                   add_standing, &standing, err);
    flo_buf_text(out, "]}");
    *count = standing.count;
    FLO_TRY(rv);
    return out->failed ? flo_fail(err, FLO_E_MEMORY, "emergencies") : 0;
}
