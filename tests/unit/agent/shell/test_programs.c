/* Programs that could serve a model: where they are looked for, and the file of
 * runtimes.d that the doctor prints for each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/shell/device/programs.h"
#include "agent/shell/device/runtimes.h"
#include "unit/remove_tree.h"

#define ROOT_TEMPLATE "/tmp/flo-programs-XXXXXX"

static char root[64];
static struct flo_program_found found[FLO_PROGRAMS_MAX];

static int set_up(void **state)
{
    (void)state;
    strcpy(root, ROOT_TEMPLATE);
    assert_non_null(mkdtemp(root));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return remove_tree(root);
}

/* A file of this mode below the root, with its folders. */
static void place(const char *path, mode_t mode)
{
    struct flo_err err = {0};
    char whole[300];

    snprintf(whole, sizeof(whole), "%s%s", root, path);
    for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        (void)mkdir(whole, 0755);
        *p = '/';
    }
    assert_int_equal(flo_file_write(whole, "", 0, 0644, &err), 0);
    assert_int_equal(chmod(whole, mode), 0);
}

static const struct flo_program_found *find(const char *path, const char *name)
{
    size_t count = flo_programs_find(path, root, found);

    for (size_t i = 0; i < count; i++) {
        if (strcmp(found[i].program->name, name) == 0) {
            return &found[i];
        }
    }
    return NULL;
}

static char *written(const struct flo_program_found *one)
{
    struct flo_buf text = {0};

    flo_program_found_write(one, root, &text);
    assert_false(text.failed);
    return text.data;
}

static void a_machine_without_them_has_none(void **state)
{
    (void)state;
    assert_int_equal(flo_programs_find("/usr/bin:/opt/bin", root, found), 0);
    assert_int_equal(flo_programs_find(NULL, root, found), 0);
    assert_int_equal(flo_programs_find("", root, found), 0);
}

static void the_first_folder_of_the_path_wins(void **state)
{
    (void)state;
    place("/a/llama-server", 0755);
    place("/b/llama-server", 0755);
    assert_string_equal(find("/none:/b:/a", "llamacpp")->path, "/b/llama-server");
    assert_null(find("/none", "llamacpp"));
}

static void only_a_program_with_a_plain_absolute_path_counts(void **state)
{
    (void)state;
    place("/a/ollama", 0644);      /* cannot be run */
    place("/b/ollama/file", 0755); /* a folder */
    place("/o dd/ollama", 0755);   /* YAML would need quotes */
    assert_null(find("/a:/b:/o dd:relative:.", "ollama"));
    place("/c/ollama", 0755);
    assert_non_null(find("/a:/b:/o dd:relative:.:/c", "ollama"));
}

static void a_library_is_found_where_packages_put_it(void **state)
{
    (void)state;
    place("/usr/lib/riscv64-linux-gnu/libonnxruntime.so.1.21", 0644);
    assert_string_equal(find(NULL, "onnx")->path,
                        "/usr/lib/riscv64-linux-gnu/libonnxruntime.so.1.21");
}

static void the_machines_devices_stand_in_the_file(void **state)
{
    (void)state;
    place("/a/llama-server", 0755);
    char *text = written(find("/a", "llamacpp"));
    assert_null(strstr(text, "devices"));
    free(text);
    place("/dev/nvidia0", 0644);
    place("/dev/nvidiactl", 0644);
    place("/dev/nvidia-uvm", 0644);
    place("/dev/nvidia-modeset", 0644); /* for screens */
    place("/dev/dri/renderD128", 0644);
    text = written(find("/a", "llamacpp"));
    assert_non_null(strstr(text, "\ndevices: [/dev/nvidia0, /dev/nvidiactl, /dev/nvidia-uvm, "
                                 "/dev/dri]\n"));
    free(text);
}

/* The agent reads what the doctor printed: each file as it is. */
static void each_file_is_one_that_the_agent_takes(void **state)
{
    static const struct flo_config_row rows[] = {
        {"runtimes_dir", FLO_CONFIG_TEXT, 0, 0, NULL, false, NULL, ""}};
    const struct flo_server_program *programs;
    struct flo_settings settings;
    struct flo_err err = {0};
    char line[100], path[200];
    size_t count = flo_server_programs(&programs);

    (void)state;
    if (geteuid() != 0) {
        skip(); /* runtimes.d is root's */
    }
    place("/dev/nvidia0", 0644);
    snprintf(line, sizeof(line), "runtimes_dir: %s\n", root);
    assert_int_equal(flo_config_parse(line, strlen(line), "test", rows, 1, &settings.config, &err),
                     0);
    for (size_t i = 0; i < count; i++) {
        struct flo_program_found one = {&programs[i], "/opt/x/program"};
        struct flo_device_runtime runtime;
        char *text = written(&one);
        snprintf(path, sizeof(path), "%s/%s.yaml", root, programs[i].name);
        assert_int_equal(flo_file_write(path, text, strlen(text), 0644, &err), 0);
        if (flo_runtimes_read(&settings, programs[i].name, &runtime, &err) < 0) {
            fail_msg("%s: %s\n%s", programs[i].name, err.what, text);
        }
        assert_non_null(strstr(runtime.json, "\"devices\":[\"/dev/nvidia0\"]"));
        assert_null(strchr(runtime.json, '@'));
        flo_runtimes_deinit(&runtime);
        free(text);
    }
    flo_config_free(settings.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_machine_without_them_has_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_folder_of_the_path_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_program_with_a_plain_absolute_path_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_library_is_found_where_packages_put_it, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_machines_devices_stand_in_the_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_file_is_one_that_the_agent_takes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
