/* Work on batches in a folder: kills at each step, requests that come back
 * late, too early or never, and files that are not as they were left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/serve/batch/work.h"
#include "unit/remove_tree.h"
#include "unit/waits.h"

#define REQUEST                                                                                    \
    "{\"custom_id\":\"r%d\",\"method\":\"POST\",\"url\":"                                          \
    "\"/v1/completions\",\"body\":{\"prompt\":\"%d\"}}\n"
#define LINES 40

struct world {
    char folder[64];
    struct flo_batch_store store;
    struct flo_batch_work work;
    char batch[FLO_OBJECT_ID];
    struct flo_batch_job *jobs; /* sent, the last one first */
    unsigned sent;
    int status;          /* of all answers */
    unsigned refusals;   /* so many answers before are 503 */
    const char *refusal; /* its code */
    struct flo_err err;
};

static void submit(void *context, struct flo_batch_job *job)
{
    struct world *world = context;

    job->note.next = (void *)world->jobs;
    world->jobs = job;
    world->sent++;
}

static void open_world(struct world *world)
{
    memset(&world->store, 0, sizeof(world->store));
    memset(&world->work, 0, sizeof(world->work));
    snprintf(world->store.folder, sizeof(world->store.folder), "%s/b", world->folder);
    world->store.bytes_max = 1u << 20;
    world->store.keep_s = 1000;
    world->work.store = &world->store;
    world->work.submit = submit;
    world->work.context = world;
    flo_batch_work_open(&world->work);
    assert_int_equal(flo_batch_store_open(&world->store, &world->err), 0);
}

/* As kill -9: what was not synced may stand in the files, and a job is lost. */
static void kill_world(struct world *world)
{
    while (world->jobs != NULL) {
        struct flo_batch_job *job = world->jobs;
        world->jobs = (void *)job->note.next;
        flo_batch_job_free(job);
    }
    flo_batch_work_close(&world->work);
    flo_batch_store_close(&world->store);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    strcpy(world->folder, "/tmp/flo-batch-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    world->status = 200;
    world->refusal = "infer.busy";
    open_world(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    kill_world(world);
    (void)umount(world->store.folder); /* where one was mounted */
    remove_tree(world->folder);
    free(world);
    return 0;
}

static void write_file(const struct world *world, const char *id, const char *text, int flags)
{
    int fd = -1;

    assert_int_equal(
        flo_batch_store_file(&world->store, id, "", O_WRONLY | O_CREAT | flags, &fd, NULL), 0);
    assert_int_equal(flo_fd_write_all(fd, text, strlen(text), NULL), 0);
    close(fd);
}

static char *read_file(const struct world *world, const char *id)
{
    char path[4096];
    char *text = NULL;
    size_t bytes;

    flo_batch_store_path(&world->store, id, "", path);
    assert_int_equal(flo_file_read(path, 1u << 20, &text, &bytes, NULL), 0);
    return text;
}

/* A batch of these lines; line 7 is none where `has_bad`. */
static struct flo_batch *begin(struct world *world, bool has_bad)
{
    struct flo_batch_file file = {.created_s = 1, .expires_s = UINT32_MAX};
    struct flo_batch batch = {.endpoint = 1, .expires_s = UINT32_MAX};
    struct flo_buf text = {0};

    for (int i = 1; i <= LINES; i++) {
        if (has_bad && i == 7) {
            flo_buf_text(&text, "{half\n");
        } else {
            flo_buf_printf(&text, REQUEST, i, i);
        }
    }
    flo_object_id_make("file-", file.id);
    write_file(world, file.id, text.data, 0);
    file.bytes = text.bytes;
    flo_buf_deinit(&text);
    strcpy(file.name, "in");
    assert_int_equal(flo_batch_store_add(&world->store, &file, &world->err), 0);
    batch.at_s[FLO_BATCH_VALIDATING] = 1;
    strcpy(batch.input, file.id);
    flo_object_id_make("batch-", batch.id);
    strcpy(world->batch, batch.id);
    assert_int_equal(flo_batch_store_begin(&world->store, &batch, &world->err), 0);
    return flo_batch_store_batch(&world->store, "", world->batch);
}

static struct flo_batch *look(const struct world *world)
{
    return flo_batch_store_batch(&world->store, "", world->batch);
}

/* The request that was sent last is answered first. */
static bool answer_one(struct world *world)
{
    struct flo_batch_job *job = world->jobs;

    if (job == NULL) {
        return false;
    }
    world->jobs = (void *)job->note.next;
    if (world->refusals > 0) {
        world->refusals--;
        job->answer.status = 503;
        flo_buf_printf(&job->answer.body, "{\"error\":{\"code\":\"%s\",\"message\":\"busy\"}}",
                       world->refusal);
    } else {
        job->answer.status = world->status;
        flo_buf_add(&job->answer.body, job->body.data, job->body.bytes);
    }
    flo_batch_work_answer(&world->work, job);
    return true;
}

/* Steps and answers until the end, or until so many were done. */
static bool play(struct world *world, unsigned steps_max)
{
    for (unsigned i = 0; i < steps_max; i++) {
        if (flo_batch_status_is_end(look(world)->status)) {
            return true;
        }
        uint64_t next_ms = flo_batch_work_step(&world->work);
        if (!answer_one(world) && next_ms != 0) {
            look(world)->next_ms = 0; /* time passes */
            world->work.pause_ms = 0;
            for (size_t k = 0; k < FLO_BATCH_AHEAD; k++) {
                world->work.slots[k].again_ms = 0;
            }
        }
    }
    return false;
}

/* Each line once and in order: those of `id` from `from` to `to`, but one. */
static void expect_lines(const struct world *world, const char *id, int from, int to, int but)
{
    char *text = read_file(world, id), *at = text;
    char wanted[64];

    for (int i = from; i <= to; i++) {
        if (i == but) {
            continue;
        }
        char *end = strchr(at, '\n');
        assert_non_null(end);
        *end = '\0';
        snprintf(wanted, sizeof(wanted), "\"custom_id\":\"r%d\"", i);
        assert_non_null(strstr(at, wanted));
        at = end + 1;
    }
    assert_string_equal(at, "");
    free(text);
}

static void expect_whole(struct world *world)
{
    const struct flo_batch *batch = look(world);

    assert_int_equal(batch->status, FLO_BATCH_COMPLETED);
    assert_int_equal(batch->total, LINES);
    assert_int_equal(batch->completed, LINES - 1);
    assert_int_equal(batch->failed, 1);
    expect_lines(world, batch->output, 1, LINES, 7);
    char *error = read_file(world, batch->error);
    assert_non_null(strstr(error, "\"line\":7}}\n"));
    assert_ptr_equal(strchr(error, '\n'), error + strlen(error) - 1);
    free(error);
}

/* ---- tests ---- */

static void answers_in_any_order_are_written_in_the_order_of_the_lines(void **state)
{
    struct world *world = *state;

    begin(world, true);
    assert_true(play(world, 100000));

    expect_whole(world);
    assert_int_equal(world->sent, LINES - 1);
}

static void a_kill_after_any_step_loses_no_line_and_doubles_none(void **state)
{
    struct world *world = *state;
    unsigned steps = 0;
    bool is_over = false;

    for (steps = 1; !is_over; steps++) {
        begin(world, true);
        is_over = play(world, steps);
        kill_world(world);
        open_world(world);
        assert_true(play(world, 100000));
        expect_whole(world);
    }
    assert_true(steps > LINES); /* all its steps were met */
}

static void a_kill_after_each_step_comes_to_an_end_all_the_same(void **state)
{
    struct world *world = *state;
    unsigned kills = 0;

    begin(world, true);
    while (!play(world, 60)) {
        kill_world(world);
        open_world(world);
        assert_true(++kills < 1000);
    }
    expect_whole(world);
}

static void what_stands_behind_the_counted_bytes_is_cut_away(void **state)
{
    struct world *world = *state;

    begin(world, true);
    assert_false(play(world, LINES));
    struct flo_batch batch = *look(world);
    kill_world(world);
    write_file(world, batch.output, "{\"id\":\"batch_req_99", O_APPEND);
    write_file(world, batch.error, "{\"torn", O_APPEND);
    open_world(world);

    assert_true(play(world, 100000));
    expect_whole(world);
}

static void answers_that_are_gone_fail_the_batch(void **state)
{
    struct world *world = *state;
    char path[4096];

    begin(world, false);
    assert_false(play(world, LINES));
    assert_true(look(world)->completed > 0);
    flo_batch_store_path(&world->store, look(world)->output, "", path);
    kill_world(world);
    assert_int_equal(truncate(path, 1), 0);
    open_world(world);

    assert_true(play(world, 100));
    assert_int_equal(look(world)->status, FLO_BATCH_FAILED);
    assert_int_equal(look(world)->code, FLO_E_META_SCHEMA);
    assert_int_equal(access(path, F_OK), -1);
}

static void an_input_that_is_gone_fails_the_batch(void **state)
{
    struct world *world = *state;
    char path[4096];

    flo_batch_store_path(&world->store, begin(world, false)->input, "", path);
    assert_int_equal(unlink(path), 0);

    assert_true(play(world, 100));
    assert_int_equal(look(world)->status, FLO_BATCH_FAILED);
}

static void a_busy_device_gets_every_request_again(void **state)
{
    struct world *world = *state;

    begin(world, true);
    world->refusals = 100;
    assert_true(play(world, 100000));

    expect_whole(world);
    assert_int_equal(world->sent, LINES - 1 + 100);
}

static void a_request_on_which_the_engine_dies_is_given_up(void **state)
{
    struct world *world = *state;

    begin(world, false);
    world->refusal = "engine.crash";
    world->refusals = UINT32_MAX;
    assert_true(play(world, 100000));

    assert_int_equal(look(world)->status, FLO_BATCH_COMPLETED);
    assert_int_equal(look(world)->failed, LINES);
    assert_int_equal(world->sent, LINES * FLO_BATCH_TRIES_MAX);
    assert_string_equal(look(world)->output, "");
    expect_lines(world, look(world)->error, 1, LINES, 0);
}

static void a_batch_whose_time_is_over_answers_the_rest_with_that(void **state)
{
    struct world *world = *state;

    begin(world, false);
    while (look(world)->completed == 0) {
        assert_false(play(world, 1));
    }
    look(world)->expires_s = 1;
    assert_true(play(world, 100000));

    const struct flo_batch *batch = look(world);
    assert_int_equal(batch->status, FLO_BATCH_EXPIRED);
    assert_int_equal(batch->completed + batch->failed, LINES);
    char *error = read_file(world, batch->error);
    assert_non_null(strstr(error, "\"code\":\"batch_expired\""));
    free(error);
    expect_lines(world, batch->output, 1, (int)batch->completed, 0);
}

static void a_folder_without_room_makes_answers_wait(void **state)
{
    struct world *world = *state;

    begin(world, true);
    assert_false(play(world, LINES));
    world->store.bytes_max = 1;
    assert_false(play(world, 200));
    assert_non_null(strstr(look(world)->waits, "over batch_limit, 1"));
    unsigned sent = world->sent;
    assert_false(play(world, 200));
    assert_int_equal(world->sent, sent); /* nothing is asked in vain */
    world->store.bytes_max = 1u << 20;
    assert_true(play(world, 100000));

    expect_whole(world);
    assert_int_equal(world->sent, LINES - 1);
}

/* The folder is on a disk of its own, as small as a few files. */
static void mount_small(struct world *world)
{
    kill_world(world);
    if (mount("tmpfs", world->store.folder, "tmpfs", 0, "size=64k,mode=0700") != 0) {
        open_world(world);
        skip(); /* only root may */
    }
    open_world(world);
}

/* Another program's file takes all the room that there is. */
static void fill_disk(const struct world *world)
{
    static const char block[4096];
    char path[4096];

    flo_batch_store_path(&world->store, "ballast", "", path);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void free_disk(const struct world *world)
{
    char path[4096];

    flo_batch_store_path(&world->store, "ballast", "", path);
    assert_int_equal(unlink(path), 0);
}

static void a_full_disk_makes_answers_wait_and_says_so(void **state)
{
    struct world *world = *state;

    mount_small(world);
    begin(world, true);
    assert_false(play(world, LINES));
    fill_disk(world);
    while (look(world)->waits[0] == '\0') {
        assert_false(play(world, 1));
    }
    assert_non_null(strstr(look(world)->waits, "disk.full"));
    assert_int_equal(look(world)->status, FLO_BATCH_IN_PROGRESS);
    assert_false(play(world, 100));
    free_disk(world);
    assert_true(play(world, 100000));

    expect_whole(world);
}

static void a_disk_that_is_full_at_any_step_loses_no_line(void **state)
{
    struct world *world = *state;
    bool is_over = false;

    mount_small(world);
    for (unsigned steps = 0; !is_over; steps += 3) {
        begin(world, true);
        is_over = play(world, steps);
        fill_disk(world);
        (void)play(world, 30);
        if (steps % 2 == 1) {
            kill_world(world); /* it finds the disk full when it starts */
            open_world(world);
            (void)play(world, 30);
        }
        free_disk(world);
        assert_true(play(world, 100000));
        expect_whole(world);
        flo_batch_store_expire(&world->store, UINT32_MAX); /* makes room */
    }
}

static void a_full_disk_delivers_whole_answers_alone_at_the_end(void **state)
{
    struct world *world = *state;
    struct stat st;
    char path[4096];

    mount_small(world);
    begin(world, false);
    assert_false(play(world, LINES));
    fill_disk(world);
    while (look(world)->waits[0] == '\0') {
        assert_false(play(world, 1));
    }
    free_disk(world);
    fill_disk(world);
    assert_int_equal(flo_batch_work_cancel(&world->work, look(world), &world->err),
                     FLO_E_DISK_FULL);
    free_disk(world);
    world->store.bytes_max = 1; /* as full as before */
    assert_int_equal(flo_batch_work_cancel(&world->work, look(world), &world->err), 0);
    assert_true(play(world, 100));

    const struct flo_batch *batch = look(world);
    assert_int_equal(batch->status, FLO_BATCH_CANCELLED);
    flo_batch_store_path(&world->store, batch->output, "", path);
    assert_int_equal(stat(path, &st), 0);
    const struct flo_batch_file *file = flo_batch_store_find(&world->store, "", batch->output);
    assert_non_null(file);
    assert_int_equal(st.st_size, file->bytes);
    expect_lines(world, batch->output, 1, (int)batch->completed, 0);
}

static void an_input_that_cannot_be_opened_just_now_fails_no_batch(void **state)
{
    struct world *world = *state;
    char path[4096], aside[4200];

    begin(world, true);
    assert_false(play(world, LINES));
    flo_batch_store_path(&world->store, look(world)->input, "", path);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    kill_world(world);
    open_world(world);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0); /* ENXIO */
    assert_false(play(world, 100));
    assert_non_null(strstr(look(world)->waits, "No such device"));
    assert_int_equal(rename(aside, path), 0);

    assert_true(play(world, 100000));
    expect_whole(world);
}

static void a_clock_that_is_set_costs_no_file_and_no_batch_its_time(void **state)
{
    struct world *world = *state;
    const int64_t years_ms = 50 * 365 * INT64_C(86400000);

    for (int64_t by_ms = -years_ms; by_ms <= years_ms; by_ms += 2 * years_ms) {
        begin(world, true);
        assert_false(play(world, LINES));
        struct flo_batch_file *input = flo_batch_store_find(&world->store, "", look(world)->input);
        world->store.clock_ms += by_ms; /* as it was before it was set */
        uint64_t now_s = flo_batch_store_now_s(&world->store);
        look(world)->at_s[FLO_BATCH_VALIDATING] = now_s;
        look(world)->expires_s = now_s + 86400;
        input->expires_s = now_s + 1000;

        flo_batch_store_follow_clock(&world->store);
        now_s = waits_wall_ms() / 1000;
        assert_in_range(look(world)->expires_s, now_s + 86300, now_s + 86500);
        assert_in_range(input->expires_s, now_s + 900, now_s + 1100);
        kill_world(world);
        open_world(world);
        flo_batch_store_expire(&world->store, flo_batch_store_now_s(&world->store));
        assert_true(play(world, 100000));
        expect_whole(world);
    }
}

static void answers_that_are_removed_under_way_fail_the_batch(void **state)
{
    struct world *world = *state;
    char path[4096];

    begin(world, true);
    assert_false(play(world, LINES));
    assert_true(look(world)->completed > 0);
    flo_batch_store_path(&world->store, look(world)->output, "", path);
    assert_int_equal(unlink(path), 0);

    assert_true(play(world, 100000));
    assert_int_equal(look(world)->status, FLO_BATCH_FAILED);
    assert_int_equal(look(world)->code, FLO_E_META_SCHEMA);
    assert_non_null(strstr(look(world)->what, "has less than"));
    assert_int_equal(world->store.n_files, 1); /* the input */
}

static void an_error_of_the_disk_asks_again_and_takes_no_late_answer(void **state)
{
    struct world *world = *state;

    begin(world, true);
    while (world->jobs == NULL) {
        flo_batch_work_step(&world->work);
    }
    struct flo_batch_job *late = world->jobs;
    world->jobs = (void *)late->note.next;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(dup2(fd, world->work.output_fd) >= 0);
    close(fd);
    while (look(world)->waits[0] == '\0') {
        assert_false(play(world, 1));
    }
    assert_non_null(strstr(look(world)->waits, "Bad file descriptor"));
    look(world)->next_ms = 0;
    flo_batch_work_step(&world->work); /* all are sent once more */
    late->answer.status = 400;
    flo_batch_work_answer(&world->work, late);
    assert_true(play(world, 100000));

    expect_whole(world);
}

static void a_folder_that_is_away_for_a_moment_fails_no_batch(void **state)
{
    struct world *world = *state;
    char aside[64 + 8];

    begin(world, true);
    snprintf(aside, sizeof(aside), "%s/aside", world->folder);
    assert_int_equal(rename(world->store.folder, aside), 0);
    assert_false(play(world, 10));
    assert_int_equal(rename(aside, world->store.folder), 0);

    assert_true(play(world, 100000));
    expect_whole(world);
}

static void a_batch_that_waits_is_cancelled_at_once(void **state)
{
    struct world *world = *state;

    begin(world, true);
    assert_false(play(world, LINES));
    kill_world(world);
    open_world(world);
    look(world)->next_ms = UINT64_MAX - 1; /* as after an error of the disk */
    assert_int_equal(flo_batch_work_step(&world->work), UINT64_MAX - 1);
    assert_int_equal(flo_batch_work_cancel(&world->work, look(world), &world->err), 0);
    flo_batch_work_step(&world->work);

    assert_int_equal(look(world)->status, FLO_BATCH_CANCELLED);
}

static void an_input_outlives_its_time_while_it_is_read(void **state)
{
    struct world *world = *state;

    begin(world, true);
    assert_false(play(world, LINES));
    flo_batch_store_expire(&world->store, UINT32_MAX);
    kill_world(world);
    open_world(world);

    assert_true(play(world, 100000));
    expect_whole(world);
}

static void a_file_of_another_size_than_it_had_is_nobodys(void **state)
{
    struct world *world = *state;
    char path[4096];

    flo_batch_store_path(&world->store, begin(world, true)->input, "", path);
    kill_world(world);
    assert_int_equal(truncate(path, 1), 0);
    open_world(world);

    assert_int_equal(world->store.n_files, 0);
    assert_int_equal(access(path, F_OK), -1);
}

static void an_id_has_hex_digits_alone(void **state)
{
    (void)state;
    assert_true(flo_object_id_is("file-", "file-0123456789abcdef01234567"));
    assert_false(flo_object_id_is("file-", "file-../../../../etc/passwd12"));
    assert_false(flo_object_id_is("file-", "file-0123456789abcdef0123456"));
}

static void lines_that_need_no_model_are_synced_in_groups_too(void **state)
{
    struct world *world = *state;
    struct flo_buf text = {0};

    begin(world, false);
    for (int i = 0; i < 10 * FLO_BATCH_AHEAD; i++) {
        flo_buf_text(&text, "{half\n");
    }
    write_file(world, look(world)->input, text.data, O_TRUNC);
    flo_buf_deinit(&text);
    world->work.sync_ms = INT64_MAX;
    world->work.committed_ms = waits_now_ms();
    assert_true(play(world, 1000));

    assert_int_equal(look(world)->failed, 10 * FLO_BATCH_AHEAD);
    assert_int_equal(world->work.progress.sequence, 1);
}

static void a_late_answer_of_an_ended_run_does_nothing(void **state)
{
    struct world *world = *state;

    begin(world, true);
    while (world->jobs == NULL) {
        flo_batch_work_step(&world->work);
    }
    struct flo_batch_job *late = world->jobs;
    world->jobs = (void *)late->note.next;
    world->work.run++; /* as after an error of the disk */
    late->answer.status = 200;
    flo_batch_work_answer(&world->work, late);
    world->work.run--;

    assert_int_equal(world->work.slots[FLO_BATCH_AHEAD - 1].state, SLOT_SENT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(answers_in_any_order_are_written_in_the_order_of_the_lines),
        T(a_kill_after_any_step_loses_no_line_and_doubles_none),
        T(a_kill_after_each_step_comes_to_an_end_all_the_same),
        T(what_stands_behind_the_counted_bytes_is_cut_away),
        T(answers_that_are_gone_fail_the_batch),
        T(an_input_that_is_gone_fails_the_batch),
        T(a_busy_device_gets_every_request_again),
        T(a_request_on_which_the_engine_dies_is_given_up),
        T(a_batch_whose_time_is_over_answers_the_rest_with_that),
        T(a_folder_without_room_makes_answers_wait),
        T(a_full_disk_makes_answers_wait_and_says_so),
        T(a_disk_that_is_full_at_any_step_loses_no_line),
        T(a_full_disk_delivers_whole_answers_alone_at_the_end),
        T(an_input_that_cannot_be_opened_just_now_fails_no_batch),
        T(a_clock_that_is_set_costs_no_file_and_no_batch_its_time),
        T(answers_that_are_removed_under_way_fail_the_batch),
        T(an_error_of_the_disk_asks_again_and_takes_no_late_answer),
        T(a_folder_that_is_away_for_a_moment_fails_no_batch),
        T(a_batch_that_waits_is_cancelled_at_once),
        T(an_input_outlives_its_time_while_it_is_read),
        T(a_file_of_another_size_than_it_had_is_nobodys),
        T(an_id_has_hex_digits_alone),
        T(lines_that_need_no_model_are_synced_in_groups_too),
        T(a_late_answer_of_an_ended_run_does_nothing),
    };
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
