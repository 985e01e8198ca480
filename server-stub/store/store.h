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
 * - Who promises something to the world (an answer, an acknowledgement, an
 *   order) takes flo_fleet_committed with what it is about to say.  It says it
 *   when flo_fleet_durable is there.
 * - A read sees the newest commit, durable or not.
 * - At most 64 commits wait.  Then begin waits for the disk.
 * - A sync that fails makes no number durable, and nothing is taken back.  Each
 *   waiter can read why.  The next begin writes all of it once more, and
 *   refuses while that fails.
 * - A commit without room on the disk fails at once and is taken back whole.
 * - SQLite syncs the head of its log itself, once in 4 MiB, in a commit.
 *
 * A message costs two statements at most.  Facts that each message asks for are
 * in memory (calls/facts.c) and are written in pieces.  An engine behind a
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

/* ":memory:" as `dir` is the engine in memory, postgresql://… that database.
 * `epoch`: the one of the database that this process leads in (lead.h), 0
 * otherwise. */
FLO_MUST_USE int flo_fleet_open(const char *dir, uint64_t epoch, struct flo_fleet_store **out,
                                struct flo_err *err);
/* Whether a database that does not answer is waited for, asked from the thread
 * that waits (lead.h: flo_lead_may_wait). */
void flo_fleet_heed(struct flo_fleet_store *store,
                    bool (*may_wait_or_null)(void *context, bool is_commit), void *context);
void flo_fleet_close(struct flo_fleet_store *store);
/* Copy all rows of DIR/control.db into an empty store, in one transaction.
 * FLO_E_STATE: it is not empty. */
FLO_MUST_USE int flo_fleet_import(struct flo_fleet_store *store, const char *dir, uint64_t *rows,
                                  struct flo_err *err);
/* The store failed, or its disk: no fault of what was asked. */
bool flo_fleet_is_failure(int code);
/* FLO_E_DB: a transaction is open already. */
FLO_MUST_USE int flo_fleet_begin(struct flo_fleet_store *store, struct flo_err *err);
/* A change that fails is taken back whole.  FLO_E_DB without a transaction. */
FLO_MUST_USE int flo_fleet_commit(struct flo_fleet_store *store, struct flo_err *err);
/* All is as before begin; harmless without a transaction. */
void flo_fleet_roll_back(struct flo_fleet_store *store);

/* Start the thread.  `wake` is called on it when numbers became durable or a
 * sync failed. */
FLO_MUST_USE int flo_fleet_queue_start(struct flo_fleet_store *store, void (*wake)(void *context),
                                       void *context, struct flo_err *err);
/* Flush, and commits are durable by themselves again.  close does it, too. */
FLO_MUST_USE int flo_fleet_queue_stop(struct flo_fleet_store *store, struct flo_err *err);
/* Number of the newest commit that changed something. */
uint64_t flo_fleet_committed(const struct flo_fleet_store *store);
/* This commit is durable, and all before it.  *why_or_null: the sync of the
 * next ones failed; code 0: it did not. */
uint64_t flo_fleet_durable(struct flo_fleet_store *store, struct flo_err *why_or_null);
/* Are the store's files still those that were opened?  If not, no commit is
 * durable from now on (FLO_E_DB_REPLACED).  The state's thread asks each
 * second; each sync asks too. */
void flo_fleet_look(struct flo_fleet_store *store);
/* Wait until all commits are durable, outside of a transaction. */
FLO_MUST_USE int flo_fleet_flush(struct flo_fleet_store *store, struct flo_err *err);

/* Calls of an engine since it was opened: reads and changes. */
uint64_t flo_fleet_statements(const struct flo_fleet_store *store);

/* Small settings by name; get gives "" when there is none. */
FLO_MUST_USE int flo_fleet_setting_get(struct flo_fleet_store *store, const char *name, char *out,
                                       size_t out_bytes, struct flo_err *err);
FLO_MUST_USE int flo_fleet_setting_set(struct flo_fleet_store *store, const char *name,
                                       const char *value, struct flo_err *err);
/* So many numbers of a counter are not given out. */
FLO_MUST_USE int flo_fleet_skip(struct flo_fleet_store *store, const char *counter, uint64_t count,
                                struct flo_err *err);
/* The last number of a counter that was given; 0: none. */
FLO_MUST_USE int flo_fleet_newest(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                  struct flo_err *err);
/* Next number of a counter, from 1. */
FLO_MUST_USE int flo_fleet_next(struct flo_fleet_store *store, const char *counter, uint64_t *out,
                                struct flo_err *err);

/* ---- devices ---- */

struct flo_fleet_device {
    const char *id;
    const char *name;
    const char *labels;      /* JSON object */
    const char *profile;     /* JSON object */
    const char *reported;    /* JSON object, or "" */
    const char *groups;      /* JSON array of names */
    const char *note;        /* words of people */
    const char *maintenance; /* why it takes no rollout; "": it does */
    const char *pins;        /* JSON object, model to model@version; or "" */
    const char *replaces;    /* device whose place it took, or "" */
    const char *replaced_by; /* the opposite */
    bool is_online;
    bool is_retired;
    uint64_t enrolled_at_ms;
    uint64_t last_seen_at_ms;
    uint64_t rss_bytes; /* agent and all engines, of the last telemetry */
};
typedef int (*flo_fleet_device_fn)(void *context, const struct flo_fleet_device *device);

/* FLO_E_STATE when the name is taken. */
FLO_MUST_USE int flo_fleet_device_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_device *device,
                                      const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                                      struct flo_err *err);
/* By id or name; FLO_E_DEVICE_ABSENT. */
FLO_MUST_USE int flo_fleet_device_get(struct flo_fleet_store *store, const char *key,
                                      flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* Not retired, in order of id, after `after` (or NULL), of a group (or NULL),
 * online -1 any, 0 no, 1 yes; retired ones too when asked. */
struct flo_fleet_device_filter {
    const char *after;
    const char *group;
    const char *label; /* a label's key, a name; its value */
    const char *label_value;
    const char *model;   /* that it has */
    const char *release; /* model@version that it serves */
    int online;          /* -1: either */
    bool with_retired;
    bool only_retired; /* nobody else */
    uint64_t limit;    /* 0: all */
};
FLO_MUST_USE int flo_fleet_device_list(struct flo_fleet_store *store,
                                       const struct flo_fleet_device_filter *filter,
                                       flo_fleet_device_fn fn, void *context, struct flo_err *err);
/* true in *out: known and not retired. */
FLO_MUST_USE int flo_fleet_device_is_active(struct flo_fleet_store *store, const char *id,
                                            bool *out, struct flo_err *err);
/* The device was heard at this time (wall), and uses so much memory (0: it did
 * not say).  In memory: flo_fleet_facts_write writes it. */
void flo_fleet_device_heard(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                            uint64_t rss_bytes);
/* Newest time to first token, 95 of 100 below (0: the device did not say).  In
 * memory alone. */
void flo_fleet_device_ttft(struct flo_fleet_store *store, const char *id, uint64_t ttft_us);
/* Is its hardware class another than the one given before?  In memory. */
bool flo_fleet_device_hardware(struct flo_fleet_store *store, const char *id, const char *hardware);
/* Every device that is known to be connected. */
typedef int (*flo_fleet_id_fn)(void *context, const char *device);
FLO_MUST_USE int flo_fleet_online_each(struct flo_fleet_store *store, flo_fleet_id_fn fn,
                                       void *context);
/* Write what is in memory alone, of so many devices from the number *from on;
 * *from becomes where the next piece begins, SIZE_MAX after the last. */
FLO_MUST_USE int flo_fleet_facts_write(struct flo_fleet_store *store, size_t count_max,
                                       size_t *from, struct flo_err *err);
/* As far as memory knows. */
bool flo_fleet_device_seems_online(struct flo_fleet_store *store, const char *id);
FLO_MUST_USE int flo_fleet_device_online(struct flo_fleet_store *store, const char *id, bool online,
                                         bool *is_news, struct flo_err *err);
/* A model that a device says it has. */
struct flo_fleet_model {
    char model[FLO_NAME_MAX + 1];
    char serving[2 * FLO_NAME_MAX + 2]; /* model@version; "": nothing yet */
};
/* drifts: of one of its models the device runs something else than it is told
 * to.  trust: the number of its trust statement.  `said` is what `reported`
 * says. */
FLO_MUST_USE int flo_fleet_device_reported(struct flo_fleet_store *store, const char *id,
                                           const char *reported, const json_t *said,
                                           const char *profile, bool drifts, uint64_t trust,
                                           const struct flo_fleet_model *models, size_t model_count,
                                           struct flo_err *err);
/* The device's certificates are revoked. */
FLO_MUST_USE int flo_fleet_device_retire(struct flo_fleet_store *store, const char *id,
                                         struct flo_err *err);
/* Certificates of devices. */
struct flo_fleet_certificate {
    const char *serial; /* hex */
    const char *device;
    const char *authority; /* name of the authority: state/pki/pki.h */
    enum flo_certificate_state state;
    uint64_t issued_at_ms;
    uint64_t until_ms;
    const char *key;    /* public key, PEM; "": issued before proofs */
    const char *proved; /* state/proofs/proofs.c; "": no message yet */
};
typedef int (*flo_fleet_certificate_fn)(void *context,
                                        const struct flo_fleet_certificate *certificate);
/* FLO_E_STATE: the serial is there. */
FLO_MUST_USE int flo_fleet_certificate_add(struct flo_fleet_store *store,
                                           const struct flo_fleet_certificate *certificate,
                                           struct flo_err *err);
/* Set the certificate's `proved`. */
FLO_MUST_USE int flo_fleet_certificate_prove(struct flo_fleet_store *store, const char *serial,
                                             const char *proved, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_certificate_get(struct flo_fleet_store *store, const char *serial,
                                           flo_fleet_certificate_fn fn, void *context,
                                           struct flo_err *err);
/* Issued to a device since then. */
FLO_MUST_USE int flo_fleet_certificate_count(struct flo_fleet_store *store, const char *device,
                                             uint64_t since_ms, uint64_t *out, struct flo_err *err);
/* The device says that it holds this one of its own: those that it held before
 * are replaced. */
FLO_MUST_USE int flo_fleet_certificate_held(struct flo_fleet_store *store, const char *device,
                                            const char *serial, struct flo_err *err);
/* Those in a state that end after `until_ms`, in order of device and issue. */
FLO_MUST_USE int flo_fleet_certificate_list(struct flo_fleet_store *store,
                                            enum flo_certificate_state state, uint64_t until_ms,
                                            flo_fleet_certificate_fn fn, void *context,
                                            struct flo_err *err);
/* How many in a state end from one time (excluded) to the other. */
FLO_MUST_USE int flo_fleet_certificate_ending(struct flo_fleet_store *store,
                                              enum flo_certificate_state state, uint64_t after_ms,
                                              uint64_t to_ms, uint64_t *out, struct flo_err *err);
/* Forget those that ended before then. */
FLO_MUST_USE int flo_fleet_certificate_prune(struct flo_fleet_store *store, uint64_t before_ms,
                                             struct flo_err *err);

/* Nobody is online until presence says so. */
FLO_MUST_USE int flo_fleet_devices_offline(struct flo_fleet_store *store, struct flo_err *err);
/* Without retired devices. */
struct flo_fleet_device_count {
    uint64_t devices;
    uint64_t online;
    uint64_t drifting;
};
/* Devices that it has heard of since it was opened. */
size_t flo_fleet_devices_seen(const struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_device_counts(struct flo_fleet_store *store,
                                         struct flo_fleet_device_count *out, struct flo_err *err);

/* How many have which trust statement, the highest number first. */
typedef int (*flo_fleet_trust_fn)(void *context, uint64_t number, uint64_t devices);
FLO_MUST_USE int flo_fleet_device_trusts(struct flo_fleet_store *store, flo_fleet_trust_fn fn,
                                         void *context, struct flo_err *err);

/* ---- trust statements and emergency orders ---- */

/* The keyring of several controllers, there is one (state/keyring). */
typedef int (*flo_fleet_keyring_fn)(void *context, uint64_t number, const char *digest,
                                    const char *body);
FLO_MUST_USE int flo_fleet_keyring(struct flo_fleet_store *store, flo_fleet_keyring_fn fn,
                                   void *context, struct flo_err *err);
/* In place of the one before. */
FLO_MUST_USE int flo_fleet_keyring_put(struct flo_fleet_store *store, uint64_t number,
                                       const char *digest, const char *body, struct flo_err *err);
/* FLO_E_STATE: that number is taken. */
FLO_MUST_USE int flo_fleet_statement_add(struct flo_fleet_store *store, uint64_t number,
                                         const char *envelope, struct flo_err *err);
typedef int (*flo_fleet_statement_fn)(void *context, uint64_t number, const char *envelope);
/* Those above `after`, the oldest first; or the newest first. */
FLO_MUST_USE int flo_fleet_trust_statements(struct flo_fleet_store *store, uint64_t after,
                                            bool is_newest_first, flo_fleet_statement_fn fn,
                                            void *context, struct flo_err *err);
/* An order of an emergency key, as the controller learned of it.  `envelope`
 * and `op` "": only a device's answer came. */
struct flo_fleet_emergency {
    const char *id;
    const char *op;
    const char *envelope;
    uint64_t seq; /* time of issue */
    uint64_t expires_at_ms;
    uint64_t heard_at_ms;
    uint64_t outcomes[8]; /* devices by enum flo_order_outcome */
};
/* Facts of a known emergency stay, but an envelope takes the place of none:
 * then, and where it was not known at all, *is_news. */
FLO_MUST_USE int flo_fleet_emergency_put(struct flo_fleet_store *store,
                                         const struct flo_fleet_emergency *emergency, bool *is_news,
                                         struct flo_err *err);
typedef int (*flo_fleet_emergency_fn)(void *context, const struct flo_fleet_emergency *emergency);
/* The newest so many, the newest first. */
FLO_MUST_USE int flo_fleet_emergencies(struct flo_fleet_store *store, size_t count_max,
                                       flo_fleet_emergency_fn fn, void *context,
                                       struct flo_err *err);

/* ---- desired ---- */

/* Revision of a device's document; FLO_E_DEVICE_ABSENT. */
FLO_MUST_USE int flo_fleet_desired_rev(struct flo_fleet_store *store, const char *device,
                                       uint64_t *out, struct flo_err *err);
/* The id of the order that says which release of a model a device should run;
 * "" for none, also when the device is not there. */
FLO_MUST_USE int flo_fleet_desired_get(struct flo_fleet_store *store, const char *device,
                                       const char *model, char *order, struct flo_err *err);
/* "" as the order: none about that model.  Raises the revision. */
FLO_MUST_USE int flo_fleet_desired_set(struct flo_fleet_store *store, const char *device,
                                       const char *model, const char *order, struct flo_err *err);
typedef int (*flo_fleet_text_fn)(void *context, const char *text);
/* May the device fetch a release's envelope, an artifact?  A deploy in its
 * desired named the release once, and the device is not retired since. */
FLO_MUST_USE int flo_fleet_offers_release(struct flo_fleet_store *store, const char *device,
                                          const char *release, bool *out, struct flo_err *err);
FLO_MUST_USE int flo_fleet_offers_artifact(struct flo_fleet_store *store, const char *device,
                                           const char *digest, bool *out, struct flo_err *err);
/* Devices of a group, by id; an answer of `fn` other than 0 ends it and is the
 * result. */
FLO_MUST_USE int flo_fleet_group_each(struct flo_fleet_store *store, const char *group,
                                      flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* The assignments of a device, in order of the models' names. */
typedef int (*flo_fleet_assignment_fn)(void *context, const char *model, const char *order);
FLO_MUST_USE int flo_fleet_desired_each(struct flo_fleet_store *store, const char *device,
                                        flo_fleet_assignment_fn fn, void *context,
                                        struct flo_err *err);
/* Devices with orders about at least `least` other models than this one. */
FLO_MUST_USE int flo_fleet_desired_full(struct flo_fleet_store *store, const char *model,
                                        uint64_t least, flo_fleet_text_fn fn, void *context,
                                        struct flo_err *err);
/* A device that has an order about a model (making.h). */
typedef int (*flo_fleet_held_fn)(void *context, const char *device, const char *order);
/* Ids of devices whose desired holds this order. */
FLO_MUST_USE int flo_fleet_desired_holders(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_text_fn fn, void *context,
                                           struct flo_err *err);
/* Put `next` where `order` was ("": nothing); raises those revisions. */
FLO_MUST_USE int flo_fleet_desired_swap(struct flo_fleet_store *store, const char *order,
                                        const char *next, struct flo_err *err);

/* ---- events ---- */

/* *is_new false when (device, boot, seq) is there already.  `from`: the lowest
 * one without an acknowledgement, as the device says; 0: it does not.  *mark:
 * up to here all are stored, or gone from the device (what cmd.ack says). */
FLO_MUST_USE int flo_fleet_event_add(struct flo_fleet_store *store, const char *device,
                                     const char *boot, uint64_t seq, uint64_t from, uint64_t at_ms,
                                     uint64_t received_at_ms, const char *json, bool *is_new,
                                     uint64_t *mark, struct flo_err *err);
/* The mark of an outbox, 0 when nothing came from it. */
FLO_MUST_USE int flo_fleet_event_mark(struct flo_fleet_store *store, const char *device,
                                      const char *boot, uint64_t *mark, struct flo_err *err);
/* The newest `limit` events of a device below the id `below`, oldest first, as
 * JSON texts.  *oldest: the id of the first, 0 when there is none before it. */
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
    const char *body;   /* the document, JSON, as it was signed */
    uint64_t bytes;     /* smallest full download of the first variant */
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_release_fn)(void *context, const struct flo_fleet_release *release);
/* FLO_E_STATE when its version or digest is there already. */
FLO_MUST_USE int flo_fleet_release_add(struct flo_fleet_store *store,
                                       const struct flo_fleet_release *release,
                                       struct flo_err *err);
/* An artifact that a release brings (once more is no failure); which do? */
FLO_MUST_USE int flo_fleet_release_brings(struct flo_fleet_store *store, const char *release,
                                          const char *digest, struct flo_err *err);
int flo_fleet_bringers(struct flo_fleet_store *store, const char *digest, uint64_t limit,
                       flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* By model and version, or by digest (model NULL, version the digest); fn may
 * be NULL.  FLO_E_RELEASE_ABSENT. */
FLO_MUST_USE int flo_fleet_release_get(struct flo_fleet_store *store, const char *model,
                                       const char *version, flo_fleet_release_fn fn, void *context,
                                       struct flo_err *err);
/* The newest verified envelope of a release, by its id.  `fn` borrows the text;
 * FLO_E_RELEASE_ABSENT. */
FLO_MUST_USE int flo_fleet_envelope_put(struct flo_fleet_store *store, const char *release,
                                        const char *text, struct flo_err *err);
FLO_MUST_USE int flo_fleet_envelope_get(struct flo_fleet_store *store, const char *release,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_list(struct flo_fleet_store *store, flo_fleet_release_fn fn,
                                        void *context, struct flo_err *err);
/* By model and number: those of one model (NULL: of all), after this model and
 * number (NULL: from the first).  limit 0: all. */
FLO_MUST_USE int flo_fleet_release_page(struct flo_fleet_store *store, const char *model,
                                        const char *after_model, uint64_t after_number,
                                        uint64_t limit, flo_fleet_release_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_release_state(struct flo_fleet_store *store, const char *digest,
                                         const char *state, struct flo_err *err);

/* ---- rollouts ---- */

/* The shell's part of a rollout, next to the core's struct. */
struct flo_fleet_rollout {
    const char *id;
    const char *group; /* put; NULL: all */
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
/* Newest first, what is under way before all that ended. */
FLO_MUST_USE int flo_fleet_rollout_list(struct flo_fleet_store *store, uint64_t limit,
                                        flo_fleet_rollout_fn fn, void *context,
                                        struct flo_err *err);
/* Those under way, or those that ended, with a number below `below`, newest
 * first. */
FLO_MUST_USE int flo_fleet_rollout_page(struct flo_fleet_store *store, bool is_active,
                                        uint64_t below, uint64_t limit, flo_fleet_rollout_fn fn,
                                        void *context, struct flo_err *err);
/* Ids, oldest first, of what brings a device that came just now to where its
 * groups are: rollouts of published releases that run or are paused, and of
 * the completed ones the newest per model and group. */
FLO_MUST_USE int flo_fleet_rollout_joined(struct flo_fleet_store *store, const char *device,
                                          flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* A rollout that says which release a group should have: it runs, is paused or
 * completed, and its release is published.  The newest first. */
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
/* With facts for people (flo_fleet_member_detail), or NULL. */
FLO_MUST_USE int flo_fleet_member_put(struct flo_fleet_store *store, const char *rollout,
                                      const struct flo_rollout_member *member,
                                      const char *error_json, const char *detail_json,
                                      struct flo_err *err);
/* The device is a member no more. */
FLO_MUST_USE int flo_fleet_member_remove(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, struct flo_err *err);
/* Facts for people about a member; NULL detail keeps what is there. */
FLO_MUST_USE int flo_fleet_member_detail(struct flo_fleet_store *store, const char *rollout,
                                         const char *device, const char *error_json,
                                         const char *detail_json, struct flo_err *err);
typedef int (*flo_fleet_member_fn)(void *context, const struct flo_rollout_member *member,
                                   const char *error_json, const char *detail_json);
#define FLO_FLEET_ALL INT64_MAX
/* In order of device id, `limit` at most. */
FLO_MUST_USE int flo_fleet_member_list(struct flo_fleet_store *store, const char *rollout,
                                       uint64_t limit, flo_fleet_member_fn fn, void *context,
                                       struct flo_err *err);
/* Those of these devices that are members, in no order. */
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
    /* The order's model, or its rollout's; "" when none. */
    const char *model;
    const char *release; /* rollback: first of `from`; deploy: release */
    uint64_t phase;
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    bool is_tracked; /* asked for by POST /v1/orders */
    uint64_t release_bytes;
    bool is_desired_only; /* signed again for those whose desired holds it: not
                             in its group's list */
    const char *reason;   /* why people asked for it; NULL: nobody said */
};
typedef int (*flo_fleet_order_fn)(void *context, const struct flo_fleet_order *order);
/* FLO_E_STATE when its id is there already.  Older orders that say the same
 * (rollout, kind, phase, group and release) count as superseded from now on. */
FLO_MUST_USE int flo_fleet_order_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_order *order, struct flo_err *err);
/* The words of who asked for it, whole: the signed text may have no room. */
FLO_MUST_USE int flo_fleet_order_reason(struct flo_fleet_store *store, const char *id,
                                        const char *reason, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_order_get(struct flo_fleet_store *store, const char *id,
                                     flo_fleet_order_fn fn, void *context, struct flo_err *err);
/* Newest order of a rollout with this op (and phase, for deploy) that is for
 * more than one device; FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_order_of(struct flo_fleet_store *store, const char *rollout,
                                    const char *op, uint64_t phase, flo_fleet_order_fn fn,
                                    void *context, struct flo_err *err);
/* Orders in a group's list that are not expired at `now_ms`, by ascending seq.
 */
FLO_MUST_USE int flo_fleet_order_list(struct flo_fleet_store *store, const char *group,
                                      uint64_t now_ms, flo_fleet_order_fn fn, void *context,
                                      struct flo_err *err);
/* Groups with such orders, some of them more than once. */
FLO_MUST_USE int flo_fleet_order_groups(struct flo_fleet_store *store, uint64_t now_ms,
                                        flo_fleet_text_fn fn, void *context, struct flo_err *err);
/* Those that were asked for by themselves, with a seq below `below`, newest
 * first. */
FLO_MUST_USE int flo_fleet_order_tracked(struct flo_fleet_store *store, uint64_t below,
                                         uint64_t limit, flo_fleet_order_fn fn, void *context,
                                         struct flo_err *err);
/* Delete orders that nobody asks for any more (calls/orders.c), of the next
 * FLO_FLEET_PRUNE_ORDERS after seq *from; *from becomes where the next piece
 * begins, FLO_FLEET_ALL after the last.  Tracked ones stay, as rollouts do.
 */
#define FLO_FLEET_PRUNE_ORDERS 500
FLO_MUST_USE int flo_fleet_order_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       uint64_t *from, struct flo_err *err);
/* Orders that some desired holds. */
FLO_MUST_USE int flo_fleet_order_held(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                      void *context, struct flo_err *err);
/* The highest number of an order of that kind and model: of one release, or
 * ("") of all that stood in a group's list.  0: there is none. */
FLO_MUST_USE int flo_fleet_order_newest(struct flo_fleet_store *store, const char *op,
                                        const char *model, const char *release, uint64_t *out,
                                        struct flo_err *err);
/* The number of the last order that takes a model away from a whole group, or
 * from everybody; 0: there is none. */
FLO_MUST_USE int flo_fleet_order_removal(struct flo_fleet_store *store, const char *model,
                                         const char *group, uint64_t *out, struct flo_err *err);
/* Orders in the groups' lists that hold for longer than an order lives. These
 * are the newest order to freeze or unfreeze, and the newest resume of each
 * rollout that goes on, while members accepted and may wait for it. Emergency
 * rollbacks stay while a device did not answer: nobody is told such a release
 * again. */
FLO_MUST_USE int flo_fleet_order_standing(struct flo_fleet_store *store, flo_fleet_order_fn fn,
                                          void *context, struct flo_err *err);
/* Is the newest order to freeze or unfreeze the fleet a freeze? */
FLO_MUST_USE int flo_fleet_is_frozen(struct flo_fleet_store *store, bool *out, struct flo_err *err);
/* Who is in the scope of a tracked order, and what it came to. */
FLO_MUST_USE int flo_fleet_outcome_put(struct flo_fleet_store *store, const char *order,
                                       const char *device, enum flo_order_outcome outcome,
                                       uint64_t took_ms, struct flo_err *err);
/* The same when it is news (flo_outcome_is_news) to a device of its scope. */
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
    uint64_t took_ms;  /* as the device says */
    uint64_t heard_ms; /* from the order's issue to the answer stored here */
    const char *error; /* JSON, or "" */
};
typedef int (*flo_fleet_outcome_fn)(void *context, const struct flo_fleet_outcome *outcome);
typedef int (*flo_fleet_count_fn)(void *context, const char *word, uint64_t count);
/* The quantile of heard_ms of those that are done; 0 when nobody is. */
FLO_MUST_USE int flo_fleet_outcome_quantile(struct flo_fleet_store *store, const char *order,
                                            uint64_t permille, uint64_t *out, struct flo_err *err);
/* Error ids of those that refused, most frequent first. */
FLO_MUST_USE int flo_fleet_outcome_reasons(struct flo_fleet_store *store, const char *order,
                                           flo_fleet_count_fn fn, void *context,
                                           struct flo_err *err);
/* Emergency rollbacks of a release leave the groups' lists; who awaits one has
 * it in its desired. */
FLO_MUST_USE int flo_fleet_orders_only_held(struct flo_fleet_store *store, const char *release,
                                            struct flo_err *err);
/* At most `limit`, who did not get there first. */
FLO_MUST_USE int flo_fleet_outcome_list(struct flo_fleet_store *store, const char *order,
                                        uint64_t limit, flo_fleet_outcome_fn fn, void *context,
                                        struct flo_err *err);
FLO_MUST_USE int flo_fleet_outcome_progress(struct flo_fleet_store *store, const char *order,
                                            struct flo_order_progress *out, struct flo_err *err);
/* Was it not asked for its answers within pause_ms, or since it came
 * (*is_back)? It is now. */
bool flo_fleet_device_may_ask(struct flo_fleet_store *store, const char *device, uint64_t pause_ms,
                              bool *is_back);
/* Is it awaited in a tracked order? */
FLO_MUST_USE int flo_fleet_device_is_awaited(struct flo_fleet_store *store, const char *device,
                                             bool *out, struct flo_err *err);
/* Tracked orders in which this device is still awaited, as ids. */
FLO_MUST_USE int flo_fleet_outcome_awaited(struct flo_fleet_store *store, const char *device,
                                           flo_fleet_order_fn fn, void *context,
                                           struct flo_err *err);

/* ---- evidence of rollouts ---- */

/* A record of what a rollout's study was judged by, as JSON.  `number` is that
 * of its block; a second one of the same block takes the first one's place. */
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
/* Those after `after`, in order, at most `limit`. */
FLO_MUST_USE int flo_fleet_evidence_list(struct flo_fleet_store *store, const char *rollout,
                                         uint64_t after, uint64_t limit, flo_fleet_evidence_fn fn,
                                         void *context, struct flo_err *err);
/* Those that are older than they are kept go. */
FLO_MUST_USE int flo_fleet_evidence_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                          struct flo_err *err);

/* ---- reports that devices were asked for ---- */

struct flo_fleet_report {
    const char *order; /* that asked for it */
    const char *device;
    const char *op; /* logs doctor */
    uint64_t at_ms; /* when it came */
    const char *body;
};
typedef int (*flo_fleet_report_fn)(void *context, const struct flo_fleet_report *report);
/* So many of a device are kept, the newest. */
#define FLO_FLEET_REPORTS_MAX 8
#define FLO_FLEET_REPORT_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)
/* FLO_E_STATE when its order has one already. */
FLO_MUST_USE int flo_fleet_report_add(struct flo_fleet_store *store,
                                      const struct flo_fleet_report *report, struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_report_get(struct flo_fleet_store *store, const char *order,
                                      flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* A device's reports, newest first. */
FLO_MUST_USE int flo_fleet_report_list(struct flo_fleet_store *store, const char *device,
                                       flo_fleet_report_fn fn, void *context, struct flo_err *err);
/* Delete those that came longer ago than they are kept. */
FLO_MUST_USE int flo_fleet_report_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                        struct flo_err *err);

/* ---- tokens, idempotency, audit ---- */

struct flo_fleet_token {
    const char *id;
    const char *kind; /* access enroll */
    const char *name;
    const char *role;   /* access */
    const char *group;  /* enroll */
    const char *person; /* access: whose it is; NULL or "": nobody's */
    struct flo_digest secret;
    uint64_t uses_left; /* enroll */
    uint64_t created_at_ms;
    uint64_t expires_at_ms; /* 0: never */
    uint64_t used_at_ms;    /* access; 0: never, or in the last minute */
    bool is_sealed;         /* listed; false: it gives no right (seals.h) */
};
typedef int (*flo_fleet_token_fn)(void *context, const struct flo_fleet_token *token);
/* FLO_E_STATE when its id or secret is there already. */
FLO_MUST_USE int flo_fleet_token_add(struct flo_fleet_store *store,
                                     const struct flo_fleet_token *token, struct flo_err *err);
/* By id; for enrolment by the digest of the secret (id NULL).  FLO_E_ABSENT,
 * also where its seal is not right. */
FLO_MUST_USE int flo_fleet_token_get(struct flo_fleet_store *store, const char *id,
                                     const struct flo_digest *secret, flo_fleet_token_fn fn,
                                     void *context, struct flo_err *err);
/* The newest first, after the one made then with this id; FLO_FLEET_ALL and ""
 * begin.  limit 0: all. */
FLO_MUST_USE int flo_fleet_token_list(struct flo_fleet_store *store, uint64_t after_ms,
                                      const char *after_id, uint64_t limit, flo_fleet_token_fn fn,
                                      void *context, struct flo_err *err);
/* The token was used then, for people; nothing happens when it is gone. */
FLO_MUST_USE int flo_fleet_token_used(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                                      struct flo_err *err);
/* One use less; FLO_E_ENROL_TOKEN when none was left. */
FLO_MUST_USE int flo_fleet_token_use(struct flo_fleet_store *store, const char *id,
                                     struct flo_err *err);
/* FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_token_delete(struct flo_fleet_store *store, const char *id,
                                        struct flo_err *err);
/* Somebody with a name (the API: a user). */
struct flo_fleet_person {
    const char *name;
    const char *role; /* grants: core/access/grants.h */
    bool is_disabled;
    bool is_sealed; /* listed; false: as if it were not there (seals.h) */
    uint64_t created_at_ms;
};
typedef int (*flo_fleet_person_fn)(void *context, const struct flo_fleet_person *person);
/* New, or with another role or state. */
FLO_MUST_USE int flo_fleet_person_put(struct flo_fleet_store *store,
                                      const struct flo_fleet_person *person, struct flo_err *err);
/* FLO_E_ABSENT, also where its seal is not right. */
FLO_MUST_USE int flo_fleet_person_get(struct flo_fleet_store *store, const char *name,
                                      flo_fleet_person_fn fn, void *context, struct flo_err *err);
/* By name, after this one ("": from the first). */
FLO_MUST_USE int flo_fleet_person_list(struct flo_fleet_store *store, const char *after,
                                       uint64_t limit, flo_fleet_person_fn fn, void *context,
                                       struct flo_err *err);
/* With all tokens of that name.  FLO_E_ABSENT. */
FLO_MUST_USE int flo_fleet_person_delete(struct flo_fleet_store *store, const char *name,
                                         struct flo_err *err);
/* The tokens of a person. */
FLO_MUST_USE int flo_fleet_person_tokens(struct flo_fleet_store *store, const char *name,
                                         flo_fleet_token_fn fn, void *context, struct flo_err *err);
/* Delete enrolment tokens that expired 30 days ago, or expired used up. */
FLO_MUST_USE int flo_fleet_token_prune(struct flo_fleet_store *store, uint64_t now_ms,
                                       struct flo_err *err);

/* Answer stored under (token, key), or *status 0. `body` is appended. */
FLO_MUST_USE int flo_fleet_replay_get(struct flo_fleet_store *store, const char *token,
                                      const char *key, struct flo_digest *request, int *status,
                                      struct flo_buf *body, struct flo_err *err);
FLO_MUST_USE int flo_fleet_replay_put(struct flo_fleet_store *store, const char *token,
                                      const char *key, const struct flo_digest *request, int status,
                                      const char *body, uint64_t now_ms, struct flo_err *err);

/* Append; number, previous and hash are made here. */
FLO_MUST_USE int flo_fleet_audit_add(struct flo_fleet_store *store, struct flo_audit_record *record,
                                     struct flo_err *err);
typedef int (*flo_fleet_audit_fn)(void *context, const struct flo_audit_record *record,
                                  const struct flo_digest *hash);
/* Ascending from number `from`, at most `limit` (0: all). */
FLO_MUST_USE int flo_fleet_audit_list(struct flo_fleet_store *store, uint64_t from, uint64_t limit,
                                      flo_fleet_audit_fn fn, void *context, struct flo_err *err);
/* The same descending. */
FLO_MUST_USE int flo_fleet_audit_newest(struct flo_fleet_store *store, uint64_t from,
                                        uint64_t limit, flo_fleet_audit_fn fn, void *context,
                                        struct flo_err *err);

#endif
