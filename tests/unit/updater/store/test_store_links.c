/* Links of models without requests: one step each, and a mark that says when
 * the hook is to run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "unit/remove_tree.h"

static char dir[64];
static struct flo_store *store;
static struct flo_link seen;
static struct flo_err err;
static const struct flo_digest one = {{1}}, two = {{2}};

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/flo-link-XXXXXX");
    assert_non_null(mkdtemp(dir));
    return flo_store_open(dir, true, &store, &err);
}

static int tear_down(void **state)
{
    (void)state;
    flo_store_close(store);
    return remove_tree(dir);
}

static void set(const char *model, const struct flo_digest *release)
{
    assert_int_equal(flo_store_link_set(store, model, "gate", release, &err), 0);
}

static void done(const char *model)
{
    assert_int_equal(flo_store_link_done(store, model, &err), 0);
}

static void look(const char *model)
{
    assert_int_equal(flo_store_link_get(store, model, &seen, &err), 0);
}

static void assert_seen(const struct flo_digest *release, const struct flo_digest *hooked)
{
    static const struct flo_digest none;

    assert_int_equal(seen.has_link, release != NULL);
    assert_memory_equal(&seen.release, release != NULL ? release : &none, sizeof(none));
    assert_memory_equal(&seen.hooked, hooked != NULL ? hooked : &none, sizeof(none));
}

static void no_link_is_no_error(void **state)
{
    (void)state;
    look("gate");
    assert_seen(NULL, NULL);
    assert_false(seen.has_mark);
}

static void a_link_names_the_tree_and_its_hook_is_pending_until_done(void **state)
{
    char path[128], target[128];

    (void)state;
    set("gate", &one);
    look("gate");
    assert_seen(&one, NULL);
    assert_true(seen.has_mark);
    assert_string_equal(seen.runtime, "gate");
    done("gate");
    look("gate");
    assert_seen(&one, &one);
    snprintf(path, sizeof(path), "%s/links/gate", dir);
    ssize_t n = readlink(path, target, sizeof(target) - 1);
    assert_true(n > 0);
    target[n] = '\0';
    assert_memory_equal(target, "../trees/sha256-01", 18);
}

static void another_link_makes_the_hook_pending_and_so_does_the_way_back(void **state)
{
    (void)state;
    set("gate", &one);
    done("gate");
    set("gate", &two);
    look("gate");
    assert_seen(&two, NULL);
    set("gate", &one); /* the hook of the other may have run half */
    look("gate");
    assert_seen(&one, NULL);
}

static void a_removed_link_keeps_its_mark_until_the_hook_ran(void **state)
{
    (void)state;
    set("gate", &one);
    done("gate");
    set("gate", NULL);
    look("gate");
    assert_seen(NULL, NULL);
    assert_true(seen.has_mark);
    assert_string_equal(seen.runtime, "gate");
    done("gate");
    look("gate");
    assert_false(seen.has_mark);
}

static void all_models_with_a_link_or_a_mark_are_listed_once(void **state)
{
    char models[8][FLO_NAME_MAX + 1];

    (void)state;
    assert_int_equal(flo_store_links(store, models, 8), 0);
    set("gate", &one);
    set("new", &two);
    set("gone", &one);
    set("gone", NULL);
    assert_int_equal(flo_store_links(store, models, 8), 3);
    assert_int_equal(flo_store_links(store, models, 2), 2);
}

/* A person's file where ours belongs is replaced, not followed. */
static void what_is_no_link_of_ours_names_no_release(void **state)
{
    char path[128];

    (void)state;
    set("gate", &one);
    snprintf(path, sizeof(path), "%s/links/gate", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    look("gate");
    assert_true(seen.has_link);
    set("gate", &two);
    look("gate");
    assert_seen(&two, NULL);
}

static void a_mark_has_the_name_of_a_runtime(void **state)
{
    static const char *const texts[] = {"a123456789b123456789c123456789d pending",
                                        "a123456789b123456789c123456789d1 pending", " pending",
                                        "pending"};
    char path[128];

    (void)state;
    set("gate", &one);
    snprintf(path, sizeof(path), "%s/links/.gate", dir);
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        assert_int_equal(unlink(path), 0);
        assert_int_equal(symlink(texts[i], path), 0);
        look("gate");
        assert_int_equal(seen.has_mark, i == 0); /* 31 letters fit */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_link_is_no_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_names_the_tree_and_its_hook_is_pending_until_done,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            another_link_makes_the_hook_pending_and_so_does_the_way_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_removed_link_keeps_its_mark_until_the_hook_ran, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(all_models_with_a_link_or_a_mark_are_listed_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_mark_has_the_name_of_a_runtime, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_link_of_ours_names_no_release, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
