/* Flotilla base: the library that every other part uses.
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
 * <flotilla/errors/rest.h>.  The numbers mean something within one program
 * only; outside of it an error is named by its id. */
#define FLO_ERRORS_MAX 512

/* One error on its way up: the code and the message.  Where the place that
 * failed knows more than the table of errors, also why and what to do.
 * Zero-initialise.  Every function that takes one accepts NULL. */
struct flo_err {
    int code;       /* 0 or FLO_E_... */
    char what[512]; /* the message in lower case: the thing, the value, the limit */
    char why[256];  /* empty: nothing to add to the table's text */
    char fix[256];  /* empty: the table's text */
    char at[96];    /* place in a request: "/phases/0/devices", "?limit" */
};

/* Set `err` and return `code`, so that `return flo_fail(...)` reads well.
 * The text is cut to fit; control characters are escaped. */
int flo_fail(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* As flo_fail, with ": strerror(errno)" at the end.  ENOSPC and EDQUOT become
 * FLO_E_DISK_FULL, ENOMEM FLO_E_MEMORY, EMFILE and ENFILE FLO_E_DESCRIPTORS,
 * whatever `code` says. */
int flo_fail_errno(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Put "context: " in front of the message, unless it begins with that; returns
 * `code` unchanged. */
int flo_wrap(struct flo_err *err, int code, const char *format, ...) FLO_PRINTF(3, 4);
/* Add the why or fix line; return err->code. */
int flo_err_why(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
int flo_err_fix(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
/* Add the place of the error: a JSON pointer, or `?`  and a query parameter. */
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

/* Texts of a code's row in the table.  An unknown code reads as "internal".
 * Static strings. */
const char *flo_error_id(int code);
const char *flo_error_meaning(int code);
const char *flo_error_fix(int code);
enum flo_exit flo_error_exit(int code);
/* The code of an id such as "disk.full"; 0 if there is none. */
int flo_error_code(const char *id);
/* The codes in the order of the table, at most FLO_ERRORS_MAX; 0 past the last.
 */
int flo_error_at(size_t place);
/* The index of a code in that order; FLO_ERRORS_MAX for an unknown code. */
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

/* LEB128 numbers.  put returns the bytes written, at most FLO_VARINT_MAX.  get
 * reads at *at, moves *at past the number, and accepts the shortest form
 * only. */
#define FLO_VARINT_MAX 10
size_t flo_varint_put(uint8_t *out, uint64_t value);
bool flo_varint_get(const uint8_t *data, size_t bytes, size_t *at, uint64_t *value);

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of `bytes`; `seed` 0 to begin. */
uint32_t flo_crc32c(uint32_t seed, const void *data, size_t bytes);

/* Lower-case hex with a final NUL: `out` holds 2 * bytes + 1. */
void flo_hex_encode(const void *data, size_t bytes, char *out);
/* Reads exactly 2 * bytes lower-case digits, then NUL; false otherwise. */
bool flo_hex_decode(const char *text, void *out, size_t bytes);

/* Base64 of RFC 4648 section 4, with padding.
 *
 * encode: `out` holds 4 * ((bytes + 2) / 3) + 1.
 *
 * decode: strict; returns the byte count or -1; `out` holds 3 * (strlen /
 * 4). */
void flo_base64_encode(const void *data, size_t bytes, char *out);
ptrdiff_t flo_base64_decode(const char *text, size_t chars, void *out);

/* A growing byte string with a bound.  Zero-initialise and set bytes_max (0: 64
 * MiB).  Once something was added, `data` has a NUL past the last byte.  After
 * a failed add `failed` stays set and later adds do nothing, so one check at
 * the end is enough. */
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

/* Length in bytes of the valid UTF-8 prefix of `text`. */
size_t flo_utf8_valid(const char *text, size_t bytes);
/* Write a code point below 0x110000; returns 1 to 4. */
size_t flo_utf8_put(uint32_t code, char out[4]);

/* Natural order for names: runs of digits compare as numbers, so gw-2 comes
 * before gw-10.  Returns <0, 0 or >0; 0 only for equal bytes. */
int flo_natural_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* Checks a URL "<scheme>://host[:port]".  The host has letters, digits, dots
 * and hyphens, or is an IPv6 address in brackets; the port is 1 to 65535.
 * `secure` is the scheme for any host, `plain` (may be NULL) one for this
 * machine alone; has_path: a path may follow.  Connecting and checking a
 * configuration both use this function.  FLO_E_CFG_RANGE names the URL and the
 * mistake. */
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

/* The nearest of `count` words by edit distance, for "did you mean"; NULL: none
 * is near. */
const char *flo_nearest(const char *word, const char *const *words, size_t count);

/* ---- names and digests ---- */

#define FLO_NAME_MAX 64     /* characters of a model, group or fleet name */
#define FLO_DIGEST_BYTES 32 /* SHA-256 */
#define FLO_DIGEST_TEXT 72  /* "sha256:" + 64 hex + NUL */

/* A SHA-256; all zero means "none".  base/host/digest.h computes it. */
struct flo_digest {
    uint8_t bytes[FLO_DIGEST_BYTES];
};
bool flo_digest_equal(const struct flo_digest *a, const struct flo_digest *b);
bool flo_digest_is_zero(const struct flo_digest *digest);
/* "sha256:<hex>"; `out` holds FLO_DIGEST_TEXT. */
void flo_digest_text(const struct flo_digest *digest, char *out);
bool flo_digest_parse(const char *text, struct flo_digest *out);
/* Returns whether the digest is in the list. */
bool flo_digest_is_among(const struct flo_digest *digest, const struct flo_digest *list,
                         size_t count);
/* A growing list.  Zero-initialise; deinit frees. */
struct flo_digest_list {
    struct flo_digest *items;
    size_t count;
    size_t room;
    bool failed; /* memory was out: a digest is missing */
};
/* Adds a digest.  One of zeros is ignored. */
void flo_digest_list_add(struct flo_digest_list *list, const struct flo_digest *digest);
/* Sorts the list for flo_digest_list_has, which needs this after the last
 * add. */
void flo_digest_list_sort(struct flo_digest_list *list);
bool flo_digest_list_has(const struct flo_digest_list *list, const struct flo_digest *digest);
void flo_digest_list_deinit(struct flo_digest_list *list);

/* ^[a-z0-9][a-z0-9._-]{0,63}$ : models, versions, groups, fleets, labels. */
bool flo_name_is_valid(const char *name);
/* Returns whether the text has no control character. */
bool flo_text_is_line(const char *text);
/* A device id: lower-case UUID, 36 characters. */
bool flo_uuid_is_valid(const char *id);
/* Makes a random (version 4) UUID; `out` holds 37. */
void flo_uuid_make(char *out);
/* Fill with the kernel's random bytes (getrandom); never fails. */
void flo_random(void *out, size_t bytes);

/* ---- time ---- */

/* Milliseconds since boot, suspend included (CLOCK_BOOTTIME).  For all
 * timers. */
uint64_t flo_now_ms(void);
/* Exponential backoff: the pause before the next try after this many failures
 * in a row.  first_ms at first, doubled with each further failure, at most
 * most_ms. */
uint64_t flo_backoff_ms(uint64_t first_ms, uint64_t failures, uint64_t most_ms);
/* Microseconds of CLOCK_MONOTONIC.  For latencies. */
uint64_t flo_now_us(void);
/* CPU time of the calling thread in microseconds. */
uint64_t flo_thread_us(void);
/* Wall clock, milliseconds since 1970.  Only for display and expiry. */
uint64_t flo_wall_ms(void);
/* Time of the build (SOURCE_DATE_EPOCH, or that of its commit).  A clock that
 * shows less is wrong. */
uint64_t flo_build_ms(void);
/* "2026-11-20T07:00:00.123Z"; `out` holds 25. */
void flo_time_text(uint64_t wall_ms, char *out);
/* RFC 3339 in UTC, with or without fraction; false when it is not. */
bool flo_time_parse(const char *text, uint64_t *wall_ms);
/* Parses "1500ms" "30s" "15m" "6h" "2d"; false: another text. */
bool flo_duration_parse(const char *text, uint64_t *ms);

/* ---- log ---- */

enum flo_log_level { FLO_LOG_ERROR, FLO_LOG_WARN, FLO_LOG_INFO, FLO_LOG_DEBUG };
/* One line on stderr: "<time> <level> <area> <sentence>", control characters
 * escaped.  Never give it a prompt, an answer, a token or a key.  Default
 * level INFO, or the environment's FLOTILLA_LOG (error warn info debug). */
void flo_log(enum flo_log_level level, const char *area, const char *format, ...) FLO_PRINTF(3, 4);
void flo_log_err(enum flo_log_level level, const char *area, const struct flo_err *err);
void flo_log_level_set(enum flo_log_level level);
/* Passes each line of the log (with its end) to `keep` as well, on the thread
 * that logs.  `keep` must not log.  NULL: no longer. */
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
/* The q-quantile (0 < q <= 1): the upper bound of the bucket that holds it; 0
 * when the histogram is empty. */
uint64_t flo_histogram_quantile(const struct flo_histogram *histogram, double q);
/* The smallest value of bucket `index`; 2^40 for index
 * FLO_HISTOGRAM_BUCKETS. */
uint64_t flo_histogram_low(size_t index);
/* Packs as varints: pairs (gap >= 1, count), 0, then the sum.  `out` holds
 * FLO_HISTOGRAM_PACKED_MAX.  Returns the bytes used. */
size_t flo_histogram_pack(const struct flo_histogram *histogram, uint8_t *out);
/* Reads at *at of `bytes` bytes and moves *at past the histogram.
 * FLO_E_MQTT_SCHEMA: bytes that pack does not write. */
FLO_MUST_USE int flo_histogram_unpack(const uint8_t *data, size_t bytes, size_t *at,
                                      struct flo_histogram *out, struct flo_err *err);
/* Appends the packed histogram to `out` as base64 without line ends. */
void flo_histogram_encode(const struct flo_histogram *histogram, struct flo_buf *out);
/* FLO_E_MQTT_SCHEMA: text that encode does not write. */
FLO_MUST_USE int flo_histogram_decode(const char *text, size_t chars, struct flo_histogram *out,
                                      struct flo_err *err);

/* ---- files ---- */

/* Reads a whole regular file (never a FIFO or device) of at most bytes_max into
 * a malloc'ed, NUL-terminated block that the caller frees.  FLO_E_IO_OPEN,
 * FLO_E_IO_READ, FLO_E_ABSENT (no such file), FLO_E_META_TOO_LARGE. */
FLO_MUST_USE int flo_file_read(const char *path, size_t bytes_max, char **data, size_t *bytes,
                               struct flo_err *err);
/* Open a regular file for reading; FIFOs and devices are refused without
 * waiting.  The caller closes *fd.  FLO_E_ABSENT, FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_file_open(const char *path, int *fd, struct flo_err *err);
/* Replaces a file atomically: writes a temporary name in its folder, fdatasync,
 * rename, syncs the folder.  After a power loss the file has the old or the new
 * content, never a mix. */
FLO_MUST_USE int flo_file_write(const char *path, const void *data, size_t bytes, mode_t mode,
                                struct flo_err *err);
/* Open below a folder without following any symbolic link (openat2
 * RESOLVE_BENEATH|NO_SYMLINKS).  Returns the descriptor, or a negative error
 * code.  FLO_E_IO_SYMLINK, FLO_E_IO_OPEN, FLO_E_ABSENT. */
FLO_MUST_USE int flo_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                                       int *fd, struct flo_err *err);
/* Writes all bytes or fails.  Handles EINTR and short writes. */
FLO_MUST_USE int flo_fd_write_all(int fd, const void *data, size_t bytes, struct flo_err *err);
FLO_MUST_USE int flo_fd_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset,
                                   struct flo_err *err);
FLO_MUST_USE int flo_fd_pread_all(int fd, void *data, size_t bytes, uint64_t offset,
                                  struct flo_err *err);
/* Returns whether `fd` was written before `than_fd`, in whole seconds.  A
 * derived file that is found by its name alone is then of an older source.
 * Also true when the times cannot be read. */
bool flo_fd_is_older(int fd, int than_fd);
/* Makes a folder and its parents, as mkdir -p.  Existing folders are fine; new
 * ones are synced into their parents. */
FLO_MUST_USE int flo_dir_make(const char *path, mode_t mode, struct flo_err *err);
FLO_MUST_USE int flo_dir_sync(const char *path, struct flo_err *err);
/* Free bytes of the file system that holds `path`; 0 when unknown. */
uint64_t flo_disk_free(const char *path);
uint64_t flo_fd_disk_free(int fd); /* Returns the free bytes of an open file's file system. */
/* Free bytes on a disk that caches must leave to all other files. */
#define FLO_DISK_SPARE_BYTES (32u << 20)
/* Joins "/dir/name" into `out`; false when it does not fit. */
bool flo_path_join(char *out, size_t out_bytes, const char *dir, const char *name);

/* ---- a cache of packed weights ---- */

#define FLO_PACKS_BYTES_MAX ((uint64_t)8 << 30) /* most bytes of all its files together */

/* The folder of the cache of packed weights: FLOTILLA_PACK_CACHE (a folder;
 * "off" writes ""), else flotilla/packed below XDG_CACHE_HOME or HOME/.cache.
 * FLO_E_ABSENT: there is none. */
FLO_MUST_USE int flo_packs_folder(char *out, size_t bytes, struct flo_err *err);
/* Opens the cache and makes a missing folder.  FLO_E_CFG_PERM: other users may
 * write to the folder.  FLO_E_IO_OPEN. */
struct flo_packs;
FLO_MUST_USE int flo_packs_open(const char *path, uint64_t bytes_max, struct flo_packs **out,
                                struct flo_err *err);
void flo_packs_close(struct flo_packs *cache); /* NULL is fine */
/* Opens the packed file of this model (found by device, inode, size and times)
 * for reading, and marks it as used now.  FLO_E_ABSENT, FLO_E_CFG_PERM,
 * FLO_E_IO_OPEN. */
FLO_MUST_USE int flo_packs_find(const struct flo_packs *cache, int model_fd, int *out,
                                struct flo_err *err);
void flo_packs_remove(const struct flo_packs *cache, int model_fd);
/* Makes an empty nameless file with its space reserved, open for writing and
 * mapping.  Least recently used files are removed to make space.  A folder has
 * one such file at a time, until flo_packs_commit() or _close(), else
 * FLO_E_STATE_LOCKED.  FLO_E_DISK_FULL, FLO_E_IO_OPEN, FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_packs_begin(struct flo_packs *cache, int model_fd, uint64_t bytes, int *out,
                                 struct flo_err *err);
/* Syncs the file and gives it the model's name in one step.  FLO_E_PACKED: the
 * model file has changed meanwhile. */
FLO_MUST_USE int flo_packs_commit(struct flo_packs *cache, int fd, int model_fd,
                                  struct flo_err *err);

/* close(*fd) for FLO_CLEANUP; free(*p). */
void flo_fd_cleanup(int *fd);
void flo_free_cleanup(void *pointer_to_pointer);

/* ---- CPUs ---- */

/* CPUs that this process can keep busy: those of its affinity, or the CPU quota
 * of its cgroups (version 2) where that is less; at least 1.  In a process that
 * may open no files only the affinity counts. */
unsigned flo_cpus_allowed(void);
/* Parses the text of a cpu.max ("150000 100000") to whole CPUs, at least 1; 0:
 * no quota.  Pure. */
unsigned flo_cpus_of_quota(const char *cpu_max);

/* ---- processes ---- */

/* Start argv[0] (a path) with `fd` (or -1) as descriptor 3, every other
 * descriptor above 2 closed, default signal handling and PR_SET_PDEATHSIG
 * SIGKILL.  The kernel kills the child when the calling thread ends, so call
 * from the main thread.  FLO_E_PROCESS when it cannot be started. */
FLO_MUST_USE int flo_process_spawn(const char *const argv[], int fd, pid_t *pid,
                                   struct flo_err *err);
/* As flo_process_spawn, without a descriptor.  `error_fd` becomes the child's
 * stderr (-1: ours).  "NAME=value" is added to the environment unless NAME is
 * set already. */
FLO_MUST_USE int flo_process_spawn_with(const char *const argv[], const char *variable,
                                        int error_fd, pid_t *pid, struct flo_err *err);
/* As flo_process_spawn, for a program that parses untrusted input: its
 * environment has only the variables of `keep` (names, or "LD_*"; NULL
 * ends). */
FLO_MUST_USE int flo_process_spawn_bare(const char *const argv[], const char *const keep[], int fd,
                                        pid_t *pid, struct flo_err *err);
/* As flo_process_spawn, for a program of the device's owner.  The program gets
 * only this environment, these descriptors as stdin and stdout, no stderr, and
 * / as working folder.  *pid is a supervisor process, which exits with the
 * program's status (128 + the signal).  The supervisor ends all processes of
 * the program: when the program ends, at SIGTERM, and when the caller dies,
 * even by SIGKILL.  Never send the supervisor itself SIGKILL. */
FLO_MUST_USE int flo_process_spawn_kept(const char *const argv[], char *const environment[],
                                        int input, int output, pid_t *pid, struct flo_err *err);
/* Resident set, its anonymous part and the peak of a process in bytes, from
 * /proc.  false: the process is gone.  NULL out pointers are fine. */
bool flo_process_memory(pid_t pid, uint64_t *rss, uint64_t *anonymous, uint64_t *peak);
/* Proportional set size (PSS) of a process: a page that n processes map counts
 * 1/n.  false: the process is gone, or may not be read.  A sandboxed process
 * belongs to another user, so only root may. */
bool flo_process_pss(pid_t pid, uint64_t *bytes);
/* CPU time that a process has used, in steps of 10 ms, and whether it waits for
 * a disk right now, from /proc.  false: unknown. */
bool flo_process_work(pid_t pid, uint64_t *cpu_ms, bool *waits_for_disk);
/* Pin the first thread of a process to the CPU where the first thread of
 * `other` ran last, or allow it all CPUs of this process again.  false: the
 * system does not tell the CPU, or does not allow the change. */
bool flo_process_cpu_join(pid_t pid, pid_t other);
void flo_process_cpu_leave(pid_t pid);
/* For a child before its exec: marks all descriptors from `first` on
 * close-on-exec, on older kernels too.  -1: failed. */
int flo_process_close_at_exec(unsigned first);
/* Gives the calling process, and all threads that it starts, idle priority for
 * CPU and disk.  A limit that the system refuses is skipped. */
void flo_process_idle(void);
/* Sets the process's score for the kernel's OOM killer, 0 to 1000 (proc(5),
 * oom_score_adj).  When memory is short, the process with the highest score is
 * ended first; at 0 its memory use alone counts.  Skipped where the system
 * refuses. */
#define FLO_GOES_FIRST_ENGINE 500
#define FLO_GOES_FIRST_UPDATER 700 /* highest: a later job resumes its work */
void flo_process_goes_first(unsigned score);
/* Path of a sibling program, which need not exist: in this program's folder or, when it is not
 * there, in the folder that the environment's FLOTILLA_BIN names (tests). */
bool flo_process_sibling(const char *name, char *out, size_t out_bytes);
/* Does that program exist, and may this process start it?  Writes its path. */
bool flo_process_has_sibling(const char *name, char *out, size_t out_bytes);
/* Switch a program of root to the user who owns `path`, so that this user owns
 * all files written there.  The switch is permanent.  The program keeps two
 * rights of root: to read (the folder above may be closed to that user) and to
 * listen on a port below 1024.  Files of root below `path` are given to the
 * user.  Nothing changes when the program is not root's, or when `path` is
 * root's or absent.  Call before threads begin.  FLO_E_CFG_PERM: root's own
 * rights are limited here.  The rights that remain are unknown, so end the
 * program. */
FLO_MUST_USE int flo_process_as_owner(const char *path, struct flo_err *err);

#endif
