/* Specifications of builds: what is read keeps its bounds, and a refusal names
 * the file.
 *
 * Input: YAML (so JSON too). */
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/builds/spec.h"
#include "tests/fuzz/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check(const struct flo_build_spec *spec)
{
    must(spec->release != NULL && spec->from != NULL);
    must(spec->variant_count >= 1 && spec->variant_count <= FLO_BUILD_VARIANTS_MAX);
    must(spec->golden.kept_min >= 1 && spec->golden.kept_min <= 64);
    must(spec->assets.count <= FLO_BUILD_PAIRS_MAX);
    must(spec->sign_with != NULL || !spec->publish);
    for (size_t i = 0; i < spec->variant_count; i++) {
        const struct flo_build_variant *variant = &spec->variants[i];
        must(flo_name_is_valid(variant->name));
        for (size_t g = 0; g < FLO_BUILD_GATES; g++) {
            must(!variant->gates.has[g] ||
                 (variant->gates.values[g] >= 0 &&
                  variant->gates.values[g] <= flo_build_gate_rows[g].most));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct flo_build_spec *spec = NULL;
    struct flo_err err = {0};

    if (flo_build_spec_read((const char *)data, bytes, "f", "/f", &spec, &err) == 0) {
        check(spec);
        flo_build_spec_free(spec);
    } else {
        must(spec == NULL && err.what[0] != '\0');
    }
    return 0;
}
