/* See patch_help.h. */
#include "patch_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zstd.h>

/* ---- an update ---- */

struct patch_story patch_story_of(uint64_t columns, uint64_t rows)
{
    static const uint32_t types[] = {12, 8, 1};
    static const char *const names[] = {"a", "b", "c"};
    struct model_tensor tensors[3];
    uint8_t *data[3];
    struct patch_story story = {0};

    for (size_t i = 0; i < 3; i++) {
        tensors[i] = (struct model_tensor){names[i], types[i], columns, rows, NULL};
        data[i] = malloc((size_t)model_tensor_bytes(&tensors[i]));
        weights_fill(types[i], data[i], columns * rows, (uint32_t)i);
        tensors[i].data = data[i];
    }
    story.old = model_of(tensors, 3, "hello");
    for (size_t i = 0; i < 3; i++) {
        weights_move(types[i], data[i], columns * rows, (uint32_t)i + 50, 40);
    }
    story.new = model_of(tensors, 3, "good evening");
    for (size_t i = 0; i < 3; i++) {
        free(data[i]);
    }
    create_bytes("tensor1", story.old.data, story.old.bytes, story.new.data, story.new.bytes,
                 &story.patch);
    return story;
}

void patch_story_end(struct patch_story *story)
{
    free(story->old.data);
    free(story->new.data);
    flo_buf_deinit(&story->patch);
}

/* ---- apart ---- */

static void read_index(const struct flo_buf *file, struct patch *patch)
{
    const struct tensor_head *head = &patch->head;
    uint8_t *index = malloc((size_t)head->index_bytes + 1);
    const char *packed = file->data + TENSOR_HEAD_BYTES;
    struct tensor_needs needs;
    struct tensor_index walk;
    bool is_end = false;

    patch->is_packed = head->packed_bytes != head->index_bytes;
    if (patch->is_packed) {
        assert_int_equal(ZSTD_decompress(index, head->index_bytes, packed, head->packed_bytes),
                         head->index_bytes);
    } else {
        memcpy(index, packed, head->index_bytes);
    }
    assert_int_equal(flo_tensor_index_check(head, index, file->bytes, &needs, NULL), 0);
    assert_true(head->part_count <= PATCH_PARTS_MAX);
    flo_tensor_index_begin(&walk, head, index);
    walk.hash_at = needs.hash_at;
    for (;;) {
        struct patch_part *part = &patch->parts[patch->count];
        assert_int_equal(flo_tensor_index_next(&walk, &part->entry, &is_end, NULL), 0);
        if (is_end) {
            break;
        }
        patch->count++;
        if (part->entry.new_hash != NULL) {
            memcpy(part->new_hash, part->entry.new_hash, TENSOR_HASH_BYTES);
        }
        if (part->entry.payload_hash != NULL) {
            memcpy(part->payload_hash, part->entry.payload_hash, TENSOR_HASH_BYTES);
        }
        flo_buf_add(&part->payload, file->data + part->entry.payload_at, part->entry.payload_bytes);
    }
    free(index);
}

struct patch *patch_of(const struct flo_buf *file)
{
    struct patch *patch = calloc(1, sizeof *patch);

    assert_int_equal(flo_tensor_head_read((const uint8_t *)file->data, TENSOR_HEAD_BYTES,
                                          file->bytes, &patch->head, NULL),
                     0);
    read_index(file, patch);
    return patch;
}

void patch_free(struct patch *patch)
{
    for (size_t i = 0; i < patch->count; i++) {
        flo_buf_deinit(&patch->parts[i].payload);
    }
    flo_buf_deinit(&patch->behind);
    flo_buf_deinit(&patch->frame_behind);
    free(patch);
}

/* ---- together ---- */

static void put_number(struct flo_buf *out, uint64_t value, unsigned width)
{
    for (unsigned i = 1; value >= 128 || i < width; i++) {
        uint8_t byte = (uint8_t)(value | 128);
        flo_buf_add(out, &byte, 1);
        value >>= 7;
    }
    uint8_t last = (uint8_t)value;
    flo_buf_add(out, &last, 1);
}

static void put_byte(struct flo_buf *out, unsigned value)
{
    uint8_t byte = (uint8_t)value;

    flo_buf_add(out, &byte, 1);
}

static void put_entry(const struct patch_part *part, uint64_t *old_end, struct flo_buf *out)
{
    const struct tensor_entry *entry = &part->entry;
    uint64_t move = entry->old_at - *old_end;
    uint64_t payload = part->states != 0 ? part->states : (uint64_t)part->payload.bytes;

    put_byte(out, part->has_op_byte ? part->op_byte : (unsigned)entry->op);
    if (tensor_op_is_typed(entry->op)) {
        put_byte(out, entry->old_id);
        put_byte(out, entry->new_id);
        put_number(out, entry->columns, part->width);
        put_number(out, entry->values, 1);
    } else {
        put_number(out, entry->new_bytes, part->width);
    }
    if (entry->op != TENSOR_ZERO && entry->op != TENSOR_PLAIN) {
        put_number(out, part->has_move ? part->move : (move << 1 ^ (0 - (move >> 63))), 1);
        *old_end = entry->old_at + entry->old_bytes;
    }
    if (entry->op == TENSOR_PACKED) {
        put_number(out, entry->old_bytes, 1);
    }
    if (entry->op == TENSOR_PACKED || tensor_op_begins(entry->op)) {
        put_number(out, payload, 1);
    }
}

static void put_hashes(const struct patch_part *part, struct flo_buf *out)
{
    enum tensor_op op = part->entry.op;

    if (op != TENSOR_COPY && op != TENSOR_ZERO) {
        flo_buf_add(out, part->new_hash, TENSOR_HASH_BYTES);
    }
    if (op == TENSOR_PACKED || tensor_op_begins(op)) {
        flo_buf_add(out, part->payload_hash, TENSOR_HASH_BYTES);
    }
}

static void pack_index(const struct patch *patch, struct flo_buf *index)
{
    size_t room = ZSTD_compressBound(index->bytes);
    char *frame = malloc(room);
    size_t got = ZSTD_compress(frame, room, index->data, index->bytes, 3);

    assert_false(ZSTD_isError(got));
    index->bytes = 0;
    flo_buf_add(index, frame, got);
    flo_buf_add(index, patch->frame_behind.data, patch->frame_behind.bytes);
    free(frame);
}

void patch_seal(const struct patch *patch, struct flo_buf *out)
{
    struct tensor_head head = patch->head;
    struct flo_buf index = {0};
    uint8_t bytes[TENSOR_HEAD_BYTES] = {0};
    uint64_t old_end = 0;

    for (size_t i = 0; i < patch->count; i++) {
        put_entry(&patch->parts[i], &old_end, &index);
    }
    for (size_t i = 0; i < patch->count; i++) {
        put_hashes(&patch->parts[i], &index);
    }
    flo_buf_add(&index, patch->behind.data, patch->behind.bytes);
    head.part_count = (uint32_t)((int64_t)patch->count + (int64_t)patch->parts_more);
    head.index_bytes = (uint32_t)index.bytes;
    if (patch->is_packed) {
        pack_index(patch, &index);
    }
    head.packed_bytes = (uint32_t)index.bytes;
    flo_sha256(index.data, index.bytes, &head.index_digest);
    flo_tensor_head_write(&head, bytes);
    out->bytes = 0;
    flo_buf_add(out, bytes, sizeof bytes);
    flo_buf_add(out, index.data, index.bytes);
    for (size_t i = 0; i < patch->count; i++) {
        flo_buf_add(out, patch->parts[i].payload.data, patch->parts[i].payload.bytes);
    }
    flo_buf_deinit(&index);
}

void patch_payload(struct patch_part *part, const void *data, size_t bytes)
{
    struct flo_buf fresh = {0};
    struct flo_digest hash;

    flo_buf_add(&fresh, data, bytes);
    flo_buf_deinit(&part->payload);
    part->payload = fresh;
    flo_sha256(fresh.data, bytes, &hash);
    memcpy(part->payload_hash, &hash, TENSOR_HASH_BYTES);
}

/* ---- changes ---- */

size_t patch_find(const struct patch *patch, enum tensor_op op, size_t from)
{
    for (size_t i = from; i < patch->count; i++) {
        if (patch->parts[i].entry.op == op) {
            return i;
        }
    }
    fail_msg("the patch has no part of kind %d", (int)op);
    return 0;
}

void patch_drop(struct patch *patch, size_t at)
{
    flo_buf_deinit(&patch->parts[at].payload);
    patch->count--;
    memmove(&patch->parts[at], &patch->parts[at + 1], (patch->count - at) * sizeof patch->parts[0]);
}

void patch_double(struct patch *patch, size_t at)
{
    struct flo_buf payload = {0};

    assert_true(patch->count < PATCH_PARTS_MAX);
    memmove(&patch->parts[at + 1], &patch->parts[at], (patch->count - at) * sizeof patch->parts[0]);
    patch->count++;
    flo_buf_add(&payload, patch->parts[at].payload.data, patch->parts[at].payload.bytes);
    patch->parts[at + 1].payload = payload;
}

/* ---- a patch that lies ---- */

static void add_part(struct hostile *hostile, const struct tensor_entry *entry, const void *bytes,
                     const void *payload, size_t payload_bytes)
{
    struct patch *patch = hostile->patch;
    struct patch_part *part = &patch->parts[patch->count++];
    struct flo_digest hash;

    part->entry = *entry;
    patch_payload(part, payload, payload_bytes);
    flo_sha256(bytes, (size_t)entry->new_bytes, &hash);
    memcpy(part->new_hash, &hash, TENSOR_HASH_BYTES);
    flo_buf_add(&hostile->new, bytes, (size_t)entry->new_bytes);
}

static void name_result(struct hostile *hostile)
{
    hostile->patch->head.new_bytes = hostile->new.bytes;
    flo_sha256(hostile->new.data, hostile->new.bytes, &hostile->patch->head.new_digest);
}

int hostile_set_up(void **state)
{
    struct hostile *hostile = calloc(1, sizeof *hostile);
    char zeros[300] = {0};

    limit_growth_begin();
    hostile->story = patch_story_of(256, 64);
    flo_buf_add(&hostile->new, hostile->story.new.data, hostile->story.new.bytes);
    hostile->patch = patch_of(&hostile->story.patch);
    struct patch *patch = hostile->patch;
    const struct bytes *old = &hostile->story.old;

    assert_int_equal(patch->count, 4);
    assert_int_equal(patch->parts[PACKED].entry.op, TENSOR_PACKED);
    assert_int_equal(patch->parts[TYPED].entry.op, TENSOR_TYPED);
    assert_int_equal(patch->parts[MORE_B].entry.op, TENSOR_MORE);
    add_part(hostile, &(struct tensor_entry){.op = TENSOR_ZERO, .new_bytes = sizeof zeros}, zeros,
             "", 0);
    add_part(
        hostile,
        &(struct tensor_entry){
            .op = TENSOR_COPY, .new_bytes = 1000, .old_at = old->bytes - 1000, .old_bytes = 1000},
        old->data + old->bytes - 1000, "", 0);
    add_part(hostile, &(struct tensor_entry){.op = TENSOR_PLAIN, .new_bytes = 11}, "plain bytes",
             "plain bytes", 11);
    /* The first typed part stands alone once more; its coder's last bits are
     * those of a group, so it has a payload of its own. */
    struct patch_story alone = patch_story_of(256, 64);
    const struct patch_part *typed = &patch->parts[TYPED];
    struct tensor_model *model = flo_tensor_model_new();
    struct range_coder coder;
    uint8_t payload[8192];
    struct tensor_part part = {
        .old_type = flo_block_type(typed->entry.old_id),
        .new_type = flo_block_type(typed->entry.new_id),
        .old = (const uint8_t *)old->data + typed->entry.old_at,
        .values = (uint32_t)typed->entry.values,
        .columns = typed->entry.columns,
    };
    const char *fresh = alone.new.data + typed->entry.new_at;
    flo_tensor_model_reset(model);
    range_encode_begin(&coder, payload, sizeof payload);
    assert_true(flo_tensor_encode(model, &coder, &part, (const uint8_t *)fresh));
    size_t bytes = range_encode_end(&coder);
    add_part(hostile, &typed->entry, fresh, payload, bytes);
    flo_tensor_model_free(model);
    patch_story_end(&alone);
    name_result(hostile);
    *state = hostile;
    return 0;
}

int hostile_tear_down(void **state)
{
    struct hostile *hostile = *state;

    patch_story_end(&hostile->story);
    flo_buf_deinit(&hostile->new);
    patch_free(hostile->patch);
    free(hostile);
    return 0;
}

/* ---- play ---- */

static int count_only(void *context, const void *data, size_t bytes, struct flo_err *err)
{
    (void)data;
    (void)err;
    *(uint64_t *)context += bytes;
    return 0;
}

/* The result within 8 MiB more than this process has. */
static int apply_small(const struct hostile *hostile, const struct flo_buf *file,
                       uint64_t new_bytes)
{
    int old_fd = file_of(hostile->story.old.data, hostile->story.old.bytes);
    int patch_fd = file_of(file->data, file->bytes);
    uint64_t written = 0;
    int status = 0;
    const struct flo_delta_job job = {.codec = FLO_CODEC_TENSOR1,
                                      .patch_fd = patch_fd,
                                      .base_fd = old_fd,
                                      .new_bytes = new_bytes,
                                      .on_data = count_only,
                                      .context = &written};
    int pipe_fds[2];
    int rv = 0;

    assert_int_equal(pipe(pipe_fds), 0);
    (void)malloc_trim(0); /* what is free already would not count */
    pid_t pid = fork();
    if (pid == 0) {
        if (!limit_growth(TENSOR_MEMORY_BYTES)) {
            _exit(5);
        }
        rv = flo_delta_apply(&job, NULL, NULL);
        bool is_told = write(pipe_fds[1], &rv, sizeof rv) == sizeof rv;
        _exit(is_told && written <= new_bytes ? 0 : 6);
    }
    (void)close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &rv, sizeof rv), sizeof rv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    (void)close(pipe_fds[0]);
    (void)close(old_fd);
    (void)close(patch_fd);
    return rv;
}

void hostile_play_file(const struct hostile *hostile, const struct flo_buf *file, int expected)
{
    uint64_t new_bytes = hostile->has_new_bytes ? hostile->new_bytes : hostile->new.bytes;
    struct flo_buf out = {0};
    struct flo_err err = {0};
    int rv = apply_bytes(FLO_CODEC_TENSOR1, hostile->story.old.data, hostile->story.old.bytes,
                         file->data, file->bytes, new_bytes, &out, &err);

    if (expected == HOSTILE_ANY_ERROR) {
        assert_true(rv < 0);
    } else if (rv != expected) {
        fail_msg("%d (%s), expected was %d", rv, err.what, expected);
    }
    assert_int_equal(err.code, rv);
    assert_true(rv == 0 || err.what[0] != '\0');
    assert_true(out.bytes <= new_bytes);
    if (rv == 0) {
        assert_int_equal(out.bytes, hostile->new.bytes);
    }
    if (out.bytes > 0 && rv != FLO_E_TARGET_HASH) {
        assert_memory_equal(out.data, hostile->new.data, out.bytes);
    }
    assert_int_equal(apply_small(hostile, file, new_bytes), rv);
    flo_buf_deinit(&out);
}

void hostile_play(const struct hostile *hostile, int expected)
{
    struct flo_buf file = {0};

    patch_seal(hostile->patch, &file);
    hostile_play_file(hostile, &file, expected);
    flo_buf_deinit(&file);
}
