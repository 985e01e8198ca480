/* Plan: which tensors a new GGUF file has, and where each row comes from.
 *
 * A family's table maps names of the folder to names of the file.  Most tensors
 * are copied; others are cut, joined, or have their rows in another order.  All
 * of that is said by parts: rows of a source, read by three nested loops. */
#ifndef FLOTILLA_ENGINE_IMPORT_PLAN_H
#define FLOTILLA_ENGINE_IMPORT_PLAN_H

#include "engine/publish/import/config.h"
#include "engine/publish/import/folder.h"
#include "engine/publish/import/keys.h"
#include "engine/publish/import/quantised.h"
#include "engine/publish/import/reading.h"

#define FLO_IMPORT_LAYERS_MAX 1024
#define FLO_IMPORT_EXPERTS_MAX 1024
#define FLO_IMPORT_VOCABULARY_MAX (1u << 22)
#define FLO_IMPORT_WIDTH_MAX (1u << 22) /* values of a row */
#define FLO_IMPORT_NEST 3

/* Nested loops over rows or columns.  Row r of a part is row `first` plus the
 * sum of index * stride; the last loop is the innermost one.  A count of 0 ends
 * the loops: without any, r itself is taken. */
struct flo_nest {
    uint64_t first;
    uint64_t counts[FLO_IMPORT_NEST], strides[FLO_IMPORT_NEST];
};
uint64_t flo_nest_at(const struct flo_nest *nest, uint64_t index);

/* Rows of one source. */
struct flo_part {
    const struct flo_folder_tensor *source; /* NULL: rows of zeros */
    const struct flo_folder_tensor *scales; /* scales of MXFP4 blocks; else NULL */
    uint64_t rows;                          /* rows of the output that it gives */
    struct flo_nest nest;
    float factors[2]; /* each value is multiplied by these, one after the other */
    unsigned factor_count;
};

enum flo_import_value {
    FLO_VALUE_SAME,
    FLO_VALUE_PLUS_ONE,
    FLO_VALUE_MINUS_EXP, /* -e^x */
    FLO_VALUE_MXFP4,     /* blocks of 16 bytes, with a byte of scale elsewhere */
    FLO_VALUE_GIVEN,     /* `given` */
};

struct flo_output {
    struct flo_gguf_tensor head; /* name, dims, dim_count, values; later the type */
    enum flo_import_value value;
    uint64_t width; /* values of a row, as parts count rows */
    struct flo_nest columns;
    struct flo_part *parts;
    uint32_t part_count;
    float *given;
    uint32_t order; /* place in the file */
    int layer;      /* -1: none */
    bool is_stack;  /* each part must have a source */
};

struct flo_import_family;

/* A folder on its way to a file. */
struct flo_import {
    struct flo_folder folder;
    struct flo_config config;
    struct flo_quantised quantised;
    char *config_text;
    bool is_twice; /* values of a quantiser are quantised again */
    const struct flo_import_family *family;
    const struct flo_import_row *const *rows;
    struct flo_keys keys;
    struct flo_folder_reading reading;

    uint32_t layers, embedding, heads, heads_kv, head_dim, feed_forward, vocabulary, experts;

    struct flo_output *outputs;
    size_t output_count, output_capacity;
};

/* A tensor of the folder with its place in the file. */
struct flo_import_match {
    const struct flo_folder_tensor *tensor;
    const char *ours;  /* name in the file; several are separated by | */
    const char *with;  /* the row's argument, or NULL */
    int layer, expert; /* -1: none */
};
typedef int flo_import_make(struct flo_import *import, const struct flo_import_match *match,
                            struct flo_err *err);

/* One row of a family's table of tensors.  In names # is the number of a layer
 * and % that of an expert.  A name with all its ends (".weight") is mapped as
 * it is; else the end is carried over.  A name that ends with * stands for all
 * that begin with it. */
struct flo_import_row {
    const char *theirs;
    const char *ours;      /* NULL: left out of the file */
    flo_import_make *make; /* NULL: copied */
    const char *with;
};

/* Adds an output of `dim_count` dims (innermost first) with one part that gives
 * all rows of `source` in their order.  The caller may change the result, until
 * the next call. */
FLO_MUST_USE int flo_output_add(struct flo_import *import, const char *name, uint32_t dim_count,
                                const uint64_t *dims, const struct flo_import_match *match,
                                struct flo_output **out, struct flo_err *err);
/* Gives an output `count` empty parts in place of those that it has. */
FLO_MUST_USE int flo_output_parts(struct flo_output *output, uint32_t count, struct flo_err *err);
/* Finds an output by its name, or returns NULL. */
struct flo_output *flo_output_find(const struct flo_import *import, const char *name);
/* Adds an output with these values, in front of all others. */
FLO_MUST_USE int flo_output_give(struct flo_import *import, const char *name, const float *values,
                                 uint64_t count, struct flo_err *err);
/* Copies part `index` of a match's names, with numbers in place of # and %. */
FLO_MUST_USE int flo_match_name(const struct flo_import_match *match, unsigned index, char *out,
                                struct flo_err *err);
/* Fails with FLO_E_MODEL_FOLDER and the tensor's name. */
int flo_match_fail(const struct flo_import_match *match, struct flo_err *err, const char *why);

/* Maps all tensors of the folder by the family's rows.
 *
 * FLO_E_MODEL_FOLDER: a tensor is not known, missing, or has another shape than
 * config.json says. */
FLO_MUST_USE int flo_import_map(struct flo_import *import, struct flo_err *err);
/* Maps one tensor: adds its outputs, or none if the family leaves it out. */
FLO_MUST_USE int flo_import_map_tensor(struct flo_import *import,
                                       const struct flo_folder_tensor *tensor, struct flo_err *err);
void flo_plan_deinit(struct flo_import *import);

/* ---- makers that several families use (makers.c) ---- */

flo_import_make flo_make_plain;               /* carries the source's shape over */
flo_import_make flo_make_query, flo_make_key; /* rows of heads in pairs, if the family wants them */
flo_import_make flo_make_plus_one;
flo_import_make flo_make_halves;      /* first and second half of each matrix's rows */
flo_import_make flo_make_interleaved; /* even and odd rows */
flo_import_make flo_make_squeezed;    /* [n][1][k] to [n][k] */
flo_import_make flo_make_column;      /* [n] to [n][1] */
flo_import_make flo_make_minus_exp_column, flo_make_minus_exp;
flo_import_make flo_make_groups; /* [n] to [groups][n / groups], groups by the setting `with` */
flo_import_make flo_make_expert; /* one matrix of a stack */
flo_import_make flo_make_mxfp4, flo_make_mxfp4_interleaved;
flo_import_make flo_make_scaled; /* times the settings `with`, of which NAME:I is item I */
flo_import_make flo_make_output; /* left out if the embedding is tied to it */

#endif
