/* Lane: runs the telemetry thread, and exchanges data with it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/process.h>
#include <flotilla/metrics.h>

#include "base/host/wake.h"

#include "server-stub/telemetry/lane_thread.h"

#define TRENDS_PER_SECOND 500
#define NICE 10 /* low priority of the thread on its machine */
#define QUEUE_MESSAGES_MAX 20000
#define QUEUE_DEVICE_MAX 1024
#define PRUNE_PAUSE_MS 20
#define HOUR_MS (UINT64_C(3600) * 1000)
#define SHEDDING_MS 60000

/* ---- commands: the control thread's side ---- */

static struct flo_lane_command *command_new(enum flo_lane_command_kind kind, const char *key,
                                            const char *data, size_t bytes)
{
    size_t key_bytes = strlen(key) + 1;
    struct flo_lane_command *command = malloc(sizeof(*command) + key_bytes + bytes + 1);

    if (command == NULL) {
        return NULL;
    }
    *command = (struct flo_lane_command){.kind = kind, .bytes = bytes};
    command->key = command->block;
    command->data = command->block + key_bytes;
    memcpy(command->key, key, key_bytes);
    memcpy(command->data, data, bytes);
    command->data[bytes] = '\0';
    return command;
}

/* Appends a command to those for the telemetry thread.  The caller holds the
 * mutex. */
static void append(struct flo_lane *lane, struct flo_lane_command *command)
{
    *lane->last = command;
    lane->last = &command->next;
}

static void tell(struct flo_lane *lane, struct flo_lane_command *command)
{
    if (command == NULL) {
        /* Without memory the command is not given.  The controller only gives
         * it again at its next start. */
        return;
    }
    pthread_mutex_lock(&lane->mutex);
    append(lane, command);
    pthread_mutex_unlock(&lane->mutex);
    flo_wake_poke(lane->wake_fd);
}

void flo_lane_device(struct flo_lane *lane, const char *device, const char *hardware_or_null)
{
    const char *hardware = hardware_or_null != NULL ? hardware_or_null : "";

    tell(lane, command_new(FLO_LANE_DEVICE, device, hardware, strlen(hardware)));
}

void flo_lane_release(struct flo_lane *lane, const char *digest, const char *model,
                      const char *version, const char *variants)
{
    char title[2 * FLO_NAME_MAX + 2 + FLO_LANE_VARIANTS];

    snprintf(title, sizeof(title), "%.64s@%.64s%s", model, version, variants);
    tell(lane, command_new(FLO_LANE_RELEASE, digest, title, strlen(title)));
}

void flo_lane_feed(struct flo_lane *lane, const struct flo_mqtt_message *message)
{
    struct flo_lane_command *command =
        command_new(FLO_LANE_MESSAGE, message->topic, message->data, message->bytes);
    bool fits;

    pthread_mutex_lock(&lane->mutex);
    fits = command != NULL && flo_mqtt_room_enter(&lane->room, message->topic, message->bytes);
    if (fits) {
        append(lane, command);
    }
    pthread_mutex_unlock(&lane->mutex);
    if (fits) {
        flo_wake_poke(lane->wake_fd);
        return;
    }
    free(command);
    atomic_fetch_add(&lane->shed, 1);
    atomic_store(&lane->left_out_at_ms, flo_now_ms());
}

static void query_free(struct flo_lane_query *query)
{
    if (query != NULL) {
        flo_buf_deinit(&query->text);
        flo_lane_evidence_free(query->evidence);
        flo_observe_analysis_free(query->analysis);
        flo_observe_bases_free(query->bases);
        if (query->drop != NULL) {
            query->drop(query->context);
        }
        free(query);
    }
}

/* Reserves a place for a query.  Returns false if no place is free for the
 * query's account.  The caller holds the mutex. */
static bool take_place(struct flo_lane *lane, struct flo_lane_query *query)
{
    size_t place = FLO_LANE_QUERIES_MAX;
    size_t people = 0;
    size_t own = 0;

    for (size_t i = FLO_LANE_QUERIES_MAX; i-- > 0;) {
        const char *account = lane->places[i].account;
        if (!lane->places[i].is_taken) {
            place = i;
        } else if (account[0] != '\0') {
            people++;
            own += strcmp(account, query->account) == 0 ? 1 : 0;
        }
    }
    if (place == FLO_LANE_QUERIES_MAX ||
        (query->account[0] != '\0' &&
         (people >= FLO_LANE_PEOPLE_MAX || own >= FLO_LANE_ACCOUNT_MAX))) {
        return false;
    }
    lane->places[place].is_taken = true;
    memcpy(lane->places[place].account, query->account, sizeof(query->account));
    query->place = place;
    return true;
}

bool flo_lane_has_past(const struct flo_lane *lane)
{
    return atomic_load(&lane->has_past);
}

int flo_lane_ask(struct flo_lane *lane, struct flo_lane_query *query, struct flo_err *err)
{
    struct flo_lane_command *command = command_new(FLO_LANE_QUERY, "", "", 0);
    bool fits = false;

    if (command == NULL) {
        query_free(query);
        return flo_fail(err, FLO_E_MEMORY, "query");
    }
    command->query = query;
    pthread_mutex_lock(&lane->mutex);
    if (take_place(lane, query)) {
        append(lane, command);
        fits = true;
    }
    pthread_mutex_unlock(&lane->mutex);
    if (!fits) {
        free(command);
        query_free(query);
        flo_fail(err, FLO_E_REST_LIMIT,
                 "so many queries of telemetry wait already: %d, of one "
                 "account %d",
                 FLO_LANE_PEOPLE_MAX, FLO_LANE_ACCOUNT_MAX);
        return flo_err_fix(err, "ask again when they are answered");
    }
    flo_wake_poke(lane->wake_fd);
    return 0;
}

/* ---- commands: the thread's side ---- */

static void answered(struct flo_lane *lane, struct flo_lane_query *query)
{
    pthread_mutex_lock(&lane->mutex);
    *lane->answers_last = query;
    lane->answers_last = &query->next;
    pthread_mutex_unlock(&lane->mutex);
    flo_wake_poke(lane->news_fd);
}

static struct flo_lane_command *next_command(struct flo_lane *lane)
{
    struct flo_lane_command *command;

    pthread_mutex_lock(&lane->mutex);
    command = lane->first;
    if (command != NULL) {
        lane->first = command->next;
        if (lane->first == NULL) {
            lane->last = &lane->first;
        }
        if (command->kind == FLO_LANE_MESSAGE) {
            flo_mqtt_room_leave(&lane->room, command->key, command->bytes);
        }
    }
    pthread_mutex_unlock(&lane->mutex);
    return command;
}

static void carry_out(struct flo_lane *lane, struct flo_lane_command *command)
{
    switch (command->kind) {
    case FLO_LANE_DEVICE:
    case FLO_LANE_RELEASE:
        flo_lane_learn(lane, command);
        break;
    case FLO_LANE_MESSAGE:
        flo_lane_take(lane, &(struct flo_mqtt_message){.topic = command->key,
                                                       .data = command->data,
                                                       .bytes = command->bytes});
        break;
    case FLO_LANE_QUERY:
        flo_lane_answer(lane, command->query);
        answered(lane, command->query);
        break;
    case FLO_LANE_STOP:
        lane->stops = true;
        break;
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct flo_lane *lane = context;
    struct flo_lane_command *command;

    (void)what;
    flo_wake_calm(fd);
    while ((command = next_command(lane)) != NULL) {
        carry_out(lane, command);
        free(command);
    }
    if (lane->stops) {
        event_base_loopbreak(lane->base);
    }
}

/* ---- timers ---- */

static void on_commit(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    flo_lane_commit(context);
}

/* Passes the devices with news to the control thread, if that thread has
 * collected the last ones. */
static void tell_news(struct flo_lane *lane)
{
    struct flo_lane_devices *devices = &lane->devices;
    bool is_taken;

    pthread_mutex_lock(&lane->mutex);
    is_taken = lane->facts == NULL;
    pthread_mutex_unlock(&lane->mutex);
    if (!is_taken || devices->news_count == 0) {
        return;
    }
    struct flo_lane_fact *facts = calloc(devices->news_count, sizeof(*facts));
    if (facts == NULL) {
        return; /* the news are kept without memory, and the next call tries again */
    }
    for (size_t i = 0; i < devices->news_count; i++) {
        struct flo_lane_device *device = &devices->items[devices->news[i]];
        memcpy(facts[i].device, device->id, sizeof(facts[i].device));
        facts[i].seen_at_ms = device->seen_at_ms;
        facts[i].rss_bytes = device->rss_bytes;
        facts[i].ttft_us = device->ttft_us;
        device->is_news = false;
    }
    pthread_mutex_lock(&lane->mutex);
    lane->facts = facts;
    lane->fact_count = devices->news_count;
    pthread_mutex_unlock(&lane->mutex);
    devices->news_count = 0;
    flo_wake_poke(lane->news_fd);
}

static void on_second(evutil_socket_t fd, short what, void *context)
{
    struct flo_lane *lane = context;
    uint64_t hour = flo_wall_ms() / HOUR_MS;

    (void)fd, (void)what;
    tell_news(lane);
    flo_lane_commit(lane);
    flo_observer_tick(lane->observer, flo_wall_ms());
    flo_trends_store(lane->trends, TRENDS_PER_SECOND);
    flo_lane_give(lane);
    uint64_t dropped = lane->mqtt != NULL ? flo_mqtt_dropped(lane->mqtt) : 0;
    if (dropped != lane->dropped_before) {
        lane->dropped_before = dropped;
        atomic_store(&lane->left_out_at_ms, flo_now_ms());
    }
    if (hour != lane->hour) {
        lane->hour = hour;
        event_active(lane->prune, EV_TIMEOUT, 0);
    }
}

static void on_prune(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval pause = {.tv_usec = PRUNE_PAUSE_MS * 1000};
    struct flo_lane *lane = context;
    struct flo_err err = {0};
    bool more = false;

    (void)fd, (void)what;
    flo_lane_commit(lane);
    if (flo_windows_prune(lane->store, flo_wall_ms(), &more, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
    }
    if (more) {
        event_add(lane->prune, &pause);
    }
}

/* ---- connection ---- */

static void on_connected(void *context, bool session_present)
{
    struct flo_lane *lane = context;
    char filter[FLO_TOPIC_TEXT];
    struct flo_err err = {0};

    (void)session_present;
    if (flo_topic_build(FLO_TOPIC_TELE, lane->fleet, "+", filter, &err) < 0 ||
        flo_mqtt_subscribe(lane->mqtt, filter, 1, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "telemetry", &err);
        return;
    }
    flo_observer_connected(lane->observer, flo_wall_ms());
    atomic_store(&lane->listens, true);
}

static void on_disconnected(void *context, const struct flo_err *err, uint64_t retry_in_ms)
{
    struct flo_lane *lane = context;

    (void)retry_in_ms;
    if (atomic_exchange(&lane->listens, false)) {
        flo_log(FLO_LOG_WARN, "telemetry", "no broker: %s", err->what);
    }
}

static void on_message(void *context, const struct flo_mqtt_message *message)
{
    flo_lane_take(context, message);
}

static void on_refused(void *context, const char *topic, int reason)
{
    struct flo_lane *lane = context;

    atomic_store(&lane->listens, false);
    flo_log(FLO_LOG_ERROR, "telemetry", "the broker refused %s with 0x%02x", topic,
            (unsigned)reason);
}

static int connect_own(struct flo_lane *lane, const struct flo_mqtt_options *given,
                       struct flo_err *err)
{
    struct flo_mqtt_options options = *given;
    struct flo_mqtt_handlers handlers = {.context = lane,
                                         .on_connected = on_connected,
                                         .on_disconnected = on_disconnected,
                                         .on_message = on_message,
                                         .on_refused = on_refused};

    options.queue_messages_max = QUEUE_MESSAGES_MAX;
    options.queue_sender_max = QUEUE_DEVICE_MAX;
    return flo_mqtt_open(lane->base, &options, &handlers, &lane->mqtt, err);
}

/* ---- the thread ---- */

static void *run(void *context)
{
    struct flo_lane *lane = context;

    if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE) < 0) {
        flo_log(FLO_LOG_WARN, "telemetry", "the lane's thread runs at normal priority: %s",
                strerror(errno));
    }
    flo_lane_take_over(lane);
    atomic_store(&lane->has_past, true);
    event_base_dispatch(lane->base);
    flo_lane_commit(lane);
    flo_observer_save(lane->observer);
    flo_trends_store(lane->trends, SIZE_MAX);
    flo_lane_give_last(lane);
    return NULL;
}

static void on_news(evutil_socket_t fd, short what, void *context)
{
    struct flo_lane *lane = context;
    struct flo_lane_query *query;

    (void)what;
    flo_wake_calm(fd);
    pthread_mutex_lock(&lane->mutex);
    query = lane->answers;
    lane->answers = NULL;
    lane->answers_last = &lane->answers;
    pthread_mutex_unlock(&lane->mutex);
    while (query != NULL) {
        struct flo_lane_query *next = query->next;
        size_t place = query->place;
        if (query->context != NULL) {
            query->done(query->context, query, query->text.data != NULL ? query->text.data : "",
                        &query->err);
        }
        query_free(query);
        pthread_mutex_lock(&lane->mutex);
        lane->places[place].is_taken = false;
        pthread_mutex_unlock(&lane->mutex);
        query = next;
    }
    lane->on_news(lane->context);
}

static int events_make(struct flo_lane *lane, struct event_base *control, struct flo_err *err)
{
    static const struct timeval second = {.tv_sec = 1};

    lane->wake = event_new(lane->base, lane->wake_fd, EV_READ | EV_PERSIST, on_wake, lane);
    lane->commit = event_new(lane->base, -1, 0, on_commit, lane);
    lane->second = event_new(lane->base, -1, EV_PERSIST, on_second, lane);
    lane->prune = event_new(lane->base, -1, 0, on_prune, lane);
    lane->news = event_new(control, lane->news_fd, EV_READ | EV_PERSIST, on_news, lane);
    if (lane->wake == NULL || lane->commit == NULL || lane->second == NULL || lane->prune == NULL ||
        lane->news == NULL || event_add(lane->wake, NULL) < 0 ||
        event_add(lane->second, &second) < 0 || event_add(lane->news, NULL) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "telemetry's events");
    }
    return 0;
}

int flo_lane_start(struct flo_lane *lane, struct event_base *base,
                   const struct flo_mqtt_options *mqtt_or_null, void (*on_news_fn)(void *context),
                   void *context, struct flo_err *err)
{
    int rv = events_make(lane, base, err);

    lane->on_news = on_news_fn;
    lane->context = context;
    flo_observer_connected(lane->observer, flo_wall_ms());
    atomic_store(&lane->listens, mqtt_or_null == NULL);
    if (rv == 0 && mqtt_or_null != NULL) {
        rv = connect_own(lane, mqtt_or_null, err);
    }
    FLO_TRY(rv);
    if (pthread_create(&lane->thread, NULL, run, lane) != 0) {
        return flo_fail(err, FLO_E_PROCESS, "telemetry's thread");
    }
    lane->is_running = true;
    return 0;
}

/* ---- open and close ---- */

void flo_lane_judge(struct flo_lane *lane, struct flo_lane_judge judge)
{
    lane->judge = judge;
}

void flo_lane_hand_on(struct flo_lane *lane, struct flo_handed *handed)
{
    lane->handed = handed;
}

int flo_lane_open(const char *dir, const char *fleet, uint64_t block_ms, struct flo_lane **out,
                  struct flo_err *err)
{
    struct flo_lane *lane = calloc(1, sizeof(*lane));

    if (lane == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "telemetry");
    }
    snprintf(lane->fleet, sizeof(lane->fleet), "%s", fleet);
    pthread_mutex_init(&lane->mutex, NULL);
    lane->last = &lane->first;
    lane->answers_last = &lane->answers;
    lane->room.messages_max = QUEUE_MESSAGES_MAX;
    lane->room.sender_max = QUEUE_DEVICE_MAX;
    lane->releases = calloc(FLO_LANE_RELEASES_MAX, sizeof(*lane->releases));
    lane->histograms = calloc(FLO_METRIC_COUNT, sizeof(*lane->histograms));
    lane->counters = flo_counters_new();
    lane->wake_fd = flo_wake_open();
    lane->news_fd = flo_wake_open();
    lane->base = event_base_new();
    int rv = lane->base == NULL || lane->wake_fd < 0 || lane->news_fd < 0 ||
                     lane->releases == NULL || lane->histograms == NULL || lane->counters == NULL
                 ? flo_fail(err, FLO_E_MEMORY, "telemetry")
                 : flo_windows_open(dir, &lane->store, err);
    if (rv == 0) {
        rv = flo_observer_open(lane->store, block_ms, &lane->observer, err);
    }
    if (rv == 0) {
        rv = flo_trends_open(lane->store, &lane->trends, err);
    }
    if (rv < 0) {
        flo_lane_close(lane);
        return rv;
    }
    *out = lane;
    return 0;
}

static void events_free(struct flo_lane *lane)
{
    struct event **events[] = {&lane->wake, &lane->commit, &lane->second, &lane->prune,
                               &lane->news};

    for (size_t i = 0; i < FLO_COUNT(events); i++) {
        if (*events[i] != NULL) {
            event_free(*events[i]);
            *events[i] = NULL;
        }
    }
}

static void queues_free(struct flo_lane *lane)
{
    struct flo_lane_command *command;

    while ((command = next_command(lane)) != NULL) {
        query_free(command->query);
        free(command);
    }
    while (lane->answers != NULL) {
        struct flo_lane_query *next = lane->answers->next;
        query_free(lane->answers);
        lane->answers = next;
    }
    free(lane->facts);
}

void flo_lane_stop(struct flo_lane *lane)
{
    if (lane->is_running) {
        atomic_store(&lane->is_stopping, true);
        struct flo_lane_command *stop = command_new(FLO_LANE_STOP, "", "", 0);
        while (stop == NULL) {
            usleep(1000);
            stop = command_new(FLO_LANE_STOP, "", "", 0);
        }
        tell(lane, stop);
        pthread_join(lane->thread, NULL);
        lane->is_running = false;
    }
    flo_mqtt_close(lane->mqtt, NULL);
    lane->mqtt = NULL;
    events_free(lane);
}

void flo_lane_close(struct flo_lane *lane)
{
    if (lane == NULL) {
        return;
    }
    flo_lane_stop(lane);
    flo_lane_commit(lane);
    queues_free(lane);
    if (lane->base != NULL) {
        event_base_free(lane->base);
    }
    flo_handed_close(lane->handed);
    flo_observer_close(lane->observer);
    flo_trends_close(lane->trends);
    flo_windows_close(lane->store);
    flo_lane_devices_free(&lane->devices);
    free(lane->releases);
    free(lane->histograms);
    flo_counters_free(lane->counters);
    flo_fd_cleanup(&lane->wake_fd);
    flo_fd_cleanup(&lane->news_fd);
    pthread_mutex_destroy(&lane->mutex);
    free(lane);
}

/* ---- news ---- */

struct flo_lane_fact *flo_lane_facts(struct flo_lane *lane, size_t *count)
{
    struct flo_lane_fact *facts;

    pthread_mutex_lock(&lane->mutex);
    facts = lane->facts;
    *count = facts != NULL ? lane->fact_count : 0;
    lane->facts = NULL;
    pthread_mutex_unlock(&lane->mutex);
    return facts;
}

void flo_lane_count(struct flo_lane *lane, struct flo_lane_counters *out)
{
    int64_t missing = atomic_load(&lane->missing);

    *out = (struct flo_lane_counters){
        .windows = atomic_load(&lane->windows),
        .repeated = atomic_load(&lane->repeated),
        .dropped = atomic_load(&lane->dropped),
        .shed = atomic_load(&lane->shed) + (lane->mqtt != NULL ? flo_mqtt_dropped(lane->mqtt) : 0),
        .limited = atomic_load(&lane->limited),
        .lost = atomic_load(&lane->lost),
        .missing = (uint64_t)(missing > 0 ? missing : 0),
        .queries = atomic_load(&lane->asked),
        .listens = atomic_load(&lane->listens),
    };
}

struct flo_counters *flo_lane_counters(const struct flo_lane *lane)
{
    return lane->counters;
}

struct flo_trends *flo_lane_trends(const struct flo_lane *lane)
{
    return lane->trends;
}

bool flo_lane_is_shedding(struct flo_lane *lane)
{
    uint64_t at_ms = atomic_load(&lane->left_out_at_ms);

    return at_ms != 0 && flo_now_ms() - at_ms < SHEDDING_MS;
}
