/* The variants of `release create --runtime auto`, and which of them a device
 * takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "server-stub/cli/create/parts.h"
#include "unit/engine/gguf_make.h"
#include "unit/remove_tree.h"

static char dir[64], model[96];
static const struct flo_verb verb; /* its flags hide none of the program */
static const struct flo_flag model_file = {.name = "model-file"}, variant = {.name = "variant"},
                             entry = {.name = "entry"};

/* A GGUF file of one tensor. */
static int begin(void **state)
{
    struct flo_buf file = {0};

    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/flo-auto-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(model, sizeof(model), "%s/model.gguf", dir);
    put_head(&file, 1, 1);
    put_key_text(&file, "general.architecture", "qwen3");
    put_tensor(&file, "token_embd.weight", 32, 1, 0, 0);
    put_padding(&file);
    put_zeros(&file, 32 * sizeof(float));
    int rv = flo_file_write(model, file.data, file.bytes, 0600, NULL);
    flo_buf_deinit(&file);
    return rv;
}

static int end(void **state)
{
    (void)state;
    return remove_tree(dir);
}

static int read_auto(const char *value, const struct flo_flag *more, struct flo_parts *parts,
                     struct flo_err *err)
{
    struct flo_cli cli = {.args = {.verb = &verb,
                                   .flags = {&model_file, more},
                                   .values = {model, "x"},
                                   .flag_count = more != NULL ? 2 : 1}};

    memset(parts, 0, sizeof(*parts));
    return flo_auto_read(&cli, value, parts, err);
}

/* The variant that a device takes: "NAME: reason", or "" when none fits. */
static const char *taken(const struct flo_profile *profile)
{
    static char text[400];
    static struct flo_parts parts;
    const struct flo_author_file file = {.name = "model.gguf", .role = "model", .path = model};
    struct flo_release *release = NULL;
    struct flo_err err = {0};
    struct flo_plan plan;

    assert_int_equal(read_auto("auto", NULL, &parts, &err), 0);
    const struct flo_author author = {.fleet = "demo",
                                      .model = "tiny",
                                      .version = "1",
                                      .number = 1,
                                      .files = &file,
                                      .file_count = 1,
                                      .variants = parts.variants,
                                      .variant_count = parts.variant_count};
    if (flo_release_outline(&author, &release, &err) < 0) {
        fail_msg("%s", err.what);
    }
    const struct flo_plan_input input = {.release = release,
                                         .profile = profile,
                                         .present = &release->files[0].digest,
                                         .present_count = 1};
    text[0] = '\0';
    if (flo_plan_make(&input, &plan, &err) == 0) {
        snprintf(text, sizeof(text), "%s: %s", release->variants[plan.variant].name, plan.chosen);
    }
    flo_release_free(release);
    return text;
}

static void a_device_takes_its_gpu_then_its_engine_then_the_runtime(void **state)
{
    struct flo_profile profile = {.arch = "aarch64", .disk_free_bytes = 1 << 20};

    (void)state;
    strcpy(profile.engine[0], "llama");
    assert_string_equal(taken(&profile), "");

    strcpy(profile.runtimes[0], "llamacpp");
    assert_string_equal(taken(&profile),
                        "runtime: gpu-cuda needs accelerator cuda; gpu-rocm needs accelerator "
                        "rocm; gpu-vulkan needs accelerator vulkan; native needs engine qwen3");
    strcpy(profile.engine[1], FLO_PROFILE_ENGINE_ANY); /* llama.cpp's library */
    assert_string_equal(taken(&profile),
                        "native: gpu-cuda needs accelerator cuda; gpu-rocm needs accelerator "
                        "rocm; gpu-vulkan needs accelerator vulkan");
    strcpy(profile.accelerators[0], "vulkan");
    assert_string_equal(taken(&profile), "gpu-vulkan: gpu-cuda needs accelerator cuda; gpu-rocm "
                                         "needs accelerator rocm");
    strcpy(profile.accelerators[1], "cuda");
    assert_string_equal(taken(&profile), "gpu-cuda: the first variant");
}

static void a_gpu_without_the_runtime_changes_nothing(void **state)
{
    struct flo_profile profile = {.arch = "x86_64", .disk_free_bytes = 1 << 20};

    (void)state;
    strcpy(profile.engine[0], "qwen3");
    strcpy(profile.accelerators[0], "cuda");
    assert_string_equal(taken(&profile),
                        "native: gpu-cuda needs runtime llamacpp; gpu-rocm needs runtime llamacpp, "
                        "accelerator rocm; gpu-vulkan needs runtime llamacpp, accelerator vulkan");
}

static void the_runtime_and_the_file_to_serve_can_be_named(void **state)
{
    static struct flo_parts parts;

    (void)state;
    assert_int_equal(read_auto("auto:vllm", NULL, &parts, NULL), 0);
    assert_int_equal(parts.variant_count, 5);
    assert_string_equal(parts.variants[0].runtime, "vllm");
    assert_string_equal(parts.variants[0].entry, "model.gguf");
    assert_null(parts.variants[3].runtime);
    assert_null(parts.variants[4].accelerator[0]);
    assert_int_equal(read_auto("auto", &entry, &parts, NULL), 0);
    assert_string_equal(parts.variants[4].entry, "x");

    assert_true(flo_auto_is("auto") && flo_auto_is("auto:vllm"));
    assert_false(flo_auto_is("automatic") || flo_auto_is("ort") || flo_auto_is(NULL));
}

static void flags_that_do_not_fit_are_refused_with_a_way_out(void **state)
{
    static const struct {
        const char *value;
        const struct flo_flag *more;
        const char *what, *fix;
    } rows[] = {
        {"auto", &variant, "--variant is not for it", "--runtime llamacpp"},
        {"auto:", NULL, "no name of a runtime", "auto:llamacpp"},
        {"auto:native", NULL, "no name of a runtime", "auto:llamacpp"},
        {"auto:a name that is far too long for it", NULL, "no name of a runtime", "auto:llamacpp"},
    };
    static struct flo_parts parts;
    struct flo_cli none = {.args = {.verb = &verb}};

    (void)state;
    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        struct flo_err err = {0};
        assert_int_equal(read_auto(rows[i].value, rows[i].more, &parts, &err), FLO_E_USAGE);
        assert_non_null(strstr(err.what, rows[i].what));
        assert_non_null(strstr(err.fix, rows[i].fix));
    }
    struct flo_err err = {0};
    assert_int_equal(flo_auto_read(&none, "auto", &parts, &err), FLO_E_USAGE);
    assert_non_null(strstr(err.fix, "--model-file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_takes_its_gpu_then_its_engine_then_the_runtime),
        cmocka_unit_test(a_gpu_without_the_runtime_changes_nothing),
        cmocka_unit_test(the_runtime_and_the_file_to_serve_can_be_named),
        cmocka_unit_test(flags_that_do_not_fit_are_refused_with_a_way_out),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
