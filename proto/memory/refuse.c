/* Memory error: says why no plan fits, with the bytes of every model and the
 * budget. */
#include "proto/memory/set.h"

#include <flotilla/errors/memory.h>
#include <flotilla/plural.h>

#define MB UINT64_C(1000000)

int flo_memory_refuse(const struct flo_memory_set *resident, const struct flo_memory_plan *plan,
                      struct flo_err *err)
{
    char text[400] = "";
    struct flo_buf list = {.bytes_max = sizeof(text)};
    struct flo_memory_set none = {.models = resident->models, .count = resident->count};

    for (size_t i = 0; i < resident->count; i++) {
        const struct flo_memory_model *model = &resident->models[i];
        flo_buf_printf(
            &list, "%s%s %llu MB%s", i > 0 ? ", " : "", model->name,
            (unsigned long long)(flo_memory_cost_new(&none, model, plan->models[i].rung) / MB),
            resident->is_in[i] ? model->is_pinned ? " pinned" : "" : " on demand");
    }
    flo_buf_text(&list, "");
    snprintf(text, sizeof(text), "%s", list.data != NULL ? list.data : "");
    flo_buf_deinit(&list);
    return flo_fail(err, FLO_E_MEMORY_BUDGET,
                    "%zu model%s %s %llu bytes of memory, the budget is %llu "
                    "(%s; shared files count once)",
                    resident->count, flo_s(resident->count),
                    flo_plural(resident->count, "needs", "need"), (unsigned long long)plan->planned,
                    (unsigned long long)plan->budget, text);
}
