/* flotilla-engine plan: estimates the memory that a model needs. */
#include <inttypes.h>

#include <flotilla/errors/memory.h>

#include "engine/commands/commands.h"
#include "engine/run/run.h"
#include "engine/tools/common.h"

struct plan {
    struct flo_tool tool;
    uint32_t sessions;
};

static void print_json(const struct flo_engine_plan *p)
{
    printf("{\"fits\":%s,\"total_bytes\":%" PRIu64 ",\"weights_bytes\":%" PRIu64
           ",\"kv_bytes\":%" PRIu64 ",\"scratch_bytes\":%" PRIu64 ",\"vocabulary_bytes\":%" PRIu64
           ",\"adapter_bytes\":%" PRIu64 ",\"request_bytes\":%" PRIu64 ",\"private_bytes\":%" PRIu64
           ",\"memory_bytes_max\":%" PRIu64 ",\"context\":%" PRIu32 ",\"context_trained\":%" PRIu32
           ",\"context_fitting\":%" PRIu32 ",\"sessions\":%" PRIu32 ",\"kv\":\"%s\",\"packed\":%s",
           p->fits ? "true" : "false", p->total_bytes, p->weights_bytes, p->kv_bytes,
           p->scratch_bytes, p->vocabulary_bytes, p->adapter_bytes, p->request_bytes,
           p->total_bytes - p->weights_bytes, p->memory_bytes_max, p->context, p->context_trained,
           p->context_fitting, p->sessions, flo_tool_kv_names[p->kv_type],
           p->is_packed ? "true" : "false");
}

static void print_text(const struct flo_engine_plan *p)
{
    printf("weights     %12" PRIu64 " bytes, mapped%s\n", p->weights_bytes,
           p->is_packed ? ", packed" : "");
    printf("cache       %12" PRIu64 " bytes, %s, %" PRIu32 " tokens x %" PRIu32 " sessions\n",
           p->kv_bytes, flo_tool_kv_names[p->kv_type], p->context, p->sessions);
    printf("scratch     %12" PRIu64 " bytes\n", p->scratch_bytes);
    printf("vocabulary  %12" PRIu64 " bytes at most\n", p->vocabulary_bytes);
    if (p->adapter_bytes > 0) {
        printf("adapters    %12" PRIu64 " bytes at most\n", p->adapter_bytes);
    }
    if (p->request_bytes > 0) {
        printf("requests    %12" PRIu64 " bytes at most\n", p->request_bytes);
    }
    printf("total       %12" PRIu64 " bytes\n", p->total_bytes);
}

static int plan(void *context, struct flo_err *err)
{
    struct plan *plan = context;
    struct flo_tool_setup setup;
    struct flo_engine_plan p = {0};
    int rv = flo_tool_setup(&plan->tool, &setup, err);

    setup.options.engine.sessions = plan->sessions;
    /* A plan for more than one session is for a process that serves
     * requests. */
    setup.options.engine.request_bytes = plan->sessions > 1 ? FLO_REQUEST_BYTES : 0;
    if (rv == 0) {
        rv = flo_engine_plan(plan->tool.model, &setup.options.engine, &p, err);
    }
    if (rv != FLO_E_MEMORY_BUDGET) {
        FLO_TRY(rv);
    }
    if (!plan->tool.args.is_json) {
        print_text(&p);
        return rv;
    }
    /* The JSON is printed also if the model does not fit, with the bytes needed
     * and the budget. */
    print_json(&p);
    if (rv < 0) {
        printf(",\"error\":{\"id\":\"%s\"}", flo_error_id(rv));
    }
    puts("}");
    plan->tool.args.is_json = false;
    return rv;
}

static struct plan state;
static const struct flo_flag flags[] = {
    {"sessions", "N",
     "open at once (default 1); more: of a process that serves, with its room "
     "for requests",
     FLO_U32(struct plan, sessions)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_plan = {
    .name = "plan",
    .help = "the memory that a model would need",
    .usage = "--model FILE [--ctx N] [--json]",
    .flags = {FLO_FLAGS_ADAPTER, flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = plan,
    .example = "--model helpdesk.gguf --ctx 2048",
};
