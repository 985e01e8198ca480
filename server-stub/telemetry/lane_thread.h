/* Lane thread: the commands and devices of the telemetry thread (the lane).
 * They are not for others. */
#ifndef FLOTILLA_SERVER_LANE_THREAD_H
#define FLOTILLA_SERVER_LANE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/host/mqtt_queue.h"

#include "proto/telemetry_pace.h"
#include "server-stub/store/ids.h"
#include "server-stub/store/windows.h"
#include "server-stub/telemetry/lane.h"

enum flo_lane_command_kind {
    FLO_LANE_DEVICE,
    FLO_LANE_RELEASE,
    FLO_LANE_MESSAGE,
    FLO_LANE_QUERY,
    FLO_LANE_STOP
};
/* A command that the control thread sends to the telemetry thread. */
struct flo_lane_command {
    struct flo_lane_command *next;
    enum flo_lane_command_kind kind;
    struct flo_lane_query *query;
    size_t bytes;
    char *key;  /* id of the device, digest or topic; `key` and `data` point into `block` */
    char *data; /* hardware class ("" for none), model@version, or payload */
    char block[];
};

struct flo_lane_device {
    char id[37];
    char hardware[FLO_HARDWARE_TEXT]; /* "": retired */
    bool is_news;
    struct flo_telemetry_pace pace;
    uint64_t limited;
    uint64_t seen_at_ms;
    uint64_t rss_bytes;
    uint64_t ttft_us; /* time to first token, from the newest telemetry window with requests */
    struct flo_lane_memory {
        /* memory of the agent, and of the engines of the models that reported
         * in this round */
        uint64_t bytes;
        uint32_t first;        /* checksum of the name of the model that began
                                  the round; 0: no round began */
        uint32_t parts;        /* models so far */
        uint32_t parts_before; /* number of models in the previous round */
    } memory;
};

/* Devices that the telemetry thread knows; only that thread uses them. */
struct flo_lane_devices {
    struct flo_ids ids;
    struct flo_lane_device *items; /* by number */
    uint32_t *news;                /* indexes of the devices about which the
                                      control thread must be told something new */
    size_t capacity, news_count;
};
/* Finds a device.  Returns NULL for an unknown device, or without memory. */
struct flo_lane_device *flo_lane_find(struct flo_lane_devices *devices, const char *id);
struct flo_lane_device *flo_lane_keep(struct flo_lane_devices *devices, const char *id);
void flo_lane_devices_free(struct flo_lane_devices *devices);

#define FLO_LANE_RELEASES_MAX 4096
struct flo_lane_known {
    struct flo_digest digest;
    char model[FLO_NAME_MAX + 1];
    char title[2 * FLO_NAME_MAX + 2]; /* model@version */
    char variants[FLO_LANE_VARIANTS]; /* a blank before each name; "": it has one */
};

struct flo_lane {
    char fleet[FLO_NAME_MAX + 1];
    pthread_t thread;
    bool is_running;
    struct event_base *base; /* event loop of the telemetry thread */
    /* connection to the broker; NULL: telemetry arrives only by
     * flo_lane_feed */
    struct flo_mqtt *mqtt;
    struct event *wake, *commit, *second, *prune;
    int wake_fd;

    struct flo_lane_judge judge;
    /* handover to the next leader; NULL: evidence stays in the local store */
    struct flo_handed *handed;
    atomic_bool is_stopping;
    atomic_bool has_past; /* the former leader's evidence was taken over, or there is none */

    /* Members that only the telemetry thread uses. */
    struct flo_windows *store;
    struct flo_lane_devices devices;
    struct flo_observer *observer;
    struct flo_lane_known *releases; /* [FLO_LANE_RELEASES_MAX] */
    size_t release_count, release_next;
    struct flo_histogram *histograms; /* [FLO_METRIC_COUNT] */
    /* counters by release and class; they have a mutex of their own */
    struct flo_counters *counters;
    struct flo_trends *trends; /* trends of devices; they have a mutex of their own */
    size_t batch;              /* number of telemetry windows in the open transaction */
    bool is_open;              /* a transaction is open */
    bool stops;
    uint64_t limited_log_at_ms, failed_log_at_ms, hour;
    uint64_t dropped_before; /* number of telemetry windows that the connection
                                had dropped a second ago */

    /* Members that only the control thread uses. */
    struct event *news;
    int news_fd;
    void (*on_news)(void *context);
    void *context;

    pthread_mutex_t mutex; /* guards the members that follow it */
    struct flo_lane_command *first, **last;
    struct flo_mqtt_room room; /* room that is left for queued messages */
    struct {
        bool is_taken;
        char account[FLO_LANE_ACCOUNT];
    } places[FLO_LANE_QUERIES_MAX]; /* places that queries have reserved */
    struct flo_lane_query *answers, **answers_last;
    struct flo_lane_fact *facts;
    size_t fact_count;

    atomic_uint_fast64_t windows, repeated, dropped, shed, limited, lost, asked;
    atomic_int_fast64_t missing;
    atomic_uint_fast64_t left_out_at_ms;
    atomic_bool listens;
};

/* Handles a telemetry message, on the telemetry thread (lane_take.c). */
void flo_lane_take(struct flo_lane *lane, const struct flo_mqtt_message *message);
/* Commits the transaction that is open, if any. */
void flo_lane_commit(struct flo_lane *lane);
void flo_lane_answer(struct flo_lane *lane, struct flo_lane_query *query);
void flo_lane_learn(struct flo_lane *lane, const struct flo_lane_command *command);

/* The functions of the handover, which the telemetry thread calls
 * (lane_handed.c). */

/* Takes over the former leader's evidence and trends, before anything else is
 * done. */
void flo_lane_take_over(struct flo_lane *lane);
/* Hands changed rows over to the next leader.  Called once a second. */
void flo_lane_give(struct flo_lane *lane);
/* Hands all changed rows over to the next leader.  Called at the end. */
void flo_lane_give_last(struct flo_lane *lane);

#endif
