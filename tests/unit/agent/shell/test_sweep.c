/* Room on a full disk: what goes first, and what goes once per job. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "agent/shell/update/update.h"
#include "unit/remove_tree.h"

struct world {
    char dir[64];
    struct flo_shell *shell;
    struct flo_digest release; /* on its way */
    struct flo_digest step;    /* of it */
};

static struct flo_digest put(struct world *world, const char *content)
{
    struct flo_digest digest;

    assert_int_equal(flo_store_blob_put(world->shell->store, content,
                                        strlen(content), &digest, NULL),
                     0);
    return digest;
}

static bool has(const struct world *world, const struct flo_digest *digest)
{
    return flo_store_blob_has(world->shell->store, digest, 0);
}

static void file_of(struct flo_release_file *file, const char *name,
                    const char *role, const struct flo_digest *digest)
{
    strcpy(file->name, name);
    strcpy(file->role, role);
    file->digest = *digest;
    file->bytes = 3;
    file->way_count = 1;
    file->ways[0].digest = *digest;
    file->ways[0].bytes = 3;
}

/* A release that the device was told to take, by the step that it made. */
static void take(struct world *world)
{
    struct flo_release *release = calloc(1, sizeof(*release));
    struct flo_slots slots = {.model = "tiny"};
    struct flo_buf body = {0};
    struct flo_digest model;

    flo_sha256("new", 3, &model);
    world->step = put(world, "two");
    *release =
        (struct flo_release){.number = 3, .file_count = 2, .variant_count = 1};
    strcpy(release->fleet, "demo");
    strcpy(release->model, "tiny");
    strcpy(release->version, "3");
    strcpy(release->license, "apache-2.0");
    strcpy(release->variants[0].name, "q4_0");
    release->variants[0].file_count = 1;
    file_of(&release->files[0], "model.gguf", "model", &model);
    file_of(&release->files[1], "steps/two", "step", &world->step);
    release->files[1].ways[0].codec = FLO_CODEC_TENSOR1;
    release->files[1].ways[0].base = model;
    release->files[1].ways[0].memory_bytes = 1000;
    assert_int_equal(flo_release_write(release, &body, NULL), 0);
    assert_int_equal(flo_store_blob_put(world->shell->store, body.data,
                                        body.bytes, &world->release, NULL),
                     0);
    slots.stated.target = world->release;
    slots.stated.number = 7;
    slots.stated.outcome = FLO_STATED_OPEN;
    assert_int_equal(flo_store_slots_write(world->shell->store, &slots, NULL),
                     0);
    flo_buf_deinit(&body);
    free(release);
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    strcpy(world->dir, "/tmp/flo-sweep-XXXXXX");
    world->shell = calloc(1, sizeof(*world->shell));
    if (mkdtemp(world->dir) == NULL ||
        flo_store_open(world->dir, true, &world->shell->store, NULL) < 0) {
        return -1;
    }
    take(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    flo_store_close(world->shell->store);
    int rv = remove_tree(world->dir);
    free(world->shell);
    free(world);
    return rv;
}

static void what_nothing_names_goes_before_the_steps(void **state)
{
    struct world *world = *state;
    struct flo_digest old = put(world, "old");

    assert_true(flo_shell_make_room(world->shell, 1, &world->release));
    assert_false(has(world, &old));
    assert_true(has(world, &world->step));
    assert_true(has(world, &world->release));
}

/* Else a device whose disk fills again and again fetches them without end. */
static void steps_go_once_per_job(void **state)
{
    struct world *world = *state;

    assert_true(flo_shell_make_room(world->shell, 1, &world->release));
    assert_false(has(world, &world->step));
    assert_true(has(world, &world->release));

    put(world, "two");
    assert_false(flo_shell_make_room(world->shell, 1, &world->release));
    assert_true(has(world, &world->step));

    assert_true(flo_shell_make_room(world->shell, 2, &world->release));
    assert_false(has(world, &world->step));
}

static void a_sweep_without_haste_keeps_them(void **state)
{
    struct world *world = *state;

    assert_true(flo_shell_make_room(world->shell, 1, &world->release));
    put(world, "two");
    assert_int_equal(flo_shell_sweep(world->shell, NULL, 0), 0);
    assert_true(has(world, &world->step));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_nothing_names_goes_before_the_steps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(steps_go_once_per_job, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sweep_without_haste_keeps_them,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
