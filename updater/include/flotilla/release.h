/* release: the code that publisher and device share.
 *
 * Deltas (make and apply), signatures on releases and orders, bundles, and the
 * authoring of a release document.  Knows no engine, no MQTT, no network and no
 * store: bytes come from descriptors, go to callbacks.  Everything may be
 * called from any thread on distinct objects.
 *
 * Bounds: documents <= 160 KiB (release) and 4 KiB (order), envelopes <= 256
 * KiB and 8 signatures, apply <= 16 MiB of private memory for a model of any
 * size, zstd windows <= 8 MiB, 256 entries in a bundle. */
#ifndef FLOTILLA_RELEASE_H
#define FLOTILLA_RELEASE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* ---- trust: which key may sign what ---- */

#define FLO_TRUST_KEYS_MAX 64 /* roots and all others together */
#define FLO_KEYID_TEXT 65     /* 64 hex + NUL */
#define FLO_TRUST_ROOTS_MAX 8
#define FLO_TRUST_THRESHOLD_MAX 4 /* two sets of signers fit an envelope */
#define FLO_TRUST_REVOKED_MAX 128 /* keys; and as many releases */
#define FLO_TRUST_FLOORS_MAX 64
#define FLO_TRUST_CA_MAX 4
#define FLO_TRUST_BODY_BYTES_MAX (46 * 1024)
#define FLO_TRUST_BYTES_MAX (63 * 1024) /* an envelope: one MQTT message */

/* Bits.  A key of the unsigned list may have several roles, a key of a
 * statement has one. */
enum flo_role {
    FLO_ROLE_RELEASE = 1,   /* release documents */
    FLO_ROLE_ORDER = 2,     /* every order */
    FLO_ROLE_EMERGENCY = 4, /* orders: rollback, freeze, unfreeze only */
    FLO_ROLE_ROOT = 8,      /* the next statement, and nothing else */
};

struct flo_trust;

/* An empty set: it trusts no key.  NULL only without memory. */
struct flo_trust *flo_trust_new(const char *fleet);
void flo_trust_free(struct flo_trust *trust);
void flo_trust_cleanup(struct flo_trust **trust);
/* trust.json (contracts/device.md section 6): the unsigned list, or a statement
 * that the root keys named in it have signed.  Whether it follows the one that
 * is held is another question: flo_trust_follows.  FLO_E_META_...,
 * FLO_E_SIG_..., FLO_E_TRUST_THRESHOLD; flo_trust_load adds the errors of
 * flo_file_read. */
FLO_MUST_USE int flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                                 struct flo_err *err);
FLO_MUST_USE int flo_trust_load(const char *path, struct flo_trust **out, struct flo_err *err);
/* Put it in the file's place, whole or not at all.  The one before stays as
 * PATH.before, which flo_trust_load reads where the file itself is damaged. */
FLO_MUST_USE int flo_trust_store(const char *path, const struct flo_trust *trust,
                                 struct flo_err *err);
/* Append as trust.json: the envelope, or the unsigned list. */
void flo_trust_text(const struct flo_trust *trust, struct flo_buf *out);
/* One digest of the keys that may sign orders, in whatever order they are. */
void flo_trust_order_keys(const struct flo_trust *trust, struct flo_digest *out);
/* Epoch of the controller whose order keys these are; 1 where the list does not
 * say. */
uint32_t flo_trust_epoch(const struct flo_trust *trust);
/* Borrowed until flo_trust_free. */
const char *flo_trust_fleet(const struct flo_trust *trust);
size_t flo_trust_count(const struct flo_trust *trust);
/* 1: the unsigned list. */
uint64_t flo_trust_number(const struct flo_trust *trust);
/* SHA-256 of a statement's body; zero: the unsigned list. */
const struct flo_digest *flo_trust_digest(const struct flo_trust *trust);
/* Certificates of authorities, PEM; none: the device keeps those it has. */
size_t flo_trust_ca_count(const struct flo_trust *trust);
const char *flo_trust_ca(const struct flo_trust *trust, size_t index);
/* Releases of the model with a smaller number never run again; 0: none. */
uint64_t flo_trust_floor(const struct flo_trust *trust, const char *model);
bool flo_trust_is_release_revoked(const struct flo_trust *trust, const struct flo_digest *release);
bool flo_trust_is_key_revoked(const struct flo_trust *trust, const char *keyid);
bool flo_trust_is_signed(const struct flo_trust *trust);
/* Does the envelope have a signature of that key?  Not checked here. */
bool flo_trust_has_signed(const struct flo_trust *trust, const char *keyid);
/* For people: number, epoch, revocations, floors, authorities.  show.c */
struct json_t;
struct json_t *flo_trust_object(const struct flo_trust *trust);
/* One key after the other, index 0 ... flo_trust_count - 1. */
struct flo_trust_key {
    const char *keyid; /* borrowed; so is the name, "" if it has none */
    const char *name;
    unsigned roles;
    char pem[256];
};
void flo_trust_key(const struct flo_trust *trust, size_t index, struct flo_trust_key *out);
/* The first key with one of these roles; false: there is none. */
bool flo_trust_key_with(const struct flo_trust *trust, unsigned roles, struct flo_trust_key *out);
/* "release", "order", "emergency" or "root": the first one of these bits. */
const char *flo_role_word(unsigned roles);
/* 0: no such role. */
unsigned flo_trust_role(const char *word);

/* How a statement stands to the one that is held. */
enum flo_trust_standing {
    FLO_TRUST_NEXT,  /* the next one: the held one's number plus one */
    FLO_TRUST_SAME,  /* the held one once more */
    FLO_TRUST_OLDER, /* brokers keep such */
    FLO_TRUST_GAP,   /* statements between them are missing */
};
/* Pure.  NEXT only when it is signed by as many root keys of `held` as `held`
 * asks for, and by as many of its own as it asks for.  A statement after an
 * unsigned list is signed by a release key of it too, if it has one; a device
 * takes it from its controller by HTTPS alone (FLO_E_TRUST_FIRST,
 * agent/shell/trust).
 *
 * FLO_E_META_FLEET         another fleet's
 * FLO_E_META_EQUIVOCATION  the held number with another body
 * FLO_E_TRUST_THRESHOLD    too few root keys signed
 * FLO_E_TRUST_EPOCH        an order or emergency key is taken away without the
 *                          next epoch, or the epoch moves otherwise
 * FLO_E_SIG_BAD, _FORMAT   a signature of one of these keys does not fit */
FLO_MUST_USE int flo_trust_follows(const struct flo_trust *held, const struct flo_trust *next,
                                   enum flo_trust_standing *out, struct flo_err *err);

/* ---- making a statement (operators' machines) ---- */

/* Add a public key (PEM, P-256); one that is known gains the roles.  `name` may
 * be NULL. */
FLO_MUST_USE int flo_trust_add(struct flo_trust *trust, const char *pem, unsigned roles,
                               const char *name, struct flo_err *err);
/* Take a key away.  FLO_E_ABSENT. */
FLO_MUST_USE int flo_trust_drop(struct flo_trust *trust, const char *keyid, struct flo_err *err);
/* The same, and it may never come back.  It need not be trusted now. */
FLO_MUST_USE int flo_trust_revoke_key(struct flo_trust *trust, const char *keyid,
                                      struct flo_err *err);
FLO_MUST_USE int flo_trust_revoke_release(struct flo_trust *trust, const struct flo_digest *release,
                                          struct flo_err *err);
FLO_MUST_USE int flo_trust_raise_floor(struct flo_trust *trust, const char *model, uint64_t number,
                                       struct flo_err *err);
FLO_MUST_USE int flo_trust_add_ca(struct flo_trust *trust, const char *pem, struct flo_err *err);
/* Forget its certificates of authorities. */
void flo_trust_clear_ca(struct flo_trust *trust);
void flo_trust_set_threshold(struct flo_trust *trust, uint32_t threshold);
/* An unsigned draft of the statement that follows `held`: its number is one
 * more, all else the same. */
FLO_MUST_USE int flo_trust_next(const struct flo_trust *held, uint64_t now_ms,
                                struct flo_trust **out, struct flo_err *err);
/* Append the draft as an envelope without signatures; `held` as above.  The
 * epoch moves where it must.  Fails as the reader does. */
FLO_MUST_USE int flo_trust_draft(struct flo_trust *draft, const struct flo_trust *held,
                                 struct flo_buf *out, struct flo_err *err);
/* Read a draft, however many have signed it so far. */
FLO_MUST_USE int flo_trust_draft_parse(const char *json, size_t bytes, struct flo_trust **out,
                                       struct flo_err *err);
struct flo_key; /* base/host/crypto.h */
/* Add one signature to a draft. */
FLO_MUST_USE int flo_trust_sign(struct flo_trust *draft, const struct flo_key *key,
                                struct flo_err *err);
/* Signatures that are there and that are asked for; `held` NULL: its own
 * only. */
struct flo_trust_tally {
    uint32_t own, own_needed;
    uint32_t held, held_needed;
};
FLO_MUST_USE int flo_trust_count_up(const struct flo_trust *draft, const struct flo_trust *held,
                                    struct flo_trust_tally *out, struct flo_err *err);

/* ---- verify ---- */

/* One verified signature by a key of the role is enough.  Signatures by unknown
 * keys next to it are ignored; a bad one by a trusted key is not.  TUF will
 * replace the code under these two functions; callers stay as they are. */

/* A release's id is the digest of its signed body.  Another wrapping of that
 * body (blanks, more signatures, another form of one) is the same release. */
struct flo_release_verified {
    struct flo_digest digest; /* SHA-256 of the body: the release's id */
    char keyid[FLO_KEYID_TEXT];
    struct flo_release release; /* parsed */
    char *body;                 /* as it was signed, NUL-terminated */
    size_t body_bytes;
};

struct flo_order_verified {
    char keyid[FLO_KEYID_TEXT];
    unsigned role;          /* FLO_ROLE_ORDER or FLO_ROLE_EMERGENCY */
    struct flo_digest body; /* SHA-256 of the signed bytes */
    struct flo_order order;
};

/* From the bytes of an envelope to a release that may run in this fleet.
 *
 * FLO_E_SIG_MISSING      no signature
 * FLO_E_SIG_UNKNOWN_KEY  none by a key of the role (the error names the keyid)
 * FLO_E_SIG_REVOKED_KEY  the same, and a key that was revoked is among them
 * FLO_E_TARGET_REVOKED   a statement revoked this very release
 * FLO_E_SIG_BAD          the signature does not fit
 * FLO_E_SIG_FORMAT       not 64 bytes of base64, or more than 8 of them; the
 *                        envelope or a signature in it is not canonical
 * FLO_E_META_...         JSON, depth, size, schema, name, other type, fleet */
FLO_MUST_USE int flo_release_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                                    struct flo_release_verified *out, struct flo_err *err);
void flo_release_verified_deinit(struct flo_release_verified *verified);

/* The same for an order.  Does not look at the clock, the scope, the epoch or
 * the replay window: the device's core does.  FLO_E_CMD_FORMAT when a
 * correctly signed body is no order of the table; out->order then has what
 * flo_order_parse says. */
FLO_MUST_USE int flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                                  struct flo_order_verified *out, struct flo_err *err);

/* ---- sign (publishers and the controller's order key) ---- */

/* Append the DSSE envelope of a document to `out`.  The body is parsed first: a
 * document that devices would refuse is not signed.  Fails as the parsers
 * do. */
FLO_MUST_USE int flo_release_sign(const char *body, size_t bytes, const struct flo_key *key,
                                  struct flo_buf *out, struct flo_err *err);
FLO_MUST_USE int flo_order_sign(const char *body, size_t bytes, const struct flo_key *key,
                                struct flo_buf *out, struct flo_err *err);

/* ---- model scan ---- */

/* One pass over a GGUF file: its SHA-256 and a look at every float and block
 * scale.  FLO_E_MODEL_NONFINITE names tensor and element; FLO_E_GGUF_... when
 * it is no well-formed GGUF; FLO_E_IO_READ.  Reads by pread; digest and bytes
 * may be NULL and are also set when the scan says non-finite. */
FLO_MUST_USE int flo_model_scan(int fd, struct flo_digest *digest, uint64_t *bytes,
                                struct flo_err *err);

/* The same for a model or adapter that a runtime reads: one that begins as a
 * GGUF is scanned, and one that is a safetensors file by its name or its first
 * bytes.  Any other is only hashed.  Also FLO_E_SAFETENSORS. */
FLO_MUST_USE int flo_file_scan(int fd, const char *name, struct flo_digest *digest, uint64_t *bytes,
                               struct flo_err *err);

/* ---- deltas ---- */

#define FLO_DELTA_MEMORY_BYTES_MAX (16u << 20)
#define FLO_ZSTD_WINDOW_LOG_MAX 23

struct flo_delta_job {
    enum flo_codec codec; /* adapter: FLO_E_NOT_BUILT */
    int patch_fd;         /* regular file, read by pread */
    int base_fd;          /* regular file, read by pread; -1: none */
    /* When not NULL the whole base is read and compared before the first byte
     * is written: FLO_E_PATCH_BASE_CORRUPT. */
    const struct flo_digest *base_digest;
    uint64_t new_bytes; /* as signed; the patch must say the same */
    /* As signed; NULL: not compared (a tool without a release). */
    const struct flo_digest *new_digest;
    uint64_t memory_bytes_max; /* 0: FLO_DELTA_MEMORY_BYTES_MAX */
    /* tensor1, for a patch that is still coming: the signed digest of its head,
     * by which everything behind is checked.  NULL: it is whole. */
    const struct flo_digest *head;
    /* Waits until the patch's bytes before `end` are in the file; non-zero
     * (negative code) stops.  NULL: all of it is there. */
    int (*on_need)(void *context, uint64_t end, struct flo_err *err);
    /* After a power cut (tensor1): the file in which the first done_bytes of
     * the result may stand; 0: none.  Each part is checked, and on_data gets
     * those that follow. */
    int done_fd;
    uint64_t done_bytes;
    /* So many bytes are kept.  Or NULL. */
    int (*on_resume)(void *context, uint64_t kept, struct flo_err *err);
    /* In order, <= 1 MiB each; non-zero (negative code) stops.  The calls come
     * before the whole digest is known.  The receiver therefore writes to a
     * name that is not read until flo_delta_apply has returned 0. */
    int (*on_data)(void *context, const void *data, size_t bytes, struct flo_err *err);
    /* May be NULL; non-zero (negative code) cancels. */
    int (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Old bytes and patch to new bytes.
 *
 * FLO_E_PATCH_FORMAT, _TRUNCATED, _BOUNDS, _STREAM   a broken patch
 * FLO_E_PATCH_LIMIT    another size than signed, or more memory than allowed
 * FLO_E_TARGET_HASH    the result does not have new_digest
 * FLO_E_IO_READ        the disk */
FLO_MUST_USE int flo_delta_apply(const struct flo_delta_job *job, struct flo_digest *digest,
                                 struct flo_err *err);
/* true when flo_delta_apply decodes it: the planner asks. */
bool flo_delta_codec_is_built(enum flo_codec codec);

struct flo_delta_made {
    enum flo_codec codec; /* the one that was chosen */
    uint64_t bytes;       /* size of the patch */
    uint64_t old_bytes;
    uint64_t new_bytes;
    uint64_t full_bytes; /* best way without a base */
    uint64_t create_ms;
    struct flo_digest old_digest;
    struct flo_digest new_digest;
    struct flo_digest digest; /* SHA-256 of the patch */
};

/* How a patch is made; all zero: as if there were none. */
struct flo_delta_making {
    unsigned threads; /* threads that make a tensor1 delta; 0: one for each
                         core, at most 12 */
    /* Bytes of the new file that tensor1 has coded, in the caller's thread. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Make a patch.  Publishers only: both files are mapped, and bsdiff40 wants 5
 * bytes of memory per byte of old, 9 above 2 GiB.  tensor1 takes at most 64 MiB
 * and makes the same bytes with any number of threads.
 *
 * word: a codec (raw zstd bsdiff40 tensor1), or the smallest by measurement of
 *   full   raw and zstd
 *   delta  tensor1; also bsdiff40 where old or new is no GGUF and old has 256
 *          MiB at most, or where tensor1 refuses the pair
 *   auto   both
 * patch_fd is truncated and written; `making` may be NULL.
 * FLO_E_NOT_BUILT, FLO_E_MEMORY, FLO_E_IO_READ, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_delta_create(const char *word, int old_fd, int new_fd, int patch_fd,
                                  const struct flo_delta_making *making, struct flo_delta_made *out,
                                  struct flo_err *err);

struct flo_delta_facts {
    enum flo_codec codec;
    uint64_t patch_bytes;
    uint64_t new_bytes;     /* 0: the file does not say */
    uint64_t control_bytes; /* bsdiff40: compressed parts */
    uint64_t diff_bytes;
    uint64_t extra_bytes;
    uint64_t memory_bytes;  /* that apply needs */
    unsigned window_log;    /* zstd */
    uint32_t part_count;    /* tensor1 */
    uint64_t index_bytes;   /* tensor1: as it stands in the patch */
    struct flo_digest head; /* tensor1: digest of the head */
};
/* The kind of a patch file, by its first bytes; without a magic: raw. */
FLO_MUST_USE int flo_delta_inspect(int patch_fd, struct flo_delta_facts *out, struct flo_err *err);

/* ---- bundles ---- */

#define FLO_BUNDLE_ENTRIES_MAX 1024
#define FLO_BUNDLE_RELEASES_MAX 8

struct flo_bundle_facts {
    /* In the order in which they are to be installed. */
    struct flo_digest releases[FLO_BUNDLE_RELEASES_MAX];
    uint32_t release_count;
    uint64_t bytes; /* sum of the blobs, unpacked */
    unsigned blobs;
    bool compressed;
};

#define FLO_BUNDLE_TRUST_BYTES_MAX (512 * 1024)
/* Callbacks of the reader; each may be NULL; non-zero (negative) stops. */
struct flo_bundle_handlers {
    void *context;
    /* Before all: trust statements, {"v":1,"statements":[...]}, not looked at.
     * The releases are verified by the keys that flo_bundle_read was given.
     * NULL, here and below: the reader goes on. */
    int (*on_trust)(void *context, const char *text, size_t bytes, struct flo_err *err);
    /* First, for each: a release, verified.  Borrowed until flo_bundle_read
     * returns.  Or NULL. */
    int (*on_release)(void *context, const struct flo_release_verified *verified,
                      const void *envelope, size_t envelope_bytes, struct flo_err *err);
    /* A blob of a release begins.  Set *wanted = false to skip its data
     * (it is hashed all the same); it comes in as true.  NULL: all are wanted.
     */
    int (*on_blob)(void *context, const struct flo_digest *digest, uint64_t bytes, bool *wanted,
                   struct flo_err *err);
    /* Or NULL. */
    int (*on_data)(void *context, const void *data, size_t bytes, struct flo_err *err);
    /* At the end, for each release: no variant came whole, and this file of the
     * nearest one did not come.  NULL: such a bundle is
     * FLO_E_BUNDLE_MISSING. */
    int (*on_lacking)(void *context, const struct flo_release *release,
                      const struct flo_release_file *file, struct flo_err *err);
    /* Called when digest and size of a blob were right.  Or NULL. */
    int (*on_blob_end)(void *context, const struct flo_digest *digest, struct flo_err *err);
};

/* Read a bundle from front to back, never more than 12 MiB in memory.
 *
 * A bundle may begin with `trust.json`.  It holds `release.json` (the envelope)
 * first, or `release-0.json` to
 * `release-7.json`; then `blobs/sha256-<hex>` for ways and lists of chunks of
 * these releases; of each at least one way of each file of a variant, but for
 * what on_lacking forgives.  Plain tar or tar.zst.
 * FLO_E_BUNDLE_..., FLO_E_TARGET_HASH, FLO_E_IO_OPEN (not a regular file),
 * FLO_E_IO_READ, or what flo_release_verify returns.  A blob that was begun
 * but not ended must be dropped by the receiver. */
FLO_MUST_USE int flo_bundle_read(const char *path, const struct flo_trust *trust,
                                 const struct flo_bundle_handlers *handlers,
                                 struct flo_bundle_facts *out, struct flo_err *err);

struct flo_bundle_document {
    const void *envelope;
    size_t bytes;
};

struct flo_bundle_spec {
    /* One to FLO_BUNDLE_RELEASES_MAX, in any order: the base of another, and
     * the smaller number of a model, stands first in the bundle. */
    const struct flo_bundle_document *documents;
    size_t document_count;
    const struct flo_bundle_document *trust; /* statements; NULL: none */
    const char *blob_dir;                    /* holds sha256-<hex> files */
    /* Ways to carry; none: the smallest way without a base of each file. */
    const struct flo_digest *blobs;
    size_t blob_count;
    /* For releases that have this variant: its files alone; NULL: those of all.
     */
    const char *variant;
    const char *const *without; /* names of files that devices have */
    size_t without_count;
    bool compress; /* tar.zst */
};
/* Does such a bundle carry this file?  By name; `blobs` is not asked. */
bool flo_bundle_takes(const struct flo_bundle_spec *spec, const struct flo_release *release,
                      uint32_t file);
/* FLO_E_USAGE: no release has such a variant or file, nothing is left of one,
 * or one stands twice. */
FLO_MUST_USE int flo_bundle_check(const struct flo_bundle_spec *spec,
                                  const struct flo_release *const *releases, size_t count,
                                  struct flo_err *err);
/* Written next to `path` and renamed.  FLO_E_BUNDLE_MISSING when a blob is
 * not in blob_dir, FLO_E_TARGET_HASH when it has other bytes. */
FLO_MUST_USE int flo_bundle_create(const char *path, const struct flo_bundle_spec *spec,
                                   struct flo_bundle_facts *out, struct flo_err *err);

/* ---- authoring a release ---- */

#define FLO_AUTHOR_BASES_MAX 6

struct flo_author_file {
    const char *name; /* in the release: model.gguf */
    const char *role; /* model golden adapter */
    const char *path;
    uint32_t scale_ppm; /* an adapter's scale; 0: as it is */
    /* The file as published before: taken as it stands there, with its ways;
     * `path` and bases are not used.  NULL: not published. */
    const struct flo_release_file *published;
    /* Files of earlier releases to make deltas from. */
    const char *base_paths[FLO_AUTHOR_BASES_MAX];
    size_t base_count;
};

struct flo_author_variant {
    const char *name;
    const char *arch[4]; /* up to the first NULL; none: any */
    const char *engine[4];
    uint64_t memory_bytes; /* 0: not said */
    uint32_t context;
    const char *runtime;        /* NULL: native */
    const char *accelerator[4]; /* up to the first NULL */
    uint64_t disk_bytes;        /* 0: not said; so are the next two */
    uint64_t bytes_per_token;
    uint64_t rate_mtps;
    const char *entry;                            /* NULL: a native variant's first model */
    const char *files[FLO_RELEASE_FILES_MAX + 1]; /* NULL: every file */
};

struct flo_author {
    const char *fleet;
    const char *model;
    const char *version;
    uint64_t number;
    const char *label; /* NULL: none; so are the next three */
    const char *license;
    const char *source;
    const char *base;
    uint64_t created_at_ms;
    const struct flo_author_file *files;
    size_t file_count;
    const struct flo_author_variant *variants; /* none: one, "default" */
    size_t variant_count;
    uint64_t floor;                 /* 0: none */
    struct flo_digest base_release; /* that adapters are for; zero: none */
    uint64_t base_number;
    const struct flo_release_serve *serve; /* NULL: nothing is said */
    double speed_ratio_max;                /* probe; 0: 1.5 */
    uint64_t memory_bytes_max;             /* probe; 0: not said */
    bool allow_nonfinite;                  /* true: do not scan models (tests, demo) */
    /* Called each second during a long step, with its name ("model.gguf: zstd")
     * and its seconds so far.  NULL: no call. */
    void (*progress)(void *context, const char *what, uint64_t seconds);
    void *progress_context;
};

struct flo_author_blob {
    struct flo_digest digest;
    uint64_t bytes;
    char file[FLO_FILE_NAME_MAX + 1]; /* the file that it belongs to */
    bool is_chunk_list;               /* no way: hashes of its chunks */
    enum flo_codec codec;
    struct flo_digest base; /* zero: none */
    uint64_t create_ms;
    bool kept; /* false: measured, but not worth a way; no blob written */
};

struct flo_author_result {
    struct flo_buf body; /* the document, to be signed */
    struct flo_author_blob *blobs;
    size_t blob_count;
    size_t blob_room;
};

/* Measure all ways, write the worthwhile ones as out_dir/sha256-<hex> and the
 * document into out->body.  raw always; zstd when >= 3 % smaller; bsdiff40
 * when <= 50 % of the best of those.  Publishers' machines only.
 * FLO_E_MODEL_NONFINITE and FLO_E_GGUF_... for a model that devices would
 * refuse. */
FLO_MUST_USE int flo_release_build(const struct flo_author *author, const char *out_dir,
                                   struct flo_author_result *out, struct flo_err *err);
/* The release that flo_release_build() would make of these inputs, without
 * ways, chunks or a scan; a file with the path "" would be made first and has
 * no digest.  The caller frees it with flo_release_free(). */
FLO_MUST_USE int flo_release_outline(const struct flo_author *author, struct flo_release **out,
                                     struct flo_err *err);
/* Was the release that is there made of other inputs than the outline?  Then
 * `out` says which: "the model model.gguf", "the variant q4", "the label". */
bool flo_release_differs(const struct flo_release *there, const struct flo_release *outline,
                         char *out, size_t out_bytes);
void flo_author_result_deinit(struct flo_author_result *result);

/* ---- plan ---- */

#define FLO_PROFILE_ENGINES_MAX 32
#define FLO_PROFILE_RUNTIMES_MAX 8
#define FLO_PLAN_MEMORY_BYTES (32u * 1024 * 1024)

/* The properties of a device that a release may require. */
struct flo_profile {
    char arch[16]; /* "x86_64", "aarch64" */
    /* GGUF architectures it can run; empty: "llama" */
    char engine[FLO_PROFILE_ENGINES_MAX][16];
    char runtimes[FLO_PROFILE_RUNTIMES_MAX][32]; /* next to native, ready */
    char accelerators[4][16];
    uint64_t memory_bytes_per_s; /* as measured; 0: not known */
    uint64_t memory_bytes;       /* for the model; 0: not known, not checked */
    uint64_t disk_free_bytes;    /* at the state directory */
    uint64_t kept_bytes;         /* also: kept prefixes that may go */
    uint64_t prefix_bytes;       /* one more will be kept, of this release */
    bool packs;                  /* the model is packed, too: room for both */
};
/* Read a profile (contracts/messages.md section 3); what stands in it besides
 * is passed over.  Only `state` "ready" runtimes count.  FLO_E_META_SCHEMA. */
struct json_t;
FLO_MUST_USE int flo_profile_parse(const struct json_t *profile, struct flo_profile *out,
                                   struct flo_err *err);
struct flo_plan_input {
    const struct flo_release *release;
    const struct flo_profile *profile;
    const struct flo_digest *present; /* artifacts that are here */
    size_t present_count;
    const struct flo_digest *damaged; /* files that need a few chunks only */
    size_t damaged_count;
    uint64_t memory_bytes_max; /* to decode with; 0: FLO_PLAN_MEMORY_BYTES */
    /* Ways that failed already, by file: bit = way index. */
    uint32_t ways_failed[FLO_RELEASE_FILES_MAX];
    /* Only artifacts of this list can be fetched (a bundle); NULL: all. */
    const struct flo_digest *offered;
    size_t offered_count;
    const char *variant; /* this one alone; NULL: the first that fits */
};
struct flo_plan {
    uint32_t variant;
    uint64_t fetch_bytes;  /* over the network */
    uint64_t full_bytes;   /* had every file been fetched raw */
    uint64_t disk_bytes;   /* highest need at one time, packed_bytes and
                              prefix_bytes in it */
    uint64_t packed_bytes; /* at most, for packed weights; 0: no room, or the
                              device does not pack */
    uint64_t prefix_bytes; /* for the prefix that will be kept; 0: no room */
    uint64_t drop_bytes;   /* kept prefixes that go first, in bytes */
    enum flo_codec codec;  /* the way of the largest file that is fetched */
    uint32_t step_count;
    struct {
        uint8_t file; /* index into release->files */
        uint8_t way;  /* index into its ways */
        bool is_present;
    } steps[FLO_RELEASE_FILES_MAX];
    char reason[96];  /* "smallest way", "no room for a smaller way" */
    char chosen[192]; /* why this variant and none before it */
};
/* Choose the first variant that fits (publishers put the best one first): by
 * arch, engine, runtime, accelerators, memory, speed and disk.  A device that
 * did not measure its memory takes a variant that asks for a rate only when it
 * is the last one.  Per file, choose the way with the fewest bytes whose base
 * is here and whose memory fits.  Where the disk is too small for those, take
 * the file itself. Numbers are in the sentences.  FLO_E_TARGET_INCOMPATIBLE,
 * FLO_E_MEMORY_BUDGET (a variant fits but for memory), FLO_E_DISK_FULL,
 * FLO_E_BLOB_ABSENT (no way is left for a file). */
FLO_MUST_USE int flo_plan_make(const struct flo_plan_input *input, struct flo_plan *out,
                               struct flo_err *err);
/* Index of the largest variant that needs less memory than `variant` and fits;
 * -1: none.  Both are models of our engine, without adapters. */
int flo_plan_smaller(const struct flo_release *release, const struct flo_profile *profile,
                     uint32_t variant);
/* Memory of a variant in bytes, as the release says, else of its files. */
uint64_t flo_plan_memory_bytes(const struct flo_release *release, uint32_t variant);

#endif
