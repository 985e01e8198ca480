/* Issue: completes, signs and stores orders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/digest.h"

#include "server-stub/state/audit/audit.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/orders/memory.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"

struct flo_orders *flo_orders_new(flo_orders_leave_fn leave)
{
    struct flo_orders *orders = calloc(1, sizeof(*orders));

    if (orders != NULL) {
        orders->leave = leave;
    }
    return orders;
}

void flo_orders_free(struct flo_orders *orders)
{
    free(orders);
}

uint64_t flo_orders_signed(const struct flo_orders *orders)
{
    return orders->signed_count;
}

bool flo_orders_are_overtaken(const struct flo_orders *orders)
{
    return orders->is_overtaken;
}

/* Makes a valid name for `by`: letters that are not allowed become '-'. */
static void by_name(const char *by, char *out)
{
    size_t n = 0;

    for (; by[n] != '\0' && n < FLO_NAME_MAX; n++) {
        char c = by[n];
        bool fine =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (n > 0 && (c == '.' || c == '_'));
        out[n] = fine ? c : (n > 0 ? '-' : 'x');
    }
    out[n] = '\0';
}

static int sign(struct flo_controller *controller, const struct flo_order *order,
                struct flo_buf *body, struct flo_buf *envelope, struct flo_err *err)
{
    FLO_TRY(flo_clock_signs(controller, err));
    FLO_TRY(flo_order_write(order, body, err));
    FLO_TRY(
        flo_order_sign(body->data, body->bytes, flo_pki_order_key(controller->pki), envelope, err));
    if (body->failed || envelope->failed) {
        return flo_fail(err, FLO_E_MEMORY, "order");
    }
    return 0;
}

/* Number, id, times. */
static int complete(struct flo_controller *controller, struct flo_order *order, struct flo_err *err)
{
    char by[FLO_NAME_MAX + 1];
    int rv = flo_fleet_next(controller->store, "order", &order->seq, err);

    snprintf(order->id, sizeof(order->id), "o-%04llu", (unsigned long long)order->seq);
    if (order->op == FLO_ORDER_DEPLOY && order->rollout[0] == '\0') {
        /* Devices report the end of an order without a rollout under the
         * order's own id. */
        memcpy(order->rollout, order->id, sizeof(order->rollout));
    }
    snprintf(order->fleet, sizeof(order->fleet), "%s", controller->fleet);
    by_name(order->by, by);
    memcpy(order->by, by, sizeof(by));
    order->epoch = flo_trust_epoch(controller->trust);
    order->issued_at_ms = flo_wall_ms();
    order->expires_at_ms = order->issued_at_ms + FLO_ORDER_LIFE_MS;
    return rv;
}

int flo_orders_sign_alone(struct flo_controller *controller, struct flo_order *order,
                          struct flo_buf *envelope, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};

    FLO_TRY(complete(controller, order, err));
    return sign(controller, order, &body, envelope, err);
}

/* Adds the order to the audit. The order's body is too long for a record, so
 * its digest is recorded. */
static int audit(struct flo_controller *controller, const struct flo_order *order,
                 const char *release, const struct flo_buf *body, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_digest digest;
    char hex[FLO_DIGEST_TEXT];
    const char *facts[][2] = {{"model", order->model},
                              {"release", release},
                              {"rollout", order->rollout},
                              {"group", order->scope.group},
                              {"device", order->scope.device},
                              {"stay", order->op != FLO_ORDER_PROMPTS ? ""
                                       : order->stay != 0             ? "1"
                                                                      : "0"},
                              {"reason", order->reason},
                              {"body", hex}};
    json_t *said = json_pack("{s:s}", "op", flo_order_op_word(order->op));

    flo_sha256(body->data, body->bytes, &digest);
    flo_digest_text(&digest, hex);
    for (size_t i = 0; i < FLO_COUNT(facts); i++) {
        flo_json_put_text(said, facts[i][0], facts[i][1]);
    }
    flo_json_dump(said, &text);
    json_decref(said);
    if (text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "order");
    }
    return flo_controller_audit(controller, order->by, "order.issue", order->id, "ok", text.data,
                                err);
}

int flo_orders_issue_row(struct flo_controller *controller, struct flo_order *order,
                         struct flo_fleet_order row, char *id, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) body = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) envelope = {0};
    char release[FLO_DIGEST_TEXT] = "";

    FLO_TRY(complete(controller, order, err));
    FLO_TRY(sign(controller, order, &body, &envelope, err));
    if (order->op == FLO_ORDER_DEPLOY ||
        (order->op == FLO_ORDER_BENCHMARK && !flo_digest_is_zero(&order->release))) {
        flo_digest_text(&order->release, release);
    } else if (order->op == FLO_ORDER_ROLLBACK) {
        flo_digest_text(&order->from[0], release);
    }
    row.id = order->id;
    row.op = flo_order_op_word(order->op);
    row.group = order->scope.group;
    row.envelope = envelope.data;
    row.body = body.data;
    row.rollout = order->rollout;
    row.model = row.model != NULL ? row.model : order->model;
    row.release = release;
    row.phase = row.phase > 0 ? row.phase : order->phase;
    row.seq = order->seq;
    row.issued_at_ms = order->issued_at_ms;
    row.expires_at_ms = order->expires_at_ms;
    row.reason = row.reason != NULL ? row.reason : order->reason;
    FLO_TRY(flo_fleet_order_add(controller->store, &row, err));
    controller->orders->signed_count++;
    if (order->op == FLO_ORDER_ROLLBACK && !row.is_desired_only) {
        controller->orders->is_overtaken = true;
    }
    snprintf(id, FLO_NAME_MAX + 1, "%s", order->id);
    if (order->op != FLO_ORDER_DEPLOY && !row.is_desired_only) {
        flo_outgoing_group(controller, order->scope.group);
    }
    return audit(controller, order, release, &body, err);
}

int flo_orders_issue(struct flo_controller *controller, struct flo_order *order, bool is_tracked,
                     uint64_t release_bytes, char *id, struct flo_err *err)
{
    return flo_orders_issue_row(
        controller, order,
        (struct flo_fleet_order){.is_tracked = is_tracked, .release_bytes = release_bytes}, id,
        err);
}
