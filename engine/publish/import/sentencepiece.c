/* SentencePiece: reads a model file, which is a protocol buffer.
 *
 * Fields that are used, by their numbers: the model has pieces (1), a trainer's
 * settings (2) and a normaliser's (3).  A piece has a text (1), a score (2) and
 * a type (3).  The trainer's type of model is 3, and 1 is Unigram.  The
 * normaliser has a map (2), a blank in front (3), removal of blanks (4).  All
 * other fields are skipped. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/config.h"
#include "engine/publish/import/pieces.h"

/* Bytes that are still to be read. */
struct span {
    const uint8_t *at, *end;
};
/* One field: a number, or bytes. */
struct field {
    uint32_t number;
    uint64_t value;
    uint32_t bits; /* value of a field of four bytes */
    struct span bytes;
};

static bool read_varint(struct span *span, uint64_t *out)
{
    *out = 0;
    for (unsigned shift = 0; shift < 64 && span->at < span->end; shift += 7) {
        uint8_t byte = *span->at++;
        *out |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

static bool take(struct span *span, uint64_t bytes, struct span *out)
{
    if (bytes > (uint64_t)(span->end - span->at)) {
        return false;
    }
    *out = (struct span){span->at, span->at + bytes};
    span->at += bytes;
    return true;
}

static bool next_field(struct span *span, struct field *out)
{
    uint64_t tag, bytes;
    *out = (struct field){0};
    if (!read_varint(span, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX) {
        return false;
    }
    out->number = (uint32_t)(tag >> 3);
    switch (tag & 7) {
    case 0:
        return read_varint(span, &out->value);
    case 1:
        return take(span, 8, &out->bytes);
    case 2:
        return read_varint(span, &bytes) && take(span, bytes, &out->bytes);
    case 5:
        if (!take(span, 4, &out->bytes)) {
            return false;
        }
        out->bits = flo_get_u32(out->bytes.at);
        return true;
    default:
        return false;
    }
}

static bool read_piece(struct span span, struct flo_import_piece *piece)
{
    struct field field;
    *piece = (struct flo_import_piece){.type = FLO_PIECE_NORMAL};
    while (span.at < span.end) {
        if (!next_field(&span, &field)) {
            return false;
        }
        if (field.number == 1) {
            piece->text = (const char *)field.bytes.at;
            piece->bytes = (uint32_t)(field.bytes.end - field.bytes.at);
        } else if (field.number == 2) {
            memcpy(&piece->score, &field.bits, sizeof(field.bits));
        } else if (field.number == 3) {
            piece->type = (uint32_t)(field.value & 7);
        }
    }
    /* a user's own pieces are merged like all others */
    piece->type = piece->type == FLO_PIECE_DEFINED ? FLO_PIECE_NORMAL : piece->type;
    return piece->text != NULL && piece->bytes <= FLO_PIECE_BYTES_MAX &&
           piece->type >= FLO_PIECE_NORMAL && piece->type <= FLO_PIECE_BYTE;
}

static bool read_settings(struct span span, bool is_normaliser, struct flo_sentencepiece *out)
{
    struct field field;
    while (span.at < span.end) {
        if (!next_field(&span, &field)) {
            return false;
        }
        if (!is_normaliser) {
            out->is_unigram = field.number == 3 ? field.value == 1 : out->is_unigram;
        } else if (field.number == 2) {
            out->map = field.bytes.at;
            out->map_bytes = (size_t)(field.bytes.end - field.bytes.at);
        } else if (field.number == 3) {
            out->adds_blank = field.value != 0;
        } else if (field.number == 4) {
            out->removes_blanks = field.value != 0;
        }
    }
    return true;
}

/* Counts the pieces, so that they are allocated once. */
static uint64_t count_pieces(struct span span)
{
    struct field field;
    uint64_t count = 0;
    while (span.at < span.end && next_field(&span, &field)) {
        count += field.number == 1 ? 1 : 0;
    }
    return count;
}

static bool read_model(struct span span, struct flo_sentencepiece *out)
{
    struct field field;
    uint32_t count = 0;
    while (span.at < span.end) {
        if (!next_field(&span, &field)) {
            return false;
        }
        if (field.number == 1 && !read_piece(field.bytes, &out->pieces.items[count++])) {
            return false;
        }
        if ((field.number == 2 || field.number == 3) &&
            !read_settings(field.bytes, field.number == 3, out)) {
            return false;
        }
    }
    return true;
}

int flo_sentencepiece_read(const uint8_t *data, size_t bytes, struct flo_sentencepiece *out,
                           struct flo_err *err)
{
    struct span span = {data, data + bytes};
    struct flo_sentencepiece model = {
        .adds_blank = true, .removes_blanks = true, .is_unigram = true};
    uint64_t count = count_pieces(span);
    if (count == 0 || count > FLO_PIECES_MAX) {
        return flo_folder_fail(err, "the SentencePiece model has no pieces, or more than %u",
                               FLO_PIECES_MAX);
    }
    FLO_TRY(flo_pieces_init(&model.pieces, (uint32_t)count, 0, err));
    if (!read_model(span, &model)) {
        flo_pieces_deinit(&model.pieces);
        return flo_folder_fail(err, "the SentencePiece model is malformed");
    }
    *out = model;
    return 0;
}
