/* flotilla-updater delta create|apply|info: makes and applies patches by hand,
 * and for benchmarks. */
#include "updater/tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/io.h>
#include <flotilla/errors/patch.h>

#include "base/host/digest.h"
#include "base/scratch.h"

static uint64_t peak_rss(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static double user_seconds(void)
{
    struct rusage usage;

    return getrusage(RUSAGE_SELF, &usage) == 0
               ? (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6
               : 0;
}

static double ratio_of(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 1.0 : (double)part / (double)whole;
}

/* ---- create ---- */

/* Prints the progress; the estimate of the time left counts from the start of
 * the work. */
static void tell_progress(void *context, uint64_t done, uint64_t total)
{
    const uint64_t *began_ms = context;
    uint64_t took_s = (flo_now_ms() - *began_ms) / 1000;
    char what[sizeof tool_ticker.what];

    if (took_s > 0 && done > 0) {
        (void)snprintf(what, sizeof what, "delta create, about %" PRIu64 " s left, MiB",
                       (uint64_t)((double)took_s * (double)(total - done) / (double)done));
        flo_ticker_tell(&tool_ticker, what, (size_t)(done >> 20), (size_t)(total >> 20));
    }
}

/* Fails if `path` (of the result or of --partial) is the same file as one of
 * the two inputs. */
static int check_place(const char *path, int first_fd, int second_fd, struct flo_err *err)
{
    const int fds[] = {first_fd, second_fd};
    struct stat there, input;

    for (size_t i = 0; stat(path, &there) == 0 && i < FLO_COUNT(fds); i++) {
        if (fstat(fds[i], &input) == 0 && input.st_dev == there.st_dev &&
            input.st_ino == there.st_ino) {
            return flo_fail(err, FLO_E_USAGE, "%s would be written over a file that is read", path);
        }
    }
    return 0;
}

static int create(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *const *paths = line->args.words;
    const char *codec = line->codec;
    FLO_CLEANUP(flo_fd_cleanup) int old_fd = -1;
    FLO_CLEANUP(flo_fd_cleanup) int new_fd = -1;
    FLO_CLEANUP(flo_fd_cleanup) int patch_fd = -1;
    struct flo_delta_made made;
    uint64_t began_ms = flo_now_ms();
    struct flo_delta_making making = {
        .threads = line->threads, .on_progress = tell_progress, .context = &began_ms};
    /* Publishers say "bsdiff" for the codec bsdiff40. */
    const char *choice = strcmp(codec, "bsdiff") == 0   ? "bsdiff40"
                         : strcmp(codec, "tensor") == 0 ? "tensor1"
                                                        : codec;

    FLO_TRY(flo_file_open(paths[0], &old_fd, err));
    FLO_TRY(flo_file_open(paths[1], &new_fd, err));
    FLO_TRY(check_place(paths[2], old_fd, new_fd, err));
    FLO_TRY(flo_output_open(paths[2], &patch_fd, err));
    FLO_TRY(flo_delta_create(choice, old_fd, new_fd, patch_fd, &making, &made, err));
    FLO_TRY(flo_output_commit(patch_fd, paths[2], err));
    json_t *json = json_pack(
        "{s:s,s:I,s:I,s:I,s:f,s:I,s:f,s:I,s:o,s:o,s:o}", "codec", flo_codec_word(made.codec),
        "bytes", (json_int_t)made.bytes, "full_bytes", (json_int_t)made.full_bytes, "new_bytes",
        (json_int_t)made.new_bytes, "ratio", ratio_of(made.bytes, made.new_bytes), "create_ms",
        (json_int_t)made.create_ms, "user_s", user_seconds(), "peak_rss", (json_int_t)peak_rss(),
        "old", tool_digest(&made.old_digest), "new", tool_digest(&made.new_digest), "patch",
        tool_digest(&made.digest));
    tool_answer(json,
                "%s: %s, %" PRIu64 " bytes = %.1f %% of %" PRIu64 ", made in %" PRIu64 " ms\n",
                paths[2], flo_codec_word(made.codec), made.bytes,
                100 * ratio_of(made.bytes, made.new_bytes), made.new_bytes, made.create_ms);
    return 0;
}

static const struct flo_flag create_flags[] = {
    {"codec", "CODEC", "auto (default), full, bsdiff, zstd or tensor",
     FLO_TEXT(struct tool_line, codec)},
    {"threads", "N", "of the tensor codec; one for each core, at most 12",
     FLO_U32(struct tool_line, threads), .min = 1, .max = 12},
    FLO_FLAGS_END,
};
const struct flo_verb tool_delta_create = {
    .name = "delta create",
    .usage = "OLD NEW PATCH [--codec auto|full|bsdiff|zstd|tensor] "
             "[--threads N] [--json]",
    .help = "a patch from one file to another",
    .flags = {create_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = create,
    .example = "helpdesk-2.3.1.gguf helpdesk-2.4.0.gguf helpdesk.delta",
};

/* ---- apply ---- */

static int write_piece(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    const int *fd = context;

    return flo_fd_write_all(*fd, data, bytes, err);
}

static int parse_digest(const char *text, const char *name, struct flo_digest *out,
                        struct flo_err *err)
{
    if (!flo_digest_parse(text, out)) {
        return flo_fail(err, FLO_E_USAGE, "%s: \"%s\" is no sha256:<64 hex>", name, text);
    }
    return 0;
}

/* Refuses a base with another digest, before a byte is written. */
static int check_base(int fd, const char *path, const char *digest, struct flo_err *err)
{
    struct flo_digest wanted;
    struct flo_digest found;
    char text[FLO_DIGEST_TEXT];

    if (digest == NULL) {
        return 0;
    }
    FLO_TRY(parse_digest(digest, "--base", &wanted, err));
    FLO_TRY(flo_sha256_fd(fd, &found, NULL, err));
    if (flo_digest_equal(&wanted, &found)) {
        return 0;
    }
    flo_digest_text(&found, text);
    return flo_fail(err, FLO_E_PATCH_BASE, "%s is %s, the patch is for %s", path, text, digest);
}

static int fill_job(const struct tool_line *line, struct flo_delta_job *job,
                    struct flo_digest *expected, struct flo_err *err)
{
    struct flo_delta_facts facts;

    FLO_TRY(flo_delta_inspect(job->patch_fd, &facts, err));
    job->memory_bytes_max = line->memory_bytes_max;
    if (line->expected != NULL) {
        FLO_TRY(parse_digest(line->expected, "--expect", expected, err));
        job->new_digest = expected;
    }
    /* The file may be a patch with a damaged magic number, which looks like a
     * raw file. */
    if (facts.codec == FLO_CODEC_RAW && line->expected == NULL) {
        flo_fail(err, FLO_E_PATCH_FORMAT, "the file begins as no patch does");
        return flo_err_fix(err, "fetch the patch again; --expect DIGEST takes a "
                                "whole file as it is");
    }
    job->codec = facts.codec;
    job->new_bytes = facts.new_bytes;
    return 0;
}

/* Cuts the file of --partial to its first `kept` bytes, and continues after
 * them. */
static int keep_partial(void *context, uint64_t kept, struct flo_err *err)
{
    const int *fd = context;

    if (ftruncate(*fd, (off_t)kept) != 0 || lseek(*fd, 0, SEEK_END) < 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "--partial");
    }
    return 0;
}

/* Opens the file of --partial.  The command truncates, writes and renames it,
 * so devices and links are refused. */
static int open_partial(const char *path, int *fd, struct flo_err *err)
{
    struct stat facts;
    /* O_NONBLOCK: opening a pipe without a reader would block. */
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    int opened = open(path, flags, 0644);

    if (opened < 0 && errno == ELOOP) {
        return flo_fail(err, FLO_E_IO_SYMLINK, "%s is a symbolic link", path);
    }
    if (opened < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    *fd = opened;
    if (fstat(opened, &facts) != 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
    }
    return S_ISREG(facts.st_mode) ? 0 : flo_fail(err, FLO_E_IO_OPEN, "%s is no regular file", path);
}

/* Opens the file to write: a nameless file, or the file of --partial, which may
 * have the first bytes of an earlier run. */
static int open_new(const struct tool_line *line, const char *path, struct flo_delta_job *job,
                    int *fd, struct flo_err *err)
{
    if (line->partial == NULL) {
        return flo_output_open(path, fd, err);
    }
    FLO_TRY(check_place(line->partial, job->base_fd, job->patch_fd, err));
    FLO_TRY(open_partial(line->partial, fd, err));
    off_t bytes = lseek(*fd, 0, SEEK_END);
    if (bytes < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", line->partial);
    }
    if (job->codec != FLO_CODEC_TENSOR1) {
        return keep_partial(fd, 0, err);
    }
    job->done_fd = *fd;
    job->done_bytes = (uint64_t)bytes;
    job->on_resume = keep_partial;
    return 0;
}

static int commit_new(const struct tool_line *line, const char *path, int fd, struct flo_err *err)
{
    if (line->partial == NULL) {
        return flo_output_commit(fd, path, err);
    }
    if (fdatasync(fd) != 0 || rename(line->partial, path) != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    return 0;
}

static int apply(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *const *paths = line->args.words;
    FLO_CLEANUP(flo_fd_cleanup) int old_fd = -1;
    FLO_CLEANUP(flo_fd_cleanup) int patch_fd = -1;
    FLO_CLEANUP(flo_fd_cleanup) int new_fd = -1;
    struct flo_digest expected;
    struct flo_digest digest;

    FLO_TRY(flo_file_open(paths[0], &old_fd, err));
    FLO_TRY(check_base(old_fd, paths[0], line->base, err));
    FLO_TRY(flo_file_open(paths[1], &patch_fd, err));
    struct flo_delta_job job = {
        .patch_fd = patch_fd, .base_fd = old_fd, .on_data = write_piece, .context = &new_fd};
    FLO_TRY(check_place(paths[2], old_fd, patch_fd, err));
    FLO_TRY(fill_job(line, &job, &expected, err));
    FLO_TRY(open_new(line, paths[2], &job, &new_fd, err));
    uint64_t begin_us = flo_now_us();
    FLO_TRY(flo_delta_apply(&job, &digest, err));
    uint64_t took_ms = (flo_now_us() - begin_us) / 1000;
    FLO_TRY(commit_new(line, paths[2], new_fd, err));
    json_t *json = json_pack("{s:s,s:I,s:I,s:f,s:I,s:o}", "codec", flo_codec_word(job.codec),
                             "bytes", (json_int_t)job.new_bytes, "apply_ms", (json_int_t)took_ms,
                             "user_s", user_seconds(), "peak_rss", (json_int_t)peak_rss(), "digest",
                             tool_digest(&digest));
    tool_answer(json, "%s: %" PRIu64 " bytes by %s in %" PRIu64 " ms\n", paths[2], job.new_bytes,
                flo_codec_word(job.codec), took_ms);
    return 0;
}

static int take_memory(void *state, const char *text, struct flo_err *err)
{
    struct tool_line *line = state;

    return tool_bytes(text, "--max-memory", &line->memory_bytes_max, err);
}

static const struct flo_flag apply_flags[] = {
    {"max-memory", "BYTES", "refuse a patch that takes more", .take = take_memory},
    {"partial", "FILE", "write here first; go on where FILE ends",
     FLO_TEXT(struct tool_line, partial)},
    {"base", "DIGEST", "OLD must be this file", FLO_TEXT(struct tool_line, base)},
    {"expect", "DIGEST", "NEW must become this file", FLO_TEXT(struct tool_line, expected)},
    FLO_FLAGS_END,
};
const struct flo_verb tool_delta_apply = {
    .name = "delta apply",
    .usage = "OLD PATCH NEW [--max-memory BYTES] [--partial FILE] "
             "[--base DIGEST] [--expect DIGEST] [--json]",
    .help = "make the new file from the old one and a patch",
    .flags = {apply_flags, FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = apply,
    .example = "helpdesk-2.3.1.gguf helpdesk.delta helpdesk-2.4.0.gguf",
};

/* ---- info ---- */

static int info(void *state, struct flo_err *err)
{
    const struct tool_line *line = state;
    const char *path = line->args.words[0];
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_delta_facts facts;

    FLO_TRY(flo_file_open(path, &fd, err));
    FLO_TRY(flo_delta_inspect(fd, &facts, err));
    json_t *answer = json_pack(
        "{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i,s:I}", "codec", flo_codec_word(facts.codec), "bytes",
        (json_int_t)facts.patch_bytes, "new_bytes", (json_int_t)facts.new_bytes, "control_bytes",
        (json_int_t)facts.control_bytes, "diff_bytes", (json_int_t)facts.diff_bytes, "extra_bytes",
        (json_int_t)facts.extra_bytes, "memory_bytes", (json_int_t)facts.memory_bytes, "window_log",
        (int)facts.window_log, "parts", (int)facts.part_count, "index_bytes",
        (json_int_t)facts.index_bytes);
    tool_answer(
        answer,
        "%s: %s, %" PRIu64 " bytes, makes %" PRIu64 " bytes with %" PRIu64 " bytes of memory\n",
        path, flo_codec_word(facts.codec), facts.patch_bytes, facts.new_bytes, facts.memory_bytes);
    return 0;
}

const struct flo_verb tool_delta_info = {
    .name = "delta info",
    .usage = "PATCH [--json]",
    .help = "what a patch makes, and with how much memory",
    .flags = {FLO_FLAGS_JSON},
    .state = &tool_line,
    .run = info,
    .example = "helpdesk.delta",
};
