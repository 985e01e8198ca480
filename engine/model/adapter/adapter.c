/* Adapter: loads adapters, and computes their part of a product.
 *
 * A and B are in memory as f32.  B is transposed, so that adjacent floats are
 * summed for many rows at once.  Each sum has the order of the rank, so results
 * do not depend on how rows are split between threads. */
#include "engine/model/adapter/adapter.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/model.h>

#include "engine/model/adapter/lora_file.h"
#include "engine/model/compute.h"

#define SCALE_MAX 100.0f

/* ---- room ---- */

/* Takes floats from the arena.  An arena without memory only counts their
 * size. */
static void *take_floats(struct flo_arena *arena, uint64_t count)
{
    return flo_arena_take(arena, count, sizeof(float));
}

/* Takes the tables of an adapter that changes `tensors` tensors. */
static void take_tables(struct flo_arena *arena, uint64_t matrices, uint64_t tensors,
                        struct flo_adapter *adapter)
{
    void *numbers = flo_arena_take(arena, matrices, sizeof(uint16_t));
    void *pairs = flo_arena_take(arena, 1 + tensors * FLO_PLACES_MAX, sizeof(struct flo_low_rank));

    if (adapter != NULL) {
        adapter->numbers = numbers;
        adapter->pairs = pairs;
        adapter->pair_count = 0;
    }
}

int flo_adapter_reckon(int fd, uint64_t *bytes, struct flo_err *err)
{
    struct flo_arena arena = {0};
    struct flo_gguf *gguf = NULL;
    int rv = flo_gguf_open_fd(fd, &gguf, err);

    FLO_TRY(rv);
    take_tables(&arena, flo_weights_count_max(), flo_gguf_tensor_count(gguf) / 2, NULL);
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        take_floats(&arena, flo_gguf_tensor_at(gguf, i)->values);
    }
    if (arena.failed || !flo_add_u64(arena.used, flo_gguf_file_bytes(gguf), bytes)) {
        rv = flo_fail(err, FLO_E_MODEL_ADAPTER, "its size overflows");
    }
    flo_gguf_close(gguf);
    return rv;
}

/* ---- loading ---- */

/* State of loading an adapter. */
struct load {
    struct flo_adapter *adapter;
    struct flo_lora lora;
    struct flo_err *err;
};

/* Decodes a row of A or B and checks that its values are finite.  The rows of
 * all slices follow each other. */
static int decode_row(struct load *load, const struct flo_gguf_tensor *half, size_t row, float *out)
{
    const struct flo_quant_type *type = flo_quant_type(half->type);
    const uint8_t *data = flo_gguf_tensor_data(load->lora.gguf, half);
    size_t columns = (size_t)half->dims[0];

    type->decode(data + row * flo_quant_bytes(type, columns), out, columns);
    for (size_t i = 0; i < columns; i++) {
        if (!isfinite(out[i])) {
            return flo_fail(load->err, FLO_E_MODEL_NONFINITE,
                            "adapter tensor '%s': value %zu of row %zu is not "
                            "finite",
                            half->name, i, row);
        }
    }
    return 0;
}

static int decode_halves(struct load *load, const struct flo_gguf_tensor *a,
                         const struct flo_gguf_tensor *b, float *to_a, float *to_b)
{
    size_t rank = (size_t)a->dims[1], rows = (size_t)b->dims[1], slices = (size_t)a->dims[2];
    float row[FLO_ADAPTER_RANK_MAX];
    int rv = 0;

    for (size_t r = 0; rv == 0 && r < slices * rank; r++) {
        rv = decode_row(load, a, r, to_a + r * a->dims[0]);
    }
    for (size_t i = 0; rv == 0 && i < slices * rows; i++) {
        rv = decode_row(load, b, i, row);
        for (size_t r = 0; r < rank; r++) {
            to_b[(i / rows * rank + r) * rows + i % rows] = row[r];
        }
    }
    return rv;
}

/* Checks that the model's matrices made from a tensor match its shape and cover
 * all of it. */
static int check_places(struct load *load, const struct flo_gguf_tensor *a,
                        const struct flo_gguf_tensor *b, const char *name,
                        const struct flo_matrix *const *places, size_t count)
{
    uint64_t rows = 0;

    if (count == 0) {
        return flo_fail(load->err, FLO_E_NOT_BUILT, "an adapter of '%s' is not built yet: merge it",
                        name);
    }
    if (a->dims[1] > FLO_ADAPTER_RANK_MAX) {
        return flo_fail(load->err, FLO_E_MODEL_ADAPTER, "'%s' has rank %" PRIu64 ", at most %d",
                        name, a->dims[1], FLO_ADAPTER_RANK_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        rows += places[i]->rows;
    }
    if (a->dims[0] != places[0]->columns || b->dims[1] != rows) {
        return flo_fail(load->err, FLO_E_MODEL_ADAPTER, "'%s' has other sizes in the model", name);
    }
    return 0;
}

/* Loads the matrices A and B of one tensor.  On an arena without memory it only
 * counts their size. */
static int load_pair(struct load *load, const struct flo_gguf_tensor *tensor)
{
    struct flo_adapter *adapter = load->adapter;
    struct flo_engine *e = adapter->engine;
    const struct flo_matrix *places[FLO_PLACES_MAX];
    const struct flo_gguf_tensor *a, *b;
    float *to_a, *to_b;
    size_t count;

    if (!flo_lora_halves(&load->lora, tensor->name, &a, &b)) {
        return 0;
    }
    count = flo_weights_places(&e->weights, tensor, places);
    FLO_TRY(check_places(load, a, b, tensor->name, places, count));
    to_a = take_floats(&load->adapter->arena, a->values);
    to_b = take_floats(&load->adapter->arena, b->values);
    if (to_a == NULL || to_b == NULL) {
        return 0;
    }
    adapter->info.tensors++;
    if (a->dims[1] > adapter->info.rank) {
        adapter->info.rank = (uint32_t)a->dims[1];
    }
    for (size_t i = 0; i < count; i++) {
        adapter->numbers[places[i]->number] = ++adapter->pair_count;
        adapter->pairs[adapter->pair_count] = (struct flo_low_rank){
            .a = to_a,
            .b = to_b + places[i]->tensor_row,
            .rank = (uint32_t)a->dims[1],
            .stride = (uint32_t)b->dims[1],
        };
    }
    return decode_halves(load, a, b, to_a, to_b);
}

static int load_pairs(struct load *load)
{
    struct flo_engine *e = load->adapter->engine;
    int rv = 0;

    take_tables(&load->adapter->arena, flo_weights_count(&e->weights), load->lora.pair_count,
                load->adapter);
    for (size_t i = 0; rv == 0 && i < flo_gguf_tensor_count(e->gguf); i++) {
        rv = load_pair(load, flo_gguf_tensor_at(e->gguf, i));
    }
    return rv;
}

/* Takes bytes of the memory that the options reserve for adapters. */
static int take_room(struct flo_engine *e, const char *what, uint64_t bytes, struct flo_err *err)
{
    uint64_t left;
    bool fits;

    pthread_mutex_lock(&e->lock);
    left = e->sizes.adapter_bytes - e->adapter_bytes_used;
    fits = bytes <= left;
    e->adapter_bytes_used += fits ? bytes : 0;
    pthread_mutex_unlock(&e->lock);
    return fits ? 0
                : flo_fail(err, FLO_E_MEMORY_BUDGET,
                           "the adapter%s needs %" PRIu64 " bytes; %" PRIu64 " of %" PRIu64
                           " planned for adapters are left",
                           what, bytes, left, e->sizes.adapter_bytes);
}

static void give_room_back(struct flo_engine *e, uint64_t bytes)
{
    pthread_mutex_lock(&e->lock);
    e->adapter_bytes_used -= bytes;
    pthread_mutex_unlock(&e->lock);
}

static int load_all(struct load *load)
{
    struct flo_adapter *adapter = load->adapter;
    struct flo_arena *arena = &adapter->arena;

    FLO_TRY(flo_lora_check(load->lora.gguf, adapter->engine->gguf, &load->lora, load->err));
    FLO_TRY(load_pairs(load));
    if (arena->failed) {
        return flo_fail(load->err, FLO_E_MODEL_ADAPTER, "its size overflows");
    }
    FLO_TRY(take_room(adapter->engine, "", arena->used, load->err));
    adapter->alpha = load->lora.alpha;
    adapter->info.bytes = arena->used;
    FLO_TRY(flo_arena_map(arena, load->err));
    return load_pairs(load);
}

static int open_data(struct flo_engine *engine, const void *data, size_t bytes,
                     struct flo_adapter **adapter, struct flo_err *err)
{
    struct load load = {.err = err};
    struct flo_gguf *gguf = NULL;
    int rv = flo_gguf_open(data, bytes, &gguf, err);

    FLO_TRY(rv);
    load.lora.gguf = gguf;
    load.adapter = calloc(1, sizeof(*load.adapter));
    if (load.adapter == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "an adapter");
    } else {
        load.adapter->engine = engine;
        flo_gguf_copy_string(gguf, "general.name", load.adapter->info.name,
                             sizeof(load.adapter->info.name));
        rv = load_all(&load);
    }
    flo_gguf_close(gguf);
    if (rv < 0) {
        flo_adapter_close(load.adapter);
        return rv;
    }
    *adapter = load.adapter;
    return 0;
}

/* Opens an adapter.  The file is read, not mapped, because cutting it short
 * must not kill a serving engine. */
int flo_adapter_open_fd(struct flo_engine *engine, int fd, struct flo_adapter **adapter,
                        struct flo_err *err)
{
    off_t end = lseek(fd, 0, SEEK_END);
    uint64_t bytes = end < 0 ? 0 : (uint64_t)end;
    void *data = NULL;

    if (end < 0) {
        return flo_fail(err, FLO_E_IO_OPEN, "an adapter is a regular file");
    }
    if ((engine->info.properties & FLO_COMPUTE_ADAPTERS) == 0) {
        return flo_fail(err, FLO_E_NOT_BUILT, "%s applies no adapters", engine->compute->name);
    }
    FLO_TRY(take_room(engine, "'s file", bytes, err));
    int rv = flo_pages_map(bytes, &data, err);
    if (rv == 0) {
        rv = flo_fd_pread_all(fd, data, (size_t)bytes, 0, err);
    }
    if (rv == 0) {
        rv = open_data(engine, data, (size_t)bytes, adapter, err);
    }
    flo_pages_unmap(data, bytes);
    give_room_back(engine, bytes);
    return rv;
}

int flo_adapter_open(struct flo_engine *engine, const char *path, struct flo_adapter **adapter,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;

    FLO_TRY(flo_file_open(path, &fd, err));
    int rv = flo_adapter_open_fd(engine, fd, adapter, err);
    return rv < 0 ? flo_wrap(err, rv, "%s", path) : 0;
}

static void leave(struct flo_session *session)
{
    session->adapter = NULL;
    session->adapter_scale = 0;
    session->position = 0;
    session->has_logits = false;
}

void flo_adapter_close(struct flo_adapter *adapter)
{
    struct flo_engine *e;

    if (adapter == NULL) {
        return;
    }
    e = adapter->engine;
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->sizes.sessions; i++) {
        if (e->sessions[i].adapter == adapter) {
            leave(&e->sessions[i]);
        }
    }
    pthread_mutex_unlock(&e->lock);
    give_room_back(e, adapter->info.bytes);
    flo_pages_unmap(adapter->arena.base, adapter->arena.bytes);
    free(adapter);
}

const struct flo_adapter_info *flo_adapter_info(const struct flo_adapter *adapter)
{
    return &adapter->info;
}

/* ---- sessions ---- */

bool flo_session_has_adapter(const struct flo_session *session, const struct flo_adapter *adapter,
                             float scale)
{
    return session->adapter == adapter && (adapter == NULL || session->adapter_scale == scale);
}

int flo_session_set_adapter(struct flo_session *session, const struct flo_adapter *adapter,
                            float scale, struct flo_err *err)
{
    if (adapter != NULL && (adapter->engine != session->engine || !(fabsf(scale) <= SCALE_MAX))) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        adapter->engine != session->engine
                            ? "the adapter is of another engine"
                            : "the adapter's scale is %g, not -%g to %g",
                        (double)scale, (double)SCALE_MAX, (double)SCALE_MAX);
    }
    if (!flo_session_has_adapter(session, adapter, scale)) {
        leave(session);
        session->adapter = adapter;
        session->adapter_scale = scale;
    }
    return 0;
}

/* ---- products ---- */

/* Returns what an adapter changes in a matrix, or NULL. */
static const struct flo_low_rank *pair_of(const struct flo_adapter *adapter,
                                          const struct flo_matrix *m)
{
    return adapter == NULL || adapter->numbers[m->number] == 0
               ? NULL
               : &adapter->pairs[adapter->numbers[m->number]];
}

void flo_adapter_lower(const struct flo_pass *pass, size_t t, const struct flo_matrix *m,
                       uint32_t slice, const float *values, float *low)
{
    const struct flo_session *session = pass->sessions[t];
    const struct flo_adapter *adapter = session->adapter;
    const struct flo_activations row = {
        .values = (float *)(uintptr_t)values,
        .columns = m->columns,
        .tokens = 1,
    };
    const struct flo_low_rank *pair = pair_of(adapter, m);
    float scale;

    if (pair == NULL) {
        return;
    }
    scale = session->adapter_scale * adapter->alpha / (float)pair->rank;
    pass->engine->kernel->matmul[FLO_QUANT_F32](pair->a + (size_t)slice * pair->rank * m->columns,
                                                row.columns * sizeof(float), pair->rank, &row, low,
                                                pair->rank);
    for (uint32_t r = 0; r < pair->rank; r++) {
        low[r] *= scale;
    }
}

void flo_adapter_add(const struct flo_pass *pass, size_t t, const struct flo_matrix *m,
                     uint32_t slice, uint32_t first, uint32_t rows, const float *low, float *y)
{
    const struct flo_low_rank *pair = pair_of(pass->sessions[t]->adapter, m);

    if (pair == NULL) {
        return;
    }
    pass->engine->kernel->low_rank_add(pair->b + (size_t)slice * pair->rank * pair->stride + first,
                                       pair->stride, pair->rank, low, y, rows);
}
