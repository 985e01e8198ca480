/* Auto: the variants that `--runtime auto` makes of one model file.
 *
 * A device takes the first one that fits: the runtime with its GPU, our engine
 * or llama.cpp's library, the runtime without a GPU.  A device must have all
 * words of `needs.accelerator`, so each kind of GPU has a variant. */
#include <string.h>

#include "server-stub/cli/create/parts.h"

#define RUNTIME_STANDARD "llamacpp" /* the runtime of flotilla-runtime-llamacpp */
#define MODEL_NAME "model.gguf"     /* name of --model-file in the release */

static const struct {
    const char *name;
    const char *accelerator; /* NULL: none is needed */
    bool is_native;
} variants[] = {
    {"gpu-cuda", "cuda", false},      {"gpu-rocm", "rocm", false}, {"gpu-vulkan", "vulkan", false},
    {FLO_RUNTIME_NATIVE, NULL, true}, {"runtime", NULL, false},
};
_Static_assert(FLO_COUNT(variants) <= FLO_RELEASE_VARIANTS_MAX, "a release holds them");

bool flo_auto_is(const char *runtime)
{
    return runtime != NULL && strncmp(runtime, "auto", 4) == 0 &&
           (runtime[4] == '\0' || runtime[4] == ':');
}

static int check(const struct flo_cli *cli, const char *runtime, struct flo_err *err)
{
    if (flo_args_has(&cli->args, "variant")) {
        flo_fail(err, FLO_E_USAGE,
                 "--runtime auto makes the variants itself, so --variant is not for it");
        return flo_err_fix(err, "leave --variant out, or name the runtime: --runtime %s",
                           RUNTIME_STANDARD);
    }
    if (!flo_args_has(&cli->args, "model-file")) {
        flo_fail(err, FLO_E_USAGE, "--runtime auto needs one model file that all variants share");
        return flo_err_fix(err, "--model-file model.gguf");
    }
    if (!flo_name_is_valid(runtime) || strcmp(runtime, FLO_RUNTIME_NATIVE) == 0) {
        flo_fail(err, FLO_E_USAGE, "--runtime auto:%.40s: it is no name of a runtime", runtime);
        return flo_err_fix(err, "--runtime auto:%s", RUNTIME_STANDARD);
    }
    return 0;
}

int flo_auto_read(const struct flo_cli *cli, const char *value, struct flo_parts *parts,
                  struct flo_err *err)
{
    const char *entry = flo_args_text(&cli->args, "entry", MODEL_NAME);
    const char *runtime = value[4] == ':' ? value + 5 : RUNTIME_STANDARD;

    FLO_TRY(check(cli, runtime, err));
    parts->auto_runtime = runtime;
    for (size_t i = 0; i < FLO_COUNT(variants); i++) {
        parts->variants[i] =
            (struct flo_author_variant){.name = variants[i].name,
                                        .runtime = variants[i].is_native ? NULL : runtime,
                                        .accelerator = {variants[i].accelerator},
                                        .entry = entry};
    }
    parts->variant_count = FLO_COUNT(variants);
    return 0;
}
