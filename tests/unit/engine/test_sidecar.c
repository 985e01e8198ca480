/* Packed weights: a file is used only when it is exactly what its model asks
 * for, and what an engine reads in it are the model's rows. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <flotilla/errors/model.h>

#include "base/quant/quant.h"
#include "engine/memory/mapped.h"
#include "engine/model/file/packed.h"

#define MODEL "tests/oracle/tiny/smollm2-S-q4_1.gguf"
#define OTHER "tests/oracle/tiny/nemo-S-q4_1.gguf"
#define FUSED "tests/oracle/tiny/phi3-S-q4_0.gguf"
#define EXPERTS "tests/oracle/tiny/lfm2_moe-q8_0.gguf"
#define FUSED_EXPERTS "tests/oracle/tiny/gemma4-moe-q8_0.gguf"
#define FLOATS "tests/oracle/tiny/llama32-S-f32.gguf"

static int open_file(const char *path)
{
    int fd = -1;

    assert_int_equal(flo_file_open(path, &fd, NULL), 0);
    return fd;
}

struct world {
    int model;
    struct flo_packing packing;
    int packed;
};

/* Takes the descriptor. */
static void world_open_fd(struct world *w, int model, uint32_t threads)
{
    struct flo_err err = {0};

    w->model = model;
    if (flo_packing_open(w->model, false, &w->packing, &err) < 0) {
        fail_msg("%s", err.what);
    }
    w->packed = memfd_create("packed", MFD_CLOEXEC);
    assert_int_equal(ftruncate(w->packed, (off_t)flo_sidecar_bytes(w->packing.sidecar)), 0);
    assert_int_equal(flo_sidecar_write(w->packing.sidecar, w->packed, threads, NULL, NULL, NULL),
                     0);
}

static void world_open(struct world *w, const char *path, uint32_t threads)
{
    world_open_fd(w, open_file(path), threads);
}

static void world_close(struct world *w)
{
    flo_packing_close(&w->packing);
    close(w->model);
    close(w->packed);
}

static size_t size_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return (size_t)st.st_size;
}

/* Maps again each time: a sidecar that was refused stays usable. */
static int map(struct world *w, int fd, struct flo_err *err)
{
    struct flo_sidecar *sidecar = NULL;
    int rv = flo_sidecar_new(w->packing.gguf, w->model, &sidecar, err);

    assert_int_equal(rv, 0);
    rv = flo_sidecar_map(sidecar, fd, err);
    flo_sidecar_free(sidecar);
    return rv;
}

/* ---- the file ---- */

static void the_bytes_do_not_depend_on_the_threads(void **state)
{
    struct world one, four;
    (void)state;

    world_open(&one, MODEL, 1);
    world_open(&four, MODEL, 4);
    size_t bytes = size_of(one.packed);
    void *a = mmap(NULL, bytes, PROT_READ, MAP_SHARED, one.packed, 0);
    void *b = mmap(NULL, bytes, PROT_READ, MAP_SHARED, four.packed, 0);

    assert_memory_equal(a, b, bytes);
    assert_int_equal(bytes % 4096, 0);
    munmap(a, bytes);
    munmap(b, bytes);
    world_close(&one);
    world_close(&four);
}

static void every_bit_of_the_head_counts(void **state)
{
    struct world w;
    (void)state;

    world_open(&w, MODEL, 2);
    size_t head = 64 + 128 * flo_sidecar_tensors(w.packing.sidecar);
    assert_int_equal(map(&w, w.packed, NULL), 0);
    for (size_t bit = 0; bit < head * 8; bit++) {
        uint8_t byte, flipped;

        assert_int_equal(pread(w.packed, &byte, 1, (off_t)(bit / 8)), 1);
        flipped = (uint8_t)(byte ^ 1u << bit % 8);
        assert_int_equal(pwrite(w.packed, &flipped, 1, (off_t)(bit / 8)), 1);
        assert_int_equal(map(&w, w.packed, NULL), FLO_E_PACKED);
        assert_int_equal(pwrite(w.packed, &byte, 1, (off_t)(bit / 8)), 1);
    }
    assert_int_equal(map(&w, w.packed, NULL), 0);
    world_close(&w);
}

static void a_file_of_any_other_size_is_refused(void **state)
{
    struct world w;
    (void)state;

    world_open(&w, MODEL, 2);
    size_t bytes = size_of(w.packed);
    for (size_t size = bytes + 3; size-- > 0;) {
        if (size != bytes && (size < 9000 || size > bytes - 9000)) {
            assert_int_equal(ftruncate(w.packed, (off_t)size), 0);
            assert_int_equal(map(&w, w.packed, NULL), FLO_E_PACKED);
        }
    }
    world_close(&w);
}

static void the_words_tell_what_is_wrong(void **state)
{
    static const uint8_t other_layout[4] = {99};
    struct flo_err err = {0};
    struct world w, other;
    (void)state;

    world_open(&w, MODEL, 2);
    world_open(&other, OTHER, 2);

    assert_int_equal(map(&w, other.packed, &err), FLO_E_PACKED);
    assert_non_null(strstr(err.what, "this model has"));
    assert_int_equal(map(&w, w.model, &err), FLO_E_PACKED);
    assert_int_equal(pwrite(w.packed, other_layout, 4, 12), 4);
    assert_int_equal(map(&w, w.packed, &err), FLO_E_PACKED);
    assert_non_null(strstr(err.what, "layout 99"));
    world_close(&w);
    world_close(&other);
}

/* The same shapes and other weights: a model that was trained on. */
static void a_model_that_was_trained_on_does_not_take_the_old_one(void **state)
{
    struct world w;
    struct flo_err err = {0};
    struct flo_gguf *gguf = NULL;
    struct flo_sidecar *sidecar = NULL;
    (void)state;

    world_open(&w, MODEL, 2);
    size_t bytes = size_of(w.model);
    char *copy = malloc(bytes);
    int trained = memfd_create("trained", MFD_CLOEXEC);
    assert_int_equal(pread(w.model, copy, bytes, 0), bytes);
    const struct flo_gguf_tensor *t = flo_gguf_tensor_find(w.packing.gguf, "blk.0.ffn_up.weight");
    for (size_t i = 0; i < t->bytes; i += 20) {
        copy[t->offset + i + 7] ^= 1;
    }
    assert_int_equal(write(trained, copy, bytes), bytes);

    assert_int_equal(flo_gguf_open_fd(trained, &gguf, NULL), 0);
    assert_int_equal(flo_sidecar_new(gguf, trained, &sidecar, NULL), 0);
    assert_int_equal(flo_sidecar_map(sidecar, w.packed, &err), FLO_E_PACKED);
    assert_non_null(strstr(err.what, "another model"));
    flo_sidecar_free(sidecar);
    flo_gguf_close(gguf);
    free(copy);
    close(trained);
    world_close(&w);
}

static void a_model_of_floats_has_nothing_to_pack(void **state)
{
    struct flo_packing packing;
    int fd = open_file(FLOATS);
    (void)state;

    assert_int_equal(flo_packing_open(fd, false, &packing, NULL), FLO_E_NOT_BUILT);
    close(fd);
}

static void a_cut_write_leaves_no_head(void **state)
{
    struct world w;
    uint8_t head[64];
    int small = memfd_create("small", MFD_CLOEXEC);
    (void)state;

    world_open(&w, MODEL, 2);
    /* A file of another size is not written at all. */
    assert_int_equal(ftruncate(small, 8192), 0);
    assert_int_equal(flo_sidecar_write(w.packing.sidecar, small, 1, NULL, NULL, NULL),
                     FLO_E_PACKED);
    assert_int_equal(pread(small, head, sizeof(head), 0), sizeof(head));
    for (size_t i = 0; i < sizeof(head); i++) {
        assert_int_equal(head[i], 0);
    }
    close(small);
    world_close(&w);
}

/* ---- what the engine reads ---- */

static void no_matmul(const void *weights, size_t row_bytes, size_t rows,
                      const struct flo_activations *x, float *y, size_t stride)
{
    (void)weights, (void)row_bytes, (void)rows, (void)x, (void)y, (void)stride;
}

static void expect_strips_of(const struct flo_matrix *plain, const struct flo_matrix *packed)
{
    size_t bytes = flo_pack_strip_bytes(plain->type->id, plain->columns);
    uint8_t *strip = malloc(bytes);

    assert_int_equal(packed->row_bytes, bytes);
    assert_int_equal(packed->strip_rows, FLO_STRIP_ROWS);
    assert_int_equal((uintptr_t)packed->data % FLO_STRIP_ALIGN, 0);
    for (uint32_t r = 0; r < plain->rows / FLO_STRIP_ROWS; r++) {
        flo_pack_strip(plain->type->id, plain->data + r * FLO_STRIP_ROWS * plain->row_bytes,
                       plain->row_bytes, FLO_STRIP_ROWS, plain->columns, strip);
        assert_memory_equal(packed->data + r * bytes, strip, bytes);
    }
    free(strip);
}

/* Binds a model's weights twice, and packs one: with a kernel that reads strips
 * of every type, whatever CPU this is.  Returns the number of layers. */
static uint32_t bind_both(struct world *w, const char *path, struct flo_weights *plain,
                          struct flo_weights *packed)
{
    struct flo_kernel kernel = flo_kernel_ref;
    struct flo_hparams hparams;
    const struct flo_arch *arch;

    world_open(w, path, 2);
    for (size_t i = 0; i < FLO_QUANT_ID_COUNT; i++) {
        kernel.matmul_packed[i] = no_matmul;
    }
    assert_int_equal(flo_hparams_read(w->packing.gguf, &arch, &hparams, NULL), 0);
    assert_int_equal(flo_weights_bind(w->packing.gguf, arch, &hparams, &kernel, plain, NULL), 0);
    assert_int_equal(flo_weights_bind(w->packing.gguf, arch, &hparams, &kernel, packed, NULL), 0);
    assert_int_equal(flo_sidecar_map(w->packing.sidecar, w->packed, NULL), 0);
    assert_int_equal(flo_weights_can_pack(packed, &kernel, w->packing.sidecar, NULL), 0);
    flo_weights_pack(packed, &kernel, w->packing.sidecar);
    assert_true(packed->are_packed);
    return hparams.n_layer;
}

static void expect_model_packed(const char *path)
{
    struct flo_weights plain = {0}, packed = {0};
    struct world w;
    uint32_t n_layer = bind_both(&w, path, &plain, &packed);

    for (uint32_t i = 0; i < n_layer; i++) {
        const struct flo_layer *a = &plain.layers[i], *b = &packed.layers[i];
        expect_strips_of(&a->q, &b->q);
        expect_strips_of(&a->k, &b->k);
        expect_strips_of(&a->v, &b->v);
        expect_strips_of(&a->o, &b->o);
        expect_strips_of(&a->up, &b->up);
        expect_strips_of(&a->down, &b->down);
    }
    expect_strips_of(&plain.output, &packed.output);
    /* Tokens are looked up by rows, in the model. */
    assert_ptr_equal(plain.embedding.data, packed.embedding.data);
    assert_int_equal(packed.embedding.strip_rows, 1);
    flo_weights_deinit(&plain);
    flo_weights_deinit(&packed);
    world_close(&w);
}

static void every_matrix_finds_its_strips(void **state)
{
    (void)state;
    expect_model_packed(MODEL);
    expect_model_packed(OTHER);
}

static void parts_of_fused_matrices_find_theirs(void **state)
{
    (void)state;
    expect_model_packed(FUSED);
}

/* The strips of each expert lie where its rows would. */
static void expect_experts_packed(const struct flo_matrix *plain, const struct flo_matrix *packed)
{
    uint32_t step = (uint32_t)plain->tensor->dims[1];

    for (uint32_t expert = 0; expert < plain->tensor->dims[2]; expert++) {
        struct flo_matrix rows = *plain, strips = *packed;

        rows.data += (size_t)expert * step * plain->row_bytes;
        strips.data += (size_t)expert * step / FLO_STRIP_ROWS * packed->row_bytes;
        expect_strips_of(&rows, &strips);
    }
}

static void each_expert_has_strips_of_its_own(void **state)
{
    static const char *const paths[] = {EXPERTS, FUSED_EXPERTS};
    (void)state;

    for (size_t p = 0; p < FLO_COUNT(paths); p++) {
        struct flo_weights plain = {0}, packed = {0};
        struct world w;
        uint32_t n_layer = bind_both(&w, paths[p], &plain, &packed), seen = 0;

        for (uint32_t i = 0; i < n_layer; i++) {
            const struct flo_layer *a = &plain.layers[i], *b = &packed.layers[i];

            if (a->expert_up.data != NULL) {
                expect_experts_packed(&a->expert_gate, &b->expert_gate);
                expect_experts_packed(&a->expert_up, &b->expert_up);
                expect_experts_packed(&a->expert_down, &b->expert_down);
                seen++;
            }
        }
        assert_true(seen > 0);
        flo_weights_deinit(&plain);
        flo_weights_deinit(&packed);
        world_close(&w);
    }
}

static void rows_inside_a_strip_are_not_found(void **state)
{
    struct world w;
    size_t bytes = 0;
    (void)state;

    world_open(&w, MODEL, 1);
    const struct flo_gguf_tensor *t = flo_gguf_tensor_find(w.packing.gguf, "blk.0.ffn_up.weight");

    uint64_t first = flo_sidecar_find(w.packing.sidecar, t, 0, &bytes);
    assert_true(first > 0);
    assert_int_equal(flo_sidecar_find(w.packing.sidecar, t, 16, &bytes), first + bytes);
    assert_int_equal(flo_sidecar_find(w.packing.sidecar, t, 1, &bytes), 0);
    const struct flo_gguf_tensor *norm =
        flo_gguf_tensor_find(w.packing.gguf, "blk.0.ffn_norm.weight");
    assert_int_equal(flo_sidecar_find(w.packing.sidecar, norm, 0, &bytes), 0);
    world_close(&w);
}

static struct flo_engine *open_with(int model, const struct flo_engine_options *options)
{
    struct flo_engine *engine = NULL;

    assert_int_equal(flo_engine_open_fd(model, options, &engine, NULL), 0);
    return engine;
}

static struct flo_engine *open_engine(int model, int packed, const char *kernel, uint64_t budget)
{
    const struct flo_engine_options options = {.context = 64,
                                               .threads = 1,
                                               .packed_fd = packed,
                                               .kernel = kernel,
                                               .memory_bytes_max = budget};
    return open_with(model, &options);
}

static uint64_t planned_bytes(const struct flo_engine *engine)
{
    const struct flo_engine_info *info = flo_engine_info(engine);

    return info->weights_bytes + info->kv_bytes + info->scratch_bytes + info->vocabulary_bytes;
}

/* Does an engine of this machine read packed weights of the model? */
static bool is_read_here(const struct world *w)
{
    struct flo_packing probe;
    bool reads = flo_packing_open(w->model, true, &probe, NULL) == 0;

    flo_packing_close(&probe);
    return reads;
}

/* The distance of two engines' logits, against the logits' own spread. Another
 * order of sums and coarser codes cost a percent, a wrong row all. */
static double distance(struct flo_engine *a, struct flo_engine *b)
{
    static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
    struct flo_session *sa = NULL, *sb = NULL;
    double far = 0, spread = 0;

    assert_int_equal(flo_session_open(a, &sa, NULL), 0);
    assert_int_equal(flo_session_open(b, &sb, NULL), 0);
    assert_int_equal(flo_session_decode(sa, tokens, 8, FLO_LOGITS_LAST, NULL), 0);
    assert_int_equal(flo_session_decode(sb, tokens, 8, FLO_LOGITS_LAST, NULL), 0);
    for (uint32_t i = 0; i < flo_engine_info(a)->n_vocab; i++) {
        double x = flo_session_logits(sa)[i], y = flo_session_logits(sb)[i];
        far += (x - y) * (x - y);
        spread += x * x;
    }
    flo_session_close(sa);
    flo_session_close(sb);
    return sqrt(far / spread);
}

/* A token that is computed alone has the bits that it has in a batch. */
static void expect_bits_of_one(struct flo_engine *engine)
{
    static const int32_t tokens[] = {3, 1, 4, 1, 5, 9, 2, 6};
    size_t bytes = flo_engine_info(engine)->n_vocab * sizeof(float);
    float *together = malloc(bytes);
    struct flo_session *s = NULL;

    assert_int_equal(flo_session_open(engine, &s, NULL), 0);
    assert_int_equal(flo_session_decode(s, tokens, 8, FLO_LOGITS_LAST, NULL), 0);
    memcpy(together, flo_session_logits(s), bytes);
    flo_session_close(s);
    assert_int_equal(flo_session_open(engine, &s, NULL), 0);
    for (size_t i = 0; i < FLO_COUNT(tokens); i++) {
        assert_int_equal(flo_session_decode(s, tokens + i, 1, FLO_LOGITS_LAST, NULL), 0);
    }
    assert_memory_equal(together, flo_session_logits(s), bytes);
    flo_session_close(s);
    free(together);
}

static void expect_alike(const char *path, double most)
{
    struct world w;

    world_open(&w, path, 2);
    bool reads = is_read_here(&w);
    struct flo_engine *plain = open_engine(w.model, 0, NULL, 0);
    struct flo_engine *packed = open_engine(w.model, w.packed, NULL, 0);
    struct flo_engine *ref = open_engine(w.model, w.packed, "ref", 0);

    assert_int_equal(flo_engine_info(packed)->is_packed, reads);
    assert_false(flo_engine_info(plain)->is_packed);
    assert_false(flo_engine_info(ref)->is_packed);
    assert_true(distance(plain, packed) < most);
    expect_bits_of_one(packed);
    flo_engine_close(plain);
    flo_engine_close(packed);
    flo_engine_close(ref);
    world_close(&w);
}

static void packed_or_not_an_engine_answers_alike(void **state)
{
    (void)state;
    expect_alike(MODEL, 0.02);
    expect_alike(EXPERTS, 0.05);
}

static void a_named_file_that_is_not_the_models_fails_the_open(void **state)
{
    struct world w, other;
    struct flo_engine *engine = NULL;
    (void)state;

    world_open(&w, MODEL, 2);
    world_open(&other, OTHER, 2);
    const struct flo_engine_options options = {.packed_fd = other.packed};
    int rv = flo_engine_open_fd(w.model, &options, &engine, NULL);
    if (is_read_here(&w)) {
        assert_int_equal(rv, FLO_E_PACKED);
    } else {
        assert_int_equal(rv, 0); /* nothing here would read it */
        flo_engine_close(engine);
    }
    world_close(&w);
    world_close(&other);
}

static void a_budget_without_room_for_both_takes_the_models_rows(void **state)
{
    struct world w;
    (void)state;

    world_open(&w, MODEL, 2);
    if (!is_read_here(&w)) {
        world_close(&w);
        skip();
    }
    struct flo_engine *plain = open_engine(w.model, 0, NULL, 0);
    uint64_t needed = planned_bytes(plain);
    flo_engine_close(plain);

    struct flo_engine *tight = open_engine(w.model, w.packed, NULL, needed);
    assert_false(flo_engine_info(tight)->is_packed);
    flo_engine_close(tight);
    struct flo_engine *wide = open_engine(w.model, w.packed, NULL, needed + size_of(w.packed));
    assert_true(flo_engine_info(wide)->is_packed);
    flo_engine_close(wide);
    world_close(&w);
}

static int float_embedding(void *context, const struct flo_gguf_tensor *tensor, const void **data,
                           struct flo_err *err)
{
    static const uint8_t zeros[1u << 18];
    (void)context, (void)err;

    if (tensor->type == FLO_QUANT_F32 && tensor->dims[1] > 1) {
        assert_true(tensor->bytes <= sizeof(zeros));
        *data = zeros;
    }
    return 0;
}

/* A world of a model whose embedding is F32, and that tensor's bytes. */
static uint64_t world_of_floats(struct world *w, const char *path)
{
    struct flo_gguf *gguf = NULL;
    uint32_t types[64];
    int fd = memfd_create("model", MFD_CLOEXEC);

    assert_int_equal(flo_gguf_open_path(path, &gguf, NULL), 0);
    for (size_t i = 0; i < flo_gguf_tensor_count(gguf); i++) {
        const struct flo_gguf_tensor *t = flo_gguf_tensor_at(gguf, i);
        types[i] = strcmp(t->name, "token_embd.weight") == 0 ? FLO_QUANT_F32 : t->type;
    }
    assert_int_equal(flo_gguf_write(gguf, types, NULL, 0, float_embedding, NULL, fd, NULL), 0);
    flo_gguf_close(gguf);
    world_open_fd(w, fd, 2);
    return flo_gguf_tensor_find(w->packing.gguf, "token_embd.weight")->bytes;
}

static void a_tied_embedding_of_floats_is_read_whole_and_planned_for(void **state)
{
    struct world w;
    uint64_t embedding_bytes = world_of_floats(&w, MODEL);
    (void)state;

    struct flo_engine *engine = open_engine(w.model, w.packed, NULL, 0);
    assert_int_equal(flo_engine_info(engine)->is_packed, is_read_here(&w));
    if (is_read_here(&w)) {
        assert_true(flo_engine_info(engine)->weights_bytes >= size_of(w.packed) + embedding_bytes);
    }
    flo_engine_close(engine);
    world_close(&w);
}

/* Beside an output of its own only rows of the embedding are read: the packed
 * weights take fewer bytes than the model's. */
static void a_budget_shrinks_the_cache_before_it_gives_up_less_bytes(void **state)
{
    struct flo_engine_options options = {.threads = 1};
    struct world w;
    (void)state;

    world_of_floats(&w, OTHER);
    if (!is_read_here(&w)) {
        world_close(&w);
        skip();
    }
    struct flo_engine *plain = open_with(w.model, &options);
    options.packed_fd = w.packed;
    struct flo_engine *packed = open_with(w.model, &options);
    uint64_t specified = planned_bytes(packed);
    uint32_t context = flo_engine_info(packed)->context;
    assert_true(planned_bytes(plain) > specified);
    flo_engine_close(plain);
    flo_engine_close(packed);

    options.memory_bytes_max = specified - 1;
    struct flo_engine *smaller = open_with(w.model, &options);
    assert_true(flo_engine_info(smaller)->is_packed);
    assert_int_equal(flo_engine_info(smaller)->context, context);
    flo_engine_close(smaller);

    options.context = 512;
    options.kv_type = FLO_KV_Q8_0;
    struct flo_engine *least = open_with(w.model, &options);
    options.memory_bytes_max = planned_bytes(least);
    flo_engine_close(least);
    options.context = 0;
    options.kv_type = FLO_KV_AUTO;
    struct flo_engine *tight = open_with(w.model, &options);
    assert_true(flo_engine_info(tight)->is_packed);
    assert_int_equal(flo_engine_info(tight)->context, 512);
    flo_engine_close(tight);
    world_close(&w);
}

/* Some emulators do not ask the kernel: there such a page ends the process. */
static bool is_asked_here(void)
{
    int empty = memfd_create("empty", MFD_CLOEXEC);
    void *page = mmap(NULL, 1, PROT_READ, MAP_SHARED, empty, 0);
    bool is_asked = flo_mapped_fetch(page, 1, NULL) == FLO_E_IO_READ;

    munmap(page, 1);
    close(empty);
    return is_asked;
}

/* The inputs of products are in the packed file, and vectors are copied: only
 * rows of the embedding are missed. */
static void rows_that_the_disk_does_not_give_fail_a_request_and_no_more(void **state)
{
    struct world w;
    struct flo_session *session = NULL;
    struct flo_err err = {0};
    const int32_t tokens[] = {3, 1, 4};
    (void)state;

    world_open(&w, MODEL, 2);
    if (!is_read_here(&w) || !is_asked_here()) {
        world_close(&w);
        skip();
    }
    size_t bytes = size_of(w.model);
    char *data = malloc(bytes);
    int copy = memfd_create("copy", MFD_CLOEXEC);
    assert_int_equal(pread(w.model, data, bytes, 0), bytes);
    assert_int_equal(pwrite(copy, data, bytes, 0), bytes);
    struct flo_engine *engine = open_engine(copy, w.packed, NULL, 0);
    assert_int_equal(flo_session_open(engine, &session, NULL), 0);

    assert_int_equal(ftruncate(copy, 0), 0); /* as sectors that are gone */
    assert_int_equal(flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, &err), FLO_E_IO_READ);
    assert_int_equal(flo_session_position(session), 0);
    assert_int_equal(pwrite(copy, data, bytes, 0), bytes);
    assert_int_equal(flo_session_decode(session, tokens, 3, FLO_LOGITS_LAST, &err), 0);
    flo_session_close(session);
    flo_engine_close(engine);
    close(copy);
    free(data);
    world_close(&w);
}

/* ---- next to the model ---- */

static void copy_to(int fd, const char *path)
{
    size_t bytes = size_of(fd);
    char *data = malloc(bytes);

    assert_int_equal(pread(fd, data, bytes, 0), bytes);
    assert_int_equal(flo_file_write(path, data, bytes, 0600, NULL), 0);
    free(data);
}

static void a_file_next_to_the_model_is_found_unless_it_is_stale(void **state)
{
    char folder[] = "/tmp/flo-sidecar-XXXXXX";
    char model[64], packed[80];
    const struct flo_engine_options none = {.packed = ""}, normal = {0};
    struct flo_engine *engine = NULL;
    struct world w;
    (void)state;

    world_open(&w, MODEL, 2);
    bool reads = is_read_here(&w);
    assert_non_null(mkdtemp(folder));
    snprintf(model, sizeof(model), "%s/m.gguf", folder);
    snprintf(packed, sizeof(packed), "%s.packed", model);
    copy_to(w.model, model);
    copy_to(w.packed, packed);

    assert_int_equal(flo_engine_open(model, &normal, &engine, NULL), 0);
    assert_int_equal(flo_engine_info(engine)->is_packed, reads);
    assert_string_equal(flo_engine_info(engine)->packed_why, "");
    flo_engine_close(engine);
    assert_int_equal(flo_engine_open(model, &none, &engine, NULL), 0);
    assert_false(flo_engine_info(engine)->is_packed);
    flo_engine_close(engine);

    const struct timespec old[2] = {{1000, 0}, {1000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, packed, old, 0), 0);
    assert_int_equal(flo_engine_open(model, &normal, &engine, NULL), 0);
    assert_false(flo_engine_info(engine)->is_packed);
    assert_non_null(strstr(flo_engine_info(engine)->packed_why, "older"));
    flo_engine_close(engine);
    unlink(packed);
    unlink(model);
    rmdir(folder);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_do_not_depend_on_the_threads),
        cmocka_unit_test(every_bit_of_the_head_counts),
        cmocka_unit_test(a_file_of_any_other_size_is_refused),
        cmocka_unit_test(the_words_tell_what_is_wrong),
        cmocka_unit_test(a_model_that_was_trained_on_does_not_take_the_old_one),
        cmocka_unit_test(a_model_of_floats_has_nothing_to_pack),
        cmocka_unit_test(a_cut_write_leaves_no_head),
        cmocka_unit_test(every_matrix_finds_its_strips),
        cmocka_unit_test(parts_of_fused_matrices_find_theirs),
        cmocka_unit_test(each_expert_has_strips_of_its_own),
        cmocka_unit_test(rows_inside_a_strip_are_not_found),
        cmocka_unit_test(packed_or_not_an_engine_answers_alike),
        cmocka_unit_test(a_named_file_that_is_not_the_models_fails_the_open),
        cmocka_unit_test(a_budget_without_room_for_both_takes_the_models_rows),
        cmocka_unit_test(a_tied_embedding_of_floats_is_read_whole_and_planned_for),
        cmocka_unit_test(a_budget_shrinks_the_cache_before_it_gives_up_less_bytes),
        cmocka_unit_test(rows_that_the_disk_does_not_give_fail_a_request_and_no_more),
        cmocka_unit_test(a_file_next_to_the_model_is_found_unless_it_is_stale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
