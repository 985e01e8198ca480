/* Lane: takes telemetry from the broker to its store, on a thread of its own,
 * the telemetry thread.
 *
 * This thread has a connection of its own to the embedded broker, its own queue
 * and store, and a low priority.  Orders, answers, events, presence and REST
 * therefore never wait for telemetry.  Excess telemetry is dropped and counted
 * here; a device that sends too much loses its own.  With an external broker
 * the controller has only one identity, so there the control thread passes
 * telemetry on.
 *
 * The control thread informs the telemetry thread about known devices and
 * releases.  It sends queries to that thread, and now and then collects the
 * devices that sent telemetry.  All functions are for the control thread, and
 * none waits. */
#ifndef FLOTILLA_SERVER_LANE_H
#define FLOTILLA_SERVER_LANE_H

#include <flotilla/base.h>

#include "base/host/mqtt.h"

#include "server-stub/core/telemetry/telemetry.h"
#include "server-stub/store/handed.h"
#include "server-stub/telemetry/counters.h"
#include "server-stub/telemetry/lane_evidence.h"
#include "server-stub/telemetry/observe/observe.h"
#include "server-stub/telemetry/trends.h"

struct event_base;
struct flo_lane;

/* Name by which the telemetry thread connects to the embedded broker. */
#define FLO_LANE_CLIENT "controller-telemetry"

/* Opens the telemetry thread's data, without starting the thread.  `dir` is
 * ":memory:" in tests.  `block_ms` is FLO_BLOCK_MS, or less in tests of
 * statistical gates. */
FLO_MUST_USE int flo_lane_open(const char *dir, const char *fleet, uint64_t block_ms,
                               struct flo_lane **out, struct flo_err *err);
/* Callback that verifies a message's device, on the telemetry thread.  The
 * caller sets it before the start; without it every message is accepted. */
struct flo_lane_judge {
    bool (*may_come)(void *context, const char *device, const struct flo_mqtt_message *message);
    void *context;
};
void flo_lane_judge(struct flo_lane *lane, struct flo_lane_judge judge);
/* Sets the handover, by which evidence and trends come from the former leader
 * and go to the next one.  Called before the start.  Takes ownership of
 * `handed`. */
void flo_lane_hand_on(struct flo_lane *lane, struct flo_handed *handed);
/* Stops the telemetry thread and stores the windows that it has.  Called before
 * the event loop `base` of flo_lane_start ends. */
void flo_lane_stop(struct flo_lane *lane);
/* Stops the telemetry thread and frees its data.  Queries without an answer are
 * freed, too. */
void flo_lane_close(struct flo_lane *lane);
/* Starts the telemetry thread.  `mqtt_or_null` has the options of its
 * connection; NULL: telemetry only comes by flo_lane_feed.  Answers and news
 * arrive on `base`, the event loop of the calling thread. */
FLO_MUST_USE int flo_lane_start(struct flo_lane *lane, struct event_base *base,
                                const struct flo_mqtt_options *mqtt_or_null,
                                void (*on_news)(void *context), void *context, struct flo_err *err);

/* Informs the telemetry thread about a device and its hardware class; NULL: the
 * device was retired. */
void flo_lane_device(struct flo_lane *lane, const char *device, const char *hardware_or_null);
/* Size of the names of a release's variants, a blank before each. */
#define FLO_LANE_VARIANTS (FLO_RELEASE_VARIANTS_MAX * (FLO_NAME_MAX + 1) + 1)
/* Informs the telemetry thread about a release.  Telemetry of releases that it
 * does not know is stored as "of no known release".  `variants`: the names of its
 * variants, each with a blank before it; "": it has one. */
void flo_lane_release(struct flo_lane *lane, const char *digest, const char *model,
                      const char *version, const char *variants);
/* Passes a message from an external broker to the telemetry thread. */
void flo_lane_feed(struct flo_lane *lane, const struct flo_mqtt_message *message);

/* ---- queries ---- */

#define FLO_LANE_ACCOUNT 72
struct flo_lane_query {
    struct flo_telemetry_query query;
    /* evidence to gather instead of the rows of the query; `text` then stays
     * empty.  Freed with the query.  NULL: none */
    struct flo_lane_evidence *evidence;
    struct flo_observe_analysis *analysis; /* or this */
    struct flo_observe_bases *bases;       /* or this */
    /* account that sent the query; "": the controller itself sent it */
    char account[FLO_LANE_ACCOUNT];
    void *context; /* argument of the callbacks; NULL: nobody wants the answer any more */
    /* Called on the control thread with the answer; the query is freed
     * afterwards.  `text` is the answer as JSON, and `err` the error if
     * err->code is not 0. */
    void (*done)(void *context, const struct flo_lane_query *query, const char *text,
                 const struct flo_err *err);
    /* Called last, even if there was no answer; may be NULL. */
    void (*drop)(void *context);
    /* next query in the telemetry thread's list; only that thread uses it */
    struct flo_lane_query *next;
    size_t place;
    struct flo_buf text;
    struct flo_err err;
};
#define FLO_LANE_QUERIES_MAX 16
/* largest number of waiting queries of people; the rest of FLO_LANE_QUERIES_MAX
 * is kept for gates */
#define FLO_LANE_PEOPLE_MAX 12
#define FLO_LANE_ACCOUNT_MAX 8 /* largest number of waiting queries of one account */
/* Tells whether the telemetry thread has the evidence of the former leader.  If
 * not, a query for evidence may wait as long as the database is unreachable. */
bool flo_lane_has_past(const struct flo_lane *lane);
/* Sends a query to the telemetry thread, and takes ownership of it (from
 * calloc).  FLO_E_REST_LIMIT: too many queries wait, and this one was freed. */
FLO_MUST_USE int flo_lane_ask(struct flo_lane *lane, struct flo_lane_query *query,
                              struct flo_err *err);

/* ---- news ---- */

struct flo_lane_fact {
    char device[37];
    uint64_t seen_at_ms; /* wall clock */
    uint64_t rss_bytes;  /* bytes of memory of agent and engines; 0: not reported */
    uint64_t ttft_us;    /* 95th percentile of the time to first token; 0: not reported */
};
/* Returns the devices that sent telemetry since the last call, allocated by
 * malloc; NULL: there are none.  News arrive at most once a second. */
struct flo_lane_fact *flo_lane_facts(struct flo_lane *lane, size_t *count);

struct flo_lane_counters {
    uint64_t windows;  /* stored */
    uint64_t repeated; /* received before */
    /* number of messages that were unreadable, of an unknown device, or not
     * verified */
    uint64_t dropped;
    uint64_t shed;    /* number of telemetry windows that were dropped because
                         the queue was full */
    uint64_t limited; /* number of telemetry windows above the limit of their device */
    uint64_t lost;    /* number of telemetry windows that the store refused */
    /* number of windows that devices numbered and that have not come, for any
     * reason */
    uint64_t missing;
    uint64_t queries;
    bool listens;
};
void flo_lane_count(struct flo_lane *lane, struct flo_lane_counters *out);
/* Returns the counters by release and hardware class, which flo_lane_close
 * frees. */
struct flo_counters *flo_lane_counters(const struct flo_lane *lane);
struct flo_trends *flo_lane_trends(const struct flo_lane *lane);
/* Tells whether telemetry was dropped within the last minute. */
bool flo_lane_is_shedding(struct flo_lane *lane);

#endif
