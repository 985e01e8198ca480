/* Input: reads a file of requests line by line; see input.h. */
#include "agent/serve/batch/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/batch.h>

#define NAMES_MAX 524288 /* number of names that the table holds at once, in 12 MiB */

void flo_batch_in_go(struct flo_batch_in *in, uint64_t number, uint64_t offset)
{
    in->reader.number = number;
    in->reader.offset = offset;
    in->reader.is_open = false;
    in->at = in->bytes = 0;
    in->is_ended = false;
}

static int fill(struct flo_batch_in *in, struct flo_err *err)
{
    ssize_t got;

    do {
        got = pread(in->fd, in->piece, sizeof(in->piece), (off_t)in->reader.offset);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a file of lines");
    }
    in->at = 0;
    in->bytes = (size_t)got;
    in->is_ended = got == 0;
    return 0;
}

int flo_batch_in_line(struct flo_batch_in *in, struct flo_err *err)
{
    while (!in->is_ended) {
        FLO_TRY(in->at == in->bytes ? fill(in, err) : 0);
        if (in->is_ended) {
            return flo_batch_reader_end(&in->reader);
        }
        in->at += flo_batch_reader_take(&in->reader, in->piece + in->at, in->bytes - in->at);
        if (in->reader.is_whole) {
            return 1;
        }
    }
    return 0;
}

int flo_batch_in_next(struct flo_batch_in *in, struct flo_err *err)
{
    int rv;

    do {
        rv = flo_batch_in_line(in, err);
    } while (rv == 1 && flo_batch_reader_is_blank(&in->reader));
    return rv;
}

bool flo_batch_in_is_torn(const struct flo_batch_in *in)
{
    return in->is_ended;
}

void flo_batch_in_deinit(struct flo_batch_in *in)
{
    flo_batch_reader_deinit(&in->reader);
}

/* ---- a custom_id on two lines ---- */

/* Reads the custom_id of the line at an offset; empty: the line has none. */
static int id_at(struct flo_batch_in *in, uint64_t offset, char id[FLO_BATCH_ID_BYTES_MAX + 1],
                 struct flo_err *err)
{
    flo_batch_in_go(in, 0, offset);
    int rv = flo_batch_in_line(in, err);
    id[0] = '\0';
    if (rv == 1) {
        flo_batch_line_id(&in->reader, id);
    }
    FLO_TRY(rv);
    return 0;
}

/* Compares the names of two lines with equal hashes, and fails when the names
 * are equal too. */
static int compare_names(struct flo_batch_in *in, const struct flo_twice *twice,
                         struct flo_err *err)
{
    char one[FLO_BATCH_ID_BYTES_MAX + 1], two[FLO_BATCH_ID_BYTES_MAX + 1];
    struct flo_twice_name first, second = {0};

    while (flo_twice_next(twice, second.number, &first, &second)) {
        FLO_TRY(id_at(in, first.offset, one, err));
        FLO_TRY(id_at(in, second.offset, two, err));
        if (strcmp(one, two) == 0) {
            return flo_fail(err, FLO_E_BATCH_TWICE,
                            "custom_id \"%.200s\" stands on line %llu and on "
                            "line %llu",
                            one, (unsigned long long)first.number,
                            (unsigned long long)second.number);
        }
    }
    return 0;
}

int flo_batch_check_open(struct flo_batch_check *check, struct flo_batch_in *in,
                         struct flo_err *err)
{
    uint64_t key;

    flo_random(&key, sizeof(key));
    check->count = 0;
    flo_batch_in_go(in, 0, 0);
    return flo_twice_open(&check->twice, NAMES_MAX, key, err);
}

/* Ends a pass over the file: compares names with equal hashes, then begins the
 * next pass.  Returns 1 when no pass is left. */
static int end_pass(struct flo_batch_check *check, struct flo_batch_in *in, struct flo_err *err)
{
    flo_twice_sort(&check->twice);
    FLO_TRY(compare_names(in, &check->twice, err));
    if (!flo_twice_again(&check->twice)) {
        return 1;
    }
    check->count = 0;
    flo_batch_in_go(in, 0, 0);
    return 0;
}

int flo_batch_check_step(struct flo_batch_check *check, struct flo_batch_in *in, unsigned lines_max,
                         struct flo_err *err)
{
    char id[FLO_BATCH_ID_BYTES_MAX + 1];

    for (unsigned i = 0; i < lines_max; i++) {
        int rv = flo_batch_in_next(in, err);
        if (rv != 1) {
            FLO_TRY(rv);
            return end_pass(check, in, err);
        }
        flo_batch_line_id(&in->reader, id);
        if (id[0] != '\0') {
            flo_twice_add(&check->twice, id, in->reader.number, in->reader.begin);
        }
        check->count++;
    }
    return 0;
}

void flo_batch_check_deinit(struct flo_batch_check *check)
{
    flo_twice_deinit(&check->twice);
}
