/* Links at the start of the agent: which ones go, which ones stay. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/hooks/hooks.h"
#include "tests/shell_rooms.h"
#include "unit/remove_tree.h"

#define MODEL "camera"

static struct flo_shell shell; /* large */
static char dir[64];
static struct flo_err err;

static int set_up(void **state)
{
    static const struct flo_config_row rows[] = {
        {"runtimes_dir", FLO_CONFIG_TEXT, 0, 0, NULL, false, NULL, ""}};
    const struct flo_digest release = {{1, 2, 3}};
    char text[100];

    (void)state;
    shell_empty(&shell);
    strcpy(dir, "/tmp/flo-hooks-XXXXXX");
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(text, sizeof(text), "runtimes_dir: %s\n", dir);
    shell.base = event_base_new();
    if (shell.base == NULL ||
        flo_config_parse(text, strlen(text), "test", rows, 1, &shell.settings.config, &err) < 0 ||
        flo_store_open(dir, true, &shell.store, &err) < 0) {
        return -1;
    }
    return flo_store_link_set(shell.store, MODEL, "robot", &release, &err);
}

static int tear_down(void **state)
{
    (void)state;
    flo_hooks_close(&shell);
    flo_store_close(shell.store);
    flo_config_free(shell.settings.config);
    event_base_free(shell.base);
    return remove_tree(dir);
}

static bool has_link_after_start(void)
{
    flo_hooks_start(&shell);
    return flo_hooks_has_link(&shell, MODEL);
}

static void a_link_without_a_model_goes(void **state)
{
    (void)state;
    assert_false(has_link_after_start());
}

static void a_link_of_a_model_that_is_here_stays(void **state)
{
    (void)state;
    strcpy(shell.models[3].slots.model, MODEL);
    assert_true(has_link_after_start());
}

/* It may name the release that the program has just now. */
static void a_link_stays_while_its_record_cannot_be_read(void **state)
{
    struct flo_slots slots = {.current = {{1, 2, 3}}};
    char path[128];
    char bytes[8192];

    (void)state;
    strcpy(slots.model, MODEL);
    assert_int_equal(flo_store_slots_write(shell.store, &slots, &err), 0);
    snprintf(path, sizeof(path), "%s/slots/" MODEL ".bin", dir);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    memset(bytes, 0x55, sizeof(bytes));
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    close(fd);
    assert_true(has_link_after_start());
}

/* Its record is good, and all places are taken by others. */
static void a_link_stays_while_its_model_has_no_place(void **state)
{
    struct flo_slots slots = {.current = {{1, 2, 3}}};

    (void)state;
    strcpy(slots.model, MODEL);
    assert_int_equal(flo_store_slots_write(shell.store, &slots, &err), 0);
    assert_true(has_link_after_start());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_link_without_a_model_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_of_a_model_that_is_here_stays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_stays_while_its_record_cannot_be_read, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_link_stays_while_its_model_has_no_place, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
