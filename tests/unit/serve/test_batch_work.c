/* Work on batches in a folder: kills at each step, requests that come back
 * late, too early or never, and files that are not as they were left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/serve/batch/work.h"
#include "unit/remove_tree.h"

#define REQUEST                                                                \
    "{\"custom_id\":\"r%d\",\"method\":\"POST\",\"url\":"                      \
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
    snprintf(world->store.folder, sizeof(world->store.folder), "%s/b",
             world->folder);
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
    remove_tree(world->folder);
    free(world);
    return 0;
}

static void write_file(const struct world *world, const char *id,
                       const char *text, int flags)
{
    int fd = -1;

    assert_int_equal(flo_batch_store_file(&world->store, id, "",
                                          O_WRONLY | O_CREAT | flags, &fd,
                                          NULL),
                     0);
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
    assert_int_equal(flo_batch_store_begin(&world->store, &batch, &world->err),
                     0);
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
        flo_buf_printf(&job->answer.body,
                       "{\"error\":{\"code\":\"%s\",\"message\":\"busy\"}}",
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
static void expect_lines(const struct world *world, const char *id, int from,
                         int to, int but)
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

static void
answers_in_any_order_are_written_in_the_order_of_the_lines(void **state)
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
        T(a_late_answer_of_an_ended_run_does_nothing),
    };
    flo_log_level_set(FLO_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
