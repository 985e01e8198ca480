/* Stage job: from a release's id to verified files on disk.
 *
 *   document -> plan -> for each file { fetch -> apply -> verify -> name }
 *
 * A result gets its name in blobs/ only after its digest is verified; a model
 * is also checked for NaN and infinity.  A download that fails for its own
 * reasons (a broken patch, a damaged base, an artifact no mirror has) is
 * excluded.  Then a new plan is made: a delta first, then the full file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/bundle.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/net.h>
#include <flotilla/errors/patch.h>
#include <flotilla/release.h>

#include "base/host/digest.h"
#include "updater/run/make.h"

/* Most blobs of a release: its files and the old files that their deltas start
 * from. */
#define PRESENT_MAX (FLO_RELEASE_FILES_MAX * (FLO_RELEASE_WAYS_MAX + 1))
#define PROGRESS_MS 250

struct stage {
    const struct flo_update_job *job;
    struct flo_store *store;
    int event_fd;
    struct flo_trust *trust;
    struct flo_fetch fetch;
    struct flo_release_verified verified;
    bool has_release;
    struct flo_offer offer; /* contents of the bundle; unused without a bundle */
    struct flo_plan_input input;
    struct flo_profile profile;
    struct flo_plan plan;
    struct flo_digest present[PRESENT_MAX];
    struct flo_digest wanted[PRESENT_MAX]; /* downloads that this release needs */
    struct flo_digest damaged[FLO_RELEASE_FILES_MAX];
    struct flo_digest *chunks; /* chunk hashes of the file that is being fetched; NULL: none */
    /* number of the plan's bytes to fetch that belong to finished files */
    uint64_t done_before;
    uint64_t progress_at_ms; /* time of the last progress event */
    bool is_last;            /* true: this is the plan's last step */
};

static void on_progress(void *context, uint64_t done, uint64_t total)
{
    struct stage *stage = context;
    uint64_t now = flo_now_ms();

    if (now - stage->progress_at_ms >= PROGRESS_MS || done == total) {
        stage->progress_at_ms = now;
        flo_event_downloading(stage->event_fd, stage->done_before + done, stage->plan.fetch_bytes);
    }
}

static void on_wait(void *context)
{
    const struct stage *stage = context;

    flo_event_waiting(stage->event_fd);
}

static bool is_stopped(const struct stage *stage, struct flo_err *err)
{
    if (flo_fetch_is_stopped(&stage->fetch)) {
        flo_fail(err, FLO_E_INTERRUPTED, "the agent went away; what was done is kept");
        return true;
    }
    return false;
}

/* ---- the document ---- */

/* Checks signature and schema, and that the document is the release that the
 * job names.  Another release may be validly signed, yet blocked or below the
 * minimum release. */
static int check_document(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    struct stage *stage = context;
    const struct flo_digest *wanted = &stage->job->release;

    FLO_TRY(flo_release_verify(data, bytes, stage->trust, &stage->verified, err));
    if (!flo_digest_is_zero(wanted) && !flo_digest_equal(wanted, &stage->verified.digest)) {
        char text[FLO_DIGEST_TEXT];
        flo_digest_text(&stage->verified.digest, text);
        flo_release_verified_deinit(&stage->verified);
        return flo_fail(err, FLO_E_NET_CONTENT, "this is release %s, not the one asked for", text);
    }
    stage->has_release = true;
    return 0;
}

static int look_into_bundle(struct stage *stage, struct flo_buf *out, struct flo_err *err)
{
    const struct flo_update_job *job = stage->job;

    FLO_TRY(flo_fetch_bundle_look(job->bundle, stage->trust, &job->release, &stage->offer, err));
    if (!flo_digest_is_zero(&job->release) &&
        !flo_digest_equal(&job->release, &stage->offer.release)) {
        return flo_fail(err, FLO_E_BUNDLE_MISSING, "the bundle carries another release than asked");
    }
    flo_buf_add(out, stage->offer.envelope.data, stage->offer.envelope.bytes);
    return check_document(stage, out->data, out->bytes, err);
}

/* Gets the release document.  A document on disk is verified again: its bytes
 * may be damaged, or its keys no longer trusted. */
static int get_document(struct stage *stage, struct flo_buf *out, struct flo_err *err)
{
    const struct flo_digest *release = &stage->job->release;

    if (stage->job->bundle != NULL) {
        return look_into_bundle(stage, out, err);
    }
    if (flo_store_envelope_load(stage->store, release, out, NULL) == 0 &&
        check_document(stage, out->data, out->bytes, NULL) == 0) {
        return 0;
    }
    flo_buf_deinit(out);
    return flo_fetch_envelope(&stage->fetch, release, check_document, stage, out, err);
}

/* Verifies the document's signature, then stores envelope and body. */
static int take_document(struct stage *stage, struct flo_err *err)
{
    struct flo_buf text = {0};
    int rv = get_document(stage, &text, err);

    if (rv == 0) {
        struct flo_release_document document = {
            .envelope = text.data,
            .envelope_bytes = text.bytes,
            .body = stage->verified.body,
            .body_bytes = stage->verified.body_bytes,
        };
        rv = flo_store_release_put(stage->store, &document, err);
    }
    flo_buf_deinit(&text);
    return rv < 0 ? flo_wrap(err, rv, "release document") : 0;
}

/* ---- what is here, and the plan ---- */

static void add_present(struct stage *stage, const struct flo_digest *digest, uint64_t bytes)
{
    if (!flo_digest_is_zero(digest) && flo_store_blob_has(stage->store, digest, bytes)) {
        stage->present[stage->input.present_count++] = *digest;
    }
}

/* Lists the files on the disk.  Removes downloads that this release does not
 * need, and counts the space of its own downloads as free.  If the release has
 * a cached prefix, the plan reserves no space for one. */
static void look_at_disk(struct stage *stage)
{
    const struct flo_release *release = &stage->verified.release;
    size_t wanted_count = 0;

    stage->input.present_count = 0;
    stage->input.damaged_count = 0;
    for (uint32_t i = 0; i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        bool is_here = flo_store_blob_has(stage->store, &file->digest, file->bytes);
        add_present(stage, &file->digest, file->bytes);
        if (file->chunk_bytes > 0 && flo_store_part_is_damaged(stage->store, &file->digest)) {
            stage->damaged[stage->input.damaged_count++] = file->digest;
        }
        for (uint32_t w = 0; w < file->way_count; w++) {
            add_present(stage, &file->ways[w].base, 0);
            if (!is_here) {
                stage->wanted[wanted_count++] = file->ways[w].digest;
            }
        }
        if (!is_here) { /* a patch may already have made some bytes of the file */
            stage->wanted[wanted_count++] = file->digest;
        }
    }
    uint64_t taken =
        flo_store_partials_keep(stage->store, stage->wanted, wanted_count, &stage->job->others);
    stage->profile.disk_free_bytes = flo_store_disk_free(stage->store) + taken;
    stage->profile.kept_bytes = flo_store_prefixes_bytes(stage->store);
    if (flo_store_prefix_has(stage->store, &stage->verified.digest)) {
        stage->profile.prefix_bytes = 0;
    }
}

static void make_room(const struct stage *stage)
{
    struct flo_collected dropped = {0};

    if (stage->plan.drop_bytes > 0) {
        flo_store_prefixes_drop(stage->store, stage->plan.drop_bytes, &dropped);
        flo_log(FLO_LOG_INFO, "stage", "the disk is short: removed %u kept prefixes, %llu bytes",
                dropped.files, (unsigned long long)dropped.bytes);
    }
}

/* Removes unfinished downloads of kinds that the plan did not choose; their
 * space was counted as free. */
static void drop_others(struct stage *stage)
{
    const struct flo_release *release = &stage->verified.release;
    size_t count = 0;

    for (uint32_t i = 0; i < stage->plan.step_count; i++) {
        const struct flo_release_file *file = &release->files[stage->plan.steps[i].file];
        const struct flo_way *way = &file->ways[stage->plan.steps[i].way];
        if (stage->plan.steps[i].is_present) {
            continue;
        }
        stage->wanted[count++] = way->digest;
        if (flo_make_goes_on(way)) {
            stage->wanted[count++] = file->digest;
            flo_store_part_remove(stage->store, &file->digest);
        } else {
            flo_store_made_remove(stage->store, &file->digest);
        }
    }
    (void)flo_store_partials_keep(stage->store, stage->wanted, count, &stage->job->others);
}

static int make_plan(struct stage *stage, struct flo_err *err)
{
    look_at_disk(stage);
    stage->done_before = 0;
    int rv = flo_plan_make(&stage->input, &stage->plan, err);

    if (rv == FLO_E_BLOB_ABSENT && stage->job->bundle != NULL) {
        rv = err->code = FLO_E_BUNDLE_MISSING;
    }
    if (rv == 0) {
        drop_others(stage);
        make_room(stage);
    }
    return rv;
}

/* Sends a progress word for the last and largest file only, so that the agent
 * sees downloading, applying and verifying in this order. */
static void say(const struct stage *stage, const char *word)
{
    if (stage->is_last) {
        flo_event_word(stage->event_fd, word);
    }
}

/* ---- one file ---- */

/* Verifies a file's digest on the disk, and that a model has finite numbers
 * only.  Fetch and apply checked the bytes as they arrived; this function reads
 * them back. */
static int verify(struct stage *stage, const struct flo_release_file *file, int fd,
                  struct flo_err *err)
{
    struct flo_digest actual;
    uint64_t bytes = 0;
    bool is_model = strcmp(file->role, "model") == 0 || strcmp(file->role, "adapter") == 0;
    bool is_native = flo_release_is_native(&stage->verified.release.variants[stage->plan.variant]);

    if (is_stopped(stage, err)) {
        return FLO_E_INTERRUPTED;
    }
    FLO_TRY(!is_model   ? flo_sha256_fd(fd, &actual, &bytes, err)
            : is_native ? flo_model_scan(fd, &actual, &bytes, err)
                        : flo_file_scan(fd, file->name, &actual, &bytes, err));
    if (bytes != file->bytes || !flo_digest_equal(&actual, &file->digest)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "%llu bytes of another digest than signed",
                        (unsigned long long)bytes);
    }
    return 0;
}

static struct flo_artifact artifact_of_way(const struct stage *stage,
                                           const struct flo_release_file *file,
                                           const struct flo_way *way)
{
    struct flo_artifact artifact = {.digest = way->digest, .bytes = way->bytes};

    if (way->codec == FLO_CODEC_RAW && stage->chunks != NULL) {
        artifact.chunk_bytes = file->chunk_bytes;
        artifact.chunk_count = flo_release_chunks(file);
        artifact.chunks = stage->chunks;
    }
    return artifact;
}

/* ---- hashes of chunks ---- */

/* A list of chunk hashes and its signed digest. */
struct chunk_list {
    struct flo_digest digest;
    size_t bytes; /* size that its file requires */
};

static int check_list(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    const struct chunk_list *list = context;
    struct flo_digest found;

    flo_sha256(data, bytes, &found);
    if (!flo_digest_equal(&found, &list->digest)) {
        return flo_fail(err, FLO_E_TARGET_HASH, "%zu bytes that are not the list of chunks", bytes);
    }
    return bytes == list->bytes ? 0
                                : flo_fail(err, FLO_E_META_SCHEMA,
                                           "the list of chunks has %zu bytes, the file needs "
                                           "%zu",
                                           bytes, list->bytes);
}

static int fetch_list(struct stage *stage, struct chunk_list *list, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_digest put;

    FLO_TRY(flo_fetch_small(&stage->fetch, &list->digest, FLO_RELEASE_CHUNKS_MAX * FLO_DIGEST_BYTES,
                            check_list, list, &text, err));
    return flo_store_blob_put(stage->store, text.data, text.bytes, &put, err);
}

static int read_list(struct stage *stage, struct chunk_list *list, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    uint64_t bytes = 0;

    FLO_TRY(flo_store_blob_open(stage->store, &list->digest, &fd, &bytes, err));
    if (bytes != list->bytes) {
        return flo_fail(err, FLO_E_TARGET_HASH, "its list of chunks was cut");
    }
    stage->chunks = malloc(list->bytes);
    if (stage->chunks == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a list of chunks");
    }
    FLO_TRY(flo_fd_pread_all(fd, stage->chunks, list->bytes, 0, err));
    return check_list(list, stage->chunks, list->bytes, err);
}

static void forget_chunks(struct stage *stage)
{
    free(stage->chunks);
    stage->chunks = NULL;
}

/* Loads the chunk hashes, so that damage in a raw file costs one chunk, not the
 * whole file.  If a bundle lacks the list, only the file's own digest is
 * checked. */
static int load_chunks(struct stage *stage, const struct flo_release_file *file,
                       const struct flo_way *way, struct flo_err *err)
{
    struct chunk_list list = {.digest = file->chunk_list,
                              .bytes = (size_t)flo_release_chunks(file) * FLO_DIGEST_BYTES};

    forget_chunks(stage);
    if (list.bytes == 0 || way->codec != FLO_CODEC_RAW ||
        (flo_store_blob_has(stage->store, &list.digest, 0) && read_list(stage, &list, NULL) == 0)) {
        return 0;
    }
    forget_chunks(stage);
    if (stage->job->bundle != NULL) {
        return 0;
    }
    int rv = fetch_list(stage, &list, err);
    if (rv == 0) {
        rv = read_list(stage, &list, err);
    }
    return rv < 0 ? flo_wrap(err, rv, "chunks") : 0;
}

/* Finishes a raw file that is complete in partial/: verifies and renames it.
 * Removes bytes that have the right digest but fail the scan, because fetching
 * them again would not help. */
static int finish_raw(struct stage *stage, const struct flo_release_file *file, int fd,
                      struct flo_err *err)
{
    int rv = verify(stage, file, fd, err);

    if (rv < 0) {
        if (rv != FLO_E_INTERRUPTED && rv != FLO_E_IO_READ) {
            flo_store_part_remove(stage->store, &file->digest);
        }
        return rv;
    }
    return flo_store_part_publish(stage->store, fd, &file->digest, err);
}

/* Free space in bytes that must be left, besides packed weights, if a used
 * patch is kept as a blob for neighbours.  A garbage collection for lack of
 * space removes such patches first. */
#define ROOM_BYTES (64u << 20)
static bool keeps(const struct stage *stage)
{
    return stage->job->keeps_patches &&
           flo_store_disk_free(stage->store) >=
               stage->plan.packed_bytes + stage->plan.prefix_bytes + ROOM_BYTES;
}

static int fetch_way(struct stage *stage, const struct flo_release_file *file,
                     const struct flo_way *way, int *fd, struct flo_err *err)
{
    struct flo_artifact artifact = artifact_of_way(stage, file, way);

    FLO_TRY(flo_fetch_artifact(&stage->fetch, &artifact, fd, err));
    stage->done_before += way->bytes;
    return 0;
}

static int get_raw(struct stage *stage, const struct flo_release_file *file,
                   const struct flo_way *way, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(load_chunks(stage, file, way, err));
    FLO_TRY(fetch_way(stage, file, way, &fd, err));
    say(stage, "verifying");
    return finish_raw(stage, file, fd, err);
}

/* Finishes a file whose patch is complete: makes the remaining bytes, verifies
 * the file and names it. */
static int finish_made(struct stage *stage, struct flo_make *make,
                       const struct flo_release_file *file, int patch_fd, struct flo_err *err)
{
    int fd = -1;

    say(stage, "applying");
    FLO_TRY(flo_make_end(make, patch_fd, &fd, err));
    say(stage, "verifying");
    FLO_TRY(verify(stage, file, fd, err));
    return flo_make_publish(make, err);
}

static int get_made(struct stage *stage, const struct flo_release_file *file,
                    const struct flo_way *way, struct flo_err *err)
{
    const struct flo_make_job job = {stage->store, &stage->fetch, stage->event_fd, file, way};
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct flo_make *make = NULL;

    forget_chunks(stage);
    int rv = flo_make_begin(&job, &make, err);
    if (rv == 0) {
        rv = fetch_way(stage, file, way, &fd, err);
    }
    if (rv < 0) {
        flo_make_free(make);
        return rv;
    }
    rv = finish_made(stage, make, file, fd, err);
    flo_make_free(make);
    if (rv == 0 && keeps(stage) &&
        flo_store_part_publish(stage->store, fd, &way->digest, NULL) == 0) {
        return 0;
    }
    /* The patch is deleted once it is used, or when it is broken: it would fail
     * again. */
    if (rv == 0 || flo_error_exit(rv) == FLO_EXIT_VERIFY) {
        flo_store_part_remove(stage->store, &way->digest);
        flo_store_made_remove(stage->store, &file->digest);
    }
    return rv;
}

static int get_file(struct stage *stage, const struct flo_release_file *file,
                    const struct flo_way *way, struct flo_err *err)
{
    return way->codec == FLO_CODEC_RAW ? get_raw(stage, file, way, err)
                                       : get_made(stage, file, way, err);
}

/* Checks a blob that exists, because an old blob may be damaged by now. */
static int check_present(struct stage *stage, const struct flo_release_file *file,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_store_blob_open_verified(stage->store, &file->digest, &fd, NULL, err));
    say(stage, "verifying");
    FLO_TRY(verify(stage, file, fd, err));
    return flo_store_blobs_sync(stage->store, err);
}

/* ---- the whole ---- */

/* Tells whether the download itself failed, so that another download of the
 * file may work. */
static bool is_ways_fault(const struct stage *stage, int code)
{
    switch (code) {
    case FLO_E_PATCH_FORMAT:
    case FLO_E_PATCH_TRUNCATED:
    case FLO_E_PATCH_BOUNDS:
    case FLO_E_PATCH_LIMIT:
    case FLO_E_PATCH_STREAM:
    case FLO_E_PATCH_BASE:
    case FLO_E_PATCH_BASE_CORRUPT:
    case FLO_E_TARGET_HASH:
    case FLO_E_BLOB_ABSENT:
    case FLO_E_IO_SYMLINK:
    case FLO_E_IO_READ:
        return true;
    default:
        return flo_error_exit(code) != FLO_EXIT_VERIFY &&
               flo_error_exit(code) != FLO_EXIT_REFUSED && flo_error_exit(code) != FLO_EXIT_OTHER &&
               !stage->fetch.is_passing;
    }
}

/* Carries out all steps of the plan.  After an error *failed is the index of
 * the step that failed. */
static int carry_out(struct stage *stage, uint32_t *failed, struct flo_err *err)
{
    const struct flo_release *release = &stage->verified.release;

    for (uint32_t i = 0; i < stage->plan.step_count; i++) {
        const struct flo_release_file *file = &release->files[stage->plan.steps[i].file];
        const struct flo_way *way = &file->ways[stage->plan.steps[i].way];
        stage->is_last = i + 1 == stage->plan.step_count;
        int rv = stage->plan.steps[i].is_present ? check_present(stage, file, err)
                                                 : get_file(stage, file, way, err);
        if (rv < 0) {
            *failed = i;
            return flo_wrap(err, rv, "%s", file->name);
        }
    }
    return 0;
}

/* Describes the list of chunk hashes of a file that is fetched raw.  Returns
 * false when the list is not available, or on disk already. */
static bool find_list(const struct stage *stage, const struct flo_release_file *file,
                      const struct flo_way *way, struct flo_artifact *out)
{
    *out = (struct flo_artifact){.digest = file->chunk_list,
                                 .bytes = (uint64_t)flo_release_chunks(file) * FLO_DIGEST_BYTES};
    if (file->chunk_bytes == 0 || way->codec != FLO_CODEC_RAW ||
        flo_store_blob_has(stage->store, &out->digest, out->bytes)) {
        return false;
    }
    for (size_t i = 0; i < stage->offer.count; i++) {
        if (flo_digest_equal(&stage->offer.digests[i], &out->digest)) {
            return true;
        }
    }
    return false;
}

static int keep_list(struct stage *stage, const struct flo_artifact *list, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_fetch_artifact(&stage->fetch, list, &fd, err));
    return flo_store_part_publish(stage->store, fd, &list->digest, err);
}

static bool is_wanted(const struct flo_artifact *wanted, size_t count,
                      const struct flo_digest *digest)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_digest_equal(&wanted[i].digest, digest)) {
            return true;
        }
    }
    return false;
}

static int take_from_bundle(struct stage *stage, struct flo_err *err)
{
    const struct flo_release *release = &stage->verified.release;
    struct flo_artifact wanted[2 * FLO_RELEASE_FILES_MAX];
    struct flo_artifact lists[FLO_RELEASE_FILES_MAX];
    size_t list_count = 0;
    size_t count = 0;

    forget_chunks(stage);
    for (uint32_t i = 0; i < stage->plan.step_count; i++) {
        const struct flo_release_file *file = &release->files[stage->plan.steps[i].file];
        if (!stage->plan.steps[i].is_present) {
            const struct flo_way *way = &file->ways[stage->plan.steps[i].way];
            if (find_list(stage, file, way, &lists[list_count]) &&
                !is_wanted(lists, list_count, &file->chunk_list)) {
                list_count++;
            }
            if (!is_wanted(wanted, count, &way->digest)) {
                wanted[count++] = artifact_of_way(stage, file, way);
            }
        }
    }
    if (count == 0) {
        return 0;
    }
    memcpy(wanted + count, lists, list_count * sizeof(*lists));
    FLO_TRY(flo_fetch_bundle_take(&stage->fetch, stage->job->bundle, stage->trust, wanted,
                                  count + list_count, err));
    for (size_t i = 0; i < list_count; i++) {
        FLO_TRY(keep_list(stage, &lists[i], err));
    }
    return 0;
}

/* Excludes the download that failed and plans again.  Returns 0 when another
 * way exists. */
static int plan_again(struct stage *stage, uint32_t step, const struct flo_err *why)
{
    uint32_t file = stage->plan.steps[step].file;
    const struct flo_release_file *facts = &stage->verified.release.files[file];
    enum flo_codec from = facts->ways[stage->plan.steps[step].way].codec;
    bool was_present = stage->plan.steps[step].is_present;
    struct flo_err err = {0};

    if (!was_present) {
        stage->input.ways_failed[file] |= 1u << stage->plan.steps[step].way;
    }
    FLO_TRY(make_plan(stage, &err));
    for (uint32_t i = 0; i < stage->plan.step_count; i++) {
        if (stage->plan.steps[i].file == file && !stage->plan.steps[i].is_present) {
            flo_event_fallback(stage->event_fd, was_present ? FLO_CODEC_RAW : from,
                               facts->ways[stage->plan.steps[i].way].codec, why);
        }
    }
    return 0;
}

static int stage_files(struct stage *stage, struct flo_err *err)
{
    int rv = make_plan(stage, err);

    while (rv == 0) {
        uint32_t failed = 0;
        flo_event_planned(stage->event_fd, &stage->verified.release, &stage->plan);
        if (stage->job->budget_bytes == 0) {
            /* The budget is three times what is needed, as a limit for mirrors
             * that send wrong bytes. */
            stage->fetch.budget_bytes =
                stage->fetch.fetched_bytes + 3 * stage->plan.fetch_bytes + FLO_PART_UNIT;
        }
        if (stage->job->bundle != NULL) {
            rv = take_from_bundle(stage, err);
            if (rv < 0) {
                break;
            }
        }
        rv = carry_out(stage, &failed, err);
        if (rv == 0) {
            break;
        }
        if (!is_ways_fault(stage, rv) || plan_again(stage, failed, err) < 0) {
            break;
        }
        flo_log_err(FLO_LOG_WARN, "stage", err);
        rv = 0;
    }
    if (rv == 0) {
        (void)flo_store_partials_keep(stage->store, NULL, 0, &stage->job->others);
    }
    return rv;
}

static void fill_in(struct stage *stage, const struct flo_update_job *job)
{
    stage->profile = job->profile;
    stage->fetch = (struct flo_fetch){
        .store = stage->store,
        .url_count = job->bundle == NULL ? job->url_count : 0,
        .http = {.ca_file = job->ca_file,
                 .cert_file = job->cert_file,
                 .key_file = job->key_file,
                 .rate_bytes_per_s = job->rate_bytes_per_s},
        .attempts_max = (uint32_t)job->attempts_max,
        .pause_ms_min = job->pause_ms_min,
        .pause_ms_max = job->pause_ms_max,
        .budget_bytes = job->budget_bytes,
        .deadline_ms = job->deadline_ms == 0 ? 0 : flo_now_ms() + job->deadline_ms,
        .neighbours = {.count = job->bundle == NULL ? job->neighbour_count : 0,
                       .turn_ms = job->neighbours_turn_ms,
                       .wait_ms = job->neighbours_wait_ms,
                       .patience_ms = job->neighbours_patience_ms,
                       .on_wait = on_wait},
        .control_fd = stage->event_fd,
        .on_progress = on_progress,
        .context = stage,
    };
    memcpy(stage->fetch.urls, job->urls, sizeof(job->urls));
    memcpy(stage->fetch.neighbours.urls, job->neighbours, sizeof(job->neighbours));
    stage->input = (struct flo_plan_input){
        .release = &stage->verified.release,
        .profile = &stage->profile,
        .present = stage->present,
        .damaged = stage->damaged,
        .memory_bytes_max = job->memory_bytes_max,
        .variant = job->variant,
    };
}

/* Tells whether a later attempt may succeed. */
static bool may_pass(const struct stage *stage, int code)
{
    return stage->fetch.is_passing || code == FLO_E_DISK_FULL || code == FLO_E_INTERRUPTED ||
           code == FLO_E_MEMORY || code == FLO_E_DESCRIPTORS || code == FLO_E_NET_BUDGET;
}

static int run(struct stage *stage, struct flo_err *err)
{
    uint64_t started_ms = flo_now_ms();
    int rv = flo_trust_load(stage->job->trust_file, &stage->trust, err);

    if (rv < 0) {
        return flo_wrap(err, rv, "%s", stage->job->trust_file);
    }
    FLO_TRY(take_document(stage, err));
    if (stage->job->bundle != NULL) {
        stage->input.offered = stage->offer.digests;
        stage->input.offered_count = stage->offer.count;
    }
    rv = stage_files(stage, err);
    if (rv == 0 && stage->job->variant == NULL) {
        rv = flo_store_variant_keep(stage->store, &stage->verified.digest,
                                    &stage->verified.release.variants[stage->plan.variant], NULL,
                                    err);
    }
    if (rv == 0) {
        flo_event_staged(stage->event_fd, &stage->verified.digest, &stage->plan, &stage->fetch,
                         flo_now_ms() - started_ms);
    }
    return rv;
}

int flo_stage(const struct flo_update_job *job, struct flo_store *store, int fd, bool *is_passing,
              struct flo_err *err)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    if (stage == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for the job");
    }
    stage->job = job;
    stage->store = store;
    stage->event_fd = fd;
    fill_in(stage, job);
    int rv = run(stage, err);

    *is_passing = rv < 0 && may_pass(stage, rv);
    if (stage->has_release) {
        flo_release_verified_deinit(&stage->verified);
    }
    forget_chunks(stage);
    flo_buf_deinit(&stage->offer.envelope);
    flo_fetch_deinit(&stage->fetch);
    flo_trust_free(stage->trust);
    free(stage);
    return rv;
}
