/* A device's profile as the updater understands it: it takes a release of every
 * architecture that its engine runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <flotilla/errors/target.h>

#include "agent/shell/device/device.h"
#include "unit/engine/gguf_make.h"
#include "unit/remove_tree.h"
#include "updater/run/run.h"

static int set_up(void **state)
{
    static char dir[64];

    snprintf(dir, sizeof(dir), "/tmp/flo-profile-XXXXXX");
    *state = mkdtemp(dir);
    return *state == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    return remove_tree(*state);
}

/* A GGUF file of one tensor that says which architecture it is. */
static void write_model(const char *path, const char *architecture)
{
    struct flo_buf file = {0};

    put_head(&file, 1, 1);
    put_key_text(&file, "general.architecture", architecture);
    put_tensor(&file, "token_embd.weight", 32, 1, 0, 0);
    put_padding(&file);
    put_zeros(&file, 32 * sizeof(float));
    assert_int_equal(flo_file_write(path, file.data, file.bytes, 0600, NULL), 0);
    flo_buf_deinit(&file);
}

static void author(const char *dir, const char *architecture, struct flo_release *out)
{
    char path[128];
    struct flo_author_result result = {0};
    struct flo_err err = {0};
    const struct flo_author_file model = {.name = "model.gguf", .role = "model", .path = path};
    const struct flo_author author = {.fleet = "demo",
                                      .model = "tiny",
                                      .version = "1",
                                      .number = 1,
                                      .files = &model,
                                      .file_count = 1};

    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    write_model(path, architecture);
    if (flo_release_build(&author, dir, &result, &err) < 0 ||
        flo_release_parse(result.body.data, result.body.bytes, "demo", out, &err) < 0) {
        fail_msg("%s", err.what);
    }
    flo_author_result_deinit(&result);
}

static int plan(const char *dir, const char *architecture, struct flo_err *err)
{
    const struct flo_machine machine = {.arch = "x86_64", .kernel = "c"};
    struct flo_release release;
    struct flo_plan made;
    struct flo_update_job job;
    json_t *json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:o}", "v", 1, "job", "stage", "state_dir",
                             dir, "trust_file", dir, "bundle", dir, "profile",
                             flo_machine_json(NULL, &machine, 1 << 20));
    char *line = json_dumps(json, 0);

    author(dir, architecture, &release);
    if (flo_job_parse(line, strlen(line), &job, err) < 0) {
        fail_msg("%s", err->what);
    }
    job.profile.disk_free_bytes = 1 << 20;
    int rv = flo_plan_make(&(struct flo_plan_input){.release = &release, .profile = &job.profile},
                           &made, err);
    flo_release_deinit(&release);
    flo_job_deinit(&job);
    free(line);
    json_decref(json);
    return rv;
}

static void a_release_of_every_architecture_is_taken(void **state)
{
    static const char *const architectures[] = {
#define FLO_ARCHITECTURE(name, id, ...) id,
#include "base/architectures.def"
    };

    for (size_t i = 0; i < FLO_COUNT(architectures); i++) {
        struct flo_err err = {0};
        if (plan(*state, architectures[i], &err) != 0) {
            fail_msg("%s", err.what);
        }
    }
}

static void one_that_the_engine_does_not_run_is_refused(void **state)
{
    struct flo_err err = {0};

    assert_int_equal(plan(*state, "mamba", &err), FLO_E_TARGET_INCOMPATIBLE);

    assert_non_null(strstr(err.what, " architectures: default needs engine mamba"));
}

static void the_devices_own_plan_knows_its_accelerators(void **state)
{
    const struct flo_machine machine = {
        .arch = "x86_64",
        .accelerators = {{"cuda", "NVIDIA L4", 0}, {"vulkan", "", UINT64_C(8) << 30}},
        .accelerator_count = 2};
    json_t *json = flo_machine_json(NULL, &machine, 0);
    struct flo_profile profile = {0};
    char *text = json_dumps(json_object_get(json, "accelerators"), JSON_COMPACT);

    (void)state;
    assert_int_equal(flo_profile_parse(json, &profile, NULL), 0);

    assert_string_equal(profile.accelerators[0], "cuda");
    assert_string_equal(profile.accelerators[1], "vulkan");
    assert_string_equal(text, "[{\"kind\":\"cuda\",\"name\":\"NVIDIA L4\"},"
                              "{\"kind\":\"vulkan\",\"memory_bytes\":8589934592}]");
    free(text);
    json_decref(json);
}

static void add_zone(const char *dir, const char *name, const char *type, const char *temperature)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/%s/type", dir, name);
    assert_int_equal(flo_file_write(path, type, strlen(type), 0600, NULL), 0);
    snprintf(path, sizeof(path), "%s/%s/temp", dir, name);
    assert_int_equal(flo_file_write(path, temperature, strlen(temperature), 0600, NULL), 0);
}

/* On Jetson boards the power chip says 100 °C whatever it has. */
static void a_zone_that_always_says_the_same_is_not_the_hottest(void **state)
{
    int64_t temperature;

    add_zone(*state, "thermal_zone0", "CPU-therm\n", "24500\n");
    add_zone(*state, "thermal_zone1", "PMIC-Die\n", "100000\n");
    add_zone(*state, "thermal_zone2", "GPU-therm\n", "23000\n");
    assert_true(flo_machine_temperature(*state, &temperature));
    assert_int_equal(temperature, 24500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_release_of_every_architecture_is_taken),
        cmocka_unit_test(one_that_the_engine_does_not_run_is_refused),
        cmocka_unit_test(the_devices_own_plan_knows_its_accelerators),
        cmocka_unit_test(a_zone_that_always_says_the_same_is_not_the_hottest),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
