/* Device record: which orders about the whole device and about rollouts are in
 * force, and the earliest possible time.  Pure; store/device.c stores it. */
#include <assert.h>
#include <string.h>

#include "base/host/digest.h"
#include "updater/core/eras.h"

/* Begins a new era of sequence numbers: they start again at 0, and the effects
 * of earlier orders stay. */
void flo_device_begin_era(struct flo_device *device)
{
    device->era++;
    device->top = 0;
    device->freeze.number = 0;
    device->prompts.number = 0;
    device->config.number = 0;
    device->report.number = 0;
    device->stated_groups.number = 0;
    device->pauses_folded = 0;
    device->models_folded = 0;
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        device->pauses[i].number = 0;
    }
}

void flo_slots_begin_era(struct flo_slots *slots, uint32_t era)
{
    slots->era = era;
    memset(&slots->stated, 0, sizeof(slots->stated));
    memset(&slots->emergency, 0, sizeof(slots->emergency));
    for (uint32_t i = 0; i < slots->denial_count;) {
        slots->denials[i].statement = 0;
        if (slots->denials[i].cause == FLO_DENIAL_ALLOWED) {
            flo_slots_denial_remove(slots, i);
        } else {
            i++;
        }
    }
}

/* ---- trusted keys ---- */

void flo_trust_facts(const struct flo_trust *trust, const char *device, struct flo_trust_facts *out)
{
    struct flo_digest holder;
    struct flo_trust_key key;

    memset(out, 0, sizeof(*out));
    out->number = flo_trust_number(trust);
    out->document = *flo_trust_digest(trust);
    out->epoch = flo_trust_epoch(trust);
    flo_trust_order_keys(trust, &out->order_keys);
    for (size_t i = 0; i < flo_trust_count(trust); i++) {
        flo_trust_key(trust, i, &key);
        out->has_emergency = out->has_emergency || (key.roles & FLO_ROLE_EMERGENCY) != 0;
    }
    if (device[0] != '\0') {
        flo_sha256(device, strlen(device), &holder);
        memcpy(out->holder, holder.bytes, sizeof(out->holder));
    }
}

/* Tells whether another enrolment of this device, or none, wrote the record. */
static bool is_others(const struct flo_device *device, const struct flo_trust_facts *facts)
{
    return memcmp(device->holder, facts->holder, sizeof(device->holder)) != 0;
}

bool flo_device_is_moved(const struct flo_device *device, const struct flo_trust_facts *facts)
{
    static const uint8_t none[sizeof(device->holder)];

    return memcmp(device->holder, none, sizeof(none)) != 0 && is_others(device, facts);
}

/* Forgets epoch, time and order numbers, because they came from orders of other
 * keys. */
static void forget_orders(struct flo_device *device)
{
    device->trusted_time_ms = 0;
    device->claimed_time_ms = 0;
    device->freeze_emergency.number = 0;
    device->prompts_emergency.number = 0;
    flo_device_begin_era(device);
}

static void hold(struct flo_device *device, const struct flo_trust_facts *facts)
{
    device->trust_number = facts->number;
    device->trust_document = facts->document;
    device->order_keys = facts->order_keys;
    memcpy(device->holder, facts->holder, sizeof(device->holder));
    device->is_frozen_emergency = device->is_frozen_emergency && facts->has_emergency;
    device->prompts_stay_emergency = device->prompts_stay_emergency && facts->has_emergency;
}

/* Accepts the keys of an enrolment, the first or a repeated one.  The keys can
 * be trusted, because a person chose the controller that sent them. */
static enum flo_trust_hold enrol(struct flo_device *device, const struct flo_trust_facts *facts)
{
    bool is_other = !flo_digest_is_zero(&device->order_keys) &&
                    !flo_digest_equal(&device->order_keys, &facts->order_keys);

    if (is_others(device, facts)) {
        device->group_count = 0; /* the groups belonged to the device's earlier identity */
    }
    if (is_other) {
        device->epoch = 0;
        device->all_paused = false;
        /* the pauses came from another controller */
        memset(device->pauses, 0, sizeof(device->pauses));
        forget_orders(device);
    }
    hold(device, facts);
    return FLO_TRUST_TAKEN;
}

/* Handles a list of trusted keys without a signature.  Such a list can change
 * only by an enrolment or by an operator at the device. */
static enum flo_trust_hold take_list(struct flo_device *device, const struct flo_trust_facts *facts)
{
    if (device->trust_number > 1) {
        return FLO_TRUST_BEHIND;
    }
    return device->trust_number == 1 && flo_digest_equal(&device->order_keys, &facts->order_keys)
               ? FLO_TRUST_HELD
               : enrol(device, facts);
}

enum flo_trust_hold flo_device_trust(struct flo_device *device, const struct flo_trust_facts *facts)
{
    assert(facts->number > 0 && !flo_digest_is_zero(&facts->order_keys));
    if (is_others(device, facts)) {
        return enrol(device, facts);
    }
    if (facts->number == 1) {
        return take_list(device, facts);
    }
    if (device->trust_number == 0) {
        return enrol(device, facts);
    }
    if (facts->number < device->trust_number ||
        (facts->number == device->trust_number &&
         !flo_digest_equal(&facts->document, &device->trust_document))) {
        return FLO_TRUST_BEHIND;
    }
    if (facts->number == device->trust_number) {
        return FLO_TRUST_HELD;
    }
    if (device->epoch != 0 && facts->epoch > device->epoch) {
        device->epoch = facts->epoch;
        forget_orders(device);
    }
    hold(device, facts);
    return FLO_TRUST_TAKEN;
}

/* ---- rollouts as a whole ---- */

struct flo_pause *flo_device_pause_find(const struct flo_device *device, const char *rollout)
{
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        if (strcmp(device->pauses[i].rollout, rollout) == 0) {
            return (struct flo_pause *)(uintptr_t)&device->pauses[i];
        }
    }
    return NULL;
}

const struct flo_pause *flo_device_said(const struct flo_device *device, const char *rollout)
{
    assert(strlen(rollout) <= FLO_NAME_MAX);
    return rollout[0] == '\0' ? NULL : flo_device_pause_find(device, rollout);
}

enum flo_rollout_said flo_device_rollout(const struct flo_device *device, const char *rollout,
                                         uint64_t number)
{
    const struct flo_pause *pause = flo_device_said(device, rollout);

    if (pause != NULL && pause->said == FLO_ROLLOUT_ABORTED_BY_ORDER && pause->number <= number) {
        return FLO_ROLLOUT_RESUMED; /* the rollout was started again after this order */
    }
    if (pause != NULL && pause->said != FLO_ROLLOUT_RESUMED) {
        return pause->said;
    }
    return device->all_paused && rollout[0] != '\0' && pause == NULL ? FLO_ROLLOUT_PAUSED_BY_ORDER
                                                                     : FLO_ROLLOUT_RESUMED;
}

/* Returns the rollout's entry to drop from a full list: the oldest resumed one,
 * or else the oldest aborted one.  Returns NULL when all listed rollouts are
 * paused. */
static struct flo_pause *least(struct flo_device *device)
{
    struct flo_pause *found = NULL;

    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        struct flo_pause *pause = &device->pauses[i];
        if (pause->said == FLO_ROLLOUT_PAUSED_BY_ORDER) {
            continue;
        }
        if (found == NULL || (pause->said != found->said ? pause->said == FLO_ROLLOUT_RESUMED
                                                         : pause->number < found->number)) {
            found = pause;
        }
    }
    return found;
}

void flo_device_pause_keep(struct flo_device *device, const char *rollout, uint64_t number,
                           enum flo_rollout_said said)
{
    struct flo_pause *pause = flo_device_pause_find(device, rollout);

    assert(rollout[0] != '\0');
    assert(strlen(rollout) <= FLO_NAME_MAX);
    if (pause == NULL) {
        pause = flo_device_pause_find(device, "");
    }
    if (pause == NULL) {
        pause = least(device);
        if (pause != NULL && pause->number > device->pauses_folded) {
            device->pauses_folded = pause->number;
        }
    }
    if (pause == NULL) {
        device->all_paused = device->all_paused || said == FLO_ROLLOUT_PAUSED_BY_ORDER;
        return;
    }
    if (said == FLO_ROLLOUT_RESUMED) {
        device->all_paused = false;
    }
    memset(pause, 0, sizeof(*pause));
    snprintf(pause->rollout, sizeof(pause->rollout), "%s", rollout);
    pause->number = number;
    pause->said = said;
}
