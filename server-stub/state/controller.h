/* Controller: what the shell's files share.
 *
 * One thread, one event loop; telemetry has another (lane.h).  Whatever changes
 * state runs between flo_controller_begin and flo_controller_commit; what has
 * to reach the world (desired, orders, acknowledgements, live events) is
 * collected in between as effects and leaves only after the commit, so nobody
 * hears of what a crash could undo. */
#ifndef FLOTILLA_SERVER_CONTROLLER_H
#define FLOTILLA_SERVER_CONTROLLER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>
#include <flotilla/release.h>

#include "base/host/crypto.h"
#include "base/host/httpd.h"
#include "base/host/json.h"
#include "base/host/mqtt.h"

#include "server-stub/store/store.h"
#include "server-stub/telemetry/lane.h"

struct event_base;
struct flo_broker;
struct flo_live;

struct flo_batches;

/* In memory: all that are under way, and some that ended, for reading and for
 * devices that come back late.  So fewer may be under way: those that are
 * started, and with those that are taken back after their end. */
#define FLO_CONTROLLER_ROLLOUTS_MAX 64
#define FLO_CONTROLLER_STARTED_MAX 48
#define FLO_CONTROLLER_ACTIVE_MAX 56

#define FLO_CONTROLLER_HOST_NAMES_MAX 8

struct flo_controller_options {
    const char *dir;
    const char *listen;         /* people: HTTP */
    const char *listen_devices; /* devices: HTTPS; NULL: same host, any port */
    const char *broker;         /* "embedded" or mqtts://host:port */
    const char *public_host;    /* under which devices reach us; NULL: the host
                                   of listen_devices */
    /* More names under which people and devices reach us (a reverse proxy's);
     * `listen`, `listen_devices`, public_host, localhost and IP addresses are
     * served without. */
    const char *host_names[FLO_CONTROLLER_HOST_NAMES_MAX];
    size_t host_name_count;
    const char *fleet;
    uint64_t heartbeat_ms;     /* 0: keep, 60000 at first */
    uint64_t broker_linger_ms; /* so long mosquitto waits for a controller that
                                  comes back; 0: it ends with it */
    bool is_restored; /* the data come from a backup: new orders and rollouts
                         are numbered behind all that devices may have seen,
                         and what ran then is paused */
    bool is_tls;      /* HTTPS for people on loopback too */
    bool makes_order_key; /* also where devices know the one that is gone */
};

/* Keys and certificates in memory; files below DIR (pki.c). */
struct flo_pki {
    char ca_file[4096];
    char server_cert_file[4096];
    char server_key_file[4096];
    char mqtt_cert_file[4096];
    char mqtt_key_file[4096];
    char lane_cert_file[4096];
    char lane_key_file[4096];
    char *ca_pem;
    size_t ca_bytes;
    struct flo_key *ca_key;
    struct flo_digest ca_fingerprint;
    struct flo_key *order_key;
    char order_public_pem[FLO_PUBLIC_KEY_PEM_MAX];
};

/* A rollout in memory: the core's struct and what orders need. */
struct flo_rollout_entry {
    struct flo_rollout core;
    char group[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release;
    uint64_t release_bytes;
    struct flo_policy policy;
    bool is_unwritten; /* its row: device events of this transaction */
    json_t *spec;      /* as asked */
    json_t *overlaps;  /* at its start; NULL: read from the store since */
    uint64_t used;     /* rollout_uses when it was last looked for */
};

struct flo_text_list {
    char **items;
    size_t count;
    size_t capacity;
};
/* Facts for people that an event brings along, written with the member. */
struct flo_said {
    const char *device; /* NULL: nothing, or it is written */
    const char *error;
    const char *detail;
};
/* What leaves after the commit. */
struct flo_outgoing {
    struct flo_text_list desired; /* device ids */
    struct flo_text_list cleared; /* device ids: remove what is retained */
    struct flo_text_list groups;  /* whose order list changed */
    struct flo_text_list acks;    /* "<device> <boot> <sequence>" */
    struct flo_text_list asks;    /* "<device> <order>": answer this again */
    struct flo_text_list live;    /* "<topic> <key>": object changed */
    struct flo_text_list notes;   /* "<topic> <json>": to be sent as it is */
    bool acl;                     /* a device was retired */
};

/* Counted since start, for /metrics. */
struct flo_controller_counters {
    uint64_t messages;
    uint64_t messages_dropped; /* malformed, foreign, unknown or too many */
    uint64_t batches;
    uint64_t commits_failed;
    uint64_t broker_starts;
    uint64_t orders_signed;
    uint64_t http_requests;
    uint64_t strangers_refused; /* enrolments that the audit does not name */
};

#define FLO_REFUSED_TOKENS_MAX 64

/* An enrolment token whose refusal is in the audit. */
struct flo_refused_token {
    char id[64];
    uint64_t until_ms; /* the next one before this is only counted */
};

struct flo_audit_head; /* audit/head.h */
struct flo_controller {
    bool is_overtaken;  /* a rollback is newer than deploys that are held */
    uint64_t top_known; /* numbers of orders up to it were given here */
    bool top_is_told;   /* a device knows a number that was never given here */
    struct flo_controller_options options;
    char dir[4096];
    char fleet[FLO_NAME_MAX + 1];
    char boot[37];
    uint64_t clock_offset_ms;
    uint64_t heartbeat_ms;
    struct event_base *base;
    struct flo_fleet_store *store;
    struct flo_lane *lane; /* telemetry's */
    struct flo_pki pki;
    struct flo_trust *trust; /* publishers' keys and our order key */
    struct flo_httpd *httpd;
    uint16_t port;
    uint16_t port_devices;
    char host[256];
    char host_devices[256];
    char host_public[256];
    const char *host_names[FLO_CONTROLLER_HOST_NAMES_MAX + 5]; /* with NULL */
    char mqtt_url[512];                                        /* devices' */
    char mqtt_url_own[512];                                    /* ours */
    struct flo_mqtt *mqtt;
    struct flo_broker *broker;   /* NULL: external */
    struct flo_live *live;       /* SSE; NULL in tests */
    struct flo_batches *batches; /* MQTT queue; NULL in tests */
    bool is_acl_due;             /* the broker's could not be written */
    bool ends_broker;            /* it does not wait for the next one of us */
    bool has_lane;               /* telemetry was heard once */
    uint64_t devices_max; /* that the broker has descriptors for; 0: we do
                             not know */
    struct flo_outgoing outgoing;
    struct flo_said said;      /* by the device whose event is carried out */
    struct flo_spread *spread; /* desired documents that leave in pieces */
    /* The oldest first. */
    struct flo_rollout_entry *rollouts[FLO_CONTROLLER_ROLLOUTS_MAX];
    size_t rollout_count;
    uint64_t rollout_uses;
    bool rollouts_changed;   /* in the present transaction */
    struct flo_acked *acked; /* ingest_orders.c's memory of orders */
    struct flo_controller_counters counters;
    uint64_t strangers_log_at_ms; /* not before */
    struct flo_refused_token refused_tokens[FLO_REFUSED_TOKENS_MAX];
    struct flo_audit_head *audit_head; /* NULL in memory */
    uint64_t audit_unmarked;           /* records since the last mark */
    bool audit_is_broken;
};

/* ---- controller.c ---- */

/* Store, keys, trust and rollouts, without network.  `dir` ":memory:" keeps
 * everything in memory (tests, fuzzing). */
FLO_MUST_USE int
flo_controller_open(const struct flo_controller_options *options,
                    struct flo_controller **out, struct flo_err *err);
void flo_controller_close(struct flo_controller *controller);
/* Listeners, broker, MQTT, timers: run.c. */
FLO_MUST_USE int flo_controller_run(struct flo_controller *controller,
                                    struct flo_err *err);

/* Time of the cores: starts at the wall clock, then runs as the monotonic one,
 * so a clock that is set does not make devices silent. */
uint64_t flo_controller_now_ms(const struct flo_controller *controller);

FLO_MUST_USE int flo_controller_begin(struct flo_controller *controller,
                                      struct flo_err *err);
/* Commit and let the effects go. */
FLO_MUST_USE int flo_controller_commit(struct flo_controller *controller,
                                       struct flo_err *err);
/* Forget everything since begin; rollouts that were changed are read again. */
void flo_controller_cancel(struct flo_controller *controller);

FLO_MUST_USE int flo_controller_audit(struct flo_controller *controller,
                                      const char *who, const char *what,
                                      const char *object, const char *result,
                                      const char *detail, struct flo_err *err);

/* ---- outgoing.c ---- */

void flo_text_list_add(struct flo_text_list *list, const char *text);
/* Sort and drop repetitions. */
void flo_text_list_unique(struct flo_text_list *list);
void flo_text_list_clear(struct flo_text_list *list);
void flo_outgoing_desired(struct flo_controller *controller,
                          const char *device);
void flo_outgoing_group(struct flo_controller *controller, const char *group);
void flo_outgoing_live(struct flo_controller *controller, const char *topic,
                       const char *key);
void flo_outgoing_note(struct flo_controller *controller, const char *topic,
                       json_t *json);
void flo_outgoing_flush(struct flo_controller *controller);
void flo_outgoing_clear(struct flo_controller *controller);
/* From now on desired documents of many devices leave in pieces, between which
 * people are answered and devices are heard.  What had not left when the
 * process ends is published at the next connection, as everything is: what was
 * committed is the intent. */
FLO_MUST_USE int flo_outgoing_spread_open(struct flo_controller *controller,
                                          struct flo_err *err);
void flo_outgoing_spread_close(struct flo_controller *controller);
/* Publish every order list and every desired, then call this. */
void flo_outgoing_publish_all(struct flo_controller *controller,
                              void (*then)(struct flo_controller *controller));

/* ---- orders.c ---- */

/* Complete (id, seq, times), sign and store an order; `id` receives its id. */
FLO_MUST_USE int flo_orders_issue(struct flo_controller *controller,
                                  struct flo_order *order, bool is_tracked,
                                  uint64_t release_bytes, char *id,
                                  struct flo_err *err);
/* The same for one that only desired documents carry. */
FLO_MUST_USE int flo_orders_issue_desired(struct flo_controller *controller,
                                          struct flo_order *order, char *id,
                                          struct flo_err *err);
/* The same; `row` says how it travels. */
FLO_MUST_USE int flo_orders_issue_row(struct flo_controller *controller,
                                      struct flo_order *order,
                                      struct flo_fleet_order row, char *id,
                                      struct flo_err *err);
/* Sign anew what is older than half its life: what stands in the groups' lists
 * (flo_fleet_order_standing), then what desired documents hold. */
FLO_MUST_USE int flo_orders_renew(struct flo_controller *controller,
                                  struct flo_err *err);
/* Of what desired documents hold: that, and deploys that a rollback has
 * overtaken (controller->is_overtaken): a device that heard of the newer
 * rollback takes them no more. */
FLO_MUST_USE int flo_orders_overtaken(struct flo_controller *controller,
                                      struct flo_err *err);
/* Sign all of that anew: devices know higher numbers than this store. */
FLO_MUST_USE int flo_orders_renew_each(struct flo_controller *controller,
                                       struct flo_err *err);
/* A deploy that a desired holds is signed anew for each holder by itself, with
 * that device as its scope, as long as no more than so many hold it; else with
 * the scope that it had. */
#define FLO_ORDERS_OWN_MAX 64
/* Sign one anew if it is older than that, with the scope that it has, for a
 * rollout that brings it to newcomers; `id` becomes the new one's. */
FLO_MUST_USE int flo_orders_freshen(struct flo_controller *controller, char *id,
                                    struct flo_err *err);
/* Sign one anew that came to a device too late, if its desired holds it. */
FLO_MUST_USE int flo_orders_send_anew(struct flo_controller *controller,
                                      const char *device, const char *order,
                                      struct flo_err *err);
/* Text of the desired document of a device, appended. */
FLO_MUST_USE int flo_orders_desired_text(struct flo_controller *controller,
                                         const char *device,
                                         struct flo_buf *out,
                                         struct flo_err *err);
/* Text of a group's retained list. */
FLO_MUST_USE int flo_orders_group_text(struct flo_controller *controller,
                                       const char *group, struct flo_buf *out,
                                       struct flo_err *err);

/* ---- emergency.c ---- */

/* What goes back and where. */
struct flo_take_back {
    const char *release; /* model@version */
    const char *group;   /* "all": everywhere; NULL: one device */
    const char *device;  /* its id, or NULL */
    const char *to;      /* model@version to go to; NULL: what each had */
    bool is_yanked;      /* nobody starts the release again */
    bool is_decided;     /* somebody said so, yank or keep */
    const char *by;
    const char *reason;
};
/* What an order would do, by what devices reported: *out receives counts,
 * targets with their downloads, reasons, and the first devices, those first
 * that need somebody.  Nothing changes. */
FLO_MUST_USE int flo_orders_plan(struct flo_controller *controller,
                                 const struct flo_take_back *what, json_t **out,
                                 struct flo_err *err);
/* Emergency: order, yank when asked, stop rollouts, rewrite desired.  Without
 * a yank nothing changes outside the scope: rollouts of other groups go on,
 * without the scope's devices.
 *
 * With `to`, devices that keep that release flip to it; others fetch it by a
 * deploy order of their own, whose end counts for this order.
 *
 * FLO_E_GROUP_ABSENT, FLO_E_DEVICE_ABSENT  nobody is there; nothing changed
 * FLO_E_ORDER_NOBODY  all that run it cannot leave it, and nobody decided what
 *                     becomes of the release; nothing changed */
FLO_MUST_USE int flo_orders_take_back(struct flo_controller *controller,
                                      const struct flo_take_back *what,
                                      char *id, struct flo_err *err);
/* Yank a release: nobody starts it any more.  Its rollouts end, those that the
 * rollback `note` of `group` ("" none) covers as taken back, the others
 * aborted; desired documents that said to run it say nothing. */
FLO_MUST_USE int flo_orders_withdraw(struct flo_controller *controller,
                                     const struct flo_digest *release,
                                     const char *group, const char *note,
                                     struct flo_err *err);
/* End of a yank: it may be rolled out again.  Rollbacks that are still awaited
 * stay in their devices' desired documents alone. */
FLO_MUST_USE int flo_orders_unyank(struct flo_controller *controller,
                                   const char *release, struct flo_err *err);
/* freeze, unfreeze, config. */
FLO_MUST_USE int flo_orders_fleet(struct flo_controller *controller,
                                  enum flo_order_op op, const char *by,
                                  uint64_t heartbeat_ms, char *id,
                                  struct flo_err *err);

/* ---- rollouts.c ---- */

/* Read the store's rollouts that still matter. */
FLO_MUST_USE int flo_rollouts_load(struct flo_controller *controller,
                                   struct flo_err *err);
void flo_rollouts_forget(struct flo_controller *controller);
/* FLO_E_ROLLOUT_ABSENT. */
FLO_MUST_USE int flo_rollouts_find(struct flo_controller *controller,
                                   const char *id,
                                   struct flo_rollout_entry **out,
                                   struct flo_err *err);
/* FLO_E_FROZEN while the fleet is frozen: devices would take nothing up. */
FLO_MUST_USE int flo_rollouts_may_go_on(struct flo_controller *controller,
                                        struct flo_err *err);
/* From a POSTed body to a rollout: dry (a plan, nothing stored) or started. */
FLO_MUST_USE int flo_rollouts_create(struct flo_controller *controller,
                                     json_t *spec, const char *by, bool dry,
                                     struct flo_rollout_entry **out,
                                     struct flo_err *err);
void flo_rollouts_entry_free(struct flo_rollout_entry *entry);
/* A step with its actions carried out. */
FLO_MUST_USE int flo_rollouts_step(struct flo_controller *controller,
                                   struct flo_rollout_entry *entry,
                                   struct flo_rollout_event event,
                                   struct flo_err *err);
/* The same event to every rollout in memory that it can concern. */
FLO_MUST_USE int flo_rollouts_step_all(struct flo_controller *controller,
                                       struct flo_rollout_event event,
                                       struct flo_err *err);
/* Only to those that run. */
FLO_MUST_USE int flo_rollouts_step_running(struct flo_controller *controller,
                                           struct flo_rollout_event event,
                                           struct flo_err *err);
/* A device came to its groups. */
FLO_MUST_USE int flo_rollouts_join(struct flo_controller *controller,
                                   const char *device, struct flo_err *err);
/* Write the rows of rollouts that device events changed: once a transaction,
 * before its commit. */
FLO_MUST_USE int flo_rollouts_write(struct flo_controller *controller,
                                    struct flo_err *err);
bool flo_rollouts_any_active(const struct flo_controller *controller);

/* ---- ingest.c ---- */

/* One MQTT message, inside a transaction.  What does not fit is dropped and
 * counted; an error is a failure of ours, and the transaction must be
 * cancelled: of the store (later it may work) or FLO_E_INTERNAL (this message
 * will fail again). */
FLO_MUST_USE int flo_ingest(struct flo_controller *controller,
                            const char *topic, const char *data, size_t bytes,
                            bool retained, struct flo_err *err);

/* Counted, and said unless there are very many. */
void flo_ingest_dropped(struct flo_controller *controller, const char *topic,
                        const struct flo_err *why);

/* ---- live.c ---- */

/* So many devices sent telemetry since the last time. */
void flo_live_telemetry(struct flo_controller *controller, size_t devices);

/* ---- objects.c: objects as REST and SSE show them ---- */

/* Stored JSON, or an empty object: a new reference. */
json_t *flo_object_parsed(const char *text_or_null);
json_t *flo_object_device(const struct flo_fleet_device *device);
json_t *flo_object_release(const struct flo_fleet_release *release,
                           bool with_document);
/* New references in *out; with at most so many of its devices. */
FLO_MUST_USE int flo_object_rollout(struct flo_controller *controller,
                                    struct flo_rollout_entry *entry,
                                    uint64_t devices_max, json_t **out,
                                    struct flo_err *err);
/* Of one that goes back or did, how many devices are where. */
FLO_MUST_USE int flo_object_rollback(struct flo_controller *controller,
                                     const struct flo_rollout *rollout,
                                     json_t *json, struct flo_err *err);
/* With at most so many of its devices, who did not get there first. */
FLO_MUST_USE int flo_object_order(struct flo_controller *controller,
                                  const char *id, uint64_t devices_max,
                                  json_t **out, struct flo_err *err);
void flo_object_rollout_etag(const struct flo_rollout *rollout, char *out);

/* ---- pki.c ---- */

/* Make what is missing below DIR and read it; server certificate for the
 * given hosts.
 *
 * FLO_E_KEYS_ABSENT  what is missing is known to enrolled devices */
FLO_MUST_USE int flo_pki_open(struct flo_controller *controller,
                              struct flo_err *err);
void flo_pki_close(struct flo_pki *pki);
/* Publishers' keys of DIR/trust and the order key. */
FLO_MUST_USE int flo_pki_trust_load(struct flo_controller *controller,
                                    struct flo_err *err);
/* Add a publisher's public key; *keyid receives 65 bytes. */
FLO_MUST_USE int flo_pki_trust_add(struct flo_controller *controller,
                                   const char *pem, size_t bytes, char *keyid,
                                   struct flo_err *err);
/* First start: an admin's token in DIR/admin.token. */
FLO_MUST_USE int flo_pki_admin_token(struct flo_controller *controller,
                                     struct flo_err *err);
/* An access token: stored, its text in `out` (FLO_TOKEN_TEXT). */
FLO_MUST_USE int flo_token_make(struct flo_controller *controller,
                                const char *name, const char *role,
                                uint64_t expires_at_ms, char *id, char *out,
                                struct flo_err *err);

#endif
