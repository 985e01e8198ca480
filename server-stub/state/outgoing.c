/* Outgoing: collects messages in a transaction and hands them over after its
 * commit. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/text_list.h"
#include "server-stub/state/transaction.h"
#include "server-stub/store/fleet.h"

struct flo_subscribers {
    struct flo_subscriber items[FLO_SUBSCRIBERS_MAX];
    size_t count;
};

/* ---- lists ---- */

/* Tells whether two changes are of the same message.  One that is left out
 * without memory is published again at the next connection. */
static bool is_same_change(const struct flo_change *a, const struct flo_change *b)
{
    return a->object == b->object && strcmp(a->key, b->key) == 0;
}

void flo_changes_add(struct flo_changes *changes, const struct flo_change *change)
{
    bool is_last =
        changes->count > 0 && is_same_change(&changes->items[changes->count - 1], change);

    if (!is_last &&
        flo_grow(&changes->items, &changes->capacity, changes->count, sizeof(*change))) {
        changes->items[changes->count++] = *change;
    }
}

static int by_object(const void *a, const void *b)
{
    const struct flo_change *one = a;
    const struct flo_change *other = b;

    return one->object != other->object ? (int)one->object - (int)other->object
                                        : strcmp(one->key, other->key);
}

void flo_changes_unique(struct flo_changes *changes)
{
    size_t kept = 0;

    if (changes->count < 2) {
        return;
    }
    qsort(changes->items, changes->count, sizeof(*changes->items), by_object);
    for (size_t i = 0; i < changes->count; i++) {
        if (kept == 0 || !is_same_change(&changes->items[kept - 1], &changes->items[i])) {
            changes->items[kept++] = changes->items[i];
        }
    }
    changes->count = kept;
}

bool flo_acks_add(struct flo_acks *acks, const struct flo_ack *ack)
{
    bool fits = flo_grow(&acks->items, &acks->capacity, acks->count, sizeof(*ack));

    if (fits) {
        acks->items[acks->count++] = *ack;
    }
    return fits;
}

static int by_device(const void *a, const void *b)
{
    const struct flo_ack *one = a;
    const struct flo_ack *other = b;
    int by = strcmp(one->device, other->device);

    by = by != 0 ? by : strcmp(one->boot, other->boot);
    return by != 0 ? by : (one->sequence > other->sequence) - (one->sequence < other->sequence);
}

void flo_acks_newest(struct flo_acks *acks)
{
    size_t kept = 0;

    if (acks->count < 2) {
        return;
    }
    qsort(acks->items, acks->count, sizeof(*acks->items), by_device);
    for (size_t i = 0; i < acks->count; i++) {
        const struct flo_ack *next = &acks->items[i + 1];
        bool is_superseded = i + 1 < acks->count &&
                             strcmp(acks->items[i].device, next->device) == 0 &&
                             strcmp(acks->items[i].boot, next->boot) == 0;
        if (!is_superseded) {
            acks->items[kept++] = acks->items[i];
        }
    }
    acks->count = kept;
}

const char *flo_object_word(enum flo_object object)
{
    switch (object) {
    case FLO_OBJECT_DEVICE:
        return "device";
    case FLO_OBJECT_ORDER:
        return "order";
    case FLO_OBJECT_RELEASE:
        return "release";
    case FLO_OBJECT_ROLLOUT:
        return "rollout";
    }
    return "";
}

/* ---- collecting ---- */

void flo_outgoing_desired(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing->desired, device);
}

void flo_outgoing_later(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing->later, device);
}

void flo_outgoing_defer(struct flo_controller *controller)
{
    struct flo_outgoing *outgoing = controller->outgoing;

    for (size_t i = 0; i < outgoing->desired.count; i++) {
        flo_text_list_add(&outgoing->later, outgoing->desired.items[i]);
    }
    flo_text_list_clear(&outgoing->desired);
}

void flo_outgoing_came(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing->came, device);
    flo_outgoing_desired(controller, device);
}

void flo_outgoing_group(struct flo_controller *controller, const char *group)
{
    flo_text_list_add(&controller->outgoing->groups, group);
}

void flo_outgoing_trust(struct flo_controller *controller)
{
    controller->outgoing->has_trust = true;
}

void flo_outgoing_emergency(struct flo_controller *controller)
{
    controller->outgoing->has_emergency = true;
}

void flo_outgoing_renewal(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing->renewals, device);
}

const char *flo_outgoing_renewal_last(const struct flo_controller *controller)
{
    const struct flo_text_list *asked = &controller->outgoing->renewals;

    return asked->count > 0 ? asked->items[asked->count - 1] : "";
}

void flo_outgoing_authorities(struct flo_controller *controller, bool is_lost)
{
    controller->outgoing->has_authorities = true;
    controller->outgoing->lost_authority = controller->outgoing->lost_authority || is_lost;
}

void flo_outgoing_retired(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing->cleared, device);
    controller->outgoing->has_retired = true;
}

void flo_outgoing_ack(struct flo_controller *controller, const char *device, const char *boot,
                      uint64_t sequence)
{
    struct flo_acks *acks = &controller->outgoing->acks;
    struct flo_ack ack = {.sequence = sequence};

    snprintf(ack.device, sizeof(ack.device), "%s", device);
    snprintf(ack.boot, sizeof(ack.boot), "%s", boot);
    /* A failure for lack of memory loses nothing, because the device sends the
     * event again. */
    (void)flo_acks_add(acks, &ack);
}

void flo_outgoing_ask(struct flo_controller *controller, const char *device, const char *order)
{
    struct flo_asks *asks = &controller->outgoing->asks;
    struct flo_ask ask;

    snprintf(ask.device, sizeof(ask.device), "%s", device);
    snprintf(ask.order, sizeof(ask.order), "%s", order);
    if (flo_grow(&asks->items, &asks->capacity, asks->count, sizeof(ask))) {
        asks->items[asks->count++] = ask;
    }
}

void flo_outgoing_change(struct flo_controller *controller, enum flo_object object, const char *key)
{
    struct flo_change change = {.object = object};

    snprintf(change.key, sizeof(change.key), "%s", key);
    flo_changes_add(&controller->outgoing->changes, &change);
}

static int change_device(void *context, const char *device)
{
    flo_outgoing_change(context, FLO_OBJECT_DEVICE, device);
    return 0;
}

void flo_outgoing_lacking(struct flo_controller *controller)
{
    (void)flo_fleet_lacking(controller->store, change_device, controller);
}

void flo_outgoing_audit(struct flo_controller *controller, json_t *record)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (controller->subscribers->count > 0) {
        flo_json_dump(record, &text);
        if (!text.failed) {
            flo_text_list_add(&controller->outgoing->audit, text.data);
        }
    }
    json_decref(record);
}

static void clear(struct flo_outgoing *outgoing)
{
    flo_text_list_clear(&outgoing->desired);
    flo_text_list_clear(&outgoing->later);
    flo_text_list_clear(&outgoing->cleared);
    flo_text_list_clear(&outgoing->came);
    flo_text_list_clear(&outgoing->renewals);
    flo_text_list_clear(&outgoing->groups);
    flo_text_list_clear(&outgoing->audit);
    free(outgoing->acks.items);
    free(outgoing->asks.items);
    free(outgoing->changes.items);
    *outgoing = (struct flo_outgoing){0};
}

struct flo_outgoing *flo_outgoing_new(void)
{
    return calloc(1, sizeof(struct flo_outgoing));
}

struct flo_subscribers *flo_subscribers_new(void)
{
    return calloc(1, sizeof(struct flo_subscribers));
}

void flo_outgoing_free(struct flo_outgoing *outgoing)
{
    if (outgoing != NULL) {
        clear(outgoing);
    }
    free(outgoing);
}

void flo_subscribers_free(struct flo_subscribers *all)
{
    free(all);
}

/* ---- leaving ---- */

void flo_outgoing_subscribe(struct flo_controller *controller, struct flo_subscriber subscriber)
{
    struct flo_subscribers *all = controller->subscribers;

    assert(all->count < FLO_SUBSCRIBERS_MAX);
    all->items[all->count++] = subscriber;
}

void flo_outgoing_unsubscribe(struct flo_controller *controller, const void *context)
{
    struct flo_subscribers *all = controller->subscribers;
    size_t kept = 0;

    for (size_t i = 0; i < all->count; i++) {
        if (all->items[i].context != context) {
            all->items[kept++] = all->items[i];
        }
    }
    all->count = kept;
}

/* Sends all messages of a transaction to all subscribers, sorted and without
 * repetitions. */
static void flush(struct flo_controller *controller)
{
    const struct flo_subscribers *all = controller->subscribers;
    struct flo_outgoing outgoing = *controller->outgoing;

    *controller->outgoing = (struct flo_outgoing){0};
    if (all->count > 0) {
        flo_text_list_unique(&outgoing.groups);
        flo_text_list_unique(&outgoing.desired);
        flo_text_list_unique(&outgoing.later);
        flo_text_list_unique(&outgoing.came);
        flo_acks_newest(&outgoing.acks);
        flo_changes_unique(&outgoing.changes);
    }
    for (size_t i = 0; i < all->count; i++) {
        if (all->items[i].on_committed != NULL) {
            all->items[i].on_committed(all->items[i].context, &outgoing);
        }
    }
    clear(&outgoing);
}

static void settle(struct flo_controller *controller, bool is_committed)
{
    if (is_committed) {
        flush(controller);
    } else {
        clear(controller->outgoing);
    }
}

const struct flo_transaction_part flo_outgoing_part = {.settle = settle};

void flo_outgoing_telemetry(struct flo_controller *controller, size_t devices)
{
    controller->outgoing->telemetry_devices = devices;
    flush(controller);
}

void flo_outgoing_durable(struct flo_controller *controller)
{
    const struct flo_subscribers *all = controller->subscribers;
    struct flo_err failed = {0};
    uint64_t number = flo_fleet_durable(controller->store, &failed);

    for (size_t i = 0; i < all->count; i++) {
        if (all->items[i].on_durable != NULL) {
            all->items[i].on_durable(all->items[i].context, number, &failed);
        }
    }
}
