/* Flotilla proto: the messages and documents that the programs exchange.
 *
 * Topics, states, metrics, the release document and the order as plain structs,
 * with strict readers and canonical writers.  All functions are pure: no clock,
 * no file, no socket.  Formats: docs/internals/contracts.md.  A reader fills
 * `out` only when the whole document is valid.  Strings in it are copies, so
 * the JSON may be freed. */
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
#define FLO_ORDER(name, word, subject, rank, signer, meaning) FLO_ORDER_##name,
#include "proto/orders.def"
    FLO_ORDER_COUNT
};
/* The subject of an order.  Only the newest order about a subject is in
 * force. */
enum flo_order_subject {
    FLO_ORDER_SUBJECT_MODEL,
    FLO_ORDER_SUBJECT_ROLLOUT,
    FLO_ORDER_SUBJECT_FREEZE,
    FLO_ORDER_SUBJECT_PROMPTS, /* whether prompts stay on the device */
    FLO_ORDER_SUBJECT_CONFIG,
    FLO_ORDER_SUBJECT_REPORT,
    FLO_ORDER_SUBJECT_GROUPS
};
struct flo_order_fact {
    const char *word;
    enum flo_order_subject subject;
    int rank;          /* priority in a group's list of orders, the highest first; 0: not listed */
    bool is_emergency; /* a key with the role `emergency` may sign it */
};
/* Returns the facts of an operation in proto/orders.def. */
const struct flo_order_fact *flo_order_fact(enum flo_order_op op);
const char *flo_order_op_word(enum flo_order_op op);
bool flo_order_op_parse(const char *word, enum flo_order_op *out);

enum flo_metric_kind { FLO_METRIC_HISTOGRAM, FLO_METRIC_COUNTER, FLO_METRIC_GAUGE };
/* A metric is identified by its index in proto/metrics.def.
 * <flotilla/metrics.h> names the indices and FLO_METRIC_COUNT.  Structs in
 * headers have room for FLO_METRICS_MAX. */
#define FLO_METRICS_MAX 36
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
/* Writes the topic of a device or group to `out`, which holds FLO_TOPIC_TEXT.
 * `key` is the device's id or the group's name, or "+" to subscribe to all;
 * topics c/… ignore it.  Returns FLO_E_MQTT_TOPIC for an invalid fleet or
 * key. */
FLO_MUST_USE int flo_topic_build(enum flo_topic topic, const char *fleet, const char *key,
                                 char *out, struct flo_err *err);
/* Writes the topic filter c/+, which stands for all broadcasts of the
 * controller.  Devices use one filter, because a broker may scan all
 * subscribers of a topic for each new one. */
FLO_MUST_USE int flo_topic_common(const char *fleet, char *out, struct flo_err *err);
/* Parses a topic of this fleet into its kind and its device or group; `key`
 * holds FLO_NAME_MAX + 1.  FLO_E_MQTT_TOPIC. */
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

/* A parsed envelope.  Its signatures are not verified yet.  Zero-initialise;
 * flo_envelope_deinit frees. */
struct flo_envelope {
    char type[80];
    char *body; /* decoded payload, NUL-terminated */
    size_t body_bytes;
    size_t signature_count;
    struct {
        char keyid[65];
        uint8_t signature[64]; /* the numbers r and s, 32 bytes each */
    } signatures[FLO_SIGNATURES_MAX];
};
/* Parses an envelope.  Only the canonical text is accepted: keys sorted, no
 * blanks, no other keys, signatures sorted by keyid, each keyid once.  Any
 * other text is sig.format.
 *
 * Other errors: sig.missing, meta.json, meta.schema, meta.too_large, and
 * meta.wrong_type when `type` is not the expected one.  FLO_TYPE_RELEASE also
 * accepts FLO_TYPE_RELEASE_1. */
FLO_MUST_USE int flo_envelope_parse(const char *text, size_t bytes, const char *type,
                                    struct flo_envelope *out, struct flo_err *err);
/* Parses the envelope of a draft as flo_envelope_parse does.  A draft is still
 * to be signed, so it may have no signature. */
FLO_MUST_USE int flo_envelope_parse_draft(const char *text, size_t bytes, const char *type,
                                          struct flo_envelope *out, struct flo_err *err);
void flo_envelope_deinit(struct flo_envelope *envelope);
/* Appends the bytes that signers sign: the pre-authentication encoding of DSSE
 * v1. */
void flo_envelope_signed_bytes(const char *type, const void *body, size_t body_bytes,
                               struct flo_buf *out);
/* Appends the envelope as flo_envelope_parse reads it, with its signatures
 * sorted by keyid. */
void flo_envelope_write(const struct flo_envelope *envelope, struct flo_buf *out);

/* ---- release document ---- */

/* a release's number may exceed the last one by at most this */
#define FLO_RELEASE_JUMP_MAX 1000000
#define FLO_RELEASE_FILES_MAX 64
#define FLO_RELEASE_WAYS_MAX 8
#define FLO_RELEASE_VARIANTS_MAX 8
#define FLO_RELEASE_ADAPTERS_MAX 8 /* most adapters of a variant */
#define FLO_RELEASE_GOLDEN_MAX 4
#define FLO_RELEASE_CHUNKS_MAX 65536 /* most chunks of a file */
#define FLO_RELEASE_NO_FILE 255      /* an index that stands for no file */
#define FLO_FILE_NAME_MAX 128
#define FLO_FILE_NAME_PARTS_MAX 4
#define FLO_RUNTIME_NATIVE "native"
/* Role of a draft file, at most one for each variant of our own engine: guesses
 * of the next tokens, which change the speed of answers, never the answers. */
#define FLO_ROLE_DRAFT "draft"
#define FLO_SCALE_PPM 1000000 /* the scale 1, which leaves an adapter unchanged */
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

/* One way to get a file: a device fetches the bytes with `digest` and decodes
 * them, against `base` if they are a delta. */
struct flo_way {
    enum flo_codec codec;
    struct flo_digest digest; /* SHA-256 of the bytes to fetch */
    uint64_t bytes;
    struct flo_digest base; /* file that a delta starts from; zero: none */
    uint64_t memory_bytes;  /* private memory that decoding needs; 0: little */
    /* Digest of a tensor1 patch's head.  A device that has it decodes the patch
     * while downloading, and checks each payload.  Zero: decoding waits for the
     * whole patch. */
    struct flo_digest head;
};
struct flo_release_file {
    char name[FLO_FILE_NAME_MAX + 1]; /* "onnx/config.json" */
    /* role of the file, such as "model", "adapter", "draft", "config", "golden"
     * or "step" */
    char role[16];
    struct flo_digest digest;
    uint64_t bytes;
    uint32_t scale_ppm;           /* scale of an adapter, in millionths; 0 for other roles */
    uint64_t chunk_bytes;         /* bytes of a chunk; 0: the file has no chunk hashes */
    struct flo_digest chunk_list; /* blob with the digests of all chunks, 32 bytes each */
    uint32_t way_count;
    struct flo_way ways[FLO_RELEASE_WAYS_MAX];
};
#define FLO_NEED_WORDS_MAX 4
#define FLO_NEED_WORD_MAX 15
struct flo_release_variant {
    char name[FLO_NAME_MAX + 1];
    char runtime[32]; /* FLO_RUNTIME_NATIVE or the name of a device's own runtime */
    /* Needs of the variant (proto/release.def).  An empty list of words means
     * any. */
#define FLO_RELEASE_WORDS(name, meaning) char name[FLO_NEED_WORDS_MAX][FLO_NEED_WORD_MAX + 1];
#define FLO_RELEASE_NEED(name, type, most, key, meaning) type name;
#include "proto/release.def"
    uint32_t file_count;
    uint8_t files[FLO_RELEASE_FILES_MAX]; /* indices into flo_release.files */
    /* index of the served file in flo_release.files, or FLO_RELEASE_NO_FILE */
    uint8_t entry;
};
/* Default sampling parameters of a release.  A negative number is not set. */
struct flo_release_sampling {
#define FLO_SAMPLING(name, max, meaning) int64_t name;
#include "proto/sampling.def"
};
struct flo_release_serve {
    uint32_t context;  /* tokens per session; 0: not set */
    uint32_t sessions; /* parallel sessions; 0: not set */
    char cache[16];    /* "f16" "f32" "q8_0" "q4_0"; empty: not set */
    char *system;      /* system prompt, owned by this struct; NULL: not set */
    struct flo_release_sampling sampling;
    /* Name of a model: split_pct of 100 requests for it go to this release,
     * which is installed next to it.  Empty: this release gets only requests
     * that name it. */
    char split_of[FLO_NAME_MAX + 1];
    /* share of the requests for the model `split_of` that this release gets, 1
     * to 99 */
    uint32_t split_pct;
};
#define FLO_SPLIT_PCT_MAX 99
/* A release document.  The struct has about 65 KB: allocate it on the heap. */
struct flo_release {
    char fleet[FLO_NAME_MAX + 1];
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    uint64_t number;
    uint64_t floor; /* minimum release number after this release is committed; 0: none */
#define FLO_RELEASE_TEXT(name, bytes, value, meaning) char name[(bytes) + 1];
#include "proto/release.def"
    uint64_t created_at_ms;
    struct flo_digest base; /* base release of the adapters; zero: none */
    uint64_t base_number;
    uint32_t variant_count;
    struct flo_release_variant variants[FLO_RELEASE_VARIANTS_MAX];
    uint32_t file_count;
    struct flo_release_file files[FLO_RELEASE_FILES_MAX];
    uint32_t golden_count;
    /* indices in `files` of the golden files, with which a device tests the
     * release */
    uint8_t golden[FLO_RELEASE_GOLDEN_MAX];
    /* most time per token, relative to the running release, at which the
     * device's test passes; 0: not set */
    double probe_speed_ratio_max;
    /* most bytes of memory at which the device's test passes; 0: not set */
    uint64_t probe_memory_bytes_max;
    struct flo_release_serve serve;
    bool is_first; /* true: the document has format version 1 */
};
/* Reads a release document's body, of version 1 or 2.  An error meta.* names
 * the field's path.  A document of another fleet than `fleet` (NULL: any) is
 * meta.fleet. */
FLO_MUST_USE int flo_release_parse(const char *body, size_t bytes, const char *fleet,
                                   struct flo_release *out, struct flo_err *err);
void flo_release_deinit(struct flo_release *release);
/* Reads a release document as flo_release_parse does, into a new allocation.
 * flo_release_free accepts NULL. */
FLO_MUST_USE int flo_release_new(const char *body, size_t bytes, const char *fleet,
                                 struct flo_release **out, struct flo_err *err);
void flo_release_free(struct flo_release *release);
/* Writes the canonical body (sorted keys, compact).  flo_release_parse reads
 * the same struct from it. */
FLO_MUST_USE int flo_release_write(const struct flo_release *release, struct flo_buf *out,
                                   struct flo_err *err);
/* Appends every field of a release as lines for people.  Control characters in
 * the publisher's texts are removed. */
void flo_release_show(const struct flo_release *release, struct flo_buf *out);
/* Returns the number of chunks of a file, of which the last may be short, or 0
 * when the file has no chunk hashes. */
uint32_t flo_release_chunks(const struct flo_release_file *file);
/* Checks a file name: at most 4 parts separated by `/`, each a safe name on
 * disk, so that the path stays inside its folder. */
bool flo_release_name_is_valid(const char *name);
/* Sets all values to "not set". */
void flo_release_serve_init(struct flo_release_serve *serve);
/* Frees the values and sets them to "not set". */
void flo_release_serve_deinit(struct flo_release_serve *serve);
/* Reads keys of `serve` from a text: they replace those in the struct.
 * Errors: meta.* */
FLO_MUST_USE int flo_release_serve_parse(const char *text, size_t bytes,
                                         struct flo_release_serve *serve, struct flo_err *err);
/* Returns the file with this name, or NULL when there is none. */
const struct flo_release_file *flo_release_find(const struct flo_release *release,
                                                const char *name);
/* Returns the variant with this name, or NULL when there is none. */
const struct flo_release_variant *flo_release_variant_named(const struct flo_release *release,
                                                            const char *name);
/* Returns the variant's file with this role, or NULL when there is none. */
const struct flo_release_file *flo_release_variant_file(const struct flo_release *release,
                                                        const struct flo_release_variant *variant,
                                                        const char *role);
/* A file of a release that the device's owner lets other programs read. */
struct flo_asset {
    char name[FLO_FILE_NAME_MAX + 1];
    struct flo_digest digest;
    uint64_t bytes;
};
struct flo_asset_list {
    uint32_t count;
    struct flo_asset files[FLO_RELEASE_FILES_MAX];
};
/* Collects the variant's files of role `asset`, ordered by name.  Files of other
 * roles, such as weights, are never assets. */
void flo_release_assets(const struct flo_release *release,
                        const struct flo_release_variant *variant, struct flo_asset_list *out);
/* Returns the asset with this name, or NULL when there is none. */
const struct flo_asset *flo_asset_find(const struct flo_asset_list *assets, const char *name);
/* Returns the smallest download that gives the file without an older file as
 * base, or NULL when there is none. */
const struct flo_way *flo_release_full_way(const struct flo_release_file *file);
/* Returns the file that a variant serves: its entry, or else its first file of
 * role `model`.  Returns NULL when the variant has neither. */
const struct flo_release_file *flo_release_entry(const struct flo_release *release,
                                                 const struct flo_release_variant *variant);
/* Finds the adapter that our engine loads with the variant's model.  *out is
 * NULL when there is none.  FLO_E_NOT_BUILT: there are several. */
FLO_MUST_USE int flo_release_adapter(const struct flo_release *release,
                                     const struct flo_release_variant *variant,
                                     const struct flo_release_file **out, struct flo_err *err);
struct flo_golden;
struct flo_golden_files;
/* Reads the cases in all golden files of a variant, but not the files that
 * these cases name.  FLO_E_PROBE_GOLDEN: the variant has no case. */
FLO_MUST_USE int flo_release_golden(const struct flo_release *release,
                                    const struct flo_release_variant *variant,
                                    const struct flo_golden_files *files, struct flo_golden *golden,
                                    struct flo_err *err);
/* Finds a file of the variant by name.  FLO_E_META_SCHEMA: the variant has no
 * such file, or it has more bytes. */
FLO_MUST_USE int flo_release_golden_file(const struct flo_release *release,
                                         const struct flo_release_variant *variant,
                                         const char *name, size_t bytes_max,
                                         const struct flo_release_file **out, struct flo_err *err);
bool flo_release_is_native(const struct flo_release_variant *variant);
/* Tells whether a file has the role `step`: an intermediate version of another
 * file, to which a delta leads (updater/plan/chain.h).  No variant contains
 * it. */
bool flo_release_is_step(const struct flo_release_file *file);
/* Tells whether a file is a draft, without which its variant serves as well. */
bool flo_release_is_draft(const struct flo_release_file *file);
/* Writes "model@version" into `out`, which holds 2 * FLO_NAME_MAX + 2 bytes. */
void flo_release_title(const struct flo_release *release, char *out);
/* Splits "model@version" into its two names.  Returns meta.name for an invalid
 * title. */
FLO_MUST_USE int flo_release_title_parse(const char *text, char *model, char *version,
                                         struct flo_err *err);

/* ---- order ---- */

/* Number of hash buckets among which the devices of a fleet are spread.  It is
 * so large that two devices hardly ever share a bucket, so a rollout can begin
 * with a single device. */
#define FLO_BUCKETS 1000000000
#define FLO_ORDER_FROM_MAX 16
#define FLO_GROUPS_MAX 16              /* groups of a device, including `all` */
#define FLO_HEARTBEAT_MS_MIN 200       /* least time between two reports of a device */
#define FLO_HEARTBEAT_MS_MAX 604800000 /* a week */
/* Bounds of the time over which devices spread their reconnects to a broker. */
#define FLO_RECONNECT_MS_MIN 500
#define FLO_RECONNECT_MS_MAX 300000

struct flo_scope {
    char group[FLO_NAME_MAX + 1]; /* "all": every device; empty: `device` is set */
    char device[37];
    /* id of the rollout, which is hashed with the device's id to its bucket;
     * empty: the order is for all buckets */
    char salt[FLO_NAME_MAX + 1];
    uint32_t bucket_from; /* first bucket; bucket_to is the first one after the range */
    uint32_t bucket_to;
};
/* The policy of an order; policy.def has the names, units and bounds of its
 * fields. */
struct flo_policy {
#define FLO_POLICY_WHOLE uint64_t
#define FLO_POLICY_REAL double
#define FLO_POLICY(name, kind, min, max, start, unit, meaning) FLO_POLICY_##kind name;
#include "proto/policy.def"
#undef FLO_POLICY_WHOLE
#undef FLO_POLICY_REAL
};
/* ---- slots ---- */

/* Changes of the slots after a step of an update.  Each of them leaves the
 * candidate empty. */
enum flo_slot_turn {
    FLO_TURN_CLEAR,  /* drops the candidate and keeps the other slots */
    FLO_TURN_COMMIT, /* previous <- current <- candidate */
    FLO_TURN_BACK,   /* current <- previous <- empty */
    FLO_TURNS
};
/* The three slots of a model, `bytes` long each.  A slot holds what identifies
 * a release, such as its digest; zeros mean that the slot is empty. */
struct flo_places {
    void *current, *previous, *candidate;
    size_t bytes;
};
void flo_slots_turn(enum flo_slot_turn turn, const struct flo_places *places);

/* Relations of a received order to the stored order about the same subject. */
enum flo_standing {
    FLO_STATEMENT_NEW,
    FLO_STATEMENT_AGAIN,      /* the same order is stored already */
    FLO_STATEMENT_SUPERSEDED, /* a newer order is stored */
};
/* Outcomes of the newest order about a model on this device. */
enum flo_stated_outcome {
    FLO_STATED_OPEN,
    FLO_STATED_DONE,
    FLO_STATED_REFUSED,
    FLO_STATED_FAILED, /* the execution ended badly */
};

/* Reasons why a release is blocked on a device. */
enum flo_denial_cause {
    FLO_DENIAL_ALLOWED = 0,
    FLO_DENIAL_FAULT = 1,   /* wrong answers, NaN or a crash on this device */
    FLO_DENIAL_SPEED = 2,   /* the release was too slow on this device */
    FLO_DENIAL_MEMORY = 3,  /* the release used too much memory on this device */
    FLO_DENIAL_ORDERED = 4, /* an order or an operator recalled it */
    FLO_DENIAL_CAUSES
};
struct flo_order {
    char fleet[FLO_NAME_MAX + 1];
    char id[FLO_NAME_MAX + 1];
    enum flo_order_op op;
    bool is_emergency; /* true: signed by an emergency key, with sequence numbers of its own */
    struct flo_scope scope;
    uint32_t epoch;
    uint64_t seq;
    uint64_t issued_at_ms;
    uint64_t expires_at_ms;
    char by[FLO_NAME_MAX + 1];
    /* name of the rollout; for deploy, pause, resume, abort and rollback */
    char rollout[FLO_NAME_MAX + 1];
    uint32_t phase;
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];
    struct flo_digest release; /* deploy */
    uint64_t number;           /* deploy: number of the release; 0: not set */
    /* deploy: releases of the model up to this number are no longer blocked; 0:
     * none */
    uint64_t lift;
    bool below_floor;         /* deploy: true: a release older than the minimum is allowed */
    struct flo_policy policy; /* deploy: the policy, with defaults filled in */
    uint32_t from_count;      /* rollback, allow */
    struct flo_digest from[FLO_ORDER_FROM_MAX];
    /* rollback, allow: numbers of the releases in `from`, in its order; 0: not
     * set */
    uint64_t from_numbers[FLO_ORDER_FROM_MAX];
    bool to_previous;
    struct flo_digest to; /* rollback: the release to go back to */
    char reason[128];
    bool keeps_blobs;     /* remove: true: files stay until disk space is needed */
    uint32_t group_count; /* orders of kind `groups`: number of groups, at least 1 */
    char groups[FLO_GROUPS_MAX][FLO_NAME_MAX + 1];
    /* Arguments that are numbers; each row FLO_ORDER_NUMBER of proto/orders.def
     * becomes a field. */
#define FLO_ORDER_NUMBER(name, field, least, most, standard) uint64_t field;
#include "proto/orders.def"
};
#define FLO_LOG_LINES_MAX 4000 /* logs */
#define FLO_BENCHMARK_MS_MIN 1000
#define FLO_BENCHMARK_MS_MAX 86400000 /* a day */
/* longest time from issue to expiry of an order */
#define FLO_ORDER_LIFE_MS_MAX (UINT64_C(400) * 24 * 3600000)
#define FLO_ORDER_NEEDED (-1) /* in orders.def: the argument has no default */

/* ---- desired, reported (contracts/messages.md section 3) ---- */

#define FLO_ASSIGNMENTS_MAX 8             /* most models of a device */
#define FLO_REPORTED_MODELS_MAX 16        /* most models in a report, removed ones included */
#define FLO_STATEMENTS_MAX 16             /* most orders in `desired` that concern no model */
#define FLO_DESIRED_BYTES_MAX (48 * 1024) /* largest `desired` document */
#define FLO_DESIRED_ORDER_BYTES_MAX 4096  /* largest envelope of an order in `desired` */

/* One model of a `desired` document.  Only the order in it is signed.  These
 * fields are for display and for planning disk space. */
struct flo_assignment {
    char model[FLO_NAME_MAX + 1];
    uint64_t bytes; /* size of the release; 0: not set */
};

/* Daily hours on some days of the week.  Hours that pass midnight belong to the
 * day on which they begin. */
struct flo_daily {
    uint32_t from_s;   /* second of the day at which the hours begin, below 86400 */
    uint32_t length_s; /* length in seconds, at most a day; 0: always open */
    uint32_t days;     /* one bit for each day of the week; bit 0: Monday */
};
/* Tells whether the hours include the time `at_s`, in seconds since 1970 in the
 * time zone of the hours.  Sets *change_s to the time at which that changes
 * next, or to INT64_MAX when it never does. */
bool flo_daily_is_open(const struct flo_daily *daily, int64_t at_s, int64_t *change_s);

void flo_policy_default(struct flo_policy *out);
/* Tells whether the policy's daily window, in which a device may fetch and
 * probe a release, is open at `wall_ms`.  Sets *wait_ms to the time until it
 * opens, or to 0 when it is open. */
bool flo_policy_is_open(const struct flo_policy *policy, uint64_t wall_ms, uint64_t *wait_ms);
/* Tells whether an order may contain this policy. */
bool flo_policy_is_valid(const struct flo_policy *policy);
/* Parses an order's body.  Errors are meta.fleet, and cmd.format with the path
 * of the wrong field.  After cmd.format *out has id, numbers, times and scope
 * if all of these are valid, otherwise an empty id. */
FLO_MUST_USE int flo_order_parse(const char *body, size_t bytes, const char *fleet,
                                 struct flo_order *out, struct flo_err *err);
FLO_MUST_USE int flo_order_write(const struct flo_order *order, struct flo_buf *out,
                                 struct flo_err *err);
/* Returns the hash bucket of a device for a salt, from 0 to FLO_BUCKETS - 1
 * (contracts/documents.md section 1). */
uint32_t flo_bucket(const char *salt, const char *device);
/* Tells whether the scope includes this device, which is a member of
 * `groups`. */
bool flo_scope_holds(const struct flo_scope *scope, const char *device,
                     const char (*groups)[FLO_NAME_MAX + 1], size_t group_count);

#endif
