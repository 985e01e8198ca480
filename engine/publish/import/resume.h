/* Resume: where an import that was ended goes on.
 *
 * While the file is written, a record stands behind its end.  It says how many
 * tensors are on the disk, and of which folder and options.  The file is cut to
 * its size at last, so the record is gone when the file has its name.
 *
 * The record, little endian:
 *
 *    0  u32  magic, 'FIR1'
 *    4  u32  CRC-32C of the finished tensors
 *    8  u64  number of finished tensors
 *   16  u64  their bytes, from the beginning of the data
 *   24  u32  CRC-32C of the program's version and the file's head
 *   28  u32  CRC-32C of each shard's device, inode, size, time and first bytes
 *   32  u32  CRC-32C of the bytes before */
#ifndef FLOTILLA_ENGINE_IMPORT_RESUME_H
#define FLOTILLA_ENGINE_IMPORT_RESUME_H

#include "engine/publish/import/plan.h"

#define FLO_RESUME_RECORD_BYTES 36
/* The record is renewed when as many bytes came as were there before, but at
 * least and at most so many.  They are synced first. */
#define FLO_RESUME_STEP_BYTES (32u << 20)
#define FLO_RESUME_STEP_BYTES_MAX (256u << 20)

struct flo_resume {
    int fd;
    uint64_t data_at, end;         /* where the data begins, and the file ends */
    uint64_t step_bytes;           /* every so many bytes; 0: as above */
    size_t tensors;                /* finished ones, when the import began */
    uint64_t bytes, noted;         /* bytes of these, and of the newest record, from data_at */
    uint32_t crc;                  /* CRC-32C of the bytes that the newest record covers */
    uint32_t head_crc, shards_crc; /* CRCs of the inputs */
};

/* Finds where to go on in a file whose head was written.  `heads` have the
 * offsets and sizes of all tensors.  A part of another
 * folder, or a damaged one, begins again: tensors and bytes are 0 then.  FLO_E_IO_READ,
 * FLO_E_IO_WRITE. */
FLO_MUST_USE int flo_resume_find(struct flo_resume *resume, const struct flo_import *import,
                                 const struct flo_gguf_tensor *heads, uint64_t data_bytes, int fd,
                                 struct flo_err *err);
/* Notes that the first `tensors` are complete, with `bytes` of data, if enough
 * came since the last note. */
FLO_MUST_USE int flo_resume_note(struct flo_resume *resume, size_t tensors, uint64_t bytes,
                                 struct flo_err *err);
/* Cuts the record off. */
FLO_MUST_USE int flo_resume_end(const struct flo_resume *resume, struct flo_err *err);

#endif
