/* Flotilla updater: the files that a device keeps, and their way to the disk.
 *
 * Slots and device record (the only truth about what runs), the store of
 * immutable blobs, the plan of a download, and the worker process that carries
 * it out.  Knows no engine and no MQTT.  Slot, device and plan functions are
 * pure; only flo_store_* and flo_worker_run touch the disk.
 *
 * Power may fail at any instant.  The order that makes this harmless is the
 * same everywhere.  Bytes go to a name that is never read, are synced, get
 * their final name, and the folder is synced.  Only then one record that names
 * them is written and synced. */
#ifndef FLOTILLA_UPDATER_H
#define FLOTILLA_UPDATER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>
#include <flotilla/release.h>

/* ---- slots of one model ---- */

enum flo_slot_phase {
    FLO_SLOT_IDLE = 0,   /* no candidate */
    FLO_SLOT_STAGED = 1, /* the candidate is on disk, verified, not probed */
    FLO_SLOT_TRIAL = 2,  /* activated: the candidate serves until it soaked */
};

/* The newest signed order about which release of a model should run. */
struct flo_stated {
    uint64_t number;          /* 0: none in this era */
    struct flo_digest target; /* zero: the current release stays */
    struct flo_digest body;   /* SHA-256 of the signed order */
    enum flo_order_op op;     /* deploy, rollback or remove */
    enum flo_stated_outcome outcome;
    bool below_floor; /* the order says that the target may be */
    char rollout[FLO_NAME_MAX + 1];
    char order[FLO_NAME_MAX + 1];
};

#define FLO_DENIALS_MAX 48
/* A release and the newest statement on whether it may run.  The statement
 * comes from an order or from the release's behaviour on this device. */
struct flo_denial {
    struct flo_digest release;
    uint64_t number;    /* the release's number; 0: not known */
    uint64_t statement; /* the order's number, or the newest one's then */
    enum flo_denial_cause cause;
    uint8_t lane; /* 0 order, 1 emergency: no lane lifts the other's */
};

/* The record of a model, slots/<model>.bin.  Digests are release ids;
 * zero means the slot is empty.  `number` of a slot is the release's.  The
 * fields from `attempt` to `order` describe the execution that brought the
 * candidate and mean nothing without one. */
struct flo_slots {
    char model[FLO_NAME_MAX + 1];
    uint64_t generation; /* counts writes of the record; 0: none was written */
    struct flo_digest current;
    struct flo_digest previous;
    struct flo_digest candidate;
    struct flo_digest baseline; /* never collected: the last resort */
    uint64_t current_number;
    uint64_t previous_number;
    uint64_t candidate_number;
    uint64_t baseline_number;
    uint64_t candidate_floor; /* in its document; the hard floor after commit */
    enum flo_slot_phase phase;
    uint8_t tries_left; /* starts of the candidate that are still allowed */
    uint32_t attempt;   /* count of the rollout's tries on this device, from 1 */
    uint64_t order_seq;
    uint64_t soak_ms;
    uint32_t soak_requests;
    uint32_t soak_errors_ppm;
    uint32_t soak_crashes_max;
    uint32_t rollout_phase;
    char rollout[FLO_NAME_MAX + 1]; /* or "bundle.<8 hex>"; empty: none */
    char order[FLO_NAME_MAX + 1];

    uint64_t floor;      /* highest number ever committed here */
    uint64_t floor_hard; /* no order goes below: the highest `floor` committed */
    struct flo_stated stated;
    struct { /* the newest rollback by an emergency key */
        uint64_t number;
        struct flo_digest body;
    } emergency;
    uint32_t era;    /* the era in which the numbers here count (flo_device) */
    uint64_t folded; /* releases up to it are denied, but for the slots' */
    uint32_t denial_count;
    struct flo_denial denials[FLO_DENIALS_MAX];
    bool is_removed; /* a tombstone: the model was taken away */
    /* Set by the reader only: one of the two halves was unreadable, so the
     * reader took the other one, at most one step older. */
    bool is_repaired;
};

/* The document that should serve now: the candidate on trial with tries left,
 * else current; zero when there is none. */
struct flo_digest flo_slots_serving(const struct flo_slots *slots);

/* A verified release becomes the candidate and replaces one that is not on
 * trial.  If `execution` is not NULL, its fields are taken: candidate_number,
 * candidate_floor, attempt, order_seq, soak_*, rollout, rollout_phase, order.
 * FLO_E_STATE: a trial is under way, or it is current already. */
FLO_MUST_USE int flo_slots_stage(struct flo_slots *slots, const struct flo_digest *candidate,
                                 const struct flo_slots *execution, struct flo_err *err);
/* The candidate may serve, with `tries` starts.  FLO_E_STATE: no candidate, on
 * trial already, or tries is 0. */
FLO_MUST_USE int flo_slots_begin_trial(struct flo_slots *slots, uint32_t tries,
                                       struct flo_err *err);
/* Call and write before each start of the candidate, probing included once it
 * is on trial.  FLO_E_SOAK_FAILED: no try is left; clear the candidate. */
FLO_MUST_USE int flo_slots_count_try(struct flo_slots *slots, struct flo_err *err);
/* The last counted start ended in order: take it off the count. */
void flo_slots_return_try(struct flo_slots *slots);
/* previous <- current <- candidate; the floor rises to its number, and a
 * statement that asked for it is done.  FLO_E_STATE: nothing is on trial. */
FLO_MUST_USE int flo_slots_commit(struct flo_slots *slots, struct flo_err *err);
/* The candidate failed, was cancelled or superseded: forget it and nothing
 * else.  Harmless without one. */
void flo_slots_clear_candidate(struct flo_slots *slots);
/* Ordered rollback after a commit: current <- previous, and previous is empty.
 * The old current is denied and never a target again; the caller writes that
 * denial in the same write.  A candidate is dropped.  FLO_E_STATE: there is no
 * previous. */
FLO_MUST_USE int flo_slots_roll_back(struct flo_slots *slots, struct flo_err *err);
/* The model is taken away: slots, baseline and candidate are empty, and the
 * record is a tombstone.  Its statement, floors and denials stay.  A stage
 * ends that. */
void flo_slots_remove(struct flo_slots *slots);
/* At start: finish a step that a power cut interrupted.  It drops a denied
 * candidate, and one on trial without tries, which it denies.  It rolls back a
 * denied current and forgets a denied previous, unless the device refused that
 * rollback. true: write the slots. */
bool flo_slots_heal(struct flo_slots *slots);

/* May this release become the candidate?  A release in a slot always may.
 * FLO_E_TARGET_FLOOR: its number is below the floor, and no order allows that.
 * FLO_E_META_EQUIVOCATION: current has that number and is another release.
 * FLO_E_META_VERSION_JUMP: more than FLO_VERSION_JUMP_MAX above all that was
 * committed here. */
#define FLO_VERSION_JUMP_MAX UINT64_C(1000000)
FLO_MUST_USE int flo_slots_admit(const struct flo_slots *slots, const struct flo_digest *release,
                                 uint64_t number, struct flo_err *err);

/* May this release run?  FLO_E_TARGET_DENIED has the reason; else as
 * flo_slots_admit, if the number is known (not 0). */
FLO_MUST_USE int flo_slots_permit(const struct flo_slots *slots, const struct flo_digest *release,
                                  uint64_t number, struct flo_err *err);

/* ---- the trusted keys' statement; NULL says nothing (core/slots.c) ---- */

/* The statement's floor for this model holds from now on. */
void flo_slots_raise_floor(struct flo_slots *slots, const struct flo_trust *trust);
/* May nobody go back to the previous release any more?  It was revoked, or is
 * below the floor. */
bool flo_slots_is_forgotten(const struct flo_slots *slots, const struct flo_trust *trust);
/* Forget it then. */
void flo_slots_forget(struct flo_slots *slots, const struct flo_trust *trust);

/* ---- denials (core/denials.c) ---- */

struct flo_device;

/* Keep a statement about a release (allowed or denied, and why), unless a newer
 * one is kept.  A fault is never lifted.  A 49th takes the place of an allowed
 * one, else of the denied one with the lowest number, which is folded: true
 * then, for a note. */
bool flo_slots_deny(struct flo_slots *slots, const struct flo_denial *said);
/* The device's own verdict on a release. */
struct flo_denial_here {
    struct flo_digest release;
    enum flo_denial_cause cause;
    uint64_t order;    /* that brought the release; 0: by hand */
    uint64_t assigned; /* number of the release that is assigned; 0: none */
};
/* Deny a release for its behaviour here, or by hand.  A denial by hand is newer
 * than any order so far.  A denial by an order is already kept with the order:
 * nothing is done.  true: another denial was folded. */
bool flo_slots_deny_here(struct flo_slots *slots, const struct flo_device *device,
                         const struct flo_denial_here *said);
/* Somebody at the device wants this release: lift its denial, unless it is a
 * fault.  true: the release was denied; write the record. */
bool flo_slots_allow_here(struct flo_slots *slots, const struct flo_device *device,
                          const struct flo_digest *release);
/* `number`: of the release; 0: not known. */
bool flo_slots_is_denied(const struct flo_slots *slots, const struct flo_digest *release,
                         uint64_t number);
/* Why it is denied; FLO_DENIAL_ALLOWED: it is not. */
enum flo_denial_cause flo_slots_denial(const struct flo_slots *slots,
                                       const struct flo_digest *release, uint64_t number);

/* ---- device record ---- */

#define FLO_PAUSES_MAX 24
#define FLO_MODELS_MAX 64      /* records that are looked at, tombstones too */
#define FLO_MODELS_KEPT_MAX 32 /* records of models; then the oldest folds */

/* The newest statement about a rollout as a whole. */
enum flo_rollout_said {
    FLO_ROLLOUT_RESUMED,
    FLO_ROLLOUT_PAUSED_BY_ORDER,
    FLO_ROLLOUT_ABORTED_BY_ORDER, /* executions that are not active end */
};
struct flo_pause {
    char rollout[FLO_NAME_MAX + 1]; /* empty: a free entry */
    uint64_t number;
    enum flo_rollout_said said;
};
/* A subject of the whole device: its newest number, and of which order. */
struct flo_subject {
    uint64_t number;
    struct flo_digest body;
};
/* The record of the device, slots/_device.bin. */
struct flo_device {
    uint64_t generation;
    uint32_t epoch;
    uint32_t era;             /* numbers of another era count as 0 */
    uint64_t trusted_time_ms; /* never goes back */
    uint64_t claimed_time_ms; /* the latest that one voice said */
    uint64_t top;             /* the highest number that was taken */
    bool is_frozen;
    bool is_frozen_emergency; /* by an emergency key */
    bool all_paused;          /* more rollouts than there is room for */
    uint64_t desired_rev;     /* for logs only: unsigned pacing */
    uint64_t heartbeat_ms;    /* by order; 0: default */
    struct flo_subject freeze, freeze_emergency, config, report;
    uint64_t trust_number;
    struct flo_digest trust_document;
    uint64_t pauses_folded;       /* numbers up to it, of rollouts not listed */
    uint64_t models_folded;       /* numbers up to it, of models without record */
    struct flo_digest order_keys; /* flo_trust_order_keys; zero: not known */
    uint8_t holder[16];           /* flo_device_holder of the enrolment; zero: none */
    struct flo_pause pauses[FLO_PAUSES_MAX];
    struct flo_subject stated_groups;
    uint32_t group_count; /* 0: nothing was stated; those of the enrolment */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    bool is_repaired; /* as in flo_slots */
};

/* The trusted keys as this device has them now. */
struct flo_trust_facts {
    uint64_t number;              /* 1: the unsigned list */
    struct flo_digest document;   /* flo_trust_digest */
    struct flo_digest order_keys; /* flo_trust_order_keys */
    uint32_t epoch;
    bool has_emergency; /* a key for emergencies is among them */
    uint8_t holder[16]; /* flo_device_holder */
};
void flo_trust_facts(const struct flo_trust *trust, const char *device,
                     struct flo_trust_facts *out);
enum flo_trust_hold {
    FLO_TRUST_HELD,  /* the record says so already */
    FLO_TRUST_TAKEN, /* the record names it now: write it */
    /* The record knows a newer statement than the file, or another one of that
     * number: the file is not to be acted on. */
    FLO_TRUST_BEHIND
};
/* Call at the start, and when a statement was taken.  Epoch, numbers and time
 * in the record come from orders of certain keys.  With a later epoch a new era
 * begins, in both lanes; so it does after an enrolment with other order keys
 * (perhaps because a key was stolen).  Denials and freezes stay.  An emergency
 * freeze ends when no key is left that could end it. */
enum flo_trust_hold flo_device_trust(struct flo_device *device,
                                     const struct flo_trust_facts *facts);
/* max(wall clock, build time, last verified time): for expiry. */
uint64_t flo_device_time(const struct flo_device *device, uint64_t wall_ms, uint64_t build_ms);
/* The state of a rollout at `number`.  Without a later order to pause, resume
 * or abort it: FLO_ROLLOUT_RESUMED. */
enum flo_rollout_said flo_device_rollout(const struct flo_device *device, const char *rollout,
                                         uint64_t number);

/* The newest order about it; NULL: none is kept. */
const struct flo_pause *flo_device_said(const struct flo_device *device, const char *rollout);

/* ---- statements (core/statement.c) ---- */

/* A signed order is a statement about a subject: a model's release, freeze, a
 * rollout as a whole, the configuration.  Per subject the highest number wins,
 * whatever the order, loss or repetition of delivery; so the records are
 * maxima. */
#define FLO_NUMBER_JUMP_MAX (UINT64_C(1) << 32)
/* A leap of more numbers is taken only where the controller says by HTTPS that
 * it gave out as many (agent/shell/orders). */
#define FLO_NUMBER_LEAP 10000
/* Compare a verified order with the kept statements; changes nothing.
 * `slots`: the record of its model, for deploy and rollback; `body`: SHA-256 of
 * the signed bytes; `by`: the newer number.  FLO_E_CMD_EPOCH,
 * FLO_E_CMD_NONCE_REUSED (another order already has its number),
 * FLO_E_CMD_FORMAT (a number so high that it would end the subject). */
FLO_MUST_USE int flo_statement_look(const struct flo_device *device, const struct flo_slots *slots,
                                    const struct flo_order *order, const struct flo_digest *body,
                                    enum flo_standing *out, uint64_t *by, struct flo_err *err);
/* The records that keeping an order changed: write them before it acts. */
struct flo_kept {
    bool device, slots;
    bool is_folded; /* a denial gave way: tell it */
};
/* Keep the order.  A superseded order keeps only its denials and lifts. */
struct flo_kept flo_statement_keep(struct flo_device *device, struct flo_slots *slots,
                                   const struct flo_order *order, const struct flo_digest *body);

/* ---- time and epoch: what an order may move (core/time.c, pure) ---- */

/* Sources of the time other than orders. */
struct flo_time_sources {
    uint64_t clock_ms;      /* the machine's */
    bool is_synchronised;   /* a service keeps that clock right */
    uint64_t peer_until_ms; /* end of the peer's certificate; 0: not known */
};
/* No claim counts for more than this: a synchronised clock; else the end of
 * the peer's certificate, where it is known. */
uint64_t flo_time_limit(const struct flo_time_sources *sources);
/* A verified and accepted order (or a peer's certificate) claims that the time
 * is at least `at_ms`.  *claimed_ms keeps the highest claim.  *trusted_ms moves
 * to the second highest of different claims, at most to limit_ms, and never
 * goes back. true: one of the two has changed, write the record. */
bool flo_time_claim(uint64_t *trusted_ms, uint64_t *claimed_ms, uint64_t at_ms, uint64_t limit_ms);
/* May an order of that epoch act?  `stored` is the epoch of the record (0: none
 * yet), `trusted` the epoch of the list of trusted keys (flo_trust_epoch).  An
 * order has the stored epoch, or the next one if the list names it; else
 * FLO_E_CMD_EPOCH. */
FLO_MUST_USE int flo_epoch_admit(uint32_t stored, uint32_t trusted, uint32_t epoch,
                                 struct flo_err *err);

/* ---- store ---- */

struct flo_store;

/* The state directory (contracts/device.md section 6); missing folders are
 * made, 0700. `lock`: hold <state>/lock until close, as the agent does; the
 * worker, its child, opens without.  With the lock, unfinished temporaries are
 * removed. FLO_E_STATE_LOCKED names the holder's pid; FLO_E_CFG_PERM: the
 * folder is open to others; FLO_E_IO_SYMLINK. */
FLO_MUST_USE int flo_store_open(const char *state_dir, bool lock, struct flo_store **out,
                                struct flo_err *err);
void flo_store_close(struct flo_store *store);
/* Free bytes on its file system. */
uint64_t flo_store_disk_free(const struct flo_store *store);

/* Read the valid record with the highest generation.  No file, or an empty
 * one: all zero with generation 0.  FLO_E_STATE_SLOT: the file has bytes but no
 * valid record; `out` is zero, and flo_store_slots_recover may help. */
FLO_MUST_USE int flo_store_slots_read(struct flo_store *store, const char *model,
                                      struct flo_slots *out, struct flo_err *err);
/* Write over the older record and sync: the commit point of every change.
 * `slots->generation` becomes the newest on disk plus one.  FLO_E_STATE: the
 * store is open without the lock.  After FLO_E_IO_WRITE or FLO_E_DISK_FULL
 * readers see the old record, and after a power cut the old or the new one;
 * writing again is right. */
FLO_MUST_USE int flo_store_slots_write(struct flo_store *store, struct flo_slots *slots,
                                       struct flo_err *err);
/* Convert records of an agent before 0.2 to this format (contracts/device.md
 * section 6); without such records nothing is done.  Needs the lock.  Any error
 * is the disk's: the next call converts the rest. */
FLO_MUST_USE int flo_store_upgrade(struct flo_store *store, struct flo_err *err);
/* The model's record goes, durably: the model has nothing here. */
FLO_MUST_USE int flo_store_slots_remove(struct flo_store *store, const char *model,
                                        struct flo_err *err);
/* Both halves of the record are gone: find an intact release.  It looks through
 * releases/ for documents of the model whose files are all there with their
 * digests.  The one with the highest number becomes current, the next one
 * previous.  Denials and statements are lost with the record.  The caller
 * verifies their signatures before serving and then writes.  FLO_E_ABSENT:
 * none. */
FLO_MUST_USE int flo_store_slots_recover(struct flo_store *store, const char *model,
                                         struct flo_slots *out, struct flo_err *err);
/* Names of the models that have a slot file, sorted.  FLO_E_IO_READ,
 * FLO_E_MEMORY, FLO_E_DESCRIPTORS: they are not known, which is not none. */
FLO_MUST_USE int flo_store_models(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1],
                                  size_t models_max, size_t *out, struct flo_err *err);
/* As for slots. */
FLO_MUST_USE int flo_store_device_read(struct flo_store *store, struct flo_device *out,
                                       struct flo_err *err);
FLO_MUST_USE int flo_store_device_write(struct flo_store *store, struct flo_device *device,
                                        struct flo_err *err);

/* Is there a blob of that digest (and size, unless 0)?  Looks at the name
 * only: blobs are verified before they get one. */
bool flo_store_blob_has(struct flo_store *store, const struct flo_digest *digest, uint64_t bytes);
/* Open for reading.  FLO_E_BLOB_ABSENT, FLO_E_IO_SYMLINK, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_store_blob_open(struct flo_store *store, const struct flo_digest *digest,
                                     int *fd, uint64_t *bytes, struct flo_err *err);
/* The caller hashed the whole blob to `actual`.  Bytes without their digest are
 * FLO_E_TARGET_HASH.  The file is then moved to partial/, so that only its bad
 * chunks are fetched again; readers that have it open keep it. */
FLO_MUST_USE int flo_store_blob_check(struct flo_store *store, const struct flo_digest *digest,
                                      const struct flo_digest *actual, struct flo_err *err);
/* Open, hash and check: for small blobs, or where time does not matter.  A blob
 * with unreadable bytes (FLO_E_IO_READ) is moved to partial/ like a wrong
 * one. */
FLO_MUST_USE int flo_store_blob_open_verified(struct flo_store *store,
                                              const struct flo_digest *digest, int *fd,
                                              uint64_t *bytes, struct flo_err *err);
/* Store bytes from memory (a release document) under their digest.  An existing
 * blob is hashed, and replaced when it is damaged. */
FLO_MUST_USE int flo_store_blob_put(struct flo_store *store, const void *data, size_t bytes,
                                    struct flo_digest *digest, struct flo_err *err);
/* A nameless file (O_TMPFILE) with `bytes` reserved: it vanishes unless
 * published.  FLO_E_DISK_FULL with numbers. */
FLO_MUST_USE int flo_store_blob_create(struct flo_store *store, uint64_t bytes, int *fd,
                                       struct flo_err *err);
/* Give the file its name, durably: fdatasync, link, folder sync.  The caller
 * has checked that the bytes have that digest.  An existing blob of that size
 * is fine.  fd stays the caller's. */
FLO_MUST_USE int flo_store_blob_publish(struct flo_store *store, int fd,
                                        const struct flo_digest *digest, struct flo_err *err);

/* Packed weights of a model blob, as the engine made them: a file
 * packed/sha256-<model>.<its own digest>, so that one name is the record of
 * both.  It can always be made again: nothing here may fail an update.
 *
 * Open for reading.  A file from an earlier run of the caller is hashed before
 * an engine gets it.  FLO_E_BLOB_ABSENT, FLO_E_IO_... */
FLO_MUST_USE int flo_store_packed_open(struct flo_store *store, const struct flo_digest *model,
                                       int *fd, struct flo_err *err);
/* The caller hashed the whole file to `actual`.  If its name has another
 * digest, the file is removed: FLO_E_TARGET_HASH.  FLO_E_BLOB_ABSENT. */
FLO_MUST_USE int flo_store_packed_check(struct flo_store *store, const struct flo_digest *model,
                                        const struct flo_digest *actual, struct flo_err *err);
/* A nameless file of `bytes`, reserved, that may be mapped and written; it
 * vanishes unless published.  FLO_E_DISK_FULL also when less than 32 MiB would
 * be left. */
FLO_MUST_USE int flo_store_packed_create(struct flo_store *store, uint64_t bytes, int *fd,
                                         struct flo_err *err);
/* Give the file its name, durably, in place of an older one.  The caller has
 * hashed the file. */
FLO_MUST_USE int flo_store_packed_publish(struct flo_store *store, int fd,
                                          const struct flo_digest *model,
                                          const struct flo_digest *digest, struct flo_err *err);
void flo_store_packed_remove(struct flo_store *store, const struct flo_digest *model);

/* The removed files. */
struct flo_collected {
    uint32_t files;
    uint64_t bytes;
};

/* Kept prefixes: prefix/sha256-<release>.prefix.  The process that starts an
 * engine makes the file for it (contracts/device.md section 12).  They can be
 * computed again, so they are the first to go when the disk is short.  One that
 * an engine has open is flock'ed: it stays, because its removal would bring no
 * room.
 *
 * Is there one of that release? */
bool flo_store_prefix_has(struct flo_store *store, const struct flo_digest *release);
/* Bytes on disk of those that may go. */
uint64_t flo_store_prefixes_bytes(struct flo_store *store);
/* Remove kept prefixes, those unused for longest first, until so many bytes are
 * free; adds to `collected`. */
void flo_store_prefixes_drop(struct flo_store *store, uint64_t bytes,
                             struct flo_collected *collected);

/* A verified release as it came: the body and the envelope around it. */
struct flo_release_document {
    const void *envelope;
    size_t envelope_bytes;
    const void *body;
    size_t body_bytes;
};
/* Keep the release under its id, the digest of its body.  First the envelope
 * goes to releases/, in place of another one of the same body; then the body
 * becomes a blob.  The bytes are durable when it returns, and the names too,
 * but for one: an envelope that was here already may be of a run that was cut.
 * Its name is durable with the next sync of releases/; flo_store_variant_keep
 * makes it, before a record may name the release.
 * FLO_E_DISK_FULL, FLO_E_IO_... */
FLO_MUST_USE int flo_store_release_put(struct flo_store *store,
                                       const struct flo_release_document *document,
                                       struct flo_err *err);
/* Append the envelope of a release, unchecked: give it to flo_release_verify.
 * FLO_E_BLOB_ABSENT, FLO_E_META_TOO_LARGE, FLO_E_IO_... */
FLO_MUST_USE int flo_store_envelope_load(struct flo_store *store, const struct flo_digest *release,
                                         struct flo_buf *out, struct flo_err *err);
/* Load the body of a release by its id: digest checked, parsed; the signature
 * was checked when it was staged.  flo_release_deinit frees. FLO_E_BLOB_ABSENT,
 * FLO_E_TARGET_HASH, meta.*. */
FLO_MUST_USE int flo_store_release_load(struct flo_store *store, const struct flo_digest *digest,
                                        struct flo_release *out, struct flo_err *err);
/* The variant that was chosen when the release was staged, or later under
 * strain: kept by name in releases/, until the release is collected.
 * `instead_of`: the larger one in whose place it serves; NULL: none.  Durable
 * when it returns, and with it all names in that folder.  FLO_E_DISK_FULL,
 * FLO_E_IO_... */
FLO_MUST_USE int flo_store_variant_keep(struct flo_store *store, const struct flo_digest *digest,
                                        const struct flo_release_variant *variant,
                                        const struct flo_release_variant *instead_of,
                                        struct flo_err *err);
/* Index of the chosen variant when its files are all here with their sizes.
 * Without a choice on disk, the first variant of which this is true; -1: none.
 */
int flo_store_release_variant(struct flo_store *store, const struct flo_digest *digest,
                              const struct flo_release *release);
/* Index of the variant in whose place the chosen one serves; -1: none. */
int flo_store_variant_instead_of(struct flo_store *store, const struct flo_digest *digest,
                                 const struct flo_release *release);

/* The link of a model whose releases answer no requests, and the mark next to
 * it (updater/store/link.c). */
struct flo_link {
    bool has_link;
    struct flo_digest release; /* that it names; zero: something else */
    bool has_mark;
    char runtime[32];         /* whose hook runs when it moves */
    struct flo_digest hooked; /* the hook ran for this one; zero: is to run */
};
/* FLO_E_IO_OPEN; no link is no error. */
FLO_MUST_USE int flo_store_link_get(struct flo_store *store, const char *model,
                                    struct flo_link *out, struct flo_err *err);
/* Note that the hook is to run, then let links/<model> name the tree of a
 * release, or remove it (NULL).  Both are one step each, and durable when it
 * returns.  FLO_E_IO_OPEN, FLO_E_IO_WRITE, FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_store_link_set(struct flo_store *store, const char *model, const char *runtime,
                                    const struct flo_digest *release, struct flo_err *err);
/* The hook ran for the link as it is. */
FLO_MUST_USE int flo_store_link_done(struct flo_store *store, const char *model,
                                     struct flo_err *err);
/* Models with a link or a mark, each once; returns how many. */
size_t flo_store_links(struct flo_store *store, char (*models)[FLO_NAME_MAX + 1],
                       size_t models_max);

/* The folder trees/<release>, where the files of a variant have their names, as
 * links to the blobs; made where it is missing or not whole.  The caller closes
 * *fd.  FLO_E_BLOB_ABSENT, FLO_E_META_NAME, FLO_E_IO_OPEN, FLO_E_IO_WRITE,
 * FLO_E_DISK_FULL. */
FLO_MUST_USE int flo_store_tree_open(struct flo_store *store, const struct flo_digest *digest,
                                     const struct flo_release *release,
                                     const struct flo_release_variant *variant, int *fd,
                                     struct flo_err *err);
/* Collections keep the patches of kept releases, for neighbours; false, as it
 * is from the beginning: they are the first to go. */
void flo_store_keep_patches(struct flo_store *store, bool keeps);
/* Collections keep the steps of a release on its way, as it is from the
 * beginning; false: only a file that a slot names stays. */
void flo_store_keep_steps(struct flo_store *store, bool keeps);
/* Remove every blob that no slot of any model, no baseline and none of `keep`
 * (release documents) names, with packed weights and kept prefixes of such.
 * Call with the lock and without a worker.  Every release stays of a model
 * whose record is damaged in both halves.  When a record or a document that may
 * be named cannot be read, nothing is removed and its error is returned: better
 * too much than too little. */
FLO_MUST_USE int flo_store_collect(struct flo_store *store, const struct flo_digest *keep,
                                   size_t keep_count, struct flo_collected *out,
                                   struct flo_err *err);

/* ---- worker ---- */

/* `flotilla-updater worker`: read one job line from `fd`, carry it out, answer
 * with event lines (contracts/processes.md section 5).  When the other side
 * closes, it ends early and keeps the fetched bytes.  Returns the exit code. */
int flo_worker_run(int fd);

#endif
