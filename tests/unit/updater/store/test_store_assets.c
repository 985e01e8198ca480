/* Assets: files of releases under their names, in a folder of the owner. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/updater.h>

#include "base/host/digest.h"
#include "unit/remove_tree.h"

static char dir[64], state[80], folder_path[80];
static struct flo_store *store;
static int folder;
static struct flo_err err;
static struct flo_asset_list first, second;

static void blob_path(const struct flo_digest *digest, char out[200])
{
    char hex[FLO_DIGEST_TEXT];

    flo_digest_text(digest, hex);
    hex[6] = '-'; /* "sha256-<hex>" */
    snprintf(out, 200, "%s/blobs/%s", state, hex);
}

static void put(struct flo_asset_list *list, const char *name, const char *text)
{
    struct flo_asset *asset = &list->files[list->count++];
    char path[200];

    flo_sha256(text, strlen(text), &asset->digest);
    asset->bytes = strlen(text);
    snprintf(asset->name, sizeof(asset->name), "%s", name);
    blob_path(&asset->digest, path);
    assert_int_equal(flo_file_write(path, text, strlen(text), 0400, &err), 0);
}

static int set_up(void **unused)
{
    (void)unused;
    strcpy(dir, "/tmp/flo-assets-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(state, sizeof(state), "%s/state", dir);
    snprintf(folder_path, sizeof(folder_path), "%s/assets", dir);
    assert_int_equal(flo_store_open(state, true, &store, &err), 0);
    assert_int_equal(flo_store_assets_open(folder_path, &folder, &err), 0);
    memset(&first, 0, sizeof(first));
    memset(&second, 0, sizeof(second));
    put(&first, "texts/faq.txt", "first answers");
    put(&first, "prompts/de/greet.txt", "Hallo");
    put(&second, "texts/faq.txt", "second answers");
    put(&second, "prompts/de/greet.txt", "Hallo");
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    close(folder);
    flo_store_close(store);
    return remove_tree(dir);
}

static int show(const struct flo_asset_list *list)
{
    memset(&err, 0, sizeof(err));
    return flo_store_assets_show(store, folder, "tiny", list, &err);
}

/* Reads a file as a program does that knows the folder. */
static const char *read_at(const char *name)
{
    static char text[100];
    char path[300];
    FILE *file;
    size_t n;

    snprintf(path, sizeof(path), "%s/%s", folder_path, name);
    file = fopen(path, "r");
    if (file == NULL) {
        return "";
    }
    n = fread(text, 1, sizeof(text) - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

static struct stat stat_at(const char *name)
{
    char path[300];
    struct stat st = {0};

    snprintf(path, sizeof(path), "%s/%s", folder_path, name);
    assert_int_equal(stat(path, &st), 0);
    return st;
}

static int count_of(const char *pattern)
{
    char command[300];
    int count = -1;

    snprintf(command, sizeof(command), "ls -A %s | grep -c '%s'", folder_path, pattern);
    FILE *pipe = popen(command, "r");
    assert_int_equal(fscanf(pipe, "%d", &count), 1);
    pclose(pipe);
    return count;
}

static void a_model_has_its_assets_under_their_names(void **unused)
{
    struct stat st;

    (void)unused;
    assert_int_equal(show(&first), 0);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    assert_string_equal(read_at("tiny/prompts/de/greet.txt"), "Hallo");
    st = stat_at("tiny/texts/faq.txt");
    assert_int_equal(st.st_nlink, 2); /* the blob itself */
    assert_int_equal(st.st_mode & 07777, 0440);
    assert_int_equal(stat_at("tiny/texts").st_mode & 07777, 0750);
    assert_int_equal(stat_at("tiny/").st_mode & 07777, 0750);
}

static void no_other_blob_is_opened_to_the_group(void **unused)
{
    struct flo_asset_list other = {0};
    char path[200];
    struct stat st;

    (void)unused;
    put(&other, "model.gguf", "weights");
    assert_int_equal(show(&first), 0);
    blob_path(&other.files[0].digest, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0400);
    snprintf(path, sizeof(path), "%s/blobs", state);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void a_switch_there_and_back_leaves_the_tree_that_was_left(void **unused)
{
    int fd;

    (void)unused;
    assert_int_equal(show(&first), 0);
    fd = openat(folder, "tiny", O_RDONLY | O_DIRECTORY);
    assert_int_equal(show(&second), 0);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "second answers");
    assert_int_equal(faccessat(fd, "texts/faq.txt", F_OK, 0), 0); /* who opened it reads on */
    assert_int_equal(show(&first), 0);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    assert_int_equal(count_of("^[.]"), 2);
    flo_store_assets_sweep(folder, (const char[1][FLO_NAME_MAX + 1]){"tiny"}, 1);
    assert_int_equal(count_of("^[.]"), 1);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    close(fd);
}

static void a_third_switch_removes_the_first_tree(void **unused)
{
    struct flo_asset_list third = {0};

    (void)unused;
    put(&third, "faq.txt", "third answers");
    assert_int_equal(show(&first), 0);
    assert_int_equal(show(&second), 0);
    assert_int_equal(show(&third), 0);
    assert_int_equal(count_of("^[.]"), 2);
    assert_string_equal(read_at("tiny/faq.txt"), "third answers");
}

static void a_release_without_assets_has_an_empty_folder(void **unused)
{
    const struct flo_asset_list none = {0};

    (void)unused;
    assert_int_equal(show(&first), 0);
    assert_int_equal(show(&none), 0);
    assert_true(S_ISDIR(stat_at("tiny/").st_mode));
    assert_string_equal(read_at("tiny/texts/faq.txt"), "");
}

static void what_is_there_is_not_made_again(void **unused)
{
    struct stat before, after;

    (void)unused;
    assert_int_equal(show(&first), 0);
    before = stat_at("tiny/");
    assert_int_equal(show(&first), 0);
    after = stat_at("tiny/");
    assert_int_equal(before.st_ino, after.st_ino);
}

static void damage(const char *command)
{
    char line[300];

    snprintf(line, sizeof(line), "cd %s && %s", folder_path, command);
    assert_int_equal(system(line), 0);
}

static void a_damaged_tree_is_made_again_under_its_other_name(void **unused)
{
    static const char *const commands[] = {
        "rm tiny/texts/faq.txt", "rm -r tiny/texts",
        "rm tiny/texts/faq.txt && ln -s /etc tiny/texts/faq.txt",
        "cp tiny/texts/faq.txt x && chmod 600 x && echo >>x && chmod 440 x && mv -f x "
        "tiny/texts/faq.txt",
        "cp tiny/texts/faq.txt x && chmod 600 x && mv -f x tiny/texts/faq.txt"};

    (void)unused;
    for (size_t i = 0; i < FLO_COUNT(commands); i++) {
        assert_int_equal(show(&first), 0);
        damage(commands[i]);
        assert_int_equal(show(&first), 0);
        assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
        assert_int_equal(stat_at("tiny/texts/faq.txt").st_mode & 07777, 0440);
    }
}

/* A copy, as on another file system, is as good as a link if its bytes are. */
static void a_copy_with_the_right_bytes_stays(void **unused)
{
    struct stat before, after;

    (void)unused;
    assert_int_equal(show(&first), 0);
    damage("cp -p tiny/texts/faq.txt x && mv -f x tiny/texts/faq.txt");
    before = stat_at("tiny/texts/faq.txt");
    assert_int_equal(before.st_nlink, 1);
    assert_int_equal(show(&first), 0);
    after = stat_at("tiny/texts/faq.txt");
    assert_int_equal(before.st_ino, after.st_ino);
}

/* /dev/shm is another file system. */
static void a_file_that_cannot_be_linked_is_copied(void **unused)
{
    char shm[] = "/dev/shm/flo-assets-XXXXXX";
    struct stat st, other;
    char path[300];

    (void)unused;
    if (mkdtemp(shm) == NULL || stat(shm, &st) < 0 || stat(dir, &other) < 0 ||
        st.st_dev == other.st_dev) {
        skip();
    }
    close(folder);
    assert_int_equal(flo_store_assets_open(shm, &folder, &err), 0);
    snprintf(folder_path, sizeof(folder_path), "%s", shm);
    assert_int_equal(show(&first), 0);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    st = stat_at("tiny/texts/faq.txt");
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(st.st_mode & 07777, 0440);
    blob_path(&first.files[0].digest, path);
    assert_int_equal(stat(path, &other), 0);
    assert_int_equal(other.st_mode & 07777, 0400); /* the blob needs no group */
    blob_path(&second.files[0].digest, path);      /* a blob with other bytes is not copied */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(flo_file_write(path, "second answerz", 14, 0400, &err), 0);
    assert_int_equal(show(&second), FLO_E_TARGET_HASH);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    assert_int_equal(remove_tree(shm), 0);
}

static void a_file_that_is_not_here_leaves_what_was_shown(void **unused)
{
    (void)unused;
    assert_int_equal(show(&first), 0);
    second.files[0].digest.bytes[0] ^= 1;
    assert_int_equal(show(&second), FLO_E_BLOB_ABSENT);
    assert_non_null(strstr(err.what, "texts/faq.txt"));
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    assert_int_equal(count_of("^[.]"), 1);
}

/* The release verifier refuses such names before; this is the second wall. */
static void no_name_leads_out_of_the_tree(void **unused)
{
    static const char *const names[] = {"../out",     "texts/../../out", "/etc/out", "texts//out",
                                        "texts/.out", "./out",           "",         ".."};

    (void)unused;
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        strcpy(second.files[0].name, names[i]);
        assert_int_equal(show(&second), FLO_E_META_NAME);
        assert_int_equal(count_of("."), 0);
    }
    assert_int_not_equal(access("/etc/out", F_OK), 0);
    assert_int_equal(flo_store_assets_show(store, folder, "../tiny", &first, &err),
                     FLO_E_META_NAME);
}

static void two_files_of_one_name_are_refused(void **unused)
{
    (void)unused;
    strcpy(second.files[1].name, second.files[0].name);
    assert_int_equal(show(&second), FLO_E_IO_WRITE);
    strcpy(second.files[1].name, "texts");
    assert_int_equal(show(&second), FLO_E_IO_WRITE);
    assert_int_equal(count_of("."), 0);
}

static void rests_of_an_interruption_go(void **unused)
{
    (void)unused;
    damage("mkdir -p .tiny.new/texts && touch .tiny.new/texts/faq.txt && ln -s x .tiny.link");
    assert_int_equal(show(&first), 0);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "first answers");
    assert_int_equal(count_of("^[.]"), 1);
}

static void a_model_that_is_gone_leaves_the_folder_and_others_files_stay(void **unused)
{
    (void)unused;
    assert_int_equal(show(&first), 0);
    assert_int_equal(flo_store_assets_show(store, folder, "tiny.2", &second, &err), 0);
    damage("touch README .hidden .2 .x.2 && mkdir mine && ln -s mine yours");
    flo_store_assets_sweep(folder, (const char[1][FLO_NAME_MAX + 1]){"tiny.2"}, 1);
    assert_string_equal(read_at("tiny/texts/faq.txt"), "");
    assert_string_equal(read_at("tiny.2/texts/faq.txt"), "second answers");
    assert_int_equal(count_of("."), 8);
    flo_store_assets_sweep(folder, NULL, 0);
    assert_int_equal(count_of("."), 6);
}

static void a_folder_that_others_may_write_is_refused(void **unused)
{
    int fd = -1;

    (void)unused;
    assert_int_equal(chmod(folder_path, 0770), 0);
    assert_int_equal(flo_store_assets_open(folder_path, &fd, &err), FLO_E_CFG_PERM);
    assert_non_null(strstr(err.what, "0770"));
    assert_int_equal(flo_store_assets_open("/proc/none/x", &fd, &err), FLO_E_IO_OPEN);
}

static void the_files_have_the_folders_group(void **unused)
{
    (void)unused;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(folder_path, (uid_t)-1, 12345), 0);
    assert_int_equal(show(&first), 0);
    assert_int_equal(stat_at("tiny/texts/faq.txt").st_gid, 12345);
    assert_int_equal(stat_at("tiny/texts").st_gid, 12345);
    assert_int_equal(stat_at("tiny/").st_gid, 12345);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_model_has_its_assets_under_their_names),
        CASE(no_other_blob_is_opened_to_the_group),
        CASE(a_switch_there_and_back_leaves_the_tree_that_was_left),
        CASE(a_third_switch_removes_the_first_tree),
        CASE(a_release_without_assets_has_an_empty_folder),
        CASE(what_is_there_is_not_made_again),
        CASE(a_damaged_tree_is_made_again_under_its_other_name),
        CASE(a_copy_with_the_right_bytes_stays),
        CASE(a_file_that_cannot_be_linked_is_copied),
        CASE(a_file_that_is_not_here_leaves_what_was_shown),
        CASE(no_name_leads_out_of_the_tree),
        CASE(two_files_of_one_name_are_refused),
        CASE(rests_of_an_interruption_go),
        CASE(a_model_that_is_gone_leaves_the_folder_and_others_files_stay),
        CASE(a_folder_that_others_may_write_is_refused),
        CASE(the_files_have_the_folders_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
