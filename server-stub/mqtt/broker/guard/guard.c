/* Guard: mosquitto's plugin that limits each device.
 *
 * mosquitto asks the guard about every subscription and message before it reads
 * the ACL file.  The guard refuses those over a limit, and leaves all others to
 * the ACL file.  The option `fleet` in mosquitto.conf names the fleet,
 * `port` the listener at whose door the guard stands (door.h), and `report` a
 * file.  The guard lists there the devices that exceeded a limit, at most 64, a
 * line each (DEVICE SHARE SECONDS-SINCE-1970), and the controller reads it
 * (shares.c).  Only the broker's thread calls. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/core/guard/guard.h"
#include "server-stub/mqtt/broker/guard/door.h"
#include "server-stub/mqtt/broker/guard/plugin.h"
#include "server-stub/state/trust/trust.h"
#include "server-stub/telemetry/lane.h"

#define BUCKETS 4096
#define NAMED_MAX 64
#define REPORT_MS 2000
#define SWEEP_MS 60000
#define LOG_MS 60000

struct device {
    struct device *next;
    struct flo_guard_device core;
    bool is_full; /* too much is queued for the device, so the next tick disconnects it */
    char id[];
};

struct guard {
    char fleet[FLO_NAME_MAX + 1];
    char report[4096];
    char common[FLO_TOPIC_TEXT];
    struct device *buckets[BUCKETS];
    struct named {
        char device[FLO_NAME_MAX + 1];
        const char *share;
        uint64_t at_ms, wall_s;
    } named[NAMED_MAX];
    bool is_news; /* the report has changed and must be written */
    bool is_full; /* some device's is_full is set */
    uint64_t report_at_ms, sweep_at_ms, log_at_ms;
};

static struct guard *installed; /* whom the door asks */

/* ---- devices ---- */

static struct device **place_of(struct guard *guard, const char *id)
{
    struct device **place = &guard->buckets[flo_crc32c(0, id, strlen(id)) % BUCKETS];

    while (*place != NULL && strcmp((*place)->id, id) != 0) {
        place = &(*place)->next;
    }
    return place;
}

/* Finds the device, and adds it if missing.  Returns NULL without memory.  Ids
 * come from certificates, so there are no more ids than devices. */
static struct device *device_of(struct guard *guard, const char *id)
{
    struct device **place = place_of(guard, id);

    if (*place == NULL) {
        size_t chars = strlen(id) + 1;
        *place = calloc(1, sizeof(**place) + chars);
        if (*place != NULL) {
            memcpy((*place)->id, id, chars);
        }
    }
    return *place;
}

static void sweep(struct guard *guard, uint64_t now_ms, bool all)
{
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct device **at = &guard->buckets[i]; *at != NULL;) {
            struct device *device = *at;
            if (all || flo_guard_is_idle(&device->core, now_ms)) {
                *at = device->next;
                free(device);
            } else {
                at = &device->next;
            }
        }
    }
}

/* ---- who asked for more ---- */

static void name(struct guard *guard, const char *id, enum flo_guard_share share, uint64_t now_ms)
{
    const char *word = flo_guard_share_word(share);
    struct named *oldest = &guard->named[0];

    for (size_t i = 0; i < NAMED_MAX; i++) {
        struct named *one = &guard->named[i];
        if (one->share == word && strcmp(one->device, id) == 0) {
            oldest = one;
            break;
        }
        oldest = one->at_ms < oldest->at_ms ? one : oldest;
    }
    snprintf(oldest->device, sizeof(oldest->device), "%s", id);
    oldest->share = word;
    oldest->at_ms = now_ms;
    oldest->wall_s = flo_wall_ms() / 1000;
    guard->is_news = true;
    if (now_ms >= guard->log_at_ms) {
        guard->log_at_ms = now_ms + LOG_MS;
        mosquitto_log_printf(MOSQ_LOG_WARNING, "%s asks for more than its share: %s", id, word);
    }
}

static void report(struct guard *guard, uint64_t now_ms)
{
    char text[NAMED_MAX * (FLO_NAME_MAX + 48)];
    size_t chars = 0;

    for (size_t i = 0; i < NAMED_MAX && guard->named[i].share != NULL; i++) {
        chars += (size_t)snprintf(text + chars, sizeof(text) - chars, "%s %s %llu\n",
                                  guard->named[i].device, guard->named[i].share,
                                  (unsigned long long)guard->named[i].wall_s);
    }
    guard->is_news = flo_file_write(guard->report, text, chars, 0600, NULL) < 0;
    guard->report_at_ms = now_ms + REPORT_MS;
}

/* ---- what mosquitto asks ---- */

static bool is_own(const char *id)
{
    return strcmp(id, "controller") == 0 || strcmp(id, FLO_LANE_CLIENT) == 0 ||
           strcmp(id, FLO_EMERGENCY_CLIENT) == 0;
}

/* Tells whether a device may subscribe to the filter: it is one of the device's
 * own topics, or one of a group or of everybody, as listed in
 * proto/topics.def. */
static bool is_listed(const struct guard *guard, const char *id, const char *filter)
{
    enum flo_topic topic;
    char key[FLO_NAME_MAX + 1];

    if (strcmp(filter, guard->common) == 0) {
        return true;
    }
    if (flo_topic_parse(filter, guard->fleet, &topic, key, NULL) < 0) {
        return false;
    }
    const struct flo_topic_fact *fact = flo_topic_fact(topic);
    return !fact->is_device_writing && (strncmp(fact->path, "d/", 2) != 0 || strcmp(key, id) == 0);
}

/* Takes one from the bucket of a limit.  If the bucket is empty, the device is
 * reported, and the result is false. */
static bool takes(struct guard *guard, struct device *device, enum flo_guard_share share,
                  uint64_t count, uint64_t now_ms)
{
    bool may = flo_guard_take(&device->core, share, count, now_ms);

    if (!may) {
        name(guard, device->id, share, now_ms);
    }
    return may;
}

static int subscribes(struct guard *guard, struct device *device,
                      const struct mosquitto_evt_acl_check *asked, uint64_t now_ms)
{
    flo_guard_begins(&device->core, mosquitto_client_clean_session(asked->client), now_ms);
    if (!takes(guard, device, FLO_GUARD_SUBSCRIPTIONS, 1, now_ms)) {
        return MOSQ_ERR_UNKNOWN;
    }
    return asked->access == MOSQ_ACL_SUBSCRIBE &&
                   (!is_listed(guard, device->id, asked->topic) ||
                    mosquitto_client_sub_count(asked->client) >= FLO_GUARD_HELD_MAX)
               ? MOSQ_ERR_ACL_DENIED
               : MOSQ_ERR_PLUGIN_DEFER;
}

static int hears(struct guard *guard, struct device *device,
                 const struct mosquitto_evt_acl_check *asked)
{
    bool fits = flo_guard_hears(&device->core, asked->payloadlen, asked->retain);

    if (flo_guard_is_full(&device->core) && !device->core.is_away) {
        guard->is_full = device->is_full = true;
    }
    return fits ? MOSQ_ERR_PLUGIN_DEFER : MOSQ_ERR_ACL_DENIED;
}

static int on_check(int event, void *data, void *context)
{
    const struct mosquitto_evt_acl_check *asked = data;
    struct guard *guard = context;
    const char *id = mosquitto_client_id(asked->client);

    (void)event;
    if (id == NULL || is_own(id)) {
        return MOSQ_ERR_PLUGIN_DEFER;
    }
    struct device *device = device_of(guard, id);
    if (device == NULL) {
        return MOSQ_ERR_ACL_DENIED;
    }
    uint64_t now_ms = flo_now_ms();
    switch (asked->access) {
    case MOSQ_ACL_WRITE:
        return takes(guard, device, FLO_GUARD_MESSAGES, 1, now_ms) &&
                       takes(guard, device, FLO_GUARD_KILOBYTES, asked->payloadlen / 1024 + 1,
                             now_ms)
                   ? MOSQ_ERR_PLUGIN_DEFER
                   : MOSQ_ERR_UNKNOWN;
    case MOSQ_ACL_READ:
        return hears(guard, device, asked);
    default:
        return subscribes(guard, device, asked, now_ms);
    }
}

static int on_disconnect(int event, void *data, void *context)
{
    const struct mosquitto_evt_disconnect *left = data;
    struct guard *guard = context;
    const char *id = mosquitto_client_id(left->client);
    struct device *device = id == NULL || is_own(id) ? NULL : device_of(guard, id);

    (void)event;
    if (device != NULL) {
        uint64_t now_ms = flo_now_ms();
        (void)takes(guard, device, FLO_GUARD_CONNECTIONS, 1, now_ms);
        flo_guard_left(&device->core, now_ms);
        device->is_full = false;
    }
    return MOSQ_ERR_SUCCESS;
}

/* Disconnects the devices that are full. on_check() cannot do this, because the
 * broker calls it while it handles a message. */
static void end_full(struct guard *guard, uint64_t now_ms)
{
    guard->is_full = false;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct device *at = guard->buckets[i]; at != NULL; at = at->next) {
            if (at->is_full) {
                at->is_full = false;
                (void)takes(guard, at, FLO_GUARD_UNREAD, 1, now_ms);
                mosquitto_kick_client_by_clientid(at->id, true);
            }
        }
    }
}

static int on_tick(int event, void *data, void *context)
{
    struct guard *guard = context;
    uint64_t now_ms = flo_now_ms();

    (void)event, (void)data;
    flo_broker_door_tick(now_ms);
    if (guard->is_full) {
        end_full(guard, now_ms);
    }
    if (guard->is_news && now_ms >= guard->report_at_ms) {
        report(guard, now_ms);
    }
    if (now_ms >= guard->sweep_at_ms) {
        guard->sweep_at_ms = now_ms + SWEEP_MS;
        sweep(guard, now_ms, false);
    }
    return MOSQ_ERR_SUCCESS;
}

/* ---- what the door asks ---- */

static void unfinished(const char *who)
{
    name(installed, who, FLO_GUARD_UNFINISHED, flo_now_ms());
}

static bool is_due(const char *id)
{
    const struct device *device = *place_of(installed, id);
    struct flo_guard_device copy = {0};

    if (device != NULL) {
        copy = device->core;
    }
    return flo_guard_take(&copy, FLO_GUARD_CONNECTIONS, 1, flo_now_ms());
}

/* ---- begin and end ---- */

int mosquitto_plugin_version(int count, const int *versions)
{
    for (int i = 0; i < count; i++) {
        if (versions[i] == MOSQ_PLUGIN_VERSION) {
            return MOSQ_PLUGIN_VERSION;
        }
    }
    return -1;
}

static void take_option(struct guard *guard, const struct mosquitto_opt *option)
{
    if (strcmp(option->key, "fleet") == 0) {
        snprintf(guard->fleet, sizeof(guard->fleet), "%s", option->value);
    } else if (strcmp(option->key, "report") == 0) {
        snprintf(guard->report, sizeof(guard->report), "%s", option->value);
    } else if (strcmp(option->key, "port") == 0) {
        flo_broker_door_guards((uint16_t)strtoul(option->value, NULL, 10),
                               (struct flo_broker_door_asks){unfinished, is_due});
    }
}

int mosquitto_plugin_init(void *plugin, void **context, struct mosquitto_opt *options, int count)
{
    struct guard *guard = calloc(1, sizeof(*guard));

    if (guard == NULL) {
        return MOSQ_ERR_NOMEM;
    }
    *context = installed = guard;
    for (int i = 0; i < count; i++) {
        take_option(guard, &options[i]);
    }
    if (guard->report[0] == '\0' || flo_topic_common(guard->fleet, guard->common, NULL) < 0) {
        mosquitto_log_printf(MOSQ_LOG_WARNING, "guard: it needs the options fleet and report");
        return MOSQ_ERR_INVAL;
    }
    int rv = mosquitto_callback_register(plugin, MOSQ_EVT_ACL_CHECK, on_check, NULL, guard);
    if (rv == 0) {
        rv = mosquitto_callback_register(plugin, MOSQ_EVT_DISCONNECT, on_disconnect, NULL, guard);
    }
    if (rv == 0) {
        rv = mosquitto_callback_register(plugin, MOSQ_EVT_TICK, on_tick, NULL, guard);
    }
    return rv;
}

int mosquitto_plugin_cleanup(void *context, struct mosquitto_opt *options, int count)
{
    struct guard *guard = context;

    (void)options, (void)count;
    if (guard != NULL) {
        sweep(guard, 0, true);
        free(guard);
    }
    return MOSQ_ERR_SUCCESS;
}
