/* Store: typed calls for everything that the controller must remember.
 *
 * The calls are written once (calls/), and use a few calls on tables
 * (tables.h), which engines offer.  The engine in sqlite/ keeps control.db in
 * DIR with FULL sync, and memory/ keeps all in memory for tests, fuzz targets
 * and the simulator.  Nothing else in the controller knows an engine or SQL.
 * Telemetry has a file and a thread of its own (windows.h), so that it never
 * delays an order.
 *
 * Until the queue is started, a commit that returned 0 is durable.  Afterwards
 * no commit waits for the disk, and these rules hold:
 *
 * - Commits have numbers.  A thread of the store syncs them in their order,
 *   all that wait with one sync, and then calls `wake`.
 * - A caller that promises something to the world (an answer, an
 *   acknowledgement, an order) notes flo_fleet_committed with the promise,
 *   and sends it when flo_fleet_durable has reached that number.
 * - A read sees the newest commit, durable or not.
 * - At most 64 commits wait; then flo_fleet_begin waits for the disk.
 * - A sync that fails makes no number durable, and nothing is rolled back.
 *   Each waiter can read the error.  The next flo_fleet_begin writes all of
 *   it once more, and fails as long as that fails.
 * - A commit without room on the disk fails at once and is rolled back.
 * - SQLite syncs the head of its log itself, once in 4 MiB, in a commit.
 *
 * A message costs two statements at most.  Facts that each message needs are in
 * memory (calls/facts.c), and are written in batches.  An engine behind a
 * network may hold changes back and send them together, but not past the
 * commit.
 *
 * One thread calls.  Everything that changes something happens between
 * flo_fleet_begin and flo_fleet_commit.  A callback receives a row as a struct
 * whose texts are borrowed for the call, and must not call the same listing
 * again.  A callback's result other than 0 ends the listing and is returned. */
#ifndef FLOTILLA_SERVER_STORE_H
#define FLOTILLA_SERVER_STORE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/audit.h"
#include "server-stub/core/certificate.h"
#include "server-stub/core/device/lives.h"
#include "server-stub/core/orders/orders.h"
#include "server-stub/core/rollout/rollout.h"

struct flo_fleet_store;

/* Opens the store.  `dir` is a folder, ":memory:" for the engine in memory, or
 * a postgresql:// address.  `epoch` is the database epoch in which this process
 * leads (lead.h), or 0 without one. */
FLO_MUST_USE int flo_fleet_open(const char *dir, uint64_t epoch, struct flo_fleet_store **out,
                                struct flo_err *err);
/* Sets the callback that tells, while a database does not answer, whether to go
 * on waiting.  Called on the waiting thread (lead.h: flo_lead_may_wait). */
void flo_fleet_on_wait(struct flo_fleet_store *store,
                       bool (*may_wait_or_null)(void *context, bool is_commit), void *context);
void flo_fleet_close(struct flo_fleet_store *store);
/* Copies all rows of DIR/control.db into an empty store, in one transaction.
 * FLO_E_STATE: the store is not empty. */
FLO_MUST_USE int flo_fleet_import(struct flo_fleet_store *store, const char *dir, uint64_t *rows,
                                  struct flo_err *err);
/* Returns whether an error is one of the store or its disk, and not of the
 * request. */
bool flo_fleet_is_failure(int code);
/* Begins a transaction.  FLO_E_DB: one is open already. */
FLO_MUST_USE int flo_fleet_begin(struct flo_fleet_store *store, struct flo_err *err);
/* Commits the transaction.  A failed commit is rolled back.  FLO_E_DB: no
 * transaction is open. */
FLO_MUST_USE int flo_fleet_commit(struct flo_fleet_store *store, struct flo_err *err);
/* Rolls the transaction back.  Without a transaction it does nothing. */
void flo_fleet_roll_back(struct flo_fleet_store *store);

/* Starts the syncing thread.  The thread calls `wake` when commits became
 * durable or a sync failed. */
FLO_MUST_USE int flo_fleet_queue_start(struct flo_fleet_store *store, void (*wake)(void *context),
                                       void *context, struct flo_err *err);
/* Flushes the queue and ends the thread.  From then on each commit is durable
 * when it returns.  Closing the store does so, too. */
FLO_MUST_USE int flo_fleet_queue_stop(struct flo_fleet_store *store, struct flo_err *err);
/* Returns the number of the newest commit that changed something. */
uint64_t flo_fleet_committed(const struct flo_fleet_store *store);
/* Returns the number of the newest durable commit; all earlier ones are
 * durable, too.  *why_or_null tells why the sync of later commits failed; code
 * 0: no sync failed. */
uint64_t flo_fleet_durable(struct flo_fleet_store *store, struct flo_err *why_or_null);
/* Checks that the store's files are still those that were opened.  If not, no
 * commit is durable from now on (FLO_E_DB_REPLACED).  The state's thread makes
 * this check each second, and each sync makes it, too. */
void flo_fleet_look(struct flo_fleet_store *store);
/* Returns how long the present sync has lasted; 0: none runs.  From
 * FLO_FLEET_SLOW_MS on nobody waits for it: changes that would have to are
 * refused (FLO_E_DB_SLOW). */
#define FLO_FLEET_SLOW_MS 1500
uint64_t flo_fleet_sync_ms(struct flo_fleet_store *store);
/* Waits outside of a transaction until all commits are durable. */
FLO_MUST_USE int flo_fleet_flush(struct flo_fleet_store *store, struct flo_err *err);

/* Returns the number of the engine's calls since it was opened, reads and
 * changes together. */
uint64_t flo_fleet_statements(const struct flo_fleet_store *store);

/* Gets a setting by its name.  The text is "" if the setting is missing, or is
 * a sealed one without a valid seal (seals.h). */
FLO_MUST_USE int flo_fleet_setting_get(struct flo_fleet_store *store, const char *name, char *out,
                                       size_t out_bytes, struct flo_err *err);
FLO_MUST_USE int flo_fleet_setting_set(struct flo_fleet_store *store, const char *name,
                                       const char *value, struct flo_err *err);
/* Skips `count` numbers of a counter, so that they are never given. */
FLO_MUST_USE int flo_fleet_skip(struct flo_fleet_store *store, const char *counter, uint64_t count,
                                struct flo_err *err);
/* Gets the last number that a counter gave; 0: it gave none yet. */
FLO_MUST_USE int flo_fleet_newest(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                  struct flo_err *err);
/* Gets the next number of a counter, which begins with 1. */
FLO_MUST_USE int flo_fleet_next(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                struct flo_err *err);

/* ---- devices ---- */

struct flo_fleet_device {
    const char *id;
    const char *name;
    /* JSON object; {} if the row has no valid seal (seals.h), as are its pins */
    const char *labels;
    const char *profile;     /* JSON object */
    const char *reported;    /* last report of the device, a JSON object; "": none */
    const char *groups;      /* JSON array of the names of the device's groups */
    const char *note;        /* words of people */
    const char *maintenance; /* reason for taking no rollouts; "": the device takes rollouts */
    const char *pins;        /* JSON object from model to model@version; "": no pins */
    const char *replaces;    /* id of the device that this one replaced, or "" */
    const char *replaced_by; /* id of the device that replaced this one, or "" */
    bool is_online;
    bool is_retired;
    uint64_t enrolled_at_ms;
    uint64_t last_seen_at_ms;
    uint64_t rss_bytes; /* bytes of memory that agent and engines use, by the last telemetry */
};
typedef int (*flo_fleet_device_fn)(void *context, const struct flo_fleet_device *device);

/* Adds a device with its groups.  FLO_E_STATE: the name is taken. */
FLO_MUST_USE int flo_fleet_device_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_device *device,
                                      const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                                      struct flo_err *err);
/* Gets a device by its id or name.  FLO_E_DEVICE_ABSENT: there is none. */
FLO_MUST_USE int flo_fleet_device_get(struct flo_fleet_store *store, const char *key,
                                      flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* Filter of a listing in the order of ids.  A text that is NULL matches all
 * devices.  Retired devices are left out unless the filter asks for them. */
struct flo_fleet_device_filter {
    const char *after;
    const char *group;
    const char *label; /* key of a label, which devices must have with label_value */
    const char *label_value;
    const char *model;   /* has this model */
    const char *release; /* model@version that serves */
    int online;          /* 1: connected devices; 0: those that are offline; -1: both */
    bool with_retired;
    bool only_retired; /* only retired devices */
    uint64_t limit;    /* 0: all */
};
FLO_MUST_USE int flo_fleet_device_list(struct flo_fleet_store *store,
                                       const struct flo_fleet_device_filter *filter,
                                       flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* Sets *out to whether the device is known and not retired. */
FLO_MUST_USE int flo_fleet_device_is_active(struct flo_fleet_store *store, const char *id,
                                            bool *out, struct flo_err *err);
/* Notes when the device last sent a message (wall clock), and its memory use
 * (0: not reported).  Both are in memory until flo_fleet_facts_write writes
 * them. */
void flo_fleet_device_heard(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                            uint64_t rss_bytes);
/* Notes, in memory only, the device's newest 95th percentile of time to first
 * token; 0: not reported. */
void flo_fleet_device_ttft(struct flo_fleet_store *store, const char *id, uint64_t ttft_us);
/* Notes, in memory only, the device's hardware class.  Returns true when the
 * class differs from the last one. */
bool flo_fleet_device_hardware(struct flo_fleet_store *store, const char *id, const char *hardware);
/* Callback for a device.  The call lists every device that is known to be
 * connected. */
typedef int (*flo_fleet_id_fn)(void *context, const char *device);
FLO_MUST_USE int flo_fleet_online_each(struct flo_fleet_store *store, flo_fleet_id_fn fn,
                                       void *context);
/* Writes facts that are only in memory, of at most count_max devices from
 * number *from on.  *from becomes the start of the next batch, or SIZE_MAX
 * after the last. */
FLO_MUST_USE int flo_fleet_facts_write(struct flo_fleet_store *store, size_t count_max,
                                       size_t *from, struct flo_err *err);
/* Tells whether a device is connected, as far as memory knows. */
bool flo_fleet_device_seems_online(struct flo_fleet_store *store, const char *id);
FLO_MUST_USE int flo_fleet_device_online(struct flo_fleet_store *store, const char *id, bool online,
                                         bool *is_news, struct flo_err *err);
/* A model that a device reports. */
struct flo_fleet_model {
    char model[FLO_NAME_MAX + 1];
    char serving[2 * FLO_NAME_MAX + 2]; /* model@version that serves; "": none yet */
};
/* Stores a device's report.  `drifts` tells that for some model the device runs
 * another release than ordered, and `trust` is the number of its trust
 * statement.  `said` is the parsed text of `reported`. */
FLO_MUST_USE int flo_fleet_device_reported(struct flo_fleet_store *store, const char *id,
                                           const char *reported, const json_t *said,
                                           const char *profile, bool drifts, uint64_t trust,
                                           const struct flo_fleet_model *models, size_t model_count,
                                           struct flo_err *err);
/* Retires a device, and revokes its certificates. */
FLO_MUST_USE int flo_fleet_device_retire(struct flo_fleet_store *store, const char *id,
                                         struct flo_err *err);
/* A certificate of a device. */
struct flo_fleet_certificate {
    const char *serial; /* hex */
    const char *device;
    const char *authority; /* name of the authority that signed it (state/pki/pki.h) */
    enum flo_certificate_state state;
    uint64_t issued_at_ms;
    uint64_t until_ms;
    /* public key, PEM; "": the certificate is older than proofs, or the row has
     * no valid seal (seals.h) */
    const char *key;
    /* numbers that proofs used up (state/proofs/proofs.c); "": no message
     * yet */
    const char *proved;
};
typedef int (*flo_fleet_certificate_fn)(void *context,
                                        const struct flo_fleet_certificate *certificate);
/* Adds a certificate.  FLO_E_STATE: the serial exists. */
FLO_MUST_USE int flo_fleet_certificate_add(struct flo_fleet_store *store,
                                           const struct flo_fleet_certificate *certificate,
                                           struct flo_err *err);
/* Sets the member `proved` of a certificate. */
FLO_MUST_USE int flo_fleet_certificate_prove(struct flo_fleet_store *store, const char *serial,
                                             const char *proved, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_certificate_get(struct flo_fleet_store *store, const char *serial,
                                           flo_fleet_certificate_fn fn, void *context,
                                           struct flo_err *err);
/* Counts the certificates that were issued to a device since `since_ms`. */
FLO_MUST_USE int flo_fleet_certificate_count(struct flo_fleet_store *store, const char *device,
                                             uint64_t since_ms, uint64_t *out, struct flo_err *err);
/* Records which certificate the device reports.  Its earlier certificates get
 * the state of replaced ones. */
FLO_MUST_USE int flo_fleet_certificate_held(struct flo_fleet_store *store, const char *device,
                                            const char *serial, struct flo_err *err);
/* Makes a certificate of an unknown device one that was issued. */
FLO_MUST_USE int flo_fleet_certificate_adopt(struct flo_fleet_store *store, const char *serial,
                                             struct flo_err *err);
/* Revokes all certificates of a device but the one with this serial; "": all. */
FLO_MUST_USE int flo_fleet_certificate_revoke(struct flo_fleet_store *store, const char *device,
                                              const char *but, struct flo_err *err);
/* Lists the certificates in a state that end after `until_ms`, in the order of
 * devices and of times of issue. */
FLO_MUST_USE int flo_fleet_certificate_list(struct flo_fleet_store *store,
                                            enum flo_certificate_state state, uint64_t until_ms,
                                            flo_fleet_certificate_fn fn, void *context,
                                            struct flo_err *err);
/* Counts the certificates in a state that end between `after_ms` (excluded) and
 * `to_ms`. */
FLO_MUST_USE int flo_fleet_certificate_ending(struct flo_fleet_store *store,
                                              enum flo_certificate_state state, uint64_t after_ms,
                                              uint64_t to_ms, uint64_t *out, struct flo_err *err);
/* Deletes certificates that ended before `before_ms`. */
FLO_MUST_USE int flo_fleet_certificate_prune(struct flo_fleet_store *store, uint64_t before_ms,
                                             struct flo_err *err);

/* Marks all devices as offline until presence messages arrive. */
FLO_MUST_USE int flo_fleet_devices_offline(struct flo_fleet_store *store, struct flo_err *err);
/* Numbers of devices; retired ones are not counted. */
struct flo_fleet_device_count {
    uint64_t devices;
    uint64_t online;
    uint64_t drifting;
};
/* Returns how many devices sent a message since the store was opened. */
size_t flo_fleet_devices_seen(const struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_device_counts(struct flo_fleet_store *store,
                                         struct flo_fleet_device_count *out, struct flo_err *err);

/* Callback with the number of devices that have a trust statement.  The call
 * begins with the highest statement. */
typedef int (*flo_fleet_trust_fn)(void *context, uint64_t number, uint64_t devices);
FLO_MUST_USE int flo_fleet_device_trusts(struct flo_fleet_store *store, flo_fleet_trust_fn fn,
                                         void *context, struct flo_err *err);

/* ---- trust statements and emergency orders ---- */

/* Callback for the keyring that several controllers share (state/keyring).  The
 * store has at most one keyring. */
typedef int (*flo_fleet_keyring_fn)(void *context, uint64_t number, const char *digest,
                                    const char *body);
FLO_MUST_USE int flo_fleet_keyring(struct flo_fleet_store *store, flo_fleet_keyring_fn fn,
                                   void *context, struct flo_err *err);
/* Replaces the keyring. */
FLO_MUST_USE int flo_fleet_keyring_put(struct flo_fleet_store *store, uint64_t number,
                                       const char *digest, const char *body, struct flo_err *err);
/* Adds a trust statement.  FLO_E_STATE: the number is taken. */
FLO_MUST_USE int flo_fleet_statement_add(struct flo_fleet_store *store, uint64_t number,
                                         const char *envelope, struct flo_err *err);
typedef int (*flo_fleet_statement_fn)(void *context, uint64_t number, const char *envelope);
/* Lists the trust statements with numbers above `after`, the oldest or the
 * newest first. */
FLO_MUST_USE int flo_fleet_trust_statements(struct flo_fleet_store *store, uint64_t after,
                                            bool is_newest_first, flo_fleet_statement_fn fn,
                                            void *context, struct flo_err *err);
/* An emergency order (signed by an emergency key), as far as it is known.
 * `envelope` and `op` are "" when only a device's answer arrived. */
struct flo_fleet_emergency {
    const char *id;
    const char *op;
    const char *envelope;
    uint64_t seq; /* time of issue */
    uint64_t expires_at_ms;
    uint64_t heard_at_ms;
    uint64_t outcomes[8]; /* number of devices with each outcome, by enum flo_order_outcome */
};
/* Stores an emergency order.  Known facts stay, but an empty envelope is
 * filled.  *is_news tells whether the order or its envelope is new. */
FLO_MUST_USE int flo_fleet_emergency_put(struct flo_fleet_store *store,
                                         const struct flo_fleet_emergency *emergency, bool *is_news,
                                         struct flo_err *err);
typedef int (*flo_fleet_emergency_fn)(void *context, const struct flo_fleet_emergency *emergency);
/* Lists at most count_max emergency orders, the newest first.  With `is_whole`
 * only orders with a signed envelope are listed, not those of which only an
 * answer came. */
FLO_MUST_USE int flo_fleet_emergencies(struct flo_fleet_store *store, bool is_whole,
                                       size_t count_max, flo_fleet_emergency_fn fn, void *context,
                                       struct flo_err *err);

/* ---- desired ---- */

/* Gets the revision of a device's desired document.  FLO_E_DEVICE_ABSENT: the
 * device is unknown. */
FLO_MUST_USE int flo_fleet_desired_rev(struct flo_fleet_store *store, const char *device,
                                       uint64_t *out, struct flo_err *err);
/* Gets the id of the order about the model in a device's desired document.  The
 * id is "" if there is none, or the device is unknown. */
FLO_MUST_USE int flo_fleet_desired_get(struct flo_fleet_store *store, const char *device,
                                       const char *model, char *order, struct flo_err *err);
/* Sets the order about a model in a device's desired document, or removes it
 * with "".  Raises the document's revision. */
FLO_MUST_USE int flo_fleet_desired_set(struct flo_fleet_store *store, const char *device,
                                       const char *model, const char *order, struct flo_err *err);
typedef int (*flo_fleet_text_fn)(void *context, const char *text);
/* Allows a device to fetch the release that an order deploys or measures there.
 * An order of another kind allows nothing. */
FLO_MUST_USE int flo_fleet_offer_add(struct flo_fleet_store *store, const char *device,
                                     const char *order, struct flo_err *err);
/* Tells whether the device may fetch a release's envelope.  This holds if a
 * deploy in its desired document or a benchmark named the release once, unless
 * the device was retired since. flo_fleet_offers_artifact tells it for an
 * artifact. */
FLO_MUST_USE int flo_fleet_offers_release(struct flo_fleet_store *store, const char *device,
                                          const char *release, bool *out, struct flo_err *err);
FLO_MUST_USE int flo_fleet_offers_artifact(struct flo_fleet_store *store, const char *device,
                                           const char *digest, bool *out, struct flo_err *err);
/* Lists the devices of a group in the order of ids.  A result of `fn` other
 * than 0 ends the listing and is returned. */
FLO_MUST_USE int flo_fleet_group_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Callback for a model and the order about it.  The call lists the orders in a
 * device's desired document, sorted by model. */
typedef int (*flo_fleet_assignment_fn)(void *context, const char *model, const char *order);
FLO_MUST_USE int flo_fleet_desired_each(struct flo_fleet_store *store, const char *device,
                                        flo_fleet_assignment_fn fn, void *context,
                                        struct flo_err *err);
/* Lists the devices whose desired document has orders about at least `least`
 * models other than `model`. */
FLO_MUST_USE int flo_fleet_desired_full(struct flo_fleet_store *store, const char *model,
                                        uint64_t least, flo_fleet_text_fn fn, void *context,
                                        struct flo_err *err);
/* Callback for a device with an order about the model of the listing
 * (making.h). */
typedef int (*flo_fleet_held_fn)(void *context, const char *device, const char *order);
/* Lists the devices whose desired document contains this order. */
FLO_MUST_USE int flo_fleet_desired_holders(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_text_fn fn, void *context,
                                           struct flo_err *err);
/* Replaces `order` by `next` in all desired documents, or removes it with "".
 * Raises the revisions of these documents. */
FLO_MUST_USE int flo_fleet_desired_swap(struct flo_fleet_store *store, const char *order,
                                        const char *next, struct flo_err *err);

/* ---- events ---- */

/* Stores an event.  *is_new is false when an event with this device, boot and
 * seq exists.  `from` is the lowest unacknowledged event that the device
 * reports; 0: not reported.  *mark becomes the checkpoint up to which all
 * events are stored, or lost on the device (sent as cmd.ack). */
FLO_MUST_USE int flo_fleet_event_add(struct flo_fleet_store *store, const char *device,
                                     const char *boot, uint64_t seq, uint64_t from, uint64_t at_ms,
                                     uint64_t received_at_ms, const char *json, bool *is_new,
                                     uint64_t *mark, struct flo_err *err);
/* Gets the checkpoint of an outbox; 0: the outbox sent no event yet. */
FLO_MUST_USE int flo_fleet_event_checkpoint(struct flo_fleet_store *store, const char *device,
                                            const char *boot, uint64_t *mark, struct flo_err *err);
/* Gets the lives of a device, which the caller changes in memory; NULL: no
 * memory.  Borrowed until the next call of the store. */
struct flo_lives *flo_fleet_device_lives(struct flo_fleet_store *store, const char *id);
/* Notes that a device has no event of this outbox above `last`.  If one is
 * stored, *is_doubtful becomes true, for the report may be older than that event.
 * If the next report says it again, the device's state went back in time: the
 * stored events get a boot id of their own, and the outbox is empty. */
FLO_MUST_USE int flo_fleet_event_told(struct flo_fleet_store *store, const char *device,
                                      const char *boot, uint64_t last, bool *is_doubtful,
                                      struct flo_err *err);
/* Lists the newest `limit` events of a device with ids below `below` as JSON
 * texts, the oldest first.  *oldest becomes the id of the first listed event;
 * 0: no older event exists. */
FLO_MUST_USE int flo_fleet_event_list(struct flo_fleet_store *store, const char *device,
                                      uint64_t below, uint64_t limit, flo_fleet_text_fn fn,
                                      void *context, uint64_t *oldest, struct flo_err *err);

/* ---- releases ---- */

struct flo_fleet_release {
    const char *model;
    const char *version;
    uint64_t number;
    const char *digest; /* id of the release: "sha256:..." of the signed body */
    const char *state;  /* draft published yanked */
    const char *body;   /* the signed document as JSON */
    uint64_t bytes;     /* bytes of the smallest full download of the first variant */
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_release_fn)(void *context, const struct flo_fleet_release *release);
/* Adds a release.  FLO_E_STATE: its version or digest exists. */
FLO_MUST_USE int flo_fleet_release_add(struct flo_fleet_store *store,
                                       const struct flo_fleet_release *release,
                                       struct flo_err *err);
/* Notes that a release has an artifact; repeating this is harmless.
 * flo_fleet_bringers lists the releases with an artifact. */
FLO_MUST_USE int flo_fleet_release_brings(struct flo_fleet_store *store, const char *release,
                                          const char *digest, struct flo_err *err);
int flo_fleet_bringers(struct flo_fleet_store *store, const char *digest, uint64_t limit,
                       flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Gets a release by model and version, or by its digest with `model` NULL and
 * the digest as `version`.  `fn` may be NULL.  FLO_E_RELEASE_ABSENT: there is
 * none. */
FLO_MUST_USE int flo_fleet_release_get(struct flo_fleet_store *store, const char *model,
                                       const char *version, flo_fleet_release_fn fn, void *context,
                                       struct flo_err *err);
/* Stores the newest verified envelope of a release, by the release's id.
 * flo_fleet_envelope_get reads it: `fn` borrows the text, and
 * FLO_E_RELEASE_ABSENT means that there is none. */
FLO_MUST_USE int flo_fleet_envelope_put(struct flo_fleet_store *store, const char *release,
                                        const char *text, struct flo_err *err);
FLO_MUST_USE int flo_fleet_envelope_get(struct flo_fleet_store *store, const char *release,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_list(struct flo_fleet_store *store, flo_fleet_release_fn fn,
                                        void *context, struct flo_err *err);
/* Lists at most `limit` releases (0: all) by model and number.  With `model`
 * NULL all models are listed.  The page begins after `after_model` and
 * `after_number`, or at the first release with NULL. */
FLO_MUST_USE int flo_fleet_release_page(struct flo_fleet_store *store, const char *model,
                                        const char *after_model, uint64_t after_number,
                                        uint64_t limit, flo_fleet_release_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_state(struct flo_fleet_store *store, const char *digest,
                                         const char *state, struct flo_err *err);

/* ---- rollouts ---- */

/* A rollout as it is stored.  The fields are those of the state, and `core` has
 * those of the rollout's core as JSON. */
struct flo_fleet_rollout {
    const char *id;
    const char *group; /* group of the rollout, for flo_fleet_rollout_put; NULL: group `all` */
    const char *spec;  /* JSON as asked */
    const char *state; /* word */
    const char *core;  /* JSON with phases, reason and start of the state */
    const char *digest;
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_rollout_fn)(void *context, const struct flo_fleet_rollout *rollout);
FLO_MUST_USE int flo_fleet_rollout_put(struct flo_fleet_store *store,
                                       const struct flo_fleet_rollout *rollout,
                                       struct flo_err *err);
FLO_MUST_USE int flo_fleet_rollout_get(struct flo_fleet_store *store, const char *id,
                                       flo_fleet_rollout_fn fn, void *context, struct flo_err *err);
/* Lists rollouts, active ones before ended ones, the newest of both first. */
FLO_MUST_USE int flo_fleet_rollout_list(struct flo_fleet_store *store, uint64_t limit,
                                        flo_fleet_rollout_fn fn, void *context,
                                        struct flo_err *err);
/* Lists active or ended rollouts with a number below `below`, the newest
 * first. */
FLO_MUST_USE int flo_fleet_rollout_page(struct flo_fleet_store *store, bool is_active,
                                        uint64_t below, uint64_t limit, flo_fleet_rollout_fn fn,
                                        void *context, struct flo_err *err);
/* Lists the ids of the rollouts that a new device joins, the oldest first.
 * Their releases are published.  Listed are running and paused rollouts, and
 * the newest completed one of each model and group. */
FLO_MUST_USE int flo_fleet_rollout_joined(struct flo_fleet_store *store, const char *device,
                                          flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* A rollout that claims a group.  It runs, is paused or completed, and its
 * release is published.  The newest is listed first. */
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
/* Stores a member with its facts for people (flo_fleet_member_detail); a fact
 * may be NULL. */
FLO_MUST_USE int flo_fleet_member_put(struct flo_fleet_store *store, const char *rollout,
                                      const struct flo_rollout_member *member,
                                      const char *error_json, const char *detail_json,
                                      struct flo_err *err);
/* Removes a member. */
FLO_MUST_USE int flo_fleet_member_remove(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, struct flo_err *err);
/* Sets a member's facts for people.  A `detail_json` that is NULL leaves the
 * stored one unchanged. */
FLO_MUST_USE int flo_fleet_member_detail(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, const char *error_json,
                                         const char *detail_json, struct flo_err *err);
typedef int (*flo_fleet_member_fn)(void *context, const struct flo_rollout_member *member,
                                   const char *error_json, const char *detail_json);
#define FLO_FLEET_ALL INT64_MAX
/* Lists at most `limit` members of a rollout, in the order of device ids. */
FLO_MUST_USE int flo_fleet_member_list(struct flo_fleet_store *store, const char *rollout,
                                       uint64_t limit, flo_fleet_member_fn fn, void *context,
                                       struct flo_err *err);
/* Lists those of the given devices that are members, in any order. */
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
    /* Model of the order, or of the order's rollout; "": none. */
    const char *model;
    const char *release; /* rollback: the first release in `from`; deploy: the release */
    uint64_t phase;
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    bool is_tracked; /* a person requested the order by POST /v1/orders */
    uint64_t release_bytes;
    /* the order was signed again only for devices whose desired document holds
     * it, so no group's list has it */
    bool is_desired_only;
    const char *reason; /* reason that the operator gave; NULL: none */
};
typedef int (*flo_fleet_order_fn)(void *context, const struct flo_fleet_order *order);
/* Adds an order.  Older orders with the same content (rollout, kind, phase,
 * group and release) count as superseded from now on.  FLO_E_STATE: the order's
 * id exists. */
FLO_MUST_USE int flo_fleet_order_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_order *order, struct flo_err *err);
/* Stores the complete reason, because the signed text may be too small for it.
 * */
FLO_MUST_USE int flo_fleet_order_reason(struct flo_fleet_store *store, const char *id,
                                        const char *reason, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_order_get(struct flo_fleet_store *store, const char *id,
                                     flo_fleet_order_fn fn, void *context, struct flo_err *err);
/* Gets the newest order of a rollout with the operation `op` that is for more
 * than one device.  A deploy must also have the phase.  FLO_E_ABSENT: there is
 * none. */
FLO_MUST_USE int flo_fleet_order_of(struct flo_fleet_store *store, const char *rollout,
                                    const char *op, uint64_t phase, flo_fleet_order_fn fn,
                                    void *context, struct flo_err *err);
/* Lists the orders in a group's list that have not expired at `now_ms`, by
 * ascending number. */
FLO_MUST_USE int flo_fleet_order_list(struct flo_fleet_store *store, const char *group,
                                      uint64_t now_ms, flo_fleet_order_fn fn, void *context,
                                      struct flo_err *err);
/* Lists the groups with orders that have not expired; a group may be listed
 * twice. */
FLO_MUST_USE int flo_fleet_order_groups(struct flo_fleet_store *store, uint64_t now_ms,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Lists orders that people requested and whose number is below `below`, the
 * newest first. */
FLO_MUST_USE int flo_fleet_order_tracked(struct flo_fleet_store *store, uint64_t below,
                                         uint64_t limit, flo_fleet_order_fn fn, void *context,
                                         struct flo_err *err);
/* Deletes orders that are no longer needed (calls/orders.c), among the next
 * FLO_FLEET_PRUNE_ORDERS after number *from.  *from becomes the start of the
 * next batch, or FLO_FLEET_ALL after the last one.  Orders that people
 * requested are kept for ever, as rollouts are. */
#define FLO_FLEET_PRUNE_ORDERS 500
FLO_MUST_USE int flo_fleet_order_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       uint64_t *from, struct flo_err *err);
/* Lists the orders that some desired document contains. */
FLO_MUST_USE int flo_fleet_order_held(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                      void *context, struct flo_err *err);
/* Gets the highest number of an order with this operation and model, 0 for
 * none.  `release` limits it to orders of one release; "" means all orders in
 * groups' lists. */
FLO_MUST_USE int flo_fleet_order_newest(struct flo_fleet_store *store, const char *op,
                                        const char *model, const char *release, uint64_t *out,
                                        struct flo_err *err);
/* Gets the number of the last order that removes the model from the whole
 * group, or from all devices; 0: none. */
FLO_MUST_USE int flo_fleet_order_removal(struct flo_fleet_store *store, const char *model,
                                         const char *group, uint64_t *out, struct flo_err *err);
/* Lists orders in groups' lists that stay after their validity.  These are the
 * newest freeze or unfreeze, the newest order about prompts, and the newest
 * resume of each active rollout while accepted members may wait for it.  An
 * emergency rollback stays until every device answered, because nothing else
 * orders devices to leave such a release. */
FLO_MUST_USE int flo_fleet_order_standing(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                          void *context, struct flo_err *err);
/* Tells whether the fleet is frozen, which means that the newest freeze or
 * unfreeze is a freeze. */
FLO_MUST_USE int flo_fleet_is_frozen(struct flo_fleet_store *store, bool *out, struct flo_err *err);
/* Tells whether the newest order about prompts keeps them on the devices.
 * *found false: there was no such order, so they may leave. */
FLO_MUST_USE int flo_fleet_prompts_stay(struct flo_fleet_store *store, bool *out, bool *found,
                                        struct flo_err *err);
/* Sets the outcome of an order that people requested, on a device that the
 * order is for. */
FLO_MUST_USE int flo_fleet_outcome_put(struct flo_fleet_store *store, const char *order,
                                       const char *device, enum flo_order_outcome outcome,
                                       uint64_t took_ms, struct flo_err *err);
/* Sets the outcome of an order on a device in scope, if the outcome is news
 * (flo_outcome_is_news). */
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
    uint64_t took_ms;  /* duration of the execution, as the device reported it */
    uint64_t heard_ms; /* time from the order's issue until its answer was stored */
    const char *error; /* JSON, or "" */
};
typedef int (*flo_fleet_outcome_fn)(void *context, const struct flo_fleet_outcome *outcome);
typedef int (*flo_fleet_count_fn)(void *context, const char *word, uint64_t count);
/* Gets a quantile of heard_ms over the devices that are done; 0: no device
 * is. */
FLO_MUST_USE int flo_fleet_outcome_quantile(struct flo_fleet_store *store, const char *order,
                                            uint64_t permille, uint64_t *out, struct flo_err *err);
/* Counts the error ids in the devices' refusals of an order, the most frequent
 * first. */
FLO_MUST_USE int flo_fleet_outcome_reasons(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_count_fn fn, void *context,
                                           struct flo_err *err);
/* Removes emergency rollbacks of a release from the groups' lists.  A device
 * that still must answer one has it in its desired document. */
FLO_MUST_USE int flo_fleet_orders_only_held(struct flo_fleet_store *store, const char *release,
                                            struct flo_err *err);
/* Lists at most `limit` outcomes of an order, unfinished ones first. */
FLO_MUST_USE int flo_fleet_outcome_list(struct flo_fleet_store *store, const char *order,
                                        uint64_t limit, flo_fleet_outcome_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_outcome_progress(struct flo_fleet_store *store, const char *order,
                                            struct flo_order_progress *out, struct flo_err *err);
/* Tells whether the controller may ask the device again for answers that it
 * owes.  It may if the last time was more than pause_ms ago, or if the device
 * connected since (*is_back).  A call that returns true counts as asking. */
bool flo_fleet_device_may_ask(struct flo_fleet_store *store, const char *device, uint64_t pause_ms,
                              bool *is_back);
/* Tells whether the device still has to answer an order that people
 * requested. */
FLO_MUST_USE int flo_fleet_device_is_awaited(struct flo_fleet_store *store, const char *device,
                                             bool *out, struct flo_err *err);
/* Lists the orders that people requested and that the device still has to
 * answer. */
FLO_MUST_USE int flo_fleet_outcome_awaited(struct flo_fleet_store *store, const char *device,
                                           flo_fleet_order_fn fn, void *context,
                                           struct flo_err *err);

/* ---- evidence of rollouts ---- */

/* Record of the evidence by which the analysis of a rollout was judged, as
 * JSON.  `number` is the block of the evidence; a second record of a block
 * replaces the first. */
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
/* Lists at most `limit` records with numbers above `after`, in ascending
 * order. */
FLO_MUST_USE int flo_fleet_evidence_list(struct flo_fleet_store *store, const char *rollout,
                                         uint64_t after, uint64_t limit, flo_fleet_evidence_fn fn,
                                         void *context, struct flo_err *err);
/* Deletes records that are older than FLO_FLEET_EVIDENCE_KEPT_MS. */
FLO_MUST_USE int flo_fleet_evidence_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                          struct flo_err *err);

/* ---- reports that devices were asked for ---- */

struct flo_fleet_report {
    const char *order; /* id of the order that requested the report */
    const char *device;
    const char *op; /* logs doctor benchmark */
    uint64_t at_ms; /* when it came */
    const char *body;
};
typedef int (*flo_fleet_report_fn)(void *context, const struct flo_fleet_report *report);
/* Largest number of reports that are kept of a device, the newest ones. */
#define FLO_FLEET_REPORTS_MAX 8
#define FLO_FLEET_REPORT_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)
/* Adds a report.  FLO_E_STATE: the order has a report already. */
FLO_MUST_USE int flo_fleet_report_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_report *report, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_report_get(struct flo_fleet_store *store, const char *order,
                                      flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* Lists a device's reports, the newest first. */
FLO_MUST_USE int flo_fleet_report_list(struct flo_fleet_store *store, const char *device,
                                       flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* Lists the reports of all devices that orders with this operation asked for,
 * the newest first, at most `limit`. */
FLO_MUST_USE int flo_fleet_report_list_op(struct flo_fleet_store *store, const char *op,
                                          uint64_t limit, flo_fleet_report_fn fn, void *context,
                                          struct flo_err *err);
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
    const char *person; /* person who owns an access token; NULL or "": none */
    struct flo_digest secret;
    uint64_t uses_left; /* enroll */
    uint64_t created_at_ms;
    uint64_t expires_at_ms; /* 0: never */
    uint64_t used_at_ms;    /* last use of an access token, precise to a minute; 0: never */
    /* for listings: the row's seal is valid; false: the token grants nothing
     * (seals.h) */
    bool is_sealed;
};
typedef int (*flo_fleet_token_fn)(void *context, const struct flo_fleet_token *token);
/* Adds a token.  FLO_E_STATE: its id or secret exists. */
FLO_MUST_USE int flo_fleet_token_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_token *token, struct flo_err *err);
/* Gets a token by its id, or with `id` NULL an enrolment token by the digest of
 * its secret.  FLO_E_ABSENT: there is no such token with a valid seal. */
FLO_MUST_USE int flo_fleet_token_get(struct flo_fleet_store *store, const char *id,
                                     const struct flo_digest *secret, flo_fleet_token_fn fn,
                                     void *context, struct flo_err *err);
/* Lists at most `limit` tokens (0: all), the newest first.  The page begins
 * after the token made at after_ms with this id; FLO_FLEET_ALL and "" begin
 * with the newest. */
FLO_MUST_USE int flo_fleet_token_list(struct flo_fleet_store *store, uint64_t after_ms,
                                      const char *after_id, uint64_t limit, flo_fleet_token_fn fn,
                                      void *context, struct flo_err *err);
/* Notes when the token was used, so that people see it.  A missing token is
 * ignored. */
FLO_MUST_USE int flo_fleet_token_used(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                                      struct flo_err *err);
/* Uses an enrolment token once.  FLO_E_ENROL_TOKEN: no use was left. */
FLO_MUST_USE int flo_fleet_token_use(struct flo_fleet_store *store, const char *id,
                                     struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_token_delete(struct flo_fleet_store *store, const char *id,
                                        struct flo_err *err);
/* A person with a name, which is a user in the API. */
struct flo_fleet_person {
    const char *name;
    const char *role; /* grants: core/access/grants.h */
    bool is_disabled;
    /* for listings: the row's seal is valid; false: the person counts as absent
     * (seals.h) */
    bool is_sealed;
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_person_fn)(void *context, const struct flo_fleet_person *person);
/* Adds a person, or changes the person's role or state. */
FLO_MUST_USE int flo_fleet_person_put(struct flo_fleet_store *store,
                                      const struct flo_fleet_person *person, struct flo_err *err);
/* Gets a person by name; `fn` may be NULL.  FLO_E_ABSENT: there is no such
 * person with a valid seal. */
FLO_MUST_USE int flo_fleet_person_get(struct flo_fleet_store *store, const char *name,
                                      flo_fleet_person_fn fn, void *context, struct flo_err *err);
/* Lists people by name, beginning after the name `after`; "": from the
 * first. */
FLO_MUST_USE int flo_fleet_person_list(struct flo_fleet_store *store, const char *after,
                                       uint64_t limit, flo_fleet_person_fn fn, void *context,
                                       struct flo_err *err);
/* Deletes a person and all tokens of that person.  FLO_E_ABSENT: there is no
 * such person. */
FLO_MUST_USE int flo_fleet_person_delete(struct flo_fleet_store *store, const char *name,
                                         struct flo_err *err);
/* Lists the tokens that a person owns. */
FLO_MUST_USE int flo_fleet_person_tokens(struct flo_fleet_store *store, const char *name,
                                         flo_fleet_token_fn fn, void *context, struct flo_err *err);
/* Deletes enrolment tokens that expired 30 days ago, and those that expired
 * with no use left. */
FLO_MUST_USE int flo_fleet_token_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       struct flo_err *err);

/* Gets the answer that is stored under token and key, and appends its text to
 * `body`.  *status is 0 when there is none. */
FLO_MUST_USE int flo_fleet_replay_get(struct flo_fleet_store *store, const char *token,
                                      const char *key, struct flo_digest *request, int *status,
                                      struct flo_buf *body, struct flo_err *err);
FLO_MUST_USE int flo_fleet_replay_put(struct flo_fleet_store *store, const char *token,
                                      const char *key, const struct flo_digest *request, int status,
                                      const char *body, uint64_t now_ms, struct flo_err *err);

/* Appends a record to the audit, and sets the record's number, previous hash
 * and hash. */
FLO_MUST_USE int flo_fleet_audit_add(struct flo_fleet_store *store, struct flo_audit_record *record,
                                     struct flo_err *err);
typedef int (*flo_fleet_audit_fn)(void *context, const struct flo_audit_record *record,
                                  const struct flo_digest *hash);
/* Lists at most `limit` audit records (0: all) from number `from` on, in
 * ascending order. */
FLO_MUST_USE int flo_fleet_audit_list(struct flo_fleet_store *store, uint64_t from, uint64_t limit,
                                      flo_fleet_audit_fn fn, void *context, struct flo_err *err);
/* Lists audit records from number `from` on, in descending order. */
FLO_MUST_USE int flo_fleet_audit_newest(struct flo_fleet_store *store, uint64_t from,
                                        uint64_t limit, flo_fleet_audit_fn fn, void *context,
                                        struct flo_err *err);

#endif
