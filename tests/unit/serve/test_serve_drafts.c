/* Drafts: their way to the engine, and what is seen of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/serve/serve_world.h"

#define ASKED "{\"prompt\":\"a\"}"

/* A file with this text. */
static int file_of(const char *text)
{
    int fd = memfd_create("file", MFD_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static struct flo_serve_model model_with(const char *draft)
{
    return (struct flo_serve_model){.fd = file_of("model"),
                                    .draft_fd = draft == NULL ? 0 : file_of(draft),
                                    .model = "tiny",
                                    .version = "1"};
}

static void open_model(const struct flo_serve_model *model)
{
    struct flo_err err = {0};
    int before = world.loaded;

    assert_int_equal(flo_serve_load(world.serve, 0, FLO_ROLE_CURRENT, model, &err), 0);
    RUN_UNTIL(world.loaded > before);
}

static void open_with_draft(const char *draft)
{
    const struct flo_serve_model model = model_with(draft);

    world_open_with(DRAFTING_ENGINE, 0, 0);
    open_model(&model);
}

static void expect(const struct client *client, const char *wanted)
{
    if (strstr(client->text, wanted) == NULL) {
        fail_msg("no %s in %s", wanted, client->text);
    }
}

static void expect_draft(const char *wanted)
{
    static struct client client;

    ask(&client, "/v1/models", "");
    assert_int_equal(client.status, 200);
    expect(&client, wanted);
}

/* ---- tests ---- */

static void the_draft_stands_in_front_of_the_prefix(void **state)
{
    struct flo_serve_model model = model_with("FLODRAFT");
    (void)state;

    model.packed_fd = file_of("packed");
    model.n_adapters = 1;
    strcpy(model.adapters[0].name, "site");
    model.adapters[0].fd = file_of("adapter");
    model.prefix_fd = file_of("kept");
    world_open_with(DRAFTING_ENGINE, 0, 0);

    open_model(&model);

    struct flo_serve_status status = status_now();
    assert_string_equal(status.kernel, "mpaFk");
    assert_string_equal(status.draft.kind, "table");
    assert_int_equal(status.draft.bytes, 4096);
    assert_string_equal(status.draft.why, "");
    world_close();
}

static void a_model_without_a_draft_is_opened_as_before(void **state)
{
    static struct client client;
    (void)state;

    open_with_draft(NULL);

    struct flo_serve_status status = status_now();
    assert_string_equal(status.kernel, "m");
    assert_null(flo_serve_draft_json(&status.draft));
    ask(&client, "/v1/models", "");
    assert_null(strstr(client.text, "draft"));
    world_close();
}

static void a_draft_that_is_left_out_leaves_its_reason(void **state)
{
    (void)state;
    open_with_draft("other");
    assert_string_equal(status_now().draft.kind, "");
    expect_draft("\"draft\":{\"why\":\"it is no \\\"draft\\\"\"},\"parent\"");
    world_close();
}

static void an_engine_that_knows_no_drafts_gives_that_as_its_reason(void **state)
{
    (void)state;
    setenv("FLO_DRAFTING", "old", 1);
    open_with_draft("FLODRAFT");
    unsetenv("FLO_DRAFTING");
    expect_draft("\"draft\":{\"why\":\"this engine does not use drafts\"}");
    world_close();
}

static void a_reason_of_the_caller_is_shown(void **state)
{
    struct flo_serve_model model = model_with(NULL);
    (void)state;

    strcpy(model.draft_why, "it is damaged");
    world_open_with(DRAFTING_ENGINE, 0, 0);
    open_model(&model);
    expect_draft("\"draft\":{\"why\":\"it is damaged\"}");
    world_close();
}

static void guesses_are_counted_for_the_model_and_its_draft(void **state)
{
    static struct client client;
    (void)state;

    open_with_draft("FLODRAFT");
    expect_draft(
        "\"draft\":{\"kind\":\"table\",\"bytes\":4096,\"guessed\":0,\"guessed_right\":0},");
    ask(&client, "/v1/completions", ASKED);
    assert_int_equal(client.status, 200);
    ask(&client, "/v1/completions", ASKED);
    expect_draft("\"guessed\":10,\"guessed_right\":6,\"tokens_per_step\":2.0}");
    /* an answer without guesses says nothing of the draft */
    ask(&client, "/v1/completions", "{\"prompt\":\"a\",\"speculative\":false}");
    assert_int_equal(client.status, 200);
    assert_int_equal(status_now().draft.tokens, 12);
    ask(&client, "/metrics", "");
    expect(&client, "\nflotilla_model_tokens_guessed_total{model=\"tiny\"} 15\n");
    expect(&client, "\nflotilla_model_tokens_guessed_right_total{model=\"tiny\"} 9\n");
    world_close();
}

/* The file behind a descriptor, whose number may be another one's later; 0:
 * none. */
static ino_t inode_of(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static void a_draft_is_closed_whether_its_model_is_loaded_or_not(void **state)
{
    struct flo_serve_model model = model_with("FLODRAFT");
    struct flo_serve_model second = model_with("FLODRAFT");
    ino_t drafts[] = {inode_of(model.draft_fd), inode_of(second.draft_fd)};
    struct flo_err err = {0};
    (void)state;

    world_open_with(DRAFTING_ENGINE, 0, 0);
    open_model(&model);
    assert_true(inode_of(model.draft_fd) != drafts[0]);
    assert_int_equal(flo_serve_load(world.serve, 0, FLO_ROLE_CURRENT, &second, &err), FLO_E_STATE);
    assert_true(inode_of(second.draft_fd) != drafts[1]);
    world_close();
}

/* ---- plans ---- */

static struct {
    bool is_over;
    struct flo_serve_planned plans[2];
} planning;

static void on_planned(void *context, const struct flo_serve_planned *plans,
                       const struct flo_err *err)
{
    (void)context;
    assert_null(err);
    memcpy(planning.plans, plans, sizeof(planning.plans));
    planning.is_over = true;
}

static void a_plan_has_the_draft_where_it_is_asked_for(void **state)
{
    struct flo_serve_planning spec = {.fd = file_of("model"),
                                      .packed_fd = file_of("packed"),
                                      .draft_fd = file_of("FLODRAFT"),
                                      .count = 2,
                                      .ways = {{.has_draft = true}},
                                      .done = on_planned};
    ino_t draft = inode_of(spec.draft_fd);
    struct serve_planner *planner;
    struct flo_err err = {0};
    (void)state;

    world_open_with(DRAFTING_ENGINE, 0, 0);
    assert_int_equal(flo_serve_plan(world.serve, &spec, &planner, &err), 0);
    RUN_UNTIL(planning.is_over);
    assert_int_equal(planning.plans[0].private_bytes, 1003);
    assert_int_equal(planning.plans[1].private_bytes, 1002);
    assert_true(inode_of(spec.draft_fd) != draft);
    world_close();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_draft_stands_in_front_of_the_prefix),
        cmocka_unit_test(a_model_without_a_draft_is_opened_as_before),
        cmocka_unit_test(a_draft_that_is_left_out_leaves_its_reason),
        cmocka_unit_test(an_engine_that_knows_no_drafts_gives_that_as_its_reason),
        cmocka_unit_test(a_reason_of_the_caller_is_shown),
        cmocka_unit_test(guesses_are_counted_for_the_model_and_its_draft),
        cmocka_unit_test(a_draft_is_closed_whether_its_model_is_loaded_or_not),
        cmocka_unit_test(a_plan_has_the_draft_where_it_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
