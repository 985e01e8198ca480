/* flotilla-updater as people call it: exit codes, JSON, nothing half-written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/base.h>

#include "base/host/crypto.h"
#include "base/host/json.h"
#include "tools_world.h"

static void a_delta_goes_there_and_back(void **state)
{
    struct tools_world *world = *state;
    struct flo_err err = {0};
    json_t *json = NULL;

    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p --json"), 0);
    assert_int_equal(flo_json_parse(world->output, strlen(world->output), 65536, &json, &err), 0);
    assert_string_equal(json_string_value(json_object_get(json, "codec")), "tensor1");
    assert_true(json_integer_value(json_object_get(json, "bytes")) < 320000);
    assert_true(json_integer_value(json_object_get(json, "full_bytes")) > 1600000);
    assert_true(json_integer_value(json_object_get(json, "peak_rss")) > 0);
    json_decref(json);
    assert_int_equal(tools_run(world, "delta info $D/p --json"), 0);
    assert_true(tools_says(world, "\"new_bytes\":1734464"));
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n --json"), 0);
    assert_true(tools_says(world, "e427d47ce2caa9258c641a34cc59d3c8507aedafe33d1c28d1"
                                  "c686eafbc786d7"));
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n "
                                      "--max-memory 8M"),
                     0);
    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/f "
                                      "--codec full"),
                     0);
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/f $D/n --expect "
                                      "sha256:e427d47ce2caa9258c641a34cc59d3c8507aeda"
                                      "fe33d1c28d1c686eafbc786d7"),
                     0);
}

/* A patch whose first bytes are damaged looks like any file. */
static void what_begins_as_no_patch_is_taken_by_its_digest_only(void **state)
{
    struct tools_world *world = *state;

    assert_int_equal(tools_run(world, "delta apply " OLD " " NEW " $D/n"), 7);
    assert_true(tools_says(world, "error[patch.format]"));
    assert_true(tools_says(world, "--expect DIGEST"));
    assert_false(tools_has(world, "n"));
    assert_int_equal(tools_run(world, "delta apply " OLD " " NEW " $D/n --expect "
                                      "sha256:e427d47ce2caa9258c641a34cc59d3c8507aeda"
                                      "fe33d1c28d1c686eafbc786d7"),
                     0);
}

static void a_result_is_not_written_over_what_it_is_made_from(void **state)
{
    struct tools_world *world = *state;
    char path[300];

    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p"), 0);
    (void)snprintf(path, sizeof path, "%s/old", world->dir);
    assert_int_equal(symlink("/proc/self/cwd/" OLD, path), 0);
    assert_int_equal(tools_run(world, "delta apply $D/old $D/p $D/p"), 2);
    assert_true(tools_says(world, "written over a file that is read"));
    assert_int_equal(tools_run(world, "delta apply $D/old $D/p $D/old"), 2);
    assert_int_equal(tools_run(world, "delta create $D/old $D/p $D/old"), 2);
    assert_int_equal(tools_run(world, "delta apply $D/old $D/p $D/n"), 0);
}

static void a_typed_delta_goes_on_in_the_partial_file(void **state)
{
    struct tools_world *world = *state;
    char whole[300];
    char partial[300];

    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/t "
                                      "--codec tensor"),
                     0);
    assert_int_equal(tools_run(world, "delta info $D/t"), 0);
    assert_true(tools_says(world, "tensor1"));
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/t $D/n"), 0);
    (void)snprintf(whole, sizeof whole, "%s/n", world->dir);
    (void)snprintf(partial, sizeof partial, "%s/part", world->dir);
    assert_int_equal(rename(whole, partial), 0);
    assert_int_equal(truncate(partial, 1700000), 0);

    assert_int_equal(tools_run(world, "delta apply " OLD " $D/t $D/n --partial "
                                      "$D/part --expect "
                                      "sha256:e427d47ce2caa9258c641a34cc59d3c8507aeda"
                                      "fe33d1c28d1c686eafbc786d7"),
                     0);
    assert_true(tools_has(world, "n"));
    assert_false(tools_has(world, "part"));
    assert_int_equal(tools_run(world, "delta apply " NEW " $D/t $D/m"), FLO_EXIT_VERIFY);
    assert_true(tools_says(world, "error[patch.base_mismatch]"));
    assert_false(tools_has(world, "m"));
}

static void what_goes_wrong_leaves_nothing_and_says_why(void **state)
{
    struct tools_world *world = *state;

    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p"), 0);
    assert_int_equal(tools_run(world, "delta apply " OLD " $D/p $D/n --max-memory 1M"),
                     FLO_EXIT_VERIFY);
    assert_true(tools_says(world, "error[patch.limit]"));
    assert_int_equal(tools_run(world, "delta apply " NEW " $D/p $D/n --base sha256:"
                                      "34c845cb0c2ba99273c4e63a36eaaf4e6131117a760fde"
                                      "9c106557b6499f187b"),
                     FLO_EXIT_VERIFY);
    assert_true(tools_says(world, "error[patch.base_mismatch]"));
    assert_int_equal(tools_run(world, "delta apply " NEW " $D/p $D/n --json --expect "
                                      "sha256:34c845cb0c2ba99273c4e63a36eaaf4e6131117"
                                      "a760fde9c106557b6499f187b"),
                     FLO_EXIT_VERIFY);
    assert_true(tools_says(world, "{\"error\":{\"id\":\"target.hash\""));
    assert_false(tools_has(world, "n"));
    assert_int_equal(tools_run(world, "delta create /nowhere " NEW " $D/q"), FLO_EXIT_ABSENT);
    assert_int_equal(tools_run(world, "delta create /dev/zero " NEW " $D/q"), FLO_EXIT_OTHER);
    assert_true(tools_says(world, "error[io.open]"));
    assert_false(tools_has(world, "q"));
}

static void wrong_command_lines_are_refused_with_the_right_word(void **state)
{
    struct tools_world *world = *state;

    assert_int_equal(tools_run(world, ""), FLO_EXIT_USAGE);
    assert_int_equal(tools_run(world, "delat"), FLO_EXIT_USAGE);
    assert_true(tools_says(world, "did you mean `delta`?"));
    assert_int_equal(tools_run(world, "delta create a b"), FLO_EXIT_USAGE);
    assert_int_equal(tools_run(world, "delta create a b c --codek x"), FLO_EXIT_USAGE);
    assert_true(tools_says(world, "did you mean `--codec`?"));
    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p "
                                      "--codec %n%s%x"),
                     FLO_EXIT_USAGE);
    assert_true(tools_says(world, "%n%s%x")); /* CL03 */
    assert_int_equal(tools_run(world, "delta create " OLD " " NEW " $D/p "
                                      "--codec adapter"),
                     FLO_EXIT_USAGE);
    assert_true(tools_says(world, "error[not.built]"));
    assert_int_equal(tools_run(world, "tuf init"), FLO_EXIT_USAGE);
    assert_true(tools_says(world, "tuf init is not built yet"));
    assert_int_equal(tools_run(world, "delta apply a b c --max-memory -1"), FLO_EXIT_USAGE);
    assert_int_equal(tools_run(world, "--help"), 0);
    assert_int_equal(tools_run(world, "--version"), 0);
}

static void a_document_is_signed_verified_and_shown(void **state)
{
    struct tools_world *world = *state;
    struct flo_key *key = NULL;
    struct flo_err err = {0};
    char path[192];
    char pem[FLO_PUBLIC_KEY_PEM_MAX];
    struct flo_buf trust = {0};
    static const char body[] =
        "{\"v\":1,\"fleet\":\"demo\",\"model\":\"tiny\",\"version\":\"2.0.0\","
        "\"number\":2,\"variants\":[{\"name\":\"a\",\"files\":[\"m\"]}],"
        "\"files\":[{\"name\":\"m\",\"role\":\"model\",\"digest\":\"sha256:"
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\","
        "\"bytes\":5,\"get\":[{\"codec\":\"raw\",\"digest\":\"sha256:"
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\","
        "\"bytes\":5}]}]}";

    assert_int_equal(flo_key_generate(&key, &err), 0);
    snprintf(path, sizeof path, "%s/key", world->dir);
    assert_int_equal(flo_key_save(key, path, &err), 0);
    flo_public_key_pem(flo_key_public(key), pem);
    flo_buf_text(&trust, "{\"v\":1,\"fleet\":\"demo\",\"keys\":[{\"pem\":\"");
    flo_buf_json_text(&trust, pem, strlen(pem));
    flo_buf_text(&trust, "\",\"roles\":[\"release\"]}]}");
    snprintf(path, sizeof path, "%s/trust", world->dir);
    assert_int_equal(flo_file_write(path, trust.data, trust.bytes, 0644, &err), 0);
    snprintf(path, sizeof path, "%s/body", world->dir);
    assert_int_equal(flo_file_write(path, body, strlen(body), 0644, &err), 0);
    snprintf(path, sizeof path,
             "%s/"
             "sha256-2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938"
             "b9824",
             world->dir);
    assert_int_equal(flo_file_write(path, "hello", 5, 0644, &err), 0);

    assert_int_equal(tools_run(world, "release sign $D/body $D/e --key $D/key"), 0);
    assert_int_equal(tools_run(world, "release verify $D/e --trust $D/trust"), 0);
    assert_true(tools_says(world, "tiny@2.0.0"));
    assert_int_equal(tools_run(world, "release inspect $D/e --json"), 0);
    assert_true(tools_says(world, "\"verified\": false"));
    assert_int_equal(tools_run(world, "release inspect $D/e"), 0);
    assert_true(tools_says(world, "not verified; signed by "));
    assert_true(tools_says(world, "tiny@2.0.0 fleet demo number 2 floor 0\n"));
    assert_int_equal(tools_run(world, "release verify $D/body --trust $D/trust"), FLO_EXIT_VERIFY);
    assert_int_equal(tools_run(world, "bundle create $D/b.tar --release $D/e "
                                      "--blobs $D"),
                     0);
    assert_int_equal(tools_run(world, "bundle verify $D/b.tar --root $D/trust --json"), 0);
    assert_true(tools_says(world, "\"release\":\"tiny@2.0.0\""));
    assert_true(tools_says(world, "\"releases\":[{\"release\":\"tiny@2.0.0\","));
    assert_int_equal(tools_run(world, "bundle create $D/b2.tar --release $D/e "
                                      "--release $D/e --blobs $D"),
                     FLO_EXIT_USAGE);
    assert_true(tools_says(world, "tiny@2.0.0 stands twice"));
    /* a key that others can read is not used */
    snprintf(path, sizeof path, "%s/key", world->dir);
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(tools_run(world, "release sign $D/body $D/e2 --key $D/key"), FLO_EXIT_USAGE);
    assert_true(tools_says(world, "error[cfg.perm]"));
    assert_false(tools_has(world, "e2"));
    flo_buf_deinit(&trust);
    flo_key_free(key);
}

#define in_world(test) cmocka_unit_test_setup_teardown(test, tools_set_up, tools_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        in_world(a_delta_goes_there_and_back),
        in_world(what_begins_as_no_patch_is_taken_by_its_digest_only),
        in_world(a_result_is_not_written_over_what_it_is_made_from),
        in_world(a_typed_delta_goes_on_in_the_partial_file),
        in_world(what_goes_wrong_leaves_nothing_and_says_why),
        in_world(wrong_command_lines_are_refused_with_the_right_word),
        in_world(a_document_is_signed_verified_and_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
