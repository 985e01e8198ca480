/* Flotilla proto: the words that parts say to each other.
 *
 * Topics, states, metrics, the release document and the order as plain
 * structs, with strict readers and canonical writers.  Pure: no clock, no
 * file, no socket.  Formats: docs/internals/contracts.md.  A reader fills
 * `out` only when everything fits; strings inside are copies, so the JSON may
 * be freed. */
#ifndef FLOTILLA_PROTO_H
#define FLOTILLA_PROTO_H

#include <flotilla/base.h>

/* ---- tables ---- */

enum flo_execution {
#define FLO_EXECUTION(name, word, kind, meaning) FLO_EXECUTION_##name,
#include "proto/execution.def"
#undef FLO_EXECUTION
    FLO_EXECUTION_COUNT
};
enum flo_execution_kind {
    FLO_EXECUTION_WAY,
    FLO_EXECUTION_END_GOOD,
    FLO_EXECUTION_END_BAD,
    FLO_EXECUTION_END_OTHER
};
const char *flo_execution_word(enum flo_execution state);
enum flo_execution_kind flo_execution_kind(enum flo_execution state);
bool flo_execution_is_end(enum flo_execution state);
bool flo_execution_parse(const char *word, enum flo_execution *out);

enum flo_order_op {
#define FLO_ORDER(name, word, subject, rank, signer, asker, meaning) FLO_ORDER_##name,
#include "proto/orders.def"
#undef FLO_ORDER
    FLO_ORDER_COUNT
};
/* The subject of an order. */
enum flo_order_subject {
    FLO_ORDER_SUBJECT_MODEL,
    FLO_ORDER_SUBJECT_ROLLOUT,
    FLO_ORDER_SUBJECT_FREEZE,
    FLO_ORDER_SUBJECT_CONFIG,
    FLO_ORDER_SUBJECT_REPORT,
    FLO_ORDER_SUBJECT_GROUPS
};
struct flo_order_fact {
    const char *word;
    enum flo_order_subject subject;
    int rank;          /* in a group's list, the highest first; 0: never there */
    bool is_emergency; /* a key with the role `emergency` may sign it */
    bool is_peoples;   /* POST /v1/orders takes it */
};
/* Facts of proto/orders.def. */
const struct flo_order_fact *flo_order_fact(enum flo_order_op op);
const char *flo_order_op_word(enum flo_order_op op);
bool flo_order_op_parse(const char *word, enum flo_order_op *out);

enum flo_metric_kind { FLO_METRIC_HISTOGRAM, FLO_METRIC_COUNTER, FLO_METRIC_GAUGE };
/* A metric is its place in proto/metrics.def.  Names of places are in
 * <flotilla/metrics.h>, and so is FLO_METRIC_COUNT; structs of headers have
 * room for FLO_METRICS_MAX. */
#define FLO_METRICS_MAX 32
struct flo_metric_fact {
    const char *word;
    enum flo_metric_kind kind;
    const char *unit;
    int64_t least;
    const char *meaning;
};
const struct flo_metric_fact *flo_metric_fact(int metric);
bool flo_metric_parse(const char *word, int *out);

/* ---- topics ---- */

enum flo_topic {
#define FLO_TOPIC(name, path, writer, retained, qos, meaning) FLO_TOPIC_##name,
#include "proto/topics.def"
#undef FLO_TOPIC
    FLO_TOPIC_COUNT
};
struct flo_topic_fact {
    const char *path;
    bool is_device_writing;
    bool is_retained;
    int qos;
    const char *meaning;
};
const struct flo_topic_fact *flo_topic_fact(enum flo_topic topic);

#define FLO_TOPIC_TEXT 256
/* Topic of a device or group (`key`: id, group, or "+" to subscribe to all;
 * ignored by c/…). `out` holds FLO_TOPIC_TEXT. FLO_E_MQTT_TOPIC when fleet
 * or key are not valid names. */
FLO_MUST_USE int flo_topic_build(enum flo_topic topic, const char *fleet, const char *key,
                                 char *out, struct flo_err *err);
/* Filter of all that the controller says to everybody, c/+, in one: a broker
 * may look at all subscribers of a topic for each that comes. */
FLO_MUST_USE int flo_topic_common(const char *fleet, char *out, struct flo_err *err);
/* Which topic of this fleet it is and whose; `key` holds FLO_NAME_MAX + 1.
 * FLO_E_MQTT_TOPIC. */
FLO_MUST_USE int flo_topic_parse(const char *text, const char *fleet, enum flo_topic *topic,
                                 char *key, struct flo_err *err);

/* ---- DSSE envelope ---- */

#define FLO_TYPE_RELEASE "application/vnd.flotilla.release.v2+json"
#define FLO_TYPE_RELEASE_1 "application/vnd.flotilla.release.v1+json"
#define FLO_TYPE_ORDER "application/vnd.flotilla.order.v1+json"
#define FLO_TYPE_TRUST "application/vnd.flotilla.trust.v1+json"
#define FLO_ENVELOPE_BYTES_MAX (256 * 1024)
#define FLO_RELEASE_BYTES_MAX (160 * 1024)
#define FLO_ORDER_BYTES_MAX (4 * 1024)
#define FLO_SIGNATURES_MAX 8

/* An envelope taken apart; nothing in it is trusted yet.  Zero-initialise;
 * flo_envelope_deinit frees. */
struct flo_envelope {
    char type[80];
    char *body; /* decoded payload, NUL-terminated */
    size_t body_bytes;
    size_t signature_count;
    struct {
        char keyid[65];
        uint8_t signature[64]; /* r || s */
    } signatures[FLO_SIGNATURES_MAX];
};
/* One text is right for one content: keys sorted, no blanks, no other keys,
 * signatures sorted by keyid, each keyid once; else sig.format.  sig.missing,
 * meta.json, meta.schema, meta.too_large, meta.wrong_type when `type` is not
 * the expected one.  FLO_TYPE_RELEASE also takes FLO_TYPE_RELEASE_1. */
FLO_MUST_USE int flo_envelope_parse(const char *text, size_t bytes, const char *type,
                                    struct flo_envelope *out, struct flo_err *err);
/* The same for a document that is still passed round to be signed: it may have
 * no signature yet. */
FLO_MUST_USE int flo_envelope_parse_draft(const char *text, size_t bytes, const char *type,
                                          struct flo_envelope *out, struct flo_err *err);
void flo_envelope_deinit(struct flo_envelope *envelope);
/* The bytes that are signed: DSSEv1 pre-authentication encoding. */
void flo_envelope_signed_bytes(const char *type, const void *body, size_t body_bytes,
                               struct flo_buf *out);
/* Write an envelope with the signatures in it, which are sorted by keyid: the
 * text that flo_envelope_parse takes. */
void flo_envelope_write(const struct flo_envelope *envelope, struct flo_buf *out);

/* ---- release document ---- */

#define FLO_RELEASE_JUMP_MAX 1000000 /* how far a release's number may jump */
#define FLO_RELEASE_FILES_MAX 64
#define FLO_RELEASE_WAYS_MAX 8
#define FLO_RELEASE_VARIANTS_MAX 8
#define FLO_RELEASE_ADAPTERS_MAX 8 /* adapters in a variant */
#define FLO_RELEASE_GOLDEN_MAX 4
#define FLO_RELEASE_CHUNKS_MAX 65536 /* chunks of a file */
#define FLO_RELEASE_NO_FILE 255      /* in place of a file's index */
#define FLO_FILE_NAME_MAX 128
#define FLO_FILE_NAME_PARTS_MAX 4
#define FLO_RUNTIME_NATIVE "native"
#define FLO_SCALE_PPM 1000000 /* an adapter as it is */
#define FLO_SCALE_PPM_MAX 10000000
#define FLO_SERVE_SYSTEM_BYTES_MAX 8192
#define FLO_SERVE_SESSIONS_MAX 64

enum flo_codec {
    FLO_CODEC_RAW,
    FLO_CODEC_ZSTD,
    FLO_CODEC_BSDIFF40,
    FLO_CODEC_TENSOR1,
    FLO_CODEC_ADAPTER,
    FLO_CODEC_COUNT
};
const char *flo_codec_word(enum flo_codec codec);
bool flo_codec_parse(const char *word, enum flo_codec *out);

/* One way to get a file: fetch `digest`, decode it (over `base`). */
struct flo_way {
    enum flo_codec codec;
    struct flo_digest digest; /* SHA-256 of the bytes to fetch */
    uint64_t bytes;
    struct flo_digest base; /* zero: needs none */
    uint64_t memory_bytes;  /* private memory that decoding needs; 0: small */
    /* Digest of a tensor1 patch's head: with it a device decodes what has come
     * of the patch, each payload checked.  Zero: it waits for all of it. */
    struct flo_digest head;
};
struct flo_release_file {
    char name[FLO_FILE_NAME_MAX + 1]; /* "onnx/config.json" */
    char role[16];                    /* "model" "adapter" "tokenizer" "config" "asset" "golden" */
    struct flo_digest digest;
    uint64_t bytes;
    uint32_t scale_ppm;           /* an adapter's scale; else 0 */
    uint64_t chunk_bytes;         /* 0: no chunk hashes */
    struct flo_digest chunk_list; /* blob of 32 bytes for each chunk */
    uint32_t way_count;
    struct flo_way ways[FLO_RELEASE_WAYS_MAX];
};
struct flo_release_variant {
    char name[FLO_NAME_MAX + 1];
    char arch[4][16];        /* empty: any */
    char engine[4][16];      /* GGUF architectures that must be supported */
    char runtime[32];        /* FLO_RUNTIME_NATIVE or one of the device's own */
    char accelerator[4][16]; /* each must be there */
    uint64_t memory_bytes;
    uint64_t disk_bytes;
    uint32_t context;
    uint64_t bytes_per_token; /* read from memory for one token */
    uint64_t rate_mtps;       /* thousandths of a token each second; 0: any */
    uint32_t file_count;
    uint8_t files[FLO_RELEASE_FILES_MAX]; /* indices into flo_release.files */
    uint8_t entry;                        /* index into flo_release.files; FLO_RELEASE_NO_FILE */
};
/* How a release wants to be served.  Negative: not said. */
struct flo_release_sampling {
#define FLO_SAMPLING(name, max, meaning) int64_t name;
#include "proto/sampling.def"
#undef FLO_SAMPLING
};
struct flo_release_serve {
    uint32_t context;  /* 0: not said */
    uint32_t sessions; /* 0: not said */
    char cache[16];    /* "f16" "f32" "q8_0" "q4_0"; empty: not said */
    char *system;      /* prompt of the system; NULL: not said.  Owned. */
    struct flo_release_sampling sampling;
    /* So many of 100 requests for that model go to this release, which stands
     * next to it.  Empty: only requests that name it. */
    char split_of[FLO_NAME_MAX + 1];
    uint32_t split_pct; /* 1 to 99 */
};
#define FLO_SPLIT_PCT_MAX 99
/* About 65 KB: allocate it. */
struct flo_release {
    char fleet[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    uint64_t number;
    uint64_t floor; /* no order goes below it after the commit; 0: none */
    char label[128];
    char license[64];
    uint64_t created_at_ms;
    struct flo_digest base; /* release that the adapters are for; zero: none */
    uint64_t base_number;
    uint32_t variant_count;
    struct flo_release_variant variants[FLO_RELEASE_VARIANTS_MAX];
    uint32_t file_count;
    struct flo_release_file files[FLO_RELEASE_FILES_MAX];
    uint32_t golden_count;
    uint8_t golden[FLO_RELEASE_GOLDEN_MAX]; /* indices into files */
    double probe_speed_ratio_max;           /* 0: not asked */
    uint64_t probe_memory_bytes_max;        /* 0: not asked */
    struct flo_release_serve serve;
    bool is_first; /* the document was of version 1 */
};
/* Read a release document's body, of version 1 too.  meta.* with the field's
 * path; `fleet` NULL: any, else meta.fleet when it differs. */
FLO_MUST_USE int flo_release_parse(const char *body, size_t bytes, const char *fleet,
                                   struct flo_release *out, struct flo_err *err);
void flo_release_deinit(struct flo_release *release);
/* The same into memory of its own; free takes NULL. */
FLO_MUST_USE int flo_release_new(const char *body, size_t bytes, const char *fleet,
                                 struct flo_release **out, struct flo_err *err);
void flo_release_free(struct flo_release *release);
/* Canonical body (sorted keys, compact).  Reading it gives the same struct. */
FLO_MUST_USE int flo_release_write(const struct flo_release *release, struct flo_buf *out,
                                   struct flo_err *err);
/* Every field as lines for people; texts of the publisher are cleaned. */
void flo_release_show(const struct flo_release *release, struct flo_buf *out);
/* Chunks of a file, the last one may be short; 0 without hashes. */
uint32_t flo_release_chunks(const struct flo_release_file *file);
/* A name of a file: at most 4 parts by `/`, each as a file on disk may be
 * called, none that leads out. */
bool flo_release_name_is_valid(const char *name);
/* Nothing is said; and back to that. */
void flo_release_serve_init(struct flo_release_serve *serve);
void flo_release_serve_deinit(struct flo_release_serve *serve);
/* A `config` file of a release: `serve` with the keys of that text over those
 * it has.  meta.* */
FLO_MUST_USE int flo_release_serve_parse(const char *text, size_t bytes,
                                         struct flo_release_serve *serve, struct flo_err *err);
/* The file of that name or role in a variant; NULL when absent. */
const struct flo_release_file *flo_release_find(const struct flo_release *release,
                                                const char *name);
const struct flo_release_file *flo_release_variant_file(const struct flo_release *release,
                                                        const struct flo_release_variant *variant,
                                                        const char *role);
/* The way with the fewest bytes that needs no base; NULL: there is none. */
const struct flo_way *flo_release_full_way(const struct flo_release_file *file);
/* The file that a variant serves: its entry, else its first model; NULL: a tree
 * without one. */
const struct flo_release_file *flo_release_entry(const struct flo_release *release,
                                                 const struct flo_release_variant *variant);
bool flo_release_is_native(const struct flo_release_variant *variant);
/* A file of role `step`: a version on the way to another file of the release
 * (updater/plan/chain.h).  No variant has it. */
bool flo_release_is_step(const struct flo_release_file *file);
/* "model@version" into `out` (2 * FLO_NAME_MAX + 2). */
void flo_release_title(const struct flo_release *release, char *out);
/* Split "model@version"; meta.name. */
FLO_MUST_USE int flo_release_title_parse(const char *text, char *model, char *version,
                                         struct flo_err *err);

/* ---- order ---- */

/* So many that devices of a fleet hardly ever share one: a phase of one device
 * is one device. */
#define FLO_BUCKETS 1000000000
#define FLO_ORDER_FROM_MAX 16
#define FLO_GROUPS_MAX 16              /* groups that a device is in, with `all` */
#define FLO_HEARTBEAT_MS_MIN 200       /* between two reports of a device */
#define FLO_HEARTBEAT_MS_MAX 604800000 /* a week */
/* Devices come back to a broker within a time of these bounds. */
#define FLO_RECONNECT_MS_MIN 500
#define FLO_RECONNECT_MS_MAX 300000

struct flo_scope {
    char group[FLO_NAME_MAX + 1]; /* "all": everybody; empty: device scope */
    char device[37];
    char salt[FLO_NAME_MAX + 1]; /* rollout id; empty: all buckets */
    uint32_t bucket_from;        /* [from, to) */
    uint32_t bucket_to;
};
/* The policy of an order; policy.def has units and bounds. */
struct flo_policy {
#define FLO_POLICY_WHOLE uint64_t
#define FLO_POLICY_REAL double
#define FLO_POLICY(name, kind, min, max, start, unit, meaning) FLO_POLICY_##kind name;
#include "proto/policy.def"
#undef FLO_POLICY
#undef FLO_POLICY_WHOLE
#undef FLO_POLICY_REAL
};
/* ---- slots ---- */

/* The candidate's place is empty after each of them. */
enum flo_slot_turn {
    FLO_TURN_CLEAR,  /* the candidate is forgotten, the others stay */
    FLO_TURN_COMMIT, /* previous <- current <- candidate */
    FLO_TURN_BACK,   /* current <- previous, which is empty then */
    FLO_TURNS
};
/* Three places of `bytes` each, for whatever names a release; zeros: empty. */
struct flo_places {
    void *current, *previous, *candidate;
    size_t bytes;
};
void flo_slots_turn(enum flo_slot_turn turn, const struct flo_places *places);

/* How an order stands against what a device keeps about its subject. */
enum flo_standing {
    FLO_STATEMENT_NEW,
    FLO_STATEMENT_AGAIN,      /* this very order holds already */
    FLO_STATEMENT_SUPERSEDED, /* something newer does */
};
/* The outcome of the newest statement about a model on this device. */
enum flo_stated_outcome {
    FLO_STATED_OPEN,
    FLO_STATED_DONE,
    FLO_STATED_REFUSED,
    FLO_STATED_FAILED, /* the execution ended badly */
};

/* Why a device does not take a release. */
enum flo_denial_cause {
    FLO_DENIAL_ALLOWED = 0,
    FLO_DENIAL_FAULT = 1,   /* the release failed here: wrong, NaN, crash */
    FLO_DENIAL_SPEED = 2,   /* the release was too slow here */
    FLO_DENIAL_MEMORY = 3,  /* the release took too much */
    FLO_DENIAL_ORDERED = 4, /* an order or an operator took it back */
    FLO_DENIAL_CAUSES
};
struct flo_order {
    char fleet[FLO_NAME_MAX + 1];
    char id[FLO_NAME_MAX + 1];
    enum flo_order_op op;
    bool is_emergency; /* by its key: another lane, with its own numbers */
    struct flo_scope scope;
    uint32_t epoch;
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    char by[FLO_NAME_MAX + 1];
    /* deploy, pause, resume, abort, rollback */
    char rollout[FLO_NAME_MAX + 1];
    uint32_t phase;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release; /* deploy */
    uint64_t number;           /* deploy: of the release; 0: not said */
    uint64_t lift;             /* deploy: denials up to that number hold no more */
    bool below_floor;          /* deploy: though it is older than what was committed */
    struct flo_policy policy;  /* deploy; defaults filled in */
    uint32_t from_count;       /* rollback, allow */
    struct flo_digest from[FLO_ORDER_FROM_MAX];
    uint64_t from_numbers[FLO_ORDER_FROM_MAX]; /* 0: not said */
    bool to_previous;
    struct flo_digest to; /* rollback to a named release */
    char reason[128];
    uint64_t heartbeat_ms; /* config */
    bool keeps_blobs;      /* remove: its files stay until the disk is short */
    uint32_t lines;        /* logs: the newest so many */
    uint64_t since_ms;     /* logs: and not older than this; 0: any */
    uint32_t group_count;  /* groups: at least one */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
};
#define FLO_LOG_LINES_MAX 4000 /* logs */

/* ---- desired, reported (contracts/messages.md section 3) ---- */

#define FLO_ASSIGNMENTS_MAX 8             /* models of a device */
#define FLO_REPORTED_MODELS_MAX 16        /* also those that were removed */
#define FLO_STATEMENTS_MAX 16             /* other orders in desired */
#define FLO_DESIRED_BYTES_MAX (48 * 1024) /* the whole document */
#define FLO_DESIRED_ORDER_BYTES_MAX 4096  /* one envelope in it */

/* One model of a desired document.  Only the order is signed: the rest is for
 * people and for the room on the disk. */
struct flo_assignment {
    char model[FLO_NAME_MAX + 1];
    uint64_t bytes; /* size of the release; 0: not said */
};

/* Hours of a day, on some days of the week.  They may pass midnight; their day
 * is that on which they open. */
struct flo_daily {
    uint32_t from_s;   /* second of the day, below 86400 */
    uint32_t length_s; /* up to a day; 0: always open */
    uint32_t days;     /* bit 0: Monday */
};
/* Open at this second since 1970, by the same clock (after 1970-01-01)?
 * *change_s: when that changes at the latest; INT64_MAX: never. */
bool flo_daily_is_open(const struct flo_daily *daily, int64_t at_s, int64_t *change_s);

void flo_policy_default(struct flo_policy *out);
/* Does the policy's window let a device begin?  *wait_ms: until it opens. */
bool flo_policy_is_open(const struct flo_policy *policy, uint64_t wall_ms, uint64_t *wait_ms);
/* Could an order say it? */
bool flo_policy_is_valid(const struct flo_policy *policy);
/* cmd.format with the field's path, meta.fleet.  With cmd.format *out has id,
 * numbers, times and scope, if they are good: then only what it asks for is
 * not known to this version.  Else its id is empty. */
FLO_MUST_USE int flo_order_parse(const char *body, size_t bytes, const char *fleet,
                                 struct flo_order *out, struct flo_err *err);
FLO_MUST_USE int flo_order_write(const struct flo_order *order, struct flo_buf *out,
                                 struct flo_err *err);
/* Bucket 0..FLO_BUCKETS - 1 of a device under a salt (contracts/documents.md
 * section 1). */
uint32_t flo_bucket(const char *salt, const char *device);
/* Does the scope name this device, a member of these groups? */
bool flo_scope_holds(const struct flo_scope *scope, const char *device,
                     const char (*groups)[FLO_NAME_MAX + 1], size_t group_count);

#endif
