/* Flotilla base: the ground of every other part.
 *
 * Errors, bounded bytes, checked arithmetic, time, log, mergeable
 * histograms, files and child processes.  Needs libc only, so that the
 * sandboxed engine can link it.  Unless a declaration says otherwise,
 * functions may be called from any thread on distinct objects, and the
 * caller owns everything it passes in. */
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
/* Run `fn` on the variable's address when it leaves its scope. */
#define FLO_CLEANUP(fn) __attribute__((cleanup(fn)))
#define FLO_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- errors ---- */

/* Exit codes of all programs: FLO_EXIT_<NAME>. */
enum flo_exit {
#define FLO_EXIT(name, number, meaning) FLO_EXIT_##name = number,
#include "base/exits.def"
#undef FLO_EXIT
};

/* Negative error codes FLO_E_<NAME>, one per row of base/errors.def: those that
 * many files name are in <flotilla/errors/core.h>, the others in the header of
 * their id's first word, `rest.auth` in <flotilla/errors/rest.h>.  Numbers are
 * of one program only; outside of it an error has its id. */
#define FLO_ERRORS_MAX 512

/* One error on its way up: the code, the sentence and, where the place that
 * failed knows better than the table, why and what to do.  Zero-initialise.
 * Every function that takes one accepts NULL. */
struct flo_err {
    int code;       /* 0 or FLO_E_... */
    char what[512]; /* lower case, the thing, the value, the limit */
    char why[256];  /* empty: nothing to add */
    char fix[256];  /* empty: the table's */
    char at[96];    /* where in a request: "/phases/0/devices", "?limit" */
};

/* Set `err` and return `code`, so that `return flo_fail(...)` reads well.
 * The text is cut to fit; control characters are escaped. */
int flo_fail(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* As flo_fail, with ": strerror(errno)" at the end.  ENOSPC and EDQUOT become
 * FLO_E_DISK_FULL, ENOMEM FLO_E_MEMORY, EMFILE and ENFILE FLO_E_DESCRIPTORS,
 * whatever `code` says. */
int flo_fail_errno(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Put "context: " in front of the sentence, unless it begins so; returns `code`
 * unchanged. */
int flo_wrap(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Add the why or fix line; return err->code. */
int flo_err_why(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
int flo_err_fix(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
/* Add where it stands: a JSON pointer, or `?` and a query parameter. */
int flo_err_at(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);

/* Leave the function with the code of `call` when it is an error.  With
 * FLO_CLEANUP on what the function owns, each step is one line.  A function that
 * has something left to do after an error keeps the code in `rv` instead, and
 * guards each later step with `if (rv == 0)`. */
#define FLO_TRY(call)                                                                              \
    do {                                                                                           \
        int flo_try_ = (call);                                                                     \
        if (flo_try_ < 0) {                                                                        \
            return flo_try_;                                                                       \
        }                                                                                          \
    } while (0)

/* Facts of a code; unknown codes read as "internal". Static strings. */
const char *flo_error_id(int code);
const char *flo_error_meaning(int code);
const char *flo_error_fix(int code);
enum flo_exit flo_error_exit(int code);
/* Code of an id such as "disk.full"; 0 if there is none. */
int flo_error_code(const char *id);
/* The codes in the order of the table, at most FLO_ERRORS_MAX; 0 past the last.
 */
int flo_error_at(size_t place);
/* The place of a code in that order; FLO_ERRORS_MAX for a number that is none.
 */
size_t flo_error_place(int code);

/* Print the three-line form "error[id]: what / why / fix" and return the
 * exit code: `return flo_err_print(stderr, &err);`. */
int flo_err_print(FILE *file, const struct flo_err *err);

/* ---- checked arithmetic and bytes ---- */

/* false and *out untouched when the result does not fit. */
static inline bool flo_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return false;
    }
    *out = sum;
    return true;
}
static inline bool flo_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        return false;
    }
    *out = product;
    return true;
}

/* Little-endian readers and writers on unaligned bytes. */
uint16_t flo_get_u16(const void *p);
uint32_t flo_get_u32(const void *p);
uint64_t flo_get_u64(const void *p);
void flo_put_u16(void *p, uint16_t value);
void flo_put_u32(void *p, uint32_t value);
void flo_put_u64(void *p, uint64_t value);

/* LEB128.  put returns its bytes, at most FLO_VARINT_MAX.  get reads at *at and
 * moves *at past the number; it takes the shortest form only. */
#define FLO_VARINT_MAX 10
size_t flo_varint_put(uint8_t *out, uint64_t value);
bool flo_varint_get(const uint8_t *data, size_t bytes, size_t *at, uint64_t *value);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`; `seed` 0 to begin. */
uint32_t flo_crc32c(uint32_t seed, const void *data, size_t bytes);

/* Lower-case hex with a final NUL: `out` holds 2 * bytes + 1. */
void flo_hex_encode(const void *data, size_t bytes, char *out);
/* Exactly 2 * bytes lower-case digits, then NUL; false otherwise. */
bool flo_hex_decode(const char *text, void *out, size_t bytes);

/* Base64 of RFC 4648 section 4, with padding.  encode: `out` holds
 * 4 * ((bytes + 2) / 3) + 1.  decode: strict; returns the byte count or -1,
 * `out` holds 3 * (strlen / 4). */
void flo_base64_encode(const void *data, size_t bytes, char *out);
ptrdiff_t flo_base64_decode(const char *text, size_t chars, void *out);

/* A growing byte string with a bound.  Zero-initialise and set bytes_max
 * (0: 64 MiB).  `data` always has a NUL past the last byte once something
 * was added.  After a failed add `failed` stays set and all later adds do
 * nothing: check once at the end. */
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
/* Text as the inside of a JSON string (no quotes): escaped, valid UTF-8 kept,
 * each bad byte written as U+FFFD. */
void flo_buf_json_text(struct flo_buf *buf, const char *text, size_t bytes);
void flo_buf_deinit(struct flo_buf *buf);

/* Text from outside for people to read: control characters and bytes that are
 * not UTF-8 become \xNN; cut (between characters) to fit `out_bytes`. */
void flo_text_clean(const char *text, size_t bytes, char *out, size_t out_bytes);

/* Length in bytes of the valid UTF-8 prefix of `text`. */
size_t flo_utf8_valid(const char *text, size_t bytes);
/* Write a code point below 0x110000; returns 1 to 4. */
size_t flo_utf8_put(uint32_t code, char out[4]);

/* Order of names for people: letters by letter, digits by their number, so that
 * gw-2 comes before gw-10.  <0, 0, >0 as memcmp; 0 only for equal bytes. */
int flo_natural_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* Is it "<scheme>://host[:port]" with a host of letters, digits, dots and
 * hyphens, or an IPv6 address in brackets, and a port of 1 to 65535?  `secure`
 * is the scheme for every host, `plain` (may be NULL) for this machine alone;
 * has_path: a path may follow.  Connecting and checking a configuration both
 * use this function.  FLO_E_CFG_RANGE names the URL and the mistake. */
struct flo_url_kind {
    const char *secure;
    const char *plain;
    bool needs_port;
    bool has_path;
};
extern const struct flo_url_kind flo_url_mqtt; /* mqtts, mqtt */
extern const struct flo_url_kind flo_url_http; /* https, http */
FLO_MUST_USE int flo_url_check(const char *url, const struct flo_url_kind *kind,
                               struct flo_err *err);

/* The nearest of `count` words by edit distance, or NULL when none is near:
 * for "did you mean". */
const char *flo_nearest(const char *word, const char *const *words, size_t count);

/* ---- names and digests ---- */

#define FLO_NAME_MAX 64     /* characters of a model, group or fleet name */
#define FLO_DIGEST_BYTES 32 /* SHA-256 */
#define FLO_DIGEST_TEXT 72  /* "sha256:" + 64 hex + NUL */

/* A SHA-256; all zero means "none". Computed by base/host/digest.h. */
struct flo_digest {
    uint8_t bytes[FLO_DIGEST_BYTES];
};
bool flo_digest_equal(const struct flo_digest *a, const struct flo_digest *b);
bool flo_digest_is_zero(const struct flo_digest *digest);
/* "sha256:<hex>"; `out` holds FLO_DIGEST_TEXT. */
void flo_digest_text(const struct flo_digest *digest, char *out);
bool flo_digest_parse(const char *text, struct flo_digest *out);
/* Is it one of these? */
bool flo_digest_is_among(const struct flo_digest *digest, const struct flo_digest *list,
                         size_t count);
/* A list that grows.  Zero-initialise; deinit frees. */
struct flo_digest_list {
    struct flo_digest *items;
    size_t count;
    size_t room;
    bool failed; /* no memory: something is not in it */
};
/* A digest of zeros is none, and is left out. */
void flo_digest_list_add(struct flo_digest_list *list, const struct flo_digest *digest);
/* After this, and until the next add, flo_digest_list_has finds them. */
void flo_digest_list_sort(struct flo_digest_list *list);
bool flo_digest_list_has(const struct flo_digest_list *list, const struct flo_digest *digest);
void flo_digest_list_deinit(struct flo_digest_list *list);

/* ^[a-z0-9][a-z0-9._-]{0,63}$ : models, versions, groups, fleets, labels. */
bool flo_name_is_valid(const char *name);
/* Has it no control character? */
bool flo_text_is_line(const char *text);
/* A device id: lower-case UUID, 36 characters. */
bool flo_uuid_is_valid(const char *id);
/* A random (version 4) UUID; `out` holds 37. */
void flo_uuid_make(char *out);
/* Fill with the kernel's random bytes (getrandom); never fails. */
void flo_random(void *out, size_t bytes);

/* ---- time ---- */

/* Milliseconds since boot, suspend included (CLOCK_BOOTTIME): all timers. */
uint64_t flo_now_ms(void);
/* The pause before the next try after so many failures in a row: first_ms, and
 * twice as long with each further failure, at most most_ms. */
uint64_t flo_backoff_ms(uint64_t first_ms, uint64_t failures, uint64_t most_ms);
/* Microseconds of CLOCK_MONOTONIC: latencies. */
uint64_t flo_now_us(void);
/* Microseconds that the calling thread had a CPU. */
uint64_t flo_thread_us(void);
/* Wall clock, milliseconds since 1970: for people and expiry only. */
uint64_t flo_wall_ms(void);
/* Time of the build (SOURCE_DATE_EPOCH, or the time of its commit).  The build
 * sets it; no right clock shows less. */
uint64_t flo_build_ms(void);
/* "2026-11-20T07:00:00.123Z"; `out` holds 25. */
void flo_time_text(uint64_t wall_ms, char *out);
/* RFC 3339 in UTC, with or without fraction; false when it is not. */
bool flo_time_parse(const char *text, uint64_t *wall_ms);
/* "1500ms" "30s" "15m" "6h" "2d"; false when it is not. */
bool flo_duration_parse(const char *text, uint64_t *ms);

/* ---- log ---- */

enum flo_log_level { FLO_LOG_ERROR, FLO_LOG_WARN, FLO_LOG_INFO, FLO_LOG_DEBUG };
/* One line on stderr: "<time> <level> <area> <sentence>", control characters
 * escaped.  Never give it a prompt, an answer, a token or a key.  Default
 * level INFO, or the environment's FLOTILLA_LOG (error warn info debug). */
void flo_log(enum flo_log_level level, const char *area, const char *format, ...) FLO_PRINTF(3, 4);
void flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err);
void flo_log_level_set(enum flo_log_level level);
/* Each line (with its end) goes to `keep`, too, from any thread; NULL: no
 * more.  It must not log. */
void flo_log_keep(void (*keep)(const char *line, size_t bytes));

/* ---- histogram ---- */

/* Mergeable log-linear histogram of non-negative integers (us, bytes,
 * milli-tokens/s): 32 buckets per octave below 2^40, so a percentile is off
 * by at most 3.2 % upwards.  Merging adds: exact, order does not matter.
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
/* Upper bound of the bucket that holds the q-th part (0 < q <= 1) of the
 * values; 0 when empty. */
uint64_t flo_histogram_quantile(const struct flo_histogram *histogram, double q);
/* The smallest value of a bucket; of FLO_HISTOGRAM_BUCKETS, 2^40. */
uint64_t flo_histogram_low(size_t index);
/* Sparse varint pairs (gap >= 1, count), 0, then the sum.  `out` holds
 * FLO_HISTOGRAM_PACKED_MAX; returns the bytes used. */
size_t flo_histogram_pack(const struct flo_histogram *histogram, uint8_t *out);
/* Read at *at of `bytes` bytes and move *at past the histogram.
 * FLO_E_MQTT_SCHEMA on anything that pack does not write. */
FLO_MUST_USE int flo_histogram_unpack(const uint8_t *data, size_t bytes, size_t *at,
                                      struct flo_histogram *out, struct flo_err *err);
/* The same as base64 without line ends.  Appends to `out`. */
void flo_histogram_encode(const struct flo_histogram *histogram, struct flo_buf *out);
/* FLO_E_MQTT_SCHEMA on anything that encode does not write. */
FLO_MUST_USE int flo_histogram_decode(const char *text, size_t chars, struct flo_histogram *out,
                                      struct flo_err *err);

/* ---- files ---- */

/* Whole regular file (never a FIFO or device) of at most bytes_max into a
 * malloc'ed, NUL-terminated block that the caller frees.  FLO_E_IO_OPEN,
 * FLO_E_IO_READ, FLO_E_ABSENT (no such file), FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_file_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                               struct flo_err *err);
/* Open a regular file for reading; never waits for a FIFO and opens no device.
 * The caller closes *fd.  FLO_E_ABSENT, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_file_open(const char *path, int *fd, struct flo_err *err);
/* Write to a temporary name in its folder, fdatasync, rename, sync the folder:
 * after power loss the old or the new content stands, never a mix. */
FLO_MUST_USE int flo_file_write(const char *path, const void *data, size_t bytes, mode_t mode,
                                struct flo_err *err);
/* Open below a folder without following any symbolic link
 * (openat2 RESOLVE_BENEATH|NO_SYMLINKS).  Returns the descriptor.
 * FLO_E_IO_SYMLINK, FLO_E_IO_OPEN, FLO_E_ABSENT. */
FLO_MUST_USE int flo_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                                       int *fd, struct flo_err *err);
/* All bytes or an error; EINTR and short writes handled. */
FLO_MUST_USE int flo_fd_write_all(int fd, const void *data, size_t bytes, struct flo_err *err);
FLO_MUST_USE int flo_fd_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset,
                                   struct flo_err *err);
FLO_MUST_USE int flo_fd_pread_all(int fd, void *data, size_t bytes, uint64_t offset,
                                  struct flo_err *err);
/* Was the file written before the other one, by whole seconds?  A derived file
 * that is found by its name alone then belongs to an older source.  Also true
 * when the times cannot be read. */
bool flo_fd_is_older(int fd, int than_fd);
/* mkdir -p; existing folders are fine, the names of new ones durable. */
FLO_MUST_USE int flo_dir_make(const char *path, mode_t mode, struct flo_err *err);
FLO_MUST_USE int flo_dir_sync(const char *path, struct flo_err *err);
/* Free bytes of the file system that holds `path`; 0 when unknown. */
uint64_t flo_disk_free(const char *path);
uint64_t flo_fd_disk_free(int fd); /* the disk that the file lies on */
/* Free bytes that files which can be made again must leave to all others. */
#define FLO_DISK_SPARE_BYTES (32u << 20)
/* "/dir/name" into `out`; false when it does not fit. */
bool flo_path_join(char *out, size_t out_bytes, const char *dir, const char *name);

/* ---- a cache of packed weights ---- */

#define FLO_PACKS_BYTES_MAX ((uint64_t)8 << 30) /* size of all its files */

/* The folder of the cache: FLOTILLA_PACK_CACHE (a folder; "off" writes ""),
 * else flotilla/packed below XDG_CACHE_HOME or HOME/.cache.  FLO_E_ABSENT:
 * there is none. */
FLO_MUST_USE int flo_packs_folder(char *out, size_t bytes, struct flo_err *err);
/* Makes a missing folder.  FLO_E_CFG_PERM: other users may write to the folder.
 * FLO_E_IO_OPEN. */
struct flo_packs;
FLO_MUST_USE int flo_packs_open(const char *path, uint64_t bytes_max, struct flo_packs **out,
                                struct flo_err *err);
void flo_packs_close(struct flo_packs *cache); /* NULL is fine */
/* The file of this model (by device, inode, size and times), open for reading.
 * It counts as used now.  FLO_E_ABSENT, FLO_E_CFG_PERM, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_packs_find(const struct flo_packs *cache, int model_fd, int *out,
                                struct flo_err *err);
void flo_packs_remove(const struct flo_packs *cache, int model_fd);
/* An empty nameless file with its space reserved, open for writing and mapping.
 * The files unused for longest are removed for it.  A folder has one such file
 * at a time, until flo_packs_commit() or _close(): FLO_E_STATE_LOCKED.
 * FLO_E_DISK_FULL, FLO_E_IO_OPEN, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_packs_begin(struct flo_packs *cache, int model_fd, uint64_t bytes, int *out,
                                 struct flo_err *err);
/* Sync the file and give it the model's name in one step.  FLO_E_PACKED: the
 * model file has changed meanwhile. */
FLO_MUST_USE int flo_packs_commit(struct flo_packs *cache, int fd, int model_fd,
                                  struct flo_err *err);

/* close(*fd) for FLO_CLEANUP; free(*p). */
void flo_fd_cleanup(int *fd);
void flo_free_cleanup(void *pointer_to_pointer);

/* ---- CPUs ---- */

/* CPUs that this process can keep busy: its affinity, or the CPU quota of its
 * cgroups (version 2) where that is less; at least 1.  A process that may open
 * no files sees its affinity alone. */
unsigned flo_cpus_allowed(void);
/* Whole CPUs of the text of a cpu.max ("150000 100000"), at least 1; 0 when
 * there is no quota.  Pure. */
unsigned flo_cpus_of_quota(const char *cpu_max);

/* ---- processes ---- */

/* Start argv[0] (a path) with `fd` (or -1) as descriptor 3, every other
 * descriptor above 2 closed, PR_SET_PDEATHSIG SIGKILL, signals at default.
 * The child must not outlive the thread that called: call from the main
 * thread.  FLO_E_PROCESS when it cannot be started. */
FLO_MUST_USE int flo_process_spawn(const char *const argv[], int fd, pid_t *pid,
                                   struct flo_err *err);
/* The same without a descriptor, with `error_fd` (or -1: ours) as its stderr,
 * and with "NAME=value" in its environment, unless ours has that name already.
 */
FLO_MUST_USE int flo_process_spawn_with(const char *const argv[], const char *variable,
                                        int error_fd, pid_t *pid, struct flo_err *err);
/* The same for a program that parses input of strangers: its environment has
 * only the variables of `keep` (names, or "LD_*"; NULL ends). */
FLO_MUST_USE int flo_process_spawn_bare(const char *const argv[], const char *const keep[], int fd,
                                        pid_t *pid, struct flo_err *err);
/* The same for a program of the device's owner, with this environment alone,
 * these descriptors as its input and output, no errors, and / as its folder.
 * *pid is a keeper, which has the program's status (128 and its signal).  It
 * ends all processes of the program: when that ends, at SIGTERM, and when the
 * caller is gone, SIGKILL included.  Never send the keeper itself SIGKILL. */
FLO_MUST_USE int flo_process_spawn_kept(const char *const argv[], char *const environment[],
                                        int input, int output, pid_t *pid, struct flo_err *err);
/* Resident set, its anonymous part and peak of a process in bytes, from
 * /proc; false when it is gone. NULL out pointers are fine. */
bool flo_process_memory(pid_t pid, uint64_t *rss, uint64_t *anonymous, uint64_t *peak);
/* A process's share of memory: a page that n map counts 1/n.  false: gone,
 * or not to be read (a sandboxed process is another user's, but for root). */
bool flo_process_pss(pid_t pid, uint64_t *bytes);
/* Processor time that a process used so far, in steps of 10 ms, and whether it
 * waits for a disk right now, from /proc; false when that cannot be told. */
bool flo_process_work(pid_t pid, uint64_t *cpu_ms, bool *waits_for_disk);
/* Pin the first thread of a process to the CPU where the first thread of
 * `other` ran last, or allow it all CPUs of this process again.  false: the
 * system does not tell the CPU, or does not allow the change. */
bool flo_process_cpu_join(pid_t pid, pid_t other);
void flo_process_cpu_leave(pid_t pid);
/* In a child before its exec: that closes every descriptor from `first` on, by
 * older kernels' means too.  -1: it cannot be said. */
int flo_process_close_at_exec(unsigned first);
/* Let the calling process, and all threads that it begins, have only the CPU
 * and the disk that nobody else wants.  A limit that the system refuses is
 * left out. */
void flo_process_idle(void);
/* When memory is short, the kernel ends the process with the highest score
 * first, 1000 at most; one of 0 by what it uses alone (proc(5),
 * oom_score_adj).  Left out where the system refuses. */
#define FLO_GOES_FIRST_ENGINE 500
#define FLO_GOES_FIRST_UPDATER 700 /* a later job goes on where it was */
void flo_process_goes_first(unsigned score);
/* Path of a sibling program: in the folder of this one or, when it is not
 * there, in the folder that the environment's FLOTILLA_BIN names (tests). */
bool flo_process_sibling(const char *name, char *out, size_t out_bytes);
/* Continue a program of root as the user who owns `path`, so that this user
 * owns all files written there.  There is no way back.  The program keeps two
 * rights of root: to read (the folder above may be closed to that user) and to
 * listen on a port below 1024.  Files of root below `path` are given to the
 * user. Programs of other users stay as they are, and so does root if `path` is
 * root's or absent.  Call before threads begin.  FLO_E_CFG_PERM: this root may
 * not do that; the remaining rights are unknown, so end the program. */
FLO_MUST_USE int flo_process_as_owner(const char *path, struct flo_err *err);

#endif
