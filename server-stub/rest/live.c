/* Live: the ring buffer, the clients, and the pacing of changes. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "server-stub/core/access/seats.h"
#include "server-stub/core/access/tokens.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/rest.h"
#include "server-stub/state/devices/view.h"
#include "server-stub/state/orders/view.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/released.h"
#include "server-stub/state/rollouts/view.h"

#define RING_EVENTS 16384
#define RING_BYTES_MAX (32u << 20)
#define CLIENTS_MAX 64
#define BACKLOG_BYTES_MAX (4u << 20)
#define PACE_MS 250
#define ALIVE_MS 5000 /* interval of signs of life; a page reconnects after three missed ones */
/* shortest interval between two telemetry events, by which charts are
 * updated */
#define TELEMETRY_MS 5000
/* longest absence after which a client still gets the events that it missed */
#define UNHEARD_MS 60000

struct live_event {
    uint64_t id;
    char *text; /* the whole frame */
    size_t bytes;
};

struct live_client {
    struct flo_live *live;
    struct flo_httpd_request *request;
    char token_id[FLO_TOKEN_ID_TEXT];
    char account[FLO_ACCOUNT_TEXT];
    bool is_admin;
};

struct flo_live {
    struct flo_controller *controller;
    struct event *pace;
    struct flo_changes changed;
    struct live_event ring[RING_EVENTS];
    size_t first;
    size_t count;
    size_t bytes;
    uint64_t next_id;
    uint64_t alive_at_ms;
    uint64_t telemetry_at_ms; /* earliest time at which the next telemetry event is sent */
    uint64_t heard_at_ms;     /* last time at which a client was connected; 0: never */
    struct live_client *clients[CLIENTS_MAX];
    size_t client_count;
};

/* ---- clients ---- */

static void client_drop(struct flo_live *live, struct live_client *client)
{
    for (size_t i = 0; i < live->client_count; i++) {
        if (live->clients[i] == client) {
            live->clients[i] = live->clients[--live->client_count];
            free(client);
            return;
        }
    }
}

static void on_closed(void *user)
{
    struct live_client *client = user;

    client_drop(client->live, client);
}

static void client_end(struct flo_live *live, struct live_client *client,
                       void (*end)(struct flo_httpd_request *request))
{
    struct flo_httpd_request *request = client->request;

    flo_httpd_set_user(request, NULL, NULL);
    client_drop(live, client);
    end(request);
}

/* Sends a text to all clients.  A client that does not read is disconnected; it
 * returns with Last-Event-ID. */
static void send_all(struct flo_live *live, const char *text, size_t bytes)
{
    for (size_t i = live->client_count; i > 0; i--) {
        struct live_client *client = live->clients[i - 1];
        if (!flo_httpd_stream_chunk(client->request, text, bytes, BACKLOG_BYTES_MAX)) {
            client_end(live, client, flo_httpd_stream_abort);
        }
    }
}

static int take_valid(void *context, const struct flo_fleet_token *token)
{
    *(bool *)context = token->expires_at_ms == 0 || token->expires_at_ms > flo_wall_ms();
    return 0;
}

/* Disconnects clients whose token was deleted or has expired. */
static void end_without_token(struct flo_live *live)
{
    for (size_t i = live->client_count; i > 0; i--) {
        struct live_client *client = live->clients[i - 1];
        struct flo_err err = {0};
        bool is_valid = false;
        int rv = flo_fleet_token_get(live->controller->store, client->token_id, NULL, take_valid,
                                     &is_valid, &err);
        if (rv == FLO_E_ABSENT || (rv == 0 && !is_valid)) {
            client_end(live, client, flo_httpd_stream_end);
        }
    }
}

/* ---- ring ---- */

static void ring_drop(struct flo_live *live)
{
    struct live_event *event = &live->ring[live->first];

    live->bytes -= event->bytes;
    free(event->text);
    *event = (struct live_event){0};
    live->first = (live->first + 1) % RING_EVENTS;
    live->count--;
}

static void push(struct flo_live *live, const char *topic, const char *json)
{
    struct flo_buf text = {0};
    uint64_t id = live->next_id++;

    flo_buf_printf(&text, "event: %s\nid: %llu\ndata: ", topic, (unsigned long long)id);
    flo_buf_text(&text, json);
    flo_buf_text(&text, "\n\n");
    if (text.failed) {
        flo_buf_deinit(&text);
        return;
    }
    while (live->count > 0 &&
           (live->count == RING_EVENTS || live->bytes + text.bytes > RING_BYTES_MAX)) {
        ring_drop(live);
    }
    live->ring[(live->first + live->count) % RING_EVENTS] =
        (struct live_event){.id = id, .text = text.data, .bytes = text.bytes};
    live->count++;
    live->bytes += text.bytes;
    send_all(live, text.data, text.bytes);
}

/* Returns true when no client is connected and the last one left so long ago
 * that none will ask for these events. */
static bool is_unheard(struct flo_live *live)
{
    uint64_t now_ms = flo_now_ms();

    if (live->client_count > 0) {
        live->heard_at_ms = now_ms;
    }
    return live->heard_at_ms == 0 || now_ms - live->heard_at_ms > UNHEARD_MS;
}

/* Empties the ring and skips an event number, so that a returning client
 * notices that it missed events. */
static void leave_out(struct flo_live *live)
{
    while (live->count > 0) {
        ring_drop(live);
    }
    live->next_id++;
}

/* ---- changes ---- */

struct taken {
    const struct flo_controller *controller;
    json_t *object;
};

static int take_device(void *context, const struct flo_fleet_device *device)
{
    struct taken *taken = context;

    taken->object = flo_object_device(taken->controller, device);
    return 0;
}

static int view_device(struct flo_controller *controller, const char *key, json_t **out,
                       struct flo_err *err)
{
    struct taken taken = {.controller = controller};
    int rv = flo_fleet_device_get(controller->store, key, take_device, &taken, err);

    *out = taken.object;
    return rv;
}

static int take_release(void *context, const struct flo_fleet_release *release)
{
    *(json_t **)context = flo_object_release(release, false);
    return 0;
}

static int view_release(struct flo_controller *controller, const char *key, json_t **out,
                        struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    FLO_TRY(flo_release_title_parse(key, model, version, err));
    return flo_fleet_release_get(controller->store, model, version, take_release, out, err);
}

static int view_rollout(struct flo_controller *controller, const char *key, json_t **out,
                        struct flo_err *err)
{
    struct flo_rollout_entry *entry;

    FLO_TRY(flo_rollouts_find(controller, key, &entry, err));
    return flo_object_rollout(controller, entry, entry->core.member_count <= 200 ? 200 : 0, out,
                              err);
}

static int view(struct flo_controller *controller, const struct flo_change *change, json_t **out,
                struct flo_err *err)
{
    switch (change->object) {
    case FLO_OBJECT_DEVICE:
        return view_device(controller, change->key, out, err);
    case FLO_OBJECT_ORDER:
        return flo_object_order(controller, change->key, 0, out, err);
    case FLO_OBJECT_RELEASE:
        return view_release(controller, change->key, out, err);
    case FLO_OBJECT_ROLLOUT:
        return view_rollout(controller, change->key, out, err);
    }
    return FLO_E_ABSENT;
}

static void send_changed(struct flo_live *live, const struct flo_change *change)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) out = {0};
    struct flo_err err = {0};
    json_t *json = NULL;

    if (view(live->controller, change, &json, &err) < 0) {
        return; /* A deleted object has no view, so no event is sent. */
    }
    flo_json_dump(json, &out);
    json_decref(json);
    if (!out.failed) {
        push(live, flo_object_word(change->object), out.data);
    }
}

static void on_pace(evutil_socket_t fd, short what, void *context)
{
    struct flo_live *live = context;
    struct flo_changes changed = live->changed;

    (void)fd, (void)what;
    end_without_token(live);
    live->changed = (struct flo_changes){0};
    flo_changes_unique(&changed);
    bool unheard = is_unheard(live);
    for (size_t i = 0; i < changed.count && !unheard; i++) {
        send_changed(live, &changed.items[i]);
    }
    if (unheard && changed.count > 0) {
        leave_out(live);
    }
    free(changed.items);
    if (flo_now_ms() >= live->alive_at_ms) {
        live->alive_at_ms = flo_now_ms() + ALIVE_MS;
        send_all(live, ": alive\n\n", 9);
    }
}

static void push_telemetry(struct flo_live *live, size_t devices)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};

    if (is_unheard(live) || flo_now_ms() < live->telemetry_at_ms) {
        return;
    }
    live->telemetry_at_ms = flo_now_ms() + TELEMETRY_MS;
    flo_buf_printf(&text, "{\"at_ms\":%llu,\"devices\":%zu}", (unsigned long long)flo_wall_ms(),
                   devices);
    if (!text.failed) {
        push(live, "telemetry", text.data);
    }
}

static void push_audit(struct flo_live *live, const char *record)
{
    if (is_unheard(live)) {
        leave_out(live);
    } else {
        push(live, "audit", record);
    }
}

/* Queues the objects that a commit changed for pacing.  Audit records are sent
 * at once. */
static void on_committed(void *context, const struct flo_outgoing *outgoing)
{
    struct flo_live *live = context;

    for (size_t i = 0; i < outgoing->changes.count; i++) {
        flo_changes_add(&live->changed, &outgoing->changes.items[i]);
    }
    for (size_t i = 0; i < outgoing->audit.count; i++) {
        push_audit(live, outgoing->audit.items[i]);
    }
    if (outgoing->telemetry_devices > 0) {
        push_telemetry(live, outgoing->telemetry_devices);
    }
}

/* ---- subscribing ---- */

static void replay(struct flo_live *live, struct live_client *client, const char *last_text)
{
    static const char resync[] = "event: resync\ndata: {}\n\n";
    char *end;
    uint64_t last = strtoull(last_text, &end, 10);
    uint64_t oldest = live->count > 0 ? live->ring[live->first].id : live->next_id;

    if (*end != '\0' || last + 1 < oldest || last >= live->next_id) {
        (void)flo_httpd_stream_chunk(client->request, resync, sizeof(resync) - 1,
                                     BACKLOG_BYTES_MAX);
        return;
    }
    for (size_t i = 0; i < live->count; i++) {
        const struct live_event *event = &live->ring[(live->first + i) % RING_EVENTS];
        if (event->id > last && !flo_httpd_stream_chunk(client->request, event->text, event->bytes,
                                                        BACKLOG_BYTES_MAX)) {
            /* more than one client may have waiting */
            (void)flo_httpd_stream_chunk(client->request, resync, sizeof(resync) - 1, UINT32_MAX);
            return;
        }
    }
}

/* Makes room for a new client, if necessary by disconnecting another one.
 * Returns false if there is no room for the new client. */
static bool make_room(struct flo_live *live, const struct flo_seat *newcomer)
{
    struct flo_seat seats[CLIENTS_MAX];

    for (size_t i = 0; i < live->client_count; i++) {
        seats[i] = (struct flo_seat){live->clients[i]->account, live->clients[i]->is_admin};
    }
    size_t seat = flo_seat_find(seats, live->client_count, CLIENTS_MAX, newcomer);
    if (seat < live->client_count) {
        client_end(live, live->clients[seat], flo_httpd_stream_end);
    }
    return seat != SIZE_MAX;
}

void flo_live_subscribe(struct flo_live *live, const struct flo_rest_call *call)
{
    struct flo_httpd_request *request = call->request;
    struct flo_err err = {0};
    struct flo_seat seat = {call->account, flo_grants_hold(&call->grants, FLO_ACCESS_ADMIN)};
    struct live_client *client = make_room(live, &seat) ? calloc(1, sizeof(*client)) : NULL;
    const char *last = flo_httpd_header(request, "Last-Event-ID");

    if (client == NULL) {
        flo_fail(&err, FLO_E_REST_LIMIT,
                 "%zu live clients are connected, %d for an account at most", live->client_count,
                 FLO_SEATS_ACCOUNT_MAX);
        flo_httpd_answer_err(request, &err);
        return;
    }
    client->live = live;
    client->request = request;
    client->is_admin = seat.is_admin;
    snprintf(client->token_id, sizeof(client->token_id), "%.*s", FLO_TOKEN_ID_TEXT - 1,
             call->token_id);
    snprintf(client->account, sizeof(client->account), "%s", call->account);
    live->clients[live->client_count++] = client;
    flo_httpd_set_user(request, client, on_closed);
    flo_httpd_add_header(request, "Cache-Control", "no-store");
    flo_httpd_stream_begin(request, 200, "text/event-stream");
    (void)flo_httpd_stream_chunk(request, "retry: 2000\n\n", 13, BACKLOG_BYTES_MAX);
    if (last != NULL) {
        replay(live, client, last);
    }
}

size_t flo_live_clients(const struct flo_live *live)
{
    return live->client_count;
}

int flo_live_open(struct flo_controller *controller, struct event_base *base, struct flo_live **out,
                  struct flo_err *err)
{
    struct flo_live *live = calloc(1, sizeof(*live));
    struct timeval pace = {.tv_usec = PACE_MS * 1000};

    if (live == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "live events");
    }
    live->controller = controller;
    /* Event numbers begin above those before a restart, because there are never
     * 1,000 events in a millisecond. */
    live->next_id = flo_wall_ms() * 1000;
    *out = live;
    flo_outgoing_subscribe(controller,
                           (struct flo_subscriber){.context = live, .on_committed = on_committed});
    live->pace = event_new(base, -1, EV_PERSIST, on_pace, live);
    if (live->pace == NULL || event_add(live->pace, &pace) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "live events");
    }
    return 0;
}

void flo_live_close(struct flo_live *live)
{
    if (live == NULL) {
        return;
    }
    flo_outgoing_unsubscribe(live->controller, live);
    while (live->count > 0) {
        ring_drop(live);
    }
    for (size_t i = 0; i < live->client_count; i++) {
        free(live->clients[i]);
    }
    if (live->pace != NULL) {
        event_free(live->pace);
    }
    free(live->changed.items);
    free(live);
}
