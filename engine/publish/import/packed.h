/* Packed: a matrix of codes, as a quantiser left it in a folder.
 *
 * Value (row, column) is (level of its code - zero) * scale.  Formats differ in
 * where codes lie, and in which values share a scale.  Codes are read a few
 * megabytes at a time; scales and zeros of one matrix are in memory. */
#ifndef FLOTILLA_ENGINE_IMPORT_PACKED_H
#define FLOTILLA_ENGINE_IMPORT_PACKED_H

#include "engine/publish/import/folder.h"

#define FLO_PACKED_SCALES_MAX (1u << 24) /* scales of a matrix */
#define FLO_PACKED_WIDTH_MAX (1u << 22)  /* values of a row */
#define FLO_PACKED_RAW_BYTES (16u << 20) /* codes that are in memory at once */

enum flo_packed_layout {
    FLO_PACKED_BYTES,   /* a byte for each value, row after row */
    FLO_PACKED_WORDS,   /* u32 of neighbours in a row, lowest bits first */
    FLO_PACKED_COLUMNS, /* the same of the transposed matrix: GPTQ */
    FLO_PACKED_TWISTED, /* [width][rows / 8] u32 of 8 rows in AWQ's order */
    FLO_PACKED_HALVES,  /* two values in a byte, the high half first */
};
enum flo_packed_levels {
    FLO_LEVELS_UNSIGNED,
    FLO_LEVELS_SIGNED, /* two's complement */
    FLO_LEVELS_E4M3,
    FLO_LEVELS_MAP, /* 16 floats of the folder */
};

struct flo_import_packed {
    enum flo_packed_layout layout;
    enum flo_packed_levels levels;
    unsigned bits;
    uint64_t rows, width;  /* shape of the matrix of values */
    uint64_t row_block;    /* neighbouring rows with the same scales */
    uint64_t group;        /* neighbouring columns with the same scale, without `places` */
    uint64_t groups;       /* scales of a row */
    bool is_turned;        /* scales are [groups][rows] */
    bool has_zeros_less_1; /* zeros are written less one, modulo 2^bits */
    float zero, factor;    /* zero without `zeros`; factor of each scale */

    struct flo_folder_tensor codes;          /* as they are in the folder */
    const struct flo_folder_tensor *scales;  /* f32, f16, bf16; bytes if they are coded, too */
    const struct flo_folder_tensor *zeros;   /* NULL: `zero` */
    const struct flo_folder_tensor *places;  /* i32: the group of each column; or NULL */
    const struct flo_folder_tensor *map;     /* levels of FLO_LEVELS_MAP */
    const struct flo_folder_tensor *scales2; /* scales of coded scales; or NULL */
    const struct flo_folder_tensor *map2;    /* 256 levels of coded scales */
    uint64_t group2;
    float offset2;
    char name[]; /* name of the matrix: "model.layers.0.mlp.up_proj.weight" */
};

/* A matrix that is being read.  Zero-initialise. */
struct flo_packed_load {
    const struct flo_import_packed *of;
    float *scales, *zeros; /* [row / row_block][group]; `zeros` may be NULL */
    uint32_t *places;
    uint8_t *row;     /* codes of a row */
    float table[256]; /* level of each code */
    const uint8_t *raw;
    uint64_t first, count; /* rows whose codes are in `raw` */
};

/* Reads some bytes of a tensor, from the folder's file or from memory. */
FLO_MUST_USE int flo_packed_bytes(const struct flo_folder_tensor *tensor, uint64_t at, void *out,
                                  size_t bytes, struct flo_err *err);
/* Reads scales, zeros and levels of a matrix, unless they are there.
 * FLO_E_MODEL_FOLDER: a group that is none.  FLO_E_IO_READ, FLO_E_MEMORY. */
FLO_MUST_USE int flo_packed_open(struct flo_packed_load *load,
                                 const struct flo_import_packed *packed, struct flo_err *err);
void flo_packed_close(struct flo_packed_load *load);
/* Returns how many neighbouring rows flo_packed_fetch() reads at once. */
uint64_t flo_packed_span(const struct flo_import_packed *packed);
/* Reads the codes of some rows to `raw`, which has FLO_PACKED_RAW_BYTES. */
FLO_MUST_USE int flo_packed_fetch(struct flo_packed_load *load, uint64_t first, uint64_t count,
                                  uint8_t *raw, struct flo_err *err);
/* Computes the values of a row whose codes were fetched. */
void flo_packed_row(struct flo_packed_load *load, uint64_t row, float *out);

#endif
