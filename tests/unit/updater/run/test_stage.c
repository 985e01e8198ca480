/* The worker as the agent sees it: the shipped program, a job line in, event
 * lines out, and what is on disk afterwards. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "base/host/crypto.h"
#include "base/host/digest.h"
#include "blobs.h"
#include "stage_world.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"
#include "updater/fetch/part.h"
#include "updater/store/store.h"

/* ---- tests ---- */

static void a_release_is_staged_by_its_delta(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    uint64_t patch_bytes = release.files[0].ways[1].bytes;
    uint64_t golden_bytes = release.files[1].bytes;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    put_blob_of(world, OLD);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"bsdiff40\"");
    assert_event(world, "\"prefix_bytes\":8192");
    char bytes[64];
    snprintf(bytes, sizeof(bytes), "\"bytes\":%llu,",
             (unsigned long long)(patch_bytes + golden_bytes));
    assert_event(world, bytes);
    /* In this order, once each. */
    const char *applying = strstr(world->events, "\"applying\"");
    const char *verifying = strstr(world->events, "\"verifying\"");
    assert_true(applying != NULL && verifying > applying);
    assert_true(patch_bytes < 500000);

    /* Again: nothing is fetched. */
    world->mirror.requests = 0;
    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    assert_int_equal(world->mirror.requests, 0);
    assert_event(world, "everything is here");
}

static void without_the_base_the_full_file_is_taken(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    publisher_add_way(&world->publisher, &release, 0, "zstd", NULL);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"codec\":\"zstd\"");
    assert_event(world, "the delta's base is not here");
}

/* The patch as signed, but not a patch. */
static void a_broken_patch_falls_back_to_the_full_file(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    char bad[4000];
    char path[256];

    memset(bad, 'B', sizeof(bad));
    memcpy(bad, "BSDIFF40", 8);
    struct flo_way *way = &release.files[0].ways[1];
    flo_sha256(bad, sizeof(bad), &way->digest);
    way->codec = FLO_CODEC_BSDIFF40;
    way->bytes = sizeof(bad);
    assert_int_equal(flo_sha256_file(OLD, &way->base, NULL, NULL), 0);
    release.files[0].way_count = 2;
    publisher_path(&world->publisher, &way->digest, path);
    assert_int_equal(flo_file_write(path, bad, sizeof(bad), 0600, NULL), 0);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    put_blob_of(world, OLD);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "{\"event\":\"fallback\",\"from\":\"bsdiff40\","
                        "\"to\":\"raw\",\"error\":{\"id\":\"patch.");
}

static void a_rotten_base_falls_back_to_the_full_file(void **state)
{
    struct world *world = *state;
    struct flo_digest base;
    struct flo_digest digest = offer_patch(world, &base);

    rot(world, &base, 1000000);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"id\":\"patch.base_corrupt\"");
}

static void a_patch_that_no_mirror_has_falls_back_too(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    char path[256];

    publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
    publisher_path(&world->publisher, &release.files[0].ways[1].digest, path);
    assert_int_equal(unlink(path), 0);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    put_blob_of(world, OLD);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_event(world, "\"event\":\"fallback\"");
}

static void a_model_with_a_nan_gets_no_name(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NAN_MODEL);
    struct flo_digest model = release.files[0].digest;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"model.nonfinite\"");
    assert_event(world, "\"passing\":false");
    assert_int_equal(world->exit_code, FLO_EXIT_VERIFY);
    assert_false(flo_store_blob_has(world->store, &model, 0));
    assert_int_equal(count_partials(world), 0);
}

/* One tensor of two BF16 values, the second as given. */
static void write_safetensors(const struct world *world, uint16_t value, char path[256])
{
    static const char head[] = "{\"norm\":{\"dtype\":\"BF16\",\"shape\":[2],"
                               "\"data_offsets\":[0,4]}}";
    uint8_t bytes[8 + sizeof head - 1 + 4] = {0};

    flo_put_u64(bytes, sizeof head - 1);
    memcpy(bytes + 8, head, sizeof head - 1);
    flo_put_u16(bytes + sizeof bytes - 2, value);
    snprintf(path, 256, "%s/weights", world->dir);
    assert_int_equal(flo_file_write(path, bytes, sizeof bytes, 0600, NULL), 0);
}

static struct flo_digest offer_safetensors(struct world *world, uint16_t value,
                                           struct flo_digest *model)
{
    struct flo_release release = publisher_begin("2.1.0", 3);
    char path[256];

    write_safetensors(world, value, path);
    publisher_add(&world->publisher, &release, "model.safetensors", "model", path);
    strcpy(release.variants[0].runtime, "onnx");
    *model = release.files[0].digest;
    return publisher_sign(&world->publisher, world->publisher.key, &release);
}

static void a_runtime_s_safetensors_with_a_nan_gets_no_name(void **state)
{
    struct world *world = *state;
    struct flo_digest model;
    struct flo_digest digest = offer_safetensors(world, 0x7fc0, &model);

    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"model.nonfinite\"");
    assert_event(world, "tensor 'norm' (BF16): element 1 of 2");
    assert_event(world, "\"passing\":false");
    assert_int_equal(world->exit_code, FLO_EXIT_VERIFY);
    assert_false(flo_store_blob_has(world->store, &model, 0));
    assert_int_equal(count_partials(world), 0);

    digest = offer_safetensors(world, 0x7f7f, &model);
    stage(world, &digest, NULL);
    assert_event(world, "\"event\":\"staged\"");
    assert_true(flo_store_blob_has(world->store, &model, 0));
}

static void the_signature_of_a_stranger_is_refused_before_any_artifact(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_key *stranger = NULL;

    assert_int_equal(flo_key_generate(&stranger, NULL), 0);
    struct flo_digest digest = publisher_sign(&world->publisher, stranger, &release);

    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"sig.unknown_key\"");
    assert_int_equal(world->exit_code, FLO_EXIT_VERIFY);
    assert_int_equal(world->mirror.requests, 1);
    assert_false(flo_store_blob_has(world->store, &digest, 0));
    flo_key_free(stranger);
}

static void a_release_that_no_mirror_has_is_a_lasting_error(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;

    flo_sha256("nothing", 7, &digest);
    stage(world, &digest, NULL);

    assert_event(world, "\"event\":\"failed\"");
    assert_event(world, "\"passing\":false");
}

static void a_dead_mirror_is_a_passing_error(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    world->mirror.status = 503;
    world->mirror.status_count = -1;
    stage(world, &digest, NULL);

    assert_event(world, "\"passing\":true");
    assert_int_equal(world->exit_code, FLO_EXIT_NETWORK);
}

/* Well signed, and another one than the device was told to take. */
static void another_signed_release_in_its_place_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_digest asked, other;
    char asked_path[256], other_path[256];
    struct flo_release release = two_files(world, NEW);

    other = publisher_sign(&world->publisher, world->publisher.key, &release);
    release = two_files(world, OLD);
    asked = publisher_sign(&world->publisher, world->publisher.key, &release);
    publisher_envelope_path(&world->publisher, &asked, asked_path);
    publisher_envelope_path(&world->publisher, &other, other_path);
    assert_int_equal(rename(other_path, asked_path), 0);

    stage(world, &asked, NULL);

    assert_event(world, "\"id\":\"net.content\"");
    assert_event(world, "not the one asked for");
    assert_null(strstr(world->events, "\"event\":\"staged\""));
    assert_false(flo_store_blob_has(world->store, &other, 0));
}

/* It begins with the first byte each time, and each time gives a little more:
 * no count of tries ends that. */
static void a_mirror_that_lies_costs_three_times_the_need(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);

    publisher_add_way(&world->publisher, &release, 0, "zstd", NULL);
    uint64_t need = release.files[0].ways[1].bytes + release.files[1].ways[0].bytes;
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    world->mirror.is_without_range = true;
    world->mirror.cut_after = 200000;
    world->mirror.cut_later = 10000;
    world->mirror.cut_count = -1;

    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"net.budget\"");
    assert_event(world, "\"passing\":true");
    assert_in_range(world->mirror.sent_bytes, 2 * need,
                    3 * need + (3 << 20)); /* what was on its way */
}

static void malformed_job_lines_are_refused(void **state)
{
    struct world *world = *state;
    static const char *const lines[] = {
        "\n",
        "{}\n",
        "{\"v\":1,\"job\":\"dance\"}\n",
        "[1,2,3]\n",
        "{\"v\":1,\"job\":\"stage\",\"state_dir\":5}\n",
        "{\"v\":2}\n",
        "\xff\xfe\n",
    };
    char long_line[70000];
    int fd = -1;

    for (size_t i = 0; i < FLO_COUNT(lines); i++) {
        pid_t pid = stage_start(lines[i], strlen(lines[i]), &fd);
        stage_finish(world, pid, fd);
        assert_event(world, "\"event\":\"failed\"");
        assert_true(world->exit_code != 0 && world->exit_code != FLO_EXIT_INTERNAL);
    }
    memset(long_line, 'x', sizeof(long_line));
    pid_t pid = stage_start(long_line, sizeof(long_line), &fd);
    stage_finish(world, pid, fd);
    assert_event(world, "worker.protocol");

    /* Plain http to another machine. */
    char line[4096];
    char *url;
    struct flo_digest digest = {{1}};
    stage_job_line(world, &digest, NULL, line);
    url = strstr(line, "http://127.0.0.1");
    memcpy(url, "http://127.0.0.x", 16);
    pid = stage_start(line, strlen(line), &fd);
    stage_finish(world, pid, fd);
    assert_event(world, "cfg.range");
}

static int score_of(pid_t pid)
{
    char path[64], text[16] = "";

    snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
    close(fd);
    return atoi(text);
}

static void it_ends_when_the_agent_goes_away(void **state)
{
    struct world *world = *state;
    struct flo_digest digest;
    char line[4096];
    int fd = -1;
    int status = 0;

    flo_sha256("nothing", 7, &digest);
    world->mirror.status = 503;
    world->mirror.status_count = -1;
    stage_job_line(world, &digest, NULL, line);
    /* Long pauses: only the closed end can stop it in time. */
    char *pause = strstr(line, "\"pause_ms_min\":1,\"pause_ms_max\":5}");
    strcpy(pause, "\"attempts_max\":1000}\n");
    pid_t pid = stage_start(line, strlen(line), &fd);
    WAIT_UNTIL(world->mirror.requests != 0);
    /* Memory that is short costs the update, and not who serves. */
    assert_int_equal(score_of(pid), FLO_GOES_FIRST_UPDATER);

    close(fd);

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), flo_error_exit(FLO_E_INTERRUPTED));
}

static void a_second_worker_at_the_same_time_is_refused(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    assert_int_equal(flo_store_partials_lock(world->store, NULL), 0);
    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"state.locked\"");
    assert_event(world, "\"passing\":true");
}

/* Also where another way has fewer bytes than the whole file. */
static void a_rotten_file_costs_one_chunk(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest model = release.files[0].digest;

    publisher_add_way(&world->publisher, &release, 0, "zstd", NULL);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    rot(world, &model, 1500000);
    world->mirror.sent_bytes = 0;

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    /* the chunk, and the hashes of the file's two chunks */
    assert_int_equal(world->mirror.sent_bytes, 1734464 - (1 << 20) + 64);
    assert_event(world, "most of it is here");
}

/* DV11 */
static void a_list_of_chunks_of_another_size_refuses_the_file(void **state)
{
    static const char list[96];
    struct world *world = *state;

    for (size_t bytes = 33; bytes <= sizeof(list); bytes += 63) {
        struct flo_release release = two_files(world, NEW);
        publisher_add_way(&world->publisher, &release, 0, "bsdiff40", OLD);
        publisher_add_list(&world->publisher, &release.files[0], list, bytes);
        struct flo_digest digest =
            publisher_sign(&world->publisher, world->publisher.key, &release);

        stage(world, &digest, NULL);

        assert_event(world, "\"id\":\"meta.schema\"");
        assert_event(world, "list of chunks");
        assert_null(strstr(world->events, "fallback"));
    }
}

/* The right length, under the name of the signed one. */
static void another_list_of_chunks_in_its_place_is_refused(void **state)
{
    static const char list[64];
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    char path[256];

    publisher_path(&world->publisher, &release.files[0].chunk_list, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(flo_file_write(path, list, sizeof(list), 0600, NULL), 0);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_event(world, "not the list of chunks");
    assert_int_equal(world->exit_code, FLO_EXIT_VERIFY);
}

static void a_draft_is_staged_and_kept_and_its_loss_costs_no_release(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_release loaded;

    publisher_add(&world->publisher, &release, "draft.gguf", "draft", OLD);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_int_equal(flo_store_release_load(world->store, &digest, &loaded, NULL), 0);
    const struct flo_release_file *draft = flo_release_find(&loaded, "draft.gguf");
    assert_int_equal(flo_store_collect(world->store, &digest, 1, NULL, NULL), 0);
    assert_true(flo_store_blob_has(world->store, &draft->digest, draft->bytes));
    blob_lose(world->store, &draft->digest);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), 0);
    blob_lose(world->store, &loaded.files[0].digest);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), -1);
    flo_release_deinit(&loaded);
}

/* Both variants are the same files: only the choice can tell them apart. */
static void the_variant_that_was_chosen_is_remembered(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_collected collected = {0};
    struct flo_release loaded;

    release.variants[1] = release.variants[0];
    release.variant_count = 2;
    strcpy(release.variants[0].name, "gpu");
    strcpy(release.variants[0].accelerator[0], "cuda");
    strcpy(release.variants[1].name, "cpu");
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_event(world, "\"event\":\"staged\"");
    assert_int_equal(flo_store_release_load(world->store, &digest, &loaded, NULL), 0);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), 1);
    assert_int_equal(flo_store_collect(world->store, &digest, 1, NULL, NULL), 0);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), 1);
    assert_int_equal(flo_store_variant_instead_of(world->store, &digest, &loaded), -1);
    assert_int_equal(flo_store_variant_keep(world->store, &digest, &loaded.variants[0],
                                            &loaded.variants[1], NULL),
                     0);
    assert_int_equal(flo_store_release_variant(world->store, &digest, &loaded), 0);
    assert_int_equal(flo_store_variant_instead_of(world->store, &digest, &loaded), 1);
    /* document, envelope, two files, their lists of chunks, the choice */
    assert_int_equal(flo_store_collect(world->store, NULL, 0, &collected, NULL), 0);
    assert_int_equal(collected.files, 7);
    flo_release_deinit(&loaded);
}

/* Two models may be on their way: the job of one drops no part of the other. */
static void downloads_that_another_model_wants_are_kept(void **state)
{
    struct world *world = *state;
    struct flo_release other = two_files(world, OLD);
    struct flo_digest part = other.files[0].digest;
    struct flo_release release = two_files(world, NEW);
    struct flo_slots slots = {.model = "other"};
    struct flo_buf body = {0};
    struct flo_digest target;
    char path[300];
    char hex[65];

    assert_int_equal(flo_release_write(&other, &body, NULL), 0);
    assert_int_equal(flo_store_blob_put(world->store, body.data, body.bytes, &target, NULL), 0);
    flo_buf_deinit(&body);
    flo_release_deinit(&other);
    slots.stated.number = 7;
    slots.stated.target = target;
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    flo_hex_encode(part.bytes, 32, hex);
    snprintf(path, sizeof(path), "%s/state/partial/%s.part", world->dir, hex);
    assert_int_equal(flo_file_write(path, "half", 4, 0600, NULL), 0);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    stage(world, &digest, NULL);

    assert_int_equal(world->exit_code, 0);
    assert_int_equal(access(path, R_OK), 0);
    slots.stated.outcome = FLO_STATED_DONE;
    assert_int_equal(flo_store_slots_write(world->store, &slots, NULL), 0);
    stage(world, &digest, NULL);
    assert_int_not_equal(access(path, R_OK), 0);
}

static void a_file_that_became_shorter_is_made_again(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest model = release.files[0].digest;
    char path[256];

    publisher_add_way(&world->publisher, &release, 0, "zstd", NULL);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    blob_path(world->store, &model, path, sizeof(path));
    assert_int_equal(chmod(path, 0600), 0);
    assert_int_equal(truncate(path, 1000000), 0);

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
}

/* The state directory on a disk of its own, and empty. */
static void open_small_disk(struct world *world, const char *options)
{
    flo_store_close(world->store);
    world->store = NULL;
    if (mount("tmpfs", world->state_dir, "tmpfs", 0, options) < 0) {
        print_message("no right to mount a small disk here: skipped\n");
        skip();
    }
    assert_int_equal(flo_store_open(world->state_dir, true, &world->store, NULL), 0);
}

static void close_small_disk(struct world *world)
{
    flo_store_close(world->store);
    world->store = NULL;
    assert_int_equal(umount(world->state_dir), 0);
}

static void a_full_disk_is_told_with_numbers_and_passes(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    open_small_disk(world, "size=1m,mode=0700");
    stage(world, &digest, NULL);

    assert_event(world, "\"id\":\"disk.full\"");
    assert_event(world, "\"passing\":true");
    assert_int_equal(world->exit_code, FLO_EXIT_REFUSED);
    assert_int_equal(count_partials(world), 0);
    close_small_disk(world);
}

static int keep_prefix(const struct world *world, char digit)
{
    char path[256];
    char hex[65] = "";

    memset(hex, digit, 64);
    snprintf(path, sizeof(path), "%s/prefix", world->state_dir);
    (void)mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/prefix/sha256-%s.prefix", world->state_dir, hex);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, 1 << 20), 0);
    return fd;
}

static void a_short_disk_gets_the_room_of_kept_prefixes(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);
    struct flo_digest kept;

    open_small_disk(world, "size=3m,mode=0700");
    int used = keep_prefix(world, '1');
    assert_int_equal(flock(used, LOCK_EX | LOCK_NB), 0);
    close(keep_prefix(world, '2'));
    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    memset(kept.bytes, 0x22, sizeof(kept.bytes));
    assert_false(flo_store_prefix_has(world->store, &kept));
    memset(kept.bytes, 0x11, sizeof(kept.bytes));
    assert_true(flo_store_prefix_has(world->store, &kept));
    close(used);
    close_small_disk(world);
}

/* It gives its room to the file that takes its place, and costs all bytes. */
static void a_rotten_file_goes_where_there_is_no_room_for_two(void **state)
{
    struct world *world = *state;
    struct flo_release release = two_files(world, NEW);
    struct flo_digest digest = publisher_sign(&world->publisher, world->publisher.key, &release);

    open_small_disk(world, "size=3m,mode=0700");
    stage(world, &digest, NULL);
    assert_staged(world, &digest);
    rot(world, &release.files[0].digest, 1500000);
    world->mirror.sent_bytes = 0;

    stage(world, &digest, NULL);

    assert_staged(world, &digest);
    assert_true(world->mirror.sent_bytes >= 1734464);
    close_small_disk(world);
}

/* `random_bytes` of each 4096 are random, the rest is zero. */
static void write_big(const char *path, int mebibytes, size_t random_bytes)
{
    static uint8_t piece[1 << 20];
    uint64_t random = 88172645463325252u;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    for (int i = 0; i < mebibytes; i++) {
        for (size_t n = 0; n < sizeof(piece); n += 8) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            flo_put_u64(piece + n, n % 4096 < random_bytes ? random : 0);
        }
        assert_int_equal(write(fd, piece, sizeof(piece)), sizeof(piece));
    }
    close(fd);
}

/* The shipped program was built with a sanitizer: it has its run time. */
static bool is_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#elif defined(__has_feature)
    return __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
    return false;
#endif
}

/* 200 MiB raw; and 64 MiB as zstd (making it is what takes time). */
static void private_memory_stays_below_32_mib_for_any_size(void **state)
{
    struct world *world = *state;
    char big[160];

    snprintf(big, sizeof(big), "%s/big", world->dir);
    for (int round = 0; round < 2; round++) {
        write_big(big, round == 0 ? 200 : 64, round == 0 ? 4096 : 256);
        struct flo_release release = publisher_begin("9.0.0", 9);
        publisher_add(&world->publisher, &release, "model.gguf", "model", NEW);
        publisher_add(&world->publisher, &release, "big.bin", "other", big);
        if (round == 1) {
            publisher_add_way(&world->publisher, &release, 1, "zstd", NULL);
        }
        struct flo_digest digest =
            publisher_sign(&world->publisher, world->publisher.key, &release);

        stage(world, &digest, NULL);

        assert_staged(world, &digest);
        assert_event(world, round == 0 ? "\"codec\":\"raw\"" : "\"codec\":\"zstd\"");
        print_message("peak resident set: %ld KiB\n", world->usage.ru_maxrss);
        /* All of it, shared libraries included, is below the promise (ten
         * times that with a sanitizer's shadow). */
        assert_true(world->usage.ru_maxrss < (is_sanitized() ? 320 : 32) * 1024);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_world(a_release_is_staged_by_its_delta),
        with_world(without_the_base_the_full_file_is_taken),
        with_world(a_broken_patch_falls_back_to_the_full_file),
        with_world(a_rotten_base_falls_back_to_the_full_file),
        with_world(a_patch_that_no_mirror_has_falls_back_too),
        with_world(a_model_with_a_nan_gets_no_name),
        with_world(a_runtime_s_safetensors_with_a_nan_gets_no_name),
        with_world(the_signature_of_a_stranger_is_refused_before_any_artifact),
        with_world(a_release_that_no_mirror_has_is_a_lasting_error),
        with_world(a_dead_mirror_is_a_passing_error),
        with_world(another_signed_release_in_its_place_is_refused),
        with_world(a_mirror_that_lies_costs_three_times_the_need),
        with_world(malformed_job_lines_are_refused),
        with_world(it_ends_when_the_agent_goes_away),
        with_world(a_second_worker_at_the_same_time_is_refused),
        with_world(a_rotten_file_costs_one_chunk),
        with_world(a_list_of_chunks_of_another_size_refuses_the_file),
        with_world(another_list_of_chunks_in_its_place_is_refused),
        with_world(a_draft_is_staged_and_kept_and_its_loss_costs_no_release),
        with_world(the_variant_that_was_chosen_is_remembered),
        with_world(downloads_that_another_model_wants_are_kept),
        with_world(a_file_that_became_shorter_is_made_again),
        with_world(a_full_disk_is_told_with_numbers_and_passes),
        with_world(a_short_disk_gets_the_room_of_kept_prefixes),
        with_world(a_rotten_file_goes_where_there_is_no_room_for_two),
        with_world(private_memory_stays_below_32_mib_for_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
