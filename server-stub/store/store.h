/* Store: typed calls for everything that the controller must remember.
 *
 * The calls are written once (calls/), above a seam of few calls on tables
 * (tables.h).  An engine stands below the seam: sqlite/ keeps control.db in
 * DIR with FULL sync, memory/ keeps all in memory for tests, fuzz targets and
 * the simulator.  Nothing else in the controller knows an engine or SQL.
 * Telemetry has a file and a thread of its own (windows.h), so that it never
 * delays an order.
 *
 * Durability.  Until the queue is started a commit that returned 0 is durable.
 * Afterwards no commit waits for the disk:
 * - Commits have numbers.  A thread of the store syncs them in their order, all
 *   that are there with one sync, and calls `wake` after it.
 * - A caller that promises something to the world (an answer, an
 *   acknowledgement, an order) notes flo_fleet_committed with the promise, and
 *   sends it when flo_fleet_durable has reached that number.
 * - A read sees the newest commit, durable or not.
 * - At most 64 commits wait.  Then begin waits for the disk.
 * - A sync that fails makes no number durable, and nothing is rolled back.  Each
 *   waiter can read the error.  The next begin writes all of it once more, and
 *   refuses while that fails.
 * - A commit without room on the disk fails at once and is rolled back.
 * - SQLite syncs the head of its log itself, once in 4 MiB, in a commit.
 *
 * A message costs two statements at most.  Facts that each message needs are in
 * memory (calls/facts.c) and are written in batches.  An engine behind a
 * network may hold changes back and send them together, but not past the
 * commit.
 *
 * One thread.  Everything that changes something happens between
 * flo_fleet_begin and flo_fleet_commit.  Rows are handed to callbacks as
 * structs whose texts are borrowed for the call; a callback must not call the
 * same listing again.  A callback's answer other than 0 ends the listing and
 * is returned. */
#ifndef FLOTILLA_SERVER_STORE_H
#define FLOTILLA_SERVER_STORE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/audit.h"
#include "server-stub/core/certificate.h"
#include "server-stub/core/orders/orders.h"
#include "server-stub/core/rollout/rollout.h"

struct flo_fleet_store;

/* Opens the store.  `dir`: a folder, ":memory:" for the engine in memory, or a
 * postgresql:// address.  `epoch`: the database epoch in which this process
 * leads (lead.h); 0 otherwise. */
FLO_MUST_USE int flo_fleet_open(const char *dir, uint64_t epoch, struct flo_fleet_store **out,
                                struct flo_err *err);
/* Sets the callback that tells whether to keep waiting for a database that does
 * not answer.  Called on the waiting thread (lead.h: flo_lead_may_wait). */
void flo_fleet_on_wait(struct flo_fleet_store *store,
                       bool (*may_wait_or_null)(void *context, bool is_commit), void *context);
void flo_fleet_close(struct flo_fleet_store *store);
/* Copies all rows of DIR/control.db into an empty store, in one transaction.
 * FLO_E_STATE: it is not empty. */
FLO_MUST_USE int flo_fleet_import(struct flo_fleet_store *store, const char *dir, uint64_t *rows,
                                  struct flo_err *err);
/* Returns true for errors of the store or its disk, not of the request. */
bool flo_fleet_is_failure(int code);
/* Begins a transaction.  FLO_E_DB: one is open already. */
FLO_MUST_USE int flo_fleet_begin(struct flo_fleet_store *store, struct flo_err *err);
/* Commits.  A failed commit is rolled back.  FLO_E_DB without a transaction. */
FLO_MUST_USE int flo_fleet_commit(struct flo_fleet_store *store, struct flo_err *err);
/* Rolls back; does nothing without a transaction. */
void flo_fleet_roll_back(struct flo_fleet_store *store);

/* Starts the thread.  It calls `wake` when commits became durable or a sync
 * failed. */
FLO_MUST_USE int flo_fleet_queue_start(struct flo_fleet_store *store, void (*wake)(void *context),
                                       void *context, struct flo_err *err);
/* Flushes and ends the thread; then each commit is durable when it returns.
 * Closing does so too. */
FLO_MUST_USE int flo_fleet_queue_stop(struct flo_fleet_store *store, struct flo_err *err);
/* Returns the number of the newest commit that changed something. */
uint64_t flo_fleet_committed(const struct flo_fleet_store *store);
/* Returns the newest durable commit; all earlier ones are durable too.
 * *why_or_null: why the sync of the next ones failed; code 0: no failure. */
uint64_t flo_fleet_durable(struct flo_fleet_store *store, struct flo_err *why_or_null);
/* Checks that the store's files are still those that were opened.  If not, no
 * commit is durable from now on (FLO_E_DB_REPLACED).  The state's thread checks
 * each second; each sync checks too. */
void flo_fleet_look(struct flo_fleet_store *store);
/* Waits outside of a transaction until all commits are durable. */
FLO_MUST_USE int flo_fleet_flush(struct flo_fleet_store *store, struct flo_err *err);

/* Returns the engine's calls since it was opened: reads and changes. */
uint64_t flo_fleet_statements(const struct flo_fleet_store *store);

/* Small settings by name.  A missing one reads as "". */
FLO_MUST_USE int flo_fleet_setting_get(struct flo_fleet_store *store, const char *name, char *out,
                                       size_t out_bytes, struct flo_err *err);
FLO_MUST_USE int flo_fleet_setting_set(struct flo_fleet_store *store, const char *name,
                                       const char *value, struct flo_err *err);
/* Skips so many numbers of a counter. */
FLO_MUST_USE int flo_fleet_skip(struct flo_fleet_store *store, const char *counter, uint64_t count,
                                struct flo_err *err);
/* Gets the last number that a counter gave; 0: none. */
FLO_MUST_USE int flo_fleet_newest(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                  struct flo_err *err);
/* Gets the next number of a counter, from 1. */
FLO_MUST_USE int flo_fleet_next(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                struct flo_err *err);

/* ---- devices ---- */

struct flo_fleet_device {
    const char *id;
    const char *name;
    const char *labels;      /* JSON object */
    const char *profile;     /* JSON object */
    const char *reported;    /* JSON object; "": none */
    const char *groups;      /* JSON array of names */
    const char *note;        /* words of people */
    const char *maintenance; /* reason for taking no rollouts; "": the device takes them */
    const char *pins;        /* JSON object, model to model@version; "": none */
    const char *replaces;    /* device that it replaced, or "" */
    const char *replaced_by; /* device that took its place, or "" */
    bool is_online;
    bool is_retired;
    uint64_t enrolled_at_ms;
    uint64_t last_seen_at_ms;
    uint64_t rss_bytes; /* agent and all engines, by the last telemetry */
};
typedef int (*flo_fleet_device_fn)(void *context, const struct flo_fleet_device *device);

/* FLO_E_STATE when the name is taken. */
FLO_MUST_USE int flo_fleet_device_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_device *device,
                                      const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                                      struct flo_err *err);
/* Gets a device by id or name; FLO_E_DEVICE_ABSENT. */
FLO_MUST_USE int flo_fleet_device_get(struct flo_fleet_store *store, const char *key,
                                      flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* Filter of a listing in id order.  NULL matches all; retired devices are left
 * out unless requested. */
struct flo_fleet_device_filter {
    const char *after;
    const char *group;
    const char *label; /* label's key (a name), and its value */
    const char *label_value;
    const char *model;   /* has this model */
    const char *release; /* model@version that serves */
    int online;          /* -1: online or not */
    bool with_retired;
    bool only_retired; /* only retired devices */
    uint64_t limit;    /* 0: all */
};
FLO_MUST_USE int flo_fleet_device_list(struct flo_fleet_store *store,
                                       const struct flo_fleet_device_filter *filter,
                                       flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* Sets *out when the device is known and not retired. */
FLO_MUST_USE int flo_fleet_device_is_active(struct flo_fleet_store *store, const char *id,
                                            bool *out, struct flo_err *err);
/* Records when the device last sent a message (wall clock) and its memory use
 * (0: not reported). Only in memory: flo_fleet_facts_write writes it. */
void flo_fleet_device_heard(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                            uint64_t rss_bytes);
/* Notes the newest 95th percentile of time to first token; 0: not reported.
 * Only in memory. */
void flo_fleet_device_ttft(struct flo_fleet_store *store, const char *id, uint64_t ttft_us);
/* Notes the hardware class; returns true when it differs from the last one.
 * Only in memory. */
bool flo_fleet_device_hardware(struct flo_fleet_store *store, const char *id, const char *hardware);
/* Lists every device that is known to be connected. */
typedef int (*flo_fleet_id_fn)(void *context, const char *device);
FLO_MUST_USE int flo_fleet_online_each(struct flo_fleet_store *store, flo_fleet_id_fn fn,
                                       void *context);
/* Writes facts that are only in memory, of so many devices from number *from
 * on.  *from becomes the start of the next batch, SIZE_MAX after the last. */
FLO_MUST_USE int flo_fleet_facts_write(struct flo_fleet_store *store, size_t count_max,
                                       size_t *from, struct flo_err *err);
/* Tells whether a device is connected, by memory only. */
bool flo_fleet_device_seems_online(struct flo_fleet_store *store, const char *id);
FLO_MUST_USE int flo_fleet_device_online(struct flo_fleet_store *store, const char *id, bool online,
                                         bool *is_news, struct flo_err *err);
/* Model that a device reports. */
struct flo_fleet_model {
    char model[FLO_NAME_MAX + 1];
    char serving[2 * FLO_NAME_MAX + 2]; /* model@version; "": none yet */
};
/* Stores a report. drifts: for some model the device runs another release than
 * ordered. trust: the number of its trust statement.  `said` is the parsed
 * `reported`. */
FLO_MUST_USE int flo_fleet_device_reported(struct flo_fleet_store *store, const char *id,
                                           const char *reported, const json_t *said,
                                           const char *profile, bool drifts, uint64_t trust,
                                           const struct flo_fleet_model *models, size_t model_count,
                                           struct flo_err *err);
/* Retires a device; its certificates are revoked. */
FLO_MUST_USE int flo_fleet_device_retire(struct flo_fleet_store *store, const char *id,
                                         struct flo_err *err);
/* Certificate of a device. */
struct flo_fleet_certificate {
    const char *serial; /* hex */
    const char *device;
    const char *authority; /* name of the authority: state/pki/pki.h */
    enum flo_certificate_state state;
    uint64_t issued_at_ms;
    uint64_t until_ms;
    const char *key;    /* public key, PEM; "": issued before proofs */
    const char *proved; /* see state/proofs/proofs.c; "": no message yet */
};
typedef int (*flo_fleet_certificate_fn)(void *context,
                                        const struct flo_fleet_certificate *certificate);
/* FLO_E_STATE: the serial exists. */
FLO_MUST_USE int flo_fleet_certificate_add(struct flo_fleet_store *store,
                                           const struct flo_fleet_certificate *certificate,
                                           struct flo_err *err);
/* Sets the certificate's `proved`. */
FLO_MUST_USE int flo_fleet_certificate_prove(struct flo_fleet_store *store, const char *serial,
                                             const char *proved, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_certificate_get(struct flo_fleet_store *store, const char *serial,
                                           flo_fleet_certificate_fn fn, void *context,
                                           struct flo_err *err);
/* Counts certificates issued to a device since `since_ms`. */
FLO_MUST_USE int flo_fleet_certificate_count(struct flo_fleet_store *store, const char *device,
                                             uint64_t since_ms, uint64_t *out, struct flo_err *err);
/* Records the certificate that the device reports; its earlier certificates
 * become replaced. */
FLO_MUST_USE int flo_fleet_certificate_held(struct flo_fleet_store *store, const char *device,
                                            const char *serial, struct flo_err *err);
/* Lists certificates in a state that end after `until_ms`, by device and
 * issue. */
FLO_MUST_USE int flo_fleet_certificate_list(struct flo_fleet_store *store,
                                            enum flo_certificate_state state, uint64_t until_ms,
                                            flo_fleet_certificate_fn fn, void *context,
                                            struct flo_err *err);
/* Counts certificates in a state that end after `after_ms`, up to `to_ms`. */
FLO_MUST_USE int flo_fleet_certificate_ending(struct flo_fleet_store *store,
                                              enum flo_certificate_state state, uint64_t after_ms,
                                              uint64_t to_ms, uint64_t *out, struct flo_err *err);
/* Deletes certificates that ended before `before_ms`. */
FLO_MUST_USE int flo_fleet_certificate_prune(struct flo_fleet_store *store, uint64_t before_ms,
                                             struct flo_err *err);

/* Marks all devices as offline until presence messages arrive. */
FLO_MUST_USE int flo_fleet_devices_offline(struct flo_fleet_store *store, struct flo_err *err);
/* Counts without retired devices. */
struct flo_fleet_device_count {
    uint64_t devices;
    uint64_t online;
    uint64_t drifting;
};
/* Returns how many devices were heard since the store was opened. */
size_t flo_fleet_devices_seen(const struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_device_counts(struct flo_fleet_store *store,
                                         struct flo_fleet_device_count *out, struct flo_err *err);

/* Counts devices by trust statement, the highest number first. */
typedef int (*flo_fleet_trust_fn)(void *context, uint64_t number, uint64_t devices);
FLO_MUST_USE int flo_fleet_device_trusts(struct flo_fleet_store *store, flo_fleet_trust_fn fn,
                                         void *context, struct flo_err *err);

/* ---- trust statements and emergency orders ---- */

/* Gets the keyring that several controllers share; there is one
 * (state/keyring). */
typedef int (*flo_fleet_keyring_fn)(void *context, uint64_t number, const char *digest,
                                    const char *body);
FLO_MUST_USE int flo_fleet_keyring(struct flo_fleet_store *store, flo_fleet_keyring_fn fn,
                                   void *context, struct flo_err *err);
/* Replaces the keyring. */
FLO_MUST_USE int flo_fleet_keyring_put(struct flo_fleet_store *store, uint64_t number,
                                       const char *digest, const char *body, struct flo_err *err);
/* FLO_E_STATE: the number is taken. */
FLO_MUST_USE int flo_fleet_statement_add(struct flo_fleet_store *store, uint64_t number,
                                         const char *envelope, struct flo_err *err);
typedef int (*flo_fleet_statement_fn)(void *context, uint64_t number, const char *envelope);
/* Lists statements above `after`, the oldest or the newest first. */
FLO_MUST_USE int flo_fleet_trust_statements(struct flo_fleet_store *store, uint64_t after,
                                            bool is_newest_first, flo_fleet_statement_fn fn,
                                            void *context, struct flo_err *err);
/* Emergency order (signed by an emergency key), as far as known.  `envelope`
 * and `op` are "" when only a device's answer arrived. */
struct flo_fleet_emergency {
    const char *id;
    const char *op;
    const char *envelope;
    uint64_t seq; /* time of issue */
    uint64_t expires_at_ms;
    uint64_t heard_at_ms;
    uint64_t outcomes[8]; /* devices, by enum flo_order_outcome */
};
/* Stores an emergency order.  Known facts stay, except that an envelope fills
 * an empty one.  *is_news: the order or its envelope is new. */
FLO_MUST_USE int flo_fleet_emergency_put(struct flo_fleet_store *store,
                                         const struct flo_fleet_emergency *emergency, bool *is_news,
                                         struct flo_err *err);
typedef int (*flo_fleet_emergency_fn)(void *context, const struct flo_fleet_emergency *emergency);
/* Lists at most count_max orders, the newest first; `is_whole`: those with an
 * envelope. */
FLO_MUST_USE int flo_fleet_emergencies(struct flo_fleet_store *store, bool is_whole,
                                       size_t count_max, flo_fleet_emergency_fn fn, void *context,
                                       struct flo_err *err);

/* ---- desired ---- */

/* Gets the revision of a device's desired document; FLO_E_DEVICE_ABSENT. */
FLO_MUST_USE int flo_fleet_desired_rev(struct flo_fleet_store *store, const char *device,
                                       uint64_t *out, struct flo_err *err);
/* Gets the id of the order that assigns a model's release to a device; "" for
 * none, or for an unknown device. */
FLO_MUST_USE int flo_fleet_desired_get(struct flo_fleet_store *store, const char *device,
                                       const char *model, char *order, struct flo_err *err);
/* Sets the order about a model; "": none.  Raises the revision. */
FLO_MUST_USE int flo_fleet_desired_set(struct flo_fleet_store *store, const char *device,
                                       const char *model, const char *order, struct flo_err *err);
typedef int (*flo_fleet_text_fn)(void *context, const char *text);
/* Tells whether the device may fetch a release's envelope, or an artifact.  A
 * deploy in its desired document must have named the release, and it was not
 * retired since. */
FLO_MUST_USE int flo_fleet_offers_release(struct flo_fleet_store *store, const char *device,
                                          const char *release, bool *out, struct flo_err *err);
FLO_MUST_USE int flo_fleet_offers_artifact(struct flo_fleet_store *store, const char *device,
                                           const char *digest, bool *out, struct flo_err *err);
/* Lists the devices of a group by id.  A result of `fn` other than 0 ends the
 * listing and is returned. */
FLO_MUST_USE int flo_fleet_group_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Lists the assignments of a device, sorted by model name. */
typedef int (*flo_fleet_assignment_fn)(void *context, const char *model, const char *order);
FLO_MUST_USE int flo_fleet_desired_each(struct flo_fleet_store *store, const char *device,
                                        flo_fleet_assignment_fn fn, void *context,
                                        struct flo_err *err);
/* Lists devices with orders about at least `least` models other than this
 * one. */
FLO_MUST_USE int flo_fleet_desired_full(struct flo_fleet_store *store, const char *model,
                                        uint64_t least, flo_fleet_text_fn fn, void *context,
                                        struct flo_err *err);
/* Callback with a device that has an order about a model (making.h). */
typedef int (*flo_fleet_held_fn)(void *context, const char *device, const char *order);
/* Lists the devices whose desired document holds this order. */
FLO_MUST_USE int flo_fleet_desired_holders(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_text_fn fn, void *context,
                                           struct flo_err *err);
/* Replaces `order` by `next` ("": by none) in all desired documents; raises
 * their revisions. */
FLO_MUST_USE int flo_fleet_desired_swap(struct flo_fleet_store *store, const char *order,
                                        const char *next, struct flo_err *err);

/* ---- events ---- */

/* Stores an event.  *is_new is false when (device, boot, seq) exists.  `from`:
 * the lowest unacknowledged one, by the device; 0: not given.  *mark: the
 * checkpoint up to which all events are stored, or lost on the device (sent as
 * cmd.ack). */
FLO_MUST_USE int flo_fleet_event_add(struct flo_fleet_store *store, const char *device,
                                     const char *boot, uint64_t seq, uint64_t from, uint64_t at_ms,
                                     uint64_t received_at_ms, const char *json, bool *is_new,
                                     uint64_t *mark, struct flo_err *err);
/* Gets the checkpoint of an outbox; 0: no event came from it. */
FLO_MUST_USE int flo_fleet_event_checkpoint(struct flo_fleet_store *store, const char *device,
                                            const char *boot, uint64_t *mark, struct flo_err *err);
/* Lists the newest `limit` events of a device with ids below `below`, oldest
 * first, as JSON texts.  *oldest: id of the first listed one; 0: none is
 * older. */
FLO_MUST_USE int flo_fleet_event_list(struct flo_fleet_store *store, const char *device,
                                      uint64_t below, uint64_t limit, flo_fleet_text_fn fn,
                                      void *context, uint64_t *oldest, struct flo_err *err);

/* ---- releases ---- */

struct flo_fleet_release {
    const char *model;
    const char *version;
    uint64_t number;
    const char *digest; /* id: "sha256:..." of the signed body */
    const char *state;  /* draft published yanked */
    const char *body;   /* the signed document, JSON */
    uint64_t bytes;     /* smallest full download of the first variant */
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_release_fn)(void *context, const struct flo_fleet_release *release);
/* FLO_E_STATE when its version or digest exists. */
FLO_MUST_USE int flo_fleet_release_add(struct flo_fleet_store *store,
                                       const struct flo_fleet_release *release,
                                       struct flo_err *err);
/* Notes that a release has an artifact (repeating is harmless), and lists the
 * releases that have one. */
FLO_MUST_USE int flo_fleet_release_brings(struct flo_fleet_store *store, const char *release,
                                          const char *digest, struct flo_err *err);
int flo_fleet_bringers(struct flo_fleet_store *store, const char *digest, uint64_t limit,
                       flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Gets a release by model and version, or by digest (model NULL, version the
 * digest); fn may be NULL.  FLO_E_RELEASE_ABSENT. */
FLO_MUST_USE int flo_fleet_release_get(struct flo_fleet_store *store, const char *model,
                                       const char *version, flo_fleet_release_fn fn, void *context,
                                       struct flo_err *err);
/* Stores and gets the newest verified envelope of a release, by its id.  `fn`
 * borrows the text; FLO_E_RELEASE_ABSENT. */
FLO_MUST_USE int flo_fleet_envelope_put(struct flo_fleet_store *store, const char *release,
                                        const char *text, struct flo_err *err);
FLO_MUST_USE int flo_fleet_envelope_get(struct flo_fleet_store *store, const char *release,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_list(struct flo_fleet_store *store, flo_fleet_release_fn fn,
                                        void *context, struct flo_err *err);
/* Lists by model and number: of one model (NULL: all), after this model and
 * number (NULL: from the first). limit 0: all. */
FLO_MUST_USE int flo_fleet_release_page(struct flo_fleet_store *store, const char *model,
                                        const char *after_model, uint64_t after_number,
                                        uint64_t limit, flo_fleet_release_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_state(struct flo_fleet_store *store, const char *digest,
                                         const char *state, struct flo_err *err);

/* ---- rollouts ---- */

/* Rollout: the shell's fields, next to the core's struct. */
struct flo_fleet_rollout {
    const char *id;
    const char *group; /* put; NULL: group `all` */
    const char *spec;  /* JSON as asked */
    const char *state; /* word */
    const char *core;  /* JSON of phases, reason, since */
    const char *digest;
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_rollout_fn)(void *context, const struct flo_fleet_rollout *rollout);
FLO_MUST_USE int flo_fleet_rollout_put(struct flo_fleet_store *store,
                                       const struct flo_fleet_rollout *rollout,
                                       struct flo_err *err);
FLO_MUST_USE int flo_fleet_rollout_get(struct flo_fleet_store *store, const char *id,
                                       flo_fleet_rollout_fn fn, void *context, struct flo_err *err);
/* Lists newest first, active ones before ended ones. */
FLO_MUST_USE int flo_fleet_rollout_list(struct flo_fleet_store *store, uint64_t limit,
                                        flo_fleet_rollout_fn fn, void *context,
                                        struct flo_err *err);
/* Lists active or ended rollouts with a number below `below`, newest first. */
FLO_MUST_USE int flo_fleet_rollout_page(struct flo_fleet_store *store, bool is_active,
                                        uint64_t below, uint64_t limit, flo_fleet_rollout_fn fn,
                                        void *context, struct flo_err *err);
/* Lists ids, oldest first, of the rollouts that a new device joins.  These are
 * rollouts of published releases, running or paused, and the newest completed
 * one per model and group. */
FLO_MUST_USE int flo_fleet_rollout_joined(struct flo_fleet_store *store, const char *device,
                                          flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Rollout that claims a group: it runs, is paused or completed, and its release
 * is published.  Listed newest first. */
struct flo_fleet_claim {
    const char *rollout;
    const char *model;
    const char *version;
    const char *digest;
    bool is_completed;
};
typedef int (*flo_fleet_claim_fn)(void *context, const struct flo_fleet_claim *claim);
FLO_MUST_USE int flo_fleet_rollout_claims(struct flo_fleet_store *store, const char *group,
                                          flo_fleet_claim_fn fn, void *context,
                                          struct flo_err *err);
/* Stores a member, with facts for people (flo_fleet_member_detail), or NULL. */
FLO_MUST_USE int flo_fleet_member_put(struct flo_fleet_store *store, const char *rollout,
                                      const struct flo_rollout_member *member,
                                      const char *error_json, const char *detail_json,
                                      struct flo_err *err);
/* Removes a member. */
FLO_MUST_USE int flo_fleet_member_remove(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, struct flo_err *err);
/* Sets a member's facts for people; NULL detail is unchanged. */
FLO_MUST_USE int flo_fleet_member_detail(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, const char *error_json,
                                         const char *detail_json, struct flo_err *err);
typedef int (*flo_fleet_member_fn)(void *context, const struct flo_rollout_member *member,
                                   const char *error_json, const char *detail_json);
#define FLO_FLEET_ALL INT64_MAX
/* Lists in order of device id, at most `limit`. */
FLO_MUST_USE int flo_fleet_member_list(struct flo_fleet_store *store, const char *rollout,
                                       uint64_t limit, flo_fleet_member_fn fn, void *context,
                                       struct flo_err *err);
/* Lists those of the given devices that are members, unordered. */
FLO_MUST_USE int flo_fleet_member_some(struct flo_fleet_store *store, const char *rollout,
                                       const char *const *devices, size_t count,
                                       flo_fleet_member_fn fn, void *context, struct flo_err *err);
/* ---- orders ---- */

struct flo_fleet_order {
    const char *id;
    const char *op;
    const char *group;
    const char *envelope; /* signed, JSON */
    const char *body;     /* JSON */
    const char *rollout;  /* "" when none */
    /* Model of the order, or of its rollout; "": none. */
    const char *model;
    const char *release; /* rollback: first of `from`; deploy: the release */
    uint64_t phase;
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    bool is_tracked; /* requested by POST /v1/orders */
    uint64_t release_bytes;
    bool is_desired_only; /* signed again only for devices whose desired
                             holds it: not in the group's list */
    const char *reason;   /* reason given by the operator; NULL: none */
};
typedef int (*flo_fleet_order_fn)(void *context, const struct flo_fleet_order *order);
/* FLO_E_STATE when its id exists.  Older orders with the same content (rollout,
 * kind, phase, group and release) count as superseded from now on. */
FLO_MUST_USE int flo_fleet_order_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_order *order, struct flo_err *err);
/* Stores the complete reason, because the signed text may be too small for it.
 * */
FLO_MUST_USE int flo_fleet_order_reason(struct flo_fleet_store *store, const char *id,
                                        const char *reason, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_order_get(struct flo_fleet_store *store, const char *id,
                                     flo_fleet_order_fn fn, void *context, struct flo_err *err);
/* Gets the newest order of a rollout with this op (and phase, for deploy) that
 * is for more than one device; FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_order_of(struct flo_fleet_store *store, const char *rollout,
                                    const char *op, uint64_t phase, flo_fleet_order_fn fn,
                                    void *context, struct flo_err *err);
/* Lists the orders in a group's list that are not expired at `now_ms`, by
 * ascending seq. */
FLO_MUST_USE int flo_fleet_order_list(struct flo_fleet_store *store, const char *group,
                                      uint64_t now_ms, flo_fleet_order_fn fn, void *context,
                                      struct flo_err *err);
/* Lists groups with such orders; a group may be listed twice. */
FLO_MUST_USE int flo_fleet_order_groups(struct flo_fleet_store *store, uint64_t now_ms,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Lists orders that people requested, with a seq below `below`, newest
 * first. */
FLO_MUST_USE int flo_fleet_order_tracked(struct flo_fleet_store *store, uint64_t below,
                                         uint64_t limit, flo_fleet_order_fn fn, void *context,
                                         struct flo_err *err);
/* Deletes orders that are no longer needed (calls/orders.c), among the next
 * FLO_FLEET_PRUNE_ORDERS after seq *from.  *from becomes the start of the next
 * batch, FLO_FLEET_ALL after the last.  Tracked orders stay, like rollouts. */
#define FLO_FLEET_PRUNE_ORDERS 500
FLO_MUST_USE int flo_fleet_order_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       uint64_t *from, struct flo_err *err);
/* Lists the orders that some desired document holds. */
FLO_MUST_USE int flo_fleet_order_held(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                      void *context, struct flo_err *err);
/* Gets the highest number of an order of that kind and model: of one release,
 * or ("") of all in groups' lists. 0: none. */
FLO_MUST_USE int flo_fleet_order_newest(struct flo_fleet_store *store, const char *op,
                                        const char *model, const char *release, uint64_t *out,
                                        struct flo_err *err);
/* Gets the number of the last order that removes a model from a whole group, or
 * from all devices; 0: none. */
FLO_MUST_USE int flo_fleet_order_removal(struct flo_fleet_store *store, const char *model,
                                         const char *group, uint64_t *out, struct flo_err *err);
/* Lists orders in groups' lists that outlive an order's life.  These are the
 * newest freeze or unfreeze, the newest order about prompts, and the newest
 * resume of each active rollout while accepted members may wait for it.
 * Emergency rollbacks stay until every device answered, because devices are not
 * told again to leave such a release. */
FLO_MUST_USE int flo_fleet_order_standing(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                          void *context, struct flo_err *err);
/* Tells whether the fleet is frozen: the newest freeze or unfreeze is a
 * freeze. */
FLO_MUST_USE int flo_fleet_is_frozen(struct flo_fleet_store *store, bool *out, struct flo_err *err);
/* Tells whether the newest order about prompts keeps them on the devices.
 * *found false: there was no such order, so they may leave. */
FLO_MUST_USE int flo_fleet_prompts_stay(struct flo_fleet_store *store, bool *out, bool *found,
                                        struct flo_err *err);
/* Sets the outcome of a tracked order on a device in its scope. */
FLO_MUST_USE int flo_fleet_outcome_put(struct flo_fleet_store *store, const char *order,
                                       const char *device, enum flo_order_outcome outcome,
                                       uint64_t took_ms, struct flo_err *err);
/* Sets the outcome if it is news (flo_outcome_is_news) for a device in
 * scope. */
FLO_MUST_USE int flo_fleet_outcome_advance(struct flo_fleet_store *store, const char *order,
                                           const char *device, enum flo_order_outcome outcome,
                                           uint64_t took_ms, uint64_t heard_ms, const char *error,
                                           bool *is_news, struct flo_err *err);
FLO_MUST_USE int flo_fleet_outcome_get(struct flo_fleet_store *store, const char *order,
                                       const char *device, bool *known,
                                       enum flo_order_outcome *outcome, struct flo_err *err);
struct flo_fleet_outcome {
    const char *device;
    const char *name;
    bool is_online;
    enum flo_order_outcome outcome;
    uint64_t took_ms;  /* as reported by the device */
    uint64_t heard_ms; /* from the order's issue until the answer was stored */
    const char *error; /* JSON, or "" */
};
typedef int (*flo_fleet_outcome_fn)(void *context, const struct flo_fleet_outcome *outcome);
typedef int (*flo_fleet_count_fn)(void *context, const char *word, uint64_t count);
/* Gets the quantile of heard_ms over devices that are done; 0: none is. */
FLO_MUST_USE int flo_fleet_outcome_quantile(struct flo_fleet_store *store, const char *order,
                                            uint64_t permille, uint64_t *out, struct flo_err *err);
/* Counts the error ids of refusals, most frequent first. */
FLO_MUST_USE int flo_fleet_outcome_reasons(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_count_fn fn, void *context,
                                           struct flo_err *err);
/* Removes emergency rollbacks of a release from the groups' lists.  Devices
 * that still await one have it in their desired documents. */
FLO_MUST_USE int flo_fleet_orders_only_held(struct flo_fleet_store *store, const char *release,
                                            struct flo_err *err);
/* Lists at most `limit` outcomes, unfinished ones first. */
FLO_MUST_USE int flo_fleet_outcome_list(struct flo_fleet_store *store, const char *order,
                                        uint64_t limit, flo_fleet_outcome_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_outcome_progress(struct flo_fleet_store *store, const char *order,
                                            struct flo_order_progress *out, struct flo_err *err);
/* Tells whether the controller may ask the device for its answers: not asked
 * within pause_ms, or not since the device connected (*is_back). If true, this
 * call counts as asking. */
bool flo_fleet_device_may_ask(struct flo_fleet_store *store, const char *device, uint64_t pause_ms,
                              bool *is_back);
/* Tells whether a tracked order awaits the device. */
FLO_MUST_USE int flo_fleet_device_is_awaited(struct flo_fleet_store *store, const char *device,
                                             bool *out, struct flo_err *err);
/* Lists the tracked orders that still await this device. */
FLO_MUST_USE int flo_fleet_outcome_awaited(struct flo_fleet_store *store, const char *device,
                                           flo_fleet_order_fn fn, void *context,
                                           struct flo_err *err);

/* ---- evidence of rollouts ---- */

/* Record of the evidence by which a rollout's analysis was judged, as JSON.
 * `number` is its block; a second record of a block replaces the first. */
struct flo_fleet_evidence {
    const char *rollout;
    uint64_t number;
    uint64_t at_ms;
    const char *body;
};
typedef int (*flo_fleet_evidence_fn)(void *context, const struct flo_fleet_evidence *evidence);
#define FLO_FLEET_EVIDENCE_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)
FLO_MUST_USE int flo_fleet_evidence_put(struct flo_fleet_store *store,
                                        const struct flo_fleet_evidence *put, struct flo_err *err);
/* Lists records after `after`, in order, at most `limit`. */
FLO_MUST_USE int flo_fleet_evidence_list(struct flo_fleet_store *store, const char *rollout,
                                         uint64_t after, uint64_t limit, flo_fleet_evidence_fn fn,
                                         void *context, struct flo_err *err);
/* Deletes records older than FLO_FLEET_EVIDENCE_KEPT_MS. */
FLO_MUST_USE int flo_fleet_evidence_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                          struct flo_err *err);

/* ---- reports that devices were asked for ---- */

struct flo_fleet_report {
    const char *order; /* order that requested it */
    const char *device;
    const char *op; /* logs doctor */
    uint64_t at_ms; /* when it came */
    const char *body;
};
typedef int (*flo_fleet_report_fn)(void *context, const struct flo_fleet_report *report);
/* Number of reports kept of a device, the newest ones. */
#define FLO_FLEET_REPORTS_MAX 8
#define FLO_FLEET_REPORT_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)
/* FLO_E_STATE when its order has a report. */
FLO_MUST_USE int flo_fleet_report_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_report *report, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_report_get(struct flo_fleet_store *store, const char *order,
                                      flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* Lists a device's reports, newest first. */
FLO_MUST_USE int flo_fleet_report_list(struct flo_fleet_store *store, const char *device,
                                       flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* Deletes reports older than FLO_FLEET_REPORT_KEPT_MS. */
FLO_MUST_USE int flo_fleet_report_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                        struct flo_err *err);

/* ---- tokens, idempotency, audit ---- */

struct flo_fleet_token {
    const char *id;
    const char *kind; /* access enroll */
    const char *name;
    const char *role;   /* access */
    const char *group;  /* enroll */
    const char *person; /* access: its owner; NULL or "": none */
    struct flo_digest secret;
    uint64_t uses_left; /* enroll */
    uint64_t created_at_ms;
    uint64_t expires_at_ms; /* 0: never */
    uint64_t used_at_ms;    /* access; 0: never. Precise to a minute */
    bool is_sealed;         /* in listings; false: the token grants nothing (seals.h) */
};
typedef int (*flo_fleet_token_fn)(void *context, const struct flo_fleet_token *token);
/* FLO_E_STATE when its id or secret exists. */
FLO_MUST_USE int flo_fleet_token_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_token *token, struct flo_err *err);
/* Gets a token by id, or an enrolment token by the digest of its secret (id
 * NULL).  FLO_E_ABSENT, also for an invalid seal. */
FLO_MUST_USE int flo_fleet_token_get(struct flo_fleet_store *store, const char *id,
                                     const struct flo_digest *secret, flo_fleet_token_fn fn,
                                     void *context, struct flo_err *err);
/* Lists the newest first, after the one made at after_ms with this id; begin
 * with FLO_FLEET_ALL and "". limit 0: all. */
FLO_MUST_USE int flo_fleet_token_list(struct flo_fleet_store *store, uint64_t after_ms,
                                      const char *after_id, uint64_t limit, flo_fleet_token_fn fn,
                                      void *context, struct flo_err *err);
/* Notes when the token was used, for people; ignores a missing token. */
FLO_MUST_USE int flo_fleet_token_used(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                                      struct flo_err *err);
/* Takes one use; FLO_E_ENROL_TOKEN when none was left. */
FLO_MUST_USE int flo_fleet_token_use(struct flo_fleet_store *store, const char *id,
                                     struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_token_delete(struct flo_fleet_store *store, const char *id,
                                        struct flo_err *err);
/* Person with a name (the API: a user). */
struct flo_fleet_person {
    const char *name;
    const char *role; /* grants: core/access/grants.h */
    bool is_disabled;
    bool is_sealed; /* in listings; false: counts as absent (seals.h) */
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_person_fn)(void *context, const struct flo_fleet_person *person);
/* Adds a person, or changes role or state. */
FLO_MUST_USE int flo_fleet_person_put(struct flo_fleet_store *store,
                                      const struct flo_fleet_person *person, struct flo_err *err);
/* FLO_E_ABSENT, also for an invalid seal. */
FLO_MUST_USE int flo_fleet_person_get(struct flo_fleet_store *store, const char *name,
                                      flo_fleet_person_fn fn, void *context, struct flo_err *err);
/* Lists people by name, after this one ("": from the first). */
FLO_MUST_USE int flo_fleet_person_list(struct flo_fleet_store *store, const char *after,
                                       uint64_t limit, flo_fleet_person_fn fn, void *context,
                                       struct flo_err *err);
/* Deletes a person and all tokens of that name.  FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_person_delete(struct flo_fleet_store *store, const char *name,
                                         struct flo_err *err);
/* Lists the tokens of a person. */
FLO_MUST_USE int flo_fleet_person_tokens(struct flo_fleet_store *store, const char *name,
                                         flo_fleet_token_fn fn, void *context, struct flo_err *err);
/* Deletes enrolment tokens that expired 30 days ago, or that expired without
 * uses left. */
FLO_MUST_USE int flo_fleet_token_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       struct flo_err *err);

/* Gets the answer stored under (token, key); *status 0: none.  `body` is
 * appended. */
FLO_MUST_USE int flo_fleet_replay_get(struct flo_fleet_store *store, const char *token,
                                      const char *key, struct flo_digest *request, int *status,
                                      struct flo_buf *body, struct flo_err *err);
FLO_MUST_USE int flo_fleet_replay_put(struct flo_fleet_store *store, const char *token,
                                      const char *key, const struct flo_digest *request, int status,
                                      const char *body, uint64_t now_ms, struct flo_err *err);

/* Appends a record; sets its number, previous and hash. */
FLO_MUST_USE int flo_fleet_audit_add(struct flo_fleet_store *store, struct flo_audit_record *record,
                                     struct flo_err *err);
typedef int (*flo_fleet_audit_fn)(void *context, const struct flo_audit_record *record,
                                  const struct flo_digest *hash);
/* Lists ascending from number `from`, at most `limit` (0: all). */
FLO_MUST_USE int flo_fleet_audit_list(struct flo_fleet_store *store, uint64_t from, uint64_t limit,
                                      flo_fleet_audit_fn fn, void *context, struct flo_err *err);
/* Lists descending from number `from`. */
FLO_MUST_USE int flo_fleet_audit_newest(struct flo_fleet_store *store, uint64_t from,
                                        uint64_t limit, flo_fleet_audit_fn fn, void *context,
                                        struct flo_err *err);

#endif
