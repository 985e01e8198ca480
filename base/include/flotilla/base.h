/* Flotilla base: the library that every other part uses.
 *
 * It has errors, bounded bytes, checked arithmetic, time, log, mergeable
 * histograms, files and child processes.  It needs libc only, so that the
 * sandboxed engine can link it.  Unless a declaration says otherwise, functions
 * may be called from any thread on distinct objects, and the caller owns
 * everything it passes in. */
#ifndef FLOTILLA_BASE_H
#define FLOTILLA_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include <flotilla/errors/core.h>

#define FLO_VERSION "0.1.0"

#define FLO_MUST_USE __attribute__((warn_unused_result))
#define FLO_PRINTF(f, a) __attribute__((format(printf, f, a)))
/* Calls `fn` with the variable's address when the variable leaves its scope. */
#define FLO_CLEANUP(fn) __attribute__((cleanup(fn)))
#define FLO_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- errors ---- */

/* Exit codes of all programs: FLO_EXIT_<NAME>. */
enum flo_exit {
#define FLO_EXIT(name, number, meaning) FLO_EXIT_##name = number,
#include "base/exits.def"
#undef FLO_EXIT
};

/* Negative error codes FLO_E_<NAME>, one per row of base/errors.def.  Codes
 * that many files use are in <flotilla/errors/core.h>.  The others are in a
 * header named by the first word of their id: `rest.auth` is in
 * <flotilla/errors/rest.h>.  The numbers have a meaning within one program
 * only; elsewhere an error is named by its id. */
#define FLO_ERRORS_MAX 512

/* An error on its way up: the code and the message.  It also has why and what
 * to do, if the function that failed knows more than the table of errors.
 * Zero-initialise.  Every function that takes one accepts NULL. */
struct flo_err {
    int code;       /* 0 or FLO_E_... */
    char what[512]; /* the message in lower case: the thing, the value, the limit */
    char why[256];  /* reason; empty: only the text of the table */
    char fix[256];  /* what to do; empty: the text of the table */
    char at[96];    /* part of a request that is wrong: "/phases/0/devices", "?limit" */
};

/* Sets `err` and returns `code`, so that `return flo_fail(...)` reads well.
 * The text is cut to fit; control characters are escaped. */
int flo_fail(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Sets `err` as flo_fail does, with ": strerror(errno)" at the end.  ENOSPC and
 * EDQUOT become FLO_E_DISK_FULL, ENOMEM FLO_E_MEMORY, EMFILE and ENFILE
 * FLO_E_DESCRIPTORS, whatever `code` is. */
int flo_fail_errno(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Puts "context: " in front of the message, unless it begins with that text
 * already.  Returns `code` unchanged. */
int flo_wrap(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Sets the reason of an error.  Returns err->code. */
int flo_err_why(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
/* Sets what to do about an error.  Returns err->code. */
int flo_err_fix(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
/* Sets the part of the request that is wrong: a JSON pointer, or `?` and a
 * query parameter.  Returns err->code. */
int flo_err_at(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);

/* Leaves the function with the code of `call` when that is an error.  With
 * FLO_CLEANUP on what the function owns, each step is one line.  A function
 * that must do something after an error keeps the code in `rv` instead, and
 * guards each later step with `if (rv == 0)`. */
#define FLO_TRY(call)                                                                              \
    do {                                                                                           \
        int flo_try_ = (call);                                                                     \
        if (flo_try_ < 0) {                                                                        \
            return flo_try_;                                                                       \
        }                                                                                          \
    } while (0)

/* Returns the id of an error in the table, a static string.  An unknown code
 * counts as "internal", here and in the functions below. */
const char *flo_error_id(int code);
/* Returns what an error means, a static string. */
const char *flo_error_meaning(int code);
/* Returns what to do about an error, a static string. */
const char *flo_error_fix(int code);
/* Returns the exit code of a program that ends with this error. */
enum flo_exit flo_error_exit(int code);
/* Returns the code of an id such as "disk.full", or 0 if there is none. */
int flo_error_code(const char *id);
/* Returns the code at an index of the table, or 0 past the last row.  There are
 * at most FLO_ERRORS_MAX. */
int flo_error_at(size_t place);
/* Returns the index of a code in the table, or FLO_ERRORS_MAX for an unknown
 * code. */
size_t flo_error_place(int code);

/* Prints the three-line form "error[id]: what / why / fix" and returns the exit
 * code: `return flo_err_print(stderr, &err);`. */
int flo_err_print(FILE *file, const struct flo_err *err);

/* ---- checked arithmetic and bytes ---- */

/* Adds two numbers.  Returns false and leaves *out when the sum does not
 * fit. */
static inline bool flo_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}
/* Multiplies two numbers.  Returns false and leaves *out when the product does
 * not fit. */
static inline bool flo_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

/* Reads 2 little-endian bytes, aligned or not. */
uint16_t flo_get_u16(const void *p);
/* Reads 4 little-endian bytes, aligned or not. */
uint32_t flo_get_u32(const void *p);
/* Reads 8 little-endian bytes, aligned or not. */
uint64_t flo_get_u64(const void *p);
/* Reads a float of 4 little-endian bytes, aligned or not. */
float flo_get_f32(const void *p);
/* Writes 2 little-endian bytes, aligned or not. */
void flo_put_u16(void *p, uint16_t value);
/* Writes 4 little-endian bytes, aligned or not. */
void flo_put_u32(void *p, uint32_t value);
/* Writes a float as 4 little-endian bytes, aligned or not. */
void flo_put_f32(void *p, float value);
/* Writes 8 little-endian bytes, aligned or not. */
void flo_put_u64(void *p, uint64_t value);

/* Most bytes of a number in LEB128. */
#define FLO_VARINT_MAX 10
/* Writes a number in LEB128.  Returns the bytes written, at most
 * FLO_VARINT_MAX. */
size_t flo_varint_put(uint8_t *out, uint64_t value);
/* Reads a number in LEB128 at *at and moves *at past it.  Returns false unless
 * it is complete and in its shortest form. */
bool flo_varint_get(const uint8_t *data, size_t bytes, size_t *at, uint64_t *value);

/* Returns the CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes` bytes.
 * `seed` is 0, or the result for the bytes before. */
uint32_t flo_crc32c(uint32_t seed, const void *data, size_t bytes);

/* Writes lower-case hex with a final NUL.  `out` holds 2 * bytes + 1. */
void flo_hex_encode(const void *data, size_t bytes, char *out);
/* Reads exactly 2 * bytes lower-case hex digits and a NUL.  Returns false for
 * any other text. */
bool flo_hex_decode(const char *text, void *out, size_t bytes);

/* Writes Base64 of RFC 4648 section 4, with padding.  `out` holds 4 * ((bytes +
 * 2) / 3) + 1. */
void flo_base64_encode(const void *data, size_t bytes, char *out);
/* Decodes Base64 strictly.  Returns the byte count or -1.  `out` holds 3 *
 * (chars / 4). */
ptrdiff_t flo_base64_decode(const char *text, size_t chars, void *out);

/* Encodes bytes as base64url without padding (RFC 7515 section 2).  `out` holds a
 * character for each six bits, and a NUL. */
void flo_base64url_encode(const void *data, size_t bytes, char *out);
/* Decodes base64url strictly and returns the number of bytes.  Returns -1 for
 * padding, foreign characters and leftover bits.  `out` holds 3 * (chars / 4) +
 * 2 bytes. */
ptrdiff_t flo_base64url_decode(const char *text, size_t chars, uint8_t *out);

/* A growing byte string with a bound.  Zero-initialise and set bytes_max (0: 64
 * MiB).  After the first add, `data` has a NUL past the last byte.  After a
 * failed add `failed` stays set and later adds do nothing, so one check at the
 * end is enough. */
struct flo_buf {
    char *data;
    size_t bytes;
    size_t capacity;
    size_t bytes_max;
    bool failed;
};
void flo_buf_add(struct flo_buf *buf, const void *data, size_t bytes);
void flo_buf_text(struct flo_buf *buf, const char *text);
void flo_buf_printf(struct flo_buf *buf, const char *format, ...) FLO_PRINTF(2, 3);
/* Appends text as the inside of a JSON string (no quotes): escaped, with each
 * byte that is not valid UTF-8 as U+FFFD. */
void flo_buf_json_text(struct flo_buf *buf, const char *text, size_t bytes);
void flo_buf_deinit(struct flo_buf *buf);

/* Cleans text from outside for display: control characters and bytes that are
 * not UTF-8 become \xNN.  The result is cut between characters to fit
 * `out_bytes`. */
void flo_text_clean(const char *text, size_t bytes, char *out, size_t out_bytes);

/* Returns the length in bytes of the valid UTF-8 prefix of `text`. */
size_t flo_utf8_valid(const char *text, size_t bytes);
/* Writes a code point below 0x110000 as UTF-8.  Returns its bytes, 1 to 4. */
size_t flo_utf8_put(uint32_t code, char out[4]);

/* Compares two names in natural order: runs of digits compare as numbers, so
 * gw-2 comes before gw-10.  Returns < 0, 0 or > 0; 0 only for equal bytes. */
int flo_natural_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* Rules for a URL "<scheme>://host[:port]".  `secure` is the scheme for any
 * host, `plain` (may be NULL) a scheme for this machine alone.  With has_path a
 * path may follow. */
struct flo_url_kind {
    const char *secure;
    const char *plain;
    bool needs_port;
    bool has_path;
};
extern const struct flo_url_kind flo_url_mqtt; /* mqtts, mqtt */
extern const struct flo_url_kind flo_url_http; /* https, http */
/* Checks a URL by these rules.  The host has letters, digits, dots and hyphens,
 * or is an IPv6 address in brackets; the port is 1 to 65535.  Connecting and
 * checking a configuration both use this function.  FLO_E_CFG_RANGE names the
 * URL and the mistake. */
FLO_MUST_USE int flo_url_check(const char *url, const struct flo_url_kind *kind,
                               struct flo_err *err);

/* Returns the nearest of `count` words by edit distance, for "did you mean",
 * or NULL when none is near. */
const char *flo_nearest(const char *word, const char *const *words, size_t count);

/* ---- names and digests ---- */

#define FLO_NAME_MAX 64     /* most characters of a model, group or fleet name */
#define FLO_DIGEST_BYTES 32 /* SHA-256 */
#define FLO_DIGEST_TEXT 72  /* bytes of "sha256:", 64 hex digits and NUL */

/* A SHA-256; all zero means "none".  base/host/digest.h computes it. */
struct flo_digest {
    uint8_t bytes[FLO_DIGEST_BYTES];
};
bool flo_digest_equal(const struct flo_digest *a, const struct flo_digest *b);
bool flo_digest_is_zero(const struct flo_digest *digest);
/* Writes "sha256:<hex>" to `out`, which holds FLO_DIGEST_TEXT. */
void flo_digest_text(const struct flo_digest *digest, char *out);
bool flo_digest_parse(const char *text, struct flo_digest *out);
/* Tells whether the digest is in the list. */
bool flo_digest_is_among(const struct flo_digest *digest, const struct flo_digest *list,
                         size_t count);
/* A growing list of digests.  Zero-initialise; flo_digest_list_deinit frees
 * it. */
struct flo_digest_list {
    struct flo_digest *items;
    size_t count;
    size_t room;
    bool failed; /* true: memory was out, so a digest is missing */
};
/* Adds a digest to the list.  A digest of zeros is ignored. */
void flo_digest_list_add(struct flo_digest_list *list, const struct flo_digest *digest);
/* Sorts the list.  flo_digest_list_has() needs a sorted list, so call this
 * after the last add. */
void flo_digest_list_sort(struct flo_digest_list *list);
bool flo_digest_list_has(const struct flo_digest_list *list, const struct flo_digest *digest);
void flo_digest_list_deinit(struct flo_digest_list *list);

/* Tells whether a name of a model, version, group, fleet or label is valid:
 * ^[a-z0-9][a-z0-9._-]{0,63}$ */
bool flo_name_is_valid(const char *name);
/* Returns the bytes of the character at `text` (UTF-8) if a terminal would obey it or
 * it makes a text look different from its bytes: controls, also U+0080 to U+009F, line
 * separators and direction marks (U+2028 to U+202E, U+2066 to U+2069).  Else 0. */
size_t flo_text_unseen(const char *text);
/* Tells whether the text has no such character. */
bool flo_text_is_line(const char *text);
/* Tells whether a text ends with these characters. */
bool flo_text_ends(const char *text, const char *end);
/* Tells whether a text is a device id: a lower-case UUID of 36 characters. */
bool flo_uuid_is_valid(const char *id);
/* Makes a random (version 4) UUID in `out`, which holds 37 bytes. */
void flo_uuid_make(char *out);
/* Fills `out` with the kernel's random bytes (getrandom); never fails. */
void flo_random(void *out, size_t bytes);

/* ---- time ---- */

/* Returns the milliseconds since boot, suspend included (CLOCK_BOOTTIME).  All
 * timers use it. */
uint64_t flo_now_ms(void);
/* Returns the pause before the next attempt after this many failures in a
 * row.  The first pause is first_ms; each further failure doubles it, up to
 * most_ms. */
uint64_t flo_backoff_ms(uint64_t first_ms, uint64_t failures, uint64_t most_ms);
/* Returns the microseconds of CLOCK_MONOTONIC, for latencies. */
uint64_t flo_now_us(void);
/* Returns the CPU time of the calling thread in microseconds. */
uint64_t flo_thread_us(void);
/* Returns the wall clock in milliseconds since 1970.  Use it only for display
 * and expiry. */
uint64_t flo_wall_ms(void);
/* Tells whether the kernel says that a time service keeps the wall clock right. */
bool flo_wall_is_kept(void);
/* Returns the time of the build (SOURCE_DATE_EPOCH, or the time of its commit).
 * A clock that shows an earlier time is wrong. */
uint64_t flo_build_ms(void);
/* Writes a time as "2026-11-20T07:00:00.123Z" to `out`, which holds 25
 * bytes. */
void flo_time_text(uint64_t wall_ms, char *out);
/* Parses a time of RFC 3339 in UTC, with or without fraction.  Returns false
 * for any other text. */
bool flo_time_parse(const char *text, uint64_t *wall_ms);
/* Parses a duration: "1500ms" "30s" "15m" "6h" "2d".  Returns false for any
 * other text. */
bool flo_duration_parse(const char *text, uint64_t *ms);

/* ---- log ---- */

enum flo_log_level { FLO_LOG_ERROR, FLO_LOG_WARN, FLO_LOG_INFO, FLO_LOG_DEBUG };
/* Writes one line to stderr: "<time> <level> <area> <sentence>", control
 * characters escaped.  Never give it a prompt, an answer, a token or a key.
 * The level is INFO unless the environment's FLOTILLA_LOG says another (error
 * warn info debug). */
void flo_log(enum flo_log_level level, const char *area, const char *format, ...) FLO_PRINTF(3, 4);
void flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err);
void flo_log_level_set(enum flo_log_level level);
/* Passes each line of the log (with its end) to `keep` as well, on the thread
 * that logs.  `keep` must not log.  NULL: lines are no longer passed on. */
void flo_log_keep(void (*keep)(const char *line, size_t bytes));

/* ---- histogram ---- */

/* Mergeable log-linear histogram of non-negative integers (us, bytes,
 * milli-tokens/s).  Each octave below 2^40 has 32 buckets, so a percentile is
 * at most 3.2 % too high.  Merging adds counts: exact, in any order.  See
 * docs/internals/contracts/messages.md section 3.2. */
#define FLO_HISTOGRAM_BUCKETS 1152
#define FLO_HISTOGRAM_PACKED_MAX (FLO_HISTOGRAM_BUCKETS * 7 + 11)
struct flo_histogram {
    uint64_t count;
    uint64_t sum;
    uint32_t buckets[FLO_HISTOGRAM_BUCKETS];
};
void flo_histogram_add(struct flo_histogram *histogram, uint64_t value);
void flo_histogram_merge(struct flo_histogram *into, const struct flo_histogram *from);
/* Returns the q-quantile (0 < q <= 1): the upper bound of the bucket that has
 * it, or 0 when the histogram is empty. */
uint64_t flo_histogram_quantile(const struct flo_histogram *histogram, double q);
/* Returns the smallest value of bucket `index`, or 2^40 for the index
 * FLO_HISTOGRAM_BUCKETS. */
uint64_t flo_histogram_low(size_t index);
/* Packs the histogram as varints: pairs (gap >= 1, count), 0, then the sum.
 * `out` holds FLO_HISTOGRAM_PACKED_MAX.  Returns the bytes used. */
size_t flo_histogram_pack(const struct flo_histogram *histogram, uint8_t *out);
/* Reads a packed histogram at *at of `bytes` bytes and moves *at past it.
 * Returns FLO_E_MQTT_SCHEMA for bytes that flo_histogram_pack() does not
 * write. */
FLO_MUST_USE int flo_histogram_unpack(const uint8_t *data, size_t bytes, size_t *at,
                                      struct flo_histogram *out, struct flo_err *err);
/* Appends the packed histogram to `out` as base64 without line ends. */
void flo_histogram_encode(const struct flo_histogram *histogram, struct flo_buf *out);
/* Reads a histogram from base64.  Returns FLO_E_MQTT_SCHEMA for text that
 * flo_histogram_encode() does not write. */
FLO_MUST_USE int flo_histogram_decode(const char *text, size_t chars, struct flo_histogram *out,
                                      struct flo_err *err);

/* ---- files ---- */

/* Reads a whole regular file (never a FIFO or device) of at most bytes_max
 * bytes.  *data is a malloc'ed, NUL-terminated block that the caller frees.
 * FLO_E_IO_OPEN, FLO_E_IO_READ, FLO_E_ABSENT (no such file),
 * FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_file_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                               struct flo_err *err);
/* Opens a regular file for reading; FIFOs and devices are refused without
 * waiting.  The caller closes *fd.  FLO_E_ABSENT, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_file_open(const char *path, int *fd, struct flo_err *err);
/* Replaces a file atomically: writes a temporary file in its folder, fdatasync,
 * rename, syncs the folder.  After a power loss the file has the old or the new
 * content, never a mix. */
FLO_MUST_USE int flo_file_write(const char *path, const void *data, size_t bytes, mode_t mode,
                                struct flo_err *err);
/* Writes a file in the same way, but never replaces one.
 * FLO_E_STATE: the file is there, also when another process was a moment sooner. */
FLO_MUST_USE int flo_file_write_new(const char *path, const void *data, size_t bytes, mode_t mode,
                                    struct flo_err *err);
/* Opens a file below a folder without following any symbolic link (openat2
 * RESOLVE_BENEATH|NO_SYMLINKS).  The caller closes *fd.  FLO_E_IO_SYMLINK,
 * FLO_E_IO_OPEN, FLO_E_ABSENT. */
FLO_MUST_USE int flo_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                                       int *fd, struct flo_err *err);
/* Writes all bytes or fails.  Handles EINTR and short writes. */
FLO_MUST_USE int flo_fd_write_all(int fd, const void *data, size_t bytes, struct flo_err *err);
FLO_MUST_USE int flo_fd_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset,
                                   struct flo_err *err);
FLO_MUST_USE int flo_fd_pread_all(int fd, void *data, size_t bytes, uint64_t offset,
                                  struct flo_err *err);
/* Tells whether the file `fd` was written before the file `than_fd`, in whole
 * seconds.  A derived file that is found by its name alone is then of an older
 * source.  Returns true also when the times cannot be read. */
bool flo_fd_is_older(int fd, int than_fd);
/* Makes a folder and its parents, as mkdir -p does.  Existing folders are no
 * error; new ones are synced into their parents. */
FLO_MUST_USE int flo_dir_make(const char *path, mode_t mode, struct flo_err *err);
FLO_MUST_USE int flo_dir_sync(const char *path, struct flo_err *err);
/* Returns the free bytes of the file system that has `path`, or 0 when
 * unknown. */
uint64_t flo_disk_free(const char *path);
uint64_t flo_fd_disk_free(int fd); /* Returns the free bytes of an open file's file system. */
/* Free bytes that caches must leave on a disk for all other files. */
#define FLO_DISK_SPARE_BYTES (32u << 20)
/* Joins "/dir/name" into `out`.  Returns false when it does not fit. */
bool flo_path_join(char *out, size_t out_bytes, const char *dir, const char *name);

/* ---- a cache of packed weights ---- */

/* most bytes of all files of the cache together */
#define FLO_PACKS_BYTES_MAX ((uint64_t)8 << 30)

/* Writes the folder of the cache of packed weights.  It is FLOTILLA_PACK_CACHE
 * (a folder; "off" writes ""), else flotilla/packed below XDG_CACHE_HOME or
 * HOME/.cache.  Returns FLO_E_ABSENT when none of these is set. */
FLO_MUST_USE int flo_packs_folder(char *out, size_t bytes, struct flo_err *err);
/* A cache of packed weights: a bounded folder. */
struct flo_packs;
/* Opens the cache and makes a missing folder.  Returns FLO_E_CFG_PERM when
 * other users may write to the folder.  FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_packs_open(const char *path, uint64_t bytes_max, struct flo_packs **out,
                                struct flo_err *err);
void flo_packs_close(struct flo_packs *cache); /* NULL is fine */
/* Opens the packed file of this model for reading, and marks it as used now.
 * The model is identified by device, inode, size and times.  FLO_E_ABSENT,
 * FLO_E_CFG_PERM, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_packs_find(const struct flo_packs *cache, int model_fd, int *out,
                                struct flo_err *err);
void flo_packs_remove(const struct flo_packs *cache, int model_fd);
/* Makes an empty nameless file with its space reserved, open for writing and
 * mapping.  Least recently used files are removed to make space.  A folder
 * can have one such file at a time, until flo_packs_commit() or _close(); a
 * second one is FLO_E_STATE_LOCKED.  FLO_E_DISK_FULL, FLO_E_IO_OPEN,
 * FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_packs_begin(struct flo_packs *cache, int model_fd, uint64_t bytes, int *out,
                                 struct flo_err *err);
/* Syncs the file and gives it the model's name in one step.  Returns
 * FLO_E_PACKED when the model file has changed meanwhile. */
FLO_MUST_USE int flo_packs_commit(struct flo_packs *cache, int fd, int model_fd,
                                  struct flo_err *err);

/* Closes *fd, for FLO_CLEANUP. */
void flo_fd_cleanup(int *fd);
/* Frees the memory that a pointer points to, for FLO_CLEANUP; takes the
 * pointer's address. */
void flo_free_cleanup(void *pointer_to_pointer);

/* ---- arrays that grow ---- */

/* Makes room for one more item than `count` in an array that *room items fit
 * into.  Takes the address of the array's pointer, which may be NULL when *room
 * is 0.  Without memory it returns false, and nothing has changed. */
FLO_MUST_USE bool flo_grow(void *pointer_to_items, size_t *room, size_t count, size_t item_bytes);
/* Does the same, and says in an error for how many of what no memory is left.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_grow_or_fail(void *pointer_to_items, size_t *room, size_t count,
                                  size_t item_bytes, const char *what, struct flo_err *err);

/* ---- CPUs ---- */

/* Returns how many CPUs this process can keep busy, at least 1.  They are those
 * of its affinity, or the CPU quota of its cgroups (base/cgroup.h) if that is less.
 * In a process that may open no files only the affinity counts. */
unsigned flo_cpus_allowed(void);

/* ---- processes ---- */

/* Starts argv[0] (a path) with `fd` (or -1) as descriptor 3.  Every other
 * descriptor above 2 is closed; the child has default signal handling and
 * PR_SET_PDEATHSIG SIGKILL.  The kernel kills the child when the calling thread
 * ends, so call it on the main thread.  Returns FLO_E_PROCESS when the program
 * cannot be started. */
FLO_MUST_USE int flo_process_spawn(const char *const argv[], int fd, pid_t *pid,
                                   struct flo_err *err);
/* Starts a program as flo_process_spawn does.  `error_fd` becomes the child's
 * stderr (-1: ours).  `variable` ("NAME=value") is added to the environment unless
 * NAME is set already. */
FLO_MUST_USE int flo_process_spawn_with(const char *const argv[], const char *variable, int fd,
                                        int error_fd, pid_t *pid, struct flo_err *err);
/* Starts a program that parses untrusted input, as flo_process_spawn does.  Its
 * environment has only the variables of `keep` (names, or "LD_*"; NULL ends the
 * list). */
FLO_MUST_USE int flo_process_spawn_bare(const char *const argv[], const char *const keep[], int fd,
                                        pid_t *pid, struct flo_err *err);
/* Starts a program of the device's owner, as flo_process_spawn does.  The
 * program gets only this environment, these descriptors as stdin and stdout, no
 * stderr, and / as working folder.
 *
 * *pid is a supervisor process, which exits with the program's status (128 +
 * the signal).  The supervisor ends all processes of the program: when the
 * program ends, at SIGTERM, and when the caller dies, even by SIGKILL.  Never
 * send the supervisor itself SIGKILL. */
FLO_MUST_USE int flo_process_spawn_kept(const char *const argv[], char *const environment[],
                                        int input, int output, pid_t *pid, struct flo_err *err);
/* Reads the resident set of a process, its anonymous part and its peak in
 * bytes, from /proc.  Any of the results may be NULL.  Returns false when the
 * process is gone. */
bool flo_process_memory(pid_t pid, uint64_t *rss, uint64_t *anonymous, uint64_t *peak);
/* Reads the proportional set size (PSS) of a process: a page that n processes
 * map counts 1/n.  Returns false when the process is gone, or may not be read.
 * A sandboxed process belongs to another user, so only root may read it. */
bool flo_process_pss(pid_t pid, uint64_t *bytes);
/* Reads from /proc the CPU time that a process has used, in steps of 10 ms,
 * and whether it waits for a disk right now.  Returns false when they are
 * unknown. */
bool flo_process_work(pid_t pid, uint64_t *cpu_ms, bool *waits_for_disk);
/* Pins the first thread of a process to the CPU on which the first thread of
 * `other` ran last.  Returns false when the system does not tell the CPU, or
 * does not allow the change. */
bool flo_process_cpu_join(pid_t pid, pid_t other);
/* Allows the first thread of a process all CPUs of this process again. */
void flo_process_cpu_leave(pid_t pid);
/* Sets close-on-exec on all descriptors from `first` on, on older kernels too;
 * called in a child before its exec.  Returns -1 when that failed. */
int flo_process_close_at_exec(unsigned first);
/* Gives the calling process, and all threads that it starts, idle priority for
 * CPU and disk.  A priority that the system refuses is skipped. */
void flo_process_idle(void);
/* Score of an engine for flo_process_goes_first(). */
#define FLO_GOES_FIRST_ENGINE 500
/* highest score, because a later job resumes an updater's work */
#define FLO_GOES_FIRST_UPDATER 700
/* Sets the process's score for the kernel's OOM killer, 0 to 1000 (proc(5),
 * oom_score_adj).  When memory is short, the process with the highest score is
 * ended first; at 0 only its memory use counts.  Does nothing when the system
 * refuses. */
void flo_process_goes_first(unsigned score);
/* Writes the path of a sibling program, which need not exist.  It is in this
 * program's folder, or else in the folder that the environment's FLOTILLA_BIN
 * names (tests). */
bool flo_process_sibling(const char *name, char *out, size_t out_bytes);
/* Tells whether a sibling program exists and this process may start it.  Writes
 * its path. */
bool flo_process_has_sibling(const char *name, char *out, size_t out_bytes);
/* Switches a program of root to the user who owns `path`, so that this user
 * owns all files written there.  The switch is permanent.  Files of root below
 * `path` are given to the user.  The program keeps two rights of root: to read
 * (the folder above may be closed to that user) and to listen on a port below
 * 1024.
 *
 * Nothing changes when the program is not root's, or when `path` is root's or
 * absent.  Call it before threads begin.  Returns FLO_E_CFG_PERM when root's
 * own rights are limited here.  The rights that remain are then unknown, so end
 * the program. */
FLO_MUST_USE int flo_process_as_owner(const char *path, struct flo_err *err);

#endif
