/* Effects: what leaves after a commit, and the texts that are published. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "server-stub/mqtt/batches.h"
#include "server-stub/rest/live.h"
#include "server-stub/state/controller.h"

/* ---- lists ---- */

void flo_text_list_add(struct flo_text_list *list, const char *text)
{
    if (list->count > 0 && strcmp(list->items[list->count - 1], text) == 0) {
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        char **items = realloc(list->items, capacity * sizeof(*items));
        if (items == NULL) {
            return; /* published again with the next connection */
        }
        list->items = items;
        list->capacity = capacity;
    }
    char *copy = strdup(text);
    if (copy != NULL) {
        list->items[list->count++] = copy;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void flo_text_list_unique(struct flo_text_list *list)
{
    size_t kept = 0;

    if (list->count < 2) {
        return;
    }
    qsort(list->items, list->count, sizeof(*list->items), by_text);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->items[kept - 1], list->items[i]) == 0) {
            free(list->items[i]);
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

void flo_text_list_clear(struct flo_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct flo_text_list){0};
}

/* ---- collecting ---- */

void flo_outgoing_desired(struct flo_controller *controller, const char *device)
{
    flo_text_list_add(&controller->outgoing.desired, device);
}

void flo_outgoing_group(struct flo_controller *controller, const char *group)
{
    flo_text_list_add(&controller->outgoing.groups, group);
}

void flo_outgoing_live(struct flo_controller *controller, const char *topic,
                       const char *key)
{
    char text[160];

    snprintf(text, sizeof(text), "%s %s", topic, key);
    flo_text_list_add(&controller->outgoing.live, text);
}

void flo_outgoing_note(struct flo_controller *controller, const char *topic,
                       json_t *json)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (controller->live != NULL) {
        flo_buf_printf(&text, "%s ", topic);
        flo_json_dump(json, &text);
        if (!text.failed) {
            flo_text_list_add(&controller->outgoing.notes, text.data);
        }
    }
    json_decref(json);
}

void flo_outgoing_clear(struct flo_controller *controller)
{
    struct flo_outgoing *effects = &controller->outgoing;

    flo_text_list_clear(&effects->desired);
    flo_text_list_clear(&effects->cleared);
    flo_text_list_clear(&effects->groups);
    flo_text_list_clear(&effects->acks);
    flo_text_list_clear(&effects->asks);
    flo_text_list_clear(&effects->live);
    flo_text_list_clear(&effects->notes);
    effects->acl = false;
}

/* ---- leaving ---- */

static void publish_desired(struct flo_controller *controller,
                            const char *device)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_orders_desired_text(controller, device, &text, &err) < 0) {
        if (err.code != FLO_E_DEVICE_ABSENT) {
            flo_log_err(FLO_LOG_WARN, "desired", &err);
        }
        return;
    }
    flo_batches_publish(controller, FLO_TOPIC_DESIRED, device, text.data,
                        text.bytes);
}

static void publish_group(struct flo_controller *controller, const char *group)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct flo_err err = {0};

    if (flo_orders_group_text(controller, group, &text, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "orders", &err);
        return;
    }
    flo_batches_publish(controller, FLO_TOPIC_ORDER, group, text.data,
                        text.bytes);
}

/* ---- in pieces ---- */

#define PIECE_MS 5

struct flo_spread {
    struct event *event;
    struct flo_text_list devices;
    size_t next;
    uint64_t begin_ms;
    void (*then)(struct flo_controller *controller);
};

static void spread_plan(struct flo_spread *spread)
{
    static const struct timeval at_once = {0};

    if (!event_pending(spread->event, EV_TIMEOUT, NULL)) {
        event_add(spread->event, &at_once);
    }
}

static void spread_end(struct flo_controller *controller,
                       struct flo_spread *spread)
{
    void (*then)(struct flo_controller *) = spread->then;

    if (spread->devices.count > 100) {
        flo_log(FLO_LOG_INFO, "mqtt", "published %zu desired in %llu ms",
                spread->devices.count,
                (unsigned long long)(flo_now_ms() - spread->begin_ms));
    }
    flo_text_list_clear(&spread->devices);
    spread->next = 0;
    spread->then = NULL;
    if (then != NULL) {
        then(controller);
    }
}

static void on_spread(evutil_socket_t fd, short what, void *context)
{
    struct flo_controller *controller = context;
    struct flo_spread *spread = controller->spread;
    uint64_t until_ms = flo_now_ms() + PIECE_MS;

    (void)fd;
    (void)what;
    while (spread->next < spread->devices.count && flo_now_ms() < until_ms) {
        publish_desired(controller, spread->devices.items[spread->next++]);
    }
    if (spread->next < spread->devices.count) {
        spread_plan(spread);
    } else {
        spread_end(controller, spread);
    }
}

/* What a document says is read when it leaves: a device that is in the list
 * already needs no second place, unless it had its turn. */
static void spread_add(struct flo_controller *controller,
                       const struct flo_text_list *devices)
{
    struct flo_spread *spread = controller->spread;

    for (size_t i = 0; i < devices->count; i++) {
        if (spread == NULL) {
            publish_desired(controller, devices->items[i]);
        } else {
            flo_text_list_add(&spread->devices, devices->items[i]);
        }
    }
    if (spread != NULL && spread->devices.count > 0) {
        if (spread->next == 0) {
            spread->begin_ms = flo_now_ms();
        }
        spread_plan(spread);
    }
}

int flo_outgoing_spread_open(struct flo_controller *controller,
                             struct flo_err *err)
{
    struct flo_spread *spread = calloc(1, sizeof(*spread));

    controller->spread = spread;
    if (spread != NULL) {
        spread->event =
            event_new(controller->base, -1, 0, on_spread, controller);
    }
    return spread == NULL || spread->event == NULL
               ? flo_fail(err, FLO_E_MEMORY, "desired documents")
               : 0;
}

void flo_outgoing_spread_close(struct flo_controller *controller)
{
    struct flo_spread *spread = controller->spread;

    if (spread != NULL) {
        if (spread->event != NULL) {
            event_free(spread->event);
        }
        flo_text_list_clear(&spread->devices);
        free(spread);
        controller->spread = NULL;
    }
}

/* ---- acknowledgements ---- */

#define ACK_OF_BYTES 74 /* device and boot, a space behind each */

/* "<device> <boot> <sequence>", unique and sorted; of one device the last in
 * the list is not always the highest, so each is sent: agents take the highest.
 */
static void publish_ack(struct flo_controller *controller, const char *ack)
{
    char device[37];
    char text[128];

    if (strlen(ack) < ACK_OF_BYTES + 1) {
        return;
    }
    memcpy(device, ack, 36);
    device[36] = '\0';
    snprintf(text, sizeof(text), "{\"v\":1,\"boot\":\"%.36s\",\"ack\":%s}",
             ack + 37, ack + ACK_OF_BYTES);
    flo_batches_publish(controller, FLO_TOPIC_CMD, device, text, strlen(text));
}

static int take_order(void *context, const struct flo_fleet_order *order)
{
    struct flo_buf *text = context;

    flo_buf_printf(text, "{\"v\":1,\"order\":%s}", order->envelope);
    return 0;
}

/* "<device> <order>": the order once more, for this device alone, which
 * answers what it carried out before. */
static void publish_ask(struct flo_controller *controller, const char *ask)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    char device[37];

    snprintf(device, sizeof(device), "%.36s", ask);
    if (strlen(ask) > 37 &&
        flo_fleet_order_get(controller->store, ask + 37, take_order, &text,
                            NULL) == 0 &&
        !text.failed) {
        flo_batches_publish(controller, FLO_TOPIC_CMD, device, text.data,
                            text.bytes);
    }
}

/* Of several acknowledgements of one boot only the last one counts: they come
 * in the order of the events. */
static void acks_newest(struct flo_text_list *acks)
{
    size_t kept = 0;

    for (size_t i = 0; i < acks->count; i++) {
        bool superseded =
            i + 1 < acks->count &&
            strncmp(acks->items[i], acks->items[i + 1], ACK_OF_BYTES) == 0;
        if (superseded) {
            free(acks->items[i]);
        } else {
            acks->items[kept++] = acks->items[i];
        }
    }
    acks->count = kept;
}

void flo_outgoing_flush(struct flo_controller *controller)
{
    struct flo_outgoing effects = controller->outgoing;

    controller->outgoing = (struct flo_outgoing){0};
    if (controller->mqtt != NULL) {
        flo_text_list_unique(&effects.groups);
        flo_text_list_unique(&effects.desired);
        acks_newest(&effects.acks);
        for (size_t i = 0; i < effects.groups.count; i++) {
            publish_group(controller, effects.groups.items[i]);
        }
        spread_add(controller, &effects.desired);
        for (size_t i = 0; i < effects.cleared.count; i++) {
            flo_batches_publish(controller, FLO_TOPIC_DESIRED,
                                effects.cleared.items[i], "", 0);
        }
        for (size_t i = 0; i < effects.acks.count; i++) {
            publish_ack(controller, effects.acks.items[i]);
        }
        for (size_t i = 0; i < effects.asks.count; i++) {
            publish_ask(controller, effects.asks.items[i]);
        }
    }
    if (effects.acl) {
        flo_batches_acl_changed(controller);
    }
    if (controller->live != NULL) {
        flo_text_list_unique(&effects.live);
        for (size_t i = 0; i < effects.live.count; i++) {
            flo_live_changed(controller->live, effects.live.items[i]);
        }
        for (size_t i = 0; i < effects.notes.count; i++) {
            flo_live_note(controller->live, effects.notes.items[i]);
        }
    }
    struct flo_outgoing kept = controller->outgoing;
    controller->outgoing = effects;
    flo_outgoing_clear(controller);
    controller->outgoing = kept;
}

static int collect_device(void *context, const struct flo_fleet_device *device)
{
    flo_text_list_add(context, device->id);
    return 0;
}

static int collect_group(void *context, const char *group)
{
    flo_text_list_add(context, group);
    return 0;
}

void flo_outgoing_publish_all(struct flo_controller *controller,
                              void (*then)(struct flo_controller *controller))
{
    struct flo_fleet_device_filter filter = {.online = -1};
    struct flo_text_list groups = {0};
    struct flo_text_list devices = {0};
    struct flo_err err = {0};
    uint64_t begin_ms = flo_now_ms();

    if (flo_fleet_order_groups(controller->store, flo_wall_ms(), collect_group,
                               &groups, &err) < 0 ||
        flo_fleet_device_list(controller->store, &filter, collect_device,
                              &devices, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
    flo_text_list_add(&groups, "all");
    flo_text_list_unique(&groups);
    for (size_t i = 0; i < groups.count; i++) {
        publish_group(controller, groups.items[i]);
    }
    flo_log(FLO_LOG_INFO, "mqtt", "published %zu order lists in %llu ms",
            groups.count, (unsigned long long)(flo_now_ms() - begin_ms));
    spread_add(controller, &devices);
    if (controller->spread != NULL && devices.count > 0) {
        controller->spread->then = then;
    } else {
        then(controller);
    }
    flo_text_list_clear(&groups);
    flo_text_list_clear(&devices);
}
