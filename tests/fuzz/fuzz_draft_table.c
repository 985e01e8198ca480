/* Tables of drafts from outside: refused with a sentence, or their guesses are
 * tokens of the vocabulary.
 *
 * The vocabulary is the one that the file names, so that damage behind the head
 * is reached. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/draft/table.h"
#include "must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void guess_after(const struct flo_draft_table *table, int32_t token, uint32_t n_vocab)
{
    int32_t tokens[32] = {token, 2, 3, token, 1, token};

    for (uint32_t count = 0; count <= 6; count++) {
        uint32_t made = flo_draft_table_guess(table, tokens, count, tokens + 6, 26);
        must(made <= 26);
        for (uint32_t i = 0; i < made; i++) {
            must((uint32_t)tokens[6 + i] < n_vocab);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static int file = -1;
    uint8_t head[24] = {0};
    struct flo_draft_table *table = NULL;
    struct flo_err err = {0};

    if (file < 0) {
        file = memfd_create("draft", MFD_CLOEXEC);
    }
    memcpy(head, data, bytes < sizeof(head) ? bytes : sizeof(head));
    uint32_t n_vocab = flo_get_u32(head + 12);
    must(ftruncate(file, 0) == 0 && flo_fd_pwrite_all(file, data, bytes, 0, NULL) == 0);
    if (flo_draft_table_open(file, n_vocab, flo_get_u64(head + 16), 1 << 20, &table, &err) < 0) {
        must(table == NULL && err.code < 0 && err.what[0] != '\0');
        return 0;
    }
    must(flo_draft_table_bytes(table) == bytes);
    for (int32_t token = -1; token < 8; token++) {
        guess_after(table, token, n_vocab);
    }
    flo_draft_table_close(table);
    return 0;
}
