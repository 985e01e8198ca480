/* Import make: imports a folder that a test made. */
#ifndef TESTS_IMPORT_MAKE_H
#define TESTS_IMPORT_MAKE_H

#include "tests/unit/engine/publish/folder_make.h"

#include <unistd.h>

#include "base/quant/quant.h"
#include "engine/publish/import/run.h"
#include "tests/unit/remove_tree.h"

static char folder[] = "/tmp/flotilla-import-XXXXXX";
static struct flo_err err;

static inline void make_empty_folder(void)
{
    strcpy(folder + sizeof(folder) - 7, "XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static inline int remove_folder(void **state)
{
    (void)state;
    remove_tree(folder);
    return 0;
}

/* Imports the folder to a file without a name, and opens it. */
static inline int imported(const char *type, struct flo_gguf **out)
{
    char path[] = "/tmp/flotilla-imported-XXXXXX";
    struct flo_import import = {0};
    struct flo_produce produce = {0};
    struct flo_resume resume = {0};
    const struct flo_import_options options = {
        .folder = folder, .mix = type != NULL ? flo_mix_find(type) : NULL, .threads = 1};
    err = (struct flo_err){0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    int rv = flo_import_open(&import, &options, &produce, &err);
    if (rv == 0) {
        rv = flo_import_write(&import, &produce, &resume, fd, &err);
    }
    flo_produce_close(&produce);
    flo_import_close(&import);
    if (rv == 0) {
        assert_int_equal(flo_gguf_open_fd(fd, out, NULL), 0);
    }
    close(fd);
    return rv;
}

static inline struct flo_gguf *must_import(const char *type)
{
    struct flo_gguf *gguf = NULL;
    int rv = imported(type, &gguf);
    if (rv != 0) {
        print_message("%s\n", err.what);
    }
    assert_int_equal(rv, 0);
    return gguf;
}

static inline const float *values_of(const struct flo_gguf *gguf, const char *name)
{
    const struct flo_gguf_tensor *tensor = flo_gguf_tensor_find(gguf, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->type, FLO_QUANT_F32);
    return flo_gguf_tensor_data(gguf, tensor);
}

static inline void expect_number(const struct flo_gguf *gguf, const char *key, uint32_t wanted)
{
    uint32_t value = UINT32_MAX;
    assert_int_equal(flo_gguf_u32(gguf, key, &value, NULL), 0);
    assert_int_equal(value, wanted);
}

static inline void expect_text(const struct flo_gguf *gguf, const char *key, const char *wanted)
{
    struct flo_gguf_text text = {"", 0};
    assert_int_equal(flo_gguf_string(gguf, key, &text, NULL), 0);
    assert_true(flo_gguf_text_is(text, wanted));
}

#endif
