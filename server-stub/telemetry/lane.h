/* Lane: telemetry from the broker to its store, on a thread of its own.
 *
 * The lane has its own connection to the embedded broker, queue, store and
 * thread, which gives way to all others.  Orders, answers, events, presence and
 * REST therefore never wait for telemetry.  Too much telemetry is left out here
 * and counted; a device that sends too much loses its own.  An external broker
 * knows only one identity of ours: there the control thread hands telemetry
 * over.
 *
 * The control thread tells the lane which devices and releases there are.  It
 * asks its queries here, and now and then takes the devices that the lane
 * heard.  All functions belong to the control thread, and they never wait. */
#ifndef FLOTILLA_SERVER_LANE_H
#define FLOTILLA_SERVER_LANE_H

#include <flotilla/base.h>

#include "base/host/mqtt.h"

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/store/handed.h"
#include "server-stub/telemetry/lane_evidence.h"
#include "server-stub/telemetry/observe/observe.h"
#include "server-stub/telemetry/tally.h"
#include "server-stub/telemetry/trends.h"

struct event_base;
struct flo_lane;

/* The lane's identity at the embedded broker. */
#define FLO_LANE_CLIENT "controller-telemetry"

/* Windows that one device may send at once: a day by the minute and more, after
 * an outage.  Then it may send five a second, the shortest interval. */
#define FLO_LANE_BURST 2048
#define FLO_LANE_PER_SECOND 5

/* `dir` ":memory:" for tests.  `block_ms`: FLO_BLOCK_MS, or less where a
 * statistical gate has to decide soon.  The thread is not started yet. */
FLO_MUST_USE int flo_lane_open(const char *dir, const char *fleet, uint64_t block_ms,
                               struct flo_lane **out, struct flo_err *err);
/* Asked on the lane's thread whether a message is of its device; before the
 * start.  Without it each one is. */
struct flo_lane_judge {
    bool (*may_come)(void *context, const char *device, const struct flo_mqtt_message *message);
    void *context;
};
void flo_lane_judge(struct flo_lane *lane, struct flo_lane_judge judge);
/* Evidence and trends of devices are those of the leader before, and go to the
 * next one: before the start.  Takes `handed`. */
void flo_lane_hand_on(struct flo_lane *lane, struct flo_handed *handed);
/* Stop the thread and store its windows: before `base` of the start ends. */
void flo_lane_stop(struct flo_lane *lane);
/* Stop, and free.  Queries without an answer are
 * freed without one. */
void flo_lane_close(struct flo_lane *lane);
/* Start the thread. mqtt_or_NULL: connect with these; NULL: windows come only
 * by flo_lane_feed.  Answers and news come on `base`, which runs on this
 * thread. */
FLO_MUST_USE int flo_lane_start(struct flo_lane *lane, struct event_base *base,
                                const struct flo_mqtt_options *mqtt_or_null,
                                void (*on_news)(void *context), void *context, struct flo_err *err);

/* A device and its hardware class; NULL: it was retired. */
void flo_lane_device(struct flo_lane *lane, const char *device, const char *hardware_or_null);
/* Devices can only name releases that were told here; others are kept as "of
 * no known release". */
void flo_lane_release(struct flo_lane *lane, const char *digest, const char *model,
                      const char *version);
/* A message of an external broker. */
void flo_lane_feed(struct flo_lane *lane, const struct flo_mqtt_message *message);

/* ---- queries ---- */

#define FLO_LANE_ACCOUNT 72
struct flo_lane_query {
    struct flo_telemetry_query query;
    /* Not NULL: gather this instead; `text` stays empty.  Freed with it. */
    struct flo_lane_evidence *evidence;
    struct flo_observe_study *study; /* or this */
    struct flo_observe_bases *bases; /* or this */
    char account[FLO_LANE_ACCOUNT];  /* who asks; "": the controller */
    void *context;                   /* NULL: the answer is not wanted any more */
    /* On the control thread; the query is freed after it.  `text`: the answer
     * as JSON; `err` when err->code is not 0. */
    void (*done)(void *context, const struct flo_lane_query *query, const char *text,
                 const struct flo_err *err);
    /* Called last, also where nobody was answered; or NULL. */
    void (*drop)(void *context);
    /* The lane's. */
    struct flo_lane_query *next;
    size_t place;
    struct flo_buf text;
    struct flo_err err;
};
#define FLO_LANE_QUERIES_MAX 16
#define FLO_LANE_PEOPLE_MAX 12 /* the others are for gates */
#define FLO_LANE_ACCOUNT_MAX 8 /* queries of one account */
/* Has its thread what it judges by?  Else a question may wait for as long as
 * the database is away. */
bool flo_lane_has_past(const struct flo_lane *lane);
/* Takes `query` (from calloc).  FLO_E_REST_LIMIT when so many wait already: it
 * was freed. */
FLO_MUST_USE int flo_lane_ask(struct flo_lane *lane, struct flo_lane_query *query,
                              struct flo_err *err);

/* ---- news ---- */

struct flo_lane_fact {
    char device[37];
    uint64_t seen_at_ms; /* wall */
    uint64_t rss_bytes;  /* agent and engines; 0: it did not say */
    uint64_t ttft_us;    /* first token, 95 of 100 below; 0: no request */
};
/* The devices heard since the last call, malloc'ed; NULL: none.  At most once a
 * second there is something. */
struct flo_lane_fact *flo_lane_facts(struct flo_lane *lane, size_t *count);

struct flo_lane_counters {
    uint64_t windows;  /* stored */
    uint64_t repeated; /* came before */
    uint64_t dropped;  /* cannot be read, of no known device, not proved */
    uint64_t shed;     /* no room: more came than the lane can take */
    uint64_t limited;  /* above what its device may send */
    uint64_t lost;     /* the store did not take them */
    uint64_t queries;
    bool listens;
};
void flo_lane_count(struct flo_lane *lane, struct flo_lane_counters *out);
/* Sums by release and hardware class; as long as the lane. */
struct flo_tally *flo_lane_tally(const struct flo_lane *lane);
struct flo_trends *flo_lane_trends(const struct flo_lane *lane);
/* Did it leave anything out within the last minute? */
bool flo_lane_is_shedding(struct flo_lane *lane);

#endif
