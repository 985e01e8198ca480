/* Flotilla updater: the files that a device keeps, and how they get to the
 * disk.
 *
 * Slots and device record (the only truth about what runs), the store of
 * immutable blobs, the plan of a download, and the worker process that carries
 * it out.  Independent of engine and MQTT.  Functions of slots, device record
 * and plan are pure; only flo_store_* and flo_worker_run touch the disk.
 *
 * Power may fail at any time.  All writes have the same order, which makes that
 * harmless.  Bytes go to a name that is never read, are synced, get their final
 * name, and the folder is synced.  Only then a record that names them is
 * written and synced. */
#ifndef FLOTILLA_UPDATER_H
#define FLOTILLA_UPDATER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>
#include <flotilla/release.h>

/* ---- slots of one model ---- */

enum flo_slot_phase {
    FLO_SLOT_IDLE = 0,   /* no candidate */
    FLO_SLOT_STAGED = 1, /* the candidate is on disk and verified, but not yet probed */
    FLO_SLOT_TRIAL = 2,  /* the candidate is activated and serves until its soak ends */
};

/* The newest signed order about a model's release. */
struct flo_stated {
    uint64_t number;          /* sequence number of the order; 0: none in this era */
    struct flo_digest target; /* release that the order assigns; zero: the current release stays */
    struct flo_digest body;   /* SHA-256 of the signed order */
    enum flo_order_op op;     /* FLO_ORDER_DEPLOY, FLO_ORDER_ROLLBACK or FLO_ORDER_REMOVE */
    enum flo_stated_outcome outcome;
    bool below_floor; /* the order allows a target below the minimum release */
    char rollout[FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1];
};

#define FLO_DENIALS_MAX 48
/* A release that is blocked, or allowed again, with the newest verdict about
 * it.  A verdict comes from an order or from the release's behaviour on this
 * device. */
struct flo_denial {
    struct flo_digest release;
    uint64_t number; /* number of the release; 0: unknown */
    /* number of the order that blocked or allowed the release; after a fault on
     * this device, of the order that brought the release */
    uint64_t statement;
    enum flo_denial_cause cause;
    /* 0: normal order, 1: emergency order; an order of one kind lifts no block
     * of the other */
    uint8_t lane;
};

/* The record of a model, slots/<model>.bin.  Digests are release ids; zero
 * means an empty slot.  `current_number` and the like are release numbers.  The
 * fields from `attempt` to `order` describe the execution that installed the
 * candidate, and have no meaning without a candidate. */
struct flo_slots {
    char model[FLO_NAME_MAX + 1];
    uint64_t generation; /* how often the record was written; 0: never */
    struct flo_digest current;
    struct flo_digest previous;
    struct flo_digest candidate;
    /* release that garbage collection never removes, as a last resort */
    struct flo_digest baseline;
    uint64_t current_number;
    uint64_t previous_number;
    uint64_t candidate_number;
    uint64_t baseline_number;
    /* minimum release that the candidate's document asks for; applies after its
     * commit */
    uint64_t candidate_floor;
    enum flo_slot_phase phase;
    uint8_t tries_left; /* starts of the candidate that are left */
    uint32_t attempt;   /* attempt of the rollout on this device, from 1 */
    uint64_t order_seq;
    uint64_t soak_ms;
    uint32_t soak_requests;
    uint32_t soak_errors_ppm;
    uint32_t soak_crashes_max;
    uint32_t rollout_phase;
    char rollout[FLO_NAME_MAX + 1]; /* id of the rollout, or "bundle.<8 hex>"; empty: none */
    char order[FLO_NAME_MAX + 1];

    uint64_t floor; /* highest release number ever committed on this device */
    /* minimum release for all orders: the highest that a commit or a trust
     * statement set */
    uint64_t floor_hard;
    struct flo_stated stated;
    struct { /* newest rollback by an emergency key */
        uint64_t number;
        struct flo_digest body;
    } emergency;
    uint32_t era;    /* era to which the sequence numbers belong (flo_device) */
    uint64_t folded; /* releases up to this number are blocked, except those in slots */
    uint32_t denial_count;
    struct flo_denial denials[FLO_DENIALS_MAX];
    bool is_removed; /* true: a tombstone, because the model was removed */
    /* The reader sets this when one half of the file was unreadable.  It then
     * took the other half, which is at most one step older. */
    bool is_repaired;
};

/* Returns the release that should serve now: the candidate on trial with tries
 * left, else the current release.  Returns zero when there is neither. */
struct flo_digest flo_slots_serving(const struct flo_slots *slots);

/* Makes a verified release the candidate, in place of one that is not on trial.
 * If `execution` is not NULL, these fields are copied from it:
 * candidate_number, candidate_floor, attempt, order_seq, soak_*, rollout,
 * rollout_phase, order.  Returns FLO_E_STATE when a trial is in progress, or
 * the release is current already. */
FLO_MUST_USE int flo_slots_stage(struct flo_slots *slots, const struct flo_digest *candidate,
                                 const struct flo_slots *execution, struct flo_err *err);
/* Puts the candidate on trial with `tries` starts.  Returns FLO_E_STATE when
 * there is no candidate, it is on trial already, or tries is 0. */
FLO_MUST_USE int flo_slots_begin_trial(struct flo_slots *slots, uint32_t tries,
                                       struct flo_err *err);
/* Counts a start of the candidate.  The caller does so, and writes the
 * record, before each start, and before a probe during the trial.  Returns
 * FLO_E_SOAK_FAILED when no try is left; then the caller clears the
 * candidate. */
FLO_MUST_USE int flo_slots_count_try(struct flo_slots *slots, struct flo_err *err);
/* Gives back the try that was counted last, because that start ended
 * normally. */
void flo_slots_return_try(struct flo_slots *slots);
/* Commits the candidate: previous <- current <- candidate.  Raises the minimum
 * release to the candidate's number, and marks the order that asked for it as
 * done.  Returns FLO_E_STATE when no candidate is on trial. */
FLO_MUST_USE int flo_slots_commit(struct flo_slots *slots, struct flo_err *err);
/* Drops the candidate, because it failed, was cancelled or superseded.  Does
 * nothing when there is no candidate. */
void flo_slots_clear_candidate(struct flo_slots *slots);
/* Rolls back by order after a commit: current <- previous <- empty.  In the
 * same write the caller must block the old current release, which is never a
 * target again.  A candidate is dropped.  Returns FLO_E_STATE when there is no
 * previous release. */
FLO_MUST_USE int flo_slots_roll_back(struct flo_slots *slots, struct flo_err *err);
/* Removes the model: slots, baseline and candidate are emptied, and the record
 * becomes a tombstone.  Its orders, minimum releases and blocked releases stay.
 * Staging a release ends the tombstone. */
void flo_slots_remove(struct flo_slots *slots);
/* Finishes a step that a power cut interrupted; called at the start.  Drops a
 * blocked candidate.  Blocks and drops a candidate on trial that has no tries
 * left.  Rolls back a blocked current release, unless the device refused that
 * rollback.  Forgets a blocked previous release.  Returns true when the slots
 * must be written. */
bool flo_slots_heal(struct flo_slots *slots);

/* Checks whether a release may become the candidate.  A release in a slot
 * always may.  Returns FLO_E_TARGET_FLOOR for a release below the minimum,
 * unless the order allows it.  Returns FLO_E_META_EQUIVOCATION when another
 * release with the number `number` is the current one.  Returns
 * FLO_E_META_VERSION_JUMP for more than FLO_VERSION_JUMP_MAX above all numbers
 * committed here. */
#define FLO_VERSION_JUMP_MAX UINT64_C(1000000)
FLO_MUST_USE int flo_slots_admit(const struct flo_slots *slots, const struct flo_digest *release,
                                 uint64_t number, struct flo_err *err);

/* Checks whether a release may run.  Returns FLO_E_TARGET_DENIED with the
 * reason for a blocked release.  Else it fails as flo_slots_admit does, if the
 * number is known (not 0). */
FLO_MUST_USE int flo_slots_permit(const struct flo_slots *slots, const struct flo_digest *release,
                                  uint64_t number, struct flo_err *err);

/* ---- the trusted keys' statement; NULL says nothing (core/slots.c) ---- */

/* Raises the minimum release of this model to the one in the trust
 * statement. */
void flo_slots_raise_floor(struct flo_slots *slots, const struct flo_trust *trust);
/* Tells whether going back to the previous release is forbidden: it was
 * revoked, or is below the minimum release.  Then flo_slots_forget drops it. */
bool flo_slots_is_forgotten(const struct flo_slots *slots, const struct flo_trust *trust);
/* Drops the previous release when flo_slots_is_forgotten says so. */
void flo_slots_forget(struct flo_slots *slots, const struct flo_trust *trust);

/* ---- denials (core/denials.c) ---- */

struct flo_device;

/* Stores a verdict about a release (allowed or blocked, and why), unless a
 * newer one is stored.  A fault is never lifted.  A full table loses an allowed
 * entry, or else the block with the lowest number.  Returns true when `folded`
 * covers such a lost block, which is worth a log line. */
bool flo_slots_deny(struct flo_slots *slots, const struct flo_denial *said);
/* The device's own verdict about a release. */
struct flo_denial_here {
    struct flo_digest release;
    enum flo_denial_cause cause;
    uint64_t order;    /* number of the order that brought the release; 0: by hand */
    uint64_t assigned; /* number of the assigned release; 0: none */
};
/* Blocks a release for its behaviour on this device, or because the operator at
 * the device says so.  The operator's block counts as newer than all orders so
 * far.  Does nothing for a release that an order blocks, because that order is
 * stored already.  Returns true when the full table lost another block to
 * `folded`. */
bool flo_slots_deny_here(struct flo_slots *slots, const struct flo_device *device,
                         const struct flo_denial_here *said);
/* Unblocks a release because an operator at the device wants it, unless it is
 * blocked for a fault.  Returns true when the release was blocked; then the
 * record must be written. */
bool flo_slots_allow_here(struct flo_slots *slots, const struct flo_device *device,
                          const struct flo_digest *release);
/* Tells whether the release is blocked.  `number` is the release's number; 0:
 * unknown. */
bool flo_slots_is_denied(const struct flo_slots *slots, const struct flo_digest *release,
                         uint64_t number);
/* Returns why a release is blocked, or FLO_DENIAL_ALLOWED when it is not. */
enum flo_denial_cause flo_slots_denial(const struct flo_slots *slots,
                                       const struct flo_digest *release, uint64_t number);

/* ---- device record ---- */

#define FLO_PAUSES_MAX 24
#define FLO_MODELS_MAX 64 /* most records that are read, tombstones included */
/* most records that stay; beyond that the oldest record without a release is
 * removed, and only its order number is remembered */
#define FLO_MODELS_KEPT_MAX 32

/* Effects of the newest order about a rollout as a whole. */
enum flo_rollout_said {
    FLO_ROLLOUT_RESUMED,
    FLO_ROLLOUT_PAUSED_BY_ORDER,
    FLO_ROLLOUT_ABORTED_BY_ORDER, /* executions that are not active yet are cancelled */
};
struct flo_pause {
    char rollout[FLO_NAME_MAX + 1]; /* id of the rollout; empty: a free entry */
    uint64_t number;
    enum flo_rollout_said said;
};
/* A subject that concerns the whole device, with the number and digest of the
 * newest order about it. */
struct flo_subject {
    uint64_t number;
    struct flo_digest body;
};
/* The record of the device, slots/_device.bin. */
struct flo_device {
    uint64_t generation;
    uint32_t epoch;
    uint32_t era;             /* era of the sequence numbers; numbers of another era count as 0 */
    uint64_t trusted_time_ms; /* last known good time (flo_time_believe) */
    uint64_t claimed_time_ms; /* the latest time that a single source has claimed */
    uint64_t needed_until_ms; /* flo_time_needed of the peer's certificate; 0: unknown */
    uint64_t top;             /* the highest sequence number of an accepted order */
    bool is_frozen;
    bool is_frozen_emergency;    /* true: an emergency key froze the device */
    bool prompts_stay;           /* true: no prompt leaves the device by a route of its owner */
    bool prompts_stay_emergency; /* true: an emergency key ordered that no prompt leaves */
    /* true: there are too many rollouts to list, so all count as paused */
    bool all_paused;
    uint64_t desired_rev;  /* revision of the unsigned document `desired`, for logs only */
    uint64_t heartbeat_ms; /* time between reports that an order set; 0: the default */
    struct flo_subject freeze, freeze_emergency, prompts, prompts_emergency, config, report;
    uint64_t trust_number;
    struct flo_digest trust_document;
    /* a rollout that is not listed counts as having an order of this number */
    uint64_t pauses_folded;
    uint64_t models_folded; /* a model without a record counts as having an order of this number */
    struct flo_digest order_keys; /* digest by flo_trust_order_keys; zero: unknown */
    /* first bytes of the hash of the device's id under which the record was
     * written; zero: none */
    uint8_t holder[16];
    struct flo_pause pauses[FLO_PAUSES_MAX];
    struct flo_subject stated_groups;
    uint32_t group_count; /* 0: no order has set groups, so those of the enrolment apply */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    bool is_repaired; /* see flo_slots */
};

/* The trusted keys that this device has now. */
struct flo_trust_facts {
    uint64_t number;              /* number of the trust statement; 1: the unsigned list */
    struct flo_digest document;   /* flo_trust_digest */
    struct flo_digest order_keys; /* flo_trust_order_keys */
    uint32_t epoch;
    bool has_emergency; /* one of the keys is an emergency key */
    uint8_t holder[16]; /* flo_device_holder */
};
void flo_trust_facts(const struct flo_trust *trust, const char *device,
                     struct flo_trust_facts *out);
/* Tells whether the record was written under another enrolment.  A record that
 * is new or was damaged names no enrolment. */
bool flo_device_is_moved(const struct flo_device *device, const struct flo_trust_facts *facts);
enum flo_trust_hold {
    FLO_TRUST_HELD,  /* the record names this statement already */
    FLO_TRUST_TAKEN, /* accepted: the record must be written with its number */
    /* The record names a newer statement than the file, or another one with the
     * same number.  The caller must not act on the file. */
    FLO_TRUST_BEHIND
};
/* Compares the record with the trusted keys; called at the start, and after a
 * new trust statement.
 *
 * Epoch, sequence numbers and time in the record come from orders of certain
 * keys.  A later epoch begins a new era of numbers, for both normal and
 * emergency orders.  So does an enrolment with other order keys, since a key
 * may have been stolen.  Blocked releases, freezes, and orders to keep
 * prompts stay.  A freeze or a keeping of prompts by an emergency key ends when
 * no key is left that could end it. */
enum flo_trust_hold flo_device_trust(struct flo_device *device,
                                     const struct flo_trust_facts *facts);
/* Returns the state of a rollout for an order with this sequence number.
 * FLO_ROLLOUT_RESUMED means: no later order pauses, resumes or aborts the
 * rollout. */
enum flo_rollout_said flo_device_rollout(const struct flo_device *device, const char *rollout,
                                         uint64_t number);

/* Returns the newest order about a rollout, or NULL when none is stored. */
const struct flo_pause *flo_device_said(const struct flo_device *device, const char *rollout);

/* ---- statements (core/statement.c) ---- */

/* Largest jump of a sequence number.
 *
 * A signed order is a statement about one subject: a model's release, freeze, a
 * rollout as a whole, the configuration.  Per subject the highest number wins,
 * whatever the order, loss or repetition of delivery.  So a record stores the
 * maximum. */
#define FLO_NUMBER_JUMP_MAX (UINT64_C(1) << 32)
/* Largest jump of a sequence number that a device accepts at once.  For a
 * larger jump the controller must confirm by HTTPS that it has issued such a
 * number (agent/shell/orders). */
#define FLO_NUMBER_LEAP 10000
/* Compares a verified order with the stored ones; changes no record.  `slots`
 * is the record of its model, for deploy and rollback; `body` is the SHA-256 of
 * the signed bytes.  Sets *by to the number of the stored order that supersedes
 * it, or to 0.  FLO_E_CMD_EPOCH, FLO_E_CMD_NONCE_REUSED (another order already
 * has its number), FLO_E_CMD_FORMAT (a number so high that no later one could
 * follow). */
FLO_MUST_USE int flo_statement_look(const struct flo_device *device, const struct flo_slots *slots,
                                    const struct flo_order *order, const struct flo_digest *body,
                                    enum flo_standing *out, uint64_t *by, struct flo_err *err);
/* Tells which records the storing of an order has changed.  The caller must
 * write them before the order acts. */
struct flo_kept {
    bool device, slots;
    /* true: a full table lost a block to `folded` of struct flo_slots, which is
     * worth a log line */
    bool is_folded;
};
/* Stores the order in the records.  A superseded order changes only which
 * releases are blocked. */
struct flo_kept flo_statement_keep(struct flo_device *device, struct flo_slots *slots,
                                   const struct flo_order *order, const struct flo_digest *body);

/* ---- time and epoch: what an order may move (core/time.c, pure) ---- */

/* Sources of the time; 0: that one is unknown. */
struct flo_time_sources {
    uint64_t clock_ms;    /* the machine's clock */
    bool is_synchronised; /* the kernel says that a time service keeps it right */
    uint64_t least_ms;    /* when the program was built or the device enrolled */
    uint64_t good_ms;     /* the last known good time, carried on by a steady clock */
    uint64_t said_ms;     /* what statements said since the start, carried on too */
    uint64_t until_ms;    /* statements may move the time up to here: flo_time_needed */
};
/* Where a belief comes from; a later one is better. */
enum flo_time_source {
    FLO_TIME_STORED, /* nobody knows more than the record */
    FLO_TIME_RTC,    /* a clock that nobody confirmed, later than the record */
    FLO_TIME_SAID,   /* signed statements, within the certificates */
    FLO_TIME_OWN,    /* the machine's clock, near the last known good time */
    FLO_TIME_KERNEL, /* the machine's clock, synchronised */
};
struct flo_time_belief {
    uint64_t now_ms;
    enum flo_time_source source;
};
/* Judges what the time is, by the best source that holds. */
void flo_time_believe(const struct flo_time_sources *sources, struct flo_time_belief *out);
/* Returns how far statements may move the time for a certificate that the
 * device needs: a day before its end, or an eighth of its life. */
uint64_t flo_time_needed(uint64_t from_ms, uint64_t until_ms);
/* Returns how far statements may move the time: up to the certificates, and not
 * past a synchronised clock. */
uint64_t flo_time_limit(const struct flo_time_sources *sources);
/* Tells whether a signed time confirms the machine's clock. */
bool flo_time_agrees(uint64_t at_ms, const struct flo_time_sources *sources);
/* Processes a claim, by an accepted order or a peer's certificate, that the
 * time is at least `at_ms`.  *claimed_ms keeps the highest claim.  *said_ms
 * becomes the second highest of different claims, at most limit_ms, and never
 * goes back.  Returns true when one of them has changed. */
bool flo_time_claim(uint64_t *said_ms, uint64_t *claimed_ms, uint64_t at_ms, uint64_t limit_ms);
/* Checks an order's epoch.  `stored` is the record's epoch (0: none yet),
 * `trusted` that of the list of trusted keys (flo_trust_epoch).  The order must
 * have the stored epoch, or the next one if the list has it; any other is
 * FLO_E_CMD_EPOCH. */
FLO_MUST_USE int flo_epoch_admit(uint32_t stored, uint32_t trusted, uint32_t epoch,
                                 struct flo_err *err);

/* ---- store ---- */

struct flo_store;

/* Opens the state directory (contracts/device.md section 6) and makes missing
 * folders, mode 0700.  With `lock`, <state>/lock is held until close and
 * left-over temporary files are removed: the agent does so.  Its child, the
 * worker, opens without it.
 *
 * FLO_E_STATE_LOCKED names the holder's pid.  Returns FLO_E_CFG_PERM when other
 * users can access the folder.  FLO_E_IO_SYMLINK. */
FLO_MUST_USE int flo_store_open(const char *state_dir, bool lock, struct flo_store **out,
                                struct flo_err *err);
void flo_store_close(struct flo_store *store);
/* Returns the free bytes on the store's file system. */
uint64_t flo_store_disk_free(const struct flo_store *store);

/* Reads the valid record with the highest generation.  A missing or empty file
 * gives zeros with generation 0.  Returns FLO_E_STATE_SLOT when the file has
 * bytes but no valid record.  Then `out` is zero, and flo_store_slots_recover
 * may help. */
FLO_MUST_USE int flo_store_slots_read(struct flo_store *store, const char *model,
                                      struct flo_slots *out, struct flo_err *err);
/* Overwrites the older record and syncs: the commit point of every change.
 * `slots->generation` becomes the newest on disk plus one.  Returns FLO_E_STATE
 * when the store is open without the lock.
 *
 * After FLO_E_IO_WRITE or FLO_E_DISK_FULL readers see the old record; after a
 * power cut they see the old or the new one.  The caller should write again. */
FLO_MUST_USE int flo_store_slots_write(struct flo_store *store, struct flo_slots *slots,
                                       struct flo_err *err);
/* Converts records of an agent before 0.2 to this format (contracts/device.md
 * section 6); does nothing without such records.  Needs the lock.  Any error is
 * the disk's; the next call converts the rest. */
FLO_MUST_USE int flo_store_upgrade(struct flo_store *store, struct flo_err *err);
/* Removes the model's record durably, so that the device has no data about the
 * model. */
FLO_MUST_USE int flo_store_slots_remove(struct flo_store *store, const char *model,
                                        struct flo_err *err);
/* Recovers a record when both halves are lost.  Searches releases/ for
 * documents of the model whose files are complete and have their digests.  The
 * one with the highest number becomes current, the next one previous.  Stored
 * orders and blocked releases are lost.  The caller verifies the signatures
 * before serving and then writes the record.  Returns FLO_E_ABSENT when no such
 * release was found. */
FLO_MUST_USE int flo_store_slots_recover(struct flo_store *store, const char *model,
                                         struct flo_slots *out, struct flo_err *err);
/* Lists the models that have a slot file, sorted.  After FLO_E_IO_READ,
 * FLO_E_MEMORY or FLO_E_DESCRIPTORS the list is unknown, not empty. */
FLO_MUST_USE int flo_store_models(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1],
                                  size_t models_max, size_t *out, struct flo_err *err);
/* Reads the device record as flo_store_slots_read() does a model's. */
FLO_MUST_USE int flo_store_device_read(struct flo_store *store, struct flo_device *out,
                                       struct flo_err *err);
FLO_MUST_USE int flo_store_device_write(struct flo_store *store, struct flo_device *device,
                                        struct flo_err *err);

/* Tells whether there is a blob of that digest (and size, unless 0).  Checks
 * the name only: a blob is verified before it gets its name. */
bool flo_store_blob_has(struct flo_store *store, const struct flo_digest *digest, uint64_t bytes);
/* Opens a blob for reading.  FLO_E_BLOB_ABSENT, FLO_E_IO_SYMLINK,
 * FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_store_blob_open(struct flo_store *store, const struct flo_digest *digest,
                                     int *fd, uint64_t *bytes, struct flo_err *err);
/* Compares `actual`, the caller's hash of the whole blob, with the blob's
 * digest.  If they differ, returns FLO_E_TARGET_HASH and moves the file to
 * partial/, so that only its bad chunks are fetched again.  Readers that have
 * the file open keep it. */
FLO_MUST_USE int flo_store_blob_check(struct flo_store *store, const struct flo_digest *digest,
                                      const struct flo_digest *actual, struct flo_err *err);
/* Opens, hashes and checks a blob; for small blobs, or where time does not
 * matter.  A blob that cannot be read (FLO_E_IO_READ) is moved to partial/, as
 * a wrong one is. */
FLO_MUST_USE int flo_store_blob_open_verified(struct flo_store *store,
                                              const struct flo_digest *digest, int *fd,
                                              uint64_t *bytes, struct flo_err *err);
/* Stores bytes from memory (a release document) under their digest.  An
 * existing blob is hashed, and replaced when it is damaged. */
FLO_MUST_USE int flo_store_blob_put(struct flo_store *store, const void *data, size_t bytes,
                                    struct flo_digest *digest, struct flo_err *err);
/* Makes a nameless file (O_TMPFILE) and reserves `bytes` for it.  The file
 * disappears unless it is published.  FLO_E_DISK_FULL with numbers. */
FLO_MUST_USE int flo_store_blob_create(struct flo_store *store, uint64_t bytes, int *fd,
                                       struct flo_err *err);
/* Gives the file its blob name durably: fdatasync, link, folder sync.  The
 * caller has checked the digest.  An existing blob of that size is no error.
 * The caller still owns `fd`. */
FLO_MUST_USE int flo_store_blob_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);

/* Opens the packed weights of a model blob, which an engine made.  The file is
 * packed/sha256-<model>.<its own digest>, whose name records both digests.  It
 * can always be made again, so an error here must not fail an update.
 *
 * The caller hashes a file from an earlier run before an engine gets it.
 * FLO_E_BLOB_ABSENT, FLO_E_IO_... */
FLO_MUST_USE int flo_store_packed_open(struct flo_store *store, const struct flo_digest *model,
                                       int *fd, struct flo_err *err);
/* Compares `actual`, the caller's hash of the whole file, with the digest in
 * the file's name.  If they differ, returns FLO_E_TARGET_HASH and removes the
 * file.  FLO_E_BLOB_ABSENT. */
FLO_MUST_USE int flo_store_packed_check(struct flo_store *store, const struct flo_digest *model,
                                        const struct flo_digest *actual, struct flo_err *err);
/* Makes a nameless file of `bytes`, with its disk space reserved, for mapping
 * and writing.  It disappears unless it is published.  Returns FLO_E_DISK_FULL
 * also when less than 32 MiB would be left. */
FLO_MUST_USE int flo_store_packed_create(struct flo_store *store, uint64_t bytes, int *fd,
                                         struct flo_err *err);
/* Gives a file of packed weights its name durably, replacing an older one.  The
 * caller has hashed the file. */
FLO_MUST_USE int flo_store_packed_publish(struct flo_store *store, int fd,
                                          const struct flo_digest *model,
                                          const struct flo_digest *digest, struct flo_err *err);
void flo_store_packed_remove(struct flo_store *store, const struct flo_digest *model);

/* Count and total size of the removed files. */
struct flo_collected {
    uint32_t files;
    uint64_t bytes;
};

/* Tells whether there is a cached prefix for that release,
 * prefix/sha256-<release>.prefix.
 *
 * The process that starts an engine makes the file for it (contracts/device.md
 * section 12).  A prefix can be computed again, so it is removed first when
 * disk space is short.  A file that an engine has open is flock'ed and stays,
 * because removing it would free no space. */
bool flo_store_prefix_has(struct flo_store *store, const struct flo_digest *release);
/* Returns the disk space of the prefixes that may be removed. */
uint64_t flo_store_prefixes_bytes(struct flo_store *store);
/* Removes cached prefixes, least recently used first, until `bytes` are free.
 * Adds the removed files to `collected`. */
void flo_store_prefixes_drop(struct flo_store *store, uint64_t bytes,
                             struct flo_collected *collected);

/* A verified release as received: the body and the envelope around it. */
struct flo_release_document {
    const void *envelope;
    size_t envelope_bytes;
    const void *body;
    size_t body_bytes;
};
/* Stores the release under its id, the digest of its body.  First the envelope
 * goes to releases/, replacing another one of the same body; then the body
 * becomes a blob.  When it returns, bytes and names are durable, with one
 * exception.  An envelope that existed already may come from an interrupted
 * run; its name is durable after the next sync of releases/.
 * flo_store_variant_keep does that sync, before a record may name the release.
 * FLO_E_DISK_FULL, FLO_E_IO_... */
FLO_MUST_USE int flo_store_release_put(struct flo_store *store,
                                       const struct flo_release_document *document,
                                       struct flo_err *err);
/* Appends the envelope of a release, unverified; the caller gives it to
 * flo_release_verify.  FLO_E_BLOB_ABSENT, FLO_E_META_TOO_LARGE, FLO_E_IO_... */
FLO_MUST_USE int flo_store_envelope_load(struct flo_store *store, const struct flo_digest *release,
                                         struct flo_buf *out, struct flo_err *err);
/* Loads and parses the body of a release by its id, and checks the digest.  The
 * signature was verified when the release was staged.  The caller frees `out`
 * with flo_release_deinit.  FLO_E_BLOB_ABSENT, FLO_E_TARGET_HASH, meta.*. */
FLO_MUST_USE int flo_store_release_load(struct flo_store *store, const struct flo_digest *digest,
                                        struct flo_release *out, struct flo_err *err);
/* Stores which variant of a release was chosen: when the release was staged, or
 * later under memory pressure.  The choice is in releases/ until the release is
 * collected.  `instead_of` is the larger variant that the chosen one replaces,
 * or NULL.
 *
 * When the function returns, all names in the folder are durable.
 * FLO_E_DISK_FULL, FLO_E_IO_... */
FLO_MUST_USE int flo_store_variant_keep(struct flo_store *store, const struct flo_digest *digest,
                                        const struct flo_release_variant *variant,
                                        const struct flo_release_variant *instead_of,
                                        struct flo_err *err);
/* Returns the index of the chosen variant, if its files are all on disk with
 * their sizes.  Without a stored choice it is the first variant whose files are
 * on disk.  A draft may be missing.  Returns -1 when there is none. */
int flo_store_release_variant(struct flo_store *store, const struct flo_digest *digest,
                              const struct flo_release *release);
/* Returns the index of the variant that the chosen one replaces, or -1 when it
 * replaces none. */
int flo_store_variant_instead_of(struct flo_store *store, const struct flo_digest *digest,
                                 const struct flo_release *release);

/* The link to a model's release whose runtime answers no requests, and the
 * marker for its hook (updater/store/link.c). */
struct flo_link {
    bool has_link;
    /* release that the link points to; zero: it points to something else */
    struct flo_digest release;
    bool has_mark;
    char runtime[32];         /* name of the runtime whose hook runs when the link changes */
    struct flo_digest hooked; /* release whose hook has run; zero: the hook must run */
};
/* Reads a model's link and marker.  A missing link is no error.
 * FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_store_link_get(struct flo_store *store, const char *model,
                                    struct flo_link *out, struct flo_err *err);
/* Marks that the hook must run, then points links/<model> at the tree of a
 * release, or removes the link when `release` is NULL.  Each of the two steps
 * is atomic and durable.  FLO_E_IO_OPEN, FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_store_link_set(struct flo_store *store, const char *model, const char *runtime,
                                    const struct flo_digest *release, struct flo_err *err);
/* Marks that the hook has run for the present link. */
FLO_MUST_USE int flo_store_link_done(struct flo_store *store, const char *model,
                                     struct flo_err *err);
/* Lists the models that have a link or a marker, each once.  Returns how many
 * there are. */
size_t flo_store_links(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1],
                       size_t models_max);

/* Opens the folder trees/<release>, where the files of a variant have their
 * names, as links to the blobs.  Makes the folder if it is missing or
 * incomplete.  The caller closes *fd.  FLO_E_BLOB_ABSENT, FLO_E_META_NAME,
 * FLO_E_IO_OPEN, FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_store_tree_open(struct flo_store *store, const struct flo_digest *digest,
                                     const struct flo_release *release,
                                     const struct flo_release_variant *variant, int *fd,
                                     struct flo_err *err);
/* A folder of the device's owner, in which other programs find the assets of
 * releases under their names (updater/store/assets.c):
 *
 *   <model>                symlink to the tree of the release that serves
 *   .<model>.<digest>/     tree: the assets under their names
 *
 * Opens the folder, and makes a missing one (0750) if the folder around it
 * allows that.  The folder's group may read the assets, so that only the
 * agent's user may write there.  The caller closes *fd.
 * FLO_E_CFG_PERM  the folder is another user's, or others may write it
 * FLO_E_IO_OPEN, FLO_E_IO_WRITE */
FLO_MUST_USE int flo_store_assets_open(const char *path, int *fd, struct flo_err *err);
/* Points <model> at a tree of these assets, in one step, and removes the
 * model's older trees, except the one that it left.  A program that opened that
 * one can read on in it, until flo_store_assets_sweep().
 *
 * A file is a hard link to its blob, whose mode becomes 0440, or a copy where
 * the file system has no link for it.  A tree gets its name when it is complete
 * and synced; so after a crash the name has the older tree or the new one.
 * Nothing is written if the tree is there already.
 * FLO_E_BLOB_ABSENT, FLO_E_TARGET_HASH (a blob has other bytes), FLO_E_META_NAME,
 * FLO_E_CFG_PERM (the folder's group cannot be given), FLO_E_DISK_FULL,
 * FLO_E_IO_... */
FLO_MUST_USE int flo_store_assets_show(const struct flo_store *store, int folder, const char *model,
                                       const struct flo_asset_list *assets, struct flo_err *err);
/* Removes all that these functions made in the folder for other models than
 * those in `models`, the trees that their names have left, and what an
 * interruption left.  Other files of the folder stay. */
void flo_store_assets_sweep(int folder, const char (*models)[FLO_NAME_MAX + 1], size_t count);
/* Removes the unfinished downloads of a release whose document is in the store,
 * except those that a model's assigned release needs.  Does nothing while a
 * worker runs. */
void flo_store_partials_drop(struct flo_store *store, const struct flo_digest *release);
/* Sets whether garbage collection keeps the patches of kept releases, for
 * neighbours.  The default is false: patches are removed first. */
void flo_store_keep_patches(struct flo_store *store, bool keeps);
/* Sets whether garbage collection keeps the intermediate files (role `step`) of
 * an update in progress.  The default is true; with false it keeps only files
 * that a slot refers to. */
void flo_store_keep_steps(struct flo_store *store, bool keeps);
/* Collects garbage: removes every blob without a reference, with its packed
 * weights and cached prefixes.  References are slots, baselines and the release
 * documents in `keep`.  The caller holds the lock and runs no worker.
 *
 * When both halves of a model's record are damaged, all its releases stay.
 * When a record or a needed document cannot be read, no file is removed and the
 * error is returned. */
FLO_MUST_USE int flo_store_collect(struct flo_store *store, const struct flo_digest *keep,
                                   size_t keep_count, struct flo_collected *out,
                                   struct flo_err *err);

/* ---- worker ---- */

/* Runs `flotilla-updater worker`: reads one job line from `fd`, carries the job
 * out, and answers with event lines (contracts/processes.md section 5).  When
 * the agent closes the connection, the worker ends early and keeps the fetched
 * bytes.  Returns the exit code. */
int flo_worker_run(int fd);

#endif
