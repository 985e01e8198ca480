/* Adapters' files: which are found, and what is done about a difference. */
#include "agent/serve/standalone/loras.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/io.h>

struct world {
    char folder[64];
    struct lora_source source;
    struct lora_list loaded, wanted;
};
static struct world world;

static const char *path_of(const char *file)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", world.folder, file);
    return path;
}

static void put(const char *file, const char *text)
{
    int fd = open(path_of(file), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static int world_open(void **state)
{
    (void)state;
    memset(&world, 0, sizeof(world));
    strcpy(world.folder, "/tmp/flo-loras-XXXXXX");
    assert_non_null(mkdtemp(world.folder));
    world.source.folder = world.folder;
    return 0;
}

static int world_close(void **state)
{
    static const char *const files[] = {"a.gguf", "b.gguf",  "c.gguf", "Bad.gguf",
                                        "a.txt",  ".d.gguf", "named"};
    (void)state;
    flo_loras_deinit(&world.loaded);
    flo_loras_deinit(&world.wanted);
    for (size_t i = 0; i < FLO_COUNT(files); i++) {
        unlink(path_of(files[i]));
    }
    return rmdir(world.folder);
}

static void look(struct lora_list *list)
{
    struct flo_err err = {0};
    flo_loras_deinit(list);
    if (flo_loras_open(&world.source, false, list, &err) < 0) {
        fail_msg("%s", err.what);
    }
}

static void expect_names(const struct lora_list *list, const char *names)
{
    char got[1024] = "";
    for (uint32_t i = 0; i < list->count; i++) {
        strcat(strcat(got, i > 0 ? " " : ""), list->files[i].name);
    }
    assert_string_equal(got, names);
}

static void a_folder_gives_its_adapters_in_order(void **state)
{
    struct flo_err err = {0};
    (void)state;
    put("b.gguf", "b");
    put("a.gguf", "a");
    put("a.txt", "no adapter");
    put(".d.gguf", "not whole yet");
    look(&world.wanted);
    expect_names(&world.wanted, "a b");
    /* A name that is not allowed: left out, or an error at the start. */
    put("Bad.gguf", "b");
    look(&world.wanted);
    expect_names(&world.wanted, "a b");
    assert_int_equal(flo_loras_open(&world.source, true, &world.loaded, &err), FLO_E_META_NAME);
    assert_int_equal(world.loaded.count, 0);
}

static void a_link_out_of_the_folder_is_no_adapter(void **state)
{
    struct flo_err err = {0};
    (void)state;
    put("a.gguf", "a");
    assert_int_equal(symlink("a.gguf", path_of("b.gguf")), 0);
    assert_int_equal(symlink("/etc/hostname", path_of("c.gguf")), 0);
    look(&world.wanted);
    expect_names(&world.wanted, "a b");
    assert_int_equal(flo_loras_open(&world.source, true, &world.loaded, &err), FLO_E_IO_SYMLINK);
}

static void a_named_file_is_before_the_folders(void **state)
{
    char text[300];
    struct flo_err err = {0};
    (void)state;
    put("named", "n");
    put("a.gguf", "a");
    snprintf(text, sizeof(text), "a=%s", path_of("named"));
    assert_int_equal(flo_loras_name(&world.source, text, &err), 0);
    assert_int_equal(flo_loras_name(&world.source, text, &err), FLO_E_USAGE);
    look(&world.wanted); /* the folder's has no name any more */
    expect_names(&world.wanted, "a");
    assert_int_equal(world.wanted.files[0].stat.st_size, 1);
    unlink(path_of("a.gguf"));
    unlink(path_of("named"));
    look(&world.wanted);
    expect_names(&world.wanted, "");
    assert_int_equal(flo_loras_open(&world.source, true, &world.loaded, &err), FLO_E_ABSENT);
    world.source.count = 0;
    for (int i = 0; i < FLO_SERVE_ADAPTERS_MAX; i++) {
        static const char *const all[] = {"a=x", "b=x", "c=x", "d=x", "e=x", "f=x", "g=x", "h=x"};
        assert_int_equal(flo_loras_name(&world.source, all[i], &err), 0);
    }
    assert_int_equal(flo_loras_name(&world.source, "i=x", &err), FLO_E_USAGE);
}

static void a_folder_that_is_gone_changes_nothing(void **state)
{
    struct flo_err err = {0};
    (void)state;
    put("a.gguf", "a");
    look(&world.loaded);
    world.source.folder = path_of("elsewhere");
    assert_int_equal(flo_loras_open(&world.source, false, &world.wanted, &err), FLO_E_IO_OPEN);
}

static void what_goes_is_dropped_and_what_comes_is_loaded(void **state)
{
    struct lora_file *file;
    (void)state;
    put("a.gguf", "a");
    put("b.gguf", "b");
    look(&world.loaded);
    look(&world.wanted);
    assert_null(flo_loras_to_drop(&world.loaded, &world.wanted));
    assert_null(flo_loras_to_load(&world.loaded, &world.wanted));

    put("b.gguf", "changed");
    put("c.gguf", "c");
    unlink(path_of("a.gguf"));
    look(&world.wanted);
    assert_string_equal(flo_loras_to_drop(&world.loaded, &world.wanted)->name, "a");
    flo_loras_remove(&world.loaded, "a");
    assert_null(flo_loras_to_drop(&world.loaded, &world.wanted));
    file = flo_loras_to_load(&world.loaded, &world.wanted);
    assert_string_equal(file->name, "b");
    flo_loras_put(&world.loaded, file);
    file = flo_loras_to_load(&world.loaded, &world.wanted);
    assert_string_equal(file->name, "c");
    file->is_refused = true; /* not tried again, and not there */
    assert_null(flo_loras_to_load(&world.loaded, &world.wanted));
    expect_names(&world.loaded, "b");
    assert_int_equal(world.loaded.files[0].stat.st_size, 7);
    assert_true(fcntl(world.loaded.files[0].fd, F_GETFD) >= 0);
    flo_loras_deinit(&world.wanted); /* the descriptor moved */
    assert_true(fcntl(world.loaded.files[0].fd, F_GETFD) >= 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_open, world_close)
    const struct CMUnitTest tests[] = {
        TEST(a_folder_gives_its_adapters_in_order),
        TEST(a_link_out_of_the_folder_is_no_adapter),
        TEST(a_named_file_is_before_the_folders),
        TEST(a_folder_that_is_gone_changes_nothing),
        TEST(what_goes_is_dropped_and_what_comes_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
