/* release: the code that publisher and device share.
 *
 * Deltas (make and apply), signatures on releases and orders, bundles, and the
 * authoring of a release document.  It is independent of engine, MQTT, network
 * and store: bytes come from descriptors and go to callbacks.  Functions may be
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

#define FLO_TRUST_KEYS_MAX 64 /* most keys of all roles together */
#define FLO_KEYID_TEXT 65     /* 64 hex digits and a NUL */
#define FLO_TRUST_ROOTS_MAX 8
/* most root signatures that a statement may require; an envelope has room for
 * twice as many, by old and new root keys */
#define FLO_TRUST_THRESHOLD_MAX 4
#define FLO_TRUST_REVOKED_MAX 128 /* limit for revoked keys, and for revoked releases */
#define FLO_TRUST_FLOORS_MAX 64
#define FLO_TRUST_CA_MAX 4
#define FLO_TRUST_PUBLISHERS_MAX 16
#define FLO_TRUST_BODY_BYTES_MAX (46 * 1024)
#define FLO_TRUST_BYTES_MAX (63 * 1024) /* largest envelope: one MQTT message */

/* Roles as bits.  A key of the unsigned list may have several roles, a key of a
 * signed statement has one. */
enum flo_role {
    FLO_ROLE_RELEASE = 1,   /* release documents */
    FLO_ROLE_ORDER = 2,     /* every order */
    FLO_ROLE_EMERGENCY = 4, /* rollback, freeze and unfreeze orders only */
    FLO_ROLE_ROOT = 8,      /* signs the next trust statement, and nothing else */
};

struct flo_trust;

/* Makes an empty set, which trusts no key.  Returns NULL when memory is out. */
struct flo_trust *flo_trust_new(const char *fleet);
void flo_trust_free(struct flo_trust *trust);
void flo_trust_cleanup(struct flo_trust **trust);
/* Parses trust.json (contracts/device.md section 6): the unsigned list, or a
 * statement signed by the root keys in it.  flo_trust_follows checks whether
 * the statement may replace the present one.  FLO_E_META_..., FLO_E_SIG_...,
 * FLO_E_TRUST_THRESHOLD. */
FLO_MUST_USE int flo_trust_parse(const char *json, size_t bytes, struct flo_trust **out,
                                 struct flo_err *err);
/* Reads and parses a trust.json file.  Fails as flo_file_read and
 * flo_trust_parse do. */
FLO_MUST_USE int flo_trust_load(const char *path, struct flo_trust **out, struct flo_err *err);
/* Replaces the file atomically with this trust.  The old file stays as
 * PATH.before, which flo_trust_load reads when the file is damaged. */
FLO_MUST_USE int flo_trust_store(const char *path, const struct flo_trust *trust,
                                 struct flo_err *err);
/* Appends the text of trust.json to `out`: the envelope, or the unsigned
 * list. */
void flo_trust_text(const struct flo_trust *trust, struct flo_buf *out);
/* Computes a digest of the keys that may sign orders; their order in the list
 * does not matter. */
void flo_trust_order_keys(const struct flo_trust *trust, struct flo_digest *out);
/* Returns the epoch of the controller's order keys, or 1 when the list has
 * none. */
uint32_t flo_trust_epoch(const struct flo_trust *trust);
/* Returns the fleet's name, which is borrowed until flo_trust_free. */
const char *flo_trust_fleet(const struct flo_trust *trust);
size_t flo_trust_count(const struct flo_trust *trust);
/* Returns the number of the trust statement; the unsigned list has 1. */
uint64_t flo_trust_number(const struct flo_trust *trust);
/* Returns the SHA-256 of the statement's body; zeros for the unsigned list. */
const struct flo_digest *flo_trust_digest(const struct flo_trust *trust);
/* Returns the number of CA certificates in the statement.  With 0 the device
 * keeps the ones that it has. */
size_t flo_trust_ca_count(const struct flo_trust *trust);
/* Returns a CA certificate as PEM. */
const char *flo_trust_ca(const struct flo_trust *trust, size_t index);
/* Returns the minimum release number of a model, or 0 when there is none.
 * Releases below the minimum never run again. */
uint64_t flo_trust_floor(const struct flo_trust *trust, const char *model);
/* Returns how many publishers must sign a release of this model. */
uint32_t flo_trust_publishers(const struct flo_trust *trust, const char *model);
bool flo_trust_is_release_revoked(const struct flo_trust *trust, const struct flo_digest *release);
bool flo_trust_is_key_revoked(const struct flo_trust *trust, const char *keyid);
bool flo_trust_is_signed(const struct flo_trust *trust);
/* Tells whether the envelope has a signature by that key, without verifying
 * it. */
bool flo_trust_has_signed(const struct flo_trust *trust, const char *keyid);
/* flo_trust_object() in show.c returns a statement as JSON for display: its
 * number, epoch, revoked keys and releases, minimum releases and CA
 * certificates. */
struct json_t;
struct json_t *flo_trust_object(const struct flo_trust *trust);
/* A trusted key.  Keys have the indices 0 to flo_trust_count - 1. */
struct flo_trust_key {
    const char *keyid; /* borrowed, as `name` is; `name` is "" when it is not set */
    const char *name;
    unsigned roles;
    char pem[256];
};
void flo_trust_key(const struct flo_trust *trust, size_t index, struct flo_trust_key *out);
/* Copies the first key with one of these roles to `out`.  Returns false when
 * there is none. */
bool flo_trust_key_with(const struct flo_trust *trust, unsigned roles, struct flo_trust_key *out);
/* Returns the word for the first of these role bits: "release", "order",
 * "emergency" or "root". */
const char *flo_role_word(unsigned roles);
/* Returns the role bit of a word, or 0 for an unknown word. */
unsigned flo_trust_role(const char *word);

/* Relations of a new statement to the one in use. */
enum flo_trust_standing {
    FLO_TRUST_NEXT,  /* the successor: a number higher by one */
    FLO_TRUST_SAME,  /* the statement that is already trusted */
    FLO_TRUST_OLDER, /* an older statement, which brokers may still have */
    FLO_TRUST_GAP,   /* a later statement, but statements in between are missing */
};
/* Checks a new statement against the one in use.  The function is pure.
 * FLO_TRUST_NEXT needs enough signatures by root keys of `held`, and enough by
 * the statement's own root keys.  After an unsigned list with a release key it
 * must also be signed by a release key of that list.  A device then accepts it
 * from its controller by HTTPS only (FLO_E_TRUST_FIRST, agent/shell/trust).
 *
 *   FLO_E_META_FLEET         of another fleet
 *   FLO_E_META_EQUIVOCATION  the same number with another body
 *   FLO_E_TRUST_THRESHOLD    too few root signatures
 *   FLO_E_TRUST_EPOCH        an order or emergency key is removed without the
 *                            next epoch, or the epoch changes otherwise
 *   FLO_E_SIG_BAD, _FORMAT   a signature by one of these keys is invalid */
FLO_MUST_USE int flo_trust_follows(const struct flo_trust *held, const struct flo_trust *next,
                                   enum flo_trust_standing *out, struct flo_err *err);

/* ---- making a statement (operators' machines) ---- */

/* Adds a public key (PEM, P-256).  A known key gains the roles.  `name` may be
 * NULL. */
FLO_MUST_USE int flo_trust_add(struct flo_trust *trust, const char *pem, unsigned roles,
                               const char *name, struct flo_err *err);
/* Removes a key.  Returns FLO_E_ABSENT when the set does not have it. */
FLO_MUST_USE int flo_trust_drop(struct flo_trust *trust, const char *keyid, struct flo_err *err);
/* Removes a key and bans it forever.  The key need not be trusted now. */
FLO_MUST_USE int flo_trust_revoke_key(struct flo_trust *trust, const char *keyid,
                                      struct flo_err *err);
FLO_MUST_USE int flo_trust_revoke_release(struct flo_trust *trust, const struct flo_digest *release,
                                          struct flo_err *err);
FLO_MUST_USE int flo_trust_raise_floor(struct flo_trust *trust, const char *model, uint64_t number,
                                       struct flo_err *err);
FLO_MUST_USE int flo_trust_add_ca(struct flo_trust *trust, const char *pem, struct flo_err *err);
/* Removes the statement's CA certificates. */
void flo_trust_clear_ca(struct flo_trust *trust);
void flo_trust_set_threshold(struct flo_trust *trust, uint32_t threshold);
/* Asks for the signatures of `needed` publishers, at most
 * FLO_TRUST_THRESHOLD_MAX, on releases of some models: `pattern` is a name, or
 * its beginning and `*`.  If several fit a model, the highest number
 * counts.  1 removes the row.  FLO_E_USAGE, FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_trust_ask_publishers(struct flo_trust *trust, const char *pattern,
                                          uint64_t needed, struct flo_err *err);
/* Makes an unsigned draft of the statement that follows `held`: its number is
 * one higher, and all else is equal. */
FLO_MUST_USE int flo_trust_next(const struct flo_trust *held, uint64_t now_ms,
                                struct flo_trust **out, struct flo_err *err);
/* Appends the draft to `out` as an envelope without signatures.  Raises the
 * epoch where the keys' change from `held` requires it.  Fails as
 * flo_trust_parse does. */
FLO_MUST_USE int flo_trust_draft(struct flo_trust *draft, const struct flo_trust *held,
                                 struct flo_buf *out, struct flo_err *err);
/* Parses a draft of a statement, which may have any number of signatures. */
FLO_MUST_USE int flo_trust_draft_parse(const char *json, size_t bytes, struct flo_trust **out,
                                       struct flo_err *err);
struct flo_key; /* base/host/crypto.h */
/* Adds one signature to a draft. */
FLO_MUST_USE int flo_trust_sign(struct flo_trust *draft, const struct flo_key *key,
                                struct flo_err *err);
/* Numbers of signatures by keys of the draft itself and of the statement `held`
 * before it: present, and needed. */
struct flo_trust_counters {
    uint32_t own, own_needed;
    uint32_t held, held_needed;
};
/* Counts a draft's signatures.  With `held` NULL only the draft's own keys
 * count. */
FLO_MUST_USE int flo_trust_count_up(const struct flo_trust *draft, const struct flo_trust *held,
                                    struct flo_trust_counters *out, struct flo_err *err);

/* ---- verify ---- */

/* Result of a verification.  The id of a release is the digest of its signed
 * body.  Other white space or other signatures around the body do not change
 * it. */
struct flo_release_verified {
    struct flo_digest digest; /* SHA-256 of the body: the release's id */
    char keyid[FLO_KEYID_TEXT];
    uint32_t publishers;        /* valid signatures by trusted publishers */
    struct flo_release release; /* parsed */
    char *body;                 /* body as signed, NUL-terminated */
    size_t body_bytes;
};

struct flo_order_verified {
    char keyid[FLO_KEYID_TEXT];
    unsigned role;          /* FLO_ROLE_ORDER or FLO_ROLE_EMERGENCY */
    struct flo_digest body; /* SHA-256 of the signed bytes */
    struct flo_order order;
};

/* Verifies the envelope of a release that may run in this fleet.  It has valid
 * signatures by as many keys of the role as flo_trust_publishers() says.
 * Signatures by unknown keys are ignored, but a bad one by a trusted key is not.
 *
 *   FLO_E_SIG_MISSING      no signature
 *   FLO_E_SIG_UNKNOWN_KEY  none by a key of the role (the error names the keyid)
 *   FLO_E_SIG_REVOKED_KEY  the same, and one is by a revoked key
 *   FLO_E_TARGET_REVOKED   a trust statement revoked this release
 *   FLO_E_TRUST_PUBLISHERS too few publishers signed it
 *   FLO_E_SIG_BAD          the signature is wrong
 *   FLO_E_SIG_FORMAT       not 64 bytes of base64, more than 8 signatures, or
 *                          a non-canonical envelope or signature
 *   FLO_E_META_...         JSON, depth, size, schema, name, other type, fleet
 */
FLO_MUST_USE int flo_release_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                                    struct flo_release_verified *out, struct flo_err *err);
/* Verifies as flo_release_verify does, but one publisher is enough: others may
 * sign later.  Nothing may run that only passed here. */
FLO_MUST_USE int flo_release_verify_draft(const void *data, size_t bytes,
                                          const struct flo_trust *trust,
                                          struct flo_release_verified *out, struct flo_err *err);
void flo_release_verified_deinit(struct flo_release_verified *verified);

/* Verifies an envelope as flo_release_verify does, for an order.  The device's
 * core, not this function, checks clock, scope, epoch and sequence number.
 * Returns FLO_E_CMD_FORMAT when a correctly signed body is not a known order;
 * out->order is then set as flo_order_parse says. */
FLO_MUST_USE int flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                                  struct flo_order_verified *out, struct flo_err *err);

struct flo_newest;
/* Verifies the envelope of a newest statement, as flo_release_verify does: an
 * order key signs it.  The device's core (agent/core/silence.h) checks number
 * and times. */
FLO_MUST_USE int flo_newest_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                                   struct flo_newest *out, struct flo_err *err);

/* ---- sign (publishers and the controller's order key) ---- */

/* Signs a document and appends its DSSE envelope to `out`.  The body is parsed
 * first: a document that devices would refuse is not signed.  Fails as the
 * parser of releases does. */
FLO_MUST_USE int flo_release_sign(const char *body, size_t bytes, const struct flo_key *key,
                                  struct flo_buf *out, struct flo_err *err);
/* Adds a signature to an envelope, or replaces the one by this key.
 * FLO_E_SIG_FORMAT: the envelope has no room. */
FLO_MUST_USE int flo_envelope_sign(struct flo_envelope *envelope, const struct flo_key *key,
                                   struct flo_err *err);
/* Signs an order as flo_release_sign does a release.  Fails as the parser of
 * orders does. */
FLO_MUST_USE int flo_order_sign(const char *body, size_t bytes, const struct flo_key *key,
                                struct flo_buf *out, struct flo_err *err);

/* Signs a newest statement and appends its envelope to `out`. */
FLO_MUST_USE int flo_newest_sign(const struct flo_newest *newest, const struct flo_key *key,
                                 struct flo_buf *out, struct flo_err *err);

/* ---- model scan ---- */

/* Reads a GGUF file once by pread: computes its SHA-256 and checks that every
 * float and block scale is finite.  `digest` and `bytes` may be NULL; both are
 * also set after FLO_E_MODEL_NONFINITE, whose message names tensor and element.
 * FLO_E_GGUF_... (malformed), FLO_E_IO_READ. */
FLO_MUST_USE int flo_model_scan(int fd, struct flo_digest *digest, uint64_t *bytes,
                                struct flo_err *err);

/* Scans a model or adapter of any runtime as flo_model_scan does.  A file that
 * begins as GGUF, or is safetensors by name or first bytes, is checked.  Any
 * other file is only hashed.  Also FLO_E_SAFETENSORS. */
FLO_MUST_USE int flo_file_scan(int fd, const char *name, struct flo_digest *digest, uint64_t *bytes,
                               struct flo_err *err);

/* ---- deltas ---- */

#define FLO_DELTA_MEMORY_BYTES_MAX (16u << 20)
#define FLO_ZSTD_WINDOW_LOG_MAX 23

struct flo_delta_job {
    /* codec of the patch; with `adapter` the job fails with FLO_E_NOT_BUILT */
    enum flo_codec codec;
    int patch_fd; /* descriptor of the patch, a regular file, read by pread */
    int base_fd;  /* descriptor of the base, a regular file, read by pread; -1: none */
    /* Digest of the base.  Unless it is NULL, the whole base is hashed before
     * the first byte is written; another digest is FLO_E_PATCH_BASE_CORRUPT. */
    const struct flo_digest *base_digest;
    uint64_t new_bytes; /* signed size of the result; a patch for another size is refused */
    /* signed digest of the result; NULL: not compared (a tool without a
     * release) */
    const struct flo_digest *new_digest;
    uint64_t memory_bytes_max; /* 0: FLO_DELTA_MEMORY_BYTES_MAX */
    /* Signed digest of a tensor1 patch's head, for a patch that is still
     * downloading.  The head verifies the rest.  NULL: the patch is
     * complete. */
    const struct flo_digest *head;
    /* Waits until the file has the patch's bytes before `end`.  A non-zero
     * return (negative code) stops the work.  NULL: the patch is complete. */
    int (*on_need)(void *context, uint64_t end, struct flo_err *err);
    /* File that may hold the first done_bytes of the result, to resume tensor1
     * after a power cut; done_bytes 0: none.  Each part in it is verified, and
     * on_data gets the parts that follow. */
    int done_fd;
    uint64_t done_bytes;
    /* Called with the number of result bytes that done_fd already has.
     * Or NULL. */
    int (*on_resume)(void *context, uint64_t kept, struct flo_err *err);
    /* Receives the result in order, at most 1 MiB per call.  A non-zero return
     * (negative code) stops the work.  The whole digest is verified only after
     * the last call.  So write to a name that nobody reads until
     * flo_delta_apply has returned 0. */
    int (*on_data)(void *context, const void *data, size_t bytes, struct flo_err *err);
    /* Called with the progress.  May be NULL.  A non-zero return (negative
     * code) cancels the work. */
    int (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Applies a patch to the base.
 *
 *   FLO_E_PATCH_FORMAT, _TRUNCATED, _BOUNDS, _STREAM   a broken patch
 *   FLO_E_PATCH_LIMIT    another size than signed, or too much memory
 *   FLO_E_TARGET_HASH    the result does not have new_digest
 *   FLO_E_IO_READ        a file cannot be read */
FLO_MUST_USE int flo_delta_apply(const struct flo_delta_job *job, struct flo_digest *digest,
                                 struct flo_err *err);
/* Tells whether this build can decode the codec. */
bool flo_delta_codec_is_built(enum flo_codec codec);
/* Checks that this build can decode the codec.  The error names the option that
 * adds it.
 * FLO_E_NOT_BUILT  this build cannot decode it */
FLO_MUST_USE int flo_delta_codec_check(enum flo_codec codec, struct flo_err *err);

struct flo_delta_made {
    enum flo_codec codec; /* the codec that was chosen */
    uint64_t bytes;       /* size of the patch */
    uint64_t old_bytes;
    uint64_t new_bytes;
    uint64_t full_bytes; /* size of the smallest full download, which needs no base */
    uint64_t create_ms;
    struct flo_digest old_digest;
    struct flo_digest new_digest;
    struct flo_digest digest; /* SHA-256 of the patch */
};

/* Options for making a patch; a struct of zeros means the defaults. */
struct flo_delta_making {
    unsigned threads; /* threads of a tensor1 delta; 0: one per core, at most 12 */
    /* Called on the caller's thread with the bytes of the new file that tensor1
     * has coded.  May be NULL. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    void *context;
};

/* Makes a patch.  Publishers only: both files are mapped, and bsdiff40 needs 5
 * bytes of memory per byte of old, 9 above 2 GiB.  tensor1 needs at most 64 MiB
 * and gives the same bytes with any number of threads.
 *
 * word: a codec (raw zstd bsdiff40 tensor1), or the smallest result of
 *   full   raw and zstd
 *   delta  tensor1; also bsdiff40 where old or new is not GGUF and old has 256
 *          MiB at most, or where tensor1 refuses the pair
 *   auto   both
 *
 * patch_fd is truncated and written; `making` may be NULL.  FLO_E_NOT_BUILT,
 * FLO_E_MEMORY, FLO_E_IO_READ, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_delta_create(const char *word, int old_fd, int new_fd, int patch_fd,
                                  const struct flo_delta_making *making, struct flo_delta_made *out,
                                  struct flo_err *err);

struct flo_delta_facts {
    enum flo_codec codec;
    uint64_t patch_bytes;
    uint64_t new_bytes;     /* size of the patched file; 0: the patch does not tell it */
    uint64_t control_bytes; /* bsdiff40: bytes of the compressed control part */
    uint64_t diff_bytes;
    uint64_t extra_bytes;
    uint64_t memory_bytes;  /* bytes of memory that flo_delta_apply needs */
    unsigned window_log;    /* zstd */
    uint32_t part_count;    /* tensor1 */
    uint64_t index_bytes;   /* tensor1: bytes of the index in the patch */
    struct flo_digest head; /* tensor1: digest of the head */
};
/* Identifies a patch file by its first bytes.  A file without a known magic
 * number is raw. */
FLO_MUST_USE int flo_delta_inspect(int patch_fd, struct flo_delta_facts *out, struct flo_err *err);

/* ---- bundles ---- */

#define FLO_BUNDLE_ENTRIES_MAX 1024
#define FLO_BUNDLE_RELEASES_MAX 8

struct flo_bundle_facts {
    /* Releases in the order of installation. */
    struct flo_digest releases[FLO_BUNDLE_RELEASES_MAX];
    uint32_t release_count;
    uint64_t bytes; /* sum of the blobs, decompressed */
    unsigned blobs;
    bool compressed;
};

#define FLO_BUNDLE_TRUST_BYTES_MAX (512 * 1024)
/* Callbacks of the reader.  Each may be NULL.  A non-zero return (a negative
 * code) stops the reader. */
struct flo_bundle_handlers {
    void *context;
    /* Called before all other callbacks with the unparsed trust statements,
     * {"v":1,"statements":[...]}.  The releases are verified by the keys that
     * flo_bundle_read got.  NULL: they are ignored. */
    int (*on_trust)(void *context, const char *text, size_t bytes, struct flo_err *err);
    /* Called for each release, after it is verified and before the blobs.
     * `verified` is borrowed until flo_bundle_read returns.  Or NULL. */
    int (*on_release)(void *context, const struct flo_release_verified *verified,
                      const void *envelope, size_t envelope_bytes, struct flo_err *err);
    /* Called when a blob begins.  *wanted is true; the callback sets it to
     * false to skip the data, which is hashed all the same.  NULL: the reader
     * gives the data of all blobs. */
    int (*on_blob)(void *context, const struct flo_digest *digest, uint64_t bytes, bool *wanted,
                   struct flo_err *err);
    /* Or NULL. */
    int (*on_data)(void *context, const void *data, size_t bytes, struct flo_err *err);
    /* Called at the end for each release of which no variant is complete.
     * `file` is the missing file of the variant that lacks least.  NULL: such a
     * bundle is FLO_E_BUNDLE_MISSING. */
    int (*on_lacking)(void *context, const struct flo_release *release,
                      const struct flo_release_file *file, struct flo_err *err);
    /* Called when size and digest of a blob are verified.  Or NULL. */
    int (*on_blob_end)(void *context, const struct flo_digest *digest, struct flo_err *err);
};

/* Reads a bundle from front to back with at most 12 MiB of memory.
 *
 * A bundle may begin with `trust.json`.  Then comes `release.json` (the
 * envelope), or `release-0.json` to `release-7.json`.  Then come
 * `blobs/sha256-<hex>`: downloads and chunk lists of these releases.  For each
 * release there is at least one download of each file of some variant, unless
 * on_lacking accepts that.  The format is plain tar or tar.zst.
 * FLO_E_BUNDLE_..., FLO_E_TARGET_HASH, FLO_E_IO_OPEN (not a regular file),
 * FLO_E_IO_READ, or the error of flo_release_verify.  The receiver must drop a
 * blob that began and did not end. */
FLO_MUST_USE int flo_bundle_read(const char *path, const struct flo_trust *trust,
                                 const struct flo_bundle_handlers *handlers,
                                 struct flo_bundle_facts *out, struct flo_err *err);

struct flo_bundle_document {
    const void *envelope;
    size_t bytes;
};

struct flo_bundle_spec {
    /* Envelopes of releases, 1 to FLO_BUNDLE_RELEASES_MAX, in any order.  In
     * the bundle a base comes before its adapters, and a model's smaller
     * release number before the larger. */
    const struct flo_bundle_document *documents;
    size_t document_count;
    const struct flo_bundle_document *trust; /* statements; NULL: none */
    const char *blob_dir;                    /* holds sha256-<hex> files */
    /* Digests of the downloads to include.  An empty list means for each file
     * the smallest one that needs no base. */
    const struct flo_digest *blobs;
    size_t blob_count;
    /* Name of a variant: releases that have it give only its files.  NULL:
     * files of all variants. */
    const char *variant;
    const char *const *without; /* names of files that devices have already */
    size_t without_count;
    bool compress; /* tar.zst */
};
/* Tells whether a bundle of this spec would contain a file of the release;
 * `blobs` is not considered. */
bool flo_bundle_takes(const struct flo_bundle_spec *spec, const struct flo_release *release,
                      uint32_t file);
/* Checks a spec.  Returns FLO_E_USAGE when no release has a variant or file
 * named in it, when a release has no file left, or when one is listed twice. */
FLO_MUST_USE int flo_bundle_check(const struct flo_bundle_spec *spec,
                                  const struct flo_release *const *releases, size_t count,
                                  struct flo_err *err);
/* Writes a bundle to a temporary file next to `path` and renames it.  Returns
 * FLO_E_BUNDLE_MISSING when a blob is not in blob_dir, and FLO_E_TARGET_HASH
 * when a blob has other bytes. */
FLO_MUST_USE int flo_bundle_create(const char *path, const struct flo_bundle_spec *spec,
                                   struct flo_bundle_facts *out, struct flo_err *err);

/* ---- authoring a release ---- */

#define FLO_AUTHOR_BASES_MAX 6

struct flo_author_file {
    const char *name; /* name in the release, such as model.gguf */
    const char *role; /* role of the file, such as "model", "golden", "adapter" or "draft" */
    const char *path;
    uint32_t scale_ppm; /* scale of an adapter, in millionths; 0: unchanged */
    /* The file as an earlier release published it: its downloads are used
     * again, and `path` and bases are ignored.  NULL: not published. */
    const struct flo_release_file *published;
    /* Paths of files of earlier releases, which are bases of deltas. */
    const char *base_paths[FLO_AUTHOR_BASES_MAX];
    size_t base_count;
};

struct flo_author_variant {
    const char *name;
    /* Needs of the variant from proto/release.def.  Words end at the first NULL
     * (none: any will do); a number 0 is not set. */
#define FLO_RELEASE_WORDS(name, meaning) const char *name[FLO_NEED_WORDS_MAX];
#define FLO_RELEASE_NEED(name, type, most, key, meaning) type name;
#include "proto/release.def"
    const char *runtime; /* NULL: native */
    /* name of the file to serve; NULL: the first model, for a native variant */
    const char *entry;
    /* names of its files; NULL first: every file of the release */
    const char *files[FLO_RELEASE_FILES_MAX + 1];
};

struct flo_author {
    const char *fleet;
    const char *model;
    const char *version;
    uint64_t number;
    /* Texts of the release from proto/release.def.  NULL: the text is not
     * set. */
#define FLO_RELEASE_TEXT(name, bytes, value, meaning) const char *name;
#include "proto/release.def"
    /* text for display that says where the model comes from; NULL: not set */
    const char *source;
    const char *base;
    uint64_t created_at_ms;
    const struct flo_author_file *files;
    size_t file_count;
    /* variants of the release; none: there is one, named "default" */
    const struct flo_author_variant *variants;
    size_t variant_count;
    uint64_t floor;                 /* 0: none */
    struct flo_digest base_release; /* base release of the adapters; zero: none */
    uint64_t base_number;
    const struct flo_release_serve *serve; /* how to serve the release; NULL: not set */
    /* the probe's limit of time per token against the running release; 0:
     * 1.5 */
    double speed_ratio_max;
    uint64_t memory_bytes_max; /* the probe's limit on memory; 0: not set */
    bool allow_nonfinite;      /* true: models are not scanned (tests, demo) */
    /* Called each second during a long step, with the step's name ("model.gguf:
     * zstd") and the seconds since it began.  May be NULL. */
    void (*progress)(void *context, const char *what, uint64_t seconds);
    void *progress_context;
};

struct flo_author_blob {
    struct flo_digest digest;
    uint64_t bytes;
    char file[FLO_FILE_NAME_MAX + 1]; /* name of the file that the blob belongs to */
    bool is_chunk_list;               /* true: a list of chunk hashes; false: a download */
    enum flo_codec codec;
    struct flo_digest base; /* file that a delta starts from; zero: none */
    uint64_t create_ms;
    /* false: the download was made and measured, but saves too little, so no
     * blob is written */
    bool kept;
};

struct flo_author_result {
    struct flo_buf body; /* the document, to be signed */
    struct flo_author_blob *blobs;
    size_t blob_count;
    size_t blob_room;
};

/* Makes the downloads of all files (raw, compressed, deltas), and writes the
 * useful ones as out_dir/sha256-<hex>.  Writes the document into out->body.
 * raw is always kept, zstd when it saves 3 %, a bsdiff40 delta when it is at
 * most half of the smaller one of these.  Publishers' machines only.  A model
 * that devices would refuse is FLO_E_MODEL_NONFINITE or FLO_E_GGUF_.... */
FLO_MUST_USE int flo_release_build(const struct flo_author *author, const char *out_dir,
                                   struct flo_author_result *out, struct flo_err *err);
/* Makes the release that flo_release_build() would make, but without downloads
 * and chunk hashes, and without checking models.  A file with the path "" does
 * not exist yet and has no digest.  The caller frees the result with
 * flo_release_free(). */
FLO_MUST_USE int flo_release_outline(const struct flo_author *author, struct flo_release **out,
                                     struct flo_err *err);
/* Tells whether the existing release was made from other inputs than the
 * outline.  Writes the differing inputs to `out`: "the model model.gguf", "the
 * variant q4", "the label". */
bool flo_release_differs(const struct flo_release *there, const struct flo_release *outline,
                         char *out, size_t out_bytes);
void flo_author_result_deinit(struct flo_author_result *result);

/* ---- plan ---- */

#define FLO_PROFILE_ENGINES_MAX 64
#define FLO_PROFILE_ENGINE_ANY "*"
#define FLO_PROFILE_RUNTIMES_MAX 8
#define FLO_PLAN_MEMORY_BYTES (32u * 1024 * 1024)

/* Time that a variant took per token on a device, next to another variant of the
 * same model file. */
struct flo_speed_row {
    char model[FLO_NAME_MAX + 1];
    char variant[FLO_NAME_MAX + 1];
    char runtime[32];  /* the variant's runtime */
    uint64_t bytes;    /* size of the model file */
    uint64_t token_us; /* in microseconds; 0: the variant failed */
};
#define FLO_SPEED_ROWS_MAX 16
/* A variant replaces another one if it takes at most this part of its time. */
#define FLO_SPEED_PERCENT_MAX 90
struct flo_speeds {
    struct flo_speed_row rows[FLO_SPEED_ROWS_MAX]; /* the oldest first */
    size_t count;
};

/* Properties of a device that a release may require. */
struct flo_profile {
    char arch[16]; /* "x86_64", "aarch64" */
    /* GGUF architectures that the device can run; none: "llama".
     * FLO_PROFILE_ENGINE_ANY means others as well, by llama.cpp's library. */
    char engine[FLO_PROFILE_ENGINES_MAX][16];
    char runtimes[FLO_PROFILE_RUNTIMES_MAX][32]; /* runtimes other than native that are ready */
    char accelerators[4][16];
    uint64_t memory_bytes_per_s; /* measured memory bandwidth, in bytes per second; 0: unknown */
    struct flo_speeds speeds;    /* measured speeds of variants; no row: none was measured */
    uint64_t memory_bytes;       /* bytes of memory for the model; 0: unknown, not checked */
    uint64_t disk_free_bytes;    /* free bytes of the state directory's disk */
    /* bytes of cached beginnings of prompts, which may be removed and so count
     * as free */
    uint64_t kept_bytes;
    /* bytes of the prompt's beginning that the device will cache for this
     * release */
    uint64_t prefix_bytes;
    /* true: the device also packs the model, so both need disk space */
    bool packs;
};
/* Reads a profile (contracts/messages.md section 3) and ignores unknown
 * members.  Only runtimes whose `state` is "ready" count.
 * FLO_E_META_SCHEMA. */
struct json_t;
FLO_MUST_USE int flo_profile_parse(const struct json_t *profile, struct flo_profile *out,
                                   struct flo_err *err);
struct flo_plan_input {
    const struct flo_release *release;
    const struct flo_profile *profile;
    const struct flo_digest *present; /* artifacts that are on the disk */
    size_t present_count;
    /* damaged files on the disk, of which only the bad chunks are fetched */
    const struct flo_digest *damaged;
    size_t damaged_count;
    uint64_t memory_bytes_max; /* memory that decoding may use; 0: FLO_PLAN_MEMORY_BYTES */
    /* Downloads that have already failed: for each file one bit per download,
     * by its index in the file's `ways`. */
    uint32_t ways_failed[FLO_RELEASE_FILES_MAX];
    /* List of the only artifacts that can be fetched (those of a bundle).
     * NULL: mirrors have every artifact. */
    const struct flo_digest *offered;
    size_t offered_count;
    const char *variant; /* name of the only variant to plan; NULL: the first that fits */
};
struct flo_plan {
    uint32_t variant;
    uint64_t fetch_bytes; /* bytes to fetch over the network */
    uint64_t full_bytes;  /* bytes to fetch if all files were fetched raw */
    uint64_t disk_bytes;  /* peak use of disk in bytes, packed_bytes and prefix_bytes included */
    /* most bytes of packed weights; 0: no room, or the device does not pack */
    uint64_t packed_bytes;
    uint64_t prefix_bytes; /* bytes for the cached beginning of prompts; 0: no room for it */
    uint64_t drop_bytes;   /* bytes of cached beginnings of prompts that must be removed first */
    enum flo_codec codec;  /* codec of the largest file that is fetched */
    uint32_t step_count;
    struct {
        uint8_t file; /* index into release->files */
        uint8_t way;  /* index of the chosen download in the file's `ways` */
        bool is_present;
    } steps[FLO_RELEASE_FILES_MAX];
    /* why the downloads were chosen, such as "smallest way" or "no room for a
     * smaller way" */
    char reason[96];
    /* why each earlier variant was not chosen: "gpu needs accelerator cuda", "gpu
     * took 3.10 ms per token here, native 0.80" */
    char chosen[256];
};
/* Text of `chosen` for the release's first variant. */
#define FLO_PLAN_FIRST "the first variant"
/* Chooses the first variant that fits by arch, engine, runtime, accelerators,
 * memory, speed and disk; publishers list the best one first.  A device without
 * a measured bandwidth takes a variant that requires a rate only if it is the
 * last one.  Among variants of the same model file it chooses by the speeds that
 * the device measured (flo_plan_fastest).
 *
 * For each file it chooses the smallest download whose base is on disk and
 * whose memory fits.  If the disk has no room for that, it fetches the file
 * itself.  Messages contain the numbers.
 *
 * Fails with FLO_E_TARGET_INCOMPATIBLE, FLO_E_MEMORY_BUDGET (a variant fits
 * except for memory), FLO_E_DISK_FULL or FLO_E_BLOB_ABSENT (a file has no
 * possible download). */
FLO_MUST_USE int flo_plan_make(const struct flo_plan_input *input, struct flo_plan *out,
                               struct flo_err *err);
/* Returns the index of the largest variant that fits and needs less memory than
 * `variant`, or -1 when there is none.  Both variants are models of our engine,
 * without adapters. */
int flo_plan_smaller(const struct flo_release *release, const struct flo_profile *profile,
                     uint32_t variant);
/* Returns the variant that is fastest on this device, among those that fit and
 * serve the model file of `variant` without an adapter
 * (FLO_SPEED_PERCENT_MAX). */
uint32_t flo_plan_fastest(const struct flo_release *release, const struct flo_profile *profile,
                          uint32_t variant);
/* Returns the first variant that flo_plan_fastest() could choose in place of
 * `variant`, but whose speed next to it is not measured; -1: there is none. */
int flo_plan_unmeasured(const struct flo_release *release, const struct flo_profile *profile,
                        uint32_t variant);
/* Stores the time per token of a variant, in place of its earlier time. */
void flo_speeds_put(struct flo_speeds *speeds, const struct flo_release *release, uint32_t variant,
                    uint64_t token_us);
/* Reads and makes the member `speeds` of a profile.  An absent list is empty; of
 * a longer one the newest rows count.  FLO_E_META_SCHEMA. */
FLO_MUST_USE int flo_speeds_parse(const struct json_t *profile, struct flo_speeds *out,
                                  struct flo_err *err);
struct json_t *flo_speeds_json(const struct flo_speeds *speeds);
/* Returns the memory of a variant in bytes: the release's figure, or else the
 * size of the variant's files. */
uint64_t flo_plan_memory_bytes(const struct flo_release *release, uint32_t variant);

#endif
