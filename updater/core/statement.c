/* Orders as statements: of all orders about a subject only the one with the
 * highest number is in force.  Orders of an emergency key have their own
 * subjects and are never compared with normal ones.
 *
 * Pure.  A broker may deliver signed orders in any order, twice, late or never,
 * and a hostile broker does so on purpose.  The stored number is the maximum of
 * all that arrived, so an older order that comes last changes nothing. */
#include <assert.h>
#include <string.h>

#include <flotilla/errors/cmd.h>

#include "updater/core/eras.h"

/* The newest stored order about a subject. */
struct held {
    uint64_t number;
    const struct flo_digest *body; /* NULL: no order with that number is stored */
    bool is_same;                  /* true: the stored order equals the new one */
    bool is_folded;                /* true: the number is known, but its order is not */
};

static enum flo_rollout_said said_by(const struct flo_order *order)
{
    switch (order->op) {
    case FLO_ORDER_PAUSE:
        return FLO_ROLLOUT_PAUSED_BY_ORDER;
    case FLO_ORDER_ABORT:
        return FLO_ROLLOUT_ABORTED_BY_ORDER;
    default:
        return FLO_ROLLOUT_RESUMED;
    }
}

static void held_by(struct held *held, const struct flo_subject *subject)
{
    held->number = subject->number;
    held->body = &subject->body;
}

static void held_of_model(const struct flo_device *device, const struct flo_slots *slots,
                          struct held *held)
{
    if (slots->era == device->era && slots->stated.number > 0) {
        held->number = slots->stated.number;
        held->body = &slots->stated.body;
    } else { /* no order about this model is stored: this number counts for all such models */
        held->number = device->models_folded;
        held->is_folded = true;
    }
}

static void held_of_rollout(const struct flo_device *device, const struct flo_order *order,
                            struct held *held)
{
    const struct flo_pause *pause = flo_device_pause_find(device, order->rollout);

    assert(order->rollout[0] != '\0');
    held->number = pause == NULL ? device->pauses_folded : pause->number;
    held->is_folded = pause == NULL;
    held->is_same = pause != NULL && pause->said == said_by(order);
}

static void held_of_emergency(const struct flo_device *device, const struct flo_slots *slots,
                              const struct flo_order *order, struct held *held)
{
    enum flo_order_subject subject = flo_order_fact(order->op)->subject;

    if (subject == FLO_ORDER_SUBJECT_FREEZE) {
        held_by(held, &device->freeze_emergency);
    } else if (subject == FLO_ORDER_SUBJECT_PROMPTS) {
        held_by(held, &device->prompts_emergency);
    } else if (slots->era == device->era) {
        assert(subject == FLO_ORDER_SUBJECT_MODEL);
        held->number = slots->emergency.number;
        held->body = &slots->emergency.body;
    }
}

static struct held held_of(const struct flo_device *device, const struct flo_slots *slots,
                           const struct flo_order *order)
{
    struct held held = {.number = 0};

    if (order->is_emergency) {
        held_of_emergency(device, slots, order, &held);
        return held;
    }
    switch (flo_order_fact(order->op)->subject) {
    case FLO_ORDER_SUBJECT_MODEL:
        held_of_model(device, slots, &held);
        break;
    case FLO_ORDER_SUBJECT_ROLLOUT:
        held_of_rollout(device, order, &held);
        break;
    case FLO_ORDER_SUBJECT_FREEZE:
        held_by(&held, &device->freeze);
        break;
    case FLO_ORDER_SUBJECT_PROMPTS:
        held_by(&held, &device->prompts);
        break;
    case FLO_ORDER_SUBJECT_CONFIG:
        held_by(&held, &device->config);
        break;
    case FLO_ORDER_SUBJECT_REPORT:
        held_by(&held, &device->report);
        break;
    case FLO_ORDER_SUBJECT_GROUPS:
        held_by(&held, &device->stated_groups);
        break;
    }
    return held;
}

int flo_statement_look(const struct flo_device *device, const struct flo_slots *slots,
                       const struct flo_order *order, const struct flo_digest *body,
                       enum flo_standing *out, uint64_t *by, struct flo_err *err)
{
    struct held held = held_of(device, slots, order);

    assert(order->op < FLO_ORDER_COUNT);
    if (order->epoch < device->epoch) {
        return flo_fail(err, FLO_E_CMD_EPOCH, "order %s: epoch %u is older than %u", order->id,
                        order->epoch, device->epoch);
    }
    *by = 0;
    *out = FLO_STATEMENT_NEW;
    if (order->epoch > device->epoch) {
        return 0; /* the order begins a new era, so no older number counts */
    }
    /* Only normal numbers are compared with the highest one: emergency numbers
     * are times, so the clock bounds them. */
    if (!order->is_emergency && order->seq > device->top + FLO_NUMBER_JUMP_MAX) {
        return flo_fail(err, FLO_E_CMD_FORMAT, "order %s: number %llu, the highest taken is %llu",
                        order->id, (unsigned long long)order->seq, (unsigned long long)device->top);
    }
    if (order->seq > held.number) {
        return 0;
    }
    *by = held.number;
    if (order->seq < held.number || held.is_folded) {
        *out = FLO_STATEMENT_SUPERSEDED;
        return 0;
    }
    if (held.is_same || (held.body != NULL && flo_digest_equal(held.body, body))) {
        *out = FLO_STATEMENT_AGAIN;
        return 0;
    }
    return flo_fail(err, FLO_E_CMD_NONCE_REUSED,
                    "order %s: another order about the same has its number "
                    "%llu",
                    order->id, (unsigned long long)order->seq);
}

static bool deny_from(struct flo_slots *slots, const struct flo_order *order)
{
    bool is_folded = false;

    assert(order->from_count <= FLO_ORDER_FROM_MAX);
    for (uint32_t i = 0; i < order->from_count; i++) {
        struct flo_denial said = {.release = order->from[i],
                                  .number = order->from_numbers[i],
                                  .statement = order->seq,
                                  .cause = order->op == FLO_ORDER_ALLOW ? FLO_DENIAL_ALLOWED
                                                                        : FLO_DENIAL_ORDERED,
                                  .lane = order->is_emergency};
        is_folded |= flo_slots_deny(slots, &said);
    }
    return is_folded;
}

static bool keep_denials(struct flo_slots *slots, const struct flo_order *order)
{
    struct flo_denial lifted = {
        .release = order->release, .number = order->number, .statement = order->lift};

    if (order->op == FLO_ORDER_ROLLBACK || order->op == FLO_ORDER_ALLOW) {
        return deny_from(slots, order);
    }
    return order->lift > 0 && flo_slots_deny(slots, &lifted);
}

static void state(struct flo_slots *slots, const struct flo_order *order,
                  const struct flo_digest *body)
{
    struct flo_stated *stated = &slots->stated;

    if (order->is_emergency) { /* an emergency order does not change the assignment */
        slots->emergency.number = order->seq;
        slots->emergency.body = *body;
        return;
    }
    bool is_deploy = order->op == FLO_ORDER_DEPLOY;

    assert(flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_MODEL);
    assert(order->seq > stated->number || stated->number == 0);
    memset(stated, 0, sizeof(*stated));
    stated->number = order->seq;
    stated->body = *body;
    stated->op = order->op;
    if (is_deploy) {
        stated->target = order->release;
        stated->below_floor = order->below_floor;
    } else if (order->op == FLO_ORDER_ROLLBACK && !order->to_previous) {
        stated->target = order->to;
    }
    snprintf(stated->rollout, sizeof(stated->rollout), "%s", order->rollout);
    snprintf(stated->order, sizeof(stated->order), "%s", order->id);
}

static bool keep_about_device(struct flo_device *device, const struct flo_order *order,
                              const struct flo_digest *body)
{
    switch (flo_order_fact(order->op)->subject) {
    case FLO_ORDER_SUBJECT_ROLLOUT:
        flo_device_pause_keep(device, order->rollout, order->seq, said_by(order));
        return true;
    case FLO_ORDER_SUBJECT_FREEZE:
        *(order->is_emergency ? &device->freeze_emergency : &device->freeze) =
            (struct flo_subject){order->seq, *body};
        *(order->is_emergency ? &device->is_frozen_emergency : &device->is_frozen) =
            order->op == FLO_ORDER_FREEZE;
        return true;
    case FLO_ORDER_SUBJECT_PROMPTS:
        *(order->is_emergency ? &device->prompts_emergency : &device->prompts) =
            (struct flo_subject){order->seq, *body};
        *(order->is_emergency ? &device->prompts_stay_emergency : &device->prompts_stay) =
            order->stay != 0;
        return true;
    case FLO_ORDER_SUBJECT_CONFIG:
        device->config.number = order->seq;
        device->config.body = *body;
        device->heartbeat_ms = order->heartbeat_ms;
        return true;
    case FLO_ORDER_SUBJECT_REPORT:
        device->report.number = order->seq;
        device->report.body = *body;
        return true;
    case FLO_ORDER_SUBJECT_GROUPS:
        device->stated_groups = (struct flo_subject){order->seq, *body};
        device->group_count = order->group_count;
        memcpy(device->groups, order->groups, sizeof(device->groups));
        return true;
    case FLO_ORDER_SUBJECT_MODEL:
        break;
    }
    return false;
}

/* Stores the epoch and the number of an accepted order in the device record.
 * The caller has checked the epoch before (core/time.c). */
static bool keep_head(struct flo_device *device, const struct flo_order *order)
{
    struct flo_device before = *device;

    assert(order->epoch >= device->epoch);
    if (order->epoch > device->epoch) {
        device->epoch = order->epoch;
        flo_device_begin_era(device);
    }
    if (order->seq > device->top && !order->is_emergency) {
        device->top = order->seq;
    }
    return device->epoch != before.epoch || device->top != before.top;
}

struct flo_kept flo_statement_keep(struct flo_device *device, struct flo_slots *slots,
                                   const struct flo_order *order, const struct flo_digest *body)
{
    struct flo_kept kept = {.device = false};
    enum flo_standing standing;
    uint64_t by;
    bool is_about_model = flo_order_fact(order->op)->subject == FLO_ORDER_SUBJECT_MODEL;
    bool begins_era = order->epoch > device->epoch;

    if (flo_statement_look(device, slots, order, body, &standing, &by, NULL) < 0 ||
        standing == FLO_STATEMENT_AGAIN) {
        return kept;
    }
    kept.device = keep_head(device, order);
    if (is_about_model) {
        /* If the order begins an era, the model's record may name this era
         * already, because the device's record was damaged or not written.  The
         * numbers in it are reset all the same. */
        if (begins_era || slots->era != device->era) {
            flo_slots_begin_era(slots, device->era);
        }
        kept.slots = true;
        kept.is_folded = keep_denials(slots, order);
        if (standing == FLO_STATEMENT_NEW) {
            state(slots, order, body);
        }
    } else if (standing == FLO_STATEMENT_NEW) {
        kept.device |= keep_about_device(device, order, body);
    }
    return kept;
}
