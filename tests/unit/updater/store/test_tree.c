/* Trees: a release's files under their names, as links into blobs/. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/updater.h>

#include "base/host/digest.h"
#include "unit/remove_tree.h"

static char dir[64];
static struct flo_store *store;
static struct flo_release *release;
static struct flo_err err;
static const struct flo_digest id = {{7}};

static void put_blob(struct flo_release_file *file, const char *name, const char *text)
{
    char path[200], hex[FLO_DIGEST_TEXT];

    flo_sha256(text, strlen(text), &file->digest);
    flo_digest_text(&file->digest, hex);
    hex[6] = '-'; /* "sha256-<hex>" */
    snprintf(path, sizeof(path), "%s/blobs/%s", dir, hex);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0400, &err), 0);
    snprintf(file->name, sizeof(file->name), "%s", name);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/flo-tree-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(flo_store_open(dir, true, &store, &err), 0);
    release = calloc(1, sizeof(*release));
    put_blob(&release->files[0], "model.onnx", "weights");
    put_blob(&release->files[1], "onnx/config/a.json", "{}");
    put_blob(&release->files[2], "golden.json", "[]");
    release->file_count = 3;
    release->variant_count = 1;
    release->variants[0].file_count = 2;
    release->variants[0].files[1] = 1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    flo_store_close(store);
    free(release);
    return remove_tree(dir);
}

static int open_tree(void)
{
    int fd = -1;
    memset(&err, 0, sizeof(err));
    if (flo_store_tree_open(store, &id, release, &release->variants[0], &fd, &err) < 0) {
        return -1;
    }
    return fd;
}

static bool has(int tree, const char *name)
{
    struct stat st;
    return fstatat(tree, name, &st, 0) == 0 && st.st_nlink == 2;
}

static void a_tree_has_the_variants_files_under_their_names(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) { /* made, then found */
        int tree = open_tree();
        assert_true(tree >= 0);
        assert_true(has(tree, "model.onnx"));
        assert_true(has(tree, "onnx/config/a.json"));
        assert_false(has(tree, "golden.json"));
        close(tree);
    }
}

static void a_tree_that_is_not_whole_is_made_again(void **state)
{
    int tree = open_tree();
    (void)state;
    assert_int_equal(unlinkat(tree, "onnx/config/a.json", 0), 0);
    close(tree);
    tree = open_tree();
    assert_true(has(tree, "onnx/config/a.json"));
    close(tree);
}

/* The power failed while it was made. */
static void a_tree_that_was_begun_is_begun_again(void **state)
{
    char hex[FLO_DIGEST_TEXT], command[400];
    int tree;

    (void)state;
    flo_digest_text(&id, hex);
    hex[6] = '-';
    snprintf(command, sizeof(command),
             "mkdir -p %s/trees/%s.new/onnx && touch %s/trees/%s.new/"
             "model.onnx",
             dir, hex, dir, hex);
    assert_int_equal(system(command), 0);
    tree = open_tree();
    assert_true(tree >= 0);
    assert_true(has(tree, "model.onnx"));
    close(tree);
}

/* A damaged blob was fetched again: its new file has another number. */
static void a_repaired_blob_comes_into_its_tree(void **state)
{
    char hex[FLO_DIGEST_TEXT], path[200];
    int tree = open_tree();

    (void)state;
    close(tree);
    flo_digest_text(&release->files[0].digest, hex);
    hex[6] = '-';
    snprintf(path, sizeof(path), "%s/blobs/%s", dir, hex);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(flo_file_write(path, "weights", 7, 0400, &err), 0);
    tree = open_tree();
    assert_true(has(tree, "model.onnx"));
    close(tree);
}

static void a_file_that_is_not_here_is_named(void **state)
{
    (void)state;
    release->files[1].digest.bytes[0] ^= 1;
    assert_int_equal(open_tree(), -1);
    assert_int_equal(err.code, FLO_E_BLOB_ABSENT);
    assert_non_null(strstr(err.what, "a.json"));
}

static void a_tree_goes_with_its_release(void **state)
{
    char path[200];
    int tree = open_tree();
    (void)state;
    close(tree);
    /* No record names the release. */
    assert_int_equal(flo_store_collect(store, NULL, 0, NULL, &err), 0);
    snprintf(path, sizeof(path), "ls %s/trees | grep -q .", dir);
    assert_int_not_equal(system(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tree_has_the_variants_files_under_their_names, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_tree_that_is_not_whole_is_made_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tree_that_was_begun_is_begun_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_repaired_blob_comes_into_its_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_here_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tree_goes_with_its_release, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
