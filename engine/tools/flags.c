/* Flags: the tables of flags that commands share. */
#include "engine/kernel/kernel.h"
#include "engine/tools/common.h"

#define TO_TEXT(member) FLO_TEXT(struct flo_tool, member)
#define TO_U64(member) FLO_U64(struct flo_tool, member)
#define TO_U32(member) TO_U64(member), .max = UINT32_MAX

/* Returns the names of all kernels in this program, best first. */
static const char *kernels(void)
{
    static char names[FLO_KERNEL_NAMES_BYTES];

    flo_kernel_names(false, names, sizeof(names));
    return names;
}

const struct flo_flag flo_flags_model[] = {
    {"model", "FILE", "the GGUF", TO_TEXT(model), .is_needed = true, .unless = "device"},
    {"ctx", "N", "tokens of context (default: the model's, at most 2048)", TO_U32(context)},
    {"threads", "N", "threads (default: CPUs, at most 8)", TO_U32(threads)},
    {"kernel", "NAME", "default: FLOTILLA_KERNEL, or the best of", TO_TEXT(kernel),
     .more = kernels},
    {"packed", "FILE", "packed weights, or none (default: MODEL.packed if there)", TO_TEXT(packed)},
    {"kv", "auto|f16|f32|q8_0|q4_0",
     "type of the cache (default auto: f16, or q8_0 to fit --memory)", TO_TEXT(kv)},
    {"batch", "N", "prompt tokens computed together (default 64)", TO_U32(batch)},
    {"memory", "BYTES", "shrink cache and context to it, or refuse", TO_U64(memory_bytes_max)},
    FLO_FLAGS_END,
};
const struct flo_flag flo_flags_adapter[] = {
    {"lora", "FILE[:SCALE]", "an adapter of the model, and how much of it (1)", TO_TEXT(lora)},
    FLO_FLAGS_END,
};
const struct flo_flag flo_flags_backend[] = {
    {"backend", "NAME", "who computes (default: the first that knows the model)", TO_TEXT(backend)},
    {"accept-inexact", NULL, "also a model that llama.cpp's version is known to compute wrongly",
     FLO_SWITCH(struct flo_tool, accepts_inexact)},
    FLO_FLAGS_END,
};
const struct flo_flag flo_flags_sampling[] = {
    {"n", "N", "tokens to generate", TO_U64(count)},
    {"template", "NAME|FILE", "a chat template instead of the model's own", TO_TEXT(chat_template)},
    {"temp", "T", "temperature (default 0: the likeliest token)", TO_TEXT(temperature)},
    {"grammar", "FILE", "the answer keeps this GBNF grammar", TO_TEXT(grammar)},
    {"json-schema", "FILE", "the answer is JSON of this schema", TO_TEXT(schema)},
    {"seed", "S", "of the sampling", TO_U64(seed)},
    FLO_FLAGS_END,
};
