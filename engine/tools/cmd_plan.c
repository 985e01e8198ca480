/* flotilla-engine plan: the memory that a model would need. */
#include <inttypes.h>

#include "engine/tools/common.h"
#include "engine/tools/tools.h"

static void print_json(const struct flo_engine_plan *p)
{
    printf("{\"fits\":%s,\"total_bytes\":%" PRIu64 ",\"weights_bytes\":%" PRIu64
           ",\"kv_bytes\":%" PRIu64 ",\"scratch_bytes\":%" PRIu64
           ",\"vocabulary_bytes\":%" PRIu64 ",\"adapter_bytes\":%" PRIu64
           ",\"memory_bytes_max\":%" PRIu64 ",\"context\":%" PRIu32
           ",\"context_trained\":%" PRIu32 ",\"context_fitting\":%" PRIu32
           ",\"sessions\":%" PRIu32 ",\"kv\":\"%s\",\"packed\":%s",
           p->fits ? "true" : "false", p->total_bytes, p->weights_bytes,
           p->kv_bytes, p->scratch_bytes, p->vocabulary_bytes, p->adapter_bytes,
           p->memory_bytes_max, p->context, p->context_trained,
           p->context_fitting, p->sessions, flo_tool_kv_names[p->kv_type],
           p->is_packed ? "true" : "false");
}

static void print_text(const struct flo_engine_plan *p)
{
    printf("weights     %12" PRIu64 " bytes, mapped%s\n", p->weights_bytes,
           p->is_packed ? ", packed" : "");
    printf("cache       %12" PRIu64 " bytes, %s, %" PRIu32 " tokens x %" PRIu32
           " sessions\n",
           p->kv_bytes, flo_tool_kv_names[p->kv_type], p->context, p->sessions);
    printf("scratch     %12" PRIu64 " bytes\n", p->scratch_bytes);
    printf("vocabulary  %12" PRIu64 " bytes at most\n", p->vocabulary_bytes);
    if (p->adapter_bytes > 0) {
        printf("adapters    %12" PRIu64 " bytes at most\n", p->adapter_bytes);
    }
    printf("total       %12" PRIu64 " bytes\n", p->total_bytes);
}

static int plan(const struct flo_tool *tool, uint64_t sessions,
                struct flo_engine_plan *out, struct flo_err *err)
{
    struct flo_engine_options options;
    int rv;

    if (tool->model == NULL) {
        return flo_fail(err, FLO_E_USAGE, "--model is missing");
    }
    rv = flo_tool_engine_options(tool, &options, err);
    if (rv < 0) {
        return rv;
    }
    options.sessions = sessions > UINT32_MAX ? UINT32_MAX : (uint32_t)sessions;
    return flo_engine_plan(tool->model, &options, out, err);
}

int flo_cmd_plan(int argc, char **argv)
{
    struct flo_tool tool = {0};
    uint64_t sessions = 0;
    const struct flo_option options[] = {
        FLO_TOOL_OPTIONS(tool),
        FLO_LORA_OPTION(tool),
        {"sessions", FLO_OPTION_U64, &sessions,
         "N     open at once (default 1)"},
        {"json", FLO_OPTION_FLAG, &tool.is_json, "one JSON object on stdout"},
    };
    struct flo_err err = {0};
    struct flo_engine_plan p = {0};
    int rv, code = flo_options_read(argc, argv,
                                    "plan --model FILE [--ctx N] [--json]",
                                    options, FLO_COUNT(options), NULL, 0);

    if (code >= 0) {
        return code;
    }
    rv = plan(&tool, sessions, &p, &err);
    if (rv < 0 && rv != FLO_E_MEMORY_BUDGET) {
        return flo_tool_end(&tool, rv, &err);
    }
    /* One object, also when it does not fit: the numbers are in both. */
    if (tool.is_json) {
        print_json(&p);
        if (rv < 0) {
            printf(",\"error\":{\"id\":\"%s\"}", flo_error_id(rv));
        }
        puts("}");
    } else {
        print_text(&p);
    }
    tool.is_json = false;
    return flo_tool_end(&tool, rv, &err);
}
